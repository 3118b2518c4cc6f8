package graph

// Op names an operation. The comment beside each gives its operands, its
// results and its formula; it is the contract that every engine fulfils.
//
// Sums over pixels, statistics and losses are accumulated in at least float32
// whatever the precision of the activations.
type Op uint8

const (
	opInvalid Op = iota

	OpInput    // () → the tensor written under Name
	OpVariable // () → the tensor kept under Name

	// OpConv: (x N×C×H×W, w O×C×K×K[, bias O]) → N×O×H'×W', cross-correlation with Window.
	OpConv
	// OpBatchNorm: (x, scale C, shift C, mean C, variance C) → scale·(x−mean)/√(variance+Alpha)+shift.
	OpBatchNorm
	// OpBatchNormTrain: (x, scale, shift) → y, mean C, variance C (biased), with the statistics of the batch; Alpha as above.
	OpBatchNormTrain
	// OpReLU: (x) → max(x, 0).
	OpReLU
	// OpAdd: (a, b), same shape → a+b.
	OpAdd
	// OpMul: (a, b), same shape → a·b.
	OpMul
	// OpAffine: (x) → Alpha·x+Beta.
	OpAffine
	// OpMix: (a, b), same shape → Alpha·a+Beta·b.
	OpMix
	// OpMaxPool: (x) → y, place. Padding never wins. place is known to the engine alone and feeds OpMaxPoolBackward.
	OpMaxPool
	// OpResize: (x N×C×H×W) → N×C×H'×W', bilinear with half-pixel centres, edges replicated.
	OpResize
	// OpMeanPool: (x N×C×H×W) → N×C×1×1, mean over all pixels.
	OpMeanPool
	// OpConcat: (x1, x2, …) → joined along channels.
	OpConcat
	// OpSlice: (x N×C×H×W) → channels from First on, as many as the result has.
	OpSlice
	// OpCosine: (a, b N×C×H×W) → product N×C×H×W, similarity N×1×H×W. With â = a/(‖a‖+Alpha), norms over
	// channels: product = â·b̂ element by element, similarity its sum over channels.
	OpCosine
	// OpSigmoid: (x) → 1/(1+e^−x).
	OpSigmoid
	// OpStep: (x) → 1 where x ≥ Alpha, else 0. It has no derivative.
	OpStep
	// OpQuantize: (x N×C×H×W) → Alpha·q, where the level q is x/Alpha rounded to the nearest whole number, to the even one
	// of two, and cut to First…First+255. Alpha may be negative. A NaN is lost. It has no derivative.
	OpQuantize
	// OpQuantizeWeights: (w O×C×K×K) → each output channel o rounded likewise to s·q with a step s of its own, max|w_o|/127,
	// and q in −127…127. It has no derivative.
	OpQuantizeWeights
	// OpSum: (x) → scalar, the sum of all elements.
	OpSum
	// OpFocal: (p, t), same shape → scalar, mean of −log(q)·(1−q)^Alpha with q = p where t is 1 and 1−p where t is 0;
	// the logarithm is cut at −100.
	OpFocal
	// OpL1: (p, t), same shape → scalar, mean of |p−t|.
	OpL1
	// OpCrossEntropy: (x N×C×H×W logits, t likewise, the share of each class, which sum to 1) → scalar, mean over
	// pictures and pixels of −Σ s·log softmax(x) over channels, with smoothed labels s = (1−Alpha)·t+Alpha/C.
	OpCrossEntropy

	// Backward operations. dy is the gradient of the forward result, and the result has the shape of the operand
	// differentiated by.

	// OpConvBackwardData: (dy, w) → dx.
	OpConvBackwardData
	// OpConvBackwardWeights: (x, dy) → dw.
	OpConvBackwardWeights
	// OpChannelSum: (dy N×C×H×W) → C, sum over batch and pixels: the gradient of a bias.
	OpChannelSum
	// OpBatchNormBackward: (x, dy, scale, mean, variance) → dx, dscale, dshift, through the statistics; Alpha as forward.
	OpBatchNormBackward
	// OpReLUBackward: (y, dy) → dy where y > 0, else 0.
	OpReLUBackward
	// OpMaxPoolBackward: (place, dy) → dx.
	OpMaxPoolBackward
	// OpResizeBackward: (dy) → dx, the transpose of OpResize.
	OpResizeBackward
	// OpMeanPoolBackward: (dy N×C×1×1) → dx = dy/(H·W) everywhere.
	OpMeanPoolBackward
	// OpPadChannels: (dy) → zeros, but for dy in the channels from First on: the transpose of OpSlice.
	OpPadChannels
	// OpCosineBackward: (a, b, dproduct or none, dsimilarity or none) → da, db.
	OpCosineBackward
	// OpSigmoidBackward: (y, dy) → dy·y·(1−y).
	OpSigmoidBackward
	// OpBroadcast: (scalar) → the scalar everywhere. Without operand: Alpha everywhere.
	OpBroadcast
	// OpFocalBackward: (p, t, dy scalar) → dp. The pole of the logarithm is kept off by a floor of 1e-12 under q, as PyTorch does.
	OpFocalBackward
	// OpL1Backward: (p, t, dy scalar) → dp, 0 where p = t.
	OpL1Backward
	// OpCrossEntropyBackward: (x, t, dy scalar) → dx; Alpha as forward.
	OpCrossEntropyBackward

	// OpSGD: (w, gradient, momentum, rate scalar) → w', momentum'. With g = gradient+Beta·w:
	// momentum' = Alpha·momentum+g, w' = w−rate·momentum'.
	OpSGD

	opCount
)

var opNames = [opCount]string{
	OpInput: "input", OpVariable: "variable",
	OpConv: "conv", OpBatchNorm: "batch-norm", OpBatchNormTrain: "batch-norm-train", OpReLU: "relu", OpAdd: "add",
	OpMul: "mul", OpAffine: "affine", OpMix: "mix", OpMaxPool: "max-pool", OpResize: "resize", OpMeanPool: "mean-pool",
	OpConcat: "concat", OpSlice: "slice", OpCosine: "cosine", OpSigmoid: "sigmoid", OpStep: "step",
	OpQuantize: "quantize", OpQuantizeWeights: "quantize-weights", OpSum: "sum",
	OpFocal: "focal", OpL1: "l1", OpCrossEntropy: "cross-entropy",
	OpConvBackwardData: "conv-backward-data", OpConvBackwardWeights: "conv-backward-weights", OpChannelSum: "channel-sum",
	OpBatchNormBackward: "batch-norm-backward", OpReLUBackward: "relu-backward", OpMaxPoolBackward: "max-pool-backward",
	OpResizeBackward: "resize-backward", OpMeanPoolBackward: "mean-pool-backward", OpPadChannels: "pad-channels",
	OpCosineBackward: "cosine-backward", OpSigmoidBackward: "sigmoid-backward", OpBroadcast: "broadcast",
	OpFocalBackward: "focal-backward", OpL1Backward: "l1-backward", OpCrossEntropyBackward: "cross-entropy-backward",
	OpSGD: "sgd",
}

// String returns the operation's short name.
func (op Op) String() string {
	if op <= opInvalid || op >= opCount {
		return "invalid"
	}
	return opNames[op]
}
