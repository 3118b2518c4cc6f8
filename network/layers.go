package network

import (
	"fmt"

	"github.com/destseg/destseg/graph"
)

const (
	teacherPrefix      = "teacher_net.encoder."
	studentPrefix      = "student_net."
	segmentationPrefix = "segmentation_net."
	resPrefix          = segmentationPrefix + "res."
)

// A builder adds layers to a graph. While training is set, batch norms use
// the statistics of the batch and parameters are collected for descent.
type builder struct {
	g         *graph.Graph
	training  bool
	trainable []graph.Value
}

func newBuilder() *builder { return &builder{g: new(graph.Graph)} }

func (b *builder) parameter(name string, shape ...int) graph.Value {
	v := b.g.Variable(name, shape...)
	if b.training {
		b.trainable = append(b.trainable, v)
	}
	return v
}

// descend adds the gradients of all trainable parameters and their updates. rate
// returns a parameter's learning rate and weight decay.
func (b *builder) descend(loss graph.Value, t Training, rate func(parameter graph.Value) (graph.Value, float64)) error {
	gradients, err := graph.Gradients(b.g, loss, b.trainable)
	if err != nil {
		return err
	}
	for i, p := range b.trainable {
		name := p.Node.Name
		if t.Gradients {
			b.g.Output(GradientOf(name), gradients[i])
		}
		buffer := b.g.Variable(MomentumOf(name), p.Shape()...)
		rate, decay := rate(p)
		b.g.SGD(p, gradients[i], buffer, rate, t.Momentum, decay)
	}
	return nil
}

// conv adds a convolution without bias that keeps the size but for its stride.
func (b *builder) conv(name string, x graph.Value, out, kernel, stride, dilation int) graph.Value {
	w := b.parameter(name+".weight", out, x.Shape()[1], kernel, kernel)
	return b.g.Conv(x, w, graph.Window{Stride: stride, Padding: dilation * (kernel / 2), Dilation: dilation})
}

func (b *builder) norm(name string, x graph.Value) graph.Value {
	shape := x.Shape()
	scale := b.parameter(name+".weight", shape[1])
	shift := b.parameter(name+".bias", shape[1])
	runningMean := b.g.Variable(name+".running_mean", shape[1])
	runningVar := b.g.Variable(name+".running_var", shape[1])
	if !b.training {
		return b.g.BatchNorm(x, scale, shift, runningMean, runningVar, normEpsilon)
	}
	y, mean, variance := b.g.BatchNormTrain(x, scale, shift, normEpsilon)
	// The running variance is the unbiased one. A single value has none, and
	// then the biased one stands in for it.
	count := float64(shape[0] * shape[2] * shape[3])
	unbias := count / max(count-1, 1)
	b.g.Update(runningMean, b.g.Mix(runningMean, mean, 1-statMomentum, statMomentum))
	b.g.Update(runningVar, b.g.Mix(runningVar, variance, 1-statMomentum, statMomentum*unbias))
	return y
}

// block is the basic residual block of He et al., CVPR 2016.
func (b *builder) block(name string, x graph.Value, out, stride int) graph.Value {
	y := b.g.ReLU(b.norm(name+".bn1", b.conv(name+".conv1", x, out, 3, stride, 1)))
	y = b.norm(name+".bn2", b.conv(name+".conv2", y, out, 3, 1, 1))
	if stride != 1 || x.Shape()[1] != out {
		x = b.norm(name+".downsample.1", b.conv(name+".downsample.0", x, out, 1, stride, 1))
	}
	return b.g.ReLU(b.g.Add(y, x))
}

// stage is two blocks, the first of which may change size and width.
func (b *builder) stage(name string, x graph.Value, out, stride int) graph.Value {
	return b.block(name+".1", b.block(name+".0", x, out, stride), out, 1)
}

// trunk is ResNet-18 up to the given number of stages; it returns the result
// of each.
func (b *builder) trunk(prefix string, x graph.Value, stages int) []graph.Value {
	x = b.g.ReLU(b.norm(prefix+"bn1", b.conv(prefix+"conv1", x, 64, 7, 2, 1)))
	x = b.g.MaxPool(x, graph.Window{Kernel: 3, Stride: 2, Padding: 1, Dilation: 1})
	features := make([]graph.Value, stages)
	for i := range features {
		stride := 2
		if i == 0 {
			stride = 1
		}
		x = b.stage(fmt.Sprintf("%slayer%d", prefix, i+1), x, 64<<i, stride)
		features[i] = x
	}
	return features
}

// teacher returns T1, T2 and T3.
func (b *builder) teacher(x graph.Value) []graph.Value { return b.trunk(teacherPrefix, x, 3) }

// student returns S1, S2 and S3: an encoder and a decoder that climbs back
// without skip connections (section 3.2).
func (b *builder) student(x graph.Value) []graph.Value {
	e := b.trunk(studentPrefix+"encoder.", x, 4)
	s := make([]graph.Value, 3)
	up := b.stage(studentPrefix+"decoder_layer4", e[3], 512, 1)
	for i := 2; i >= 0; i-- {
		like := e[i].Shape()
		up = b.stage(fmt.Sprintf("%sdecoder_layer%d", studentPrefix, i+1), b.g.Resize(up, like[2], like[3]), like[1], 1)
		s[i] = up
	}
	return s
}

// compare returns the input of the segmentation network, −T̂·Ŝ of all scales
// at 1/4 size, and the cosine similarity at each scale.
func (b *builder) compare(teacher, student []graph.Value) (fused graph.Value, similarity []graph.Value) {
	var parts []graph.Value
	size := teacher[0].Shape()
	for i := range teacher {
		product, s := b.g.Cosine(teacher[i], student[i], cosineEpsilon)
		parts = append(parts, b.g.Resize(b.g.Affine(product, -1, 0), size[2], size[3]))
		similarity = append(similarity, s)
	}
	return b.g.Concat(parts...), similarity
}

// normalised is a convolution with batch norm and ReLU, under the names that
// the published ASPP module gives them.
func (b *builder) normalised(name string, x graph.Value, kernel, dilation int) graph.Value {
	return b.g.ReLU(b.norm(name+".norm", b.conv(name+".conv", x, outputChannels, kernel, 1, dilation)))
}

// segmentation returns the anomaly map N×1×H/4×W/4 in [0,1] (section 3.3).
func (b *builder) segmentation(x graph.Value) graph.Value {
	x = b.stage(segmentationPrefix+"res", x, outputChannels, 1)

	const aspp = segmentationPrefix + "head.0."
	size := x.Shape()
	pooled := b.normalised(aspp+"aspp_feature_extractors.0.1", b.g.MeanPool(x), 1, 1)
	branches := []graph.Value{b.g.Resize(pooled, size[2], size[3])}
	for i, dilation := range asppDilations {
		branches = append(branches, b.normalised(fmt.Sprintf("%saspp_feature_extractors.%d", aspp, i+1), x, 3, dilation))
	}
	x = b.normalised(aspp+"aspp_fusion_layer", b.g.Concat(branches...), 3, 1)

	x = b.g.ReLU(b.norm(segmentationPrefix+"head.2", b.conv(segmentationPrefix+"head.1", x, outputChannels, 3, 1, 1)))
	w := b.parameter(segmentationPrefix+"head.4.weight", 1, outputChannels, 1, 1)
	bias := b.parameter(segmentationPrefix+"head.4.bias", 1)
	return b.g.Sigmoid(b.g.ConvBias(x, w, bias, graph.Window{Stride: 1, Dilation: 1}))
}
