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
func (l *lowering) quantize(n *graph.Node) {
	zero := -n.First
	if n.Alpha < 0 { // levels count downwards
		zero = levels - 1 + n.First
	}
	step := l.scalar(float32(math.Abs(n.Alpha)))
	at := l.share("zero", uint8s, nil, []byte{byte(zero)})
	x := l.node("QuantizeLinear", []string{l.as(n.In[0], float32s), step, at})
	l.set(n, 0, l.node("DequantizeLinear", []string{x, step, at}), float32s)
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
