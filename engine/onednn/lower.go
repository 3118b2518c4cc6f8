//go:build cgo

package onednn

/*
#include "program.h"
*/
import "C"

import (
	"fmt"
	"slices"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/graph"
)

// A step is a kernel with its operands, or a primitive with (source, weights
// or target, bias, destination) and perhaps factors.
type step struct {
	node      *graph.Node // what it computes, for profiles
	kernel    C.int
	primitive *C.dnn_primitive
	conv      *C.dnn_conv_spec // of the primitive
	operands  []*tensor        // nil where an optional one is absent
	extents   []int
	constants [2]float64
	places    []C.long // of packed weights, see layout
	bf16      bool
	relu      bool

	// A product of tiles has the primitive's operands and what is done around it, see
	// ds_append_product. Its operands are all of theirs.
	product *product
}

// maxChannels is the most that an activation can have; C has the same constant.
const maxChannels = 2048

// A lowering turns a graph into steps.
type lowering struct {
	context *C.dnn_context
	bf16    bool
	tiling  tiling
	graph   *graph.Graph
	fusion  fusion

	prepare []step // run once after a frozen variable has changed
	run     []step
	frozen  map[string]bool // variables that prepare reads
	baked   map[*graph.Node]bool
	loads   []load

	values     map[graph.Value]*tensor
	converted  map[graph.Value]*tensor // inputs as pixels
	blocks     map[graph.Value]*tensor // activations in blocks of channels
	outputs    map[string]*tensor
	sums       map[windowed]*tensor // of gradients, for spread convolutions
	primitives []*C.dnn_primitive
	channels   int // most that a kernel with sums sees
	scratch    int // bytes that the neediest primitive wants
}

func newTensor(shape graph.Shape, pixel, bf16 bool) *tensor {
	t := &tensor{buf: &buffer{}, shape: shape, pixel: pixel, bf16: bf16}
	if pixel {
		t.ld = shape[1]
	}
	t.buf.bytes = shape.Size() * t.elementSize()
	return t
}

// inBF16 reports whether activations of a shape are held in bf16. Maps of a
// single channel are results and stay in fp32.
func (l *lowering) inBF16(shape graph.Shape) bool { return l.bf16 && shape[1] > 1 }

// result makes the tensor of an activation, or of a vector or scalar. What
// goes into a concatenation alone is written in place there.
func (l *lowering) result(v graph.Value) *tensor {
	shape := l.narrowed(v)
	if place, ok := l.fusion.places[v]; ok {
		whole := l.values[place.whole]
		if whole == nil {
			shape := l.narrowed(place.whole)
			whole = newTensor(shape, true, l.inBF16(shape))
			l.values[place.whole] = whole
		}
		t := whole.slice(place.first, shape)
		l.values[v] = t
		return t
	}
	pixel := len(shape) == 4
	t := newTensor(shape, pixel, pixel && l.inBF16(shape))
	l.values[v] = t
	return t
}

// plain makes a row-major fp32 tensor.
func (l *lowering) plain(v graph.Value) *tensor {
	t := newTensor(v.Shape(), false, false)
	l.values[v] = t
	return t
}

// use returns an operand and counts the use.
func (l *lowering) use(v graph.Value) *tensor {
	if v.IsNone() {
		return nil
	}
	t := l.levels(v)
	if t != nil && t.levels != nil {
		return l.numbers(v, t)
	}
	return t
}

// pixels returns an operand channels last.
func (l *lowering) pixels(v graph.Value) *tensor {
	t := l.use(v)
	if t == nil || t.pixel {
		return t
	}
	if c, ok := l.converted[v]; ok {
		return c
	}
	bf16 := l.inBF16(t.shape)
	if !bf16 && (t.shape[1] == 1 || t.shape[2]*t.shape[3] == 1) { // the same in both orders
		t.buf.shared = true
		c := &tensor{buf: t.buf, shape: t.shape, pixel: true, ld: t.shape[1]}
		l.converted[v] = c
		return c
	}
	c := newTensor(t.shape, true, bf16)
	c.buf.shared = true
	l.converted[v] = c
	l.emit(step{
		node: v.Node, kernel: C.DS_TO_PIXELS, operands: []*tensor{t, c},
		extents: []int{t.shape[0], t.shape[1], t.shape[2] * t.shape[3]}, bf16: bf16,
	})
	return c
}

