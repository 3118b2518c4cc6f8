//go:build cgo

package onednn_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/onednn"
	"github.com/destseg/destseg/engine/plain"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/internal/golden"
)

// Tiles compute in fp32 whatever their source is held in, so that these tests need no
// processor with bf16.
var tileKinds = []struct {
	engine.Options
	side int // 0 where there is no choice
}{{fp32, 0}, {bf16, 4}, {bf16, 6}}

// TestWinograd compares convolutions by products of tiles, forward and backward, with
// direct ones in float64: with sides that are no multiples of a tile's, with dilations
// beyond the picture, with more and with less padding, and over many chunks.
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
		{graph.Shape{13, 256, 8, 8}, 16, 1, 1}, // a few tiles of each picture
		{graph.Shape{1, 16, 1, 3}, 16, 1, 1},
	} {
		inference, training := new(graph.Graph), new(graph.Graph)
		window := graph.Window{Kernel: 3, Stride: 1, Padding: c.padding, Dilation: c.dilation}
		weights := graph.Shape{c.out, c.shape[1], 3, 3}

		y := inference.Conv(inference.Input("x", c.shape...), inference.Variable("w", weights...), window)
		vector := func(name string) graph.Value { return inference.Variable(name, c.out) }
		y = inference.BatchNorm(y, vector("scale"), vector("shift"), vector("mean"), vector("running_var"), 1e-5)
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
			want, _ := outputs(t, plain.NewFloat64(), engine.Options{Threads: 2}, g)
			for _, k := range tileKinds {
				limit := 5e-6
				if k.Precision == engine.BFloat16 {
					limit = 5e-3
				}
				got, tiled := outputs(t, onednn.NewTiled(k.side), k.Options, g)
				if tiled != steps {
					t.Errorf("%+v, %+v: %d steps by tiles, want %d", c, k, tiled, steps)
				}
				for name, v := range got {
					if e := distance(v, want[name]); !(e <= limit) {
						t.Errorf("%+v, %+v, %s: relative error %.2g", c, k, name, e)
					}
				}
			}
		}
	}
}

// TestConformanceTiled takes tiles among all else: of views, frozen, beside residuals.
func TestConformanceTiled(t *testing.T) {
	t.Run("fp32", func(t *testing.T) { golden.Conformance(t, onednn.NewTiled(0), fp32, 1e-5, 1e-5) })
	for _, side := range []int{4, 6} {
		t.Run(fmt.Sprint("bf16 by ", side), func(t *testing.T) { golden.Conformance(t, onednn.NewTiled(side), inBF16(t), 0.02, 0.4) })
	}
}

// TestTilesOfABatch checks that a picture gets the very numbers that it gets alone. oneDNN's
// products for AVX2 have other last digits where a tile lies elsewhere in a chunk.
func TestTilesOfABatch(t *testing.T) {
	const batch = 3
	build := func(batch int) *graph.Graph {
		g := new(graph.Graph)
		x := g.Input("x", batch, 64, 45, 40) // 460 tiles of 2×2, 120 of 4×4 or 56 of 6×6, in chunks of 31, 31 and 29
		y := x
		for i, dilation := range []int{1, 3} {
			w, bias := g.Variable(fmt.Sprint("w", i), 64, 64, 3, 3), g.Variable(fmt.Sprint(i, ".bias"), 64)
			y = g.ReLU(g.Add(g.ConvBias(y, w, bias, graph.Window{Stride: 1, Padding: dilation, Dilation: dilation}), x))
		}
		g.Output("y", y)
		return g
	}
	for _, k := range tileKinds {
		all := compile(t, onednn.NewTiled(k.side), k.Options, build(batch))
		alone := compile(t, onednn.NewTiled(k.side), k.Options, build(1))
		pictures := golden.Draw("x", []int{batch, 64, 45, 40})
		together, own := make([]float32, len(pictures)), make([]float32, len(pictures)/batch)
		if err := errors.Join(all.Write("x", pictures), all.Run(), all.Read("y", together)); err != nil {
			t.Fatal(err)
		}
		for i := range batch {
			at := i * len(own)
			if err := errors.Join(alone.Write("x", pictures[at:at+len(own)]), alone.Run(), alone.Read("y", own)); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(together[at:at+len(own)], own) {
				t.Errorf("%+v: picture %d differs by %.2g with others", k, i, distance(together[at:at+len(own)], own))
			}
		}
	}
}

// compile makes a program with drawn numbers in its tensors.
func compile(t testing.TB, e engine.Engine, o engine.Options, g *graph.Graph) engine.Program {
	t.Helper()
	p, err := e.Compile(g, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	draw(t, p, g)
	return p
}

func draw(t testing.TB, p engine.Program, g *graph.Graph) {
	t.Helper()
	for _, n := range slices.Concat(g.Inputs, g.Variables) {
		if len(n.Shapes[0]) == 0 {
			continue // rates stay at 0
		}
		if err := p.Write(n.Name, golden.Draw(n.Name, n.Shapes[0])); err != nil {
			t.Fatal(err)
		}
	}
}

// outputs runs a graph on drawn numbers, twice since what a run leaves must not matter, and
// counts the steps that are Winograd's.
func outputs(t *testing.T, e engine.Engine, o engine.Options, g *graph.Graph) (values map[string][]float32, tiled int) {
	t.Helper()
	p := compile(t, e, o, g)
	if err := errors.Join(p.Run(), p.Run()); err != nil {
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
			measure(b, engine.Options{Precision: precision}, g)
		})
	}
}
