package graph

import (
	"errors"
	"fmt"
	"slices"
)

// ErrNoDerivative is returned, with the operation named, when a gradient
// would have to pass through an operation that has none, or through a result
// that has none, such as the statistics of [Graph.BatchNormTrain].
var ErrNoDerivative = errors.New("graph: operation has no derivative")

// Gradients appends the nodes that compute the derivative of a scalar by each
// of the values in wrt, and returns these derivatives in the same order. Only
// what the derivatives need is added: nothing flows into frozen parts.
func Gradients(g *Graph, loss Value, wrt []Value) ([]Value, error) {
	if loss.Shape().Size() != 1 || len(loss.Shape()) != 0 {
		return nil, fmt.Errorf("graph: gradient of a %v tensor; a loss is a scalar", loss.Shape())
	}
	b := &backward{g: g, needed: map[*Node]bool{}, sums: map[Value]Value{}}
	for _, v := range wrt {
		b.needed[v.Node] = true
	}
	last := loss.Node.ID
	for _, n := range g.Nodes[:last+1] {
		if b.passes(n) {
			b.needed[n] = true
		}
	}
	b.add(loss, b.one())
	for id := last; id >= 0; id-- {
		n := g.Nodes[id]
		if !b.passes(n) {
			continue
		}
		if err := b.node(n); err != nil {
			return nil, err
		}
	}
	grads := make([]Value, len(wrt))
	for i, v := range wrt {
		d, ok := b.sums[v]
		if !ok {
			return nil, fmt.Errorf("graph: the loss does not depend on %q (%s)", v.Node.Name, v.Node.Op)
		}
		grads[i] = d
	}
	return grads, nil
}

type backward struct {
	g      *Graph
	needed map[*Node]bool
	sums   map[Value]Value // gradient of each value, as far as collected
}

// passes reports whether a derivative has to pass through n to an operand.
func (b *backward) passes(n *Node) bool {
	return slices.ContainsFunc(n.In, func(in Value) bool { return !in.IsNone() && b.needed[in.Node] })
}

// one is the derivative of the loss by itself.
func (b *backward) one() Value {
	n := b.g.one(OpBroadcast, Shape{}, Value{})
	n.Alpha = 1
	return Value{Node: n}
}

func (b *backward) add(v, d Value) {
	if !b.needed[v.Node] {
		return
	}
	if s, ok := b.sums[v]; ok {
		d = b.g.Add(s, d)
	}
	b.sums[v] = d
}

// like adds a node with one result of the shape of v.
func (b *backward) like(op Op, v Value, in ...Value) *Node {
	return b.g.one(op, v.Shape(), in...)
}

func (b *backward) node(n *Node) error {
	g, in := b.g, n.In
	for i := 1; i < len(n.Shapes); i++ {
		if _, ok := b.sums[Value{n, i}]; ok && n.Op != OpCosine {
			return fmt.Errorf("%w: result %d of %s", ErrNoDerivative, i+1, n.Op)
		}
	}
	d, ok := b.sums[Value{n, 0}]
	if !ok && n.Op != OpCosine {
		return nil // no path from here to the loss
	}
	needs := func(i int) bool { return b.needed[in[i].Node] }
	switch n.Op {
	case OpConv:
		if needs(0) {
			dx := b.like(OpConvBackwardData, in[0], d, in[1])
			dx.Window = n.Window
			b.add(in[0], Value{Node: dx})
		}
		if needs(1) {
			dw := b.like(OpConvBackwardWeights, in[1], in[0], d)
			dw.Window = n.Window
			b.add(in[1], Value{Node: dw})
		}
		if len(in) == 3 && needs(2) {
			b.add(in[2], Value{Node: b.like(OpChannelSum, in[2], d)})
		}
	case OpBatchNormTrain:
		m := g.add(Node{
			Op: OpBatchNormBackward, In: []Value{in[0], d, in[1], {n, 1}, {n, 2}},
			Shapes: []Shape{in[0].Shape(), in[1].Shape(), in[2].Shape()}, Alpha: n.Alpha,
		})
		for i := range in {
			b.add(in[i], Value{m, i})
		}
	case OpReLU:
		b.add(in[0], Value{Node: b.like(OpReLUBackward, in[0], Value{Node: n}, d)})
	case OpAdd:
		b.add(in[0], d)
		b.add(in[1], d)
	case OpMul:
		if needs(0) {
			b.add(in[0], g.Mul(d, in[1]))
		}
		if needs(1) {
			b.add(in[1], g.Mul(d, in[0]))
		}
	case OpAffine:
		b.add(in[0], g.Affine(d, n.Alpha, 0))
	case OpMix:
		if needs(0) {
			b.add(in[0], g.Affine(d, n.Alpha, 0))
		}
		if needs(1) {
			b.add(in[1], g.Affine(d, n.Beta, 0))
		}
	case OpMaxPool:
		dx := b.like(OpMaxPoolBackward, in[0], Value{n, 1}, d)
		dx.Window = n.Window
		b.add(in[0], Value{Node: dx})
	case OpResize:
		b.add(in[0], Value{Node: b.like(OpResizeBackward, in[0], d)})
	case OpMeanPool:
		b.add(in[0], Value{Node: b.like(OpMeanPoolBackward, in[0], d)})
	case OpConcat:
		first := 0
		for i, x := range in {
			count := x.Shape()[1]
			if needs(i) {
				b.add(x, g.Slice(d, first, count))
			}
			first += count
		}
	case OpSlice:
		dx := b.like(OpPadChannels, in[0], d)
		dx.First = n.First
		b.add(in[0], Value{Node: dx})
	case OpCosine:
		ds, both := b.sums[Value{n, 1}]
		if !ok && !both {
			return nil
		}
		m := g.add(Node{
			Op: OpCosineBackward, In: []Value{in[0], in[1], d, ds},
			Shapes: []Shape{in[0].Shape(), in[1].Shape()}, Alpha: n.Alpha,
		})
		b.add(in[0], Value{m, 0})
		b.add(in[1], Value{m, 1})
	case OpSigmoid:
		b.add(in[0], Value{Node: b.like(OpSigmoidBackward, in[0], Value{Node: n}, d)})
	case OpSum:
		b.add(in[0], Value{Node: b.like(OpBroadcast, in[0], d)})
	case OpFocal, OpL1, OpCrossEntropy:
		if needs(1) {
			return fmt.Errorf("%w: %s by its target", ErrNoDerivative, n.Op)
		}
		op := map[Op]Op{OpFocal: OpFocalBackward, OpL1: OpL1Backward, OpCrossEntropy: OpCrossEntropyBackward}[n.Op]
		dp := b.like(op, in[0], in[0], in[1], d)
		dp.Alpha = n.Alpha
		b.add(in[0], Value{Node: dp})
	default:
		return fmt.Errorf("%w: %s", ErrNoDerivative, n.Op)
	}
	return nil
}
