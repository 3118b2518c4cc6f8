//go:build cgo

package onednn

/*
#include "program.h"
*/
import "C"

import "github.com/destseg/destseg/graph"

// inIntegers reports whether a convolution multiplies levels: unsigned ones by those of
// weights that stay the same from run to run.
func (f *fusion) inIntegers(conv *graph.Node) bool {
	x, w := conv.In[0].Node, conv.In[1].Node
	if len(conv.In) == 3 && !f.constant(conv.In[2]) {
		return false
	}
	return f.integers && x.Op == graph.OpQuantize && x.First == 0 &&
		w.Op == graph.OpQuantizeWeights && f.constant(conv.In[1]) && f.uses[conv.In[1]] == 1 &&
		!isDot(conv.In[1].Shape(), conv.Window)
}

// join lets the parts of a concatenation be rounded instead of the whole.
func (f *fusion) join(rounding *graph.Node) {
	whole := rounding.In[0]
	concat := whole.Node
	if concat.Op != graph.OpConcat || f.uses[whole] != 1 {
		return
	}
	f.joins[rounding] = concat
	f.absorbed[concat] = true
	for _, v := range concat.In {
		if f.uses[v] == 1 {
			f.parts[v] = rounding
		}
	}
}

// rounding returns the rounding of v, which a chain has led to, if a convolution gives
// levels straight away: its sums are exact, and so must be what is added to them.
func (f *fusion) rounding(c *chain, v graph.Value) *graph.Node {
	if c.conv == nil || !f.inIntegers(c.conv) {
		return nil
	}
	if _, ok := f.spreads[c.conv.In[0]]; ok {
		return nil
	}
	if !c.residual.IsNone() && c.residual.Node.Op != graph.OpQuantize {
		return nil
	}
	if q := f.parts[v]; q != nil {
		return q
	}
	return f.nextIs(v, graph.OpQuantize)
}

// newLevels makes a tensor for what a node rounds.
func newLevels(shape graph.Shape, rounding *graph.Node) *tensor {
	t := newTensor(shape, true, false)
	t.levels = levelsOf(rounding)
	t.buf.bytes = shape.Size()
	return t
}

func levelsOf(rounding *graph.Node) *levels { return &levels{rounding.Alpha, rounding.First} }

// levels returns a rounded operand as it is held.
func (l *lowering) levels(v graph.Value) *tensor {
	l.fusion.uses[v]--
	return l.values[v]
}

// numbers returns what levels stand for.
func (l *lowering) numbers(v graph.Value, t *tensor) *tensor {
	if c, ok := l.converted[v]; ok {
		return c
	}
	c := newTensor(t.shape, true, l.inBF16(t.shape))
	c.buf.shared = true
	l.converted[v] = c
	l.dequantize(v.Node, t, c)
	return c
}

func (l *lowering) dequantize(n *graph.Node, from, to *tensor) {
	l.emit(step{
		node: n, kernel: C.DS_DEQUANTIZE, operands: []*tensor{from, to}, bf16: to.bf16,
		extents: []int{from.pixels(), from.channels(), from.ld, to.ld, from.levels.lowest}, constants: [2]float64{from.levels.step},
	})
}

// roundTo writes the levels of numbers, or copies levels as they are.
func (l *lowering) roundTo(n *graph.Node, x, y *tensor) {
	if x.levels == nil {
		l.emit(step{
			node: n, kernel: C.DS_QUANTIZE, operands: []*tensor{x, y}, bf16: x.bf16,
			extents: []int{x.pixels(), x.channels(), x.ld, y.ld, y.levels.lowest}, constants: [2]float64{y.levels.step},
		})
		return
	}
	l.emit(step{
		node: n, kernel: C.DS_COPY_LEVELS, operands: []*tensor{x, y},
		extents: []int{x.pixels(), x.channels(), x.ld, y.ld},
	})
}

// quantize rounds what its producer could not.
func (l *lowering) quantize(n *graph.Node) {
	v := graph.Value{Node: n}
	y := newLevels(l.narrowed(v), n)
	concat := l.fusion.joins[n]
	if concat == nil {
		l.roundTo(n, l.pixels(n.In[0]), y)
		l.values[v] = y
		return
	}
	first := 0
	s, spread := l.fusion.spreads[v]
	for _, in := range concat.In {
		if spread && first == s.first {
			spread = false // takes no room
			continue
		}
		x := l.values[in]
		if x.levels != nil && *x.levels == *y.levels {
			x = l.levels(in)
		} else {
			x = l.pixels(in)
		}
		l.roundTo(n, x, y.slice(first, in.Shape()))
		first += in.Shape()[1]
	}
	y.buf.shared = false // its parts are written, and nothing else reads them
	l.values[v] = y
}

// quantizeWeights is for weights that no convolution takes as levels.
func (l *lowering) quantizeWeights(n *graph.Node) {
	w, frozen := l.weights(n.In[0])
	y := l.plain(graph.Value{Node: n})
	y.buf.shared = frozen // by all runs
	l.emitTo(frozen, l.rounded(n, w, y)...)
}

