package plain

import "github.com/destseg/destseg/graph"

// step returns the code of a node: the operands in, the results out, a nil
// result where nobody reads it. It returns nil for an unknown operation.
func (c *compiler[T]) step(n *graph.Node, in, out [][]T) func() {
	switch n.Op {
	case graph.OpConv:
		return c.convolution(n, in, out)
	case graph.OpConvBackwardData:
		return c.convolutionBackwardData(n, in, out)
	case graph.OpConvBackwardWeights:
		return c.convolutionBackwardWeights(n, in, out)
	case graph.OpChannelSum:
		return c.channelSum(n, in, out)

	case graph.OpBatchNorm:
		return c.batchNorm(n, in, out)
	case graph.OpBatchNormTrain:
		return c.batchNormTrain(n, in, out)
	case graph.OpBatchNormBackward:
		return c.batchNormBackward(n, in, out)

	case graph.OpMaxPool:
		return c.maxPool(n, in, out)
	case graph.OpMaxPoolBackward:
		return c.maxPoolBackward(n, in, out)
	case graph.OpMeanPool:
		return c.meanPool(n, in, out)
	case graph.OpMeanPoolBackward:
		return c.meanPoolBackward(n, in, out)
	case graph.OpResize:
		return c.resize(n, in, out)
	case graph.OpResizeBackward:
		return c.resizeBackward(n, in, out)

	case graph.OpConcat:
		return c.concat(n, in, out)
	case graph.OpSlice:
		return c.slice(n, in, out)
	case graph.OpPadChannels:
		return c.padChannels(n, in, out)

	case graph.OpCosine:
		return c.cosine(n, in, out)
	case graph.OpCosineBackward:
		return c.cosineBackward(n, in, out)

	case graph.OpReLU, graph.OpAffine, graph.OpSigmoid, graph.OpStep, graph.OpBroadcast:
		return c.unary(n, in, out)
	case graph.OpAdd, graph.OpMul, graph.OpMix, graph.OpReLUBackward, graph.OpSigmoidBackward:
		return c.binary(n, in, out)

	case graph.OpQuantize:
		return c.quantize(n, in, out)
	case graph.OpQuantizeWeights:
		return c.quantizeWeights(n, in, out)

	case graph.OpSum:
		return c.sum(in, out)
	case graph.OpFocal:
		return c.focal(n, in, out)
	case graph.OpFocalBackward:
		return c.focalBackward(n, in, out)
	case graph.OpL1:
		return c.l1(in, out)
	case graph.OpL1Backward:
		return c.l1Backward(in, out)
	case graph.OpCrossEntropy:
		return c.crossEntropy(n, in, out)
	case graph.OpCrossEntropyBackward:
		return c.crossEntropyBackward(n, in, out)
	case graph.OpSGD:
		return c.sgd(n, in, out)
	}
	return nil
}
