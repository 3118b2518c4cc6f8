//go:build cgo

package onednn

/*
#include "program.h"
*/
import "C"

import (
	"github.com/destseg/destseg/graph"
)

// A spread is a concatenation one part of which is the same in all pixels, such
// as the pooled branch of an atrous spatial pyramid. A convolution of that part
// is a small constant for each class of pixels, told apart by the border alone:
// it is never written out, and costs next to nothing, forward and backward.
type spread struct {
	source graph.Value // N×C×1×1, what is spread
	first  int         // its channels in the concatenation
	count  int
	// rounding is what stands between the concatenation and the convolutions, or nil.
	rounding *graph.Node
}

// Limits of the kernels.
const (
	maxSpreadKernel = 16
	maxSpreadSide   = 4096
)

// spread finds concatenations with a spread part that only convolutions read.
func (f *fusion) spread(concat *graph.Node) {
	var found []spread
	var resize *graph.Node
	first := 0
	for _, v := range concat.In {
		count := v.Shape()[1]
		if source, ok := f.spreadSource(v); ok {
			found = append(found, spread{source: source, first: first, count: count})
			resize = v.Node
		}
		first += count
	}
	whole := graph.Value{Node: concat}
	read, rounding := whole, f.nextIs(whole, graph.OpQuantize)
	if rounding != nil {
		read = graph.Value{Node: rounding}
	}
	users := f.users[read]
	shape := concat.Shapes[0]
	if len(found) != 1 || len(concat.In) < 2 || f.uses[read] != len(users) || shape[2] > maxSpreadSide || shape[3] > maxSpreadSide {
		return
	}
	for _, n := range users {
		if n.In[0] != read || !spreadable(n) {
			return
		}
	}
	s := found[0]
	s.rounding = rounding
	f.spreads[whole], f.spreads[read] = s, s
	f.absorbed[resize] = true
	f.uses[s.source] += len(users) - 1
	for _, n := range users {
		if n.Op == graph.OpConv && rounding == nil {
			f.spreadGradients(s, concat, n.In[1])
		}
	}
}

// spreadSource returns what v spreads over all pixels for one user alone.
func (f *fusion) spreadSource(v graph.Value) (graph.Value, bool) {
	n := v.Node
	if n.Op != graph.OpResize || f.uses[v] != 1 {
		return graph.Value{}, false
	}
	from := n.In[0].Shape()
	return n.In[0], from[2] == 1 && from[3] == 1
}

// spreadable reports whether the kernels cover a convolution, or its gradient
// by the weights: stride 1, and a result of the operand's size.
func spreadable(n *graph.Node) bool {
	weights := n.Shapes[0]
	switch n.Op {
	case graph.OpConv:
		weights = n.In[1].Shape()
	case graph.OpConvBackwardWeights:
	default:
		return false
	}
	w := n.Window
	return w.Stride == 1 && w.Kernel <= maxSpreadKernel && 2*w.Padding == w.Dilation*(w.Kernel-1) && !isDot(weights, w)
}

// spreadGradients finds the gradient of the concatenation by a convolution, if
// it is only taken apart again and the spread part summed over pixels.
func (f *fusion) spreadGradients(s spread, concat *graph.Node, weights graph.Value) {
	for _, n := range f.users[weights] {
		d := graph.Value{Node: n}
		if n.Op != graph.OpConvBackwardData || n.In[1] != weights || !n.Shapes[0].Equal(concat.Shapes[0]) || f.uses[d] != len(f.users[d]) {
			continue
		}
		var part, sum *graph.Node
		whole := true
		for _, slice := range f.users[d] {
			first, end := slice.First, slice.First+slice.Shapes[0][1]
			switch {
			case slice.Op != graph.OpSlice:
				whole = false
			case first == s.first && end == s.first+s.count:
				part = slice
			case first < s.first+s.count && end > s.first:
				whole = false
			}
		}
		if part != nil {
			sum = f.nextIs(graph.Value{Node: part}, graph.OpResizeBackward)
		}
		if !whole || sum == nil || sum.Shapes[0].Size() != s.source.Shape().Size() {
			continue
		}
		f.spreadData[n] = s
		f.spreadSums[n] = sum
		f.absorbed[part], f.absorbed[sum] = true, true
		f.uses[d]--
	}
}

// narrowed is the shape of a value without the channels of a spread part.
func (l *lowering) narrowed(v graph.Value) graph.Shape {
	shape := v.Shape()
	s, ok := l.fusion.spreads[v]
	if !ok {
		s, ok = l.fusion.spreadData[v.Node]
	}
	if !ok {
		return shape
	}
	return graph.Shape{shape[0], shape[1] - s.count, shape[2], shape[3]}
}

