package detectortest

import (
	"math"
	"time"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/network"
)

// A Stub is an engine that computes nothing, for tests that the networks have no part
// in. Its programs find the same two defects in every picture.
type Stub struct {
	Took time.Duration // by a run
	Size int64         // of a program, in bytes
}

// Name implements engine.Engine.
func (Stub) Name() string { return "stub" }

// Compile implements engine.Engine.
func (s Stub) Compile(g *graph.Graph, _ engine.Options) (engine.Program, error) {
	return stubbed{s, g.Inputs[0].Shapes[0][0]}, nil
}

type stubbed struct {
	stub  Stub
	batch int
}

func (stubbed) Write(string, []float32) error { return nil }
func (stubbed) Precision() engine.Precision   { return engine.Float32 }
func (p stubbed) Memory() int64               { return p.stub.Size }
func (stubbed) Close() error                  { return nil }

func (p stubbed) Run() error {
	time.Sleep(p.stub.Took)
	return nil
}

// Read gives maps with a round and a long defect.
func (p stubbed) Read(name string, v []float32) error {
	cells := len(v) / p.batch
	side := int(math.Sqrt(float64(cells)))
	for i := range v {
		x, y := float64(i%cells%side)-float64(side)/3, float64(i%cells/side)-float64(side)/2
		v[i] = float32(min(math.Exp(-(x*x+y*y)/60)+0.75*math.Exp(-(x-20)*(x-20)/4-y*y/200), 1))
		if name == network.DeST {
			v[i] /= 2
		}
	}
	return nil
}
