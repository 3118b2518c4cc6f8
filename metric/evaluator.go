package metric

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/destseg/destseg/region"
)

// ErrSample is wrapped by the error for every sample or mask that cannot be
// measured: lengths that do not fit the size, scores that are not finite, a
// mask that contradicts the label.
var ErrSample = errors.New("metric: invalid sample")

// A Sample is one test picture, with what a detector said about it and what is
// true of it.
type Sample struct {
	// Score is the image score, finite; more is more anomalous. DeSTSeg takes
	// TopMean(Map, 100).
	Score float64

	// Defective is the picture's label.
	Defective bool

	// Width and Height are the size of Map and Mask in pixels.
	Width, Height int

	// Map is the anomaly map, Height×Width, row-major, finite; more is more
	// anomalous. Nil where the detector gives no map.
	Map []float32

	// Mask is the ground truth in the shape of Map: 0 for background, any other
	// value for defect. For a good picture nil stands for all background; for a
	// defective one nil says that the truth is not known. A defective picture
	// may have an all-background mask, as a small defect does that a resize
	// made vanish.
	Mask []uint8
}

// An Evaluator gathers the samples of a test set. The zero value has none and
// is ready for use. It must not be used by several goroutines at once, and
// not be copied after the first Add.
//
// It does not keep maps. Scores are filed under the upper 16 bits of an ordered
// float32 key. A background pixel takes 2 bytes there and a defect pixel 6,
// with the slack of a growing list up to 2.5 and 7.5, until 131,072 of them
// share the same upper bits; these are then counted in 256 KiB (defects:
// 768 KiB), however many come. So 83 pictures of 900×900 take about 0.17 GB, and
// any number of pictures whose background lies between 10⁻⁶ and 1 at most
// 2,560 × 320 KiB = 0.84 GB. On top of this come 16 bytes a picture, 4 bytes a
// component and a fixed 1 MiB.
type Evaluator struct {
	images    []image
	instances []float32 // each component's score, see addDefects
	blind     int       // pictures without a map, or defective without a mask

	defectPixels, backgroundPixels int64

	background, defect scoreTable

	keys []uint32 // scratch of addDefects
}

type image struct {
	score     float64
	defective bool
}

// Add takes in one sample; it keeps no reference to its slices. A sample that
// cannot be measured gives an error wrapping [ErrSample] and changes nothing.
func (e *Evaluator) Add(s Sample) error {
	blind := s.Map == nil || s.Defective && s.Mask == nil
	labels, count, err := check(s)
	if err != nil {
		return fmt.Errorf("picture %d: %w", len(e.images)+1, err)
	}
	e.images = append(e.images, image{s.Score, s.Defective})
	if blind {
		e.blind++
		return nil
	}
	if count == 0 {
		e.background.addBackground(s.Map, nil)
		e.backgroundPixels += int64(len(s.Map))
		return nil
	}
	defects := e.addDefects(s.Map, labels, count)
	e.background.addBackground(s.Map, s.Mask)
	e.defectPixels += int64(defects)
	e.backgroundPixels += int64(len(s.Map) - defects)
	return nil
}

// check validates a sample and labels its mask.
func check(s Sample) (labels []int32, count int, err error) {
	if math.IsNaN(s.Score) || math.IsInf(s.Score, 0) {
		return nil, 0, fmt.Errorf("%w: image score %v; give a finite one", ErrSample, s.Score)
	}
	if s.Map == nil {
		if s.Mask != nil {
			return nil, 0, fmt.Errorf("%w: a mask without a map; give both or no mask", ErrSample)
		}
		return nil, 0, nil
	}
	if err := checkShape("map", len(s.Map), s.Width, s.Height); err != nil {
		return nil, 0, err
	}
	const exponent = 0xff << 23 // all ones in NaN and the infinities, only there
	for i, v := range s.Map {
		if math.Float32bits(v)&exponent == exponent {
			return nil, 0, fmt.Errorf("%w: score %v at x = %d, y = %d; give finite scores", ErrSample, v, i%s.Width, i/s.Width)
		}
	}
	if s.Mask == nil {
		return nil, 0, nil
	}
	if len(s.Mask) != len(s.Map) {
		return nil, 0, fmt.Errorf("%w: mask of %d values for a map of %d×%d pixels; resize one to the other", ErrSample, len(s.Mask), s.Width, s.Height)
	}
	if !slices.ContainsFunc(s.Mask, func(m uint8) bool { return m != 0 }) {
		return nil, 0, nil
	}
	if !s.Defective {
		return nil, 0, fmt.Errorf("%w: a good picture whose mask marks a defect; correct the label or the mask", ErrSample)
	}
	labels, count = region.Label(s.Mask, s.Width, s.Height)
	return labels, count, nil
}

// addDefects files the pixels of every component and notes its instance score:
// the largest threshold at which more than half of its pixels are found, that
// is the one at place ⌊size/2⌋ from 0 in descending order, as in the published
// code of IAP. It returns the number of defect pixels.
func (e *Evaluator) addDefects(scores []float32, labels []int32, count int) int {
	// Counting sort by component. end[c] begins as the start of component c,
	// counted from 1, and has moved to its end when all pixels are placed.
	end := make([]int, count+2)
	for _, l := range labels {
		if l != 0 {
			end[l+1]++
		}
	}
	for c := 1; c < len(end); c++ {
		end[c] += end[c-1]
	}
	total := end[count+1]
	e.keys = slices.Grow(e.keys[:0], total)[:total]
	for i, l := range labels {
		if l != 0 {
			e.keys[end[l]] = keyOf(scores[i])
			end[l]++
		}
	}
	e.instances = slices.Grow(e.instances, count)
	for c := 1; c <= count; c++ {
		component := e.keys[end[c-1]:end[c]]
		e.defect.addComponent(component)
		half := len(component) / 2
		selectLargest(component, half+1)
		e.instances = append(e.instances, scoreOf(component[half]))
	}
	return total
}
