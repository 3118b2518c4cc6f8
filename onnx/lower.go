package onnx

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/weights"
)

// A value is a result of the graph in the model.
type value struct {
	name string
	kind dataType
	// flat says that each picture has one value a channel, wherever on it, so that
	// height and width follow from nothing.
	flat bool
}

// A lowering writes the nodes of a graph into a model.
type lowering struct {
	*model
	half   bool
	tensor func(name string, v []float32) error

	picture string // name of the networks' input
	height  int    // of it, as the graph has it
	sizes   string // name of its height and width in int64; "": those of the graph

	uses   map[graph.Value]int
	users  map[graph.Value]*graph.Node // one of them
	values map[graph.Value]value
	casts  map[value]string // by name and the type to cast to
}

// lower writes what the outputs need.
func (l *lowering) lower(g *graph.Graph, outputs []graph.Value) error {
	l.uses, l.users = map[graph.Value]int{}, map[graph.Value]*graph.Node{}
	l.values, l.casts = map[graph.Value]value{}, map[value]string{}
	needed := map[*graph.Node]bool{}
	for _, v := range outputs {
		needed[v.Node] = true
		l.uses[v]++
	}
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		if n := g.Nodes[i]; needed[n] {
			for _, v := range n.In {
				needed[v.Node] = true
				l.uses[v]++
				l.users[v] = n
			}
		}
	}
	for _, n := range g.Nodes {
		if !needed[n] || n.Op == graph.OpVariable || n.Op == graph.OpQuantizeWeights || l.foldsInto(n) || l.splits(n) {
			continue
		}
		if err := l.translate(n); err != nil {
			return err
		}
	}
	return nil
}

// splits reports whether a concatenation is written with the quantization that follows.
func (l *lowering) splits(n *graph.Node) bool {
	return n.Op == graph.OpConcat && l.reader(graph.Value{Node: n}, graph.OpQuantize) != nil
}

// foldsInto reports whether a convolution is computed with the batch norm that follows.
func (l *lowering) foldsInto(n *graph.Node) bool {
	return n.Op == graph.OpConv && l.reader(graph.Value{Node: n}, graph.OpBatchNorm) != nil
}

// reader returns the one node that reads a value, if it is of that kind.
func (l *lowering) reader(v graph.Value, op graph.Op) *graph.Node {
	if n := l.users[v]; l.uses[v] == 1 && n != nil && n.Op == op {
		return n
	}
	return nil
}

// working is what convolutions compute in.
func (l *lowering) working() dataType {
	if l.half {
		return float16s
	}
	return float32s
}

// as returns the name of a value in a type.
func (l *lowering) as(v graph.Value, kind dataType) string {
	from := l.values[v]
	if from.kind == kind {
		return from.name
	}
	to := value{name: from.name, kind: kind}
	name, ok := l.casts[to]
	if !ok {
		name = l.cast(from.name, kind)
		l.casts[to] = name
	}
	return name
}

func (m *model) cast(name string, kind dataType) string {
	return m.node("Cast", []string{name}, attribute{"to", int(kind)})
}

// set says what a result is called.
func (l *lowering) set(n *graph.Node, index int, name string, kind dataType) {
	flat := n.Op == graph.OpMeanPool
	if len(n.In) > 0 && n.Op != graph.OpResize {
		flat = flat || l.values[n.In[0]].flat
	}
	l.values[graph.Value{Node: n, Index: index}] = value{name, kind, flat}
}

