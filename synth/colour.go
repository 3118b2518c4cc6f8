package synth

import (
	"math"
	"math/rand/v2"
)

// colour is red, green and blue from 0 to 255.
type colour [3]float32

// mix returns the colour a share t of the way to another, 0 ≤ t ≤ 1.
func (c colour) mix(other colour, t float32) colour {
	for i := range c {
		c[i] += t * (other[i] - c[i])
	}
	return c
}

// hsv returns a colour from its hue (in turns, any number), saturation and value
// (0 to 1).
func hsv(hue, saturation, value float64) colour {
	var c colour
	for i := range c {
		// Each channel is a trapezoid over the hue, a third of a turn apart.
		h := math.Mod(6*hue+5-2*float64(i), 6)
		if h < 0 {
			h += 6
		}
		c[i] = float32(255 * value * (1 - saturation*max(0, min(h, 4-h, 1))))
	}
	return c
}

// drawScheme draws n ≥ 2 colours that look well together or at least like something
// found: shades of grey, of one hue, of a few neighbouring ones, or gaudy. Dark and
// light ones alternate, so that a texture always shows.
func drawScheme(n int, rng *rand.Rand) []colour {
	hue := rng.Float64()
	if rng.IntN(2) == 0 {
		hue *= 0.17 // red to yellow: most materials are warm
	}
	var spread, saturation float64
	switch kind := rng.IntN(9); {
	case kind <= 1: // greys
		spread, saturation = 1, 0.08
	case kind <= 3: // one hue, muted
		spread, saturation = 0.05, 0.5
	case kind <= 6: // neighbours
		spread, saturation = 0.25, 0.8
	default: // gaudy
		spread, saturation = 1, 1
	}
	scheme := make([]colour, n)
	light := rng.IntN(2)
	for i := range scheme {
		value := 0.08 + 0.4*rng.Float64()
		if i%2 == light {
			value = 0.62 + 0.38*rng.Float64()
		}
		scheme[i] = hsv(hue+spread*(rng.Float64()-0.5), saturation*(0.3+0.7*rng.Float64()), value)
	}
	return scheme
}

// ramp is a run of colours, looked up by a byte.
type ramp [256]colour

// gradual runs smoothly through the colours.
func gradual(stops []colour) *ramp {
	r := new(ramp)
	for i := range r {
		at := float32(i) / float32(len(r)) * float32(len(stops)-1)
		k := int(at)
		r[i] = stops[k].mix(stops[k+1], at-float32(k))
	}
	return r
}

// banded is a closed ring of bands with random widths, edges blurred over the given
// number of entries.
func banded(bands []colour, blur int, rng *rand.Rand) *ramp {
	ends := make([]float64, len(bands)) // cumulated widths
	total := 0.0
	for i := range ends {
		total += 0.3 + rng.Float64()
		ends[i] = total
	}
	sharp := new(ramp)
	band := 0
	for i := range sharp {
		for float64(i)/float64(len(sharp)) >= ends[band]/total {
			band++
		}
		sharp[i] = bands[band]
	}
	blur = min(max(blur, 1), len(sharp)/4)
	soft := new(ramp)
	for i := range soft {
		var sum colour
		for k := range blur {
			for c, v := range sharp[(i+k)%len(sharp)] {
				sum[c] += v
			}
		}
		for c, v := range sum {
			soft[i][c] = v / float32(blur)
		}
	}
	return soft
}
