//go:build cgo

package onednn_test

import (
	"errors"
	"maps"
	"math"
	"strings"
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/plain"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/internal/golden"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/quantize"
)

// drawn gives the weights of the golden vectors.
func drawn(name string, v []float32) error {
	for _, t := range network.Tensors() {
		if t.Name == name {
			copy(v, golden.Draw(name, t.Shape))
		}
	}
	return nil
}

// drawnImage is a picture for a graph.
func drawnImage(g *graph.Graph) []float32 { return golden.Draw(network.Image, g.Inputs[0].Shapes[0]) }

// quantized returns the graph for inference with the drawn weights, in steps by a drawn
// picture.
func quantized(t testing.TB, batch, side int) *graph.Graph {
	t.Helper()
	inference := func(batch int) *graph.Graph {
		g, err := network.Inference(network.Size{Batch: batch, Height: side, Width: side}, false)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	g, points := quantize.Observe(inference(1))
	p, err := open(t).Compile(g, engine.Options{Precision: engine.Float32, Constants: drawn})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c := quantize.NewCollector(points)
	if err := errors.Join(p.Write(network.Image, drawnImage(g)), p.Run(), c.Add(p.Read)); err != nil {
		t.Fatal(err)
	}
	steps, err := c.Steps()
	if err != nil {
		t.Fatal(err)
	}
	q, err := quantize.Graph(inference(batch), steps)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// int8s compiles a graph, or skips the test where there is no int8.
func int8s(t *testing.T, g *graph.Graph) engine.Program {
	t.Helper()
	p, err := open(t).Compile(g, engine.Options{Precision: engine.Int8, Threads: 2, Constants: drawn})
	if errors.Is(err, engine.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// TestInt8 takes the whole detector. Rounding errors multiply here: where a number lies
// between two levels, the last digit of a float decides, and the next layers carry that
// on, so that even the plain engine in float32 and in float64 are as far from each other as
// from the maps without rounding. What can be told is that this engine's maps are no
// farther from those than the plain engine's, by half at most; the conformance tests tell
// the rest.
func TestInt8(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	rounded := quantized(t, 1, 64)
	int8s(t, rounded) // or skip
	exact, err := network.Inference(network.Size{Batch: 1, Height: 64, Width: 64}, false)
	if err != nil {
		t.Fatal(err)
	}
	run := func(e engine.Engine, precision engine.Precision, g *graph.Graph) map[string][]float32 {
		t.Helper()
		p, err := e.Compile(g, engine.Options{Precision: precision, Threads: 2, Constants: drawn})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if err := errors.Join(p.Write(network.Image, drawnImage(g)), p.Run()); err != nil {
			t.Fatal(err)
		}
		got := map[string][]float32{}
		for _, o := range g.Outputs {
			got[o.Name] = make([]float32, o.Value.Shape().Size())
			if err := p.Read(o.Name, got[o.Name]); err != nil {
				t.Fatal(err)
			}
		}
		return got
	}
	want, oracle := run(open(t), engine.Float32, exact), run(plain.New(), engine.Float32, rounded)
	for _, precision := range []engine.Precision{engine.Float32, engine.Int8} {
		got := run(open(t), precision, rounded)
		for name := range want {
			limit := 1.5 * distance(oracle[name], want[name])
			if d := distance(got[name], want[name]); !(d <= limit) {
				t.Errorf("%v: %s differs by %.2g, limit %.2g", precision, name, d, limit)
			} else {
				t.Logf("%v: %s differs by %.2g, limit %.2g", precision, name, d, limit)
			}
		}
	}
}

func distance(got, want []float32) float64 {
	var difference, norm float64
	for i := range want {
		difference += math.Pow(float64(got[i])-float64(want[i]), 2)
		norm += math.Pow(float64(want[i]), 2)
	}
	return math.Sqrt(difference / norm)
}

// TestInt8Steps looks at what a run consists of: numbers become levels and levels numbers
// only where they have to.
func TestInt8Steps(t *testing.T) {
	p := int8s(t, quantized(t, 2, 64)).(engine.Profiler)
	if p.Precision() != engine.Int8 {
		t.Errorf("computed in %v", p.Precision())
	}
	times, err := p.Profile()
	if err != nil {
		t.Fatal(err)
	}
	floors, err := p.Floor()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	convolutions := map[bool]int{}
	for i, s := range p.Steps() {
		if s.Operations > 0 {
			integer := !strings.Contains(s.Name, "encoder.conv1.") && !strings.Contains(s.Name, "aspp_feature_extractors.0.")
			convolutions[integer]++
			if floors[i] <= 0 || times[i] <= 0 || strings.HasPrefix(s.Kernel, "ref") || s.Name == "" {
				t.Errorf("%s by %s: %v over a floor of %v", s.Name, s.Kernel, times[i], floors[i])
			}
			continue
		}
		kinds[s.Kernel]++
	}
	if want := map[bool]int{true: 62, false: 3}; !maps.Equal(convolutions, want) {
		t.Errorf("convolutions in integers or not: %v, want %v", convolutions, want)
	}
	// By themselves are rounded: two max pools; two features of the teacher, which the
	// cosines read as they are; three resized ones; three products of features; the pooled
	// branch; and what the fusion of the branches gives, with that one's share. Residuals
	// become numbers again in the blocks that end in such features.
	for kernel, want := range map[string]int{"quantize": 12, "dequantize": 8, "copy_levels": 3, "meanpool_levels": 1} {
		if kinds[kernel] != want {
			t.Errorf("%d steps %s, want %d", kinds[kernel], kernel, want)
		}
	}
}

func TestInt8Refuses(t *testing.T) {
	g := new(graph.Graph)
	g.Output("y", g.ReLU(g.Input("x", 1, 2, 3, 3)))
	if _, err := open(t).Compile(g, engine.Options{Precision: engine.Int8}); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("a graph that is not quantized: %v", err)
	}
}
