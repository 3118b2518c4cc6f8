//go:build cgo

package onednn_test

import (
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/onednn"
	"github.com/destseg/destseg/internal/golden"
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
	golden.Conformance(t, open(t), engine.Options{Precision: engine.Float32, Threads: 2}, 1e-5)
}

func TestForward(t *testing.T) {
	golden.Forward(t, open(t), engine.Options{Precision: engine.Float32, Threads: 2}, 3*6e-7)
}

func TestStudent(t *testing.T) {
	golden.Student(t, open(t), engine.Options{Precision: engine.Float32, Threads: 2}, golden.Limits{
		FirstLoss: 3 * 1e-7, LastLoss: 3 * 1.4e-3, GradientNorm: 3 * 2e-3, GradientHead: 3 * 1e-2, First: 3 * 1e-3,
	})
}

func TestSegmentation(t *testing.T) {
	golden.Segmentation(t, open(t), engine.Options{Precision: engine.Float32, Threads: 2}, golden.Limits{
		FirstLoss: 3 * 1e-7, LastLoss: 3 * 1e-7, GradientNorm: 3 * 3e-4, GradientHead: 3 * 3e-4, First: 3 * 5e-5, Last: 3 * 5e-5,
	})
}
