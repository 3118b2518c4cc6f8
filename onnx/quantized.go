package onnx

import (
	"encoding/binary"
	"math"

	"github.com/destseg/destseg/graph"
)

// levels is how many values 8 bits tell apart.
const levels = 256

// quantize writes the rounding of a value: to integers and straight back, by which
// consumers know what to compute in integers. All of them are uint8, whatever their
// sign, as ONNX Runtime joins a sum with its rounding if operands are of one type.
//
// What is joined along channels is rounded piece by piece before that, as ONNX Runtime
// computes a convolution in integers only if its very result is rounded; the same
// rounding once more changes nothing.
func (l *lowering) quantize(n *graph.Node) {
	joined := n.In[0].Node
	if !l.splits(joined) {
		l.set(n, 0, l.round(l.as(n.In[0], float32s), n), float32s)
		return
	}
	pieces := make([]string, len(joined.In))
	for i, v := range joined.In {
		pieces[i] = l.round(l.as(v, float32s), n)
	}
	l.set(n, 0, l.round(l.node("Concat", pieces, attribute{"axis", 1}), n), float32s)
}

// addend rounds the operand v, called x, of a sum where it is the result of a convolution
// of integers, for the same reason. Our engine has no need to, and no step for it. It is
// done where residual and sum are rounded as well and tell how far the result counts:
// below that the sum is negative, and a ReLU cuts it; above, its rounding does.
func (l *lowering) addend(x string, v, residual graph.Value, sum *graph.Node) string {
	relu := l.reader(graph.Value{Node: sum}, graph.OpReLU)
	if relu == nil || residual.Node.Op != graph.OpQuantize || !integral(v) {
		return x
	}
	after := l.reader(graph.Value{Node: relu}, graph.OpQuantize)
	if after == nil || after.Alpha < 0 || after.First != 0 {
		return x
	}
	lowest, highest := reach(residual.Node)
	_, most := reach(after)
	step := (most - lowest + highest) / (levels - 1)
	return l.roundTo(x, step, int(math.Round(highest/step)))
}

// integral reports whether a value comes from a convolution with rounded weights, but
// for its batch norm.
func integral(v graph.Value) bool {
	n := v.Node
	if n.Op == graph.OpBatchNorm {
		n = n.In[0].Node
	}
	return n.Op == graph.OpConv && n.In[1].Node.Op == graph.OpQuantizeWeights
}

// reach returns the lowest and the highest number that a quantization gives.
func reach(n *graph.Node) (lowest, highest float64) {
	lowest, highest = n.Alpha*float64(n.First), n.Alpha*float64(n.First+levels-1)
	return min(lowest, highest), max(lowest, highest)
}

// round rounds as the quantization n does.
func (l *lowering) round(x string, n *graph.Node) string {
	zero := -n.First
	if n.Alpha < 0 { // levels count downwards
		zero = levels - 1 + n.First
	}
	return l.roundTo(x, math.Abs(n.Alpha), zero)
}

// roundTo rounds to multiples of a step, of which zero are negative.
func (l *lowering) roundTo(x string, step float64, zero int) string {
	scale, at := l.scalar(float32(step)), l.share("zero", uint8s, nil, []byte{byte(zero)})
	return l.node("DequantizeLinear", []string{l.node("QuantizeLinear", []string{x, scale, at}), scale, at})
}

// roundedWeights adds a convolution's weights, as graph.OpQuantizeWeights rounds them, and
// its bias, both in the integers that convolutions of integers take, and returns what
// they stand for. Each output channel of w is to be multiplied by one of factors; step is
// that of what the convolution reads.
func (l *lowering) roundedWeights(name string, shape graph.Shape, w, factors, bias []float64, step float64) []string {
	const (
		largest = 127      // level of a weight
		widest  = 1 << 30  // of a bias
		least   = 0x1p-100 // step, above what float32 cuts off
	)
	channels, each := len(factors), len(w)/len(factors)
	integers, sums := make([]byte, len(w)), make([]byte, 0, 4*channels)
	steps, products := make([]float32, channels), make([]float32, channels)
	for o, factor := range factors {
		channel := w[o*each : (o+1)*each]
		most := 0.0
		for _, x := range channel {
			most = max(most, math.Abs(x))
		}
		own := max(most/largest, least)
		// The bias counts in the product of both steps. Where the weights are next to
		// nothing beside it, they take coarser steps, so that it has room.
		steps[o] = float32(max(own*math.Abs(factor), math.Abs(bias[o]/(step*widest)), least))
		for i, x := range channel {
			level := math.RoundToEven(x/own) * own * factor / float64(steps[o])
			integers[o*each+i] = byte(int8(math.RoundToEven(level)))
		}
		products[o] = steps[o] * float32(math.Abs(step))
		sums = binary.LittleEndian.AppendUint32(sums, uint32(int32(math.RoundToEven(bias[o]/float64(products[o])))))
	}
	axis := attribute{"axis", 0}
	return []string{
		l.node("DequantizeLinear", []string{
			l.constant(name+".weight", int8s, shape, integers),
			l.constant(name+".weight_step", float32s, []int{channels}, floatBytes(steps)),
		}, axis),
		l.node("DequantizeLinear", []string{
			l.constant(name+".bias", int32s, []int{channels}, sums),
			l.constant(name+".bias_step", float32s, []int{channels}, floatBytes(products)),
		}, axis),
	}
}
