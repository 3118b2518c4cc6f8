package network

import (
	"math"
	"math/rand/v2"
	"strings"

	"github.com/destseg/destseg/graph"
)

// A Tensor is one entry of the state dict: a parameter or a running statistic.
type Tensor struct {
	Name  string // as published
	Shape graph.Shape
}

// Tensors lists the state dict in the order in which the networks use it.
// The counters num_batches_tracked, which nothing reads, are left out.
func Tensors() []Tensor {
	g, err := Inference(Size{1, Stride, Stride}, false)
	if err != nil {
		panic(err) // the size above is a valid one
	}
	return tensors(g)
}

func tensors(g *graph.Graph) []Tensor {
	list := make([]Tensor, len(g.Variables))
	for i, v := range g.Variables {
		list[i] = Tensor{v.Name, v.Shapes[0]}
	}
	return list
}

// Part is one of the three networks.
type Part int

// The three networks of a detector.
const (
	TeacherPart Part = iota
	StudentPart
	SegmentationPart
)

// Part tells which network a tensor belongs to.
func (t Tensor) Part() Part {
	switch {
	case strings.HasPrefix(t.Name, teacherPrefix):
		return TeacherPart
	case strings.HasPrefix(t.Name, studentPrefix):
		return StudentPart
	}
	return SegmentationPart
}

// TeacherName is a teacher tensor's name in a ResNet-18 file, without the
// prefix that it has in the state dict.
func TeacherName(name string) string { return strings.TrimPrefix(name, teacherPrefix) }

// Initial draws a tensor's value before training, row-major.
//
// The convolutions of the trunks and residual stages follow He's normal
// distribution over the fan-out, those of the segmentation head, and a
// classifier's linear layer, the uniform distribution ±1/√fan-in that PyTorch
// starts them with, as the published code has it. Batch norms start as the
// identity, but for the last one in each encoder block, which starts at zero.
func (t Tensor) Initial(random *rand.Rand) []float32 {
	v := make([]float32, t.Shape.Size())
	uniform := strings.HasPrefix(t.Name, segmentationPrefix+"head.") || t.Name == ClassifierWeight
	switch {
	case len(t.Shape) == 4 && !uniform:
		fanOut := t.Shape[0] * t.Shape[2] * t.Shape[3]
		deviation := math.Sqrt(2 / float64(fanOut))
		for i := range v {
			v[i] = float32(random.NormFloat64() * deviation)
		}
	case len(t.Shape) == 4, t.Name == segmentationPrefix+"head.4.bias", t.Name == ClassifierBias:
		fanIn := outputChannels
		if len(t.Shape) == 4 {
			fanIn = t.Shape[1] * t.Shape[2] * t.Shape[3]
		} else if t.Name == ClassifierBias {
			fanIn = trunkChannels
		}
		bound := 1 / math.Sqrt(float64(fanIn))
		for i := range v {
			v[i] = float32((2*random.Float64() - 1) * bound)
		}
	case strings.HasSuffix(t.Name, "running_var"), strings.HasSuffix(t.Name, "weight") && !t.startsAtZero():
		for i := range v {
			v[i] = 1
		}
	}
	return v
}

func (t Tensor) startsAtZero() bool {
	encoder := strings.HasPrefix(t.Name, studentPrefix+"encoder.layer") || strings.HasPrefix(t.Name, "layer") // a classifier's
	return encoder && strings.HasSuffix(t.Name, ".bn2.weight")
}
