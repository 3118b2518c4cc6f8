package serve

import (
	"math"
	"testing"
	"time"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/serve/host"
)

// BenchmarkService measures what the service adds to the networks, in whose place
// stands a map with two defects: a picture of 256×256 goes in over HTTP, the answer
// comes out. The time for decoding is part of it and reported besides.
func BenchmarkService(b *testing.B) {
	r := start(b, host.Options{Options: []destseg.Option{destseg.WithEngine(stub{}), destseg.WithRecord(func(r *destseg.Record) {
		r.Preprocessing = destseg.StandardPreprocessing(256, 256)
	})}}, Config{})
	data := pngOf(b, noise(1, 256, 256))
	r.inspect(b, "", data)
	var decode, prepare, regions float64
	for b.Loop() {
		in := r.inspect(b, "", data)
		decode += in.Timings.Decode
		prepare += in.Timings.Prepare
		regions += in.Timings.Regions
	}
	b.ReportMetric(decode/float64(b.N), "decode-ms/op")
	b.ReportMetric(prepare/float64(b.N), "prepare-ms/op")
	b.ReportMetric(regions/float64(b.N), "regions-ms/op")
}

// A stub engine computes nothing.
type stub struct{ took time.Duration }

func (stub) Name() string { return "stub" }

func (s stub) Compile(g *graph.Graph, _ engine.Options) (engine.Program, error) {
	return stubProgram(s), nil
}

type stubProgram struct{ took time.Duration }

func (stubProgram) Write(string, []float32) error { return nil }
func (stubProgram) Precision() engine.Precision   { return engine.Float32 }
func (stubProgram) Memory() int64                 { return 1 }
func (stubProgram) Close() error                  { return nil }

// Run takes its time.
func (p stubProgram) Run() error {
	time.Sleep(p.took)
	return nil
}

// Read gives a map with a round and a long defect.
func (stubProgram) Read(name string, v []float32) error {
	side := int(math.Sqrt(float64(len(v))))
	for i := range v {
		x, y := float64(i%side)-float64(side)/3, float64(i/side)-float64(side)/2
		v[i] = float32(math.Exp(-(x*x+y*y)/60) + math.Exp(-(x-20)*(x-20)/4-y*y/200)/2*3/2)
		if name == network.DeST {
			v[i] /= 2
		}
		v[i] = min(v[i], 1)
	}
	return nil
}
