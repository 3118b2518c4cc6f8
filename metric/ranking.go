package metric

import (
	"cmp"
	"slices"
)

// ranking follows a threshold down through the scores of a two-class set.
type ranking struct {
	positives, negatives float64 // of the whole set

	tp, fp float64 // at or above the threshold
	pairs  float64 // (positive, negative) pairs in the right order, ties half
	gain   float64 // sum over positives of the precision at their score
}

// step lowers the threshold by one distinct score.
func (r *ranking) step(positives, negatives float64) {
	r.pairs += negatives * (r.tp + positives/2)
	r.tp += positives
	r.fp += negatives
	if positives > 0 {
		r.gain += positives * r.precision()
	}
}

// precision is that of everything at or above the threshold.
func (r *ranking) precision() float64 { return r.tp / (r.tp + r.fp) }

// auroc is the share of right pairs, which is the area under the ROC curve.
func (r *ranking) auroc() *float64 {
	if r.positives == 0 || r.negatives == 0 {
		return nil
	}
	return new(r.pairs / (r.positives * r.negatives))
}

// ap is the sum over the distinct scores of (gain in recall) · precision.
func (r *ranking) ap() *float64 {
	if r.positives == 0 {
		return nil
	}
	return new(r.gain / r.positives)
}

// f1 is the harmonic mean of precision and recall.
func (r *ranking) f1() float64 { return 2 * r.tp / (r.tp + r.fp + r.positives) }

// proLimit is the false positive rate up to which MVTec integrates the PRO
// curve (Bergmann et al., IJCV 2021).
const proLimit = 0.3

// proArea integrates mean overlap of components over false positive rate.
type proArea struct {
	components, negatives float64

	overlap, fp float64 // sums over what is at or above the threshold
	pro, fpr    float64 // the last point of the curve
	area        float64
}

// step lowers the threshold by one distinct score.
func (a *proArea) step(overlap, negatives float64) {
	a.overlap += overlap
	a.fp += negatives
	pro := min(a.overlap/a.components, 1) // 1/size may sum to a hair more
	fpr := a.fp / a.negatives
	if a.fpr < proLimit {
		x, y := fpr, pro
		if x > proLimit {
			x = proLimit
			y = a.pro + (pro-a.pro)*(proLimit-a.fpr)/(fpr-a.fpr)
		}
		a.area += (x - a.fpr) * (y + a.pro) / 2
	}
	a.pro, a.fpr = pro, fpr
}

// aupro is the area up to the limit, scaled to 1.
func (a *proArea) aupro() *float64 {
	if a.components == 0 || a.negatives == 0 {
		return nil
	}
	return new(a.area / proLimit)
}

// rankImages walks the pictures by descending score and calls visit, which may
// be nil, after every distinct one.
func (e *Evaluator) rankImages(visit func(*ranking)) ranking {
	byScore := slices.Clone(e.images)
	slices.SortFunc(byScore, descending)
	return rankSorted(byScore, visit)
}

// descending orders pictures by score, the largest first.
func descending(a, b image) int { return cmp.Compare(b.score, a.score) }

// rankSorted is rankImages for pictures in descending order.
func rankSorted(byScore []image, visit func(*ranking)) ranking {
	var r ranking
	for _, im := range byScore {
		if im.defective {
			r.positives++
		} else {
			r.negatives++
		}
	}
	for i := 0; i < len(byScore); {
		var positives, negatives float64
		score := byScore[i].score
		for ; i < len(byScore) && byScore[i].score == score; i++ {
			if byScore[i].defective {
				positives++
			} else {
				negatives++
			}
		}
		r.step(positives, negatives)
		if visit != nil {
			visit(&r)
		}
	}
	return r
}

// pixelSweep is all that one walk down the pixel scores finds out.
type pixelSweep struct {
	ranking ranking
	pro     proArea

	bestF1      float64
	f1Threshold float32

	// precision[i] is the pixel precision at the (i+1)-th largest instance
	// score or, where that is more, at any smaller one: that at instance recall
	// (i+1)/len, interpolated.
	precision []float64
}

// newPixelSweep begins a walk over so many pixels and instances.
func newPixelSweep(defect, background int64, instances int) *pixelSweep {
	return &pixelSweep{
		ranking:   ranking{positives: float64(defect), negatives: float64(background)},
		pro:       proArea{components: float64(instances), negatives: float64(background)},
		bestF1:    -1,
		precision: make([]float64, 0, instances),
	}
}

// step lowers the threshold by one score, at which so many instances are found.
func (s *pixelSweep) step(p step, instances int) {
	s.ranking.step(float64(p.defect), float64(p.background))
	s.pro.step(p.overlap, float64(p.background))
	if p.defect > 0 { // without a new true positive F1 only falls
		if f1 := s.ranking.f1(); f1 > s.bestF1 {
			s.bestF1, s.f1Threshold = f1, p.score
		}
	}
	for range instances {
		s.precision = append(s.precision, s.ranking.precision())
	}
}

// finish interpolates the precision.
func (s *pixelSweep) finish() {
	for i := len(s.precision) - 2; i >= 0; i-- {
		s.precision[i] = max(s.precision[i], s.precision[i+1])
	}
}

// sweepPixels walks the pixels by descending score and calls visit, which may
// be nil, after every distinct one.
func (e *Evaluator) sweepPixels(visit func(*pixelSweep)) *pixelSweep {
	s := newPixelSweep(e.defectPixels, e.backgroundPixels, len(e.instances))
	instances := slices.Clone(e.instances)
	slices.Sort(instances)
	slices.Reverse(instances)
	next := 0
	for p := range descend(&e.background, &e.defect) {
		before := next
		for next < len(instances) && instances[next] == p.score {
			next++
		}
		s.step(p, next-before)
		if visit != nil {
			visit(s)
		}
	}
	s.finish()
	return s
}

// iap is the mean interpolated precision over the instances, of which there is
// at least one.
func (s *pixelSweep) iap() *float64 {
	var sum float64
	for _, p := range s.precision {
		sum += p
	}
	return new(sum / float64(len(s.precision)))
}

// iapAt is the interpolated precision where at least percent of 100 instances
// are found; percent is from 1 to 100 and there is at least one instance.
func (s *pixelSweep) iapAt(percent int) *float64 {
	found := (percent*len(s.precision) + 99) / 100
	return new(s.precision[found-1])
}
