package plain

import "github.com/destseg/destseg/graph"

// A lattice says which pixel of a source picture meets which pixel of a target
// picture under each tap of a window.
type lattice struct {
	kernel, channels int // of the source
	height, width    int // of the source
	targetH, targetW int
	rows, cols       []int // source row or column by tap and target row or column; −1 for none
}

// forward is the lattice of a convolution: source is x, target is y.
func forward(win graph.Window, x, y graph.Shape) *lattice {
	place := func(tap, target, size int) int {
		if s := target*win.Stride - win.Padding + tap*win.Dilation; s >= 0 && s < size {
			return s
		}
		return -1
	}
	return newLattice(win.Kernel, x, y, place)
}

// transposed is the lattice that leads back: source is dy, target is dx.
func transposed(win graph.Window, dy, dx graph.Shape) *lattice {
	place := func(tap, target, size int) int {
		s := target + win.Padding - tap*win.Dilation
		if s >= 0 && s%win.Stride == 0 && s/win.Stride < size {
			return s / win.Stride
		}
		return -1
	}
	return newLattice(win.Kernel, dy, dx, place)
}

func newLattice(kernel int, source, target graph.Shape, place func(tap, target, size int) int) *lattice {
	l := &lattice{
		kernel: kernel, channels: source[1], height: source[2], width: source[3], targetH: target[2], targetW: target[3],
	}
	for tap := range kernel {
		for y := range l.targetH {
			l.rows = append(l.rows, place(tap, y, l.height))
		}
		for x := range l.targetW {
			l.cols = append(l.cols, place(tap, x, l.width))
		}
	}
	return l
}

// place is the index in a source plane of the pixel under a tap at a target
// pixel, or −1.
func (l *lattice) place(tap, target int) int {
	r := l.rows[tap/l.kernel*l.targetH+target/l.targetW]
	c := l.cols[tap%l.kernel*l.targetW+target%l.targetW]
	if r < 0 || c < 0 {
		return -1
	}
	return r*l.width + c
}

// places finds, for target pixels from to to (counted through the batch), the
// index in channel 0 of the source pixel under a tap, or −1. It returns false
// if there is none at all.
func (l *lattice) places(places []int, tap, from, to int) bool {
	rows := l.rows[tap/l.kernel*l.targetH:][:l.targetH]
	cols := l.cols[tap%l.kernel*l.targetW:][:l.targetW]
	pixels := l.targetH * l.targetW
	batch, y, x := from/pixels, from%pixels/l.targetW, from%l.targetW
	found := false
	for i := range places[:to-from] {
		places[i] = -1
		if r, c := rows[y], cols[x]; r >= 0 && c >= 0 {
			places[i] = (batch*l.channels*l.height+r)*l.width + c
			found = true
		}
		if x++; x == l.targetW {
			x, y = 0, y+1
			if y == l.targetH {
				y, batch = 0, batch+1
			}
		}
	}
	return found
}

// gatherDepth is how many channels gatherPixels takes at a time.
const gatherDepth = 8

// gatherPixels gathers a right matrix with taps × channels down and target
// pixels across.
func gatherPixels[T real](l *lattice, source []T) func(to []T, places []int, k0, k1, j0, j1 int) bool {
	plane := l.height * l.width
	return func(to []T, places []int, k0, k1, j0, j1 int) bool {
		if !l.places(places, k0/l.channels, j0, j1) {
			return false
		}
		places = places[:j1-j0]
		depth, first := k1-k0, k0%l.channels
		// A few channels at a time, since planes of the same pixel tend to
		// share a set of the cache.
		for k := 0; k < depth; k += gatherDepth {
			count := min(gatherDepth, depth-k)
			for j := 0; j < len(places); j += tileCols {
				strip := to[j*depth+k*tileCols:][:count*tileCols]
				for col := range tileCols {
					if j+col >= len(places) || places[j+col] < 0 {
						for i := col; i < len(strip); i += tileCols {
							strip[i] = 0
						}
						continue
					}
					from := places[j+col] + (first+k)*plane
					for i := col; i < len(strip); i += tileCols {
						strip[i] = source[from]
						from += plane
					}
				}
			}
		}
		return true
	}
}