// rounded rounds weights to the levels of each output channel.
func (l *lowering) rounded(n *graph.Node, w, to *tensor) []step {
	sizes := newTensor(w.shape[:1], false, false)
	extents := []int{w.shape[0], w.shape.Size() / w.shape[0]}
	return []step{
		{node: n, kernel: C.DS_WEIGHT_SIZES, operands: []*tensor{w, sizes}, extents: extents},
		{node: n, kernel: C.DS_ROUND_WEIGHTS, operands: []*tensor{w, sizes, to}, extents: extents},
	}
}

// integers are what a convolution in integers takes besides its source.
type integers struct {
	weights, bias, factors *tensor
	whole                  *tensor // all weights as rounded numbers, for a spread part
}

// integers prepares them for a result in a unit of that size. A batch norm goes into
// factors and bias, so that the levels are those of the weights themselves.
func (l *lowering) integers(c *chain, s *C.dnn_conv_spec, p *C.dnn_primitive, unit float64) (integers, error) {
	n := c.conv
	var made integers
	filter, _ := l.weights(n.In[1].Node.In[0])
	out := filter.shape[0]
	all := newTensor(filter.shape, false, false)
	rounding := l.rounded(n, filter, all)
	sizes := rounding[0].operands[1]
	part, isSpread := l.fusion.spreads[n.In[0]]
	if isSpread {
		l.prepare = append(l.prepare, rounding...)
		made.whole = all
		if c.norm != nil {
			made.whole, _ = l.fold(all, c.norm)
		}
		whole := filter
		filter = rest(whole.shape, part)
		l.prepare = append(l.prepare, columns(n, whole, filter, part, false)...)
	} else {
		l.prepare = append(l.prepare, rounding[0])
	}
	layout, err := l.layoutOf(s, p)
	if err != nil {
		return made, err
	}
	made.weights = packed(p)
	made.bias, made.factors = newTensor(graph.Shape{out}, false, false), newTensor(graph.Shape{out}, false, false)
	l.prepare = append(l.prepare, step{
		node: n, kernel: C.DS_PACK_LEVELS, operands: []*tensor{filter, made.weights, nil, sizes}, places: layout.places,
		extents: append(layout.extents, layout.clear),
	})
	var shift *tensor
	if c.norm != nil {
		sizes, shift = l.fold(sizes, c.norm)
	}
	if len(n.In) == 3 {
		shift, _ = l.weights(n.In[2])
	}
	l.prepare = append(l.prepare, step{
		node: n, kernel: C.DS_FACTORS, operands: []*tensor{sizes, shift, made.factors, made.bias},
		extents: []int{out}, constants: [2]float64{n.In[0].Node.Alpha, unit},
	})
	return made, nil
}

// convolveIntegers is convolve for levels. Sums of their products are exact; they become
// numbers, or levels again, while they are in the registers.
func (l *lowering) convolveIntegers(c *chain, v graph.Value) error {
	n := c.conv
	part, isSpread := l.fusion.spreads[n.In[0]]
	s := l.specOf(C.DNN_FORWARD, l.narrowed(n.In[0]), n.Shapes[0], n.In[1].Shape(), n.Window)
	s.integer, s.factors, s.bias = 1, 1, 1
	s.sum = flag(!c.residual.IsNone() || isSpread)
	s.relu = flag(c.relu)
	unit := 1.0
	if c.rounding != nil {
		unit = c.rounding.Alpha
		s.dst = levelType(levelsOf(c.rounding))
		if !c.residual.IsNone() {
			from := l.values[c.residual].levels
			s.sum_type, s.sum_scale = levelType(from), C.float(from.step/unit)
		}
	}
	p, err := l.newConvolution(&s)
	if err != nil {
		return err
	}
	x := l.levels(n.In[0])
	with, err := l.integers(c, &s, p, unit)
	if err != nil {
		return err
	}
	run := func(y *tensor) {
		l.emit(step{node: n, primitive: p, conv: &s, operands: []*tensor{x, with.weights, with.bias, y, with.factors}})
	}
	if isSpread {
		l.convolveSpread(c, v, part, with.whole, run)
		return nil
	}
	if c.rounding == nil {
		l.convolveOnto(c, v, x, run)
		return nil
	}
	y := newLevels(v.Shape(), c.rounding)
	if !c.residual.IsNone() {
		residual := l.levels(c.residual)
		if l.fusion.uses[c.residual] == 0 && residual.buf != x.buf && !residual.buf.shared && residual.dense() {
			y.buf = residual.buf
		} else {
			l.roundTo(n, residual, y)
		}
	}
	l.values[v] = y
	run(y)
	return nil
}

func levelType(l *levels) C.int {
	if l.lowest < 0 {
		return C.DNN_S8
	}
	return C.DNN_U8
}
