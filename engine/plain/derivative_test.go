package plain_test

import (
	"math"
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/plain"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/internal/golden"
)

// TestDerivatives holds every gradient against central differences in float64.
func TestDerivatives(t *testing.T) {
	const (
		step     = 1e-5
		elements = 60 // of each tensor, spread evenly
		limit    = 1e-7
	)
	for _, c := range golden.Cases() {
		if c.Kink || len(c.Build().Wrt) == 0 {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			forward := c.Build()
			forward.Graph = onlyOutput(forward.Graph, "loss", forward.Loss)
			both := c.Build()
			for i, v := range both.Gradients() {
				both.Graph.Output("gradient/"+both.Wrt[i].Node.Name, v)
			}
			loss, gradients := compile64(t, forward.Graph), compile64(t, both.Graph)
			for name, v := range both.Content(0) {
				write(t, loss, name, v)
				write(t, gradients, name, v)
			}
			content := both.Content(0)
			run(t, gradients)
			for _, v := range both.Wrt {
				name, size := v.Node.Name, v.Shape().Size()
				x, gradient := make([]float64, size), make([]float64, size)
				for i, e := range content[name] {
					x[i] = float64(e)
				}
				if err := gradients.Read64("gradient/"+name, gradient); err != nil {
					t.Fatal(err)
				}
				at := func(i int, x0 float64) float64 {
					x[i] = x0
					if err := loss.Write64(name, x); err != nil {
						t.Fatal(err)
					}
					run(t, loss)
					y := make([]float64, 1)
					if err := loss.Read64("loss", y); err != nil {
						t.Fatal(err)
					}
					return y[0]
				}
				var difference, scale float64
				for i := 0; i < size; i += 1 + (size-1)/elements {
					x0 := x[i]
					slope := (at(i, x0+step) - at(i, x0-step)) / (2 * step)
					at(i, x0)
					difference += (slope - gradient[i]) * (slope - gradient[i])
					scale += slope * slope
				}
				if e := math.Sqrt(difference / scale); !(e <= limit) {
					t.Errorf("by %s: relative error %.2g, limit %.2g", name, e, limit)
				}
			}
		})
	}
}

// onlyOutput is g without its outputs and updates, but with v as an output.
func onlyOutput(g *graph.Graph, name string, v graph.Value) *graph.Graph {
	g.Outputs, g.Updates = nil, nil
	g.Output(name, v)
	return g
}

func compile64(t *testing.T, g *graph.Graph) plain.Program64 {
	t.Helper()
	p, err := plain.NewFloat64().Compile(g, engine.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	return p.(plain.Program64)
}

func write(t *testing.T, p engine.Program, name string, v []float32) {
	t.Helper()
	if err := p.Write(name, v); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, p engine.Program) {
	t.Helper()
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
}
