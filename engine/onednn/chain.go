//go:build cgo

package onednn

/*
#include "program.h"
*/
import "C"

import (
	"github.com/destseg/destseg/graph"
)

// chain emits the steps of a chain whose last value is v.
func (l *lowering) chain(c *chain, v graph.Value) error {
	if c.conv == nil {
		l.applyNorm(c, v)
		return nil
	}
	if isDot(c.conv.In[1].Shape(), c.conv.Window) {
		l.dot(c.conv, v)
		return nil
	}
	if l.fusion.inIntegers(c.conv) {
		return l.convolveIntegers(c, v)
	}
	return l.convolve(c, v)
}

// statistics emits mean and variance of a training batch norm's operand.
func (l *lowering) statistics(n *graph.Node) {
	x := l.pixels(n.In[0])
	l.fusion.uses[n.In[0]]++ // the norm itself comes later
	l.channels = max(l.channels, x.channels())
	mean, variance := l.result(graph.Value{Node: n, Index: 1}), l.result(graph.Value{Node: n, Index: 2})
	mean.buf.shared, variance.buf.shared = true, true // with the norm itself
	l.emit(step{
		node: n, kernel: C.DS_STATS, bf16: x.bf16, extents: []int{x.pixels(), x.channels(), x.ld},
		operands: []*tensor{x, mean, variance},
	})
}

func (l *lowering) applyNorm(c *chain, v graph.Value) {
	n := c.norm
	x := l.pixels(n.In[0])
	operands := []*tensor{x, l.use(n.In[1]), l.use(n.In[2])}
	if n.Op == graph.OpBatchNormTrain {
		operands = append(operands, l.values[graph.Value{Node: n, Index: 1}], l.values[graph.Value{Node: n, Index: 2}])
	} else {
		operands = append(operands, l.use(n.In[3]), l.use(n.In[4]))
	}
	residual, stride := l.pixels(c.residual), 0
	if residual != nil {
		stride = residual.ld
	}
	y := l.result(v)
	l.emit(step{
		node: n, kernel: C.DS_NORM, operands: append(operands, residual, y), bf16: x.bf16, relu: c.relu,
		extents: []int{x.pixels(), x.channels(), x.ld, stride, y.ld}, constants: [2]float64{n.Alpha},
	})
}

func (l *lowering) normBackward(n *graph.Node) {
	x := l.pixels(n.In[0])
	gradient, stride := n.In[1], 0
	var y *tensor
	if mask := l.fusion.masks[n]; mask != nil {
		y = l.pixels(mask.In[0])
		stride = y.ld
		gradient = mask.In[1]
	}
	dy := l.pixels(gradient)
	operands := []*tensor{x, dy, y, l.use(n.In[2]), l.use(n.In[3]), l.use(n.In[4]), nil, nil}
	target := 0
	if v := (graph.Value{Node: n}); l.fusion.uses[v] > 0 {
		operands[6] = l.takeOver(v, gradient, dy)
		target = operands[6].ld
	}
	channels := x.channels()
	parameters := newTensor(graph.Shape{2, channels}, false, false)
	parameters.buf.shared = true
	operands[7] = parameters
	for i := range 2 {
		l.values[graph.Value{Node: n, Index: 1 + i}] = &tensor{buf: parameters.buf, shape: graph.Shape{channels}, offset: i * channels}
	}
	l.channels = max(l.channels, channels)
	l.emit(step{
		node: n, kernel: C.DS_NORM_BACKWARD, operands: operands, bf16: x.bf16, relu: y != nil,
		extents: []int{x.pixels(), channels, x.ld, dy.ld, stride, target}, constants: [2]float64{n.Alpha},
	})
}

