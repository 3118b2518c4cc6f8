//go:build cgo

package onednn_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/onednn"
	"github.com/destseg/destseg/engine/plain"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/internal/golden"
)

// TestWinograd compares convolutions by products of tiles, forward and backward, with
// direct ones in float64: with sides that are no multiples of a tile's, with dilations
// beyond the picture, with more and with less padding, and over several chunks.
func TestWinograd(t *testing.T) {
	for _, c := range []struct {
		shape             graph.Shape
		out               int
		padding, dilation int
	}{
		{graph.Shape{2, 32, 33, 30}, 48, 1, 1},
		{graph.Shape{3, 48, 21, 26}, 32, 5, 5},
		{graph.Shape{4, 32, 9, 40}, 16, 11, 11},
		{graph.Shape{2, 16, 31, 33}, 272, 0, 1}, // more than a row of transformed weights
		{graph.Shape{2, 64, 28, 29}, 32, 3, 2},
		{graph.Shape{70, 256, 8, 8}, 16, 1, 1}, // more than a chunk
		{graph.Shape{1, 16, 1, 3}, 16, 1, 1},
	} {
		inference, training := new(graph.Graph), new(graph.Graph)
		window := graph.Window{Kernel: 3, Stride: 1, Padding: c.padding, Dilation: c.dilation}
		weights := graph.Shape{c.out, c.shape[1], 3, 3}

		y := inference.Conv(inference.Input("x", c.shape...), inference.Variable("w", weights...), window)
		vector := func(name string) graph.Value { return inference.Variable(name, c.out) }
		y = inference.BatchNorm(y, vector("scale"), vector("shift"), vector("mean"), vector("variance"), 1e-5)
		inference.Output("y", inference.ReLU(inference.Add(y, inference.Input("residual", y.Shape()...))))

		x, w := training.Variable("x", c.shape...), training.Variable("w", weights...)
		z := training.Conv(x, w, window)
		training.Output("z", z)
		gradients, err := graph.Gradients(training, training.Sum(training.Mul(z, training.Input("factor", z.Shape()...))), []graph.Value{x, w})
		if err != nil {
			t.Fatal(err)
		}
		training.Output("dx", gradients[0])
		training.Output("dw", gradients[1])

		for steps, g := range map[int]*graph.Graph{1: inference, 3: training} {
			want, _ := outputs(t, plain.NewFloat64(), engine.Options{Precision: engine.Float32, Threads: 2}, g)
			for _, p := range []struct {
				engine.Options
				limit float64
			}{{fp32, 5e-6}, {inBF16(t), 5e-3}} {
				got, tiled := outputs(t, onednn.NewTiled(), p.Options, g)
				if tiled != steps {
					t.Errorf("%+v, %v: %d steps by tiles, want %d", c, p.Precision, tiled, steps)
				}
				for name, v := range got {
					if e := distance(v, want[name]); !(e <= p.limit) {
						t.Errorf("%+v, %v, %s: relative error %.2g", c, p.Precision, name, e)
					}
				}
			}
		}
	}
}

// outputs runs a graph on drawn numbers, and counts the steps that are Winograd's.
func outputs(t *testing.T, e engine.Engine, o engine.Options, g *graph.Graph) (values map[string][]float32, tiled int) {
	t.Helper()
	p, err := e.Compile(g, o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, n := range append(append([]*graph.Node{}, g.Inputs...), g.Variables...) {
		v := golden.Draw(n.Name, n.Shapes[0])
		if n.Name == "variance" {
			for i := range v {
				v[i] = 1 + v[i]*v[i]
			}
		}
		if err := p.Write(n.Name, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	values = map[string][]float32{}
	for _, out := range g.Outputs {
		values[out.Name] = make([]float32, out.Value.Shape().Size())
		if err := p.Read(out.Name, values[out.Name]); err != nil {
			t.Fatal(err)
		}
	}
	if profiler, ok := p.(engine.Profiler); ok {
		for _, s := range profiler.Steps() {
			if strings.HasPrefix(s.Kernel, "winograd") {
				tiled++
			}
		}
	}
	return values, tiled
}

// BenchmarkWinograd measures the convolution of which the segmentation network has most.
func BenchmarkWinograd(b *testing.B) {
	for _, precision := range []engine.Precision{engine.Float32, engine.BFloat16} {
		b.Run(fmt.Sprint(precision), func(b *testing.B) {
			g := new(graph.Graph)
			x, w := g.Input("x", 8, 256, 64, 64), g.Variable("w", 256, 256, 3, 3)
			g.Output("y", g.Conv(x, w, graph.Window{Kernel: 3, Stride: 1, Padding: 1, Dilation: 1}))
			p, err := open(b).Compile(g, engine.Options{Precision: precision})
			if err != nil {
				b.Skip(err)
			}
			defer p.Close()
			for b.Loop() {
				if err := p.Run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
