package plain_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/plain"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/internal/golden"
)

func TestConformance(t *testing.T) {
	for _, threads := range []int{1, 3} {
		golden.Conformance(t, plain.New(), engine.Options{Threads: threads}, 1e-6, 1e-6)
	}
}

// The vectors of inference are stored in float32, those of training in
// float64.
const exactForward, exact = 2e-7, 1e-9

var exactLimits = golden.Limits{
	FirstLoss: exact, LastLoss: exact, GradientNorm: exact, GradientHead: exact, First: exact, Last: exact,
}

// The limits in float32 are three times what PyTorch's own float32 shows, as
// testdata/golden/README.md has it.

func TestForward(t *testing.T) {
	t.Run("float32", func(t *testing.T) { golden.Forward(t, plain.New(), engine.Options{}, 3*6e-7) })
	t.Run("float64", func(t *testing.T) { golden.Forward(t, plain.NewFloat64(), engine.Options{}, exactForward) })
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

// TestThreads checks that results are the same to the bit on any number of
// threads.
func TestThreads(t *testing.T) {
	for _, c := range golden.Cases() {
		b := c.Build()
		for i, v := range b.Gradients() {
			b.Graph.Output("gradient/"+b.Wrt[i].Node.Name, v)
		}
		results := func(threads int) (all []float32) {
			p, err := plain.New().Compile(b.Graph, engine.Options{Threads: threads})
			if err != nil {
				t.Fatal(err)
			}
			for name, v := range b.Content(0) {
				write(t, p, name, v)
			}
			run(t, p)
			for _, out := range b.Graph.Outputs {
				v := make([]float32, out.Value.Shape().Size())
				if err := p.Read(out.Name, v); err != nil {
					t.Fatal(err)
				}
				all = append(all, v...)
			}
			return all
		}
		if one := results(1); !slices.Equal(one, results(2)) || !slices.Equal(one, results(7)) {
			t.Errorf("%s: results depend on the number of threads", c.Name)
		}
	}
}

func TestUnsupported(t *testing.T) {
	g := new(graph.Graph)
	g.Output("y", g.ReLU(g.Input("x", 1, 1, 2, 2)))
	for name, o := range map[string]engine.Options{
		"bfloat16":         {Precision: engine.BFloat16},
		"negative threads": {Threads: -1},
	} {
		if _, err := plain.New().Compile(g, o); !errors.Is(err, engine.ErrUnsupported) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
	g.Nodes[len(g.Nodes)-1].Op = 255
	if _, err := plain.New().Compile(g, engine.Options{}); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("unknown operation: got error %v", err)
	}
}
