package metric

import (
	"math"
	"slices"
	"sort"

	"github.com/destseg/destseg/region"
)

// twin computes every figure straight from its definition, threshold by
// threshold over all pixels, with nothing in common with the Evaluator.
func twin(samples []Sample) Result {
	var r Result
	var imageScores, pixelScores []float64
	var imageTruth, pixelTruth []bool
	var instances [][]float64
	for _, s := range samples {
		r.Pictures++
		if s.Defective {
			r.DefectivePictures++
		}
		imageScores = append(imageScores, s.Score)
		imageTruth = append(imageTruth, s.Defective)
		for i, v := range s.Map {
			pixelScores = append(pixelScores, float64(v))
			pixelTruth = append(pixelTruth, s.Mask[i] != 0)
			r.Pixels++
			if s.Mask[i] != 0 {
				r.DefectPixels++
			}
		}
		for _, pixels := range twinComponents(s.Mask, s.Width, s.Height) {
			var scores []float64
			for _, i := range pixels {
				scores = append(scores, float64(s.Map[i]))
			}
			instances = append(instances, scores)
		}
	}
	r.Instances = len(instances)
	r.ImageAUROC, r.ImageAP = twinAUROC(imageScores, imageTruth), twinAP(imageScores, imageTruth)
	if len(instances) == 0 {
		return r
	}
	r.PixelAUROC, r.PixelAP = twinAUROC(pixelScores, pixelTruth), twinAP(pixelScores, pixelTruth)
	r.PixelF1, r.PixelF1Threshold = new(0.0), new(0.0)
	for _, t := range thresholds(pixelScores) {
		tp, fp, fn, _ := confusion(pixelScores, pixelTruth, t)
		if f1 := 2 * tp / (2*tp + fp + fn); f1 > *r.PixelF1 {
			*r.PixelF1, *r.PixelF1Threshold = f1, t
		}
	}
	r.AUPRO = twinAUPRO(pixelScores, pixelTruth, instances)
	r.IAP, r.IAP90 = twinIAP(pixelScores, pixelTruth, instances)
	return r
}

// thresholds returns the distinct scores in descending order.
func thresholds(scores []float64) []float64 {
	t := slices.Clone(scores)
	slices.Sort(t)
	t = slices.Compact(t)
	slices.Reverse(t)
	return t
}

func confusion(scores []float64, truth []bool, threshold float64) (tp, fp, fn, tn float64) {
	for i, s := range scores {
		switch {
		case s >= threshold && truth[i]:
			tp++
		case s >= threshold:
			fp++
		case truth[i]:
			fn++
		default:
			tn++
		}
	}
	return tp, fp, fn, tn
}

// twinAUROC compares every positive with every negative.
func twinAUROC(scores []float64, truth []bool) *float64 {
	var right, pairs float64
	for i, a := range scores {
		for j, b := range scores {
			if truth[i] && !truth[j] {
				pairs++
				if a > b {
					right++
				} else if a == b {
					right += 0.5
				}
			}
		}
	}
	if pairs == 0 {
		return nil
	}
	return new(right / pairs)
}

func twinAP(scores []float64, truth []bool) *float64 {
	if !slices.Contains(truth, true) {
		return nil
	}
	var ap, before float64
	for _, t := range thresholds(scores) {
		tp, fp, fn, _ := confusion(scores, truth, t)
		recall := tp / (tp + fn)
		ap += (recall - before) * tp / (tp + fp)
		before = recall
	}
	return &ap
}

func twinAUPRO(scores []float64, truth []bool, instances [][]float64) *float64 {
	if !slices.Contains(truth, false) {
		return nil
	}
	type point struct{ fpr, pro float64 }
	curve := []point{{0, 0}}
	for _, t := range thresholds(scores) {
		_, fp, _, tn := confusion(scores, truth, t)
		var pro float64
		for _, instance := range instances {
			pro += share(instance, t)
		}
		curve = append(curve, point{fp / (fp + tn), pro / float64(len(instances))})
	}
	// The curve at the limit: on the first segment that reaches it.
	const limit = 0.3
	var area float64
	for i := 1; i < len(curve); i++ {
		a, b := curve[i-1], curve[i]
		if b.fpr >= limit {
			if b.fpr > limit {
				b = point{limit, a.pro + (b.pro-a.pro)*(limit-a.fpr)/(b.fpr-a.fpr)}
			}
			area += (b.fpr - a.fpr) * (a.pro + b.pro) / 2
			break
		}
		area += (b.fpr - a.fpr) * (a.pro + b.pro) / 2
	}
	return new(area / limit)
}

// share returns which part of the instance is at or above the threshold.
func share(instance []float64, threshold float64) float64 {
	var found float64
	for _, s := range instance {
		if s >= threshold {
			found++
		}
	}
	return found / float64(len(instance))
}

// twinIAP returns IAP and IAP@90. Only thresholds that find one more instance
// count, as in the published code; precision at a recall is the largest over
// those with at least that recall.
func twinIAP(scores []float64, truth []bool, instances [][]float64) (iap, iap90 *float64) {
	n := len(instances)
	best := make([]float64, n+1) // by number of instances found
	before := 0
	for _, t := range thresholds(scores) {
		found := 0
		for _, instance := range instances {
			if share(instance, t) > 0.5 {
				found++
			}
		}
		if found == before {
			continue
		}
		before = found
		tp, fp, _, _ := confusion(scores, truth, t)
		for k := range found + 1 {
			best[k] = max(best[k], tp/(tp+fp))
		}
	}
	var sum float64
	for _, p := range best[1:] {
		sum += p
	}
	for k := 1; k <= n && iap90 == nil; k++ {
		if 10*k >= 9*n {
			iap90 = &best[k]
		}
	}
	return new(sum / float64(n)), iap90
}

// twinComponents returns the pixels of each component, in raster order of their
// first pixels.
func twinComponents(mask []uint8, width, height int) [][]int {
	labels, count := region.Label(mask, width, height)
	components := make([][]int, count)
	for i, label := range labels {
		if label != 0 {
			components[label-1] = append(components[label-1], i)
		}
	}
	return components
}

// twinTopMean sorts.
func twinTopMean(values []float32, k int) float64 {
	v := slices.Clone(values)
	sort.Slice(v, func(i, j int) bool { return v[i] > v[j] })
	k = min(k, len(v))
	if k < 1 {
		return math.NaN()
	}
	var sum float64
	for _, x := range v[:k] {
		sum += float64(x)
	}
	return sum / float64(k)
}