// dense returns an operand channels last and without gaps.
func (l *lowering) dense(v graph.Value) *tensor {
	t := l.pixels(v)
	if t == nil || t.dense() {
		return t
	}
	return l.copied(v.Node, t, t.bf16)
}

// convolvable returns an operand as a convolution takes it: dense, and in the
// program's precision even if it has a single channel.
func (l *lowering) convolvable(v graph.Value) *tensor {
	t := l.pixels(v)
	if t.dense() && t.bf16 == l.bf16 {
		return t
	}
	return l.copied(v.Node, t, l.bf16)
}

func (l *lowering) copied(n *graph.Node, t *tensor, bf16 bool) *tensor {
	c := newTensor(t.shape, t.pixel, bf16)
	l.copy(n, t, c)
	return c
}

// convolved gives the step that makes a convolution's result a destination,
// and brings this to v's own precision if it has a single channel.
func (l *lowering) convolved(v graph.Value, emit func(y *tensor)) {
	if y := l.result(v); y.bf16 == l.bf16 {
		emit(y)
	} else {
		c := newTensor(y.shape, true, l.bf16)
		emit(c)
		l.copy(v.Node, c, y)
	}
}

// rowMajor returns an operand in the logical order and fp32.
func (l *lowering) rowMajor(v graph.Value) *tensor {
	t := l.use(v)
	if !t.pixel {
		return t
	}
	c := newTensor(t.shape, false, false)
	s := t.shape
	l.emit(step{
		node: v.Node, kernel: C.DS_FROM_PIXELS, operands: []*tensor{t, c},
		extents: []int{s[0], s[1], s[2] * s[3], t.ld}, bf16: t.bf16,
	})
	return c
}

// snapshot is rowMajor, in memory that no update changes.
func (l *lowering) snapshot(v graph.Value) *tensor {
	t := l.rowMajor(v)
	if !t.buf.keep {
		return t
	}
	return l.copied(v.Node, t, t.bf16)
}

// takeOver returns the tensor of a result, in the memory of an operand that
// has just been used for the last time if that fits.
func (l *lowering) takeOver(result, operand graph.Value, t *tensor) *tensor {
	_, placed := l.fusion.places[result]
	bf16 := len(result.Shape()) == 4 && l.inBF16(result.Shape())
	if placed || l.fusion.uses[operand] > 0 || t.buf.shared || t.buf.keep || !t.dense() || t.bf16 != bf16 ||
		!t.shape.Equal(result.Shape()) || operand.Node.Op == graph.OpInput || operand.Node.Op == graph.OpVariable {
		if !t.pixel {
			return l.plain(result)
		}
		return l.result(result)
	}
	same := *t
	l.values[result] = &same
	return &same
}

func (l *lowering) emit(s step) { l.run = append(l.run, s) }

func (l *lowering) copy(n *graph.Node, from, to *tensor) {
	count, width, stride := from.rows()
	_, _, target := to.rows()
	kernel := C.int(C.DS_COPY)
	if from.bf16 != to.bf16 {
		kernel = C.DS_CONVERT
	}
	l.emit(step{
		node: n, kernel: kernel, operands: []*tensor{from, to},
		extents: []int{count, width, stride, target}, bf16: to.bf16,
	})
}

// addTo adds an activation to another.
func (l *lowering) addTo(n *graph.Node, x, y *tensor) {
	l.emit(step{
		node: n, kernel: C.DS_ADD, operands: []*tensor{y, x, y}, bf16: y.bf16,
		extents: []int{y.pixels(), y.channels(), y.ld, x.ld, y.ld},
	})
}

// lower emits the steps of all nodes that an output or update needs.
func (l *lowering) lower() error {
	for _, n := range l.graph.Nodes {
		if !l.fusion.needed[n] || l.fusion.absorbed[n] || n.Op == graph.OpSGD {
			continue
		}
		if shape := n.Shapes[0]; len(shape) == 4 && shape[1] > maxChannels && n.Op != graph.OpConvBackwardWeights && n.Op != graph.OpVariable && n.Op != graph.OpQuantizeWeights {
			return fmt.Errorf("%s %v: %w: more than %d channels", n.Op, shape, engine.ErrUnsupported, maxChannels)
		}
		if takesPixels(n.Op) && len(n.In[0].Shape()) != 4 {
			return fmt.Errorf("%s %v: %w: it takes N×C×H×W", n.Op, n.In[0].Shape(), engine.ErrUnsupported)
		}
		if err := l.node(n); err != nil {
			return fmt.Errorf("%s %v: %w", n.Op, n.Shapes[0], err)
		}
	}
	for _, o := range l.graph.Outputs {
		t := l.snapshot(o.Value)
		t.buf.keep = true
		l.outputs[o.Name] = t
	}
	l.updates()
	l.load()
	return nil
}