func (l *lowering) translate(n *graph.Node) error {
	// Of what a node computes in: the type of its operand, unless it says otherwise.
	var x string
	var kind dataType
	if len(n.In) > 0 {
		operand := l.values[n.In[0]]
		x, kind = operand.name, operand.kind
	}
	switch n.Op {
	case graph.OpInput:
		if n.Name != network.Image {
			return fmt.Errorf("onnx: input %q is none of the inference", n.Name)
		}
		l.height = n.Shapes[0][2]
		l.set(n, 0, l.picture, float32s)
	case graph.OpConv, graph.OpBatchNorm:
		return l.convolution(n)
	case graph.OpReLU:
		l.set(n, 0, l.node("Relu", []string{x}), kind)
	case graph.OpMaxPool:
		l.set(n, 0, l.node("MaxPool", []string{x}, window(n.Window)...), kind)
	case graph.OpAdd, graph.OpConcat:
		l.join(n)
	case graph.OpResize:
		l.resize(n)
	case graph.OpMeanPool: // of thousands of values, which half precision would not bear
		l.set(n, 0, l.node("GlobalAveragePool", []string{l.as(n.In[0], float32s)}), float32s)
	case graph.OpCosine:
		l.cosine(n)
	case graph.OpMul:
		l.set(n, 0, l.node("Mul", []string{l.as(n.In[0], float32s), l.as(n.In[1], float32s)}), float32s)
	case graph.OpAffine:
		l.affine(n)
	case graph.OpQuantize:
		l.quantize(n)
	case graph.OpSigmoid:
		l.set(n, 0, l.node("Sigmoid", []string{l.as(n.In[0], float32s)}), float32s)
	default:
		return fmt.Errorf("onnx: operation %v is none of the inference", n.Op)
	}
	return nil
}

// window returns the attributes of a convolution or a pool.
func window(w graph.Window) []attribute {
	return []attribute{
		{"dilations", []int{w.Dilation, w.Dilation}},
		{"kernel_shape", []int{w.Kernel, w.Kernel}},
		{"pads", []int{w.Padding, w.Padding, w.Padding, w.Padding}},
		{"strides", []int{w.Stride, w.Stride}},
	}
}

// convolution writes a convolution alone, or with the batch norm n that follows it.
func (l *lowering) convolution(n *graph.Node) error {
	conv, norm := n, (*graph.Node)(nil)
	if n.Op == graph.OpBatchNorm {
		if conv, norm = n.In[0].Node, n; !l.foldsInto(conv) {
			return fmt.Errorf("onnx: %q is a batch norm without a convolution of its own", n.In[1].Node.Name)
		}
	}
	variable, rounded := conv.In[1], conv.In[1].Node.Op == graph.OpQuantizeWeights
	if rounded {
		variable = variable.Node.In[0]
	}
	w, err := l.read(variable)
	if err != nil {
		return err
	}
	factors, bias, err := l.addition(conv, norm)
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(variable.Node.Name, ".weight")
	in := []string{l.as(conv.In[0], l.working())}
	if rounded {
		reads := conv.In[0].Node
		if reads.Op != graph.OpQuantize {
			return fmt.Errorf("onnx: %s has rounded weights and reads numbers that are not", name)
		}
		in = append(in, l.roundedWeights(name, variable.Shape(), w, factors, bias, reads.Alpha)...)
	} else {
		each := len(w) / len(factors)
		for i := range w {
			w[i] *= factors[i/each]
		}
		weight, err := l.weights(name+".weight", variable.Shape(), w)
		if err != nil {
			return err
		}
		offset, err := l.weights(name+".bias", variable.Shape()[:1], bias)
		if err != nil {
			return err
		}
		in = append(in, weight, offset)
	}
	// Not by set, since the operand of a batch norm is no value of the model.
	flat := l.values[conv.In[0]].flat
	l.values[graph.Value{Node: n}] = value{l.named(name, "Conv", in, window(conv.Window)...), l.working(), flat}
	return nil
}

// read returns a variable's values.
func (l *lowering) read(v graph.Value) ([]float64, error) {
	values := make([]float32, v.Shape().Size())
	if err := l.tensor(v.Node.Name, values); err != nil {
		return nil, err
	}
	wide := make([]float64, len(values))
	for i, x := range values {
		wide[i] = float64(x)
	}
	return wide, nil
}

// addition returns by what a convolution's output channels are multiplied, and what is
// added to them then: by the batch norm that follows, or its bias.
func (l *lowering) addition(conv, norm *graph.Node) (factors, bias []float64, err error) {
	channels := conv.Shapes[0][1]
	if norm == nil {
		factors = slices.Repeat([]float64{1}, channels)
		if len(conv.In) < 3 {
			return factors, make([]float64, channels), nil
		}
		bias, err = l.read(conv.In[2])
		return factors, bias, err
	}
	var of [4][]float64 // scale, shift, mean, variance
	for i := range of {
		if of[i], err = l.read(norm.In[1+i]); err != nil {
			return nil, nil, err
		}
	}
	factors, bias = make([]float64, channels), make([]float64, channels)
	for o := range factors {
		factors[o] = of[0][o] / math.Sqrt(of[3][o]+norm.Alpha)
		bias[o] = of[1][o] - of[2][o]*factors[o]
	}
	return factors, bias, nil
}