// dot is a convolution to a single channel.
func (l *lowering) dot(n *graph.Node, v graph.Value) {
	x := l.pixels(n.In[0])
	operands := []*tensor{x, l.use(n.In[1]), nil, nil}
	if len(n.In) == 3 {
		operands[2] = l.use(n.In[2])
	}
	operands[3] = l.result(v)
	l.emit(step{node: n, kernel: C.DS_DOT, operands: operands, extents: []int{x.pixels(), x.channels(), x.ld}, bf16: x.bf16})
}

// specOf describes a convolution x → y for oneDNN.
func (l *lowering) specOf(kind C.int, x, y, weights graph.Shape, w graph.Window) C.dnn_conv_spec {
	return C.dnn_conv_spec{
		kind: kind,
		n:    C.long(x[0]), c: C.long(x[1]), h: C.long(x[2]), w: C.long(x[3]),
		o: C.long(y[1]), p: C.long(y[2]), q: C.long(y[3]),
		kernel: C.long(weights[2]), stride: C.long(w.Stride), padding: C.long(w.Padding), dilation: C.long(w.Dilation),
		bf16: flag(l.bf16),
	}
}

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

func (l *lowering) newConvolution(s *C.dnn_conv_spec) (*C.dnn_primitive, error) {
	var p *C.dnn_primitive
	if err := check(C.dnn_conv_create(l.context, s, &p), "convolution"); err != nil {
		return nil, err
	}
	l.own(p)
	return p, nil
}

// newBackward is newConvolution for a backward pass, and tells whether that takes
// activations in blocks of channels. In fp32 oneDNN's code for AVX-512 runs a fifth
// to a third faster on these than on pixels; where enough is computed with each number,
// that is worth bringing them into blocks and back.
func (l *lowering) newBackward(s *C.dnn_conv_spec) (p *C.dnn_primitive, blocks bool, err error) {
	if l.bf16 || s.kernel == 1 || s.c%C.DNN_BLOCK != 0 || s.o%C.DNN_BLOCK != 0 || s.c*s.o/(s.c+s.o) < leastBlocked {
		p, err = l.newConvolution(s)
		return p, false, err
	}
	preferred := *s
	preferred.layout = C.DNN_ANY
	if err := check(C.dnn_conv_create(l.context, &preferred, &p), "convolution"); err != nil {
		return nil, false, err
	}
	if layout := C.dnn_conv_layout(p); layout != C.DNN_ANY {
		l.own(p)
		return p, layout == C.DNN_BLOCKS, nil
	}
	C.dnn_destroy(p)
	p, err = l.newConvolution(s)
	return p, false, err
}

// leastBlocked is the least C·O/(C+O), to which the work for each number of a
// convolution's activations is in proportion, from which on blocks pay.
const leastBlocked = 32

// inBlocks returns an operand of a backward pass as that takes it.
func (l *lowering) inBlocks(v graph.Value, blocks bool) *tensor {
	if !blocks {
		return l.convolvable(v)
	}
	x := l.pixels(v)
	y := l.blocks[v]
	if y == nil {
		y = newBlocks(x.shape)
		l.blocks[v] = y
		l.emit(step{
			node: v.Node, kernel: C.DS_TO_BLOCKS, operands: []*tensor{x, y},
			extents: []int{x.shape[0], x.shape[2] * x.shape[3], x.channels(), x.ld},
		})
	}
	return y
}

// newBlocks makes a tensor that only convolutions and the kernels between them and
// pixels know how to read.
func newBlocks(shape graph.Shape) *tensor {
	return &tensor{buf: &buffer{bytes: 4 * shape.Size()}, shape: shape}
}

// own keeps a primitive until the program is closed.
func (l *lowering) own(p *C.dnn_primitive) {
	l.primitives = append(l.primitives, p)
	l.scratch = max(l.scratch, int(p.scratch_size))
}

// packed makes room for weights in the layout of a convolution.
func packed(conv *C.dnn_primitive) *tensor {
	return &tensor{buf: &buffer{bytes: int(conv.weights_size)}}
}

