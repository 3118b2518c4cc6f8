package metric

import (
	"fmt"
	"slices"
	"sort"
)

// Thresholds returns scores in descending order that cut the pixels added so far
// into parts: about n, n at least 2, of which none but those of a single score holds
// more than about 2/n of the defect pixels or of the background pixels, and one more
// for each instance, whose score is among them. The last one is the smallest score.
// There are none without pixels.
func (e *Evaluator) Thresholds(n int) []float32 {
	limit := func(pixels int64) float64 { return max(2*float64(pixels)/float64(max(n, 2)-1), 1) }
	mostDefect, mostBackground := limit(e.defectPixels), limit(e.backgroundPixels)
	instances := make(map[float32]bool, len(e.instances))
	for _, score := range e.instances {
		instances[score] = true
	}
	var cuts []float32
	var defect, background float64 // since the last cut
	var last float32
	for p := range descend(&e.background, &e.defect) {
		defect += float64(p.defect)
		background += float64(p.background)
		last = p.score
		if defect >= mostDefect || background >= mostBackground || instances[last] {
			cuts = append(cuts, last)
			defect, background = 0, 0
		}
	}
	if defect+background > 0 {
		cuts = append(cuts, last)
	}
	return cuts
}

// A Resampler measures test sets that are drawn, with replacement, from the pictures
// of one. It keeps of each picture how its pixels are spread over given thresholds,
// so that a drawn set is measured without touching maps again.
//
// The image figures are exact. The pixel figures are those of maps whose values are
// lowered to the next threshold. With the thresholds of [Evaluator.Thresholds] they
// come close to the exact ones, IAP and IAP@90 even are exact, and with all distinct
// scores all are.
//
// A Resampler is made by [NewResampler]. Add must not be used by several goroutines
// at once, Result may be once all pictures are added.
type Resampler struct {
	thresholds []float32 // descending
	pictures   []spread
}

// A spread is what is kept of a picture.
type spread struct {
	image
	blind              bool
	defect, background int64
	parts              []part
	instances          []int32 // the threshold of each, by its place
}

// A part holds the pixels of a picture between a threshold and the one above.
type part struct {
	place              int32 // of the threshold
	defect, background uint32
	overlap            float64 // sum of 1/(size of the component) over the defect pixels
}

// NewResampler returns one without pictures for thresholds in descending order.
func NewResampler(thresholds []float32) *Resampler {
	return &Resampler{thresholds: thresholds}
}

// Add takes in one sample, as [Evaluator.Add] does, whose errors it returns. A map
// with a value below all thresholds gives an error wrapping [ErrSample], too.
func (r *Resampler) Add(s Sample) error {
	labels, count, err := check(s)
	if err != nil {
		return fmt.Errorf("picture %d of a resampler: %w", len(r.pictures)+1, err)
	}
	p := spread{image: image{s.Score, s.Defective}, blind: s.Map == nil || s.Defective && s.Mask == nil}
	if !p.blind {
		if err := p.divide(s.Map, labels, count, r.thresholds); err != nil {
			return fmt.Errorf("picture %d of a resampler: %w", len(r.pictures)+1, err)
		}
	}
	r.pictures = append(r.pictures, p)
	return nil
}

// divide sorts the pixels of a map by thresholds. labels are those of the components
// of its mask, nil if there are none.
func (p *spread) divide(scores []float32, labels []int32, count int, thresholds []float32) error {
	parts := make([]part, len(thresholds))
	components := make([][]int32, count+1) // places of the pixels of each
	for i, score := range scores {
		place := sort.Search(len(thresholds), func(k int) bool { return thresholds[k] <= score })
		if place == len(thresholds) {
			return fmt.Errorf("%w: score %v, below all thresholds", ErrSample, score)
		}
		if count == 0 || labels[i] == 0 {
			parts[place].background++
			p.background++
			continue
		}
		parts[place].defect++
		p.defect++
		components[labels[i]] = append(components[labels[i]], int32(place))
	}
	for _, places := range components[1:] {
		for _, place := range places {
			parts[place].overlap += 1 / float64(len(places))
		}
		// The score of an instance is at place ⌊size/2⌋ from the largest one on, see
		// addDefects, and thresholds descend.
		slices.Sort(places)
		p.instances = append(p.instances, places[len(places)/2])
	}
	for place := range parts {
		if part := parts[place]; part.defect+part.background > 0 {
			part.place = int32(place)
			p.parts = append(p.parts, part)
		}
	}
	return nil
}

// Result measures the set in which picture i of those added is there times[i] times.
// It panics unless times has a number for each.
func (r *Resampler) Result(times []int) Result {
	if len(times) != len(r.pictures) {
		panic(fmt.Sprintf("metric: %d numbers for %d pictures", len(times), len(r.pictures)))
	}
	var drawn Result
	var images []image
	steps := make([]step, len(r.thresholds))
	found := make([]int, len(r.thresholds)) // instances
	var background int64
	for i, p := range r.pictures {
		n := times[i]
		if n == 0 {
			continue
		}
		for range n {
			images = append(images, p.image)
		}
		if p.blind {
			drawn.BlindPictures += n
		}
		drawn.DefectPixels += int64(n) * p.defect
		background += int64(n) * p.background
		drawn.Instances += n * len(p.instances)
		for _, part := range p.parts {
			s := &steps[part.place]
			s.defect += uint64(n) * uint64(part.defect)
			s.background += uint64(n) * uint64(part.background)
			s.overlap += float64(n) * part.overlap
		}
		for _, place := range p.instances {
			found[place] += n
		}
	}
	slices.SortFunc(images, descending)
	ranked := rankSorted(images, nil)
	drawn.Pictures, drawn.DefectivePictures = len(images), int(ranked.positives)
	drawn.Pixels = drawn.DefectPixels + background
	drawn.ImageAUROC, drawn.ImageAP = ranked.auroc(), ranked.ap()
	if drawn.DefectPixels == 0 {
		return drawn
	}
	sweep := newPixelSweep(drawn.DefectPixels, background, drawn.Instances)
	for place, s := range steps {
		if s.defect+s.background > 0 {
			s.score = r.thresholds[place]
			sweep.step(s, found[place])
		}
	}
	sweep.finish()
	drawn.setPixels(sweep)
	return drawn
}