// A load brings the values of a constant to where a step of prepare, or the
// run, reads them.
type load struct {
	before int // step of prepare, or the end
	name   string
	to     *tensor
}

// load plans the loads of baked constants. What prepare alone reads needs its
// memory until then only, which later steps may share.
func (l *lowering) load() {
	pending := map[*buffer]load{}
	for n := range l.baked {
		t := l.values[graph.Value{Node: n}]
		pending[t.buf] = load{len(l.prepare), n.Name, t}
	}
	kept := func(b *buffer) {
		if _, ok := pending[b]; ok {
			b.keep = true
		}
	}
	for _, s := range l.run {
		for _, t := range s.operands {
			if t != nil {
				kept(t.buf)
			}
		}
	}
	for _, t := range l.outputs {
		kept(t.buf)
	}
	for i, s := range l.prepare {
		for _, t := range s.operands {
			if t == nil {
				continue
			}
			if from, ok := pending[t.buf]; ok {
				from.before = i
				l.loads = append(l.loads, from)
				delete(pending, t.buf)
			}
		}
	}
	for b, from := range pending {
		if b.keep {
			l.loads = append(l.loads, from)
		}
	}
}

// updates come last, since every node reads what variables held before.
func (l *lowering) updates() {
	type assignment struct {
		variable *graph.Node
		value    *tensor
	}
	var assignments []assignment
	changing := map[*buffer]bool{}
	for _, u := range l.graph.Updates {
		changing[l.values[graph.Value{Node: u.Variable}].buf] = true
		if u.Value.Node.Op != graph.OpSGD {
			assignments = append(assignments, assignment{u.Variable, l.snapshot(u.Value)})
		}
	}
	before := func(v graph.Value) *tensor {
		t := l.rowMajor(v)
		if !changing[t.buf] {
			return t
		}
		return l.copied(v.Node, t, t.bf16)
	}
	var descents []step
	for _, n := range l.graph.Nodes {
		if n.Op == graph.OpSGD && l.fusion.needed[n] {
			descents = append(descents, step{
				node: n, kernel: C.DS_SGD, operands: []*tensor{l.rowMajor(n.In[0]), before(n.In[1]), l.rowMajor(n.In[2]), before(n.In[3])},
				extents: []int{n.Shapes[0].Size()}, constants: [2]float64{n.Alpha, n.Beta},
			})
		}
	}
	l.run = append(l.run, descents...)
	for _, a := range assignments {
		l.copy(a.variable, a.value, l.values[graph.Value{Node: a.variable}])
	}
}