// A layout is that of the weights of a convolution, see dnn_weights_places.
type layout struct {
	places  []C.long
	extents []int // O, I, K²
	clear   int   // bytes to clear before packing, 0 unless there is padding
}

func (l *lowering) layoutOf(s *C.dnn_conv_spec, conv *C.dnn_primitive) (layout, error) {
	out, in, taps := int(s.o), int(s.c), int(s.kernel*s.kernel)
	w := layout{places: make([]C.long, out+in+taps), extents: []int{out, in, taps}}
	if err := check(C.dnn_weights_places(conv, s, &w.places[0]), "layout of weights"); err != nil {
		return layout{}, err
	}
	element := 4
	if s.integer != 0 {
		element = 1
	} else if l.bf16 && s.kind != C.DNN_BACKWARD_WEIGHTS {
		element = 2
	}
	if size := int(conv.weights_size); size != element*out*in*taps {
		w.clear = size
	}
	return w, nil
}

// pack copies row-major weights to the layout of a convolution, once if they
// are frozen.
func (l *lowering) pack(n *graph.Node, s *C.dnn_conv_spec, conv *C.dnn_primitive, from *tensor, frozen bool) (*tensor, error) {
	w, err := l.layoutOf(s, conv)
	if err != nil {
		return nil, err
	}
	to := packed(conv)
	l.emitTo(frozen, step{
		node: n, kernel: C.DS_PACK, operands: []*tensor{from, to}, places: w.places, bf16: l.bf16,
		extents: append(w.extents, w.clear),
	})
	return to, nil
}

// unpack is the way back, for the gradient of weights.
func (l *lowering) unpack(n *graph.Node, s *C.dnn_conv_spec, conv *C.dnn_primitive, from, to *tensor) error {
	w, err := l.layoutOf(s, conv)
	if err == nil {
		l.emit(step{node: n, kernel: C.DS_UNPACK, operands: []*tensor{from, to}, places: w.places, extents: w.extents})
	}
	return err
}

// emitTo appends steps that run once if what they read is frozen.
func (l *lowering) emitTo(frozen bool, steps ...step) {
	if frozen {
		l.prepare = append(l.prepare, steps...)
	} else {
		l.run = append(l.run, steps...)
	}
}

// weights returns an operand row-major, and whether it is frozen.
func (l *lowering) weights(v graph.Value) (t *tensor, frozen bool) {
	frozen = l.fusion.constant(v)
	if frozen {
		l.freeze(v)
	}
	return l.rowMajor(v), frozen
}

// freeze notes that a variable, or the one that is rounded, is read by prepare.
func (l *lowering) freeze(v graph.Value) {
	if v.Node.Op == graph.OpQuantizeWeights {
		v = v.Node.In[0]
	}
	l.frozen[v.Node.Name] = true
}

// fold returns numbers, as many for each output channel, and the bias of a convolution
// with a batch norm folded in, both frozen. The first last until all are prepared.
func (l *lowering) fold(w *tensor, bn *graph.Node) (folded, bias *tensor) {
	folded, bias = newTensor(w.shape, false, false), newTensor(w.shape[:1], false, false)
	operands := []*tensor{w}
	for _, v := range bn.In[1:] {
		l.fusion.uses[v]++ // a spread part needs them twice
		operands = append(operands, l.use(v))
		l.freeze(v)
	}
	l.prepare = append(l.prepare, step{
		node: bn, kernel: C.DS_FOLD, operands: append(operands, folded, bias),
		extents: []int{w.shape[0], w.shape.Size() / w.shape[0]}, constants: [2]float64{bn.Alpha},
	})
	return folded, bias
}

// A method is one of computing a convolution forward: oneDNN's own, or by tiles.
type method struct {
	operand func(graph.Value) *tensor // as it is taken
	pack    func(filter *tensor, frozen bool) (*tensor, error)
	run     func(x, packed, bias, y *tensor) error // emits it
}

