//go:build cgo

package onednn_test

import (
	"errors"
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/onednn"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/internal/golden"
)

var (
	fp32 = engine.Options{Precision: engine.Float32, Threads: 2}
	bf16 = engine.Options{Precision: engine.BFloat16, Threads: 2}
)

func open(t testing.TB) engine.Engine {
	t.Helper()
	e, err := onednn.New()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestConformance(t *testing.T) {
	golden.Conformance(t, open(t), fp32, 1e-5, 1e-5)
}

// A rounding to bf16 is one of up to 2^-9 = 0.002. A residual block's backward
// pass piles up a dozen of them, over batches of a few numbers whose norm
// amplifies them and whose ReLUs flip; the case that trains on such batches
// three times is a check of the wiring only.
func TestConformanceBF16(t *testing.T) {
	golden.Conformance(t, open(t), bf16, 0.02, 0.4)
}

// In fp32 the limits are three times what PyTorch's own fp32 shows against the
// same vectors, with oneDNN as here. PyTorch with channels-first memory keeps
// within 6e-7 (features and maps), 1e-7 (losses of stage 2), 3e-4 (its first
// gradients) and 5e-5 (its parameters after three steps), as measured with the
// vectors; stage 1 needs no other limits here.
//
// Of the gradients of stage 2 that holds for the norms only. Their first
// elements, and what follows from them, hang on how many of 5 million ReLUs
// change sides by rounding. PyTorch with channels-last memory, the layout of
// this engine, has 7 to 14 of them; it strays by 9.2e-3 to 3.2e-2 in the first
// elements, and by 5e-4 in those of the parameters after three steps. With
// channels first, and pictures or weights changed by 1e-7, its gradients stray
// by up to 3.1e-3.

func TestForward(t *testing.T) {
	golden.Forward(t, open(t), fp32, 3*6e-7)
}

func TestStudent(t *testing.T) {
	golden.Student(t, open(t), fp32, golden.Limits{
		FirstLoss: 3 * 1e-7, LastLoss: 3 * 1.4e-3, GradientNorm: 3 * 2e-3, GradientHead: 3 * 1e-2, First: 3 * 1e-3,
	})
}

func TestSegmentation(t *testing.T) {
	golden.Segmentation(t, open(t), fp32, golden.Limits{
		FirstLoss: 3 * 1e-7, LastLoss: 3 * 1e-7, GradientNorm: 3 * 3e-4, GradientHead: 3 * 9.2e-3, First: 3 * 5e-5, Last: 3 * 5e-4,
	})
}

// In bf16 the limits are one and a half times what PyTorch 1.13 shows with
// autocast to bf16 against the same vectors, the worse of its two memory
// formats. Maps and features have no such peer: they get one and a half times
// what was measured here, 0.008.

func TestForwardBF16(t *testing.T) {
	golden.Forward(t, open(t), bf16, 1.5*0.008)
}

func TestStudentBF16(t *testing.T) {
	golden.Student(t, open(t), bf16, golden.Limits{FirstLoss: 1.5 * 5.9e-4, GradientNorm: 1.5 * 0.217, First: 1.5 * 0.113})
}

func TestSegmentationBF16(t *testing.T) {
	golden.Segmentation(t, open(t), bf16, golden.Limits{
		FirstLoss: 1.5 * 4.2e-3, LastLoss: 1.5 * 3.6e-3, GradientNorm: 1.5 * 0.179, First: 1.5 * 0.025, Last: 1.5 * 0.017,
	})
}

func TestTooManyChannels(t *testing.T) {
	g := new(graph.Graph)
	g.Output("y", g.ReLU(g.Input("x", 1, 2049, 1, 2)))
	if _, err := open(t).Compile(g, fp32); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}
