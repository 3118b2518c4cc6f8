//go:build cgo

package onednn_test

import (
	"fmt"
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/internal/golden"
	"github.com/destseg/destseg/network"
)

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
		for _, precision := range []engine.Precision{engine.Float32, engine.BFloat16} {
			b.Run(fmt.Sprintf("%s/batch=%d/%s", c.name, c.batch, precision), func(b *testing.B) {
				g, err := c.build(network.Size{Batch: c.batch, Height: 256, Width: 256})
				if err != nil {
					b.Fatal(err)
				}
				p, err := open(b).Compile(g, engine.Options{Precision: precision})
				if err != nil {
					b.Fatal(err)
				}
				defer p.Close()
				for _, v := range g.Variables {
					if err := p.Write(v.Name, golden.Draw(v.Name, v.Shapes[0])); err != nil {
						b.Fatal(err)
					}
				}
				for _, v := range g.Inputs {
					if len(v.Shapes[0]) == 4 { // rates stay at 0
						if err := p.Write(v.Name, golden.Draw(v.Name, v.Shapes[0])); err != nil {
							b.Fatal(err)
						}
					}
				}
				for b.Loop() {
					if err := p.Run(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(c.batch)*float64(b.N)/b.Elapsed().Seconds(), "pictures/s")
			})
		}
	}
}