// weights adds a constant that convolutions read, rounded to what they compute in.
func (l *lowering) weights(name string, shape graph.Shape, v []float64) (string, error) {
	const largest = 65504 // of half precision
	narrow := make([]float32, len(v))
	for i, x := range v {
		if l.half && math.Abs(x) > largest {
			return "", fmt.Errorf("onnx: %s: %w: %v, with the batch norm folded in, is beyond half precision; export in fp32", name, ErrRange, x)
		}
		narrow[i] = float32(x)
	}
	raw := floatBytes(narrow)
	if l.half {
		raw = weights.FromFloat16(shape, narrow).Data
	}
	return l.constant(name, l.working(), shape, raw), nil
}

// join writes a sum or a concatenation, in what convolutions compute in.
func (l *lowering) join(n *graph.Node) {
	in := make([]string, len(n.In))
	for i, v := range n.In {
		in[i] = l.as(v, l.working())
	}
	if n.Op == graph.OpAdd {
		for i, v := range n.In {
			in[i] = l.addend(in[i], v, n.In[1-i], n)
		}
		l.set(n, 0, l.node("Add", in), l.working())
		return
	}
	l.set(n, 0, l.node("Concat", in, attribute{"axis", 1}), l.working())
}

// resize writes a resize by a whole factor, or lets a single value fill the picture.
func (l *lowering) resize(n *graph.Node) {
	x, shape := l.values[n.In[0]], n.Shapes[0]
	if x.flat {
		l.set(n, 0, l.node("Expand", []string{x.name, l.fraction(l.height/shape[2], shape)}), x.kind)
		return
	}
	from := n.In[0].Shape()
	scales := l.floats([]int{4}, 1, 1, float32(shape[2])/float32(from[2]), float32(shape[3])/float32(from[3]))
	l.set(n, 0, l.node("Resize", []string{x.name, "", scales}, bilinear()...), x.kind)
}

// bilinear returns the attributes of a resize as graph.OpResize has it.
func bilinear() []attribute {
	return []attribute{{"coordinate_transformation_mode", "half_pixel"}, {"mode", "linear"}}
}

// fraction returns the shape 1×1×H×W, a fraction of the picture's size.
func (l *lowering) fraction(divisor int, shape graph.Shape) string {
	if l.sizes == "" {
		return l.list(1, 1, shape[2], shape[3])
	}
	part := l.node("Div", []string{l.sizes, l.number(divisor)})
	return l.node("Concat", []string{l.list(1, 1), part}, attribute{"axis", 0})
}

// cosine writes the product and the similarity of two values along channels. Their
// squares would leave half precision.
func (l *lowering) cosine(n *graph.Node) {
	var unit [2]string
	for i, v := range n.In {
		x := l.as(v, float32s)
		norm := l.node("ReduceL2", []string{x}, attribute{"axes", []int{1}}, attribute{"keepdims", 1})
		unit[i] = l.node("Div", []string{x, l.node("Add", []string{norm, l.scalar(float32(n.Alpha))})})
	}
	product := l.node("Mul", unit[:])
	l.set(n, 0, product, float32s)
	if l.uses[graph.Value{Node: n, Index: 1}] > 0 {
		l.set(n, 1, l.node("ReduceSum", []string{product, l.list(1)}, attribute{"keepdims", 1}), float32s)
	}
}

func (l *lowering) affine(n *graph.Node) {
	x := l.as(n.In[0], float32s)
	switch n.Alpha {
	case 1:
	case -1:
		x = l.node("Neg", []string{x})
	default:
		x = l.node("Mul", []string{x, l.scalar(float32(n.Alpha))})
	}
	if n.Beta != 0 {
		x = l.node("Add", []string{x, l.scalar(float32(n.Beta))})
	}
	l.set(n, 0, x, float32s)
}
