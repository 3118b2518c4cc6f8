package plain_test

import (
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/plain"
	"github.com/destseg/destseg/internal/golden"
)

func TestConformance(t *testing.T) {
	for _, threads := range []int{1, 3} {
		golden.Conformance(t, plain.New(), engine.Options{Threads: threads}, 3e-6)
	}
}

// exact binds the float64 engine. The vectors of inference are stored in
// float32.
const exact = 1e-6

var exactLimits = golden.Limits{
	FirstLoss: exact, LastLoss: exact, GradientNorm: exact, GradientHead: exact, First: exact, Last: exact,
}

// The limits in float32 are three times what PyTorch's own float32 shows, as
// testdata/golden/README.md has it.

func TestForward(t *testing.T) {
	t.Run("float32", func(t *testing.T) { golden.Forward(t, plain.New(), engine.Options{}, 3*6e-7) })
	t.Run("float64", func(t *testing.T) { golden.Forward(t, plain.NewFloat64(), engine.Options{}, exact) })
}

func TestStudent(t *testing.T) {
	t.Run("float32", func(t *testing.T) {
		golden.Student(t, plain.New(), engine.Options{}, golden.Limits{
			FirstLoss: 3 * 1e-7, LastLoss: 3 * 1.4e-3, GradientNorm: 3 * 2e-3, GradientHead: 3 * 1e-2, First: 3 * 1e-3,
		})
	})
	t.Run("float64", func(t *testing.T) { golden.Student(t, plain.NewFloat64(), engine.Options{}, exactLimits) })
}

func TestSegmentation(t *testing.T) {
	t.Run("float32", func(t *testing.T) {
		golden.Segmentation(t, plain.New(), engine.Options{}, golden.Limits{
			FirstLoss: 3 * 1e-7, LastLoss: 3 * 1e-7, GradientNorm: 3 * 3e-4, GradientHead: 3 * 3e-4, First: 3 * 5e-5, Last: 3 * 5e-5,
		})
	})
	t.Run("float64", func(t *testing.T) { golden.Segmentation(t, plain.NewFloat64(), engine.Options{}, exactLimits) })
}
