package plain

import (
	"math"

	"github.com/destseg/destseg/graph"
)

// A tap is one term of a weighted sum.
type tap struct {
	at     int
	weight float64
}

// linear returns the two source pixels that each target pixel lies between
// when size pixels become target pixels. Centres lie at half pixels, and
// positions beyond the outer centres move onto them.
func linear(size, target int) [][2]tap {
	taps := make([][2]tap, target)
	for i := range taps {
		at := max((float64(i)+0.5)*float64(size)/float64(target)-0.5, 0)
		first := min(int(math.Floor(at)), size-1)
		second := min(first+1, size-1)
		weight := at - float64(first)
		taps[i] = [2]tap{{first, 1 - weight}, {second, weight}}
	}
	return taps
}

// linearTransposed returns the target pixels that each source pixel reaches.
func linearTransposed(size, target int) [][]tap {
	taps := make([][]tap, size)
	for i, both := range linear(size, target) {
		for _, t := range both {
			if t.weight != 0 {
				taps[t.at] = append(taps[t.at], tap{i, t.weight})
			}
		}
	}
	return taps
}

// resize is OpResize.
func (c *compiler[T]) resize(n *graph.Node, in, out [][]T) func() {
	xs, ys := n.In[0].Shape(), n.Shapes[0]
	rows, cols := linear(xs[2], ys[2]), linear(xs[3], ys[3])
	planes := xs[0] * xs[1]
	return func() {
		c.crew.each(planes, func(_, i int) {
			x, y := part(in[0], i, planes), part(out[0], i, planes)
			for _, r := range rows {
				upper, lower := x[r[0].at*xs[3]:][:xs[3]], x[r[1].at*xs[3]:][:xs[3]]
				for j, t := range cols {
					up := t[0].weight*float64(upper[t[0].at]) + t[1].weight*float64(upper[t[1].at])
					low := t[0].weight*float64(lower[t[0].at]) + t[1].weight*float64(lower[t[1].at])
					y[j] = T(r[0].weight*up + r[1].weight*low)
				}
				y = y[ys[3]:]
			}
		})
	}
}

// resizeBackward is OpResizeBackward.
func (c *compiler[T]) resizeBackward(n *graph.Node, in, out [][]T) func() {
	ys, xs := n.In[0].Shape(), n.Shapes[0]
	rows, cols := linearTransposed(xs[2], ys[2]), linearTransposed(xs[3], ys[3])
	planes := xs[0] * xs[1]
	return func() {
		c.crew.each(planes, func(_, i int) {
			dy, dx := part(in[0], i, planes), part(out[0], i, planes)
			for y, rowTaps := range rows {
				for x, colTaps := range cols {
					sum := 0.0
					for _, r := range rowTaps {
						d := dy[r.at*ys[3]:][:ys[3]]
						across := 0.0
						for _, t := range colTaps {
							across += t.weight * float64(d[t.at])
						}
						sum += r.weight * across
					}
					dx[y*xs[3]+x] = T(sum)
				}
			}
		})
	}
}
