package plain_test

import (
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/plain"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/internal/golden"
	"github.com/destseg/destseg/network"
)

// program compiles a graph and fills its variables.
func program(b *testing.B, g *graph.Graph, err error) engine.Program {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	p, err := plain.New().Compile(g, engine.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range g.Variables {
		if err := p.Write(n.Name, golden.Draw(n.Name, n.Shapes[0])); err != nil {
			b.Fatal(err)
		}
	}
	return p
}

func benchmark(b *testing.B, p engine.Program) {
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Run(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInference(b *testing.B) {
	g, err := network.Inference(network.Size{Batch: 1, Height: 256, Width: 256}, false)
	benchmark(b, program(b, g, err))
}

func BenchmarkStudentStep(b *testing.B) {
	g, err := network.StudentStep(network.Size{Batch: 2, Height: 96, Width: 128}, network.Training{Momentum: 0.9})
	benchmark(b, program(b, g, err))
}

func BenchmarkSegmentationStep(b *testing.B) {
	g, err := network.SegmentationStep(network.Size{Batch: 2, Height: 96, Width: 128}, network.Training{Momentum: 0.9})
	benchmark(b, program(b, g, err))
}

// BenchmarkConv measures the 3×3 convolution that most of the time goes to.
func BenchmarkConv(b *testing.B) {
	const channels, side = 256, 64
	window := graph.Window{Stride: 1, Padding: 1, Dilation: 1}
	tensors := func(g *graph.Graph) (x, w graph.Value) {
		return g.Variable("x", 1, channels, side, side), g.Variable("w", channels, channels, 3, 3)
	}
	run := func(b *testing.B, g *graph.Graph, err error) {
		benchmark(b, program(b, g, err))
		multiplications := 9.0 * channels * channels * side * side * float64(b.N)
		b.ReportMetric(multiplications/b.Elapsed().Seconds()/1e9, "GMAC/s")
	}
	b.Run("forward", func(b *testing.B) {
		g := new(graph.Graph)
		x, w := tensors(g)
		g.Output("y", g.Conv(x, w, window))
		run(b, g, nil)
	})
	for i, name := range []string{"backward data", "backward weights"} {
		b.Run(name, func(b *testing.B) {
			g := new(graph.Graph)
			x, w := tensors(g)
			gradients, err := graph.Gradients(g, g.Sum(g.Conv(x, w, window)), []graph.Value{x, w}[i:i+1])
			if err == nil {
				g.Output("gradient", gradients[0])
			}
			run(b, g, err)
		})
	}
}
