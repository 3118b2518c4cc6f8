package plain

import (
	"math"

	"github.com/destseg/destseg/graph"
)

// stripSize is how many pixels the cosine operations take at once.
const stripSize = 64

// strips calls f for strips of pixels that cover a batch; at is the index of
// channel 0 of the strip's first pixel, and mean that of a tensor with one
// channel.
func (c crew) strips(s graph.Shape, f func(at, mean, count int)) {
	pixels := s[2] * s[3]
	each := (pixels + stripSize - 1) / stripSize
	c.each(s[0]*each, func(_, i int) {
		batch, first := i/each, i%each*stripSize
		f(batch*s[1]*pixels+first, batch*pixels+first, min(stripSize, pixels-first))
	})
}

// cosine is OpCosine.
func (c *compiler[T]) cosine(n *graph.Node, in, out [][]T) func() {
	a, b, product, similarity := in[0], in[1], out[0], out[1]
	s := n.In[0].Shape()
	pixels := s[2] * s[3]
	return func() {
		c.crew.strips(s, func(at, single, count int) {
			var aa, bb, ab [stripSize]float64
			for channel := range s[1] {
				from := at + channel*pixels
				for i, v := range a[from : from+count] {
					x, y := float64(v), float64(b[from+i])
					aa[i] += x * x
					bb[i] += y * y
					ab[i] += x * y
				}
			}
			var factor [stripSize]float64
			for i := range count {
				factor[i] = 1 / ((math.Sqrt(aa[i]) + n.Alpha) * (math.Sqrt(bb[i]) + n.Alpha))
				if similarity != nil {
					similarity[single+i] = T(ab[i] * factor[i])
				}
			}
			if product == nil {
				return
			}
			for channel := range s[1] {
				from := at + channel*pixels
				for i, v := range a[from : from+count] {
					product[from+i] = T(float64(v) * float64(b[from+i]) * factor[i])
				}
			}
		})
	}
}

// cosineBackward is OpCosineBackward. With g = dproduct + dsimilarity for each
// channel, f = 1/((‖a‖+ε)·(‖b‖+ε)) and s = Σ g·a·b over channels,
// da = f·(g·b − a·s/(‖a‖·(‖a‖+ε))); db likewise. The norm's derivative is taken
// as 0 where the norm is 0.
func (c *compiler[T]) cosineBackward(n *graph.Node, in, out [][]T) func() {
	a, b, dproduct, dsimilarity := in[0], in[1], in[2], in[3]
	da, db := out[0], out[1]
	s := n.In[0].Shape()
	pixels := s[2] * s[3]
	return func() {
		c.crew.strips(s, func(at, single, count int) {
			var common [stripSize]float64
			if dsimilarity != nil {
				convert(common[:count], dsimilarity[single:single+count])
			}
			gradient := func(from, i int) float64 {
				g := common[i]
				if dproduct != nil {
					g += float64(dproduct[from+i])
				}
				return g
			}
			var aa, bb, gab [stripSize]float64
			for channel := range s[1] {
				from := at + channel*pixels
				for i := range count {
					x, y := float64(a[from+i]), float64(b[from+i])
					aa[i] += x * x
					bb[i] += y * y
					gab[i] += gradient(from, i) * x * y
				}
			}
			var factor, pullA, pullB [stripSize]float64
			for i := range count {
				na, nb := math.Sqrt(aa[i]), math.Sqrt(bb[i])
				factor[i] = 1 / ((na + n.Alpha) * (nb + n.Alpha))
				if na > 0 {
					pullA[i] = gab[i] / (na * (na + n.Alpha))
				}
				if nb > 0 {
					pullB[i] = gab[i] / (nb * (nb + n.Alpha))
				}
			}
			for channel := range s[1] {
				from := at + channel*pixels
				for i := range count {
					x, y, g := float64(a[from+i]), float64(b[from+i]), gradient(from, i)
					if da != nil {
						da[from+i] = T(factor[i] * (g*y - x*pullA[i]))
					}
					if db != nil {
						db[from+i] = T(factor[i] * (g*x - y*pullB[i]))
					}
				}
			}
		})
	}
}
