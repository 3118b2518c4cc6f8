//go:build cgo

package onednn_test

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/cpuid/v2"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/onednn"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/internal/golden"
	"github.com/destseg/destseg/internal/memory"
	"github.com/destseg/destseg/network"
)

var (
	fp32 = engine.Options{Precision: engine.Float32, Threads: 2}
	bf16 = engine.Options{Precision: engine.BFloat16, Threads: 2}
)

// inBF16 returns bf16, or skips a test where oneDNN has none, as on x86 without AVX-512.
func inBF16(t testing.TB) engine.Options {
	t.Helper()
	g := new(graph.Graph)
	x, w := g.Input("x", 1, 16, 4, 4), g.Variable("w", 16, 16, 3, 3)
	y := g.Conv(x, w, graph.Window{Stride: 1, Padding: 1, Dilation: 1})
	loss := g.Sum(y)
	gradients, err := graph.Gradients(g, loss, []graph.Value{w})
	if err != nil {
		t.Fatal(err)
	}
	g.Output("gradient", gradients[0])
	p, err := open(t).Compile(g, bf16)
	if errors.Is(err, engine.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	return bf16
}

func open(t testing.TB) engine.Engine {
	t.Helper()
	e, err := onednn.New()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestConformance(t *testing.T) {
	golden.Conformance(t, open(t), fp32, 1e-5, 1e-5)
}

// A rounding to bf16 is one of up to 2^-9 = 0.002. A residual block's backward
// pass piles up a dozen of them, over batches of a few numbers whose norm
// amplifies them and whose ReLUs flip; the case that trains on such batches
// three times is a check of the wiring only.
func TestConformanceBF16(t *testing.T) {
	golden.Conformance(t, open(t), inBF16(t), 0.02, 0.4)
}

// In fp32 the limits are three times what PyTorch's own fp32 shows against the
// same vectors, with oneDNN as here. With AVX-512 and channels-first memory it
// keeps within 6e-7 (features and maps), 1e-7 (losses of stage 2), 3e-4 (its
// first gradients) and 5e-5 (its parameters after three steps), as measured
// with the vectors; stage 1 needs no other limits there.
//
// Of the gradients of stage 2 that holds for the norms only. Their first
// elements, and what follows from them, hang on how many of 5 million ReLUs
// change sides by rounding. PyTorch with channels-last memory, the layout of
// this engine, has 7 to 14 of them; it strays by 9.2e-3 to 3.2e-2 in the first
// elements, and by 5e-4 in those of the parameters after three steps. With
// channels first, and pictures or weights changed by 1e-7, its gradients stray
// by up to 3.1e-3.
//
// With AVX2 PyTorch shows 1.4e-6 (features and maps), 1.4e-7 and 4.9e-7 (losses
// of stage 2 at first and over three steps), 4.2e-4 (norms of its first
// gradients) the worst of both memory
// formats; in stage 1 1.8e-7 and 2.6e-3 (first and last loss), 3.1e-3 and 2.2e-2
// (gradients: norms, first elements) and 1.8e-3 (parameters after a step). Version 3 of oneDNN
// sums in another order again, so these hold there, too.

// ordinary reports whether convolutions add up in the order for which the
// narrower limits were measured.
func ordinary(t *testing.T) bool {
	return cpuid.CPU.Supports(cpuid.AVX512F) && os.Getenv("DNNL_MAX_CPU_ISA") == "" && strings.HasPrefix(open(t).Name(), "oneDNN 2.")
}

func TestForward(t *testing.T) {
	limit := 3 * 1.4e-6
	if ordinary(t) {
		limit = 3 * 6e-7
	}
	golden.Forward(t, open(t), fp32, limit)
}

func TestStudent(t *testing.T) {
	limits := golden.Limits{FirstLoss: 3 * 1.8e-7, LastLoss: 3 * 2.6e-3, GradientNorm: 3 * 3.1e-3, GradientHead: 3 * 2.2e-2, First: 3 * 1.8e-3}
	if ordinary(t) {
		limits = golden.Limits{FirstLoss: 3 * 1e-7, LastLoss: 3 * 1.4e-3, GradientNorm: 3 * 2e-3, GradientHead: 3 * 1e-2, First: 3 * 1e-3}
	}
	golden.Student(t, open(t), fp32, limits)
}

func TestSegmentation(t *testing.T) {
	limits := golden.Limits{FirstLoss: 3 * 1.4e-7, LastLoss: 3 * 4.9e-7, GradientNorm: 3 * 4.2e-4, GradientHead: 3 * 3.2e-2, First: 3 * 5e-5, Last: 3 * 5.1e-4}
	if ordinary(t) {
		limits = golden.Limits{FirstLoss: 3 * 1e-7, LastLoss: 3 * 1e-7, GradientNorm: 3 * 3e-4, GradientHead: 3 * 9.2e-3, First: 3 * 5e-5, Last: 3 * 5e-4}
	}
	golden.Segmentation(t, open(t), fp32, limits)
}

// In bf16 the limits are one and a half times what PyTorch 1.13 shows with
// autocast to bf16 against the same vectors, the worse of its two memory
// formats. Maps and features have no such peer: they get one and a half times
// what was measured here, 0.008.

func TestForwardBF16(t *testing.T) {
	golden.Forward(t, open(t), inBF16(t), 1.5*0.008)
}

func TestStudentBF16(t *testing.T) {
	golden.Student(t, open(t), inBF16(t), golden.Limits{FirstLoss: 1.5 * 5.9e-4, GradientNorm: 1.5 * 0.217, First: 1.5 * 0.113})
}

func TestSegmentationBF16(t *testing.T) {
	golden.Segmentation(t, open(t), inBF16(t), golden.Limits{
		FirstLoss: 1.5 * 4.2e-3, LastLoss: 1.5 * 3.6e-3, GradientNorm: 1.5 * 0.179, First: 1.5 * 0.025, Last: 1.5 * 0.017,
	})
}

// TestMaxPoolKernel takes gradients to the last pixel of the largest window, and no larger
// window than that.
func TestMaxPoolKernel(t *testing.T) {
	pool := func(kernel int, training bool) *graph.Graph {
		g := new(graph.Graph)
		x := g.Variable("x", 1, 1, kernel, kernel)
		loss := g.Sum(g.MaxPool(x, graph.Window{Kernel: kernel, Stride: 1, Dilation: 1}))
		g.Output("loss", loss)
		if training {
			gradients, err := graph.Gradients(g, loss, []graph.Value{x})
			if err != nil {
				t.Fatal(err)
			}
			g.Output("gradient", gradients[0])
		}
		return g
	}
	compile(t, open(t), fp32, pool(17, false))
	if _, err := open(t).Compile(pool(17, true), fp32); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("the gradient of a kernel of 17: error %v", err)
	}
	p := compile(t, open(t), fp32, pool(16, true))
	x, gradient := make([]float32, 16*16), make([]float32, 16*16)
	x[255] = 1
	if err := errors.Join(p.Write("x", x), p.Run(), p.Read("gradient", gradient)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(gradient, x) {
		t.Errorf("gradient %v", gradient)
	}
}

func TestTooManyChannels(t *testing.T) {
	g := new(graph.Graph)
	g.Output("y", g.ReLU(g.Input("x", 1, 2049, 1, 2)))
	if _, err := open(t).Compile(g, fp32); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

// TestProfile takes a training program apart.
func TestProfile(t *testing.T) {
	g, err := network.SegmentationStep(network.Size{Batch: 2, Height: 64, Width: 32}, network.Training{Momentum: 0.9})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("fp32", func(t *testing.T) { profile(t, g, fp32) })
	t.Run("bf16", func(t *testing.T) { profile(t, g, inBF16(t)) })
}

func profile(t *testing.T, g *graph.Graph, o engine.Options) {
	compiled, err := open(t).Compile(g, o)
	if err != nil {
		t.Fatal(err)
	}
	defer compiled.Close()
	p := compiled.(engine.Profiler)
	for range 2 {
		times, err := p.Profile()
		if err != nil {
			t.Fatal(err)
		}
		floors, err := p.Floor()
		if err != nil {
			t.Fatal(err)
		}
		if len(times) != len(p.Steps()) || len(floors) != len(times) || p.Memory() <= 0 {
			t.Fatalf("%d steps, %d times, %d floors, %d bytes", len(p.Steps()), len(times), len(floors), p.Memory())
		}
		kinds := map[graph.Op]int{}
		for i, s := range p.Steps() {
			if times[i] <= 0 || s.Kernel == "" || (s.Operations > 0) != (floors[i] > 0) {
				t.Errorf("%+v took %v over a floor of %v", s, times[i], floors[i])
			}
			if floors[i] > 0 {
				kinds[s.Op]++
				if s.Name == "" {
					t.Errorf("%+v does not name its weights", s)
				}
			}
		}
		// 15 convolutions of the teacher, 37 of the student, 11 of the
		// segmentation network, whose last one is a product of vectors.
		want := map[graph.Op]int{graph.OpConv: 65, graph.OpConvBackwardWeights: 11, graph.OpConvBackwardData: 9}
		if !maps.Equal(kinds, want) {
			t.Errorf("convolutions %v, want %v", kinds, want)
		}
	}
}

// TestFloorOfNothing profiles a program without convolutions.
func TestFloorOfNothing(t *testing.T) {
	g := new(graph.Graph)
	g.Output("y", g.ReLU(g.Input("x", 1, 2, 3, 3)))
	p := compile(t, open(t), fp32, g).(engine.Profiler)
	for range 2 {
		floors, err := p.Floor()
		if err != nil || !slices.Equal(floors, make([]time.Duration, len(p.Steps()))) {
			t.Errorf("floors %v of %d steps, error %v", floors, len(p.Steps()), err)
		}
	}
}

// TestNoGrowth inspects a thousand times in a row, and takes some steps of training by tiles.
func TestNoGrowth(t *testing.T) {
	size := network.Size{Batch: 1, Height: 32, Width: 32}
	for _, c := range []struct {
		name          string
		engine        engine.Engine
		runs, threads int
		build         func() (*graph.Graph, error)
	}{
		{"inference", open(t), 1000, 1, func() (*graph.Graph, error) { return network.Inference(size, false) }},
		{"training", onednn.NewTiled(0), 10, 2, func() (*graph.Graph, error) { return network.SegmentationStep(size, network.Training{Momentum: 0.9}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := c.build()
			if err != nil {
				t.Fatal(err)
			}
			p := compile(t, c.engine, engine.Options{Threads: c.threads}, g)
			in, out := g.Inputs[0], g.Outputs[0]
			pictures, result := make([]float32, in.Shapes[0].Size()), make([]float32, out.Value.Shape().Size())
			run := func() {
				if err := errors.Join(p.Write(in.Name, pictures), p.Run(), p.Read(out.Name, result)); err != nil {
					t.Fatal(err)
				}
			}
			run()
			known := memory.StartPeak()
			before := memory.Peak()
			if allocations := testing.AllocsPerRun(c.runs, run); allocations != 0 {
				t.Errorf("%v allocations a run", allocations)
			}
			if growth := memory.Peak() - before; known && growth > 1<<20 {
				t.Errorf("%d runs took %d KiB more", c.runs, growth>>10)
			}
		})
	}
}
