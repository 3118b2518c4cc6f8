//go:build cgo

package onednn_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/cpuid/v2"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/onednn"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/network"
)

// A plan says what the steps of a run are.
type plan struct {
	// kernels counts those of our own by name, the same in every precision and on every
	// machine. What brings operands of convolutions into shape is not among them.
	kernels map[string]int
	// convolutions counts all, fp32 and bf16 those by tiles. With AMX bf16 has none of these.
	convolutions, fp32, bf16 map[graph.Op]int
}

var shaping = []string{"pack", "unpack", "filter_tiles", "filter_gradient", "zero", "to_blocks", "from_blocks"}

// TestPlan counts the steps of the three graphs at their usual size. Results do not tell
// where nodes are no longer computed together or in place: only time does.
func TestPlan(t *testing.T) {
	const conv, data, weights = graph.OpConv, graph.OpConvBackwardData, graph.OpConvBackwardWeights
	size, training := network.Size{Batch: 8, Height: 256, Width: 256}, network.Training{Momentum: 0.9, WeightDecay: 1e-4}
	for _, c := range []struct {
		name  string
		build func() (*graph.Graph, error)
		plan
	}{
		// Frozen norms are folded, residuals added and ReLUs done by convolutions.
		{"inference", func() (*graph.Graph, error) { return network.Inference(size, false) }, plan{
			kernels: map[string]int{
				"to_pixels": 1, "maxpool": 2, "cosine": 3, "affine": 3, "mul": 2, "resize": 7, "meanpool": 1,
				"copy":   3, // convolutions' results into concatenations
				"spread": 1, "dot": 1, "sigmoid": 1, "from_pixels": 5,
			},
			convolutions: map[graph.Op]int{conv: 65},
			fp32:         map[graph.Op]int{conv: 28}, bf16: map[graph.Op]int{conv: 7},
		}},
		// Norms end in residuals and ReLUs, and go back through the ReLUs that nothing else
		// follows; 78 running statistics are mixed, then copied.
		{"stage 1", func() (*graph.Graph, error) { return network.StudentStep(size, training) }, plan{
			kernels: map[string]int{
				"to_pixels": 2, "stats": 39, "norm": 39, "maxpool": 2, "cosine": 3, "affine": 6, "sum": 3, "resize": 3,
				"broadcast": 4, "cosine_backward": 3, "resize_backward": 3, "maxpool_backward": 1,
				"relu_backward": 16, "norm_backward": 39, "add": 20, "mix": 78, "copy": 78, "sgd": 117,
			},
			convolutions: map[graph.Op]int{conv: 54, data: 38, weights: 39},
			fp32:         map[graph.Op]int{data: 29, weights: 29}, bf16: map[graph.Op]int{conv: 20, data: 14, weights: 14},
		}},
		// The same for 22 statistics; the other copies are as for inference.
		{"stage 2", func() (*graph.Graph, error) { return network.SegmentationStep(size, training) }, plan{
			kernels: map[string]int{
				"to_pixels": 1, "stats": 11, "norm": 11, "maxpool": 2, "cosine": 3, "resize": 6, "step": 1,
				"meanpool": 1, "spread": 1, "dot": 1, "sigmoid": 1, "focal": 1, "l1": 1,
				"broadcast": 1, "focal_backward": 1, "l1_backward": 1, "sigmoid_backward": 1, "channel_sum": 1,
				"dot_backward_data": 1, "dot_backward_weights": 1, "tap_sums": 1, "spread_data": 1, "spread_weights": 1,
				"meanpool_backward": 1, "relu_backward": 2, "norm_backward": 11, "add": 5, "mix": 22, "copy": 28, "sgd": 35,
			},
			convolutions: map[graph.Op]int{conv: 65, data: 9, weights: 11},
			fp32:         map[graph.Op]int{data: 7, weights: 8}, bf16: map[graph.Op]int{conv: 28, data: 7, weights: 8},
		}},
	} {
		check := func(o engine.Options, tiles map[graph.Op]int) func(*testing.T) {
			return func(t *testing.T) {
				if o.Precision == engine.BFloat16 {
					inBF16(t)
				}
				checkPlan(t, c.build, o, c.plan, tiles)
			}
		}
		t.Run(c.name+" in fp32", check(fp32, c.fp32))
		if onednn.HasAMX() {
			c.bf16 = nil
		}
		t.Run(c.name+" in bf16", check(bf16, c.bf16))
	}
}

func checkPlan(t *testing.T, build func() (*graph.Graph, error), o engine.Options, want plan, tiles map[graph.Op]int) {
	g, err := build()
	if err != nil {
		t.Fatal(err)
	}
	p, err := open(t).Compile(g, o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	kernels, convolutions, tiled := map[string]int{}, map[graph.Op]int{}, map[graph.Op]int{}
	for _, s := range p.(engine.Profiler).Steps() {
		switch {
		case s.Operations == 0:
			if !slices.Contains(shaping, s.Kernel) {
				kernels[s.Kernel]++
			}
			continue
		case strings.HasPrefix(s.Kernel, "winograd"):
			tiled[s.Op]++
		}
		convolutions[s.Op]++
		if cpuid.CPU.Supports(cpuid.AVX2) && strings.Contains(s.Kernel, "ref") {
			t.Errorf("%s of %s by %s, which is oneDNN's slowest way", s.Op, s.Name, s.Kernel)
		}
	}
	for what, equal := range map[string]bool{
		"kernels": maps.Equal(kernels, want.kernels), "convolutions": maps.Equal(convolutions, want.convolutions),
		"tiles": maps.Equal(tiled, tiles),
	} {
		if !equal {
			t.Errorf("other %s than wanted", what)
		}
	}
	if t.Failed() {
		t.Logf("kernels %v, want %v", kernels, want.kernels)
		t.Logf("convolutions %v, want %v; by tiles %v, want %v", convolutions, want.convolutions, tiled, tiles)
	}
}