func (l *lowering) node(n *graph.Node) error {
	v := graph.Value{Node: n}
	if c, ok := l.fusion.chains[n]; ok {
		return l.chain(c, v)
	}
	switch n.Op {
	case graph.OpInput, graph.OpVariable:
		l.plain(v).buf.keep = !l.baked[n]
	case graph.OpConv:
		return l.chain(&chain{conv: n}, v)
	case graph.OpBatchNorm:
		return l.chain(&chain{norm: n}, v)
	case graph.OpBatchNormTrain:
		l.statistics(n)
		if !l.fusion.started[n] {
			return l.chain(&chain{norm: n}, v)
		}
	case graph.OpMaxPool, graph.OpMaxPoolBackward:
		return l.maxPool(n)
	case graph.OpResize, graph.OpResizeBackward:
		l.resize(n)
	case graph.OpMeanPool, graph.OpMeanPoolBackward:
		l.meanPool(n)
	case graph.OpConcat:
		l.concat(n)
	case graph.OpSlice:
		x := l.pixels(n.In[0])
		first := n.First
		if s, ok := l.fusion.spreadData[n.In[0].Node]; ok && first > s.first {
			first -= s.count
		}
		part := x.slice(first, n.Shapes[0])
		if part.bf16 == l.inBF16(part.shape) {
			l.values[v] = part
		} else {
			l.copy(n, part, l.result(v))
		}
	case graph.OpPadChannels:
		l.padChannels(n)
	case graph.OpCosine:
		l.cosine(n)
	case graph.OpCosineBackward:
		l.cosineBackward(n)
	case graph.OpQuantize:
		l.quantize(n)
	case graph.OpQuantizeWeights:
		l.quantizeWeights(n)
	case graph.OpSum, graph.OpChannelSum:
		l.sum(n)
	case graph.OpBroadcast:
		y := l.result(v)
		count, width, stride := y.rows()
		l.emit(step{
			node: n, kernel: C.DS_BROADCAST, operands: []*tensor{l.use(n.In[0]), y},
			extents: []int{count, width, stride}, constants: [2]float64{n.Alpha}, bf16: y.bf16,
		})
	case graph.OpFocal, graph.OpL1, graph.OpFocalBackward, graph.OpL1Backward:
		l.loss(n)
	case graph.OpCrossEntropy, graph.OpCrossEntropyBackward:
		l.crossEntropy(n)
	case graph.OpConvBackwardData:
		return l.convBackwardData(n)
	case graph.OpConvBackwardWeights:
		return l.convBackwardWeights(n)
	case graph.OpBatchNormBackward:
		l.normBackward(n)
	default:
		kernel, ok := elementwiseKernel(n.Op)
		if !ok {
			return engine.ErrUnsupported
		}
		l.elementwise(n, kernel)
	}
	return nil
}

// takesPixels reports whether the steps of an operation work on pixels alone.
func takesPixels(op graph.Op) bool {
	switch op {
	case graph.OpInput, graph.OpVariable, graph.OpSum, graph.OpBroadcast, graph.OpSGD, graph.OpQuantizeWeights:
		return false
	}
	_, elementwise := elementwiseKernel(op)
	return !elementwise
}

// elementwiseKernel returns the kernel of an operation that works on each
// element alone.
func elementwiseKernel(op graph.Op) (kernel C.int, ok bool) {
	kernel, ok = map[graph.Op]C.int{
		graph.OpReLU: C.DS_RELU, graph.OpReLUBackward: C.DS_RELU_BACKWARD,
		graph.OpSigmoid: C.DS_SIGMOID, graph.OpSigmoidBackward: C.DS_SIGMOID_BACKWARD,
		graph.OpAdd: C.DS_ADD, graph.OpMul: C.DS_MUL, graph.OpMix: C.DS_MIX,
		graph.OpAffine: C.DS_AFFINE, graph.OpStep: C.DS_STEP,
	}[op]
	return kernel, ok
}

func (l *lowering) elementwise(n *graph.Node, kernel C.int) {
	operands := make([]*tensor, len(n.In), len(n.In)+1)
	_, anyPixel := l.fusion.places[graph.Value{Node: n}] // a concatenation is channels last
	for _, in := range n.In {
		anyPixel = anyPixel || l.values[in].pixel
	}
	for i, in := range n.In {
		if anyPixel {
			operands[i] = l.pixels(in)
		} else {
			operands[i] = l.use(in)
		}
	}
	y := l.takeOver(graph.Value{Node: n}, n.In[0], operands[0])
	count, width, _ := y.rows()
	extents := []int{count, width}
	for _, t := range append(operands, y) {
		_, _, stride := t.rows()
		extents = append(extents, stride)
	}
	l.emit(step{
		node: n, kernel: kernel, operands: append(operands, y), extents: extents,
		constants: [2]float64{n.Alpha, n.Beta}, bf16: y.bf16,
	})
}

// maxPoolKernel is the largest whose taps a byte counts.
const maxPoolKernel = 16

