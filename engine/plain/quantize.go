package plain

import (
	"math"

	"github.com/destseg/destseg/graph"
)

// levels is how many values 8 bits tell apart.
const levels = 256

// largestWeight is the highest level of a weight; the lowest is its negative.
const largestWeight = 127

// quantize is OpQuantize.
func (c *compiler[T]) quantize(n *graph.Node, in, out [][]T) func() {
	x, y := in[0], out[0]
	step, low, high := n.Alpha, float64(n.First), float64(n.First+levels-1)
	return func() {
		c.crew.pieces(len(x), func(from, to int) {
			for i := from; i < to; i++ {
				level := math.RoundToEven(float64(x[i]) / step)
				if !(level >= low) { // or not a number
					level = low
				}
				y[i] = T(step * min(level, high))
			}
		})
	}
}

// quantizeWeights is OpQuantizeWeights.
func (c *compiler[T]) quantizeWeights(n *graph.Node, in, out [][]T) func() {
	outputs := n.Shapes[0][0]
	return func() {
		c.crew.each(outputs, func(_, o int) {
			w, to := part(in[0], o, outputs), part(out[0], o, outputs)
			most := 0.0
			for _, v := range w {
				most = max(most, math.Abs(float64(v)))
			}
			step := most / largestWeight
			for i, v := range w {
				to[i] = 0
				if step > 0 {
					to[i] = T(step * math.RoundToEven(float64(v)/step))
				}
			}
		})
	}
}
