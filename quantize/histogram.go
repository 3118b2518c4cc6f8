package quantize

import "math"

// A histogram counts the sizes of the numbers of one tensor, whatever their signs, in
// bins of equal width from 0 to the largest. Zeros are not counted: every step keeps them.
type histogram struct {
	counts   [bins]uint64
	width    float64 // of a bin; 0 if there are only zeros
	positive bool    // there is a number above 0
	negative bool
}

// bins leaves sixteen of them to each level of sums and eight to the others.
const bins = 2048

// count fills a histogram. It returns false if a number is not finite.
func (h *histogram) count(values []float32) bool {
	*h = histogram{}
	most := float32(0)
	for _, v := range values {
		switch {
		case v > 0:
			h.positive = true
			most = max(most, v)
		case v < 0:
			h.negative = true
			most = max(most, -v)
		case v != v:
			return false
		}
	}
	if math.IsInf(float64(most), 0) {
		return false
	}
	h.width = float64(most) / bins
	if h.width == 0 {
		return true
	}
	per := 1 / h.width
	for _, v := range values {
		if v != 0 {
			h.counts[min(int(math.Abs(float64(v))*per), bins-1)]++
		}
	}
	return true
}

// reach returns how far levels 0 to most go with the least sum of squares of what
// rounding and cutting change.
func (h *histogram) reach(most int) float64 {
	const tries = 64
	best, least := 0.0, math.Inf(1)
	for try := 1; try <= tries; try++ {
		at := h.width * bins * float64(try) / tries
		if e := h.error(at/float64(most), most); e < least {
			best, least = at, e
		}
	}
	return best
}

// error is the sum of squares for a step, with the numbers of a bin in its middle.
func (h *histogram) error(step float64, most int) float64 {
	sum, per := 0.0, 1/step
	for i, count := range h.counts {
		if count == 0 {
			continue
		}
		x := (float64(i) + 0.5) * h.width
		d := x - step*min(math.RoundToEven(x*per), float64(most))
		sum += float64(count) * d * d
	}
	return sum
}
