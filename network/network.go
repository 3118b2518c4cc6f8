package network

import (
	"fmt"
	"strings"

	"github.com/destseg/destseg/graph"
)

// Names of the inputs and outputs of the graphs.
const (
	Image     = "image"     // input N×3×H×W, normalised: the picture to inspect
	Clean     = "clean"     // input N×3×H×W, normalised: good picture, stage 1
	Corrupted = "corrupted" // input N×3×H×W, normalised: the same with a synthetic anomaly
	Mask      = "mask"      // input N×1×H×W in [0,1]: where it was corrupted, stage 2

	Rate     = "rate"      // input, scalar: learning rate of the student
	RateRes  = "rate.res"  // input, scalar: learning rate of segmentation_net.res
	RateHead = "rate.head" // input, scalar: learning rate of segmentation_net.head

	Segmentation = "segmentation" // output N×1×H/4×W/4: anomaly map in [0,1]
	DeST         = "dest"         // output N×1×H/4×W/4: product of the three cosine distances

	CosineLoss = "loss.cosine" // output, scalar: sum over scales and batch of the mean distance (eq. 2), unscaled
	FocalLoss  = "loss.focal"  // output, scalar (section 3.4)
	L1Loss     = "loss.l1"     // output, scalar (section 3.4)
)

// Distance names the output N×1×H/2^(k+1)×W/2^(k+1) that holds 1 − cosine
// similarity of teacher and student at scale k = 1, 2, 3.
func Distance(k int) string { return fmt.Sprintf("distance.%d", k) }

// TeacherFeature names the output of the teacher's feature at scale k.
func TeacherFeature(k int) string { return fmt.Sprintf("teacher.%d", k) }

// StudentFeature names the output of the student's feature at scale k.
func StudentFeature(k int) string { return fmt.Sprintf("student.%d", k) }

// MomentumOf names the momentum buffer of a parameter in a training graph.
func MomentumOf(parameter string) string { return "momentum/" + parameter }

// GradientOf names the output that holds a parameter's gradient, if
// Training.Gradients asks for it.
func GradientOf(parameter string) string { return "gradient/" + parameter }

// Stride is the factor between the picture and the coarsest feature: heights
// and widths must be its multiples.
const Stride = 32

// MapStride is the factor between the picture and the anomaly map.
const MapStride = 4

// Size is what a graph is built for.
type Size struct{ Batch, Height, Width int }

// Check returns an error that says what is wrong with s, if anything is.
func (s Size) Check() error {
	if s.Batch < 1 {
		return fmt.Errorf("batch of %d pictures; at least 1 is needed", s.Batch)
	}
	if s.Height < Stride || s.Width < Stride || s.Height%Stride != 0 || s.Width%Stride != 0 {
		return fmt.Errorf("network size %d×%d; width and height must be multiples of %d", s.Width, s.Height, Stride)
	}
	return nil
}

const (
	normEpsilon    = 1e-5  // of every batch norm
	statMomentum   = 0.1   // share of the batch in the running statistics
	cosineEpsilon  = 1e-12 // added to the channel norms
	focalGamma     = 4.0   // section 3.4
	maskThreshold  = 0.5   // of the mask after it is resized to the map
	outputChannels = 256   // of every layer of the segmentation network
	trunkChannels  = 512   // of ResNet-18's last stage
)

var asppDilations = [...]int{6, 12, 18}

// Inference builds the whole detector with frozen weights: input Image,
// outputs Segmentation, DeST and the distances. With features, the raw (not
// normalised) features of teacher and student are outputs as well.
func Inference(size Size, features bool) (*graph.Graph, error) {
	if err := size.Check(); err != nil {
		return nil, err
	}
	b := newBuilder()
	image := b.g.Input(Image, size.Batch, 3, size.Height, size.Width)
	teacher := b.teacher(image)
	student := b.student(image)
	fused, similarity := b.compare(teacher, student)
	b.g.Output(Segmentation, b.segmentation(fused))

	height, width := size.Height/MapStride, size.Width/MapStride
	var product graph.Value
	for i, s := range similarity {
		distance := b.g.Affine(s, -1, 1)
		b.g.Output(Distance(i+1), distance)
		distance = b.g.Resize(distance, height, width)
		if i == 0 {
			product = distance
		} else {
			product = b.g.Mul(product, distance)
		}
	}
	b.g.Output(DeST, product)
	if features {
		for i := range teacher {
			b.g.Output(TeacherFeature(i+1), teacher[i])
			b.g.Output(StudentFeature(i+1), student[i])
		}
	}
	return b.g, nil
}