func (l *lowering) maxPool(n *graph.Node) error {
	big, small := n.In[0].Shape(), n.Shapes[0]
	var operands []*tensor
	bf16 := false
	if n.Op == graph.OpMaxPool {
		x, y := l.dense(n.In[0]), l.result(graph.Value{Node: n})
		var place *tensor
		if l.fusion.uses[graph.Value{Node: n, Index: 1}] > 0 {
			if k := n.Window.Kernel; k > maxPoolKernel {
				return fmt.Errorf("%w: a gradient by a kernel of %d×%d, more than %d×%d; the plain engine takes any",
					engine.ErrUnsupported, k, k, maxPoolKernel, maxPoolKernel)
			}
			place = &tensor{buf: &buffer{bytes: small.Size()}, shape: small, pixel: true, ld: small[1]}
			l.values[graph.Value{Node: n, Index: 1}] = place
		}
		operands, bf16 = []*tensor{x, y, place}, x.bf16
	} else {
		big, small = n.Shapes[0], n.In[1].Shape()
		place, dy := l.use(n.In[0]), l.dense(n.In[1])
		operands, bf16 = []*tensor{place, dy, l.result(graph.Value{Node: n})}, dy.bf16
	}
	kernel := C.int(C.DS_MAXPOOL)
	if n.Op == graph.OpMaxPoolBackward {
		kernel = C.DS_MAXPOOL_BACKWARD
	}
	w := n.Window
	l.emit(step{
		node: n, kernel: kernel, operands: operands, bf16: bf16,
		extents: []int{big[0], big[2], big[3], big[1], small[2], small[3], w.Kernel, w.Stride, w.Padding, w.Dilation},
	})
	return nil
}

func (l *lowering) resize(n *graph.Node) {
	x, y := l.pixels(n.In[0]), l.result(graph.Value{Node: n})
	from, to, kernel := x.shape, y.shape, C.int(C.DS_RESIZE)
	if n.Op == graph.OpResizeBackward {
		from, to, kernel = y.shape, x.shape, C.DS_RESIZE_BACKWARD
	}
	l.emit(step{
		node: n, kernel: kernel, operands: []*tensor{x, y}, bf16: x.bf16,
		extents: []int{from[0], from[2], from[3], to[2], to[3], from[1], x.ld, y.ld},
	})
}

func (l *lowering) meanPool(n *graph.Node) {
	if n.Op == graph.OpMeanPool && l.values[n.In[0]].levels != nil {
		x, y := l.levels(n.In[0]), l.result(graph.Value{Node: n})
		l.emit(step{
			node: n, kernel: C.DS_MEANPOOL_LEVELS, operands: []*tensor{x, y}, bf16: y.bf16,
			extents: []int{x.shape[0], x.shape[2] * x.shape[3], x.shape[1], x.ld, x.levels.lowest}, constants: [2]float64{x.levels.step},
		})
		return
	}
	if n.Op == graph.OpMeanPool {
		x, y := l.pixels(n.In[0]), l.result(graph.Value{Node: n})
		l.emit(step{
			node: n, kernel: C.DS_MEANPOOL, operands: []*tensor{x, y}, bf16: x.bf16,
			extents: []int{x.shape[0], x.shape[2] * x.shape[3], x.shape[1], x.ld},
		})
		return
	}
	dy, dx := l.dense(n.In[0]), l.result(graph.Value{Node: n})
	l.emit(step{
		node: n, kernel: C.DS_MEANPOOL_BACKWARD, operands: []*tensor{dy, dx}, bf16: dy.bf16,
		extents: []int{dx.shape[0], dx.shape[2] * dx.shape[3], dx.shape[1]},
	})
}

// concat copies what its producers could not write in place.
func (l *lowering) concat(n *graph.Node) {
	v := graph.Value{Node: n}
	whole := l.values[v]
	if whole == nil {
		whole = l.result(v)
	}
	first := 0
	s, spread := l.fusion.spreads[v]
	for _, in := range n.In {
		count := in.Shape()[1]
		if spread && first == s.first {
			spread = false // takes no room
			continue
		}
		if _, placed := l.fusion.places[in]; placed {
			l.use(in)
		} else {
			x := l.pixels(in)
			shared := whole.buf.shared
			l.copy(n, x, whole.slice(first, in.Shape()))
			whole.buf.shared = shared
		}
		first += count
	}
	whole.buf.shared = false // its parts are written, and nothing else reads them
}

func (l *lowering) padChannels(n *graph.Node) {
	x, y := l.pixels(n.In[0]), l.result(graph.Value{Node: n})
	l.emit(step{
		node: n, kernel: C.DS_ZERO, operands: []*tensor{y},
		extents: []int{y.pixels(), y.channels(), y.ld}, bf16: y.bf16,
	})
	shared := y.buf.shared
	l.copy(n, x, y.slice(n.First, x.shape))
	y.buf.shared = shared
}