func (l *lowering) method(n *graph.Node, s *C.dnn_conv_spec) (method, error) {
	if w, ok := l.winograd(s, l.fusion.constant(n.In[1])); ok {
		return method{
			operand: l.pixels,
			pack:    func(filter *tensor, frozen bool) (*tensor, error) { return l.filter(n, w, filter, frozen), nil },
			run:     func(x, packed, bias, y *tensor) error { return l.convolveTiles(n, w, x, packed, bias, y) },
		}, nil
	}
	p, err := l.newConvolution(s)
	return method{
		operand: l.convolvable,
		pack:    func(filter *tensor, frozen bool) (*tensor, error) { return l.pack(n, s, p, filter, frozen) },
		run: func(x, packed, bias, y *tensor) error {
			l.emit(step{node: n, primitive: p, conv: s, operands: []*tensor{x, packed, bias, y}})
			return nil
		},
	}, err
}

func (l *lowering) convolve(c *chain, v graph.Value) error {
	n := c.conv
	part, isSpread := l.fusion.spreads[n.In[0]]
	s := l.specOf(C.DNN_FORWARD, l.narrowed(n.In[0]), n.Shapes[0], n.In[1].Shape(), n.Window)
	s.bias = flag(c.norm != nil || len(n.In) == 3)
	s.sum = flag(!c.residual.IsNone() || isSpread)
	s.relu = flag(c.relu)
	how, err := l.method(n, &s)
	if err != nil {
		return err
	}
	x := how.operand(n.In[0])
	var bias *tensor
	filter, frozen := l.weights(n.In[1])
	if c.norm != nil {
		filter, bias = l.fold(filter, c.norm)
	}
	whole := filter
	if isSpread {
		filter = rest(whole.shape, part)
		l.emitTo(frozen, columns(n, whole, filter, part, false)...)
	}
	packed, err := how.pack(filter, frozen)
	if err != nil {
		return err
	}
	if len(n.In) == 3 {
		bias = l.use(n.In[2])
	}
	run := func(y *tensor) {
		err = how.run(x, packed, bias, y)
	}
	if isSpread {
		l.convolveSpread(c, v, part, whole, run)
	} else {
		l.convolveOnto(c, v, x, run)
	}
	return err
}

// convolveSpread lets a convolution, which run emits, add to the share of its spread part.
func (l *lowering) convolveSpread(c *chain, v graph.Value, part spread, weights *tensor, run func(y *tensor)) {
	l.convolved(v, func(y *tensor) {
		l.spreadForward(c.conv, part, weights, y)
		if !c.residual.IsNone() {
			l.addTo(c.conv, l.convolvable(c.residual), y)
		}
		run(y)
	})
}

// convolveOnto lets a convolution of x, which run emits, add to the chain's residual if
// there is one.
func (l *lowering) convolveOnto(c *chain, v graph.Value, x *tensor, run func(y *tensor)) {
	if c.residual.IsNone() {
		l.convolved(v, run)
		return
	}
	if l.values[c.residual].levels != nil {
		residual := l.levels(c.residual)
		l.convolved(v, func(y *tensor) {
			l.dequantize(c.conv, residual, y)
			run(y)
		})
		return
	}
	residual := l.pixels(c.residual)
	if residual.buf != x.buf && residual.bf16 == l.bf16 {
		if y := l.takeOver(v, c.residual, residual); y.buf == residual.buf {
			run(y)
			return
		}
	}
	l.convolved(v, func(y *tensor) {
		l.copy(c.conv, residual, y)
		run(y)
	})
}

