package network

import (
	"fmt"

	"github.com/destseg/destseg/graph"
)

// Names of what a classifier's graphs have besides Image and Rate.
const (
	Target    = "target"     // input N×classes×1×1: the share of each class, which sum to 1
	Logits    = "logits"     // output N×classes×1×1, before the softmax
	ClassLoss = "loss.class" // output, scalar: cross-entropy with smoothed labels, mean over the batch
)

// Names of the tensors of a classifier's linear layer.
const (
	ClassifierWeight = "fc.weight"
	ClassifierBias   = "fc.bias"
)

// Classifier builds a whole ResNet-18 (He et al., CVPR 2016) with frozen weights
// for that many classes, from which a teacher is cut: input Image, output Logits.
// Its tensors are those of [ClassifierTensors].
func Classifier(size Size, classes int) (*graph.Graph, error) {
	b, logits, err := newClassifier(size, classes, false)
	if err != nil {
		return nil, err
	}
	b.g.Output(Logits, logits)
	return b.g, nil
}

// ClassifierStep builds one step of a classifier's training. Inputs Image, Target
// and Rate; output ClassLoss, from before the update. smoothing is the part of each
// label that is spread over all classes. Weight decay acts on the weights of
// convolutions and of the linear layer, not on vectors; t.LossScale has no part here.
func ClassifierStep(size Size, classes int, smoothing float64, t Training) (*graph.Graph, error) {
	b, logits, err := newClassifier(size, classes, true)
	if err != nil {
		return nil, err
	}
	loss := b.g.CrossEntropy(logits, b.g.Input(Target, logits.Shape()...), smoothing)
	b.g.Output(ClassLoss, loss)
	rate := b.g.Input(Rate)
	return b.g, b.descend(loss, t, func(p graph.Value) (graph.Value, float64) {
		if len(p.Shape()) == 1 {
			return rate, 0
		}
		return rate, t.WeightDecay
	})
}

func newClassifier(size Size, classes int, training bool) (*builder, graph.Value, error) {
	if err := size.Check(); err != nil {
		return nil, graph.Value{}, err
	}
	if classes < 2 {
		return nil, graph.Value{}, fmt.Errorf("a classifier for %d classes; there must be two at least", classes)
	}
	b := newBuilder()
	b.training = training
	image := b.g.Input(Image, size.Batch, 3, size.Height, size.Width)
	features := b.trunk("", image, 4)
	pooled := b.g.MeanPool(features[3])
	w := b.parameter(ClassifierWeight, classes, pooled.Shape()[1], 1, 1)
	bias := b.parameter(ClassifierBias, classes)
	return b, b.g.ConvBias(pooled, w, bias, graph.Window{Stride: 1, Dilation: 1}), nil
}

// ClassifierTensors lists the tensors of a classifier under torchvision's names,
// in the order in which the network uses them. The linear layer's weights are those of a
// convolution, classes×512×1×1; torchvision has them without the last two.
func ClassifierTensors(classes int) []Tensor {
	b, _, err := newClassifier(Size{1, Stride, Stride}, classes, false)
	if err != nil {
		panic(err) // the size above is a valid one
	}
	return tensors(b.g)
}