func (l *lowering) cosine(n *graph.Node) {
	a, b := l.pixels(n.In[0]), l.pixels(n.In[1])
	product, factor := graph.Value{Node: n}, 1.0
	if affine := l.fusion.factors[n]; affine != nil {
		product, factor = graph.Value{Node: affine}, affine.Alpha
	}
	similarity := graph.Value{Node: n, Index: 1}
	operands := []*tensor{a, b, nil, nil}
	stride := 0
	if l.fusion.uses[product] > 0 {
		operands[2] = l.result(product)
		stride = operands[2].ld
	}
	if l.fusion.uses[similarity] > 0 {
		operands[3] = l.result(similarity)
	}
	l.emit(step{
		node: n, kernel: C.DS_COSINE, operands: operands, bf16: a.bf16,
		extents: []int{a.pixels(), a.channels(), a.ld, b.ld, stride}, constants: [2]float64{n.Alpha, factor},
	})
}

func (l *lowering) cosineBackward(n *graph.Node) {
	operands := []*tensor{l.pixels(n.In[0]), l.pixels(n.In[1]), nil, nil, nil, nil}
	stride := 0
	if !n.In[2].IsNone() {
		operands[2] = l.pixels(n.In[2])
		stride = operands[2].ld
	}
	if !n.In[3].IsNone() {
		operands[3] = l.dense(n.In[3])
	}
	for i := range 2 {
		if v := (graph.Value{Node: n, Index: i}); l.fusion.uses[v] > 0 {
			operands[4+i] = l.result(v)
		}
	}
	a, b := operands[0], operands[1]
	l.emit(step{
		node: n, kernel: C.DS_COSINE_BACKWARD, operands: operands, bf16: a.bf16,
		extents: []int{a.pixels(), a.channels(), a.ld, b.ld, stride}, constants: [2]float64{n.Alpha},
	})
}

func (l *lowering) sum(n *graph.Node) {
	x, kernel := l.use(n.In[0]), C.int(C.DS_SUM)
	if n.Op == graph.OpChannelSum {
		l.fusion.uses[n.In[0]]++
		x, kernel = l.pixels(n.In[0]), C.DS_CHANNEL_SUM
	}
	extents := []int{x.shape.Size(), 1, 1}
	if x.pixel {
		extents = []int{x.pixels(), x.channels(), x.ld}
	}
	l.channels = max(l.channels, extents[1])
	l.emit(step{node: n, kernel: kernel, operands: []*tensor{x, l.result(graph.Value{Node: n})}, extents: extents, bf16: x.bf16})
}

func (l *lowering) loss(n *graph.Node) {
	p, t := l.dense(n.In[0]), l.dense(n.In[1])
	operands := []*tensor{p, t}
	if len(n.In) == 3 {
		operands = append(operands, l.use(n.In[2]))
	}
	kernels := map[graph.Op]C.int{
		graph.OpFocal: C.DS_FOCAL, graph.OpFocalBackward: C.DS_FOCAL_BACKWARD, graph.OpL1: C.DS_L1, graph.OpL1Backward: C.DS_L1_BACKWARD,
	}
	l.emit(step{
		node: n, kernel: kernels[n.Op], operands: append(operands, l.result(graph.Value{Node: n})),
		extents: []int{p.shape.Size()}, constants: [2]float64{n.Alpha}, bf16: p.bf16,
	})
}

func (l *lowering) crossEntropy(n *graph.Node) {
	x, t := l.pixels(n.In[0]), l.pixels(n.In[1])
	operands, kernel := []*tensor{x, t}, C.int(C.DS_CROSS_ENTROPY)
	if n.Op == graph.OpCrossEntropyBackward {
		operands, kernel = append(operands, l.use(n.In[2])), C.DS_CROSS_ENTROPY_BACKWARD
	}
	y := l.result(graph.Value{Node: n})
	l.emit(step{
		node: n, kernel: kernel, operands: append(operands, y),
		extents: []int{x.pixels(), x.channels(), x.ld, t.ld, y.ld}, constants: [2]float64{n.Alpha}, bf16: x.bf16,
	})
}

// isDot reports whether a convolution maps each pixel to one number.
func isDot(weights graph.Shape, w graph.Window) bool {
	return weights[0] == 1 && weights[2] == 1 && w.Stride == 1 && w.Padding == 0
}

func sortBySize(b []*buffer) {
	slices.SortStableFunc(b, func(x, y *buffer) int { return y.bytes - x.bytes })
}
