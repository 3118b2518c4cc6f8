package plain

import (
	"math"

	"github.com/destseg/destseg/graph"
)

// maxPool is OpMaxPool. place holds the number of the winning tap, counted
// row by row through the window, or −1 if the window lies in the padding.
// Of equal values the first wins.
func (c *compiler[T]) maxPool(n *graph.Node, in, out [][]T) func() {
	xs, ys := n.In[0].Shape(), n.Shapes[0]
	l := forward(n.Window, xs, ys)
	return func() {
		c.crew.each(xs[0]*xs[1], func(_, i int) {
			x := part(in[0], i, xs[0]*xs[1])
			for j := range ys[2] * ys[3] {
				best, place := T(math.Inf(-1)), -1
				for tap := range l.kernel * l.kernel {
					if p := l.place(tap, j); p >= 0 {
						// A NaN wins, so that it isn't lost.
						if v := x[p]; place < 0 || v > best || v != v {
							best, place = v, tap
						}
					}
				}
				at := i*ys[2]*ys[3] + j
				if out[0] != nil {
					out[0][at] = best
				}
				if out[1] != nil {
					out[1][at] = T(place)
				}
			}
		})
	}
}

// maxPoolBackward is OpMaxPoolBackward.
func (c *compiler[T]) maxPoolBackward(n *graph.Node, in, out [][]T) func() {
	ys, xs := n.In[1].Shape(), n.Shapes[0]
	l := forward(n.Window, xs, ys)
	planes := xs[0] * xs[1]
	return func() {
		c.crew.each(planes, func(_, i int) {
			dx, place := part(out[0], i, planes), part(in[0], i, planes)
			clear(dx)
			for j, d := range part(in[1], i, planes) {
				if place[j] >= 0 {
					dx[l.place(int(place[j]), j)] += d
				}
			}
		})
	}
}

// meanPool is OpMeanPool.
func (c *compiler[T]) meanPool(n *graph.Node, in, out [][]T) func() {
	planes := len(out[0])
	return func() {
		c.crew.each(planes, func(_, i int) {
			x, sum := part(in[0], i, planes), 0.0
			for _, v := range x {
				sum += float64(v)
			}
			out[0][i] = T(sum / float64(len(x)))
		})
	}
}

// meanPoolBackward is OpMeanPoolBackward.
func (c *compiler[T]) meanPoolBackward(n *graph.Node, in, out [][]T) func() {
	planes := len(in[0])
	return func() {
		c.crew.each(planes, func(_, i int) {
			dx := part(out[0], i, planes)
			fill(dx, in[0][i]/T(len(dx)))
		})
	}
}
