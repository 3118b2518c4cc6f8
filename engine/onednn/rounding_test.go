//go:build cgo

package onednn_test

import (
	"errors"
	"math"
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/onednn"
	"github.com/destseg/destseg/graph"
)

// TestRounding takes numbers to bf16 by both pieces of code that do so. All other tests
// forgive an error of a unit in the last place, which truncation would make.
func TestRounding(t *testing.T) {
	var numbers []float32 // all that bf16 holds, and what lies behind each up to, at and beyond a tie
	for high := range uint32(1 << 16) {
		for _, low := range []uint32{0, 1, 0x7fff, 0x8000, 0x8001, 0xffff} {
			numbers = append(numbers, math.Float32frombits(high<<16|low))
		}
	}
	run := func(t *testing.T, p engine.Program, in string, v, y []float32) {
		t.Helper()
		if err := errors.Join(p.Write(in, v), p.Run(), p.Read("y", y)); err != nil {
			t.Fatal(err)
		}
		for i, x := range v {
			if want := toBF16(x); y[i] != want && (y[i] == y[i] || want == want) {
				t.Fatalf("%g (%#x) becomes %g, want %g", x, math.Float32bits(x), y[i], want)
			}
		}
	}
	t.Run("store", func(t *testing.T) {
		const channels, height, width = 16, 128, 192
		g := new(graph.Graph)
		x := g.Input("x", 1, channels, height, width)
		g.Output("y", g.Slice(x, 0, channels))
		p, err := open(t).Compile(g, bf16)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		run(t, p, "x", numbers, make([]float32, len(numbers)))
	})
	t.Run("put", func(t *testing.T) {
		const channels = 2048
		g := new(graph.Graph)
		w, bias := g.Variable("w", channels, 16, 3, 3), g.Variable("bias", channels)
		g.Output("y", g.ConvBias(g.Input("x", 1, 16, 1, 1), w, bias, graph.Window{Stride: 1, Padding: 1, Dilation: 1}))
		p, err := onednn.NewTiled(4).Compile(g, bf16)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		y := make([]float32, channels)
		for i := 0; i < len(numbers); i += channels { // weights are 0
			run(t, p, "bias", numbers[i:i+channels], y)
		}
	})
}

// toBF16 rounds to the nearest number with 8 bits of precision, to the even one of two.
// Behind the largest lies infinity.
func toBF16(x float32) float32 {
	if x != x {
		return x
	}
	bits := math.Float32bits(x)
	rest := bits & 0xffff
	bits -= rest
	if odd := bits&0x10000 != 0; rest > 0x8000 || rest == 0x8000 && odd {
		bits += 0x10000
	}
	return math.Float32frombits(bits)
}