// gatherTaps gathers a right matrix with target pixels down and taps ×
// channels across.
func gatherTaps[T real](l *lattice, source []T) func(to []T, places []int, k0, k1, j0, j1 int) bool {
	plane := l.height * l.width
	return func(to []T, places []int, k0, k1, j0, j1 int) bool {
		if !l.places(places, j0/l.channels, k0, k1) {
			return false
		}
		places = places[:k1-k0]
		depth := k1 - k0
		first := j0 % l.channels * plane
		for j := 0; j < j1-j0; j += tileCols {
			strip := to[j*depth:][:depth*tileCols]
			count := min(tileCols, j1-j0-j)
			if count < tileCols {
				clear(strip)
			}
			for col := range count {
				shift := first + (j+col)*plane
				for k, place := range places {
					var v T
					if place >= 0 {
						v = source[place+shift]
					}
					strip[k*tileCols+col] = v
				}
			}
		}
		return true
	}
}

// convolution is OpConv.
func (c *compiler[T]) convolution(n *graph.Node, in, out [][]T) func() {
	xs, ws, ys := n.In[0].Shape(), n.In[1].Shape(), n.Shapes[0]
	l := forward(n.Window, xs, ys)
	taps, pixels := ws[2]*ws[3], ys[2]*ys[3]
	p := &product[T]{
		rows: ys[1], cols: extent{ys[0] * pixels, ys[0] * pixels}, depth: extent{taps * xs[1], xs[1]},
		left: view{row: xs[1] * taps, inner: xs[1], outer: 1, step: taps},
		out:  view{row: pixels, inner: pixels, outer: ys[1] * pixels, step: 1},
	}
	p.gather = gatherPixels(l, in[0])
	c.work.reserve(p)
	var bias []T
	if len(in) == 3 {
		bias = in[2]
	}
	return func() { p.run(c.crew, c.work, out[0], in[1], bias) }
}

// convolutionBackwardData is OpConvBackwardData.
func (c *compiler[T]) convolutionBackwardData(n *graph.Node, in, out [][]T) func() {
	ys, ws, xs := n.In[0].Shape(), n.In[1].Shape(), n.Shapes[0]
	l := transposed(n.Window, ys, xs)
	taps, pixels := ws[2]*ws[3], xs[2]*xs[3]
	p := &product[T]{
		rows: xs[1], cols: extent{xs[0] * pixels, xs[0] * pixels}, depth: extent{taps * ys[1], ys[1]},
		left: view{row: taps, inner: ys[1], outer: 1, step: xs[1] * taps},
		out:  view{row: pixels, inner: pixels, outer: xs[1] * pixels, step: 1},
	}
	p.gather = gatherPixels(l, in[0])
	c.work.reserve(p)
	return func() { p.run(c.crew, c.work, out[0], in[1], nil) }
}

// convolutionBackwardWeights is OpConvBackwardWeights.
func (c *compiler[T]) convolutionBackwardWeights(n *graph.Node, in, out [][]T) func() {
	xs, ys, ws := n.In[0].Shape(), n.In[1].Shape(), n.Shapes[0]
	l := forward(n.Window, xs, ys)
	taps, pixels := ws[2]*ws[3], ys[2]*ys[3]
	p := &product[T]{
		rows: ys[1], cols: extent{taps * xs[1], xs[1]}, depth: extent{ys[0] * pixels, ys[0] * pixels},
		left: view{row: pixels, inner: pixels, outer: ys[1] * pixels, step: 1},
		out:  view{row: xs[1] * taps, inner: xs[1], outer: 1, step: taps},
	}
	p.gather = gatherTaps(l, in[0])
	c.work.reserve(p)
	return func() { p.run(c.crew, c.work, out[0], in[1], nil) }
}
