//go:build cgo

package onednn_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/network"
)

// measure times runs of a graph on drawn numbers, after one that prepares what is frozen.
func measure(b *testing.B, o engine.Options, g *graph.Graph) {
	b.Helper()
	p, err := open(b).Compile(g, o)
	if errors.Is(err, engine.ErrUnsupported) {
		b.Skip(err)
	}
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	draw(b, p, g)
	if err := p.Run(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := p.Run(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRun measures a run of each graph; divide by the batch for the time
// a picture takes.
func BenchmarkRun(b *testing.B) {
	training := network.Training{Momentum: 0.9, WeightDecay: 1e-4}
	for _, c := range []struct {
		name  string
		batch int
		build func(network.Size) (*graph.Graph, error)
	}{
		{"inference", 1, func(s network.Size) (*graph.Graph, error) { return network.Inference(s, false) }},
		{"inference", 8, func(s network.Size) (*graph.Graph, error) { return network.Inference(s, false) }},
		{"student", 8, func(s network.Size) (*graph.Graph, error) { return network.StudentStep(s, training) }},
		{"segmentation", 8, func(s network.Size) (*graph.Graph, error) { return network.SegmentationStep(s, training) }},
	} {
		for _, precision := range []engine.Precision{engine.Float32, engine.BFloat16, engine.Int8} {
			b.Run(fmt.Sprintf("%s/batch=%d/%s", c.name, c.batch, precision), func(b *testing.B) {
				if precision == engine.Int8 && c.name != "inference" {
					b.Skip("int8 is for inference")
				}
				g, err := c.build(network.Size{Batch: c.batch, Height: 256, Width: 256})
				if err != nil {
					b.Fatal(err)
				}
				if precision == engine.Int8 {
					g = quantized(b, c.batch, 256)
				}
				measure(b, engine.Options{Precision: precision}, g)
				b.ReportMetric(float64(c.batch)*float64(b.N)/b.Elapsed().Seconds(), "pictures/s")
			})
		}
	}
}

// BenchmarkKernel measures the own kernels, and what surrounds a convolution,
// at the sizes of the networks and a batch of 8.
func BenchmarkKernel(b *testing.B) {
	wide, middle := []int{8, 256, 64, 64}, []int{8, 64, 64, 64}
	pool := graph.Window{Kernel: 3, Stride: 2, Padding: 1, Dilation: 1}
	for _, c := range []struct {
		name  string
		build func(*graph.Graph) graph.Value // what is differentiated, if it depends on a variable
	}{
		{"relu", func(g *graph.Graph) graph.Value { return g.Sum(g.ReLU(g.Variable("x", wide...))) }},
		{"norm", func(g *graph.Graph) graph.Value {
			y, _, _ := g.BatchNormTrain(g.Variable("x", wide...), g.Variable("scale", 256), g.Variable("shift", 256), 1e-5)
			return g.Sum(g.ReLU(y))
		}},
		{"cosine", func(g *graph.Graph) graph.Value {
			_, similarity := g.Cosine(g.Input("a", middle...), g.Variable("b", middle...), 1e-12)
			return g.Sum(similarity)
		}},
		{"resize", func(g *graph.Graph) graph.Value { return g.Sum(g.Resize(g.Variable("x", 8, 256, 32, 32), 64, 64)) }},
		{"max-pool", func(g *graph.Graph) graph.Value { return g.Sum(g.MaxPool(g.Variable("x", 8, 64, 128, 128), pool)) }},
		{"losses", func(g *graph.Graph) graph.Value {
			p, t := g.Sigmoid(g.Variable("x", 8, 1, 64, 64)), g.Input("t", 8, 1, 64, 64)
			return g.Add(g.Focal(p, g.Step(t, 0.5), 4), g.L1(p, t))
		}},
		{"cross-entropy", func(g *graph.Graph) graph.Value {
			return g.CrossEntropy(g.Variable("x", 128, 311, 1, 1), g.Input("t", 128, 311, 1, 1), 0.1)
		}},
		{"blocks", func(g *graph.Graph) graph.Value { // into blocks of channels and back, around backward convolutions
			x := g.Variable("x", 8, 128, 32, 32)
			return g.Sum(g.Conv(x, g.Variable("w", 128, 128, 3, 3), graph.Window{Kernel: 3, Stride: 1, Padding: 1, Dilation: 1}))
		}},
		{"spread", func(g *graph.Graph) graph.Value {
			x := g.Variable("x", wide...)
			all := g.Concat(x, g.Resize(g.MeanPool(x), 64, 64))
			return g.Sum(g.Conv(all, g.Variable("w", 64, 512, 3, 3), graph.Window{Kernel: 3, Stride: 1, Padding: 1, Dilation: 1}))
		}},
		{"weights", func(g *graph.Graph) graph.Value { // packing and descent, beside a small convolution
			w, momentum, rate := g.Variable("w", 512, 512, 3, 3), g.Variable("momentum", 512, 512, 3, 3), g.Input("rate")
			loss := g.Sum(g.Conv(g.Input("x", 1, 512, 4, 4), w, graph.Window{Kernel: 3, Stride: 1, Padding: 1, Dilation: 1}))
			gradients, err := graph.Gradients(g, loss, []graph.Value{w})
			if err != nil {
				panic(err)
			}
			g.SGD(w, gradients[0], momentum, rate, 0.9, 1e-4)
			return loss
		}},
	} {
		for _, o := range []engine.Options{{Precision: engine.Float32}, {Precision: engine.BFloat16}} {
			b.Run(c.name+"/"+o.Precision.String(), func(b *testing.B) {
				g := new(graph.Graph)
				loss := c.build(g)
				g.Output("loss", loss)
				if len(g.Updates) == 0 {
					var wrt []graph.Value
					for _, n := range g.Variables {
						wrt = append(wrt, graph.Value{Node: n})
					}
					gradients, err := graph.Gradients(g, loss, wrt)
					if err != nil {
						b.Fatal(err)
					}
					for i, v := range gradients {
						g.Output(fmt.Sprint("gradient ", i), v)
					}
				}
				measure(b, o, g)
			})
		}
	}
}