// columns copies the weights of all input channels but the spread ones into a
// row-major tensor, or back.
func columns(n *graph.Node, whole, rest *tensor, s spread, back bool) []step {
	rows, taps := whole.shape[0], whole.shape[2]*whole.shape[3]
	all, kept := whole.shape[1]*taps, rest.shape[1]*taps
	var steps []step
	move := func(first, to, count int) {
		if count == 0 {
			return
		}
		a := &tensor{buf: whole.buf, shape: whole.shape, offset: whole.offset + first*taps}
		b := &tensor{buf: rest.buf, shape: rest.shape, offset: rest.offset + to*taps}
		extents := []int{rows, count * taps, all, kept}
		if back {
			a, b = b, a
			extents = []int{rows, count * taps, kept, all}
		}
		steps = append(steps, step{node: n, kernel: C.DS_COPY, operands: []*tensor{a, b}, extents: extents})
	}
	move(0, 0, s.first)
	move(s.first+s.count, s.first, whole.shape[1]-s.first-s.count)
	return steps
}

// spreadColumns views the weights of the spread channels; rows stay as far
// apart as they are.
func spreadColumns(whole *tensor, s spread) (part *tensor, stride int) {
	taps := whole.shape[2] * whole.shape[3]
	whole.buf.shared = true
	return &tensor{buf: whole.buf, shape: whole.shape, offset: whole.offset + s.first*taps}, whole.shape[1] * taps
}

// rest makes room for the weights of the other channels.
func rest(whole graph.Shape, s spread) *tensor {
	return newTensor(graph.Shape{whole[0], whole[1] - s.count, whole[2], whole[3]}, false, false)
}

// spreadSource returns what is spread, rounded if the concatenation is, in the precision
// of the convolution's result.
func (l *lowering) spreadSource(s spread) *tensor {
	if s.rounding == nil {
		return l.convolvable(s.source)
	}
	x := l.pixels(s.source)
	rounded, p := newLevels(x.shape, s.rounding), newTensor(x.shape, true, l.bf16)
	l.roundTo(s.rounding, x, rounded)
	l.dequantize(s.rounding, rounded, p)
	return p
}

// spreadForward writes the spread part's share of a convolution to y.
func (l *lowering) spreadForward(n *graph.Node, s spread, weights *tensor, y *tensor) {
	part, stride := spreadColumns(weights, s)
	shape, w := n.Shapes[0], n.Window
	taps := newTensor(graph.Shape{shape[0], w.Kernel * w.Kernel, shape[1]}, false, false)
	p := l.spreadSource(s)
	l.emit(step{
		node: n, kernel: C.DS_SPREAD, operands: []*tensor{p, part, y, taps}, bf16: p.bf16,
		extents: []int{shape[0], s.count, shape[2], shape[3], shape[1], w.Kernel, w.Padding, w.Dilation, stride},
	})
}

// windowed is the gradient of a convolution's result with that convolution's geometry: sums
// need both, since one gradient may be that of several results.
type windowed struct {
	gradient graph.Value
	window   graph.Window
}

// tapSums returns, for each picture, channel and tap, the sum of a gradient
// over the pixels at which the tap is inside.
func (l *lowering) tapSums(n *graph.Node, gradient graph.Value, dy *tensor) *tensor {
	key := windowed{gradient, n.Window}
	if sums, ok := l.sums[key]; ok {
		return sums
	}
	shape, w := gradient.Shape(), n.Window
	classes := int(C.ds_classes(C.long(w.Kernel)))
	sums := newTensor(graph.Shape{shape[0], shape[1], w.Kernel, w.Kernel}, false, false)
	byClass := newTensor(graph.Shape{shape[0], classes * classes, shape[1]}, false, false)
	l.emit(step{
		node: n, kernel: C.DS_TAP_SUMS, operands: []*tensor{dy, sums, byClass}, bf16: dy.bf16,
		extents: []int{shape[0], shape[2], shape[3], shape[1], w.Kernel, w.Padding, w.Dilation, dy.ld},
	})
	l.sums[key] = sums
	return sums
}

// spreadBackwardData gives the gradient of what was spread.
func (l *lowering) spreadBackwardData(n *graph.Node, s spread, weights, dy *tensor) {
	part, stride := spreadColumns(weights, s)
	sums := l.tapSums(n, n.In[0], dy)
	dp := l.result(graph.Value{Node: l.fusion.spreadSums[n]})
	l.emit(step{
		node: n, kernel: C.DS_SPREAD_DATA, operands: []*tensor{sums, part, dp}, bf16: dp.bf16,
		extents: []int{dp.shape[0], s.count, sums.shape[1], n.Window.Kernel * n.Window.Kernel, stride},
	})
}

// spreadBackwardWeights fills the spread channels' part of dw.
func (l *lowering) spreadBackwardWeights(n *graph.Node, s spread, dy, dw *tensor) {
	part, stride := spreadColumns(dw, s)
	sums := l.tapSums(n, n.In[1], dy)
	p := l.convolvable(s.source)
	l.emit(step{
		node: n, kernel: C.DS_SPREAD_WEIGHTS, operands: []*tensor{p, sums, part}, bf16: p.bf16,
		extents: []int{p.shape[0], s.count, sums.shape[1], n.Window.Kernel * n.Window.Kernel, stride},
	})
}