// Training holds what a training step is built from, besides its size.
type Training struct {
	Momentum    float64 // of the gradient descent, 0.9 as published
	WeightDecay float64 // on every parameter but where a step says otherwise, 1e-4 as published
	// LossScale multiplies the student's loss in front of the gradients, but
	// not in the output. The loss is a sum over the batch, so a batch B takes
	// the published rate with a scale of 32/B. 0 means 1.
	LossScale float64
	Gradients bool // make every gradient an output, for tests
}

// StudentStep builds one step of stage 1: the student in training mode learns
// to give, for the corrupted picture, the teacher's features of the clean one.
// Inputs Clean, Corrupted and Rate; output CosineLoss, from before the update.
func StudentStep(size Size, t Training) (*graph.Graph, error) {
	if err := size.Check(); err != nil {
		return nil, err
	}
	b := newBuilder()
	clean := b.g.Input(Clean, size.Batch, 3, size.Height, size.Width)
	corrupted := b.g.Input(Corrupted, size.Batch, 3, size.Height, size.Width)
	rate := b.g.Input(Rate)
	teacher := b.teacher(clean)
	b.training = true
	student := b.student(corrupted)

	var loss graph.Value
	for i := range teacher {
		_, similarity := b.g.Cosine(teacher[i], student[i], cosineEpsilon)
		shape := similarity.Shape()
		pixels := float64(shape[2] * shape[3])
		term := b.g.Affine(b.g.Sum(similarity), -1/pixels, float64(size.Batch))
		if i == 0 {
			loss = term
		} else {
			loss = b.g.Add(loss, term)
		}
	}
	b.g.Output(CosineLoss, loss)
	if t.LossScale != 0 && t.LossScale != 1 {
		loss = b.g.Affine(loss, t.LossScale, 0)
	}
	return b.g, b.descend(loss, t, func(graph.Value) (graph.Value, float64) { return rate, t.WeightDecay })
}

// SegmentationStep builds one step of stage 2: the student is frozen and the
// segmentation network learns the mask. Inputs Corrupted, Mask, RateRes and
// RateHead; outputs FocalLoss and L1Loss, from before the update.
func SegmentationStep(size Size, t Training) (*graph.Graph, error) {
	if err := size.Check(); err != nil {
		return nil, err
	}
	b := newBuilder()
	corrupted := b.g.Input(Corrupted, size.Batch, 3, size.Height, size.Width)
	mask := b.g.Input(Mask, size.Batch, 1, size.Height, size.Width)
	rateRes, rateHead := b.g.Input(RateRes), b.g.Input(RateHead)
	teacher := b.teacher(corrupted)
	student := b.student(corrupted)
	fused, _ := b.compare(teacher, student)
	b.training = true
	segmentation := b.segmentation(fused)

	target := b.g.Step(b.g.Resize(mask, size.Height/MapStride, size.Width/MapStride), maskThreshold)
	focal := b.g.Focal(segmentation, target, focalGamma)
	l1 := b.g.L1(segmentation, target)
	b.g.Output(FocalLoss, focal)
	b.g.Output(L1Loss, l1)
	return b.g, b.descend(b.g.Add(focal, l1), t, func(p graph.Value) (graph.Value, float64) {
		if strings.HasPrefix(p.Node.Name, resPrefix) {
			return rateRes, t.WeightDecay
		}
		return rateHead, t.WeightDecay
	})
}
