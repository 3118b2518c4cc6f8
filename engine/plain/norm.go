package plain

import (
	"math"

	"github.com/destseg/destseg/graph"
)

// batchNorm is OpBatchNorm.
func (c *compiler[T]) batchNorm(n *graph.Node, in, out [][]T) func() {
	x, scale, shift, mean, variance := in[0], in[1], in[2], in[3], in[4]
	s := n.Shapes[0]
	return func() {
		c.crew.each(s[1], func(_, i int) {
			factor := float64(scale[i]) / math.Sqrt(float64(variance[i])+n.Alpha)
			offset := float64(shift[i]) - float64(mean[i])*factor
			normalise(out[0], x, s, i, factor, offset)
		})
	}
}

// batchNormTrain is OpBatchNormTrain.
func (c *compiler[T]) batchNormTrain(n *graph.Node, in, out [][]T) func() {
	x, scale, shift := in[0], in[1], in[2]
	s := n.Shapes[0]
	count := float64(s[0] * s[2] * s[3])
	return func() {
		c.crew.each(s[1], func(_, i int) {
			sum := 0.0
			for b := range s[0] {
				for _, v := range plane(x, s, b, i) {
					sum += float64(v)
				}
			}
			mean, squares := sum/count, 0.0
			for b := range s[0] {
				for _, v := range plane(x, s, b, i) {
					d := float64(v) - mean
					squares += d * d
				}
			}
			variance := squares / count
			if out[0] != nil {
				factor := float64(scale[i]) / math.Sqrt(variance+n.Alpha)
				normalise(out[0], x, s, i, factor, float64(shift[i])-mean*factor)
			}
			if out[1] != nil {
				out[1][i] = T(mean)
			}
			if out[2] != nil {
				out[2][i] = T(variance)
			}
		})
	}
}

// normalise writes factor·x+offset for one channel.
func normalise[T real](y, x []T, s graph.Shape, channel int, factor, offset float64) {
	for b := range s[0] {
		to := plane(y, s, b, channel)
		for i, v := range plane(x, s, b, channel) {
			to[i] = T(float64(v)*factor + offset)
		}
	}
}

// batchNormBackward is OpBatchNormBackward. With x̂ = (x−mean)/deviation and
// M values in a channel, dx = scale/deviation · (dy − (Σdy + x̂·Σdy·x̂)/M).
func (c *compiler[T]) batchNormBackward(n *graph.Node, in, out [][]T) func() {
	x, dy, scale, mean, variance := in[0], in[1], in[2], in[3], in[4]
	s := n.In[0].Shape()
	count := float64(s[0] * s[2] * s[3])
	return func() {
		c.crew.each(s[1], func(_, i int) {
			inverse := 1 / math.Sqrt(float64(variance[i])+n.Alpha)
			centre := float64(mean[i])
			var dshift, dscale float64
			for b := range s[0] {
				d := plane(dy, s, b, i)
				for j, v := range plane(x, s, b, i) {
					dshift += float64(d[j])
					dscale += float64(d[j]) * (float64(v) - centre)
				}
			}
			dscale *= inverse
			if out[0] != nil {
				factor := float64(scale[i]) * inverse
				slope := dscale * inverse / count
				for b := range s[0] {
					d, to := plane(dy, s, b, i), plane(out[0], s, b, i)
					for j, v := range plane(x, s, b, i) {
						to[j] = T(factor * (float64(d[j]) - dshift/count - (float64(v)-centre)*slope))
					}
				}
			}
			if out[1] != nil {
				out[1][i] = T(dscale)
			}
			if out[2] != nil {
				out[2][i] = T(dshift)
			}
		})
	}
}