func (l *lowering) convBackwardData(n *graph.Node) error {
	v := graph.Value{Node: n}
	if isDot(n.In[1].Shape(), n.Window) {
		dy, w, dx := l.dense(n.In[0]), l.use(n.In[1]), l.result(v)
		l.emit(step{
			node: n, kernel: C.DS_DOT_BACKWARD_DATA, operands: []*tensor{dy, w, dx},
			extents: []int{dx.pixels(), dx.channels(), dx.ld}, bf16: dx.bf16,
		})
		return nil
	}
	part, isSpread := l.fusion.spreadData[n]
	s := l.specOf(C.DNN_BACKWARD_DATA, l.narrowed(v), n.In[0].Shape(), n.In[1].Shape(), n.Window)
	filter, frozen := l.weights(n.In[1])
	if isSpread {
		l.spreadBackwardData(n, part, filter, l.values[n.In[0]])
		others := rest(filter.shape, part)
		l.emitTo(frozen, columns(n, filter, others, part, false)...)
		filter = others
	}
	if tiles, ok := l.winograd(&s, frozen); ok {
		turned, dy := l.filter(n, tiles, filter, frozen), l.pixels(n.In[0])
		var err error
		l.convolved(v, func(dx *tensor) { err = l.convolveTiles(n, tiles, dy, turned, nil, dx) })
		return err
	}
	p, blocks, err := l.newBackward(&s)
	if err != nil {
		return err
	}
	w, err := l.pack(n, &s, p, filter, frozen)
	if err != nil {
		return err
	}
	dy := l.inBlocks(n.In[0], blocks)
	l.convolved(v, func(dx *tensor) {
		if !blocks {
			l.emit(step{node: n, primitive: p, conv: &s, operands: []*tensor{dx, w, nil, dy}})
			return
		}
		c := newBlocks(dx.shape)
		l.emit(step{node: n, primitive: p, conv: &s, operands: []*tensor{c, w, nil, dy}})
		l.emit(step{
			node: n, kernel: C.DS_FROM_BLOCKS, operands: []*tensor{c, dx},
			extents: []int{dx.shape[0], dx.shape[2] * dx.shape[3], dx.channels(), dx.ld},
		})
	})
	return nil
}

func (l *lowering) convBackwardWeights(n *graph.Node) error {
	v := graph.Value{Node: n}
	if isDot(n.Shapes[0], n.Window) {
		x, dy := l.pixels(n.In[0]), l.dense(n.In[1])
		l.channels = max(l.channels, x.channels())
		l.emit(step{
			node: n, kernel: C.DS_DOT_BACKWARD_WEIGHTS, operands: []*tensor{x, dy, l.plain(v)},
			extents: []int{x.pixels(), x.channels(), x.ld}, bf16: x.bf16,
		})
		return nil
	}
	part, isSpread := l.fusion.spreads[n.In[0]]
	s := l.specOf(C.DNN_BACKWARD_WEIGHTS, l.narrowed(n.In[0]), n.In[1].Shape(), n.Shapes[0], n.Window)
	dw := l.plain(v)
	target := dw
	if isSpread {
		target = rest(dw.shape, part)
	}
	if err := l.filterGradientOf(n, &s, target); err != nil {
		return err
	}
	if isSpread {
		l.run = append(l.run, columns(n, dw, target, part, true)...)
		l.spreadBackwardWeights(n, part, l.values[n.In[1]], dw)
	}
	return nil
}

// filterGradientOf emits the gradient of the weights that a convolution really has.
func (l *lowering) filterGradientOf(n *graph.Node, s *C.dnn_conv_spec, dw *tensor) error {
	if tiles, ok := l.winograd(s, false); ok {
		return l.filterGradient(n, tiles, l.pixels(n.In[0]), l.pixels(n.In[1]), dw)
	}
	p, blocks, err := l.newBackward(s)
	if err != nil {
		return err
	}
	x, dy, w := l.inBlocks(n.In[0], blocks), l.inBlocks(n.In[1], blocks), packed(p)
	l.emit(step{node: n, primitive: p, conv: s, operands: []*tensor{x, w, nil, dy}})
	return l.unpack(n, s, p, w, dw)
}
