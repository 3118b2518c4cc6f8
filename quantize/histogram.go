package quantize

import "math"

// bins is how many bins a histogram has, an even number. It leaves eight or more to
// each level.
const bins = 4096

// A histogram counts the sizes of numbers, whatever their signs, in bins of equal width
// from 0 on. The width doubles when a number lies beyond them.
type histogram struct {
	counts   [bins]uint64
	width    float64 // of a bin; 0 while all numbers are 0
	zeros    uint64
	positive bool // there was a number above 0
	negative bool
}

// add counts numbers. It returns false if one of them is not finite.
func (h *histogram) add(values []float32) bool {
	most := float32(0)
	for _, v := range values {
		if v > 0 {
			h.positive = true
			most = max(most, v)
		} else if v < 0 {
			h.negative = true
			most = max(most, -v)
		} else if v != v {
			return false
		}
	}
	if math.IsInf(float64(most), 0) {
		return false
	}
	h.cover(float64(most))
	perWidth := 0.0
	if h.width > 0 {
		perWidth = 1 / h.width
	}
	for _, v := range values {
		if v == 0 {
			h.zeros++
			continue
		}
		h.counts[min(int(math.Abs(float64(v))*perWidth), bins-1)]++
	}
	return true
}

// cover makes the bins reach up to a number.
func (h *histogram) cover(most float64) {
	if h.width == 0 && most > 0 {
		// The first picture tells about how far the numbers go.
		h.width = 1.25 * most / bins
	}
	for h.width > 0 && most > h.width*bins {
		for i := range bins / 2 {
			h.counts[i] = h.counts[2*i] + h.counts[2*i+1]
		}
		clear(h.counts[bins/2:])
		h.width *= 2
	}
}

// largest returns the upper end of the last bin that is not empty.
func (h *histogram) largest() float64 {
	for i := bins - 1; i >= 0; i-- {
		if h.counts[i] > 0 {
			return float64(i+1) * h.width
		}
	}
	return 0
}

// limit returns the number to which levels 1 to most reach with the least mean square
// of what rounding and cutting change.
func (h *histogram) limit(most int) float64 {
	end := h.largest()
	best, least := end, math.Inf(1)
	const tries = 128
	for try := 1; try <= tries; try++ {
		at := end * float64(try) / tries
		if e := h.error(at/float64(most), most); e < least {
			best, least = at, e
		}
	}
	return best
}

// error is the sum of the squares of what rounding to multiples of a step, of which most
// is the last, changes. Within a bin the numbers count as spread evenly.
func (h *histogram) error(step float64, most int) float64 {
	sum := 0.0
	for i, count := range h.counts {
		if count == 0 {
			continue
		}
		x := (float64(i) + 0.5) * h.width
		level := min(math.RoundToEven(x/step), float64(most))
		d := x - level*step
		sum += float64(count) * (d*d + h.width*h.width/12)
	}
	return sum
}

// percentile returns the least number that a share of all numbers does not exceed.
func (h *histogram) percentile(share float64) float64 {
	total := h.zeros
	for _, count := range h.counts {
		total += count
	}
	below := h.zeros
	for i, count := range h.counts {
		below += count
		if float64(below) >= share*float64(total) {
			return float64(i+1) * h.width
		}
	}
	return h.largest()
}
