package golden

import (
	"math"
	"strings"
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/plain"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/network"
)

// A runner is a program under test. Every error ends the test.
type runner struct {
	t       *testing.T
	program engine.Program
}

func compile(t *testing.T, e engine.Engine, o engine.Options, g *graph.Graph) runner {
	t.Helper()
	p, err := e.Compile(g, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return runner{t, p}
}

func (r runner) write(name string, v []float32) {
	r.t.Helper()
	if err := r.program.Write(name, v); err != nil {
		r.t.Fatal(err)
	}
}

// writeScalar writes as exactly as the program can take it.
func (r runner) writeScalar(name string, v float64) {
	r.t.Helper()
	if p, ok := r.program.(plain.Program64); ok {
		if err := p.Write64(name, []float64{v}); err != nil {
			r.t.Fatal(err)
		}
		return
	}
	r.write(name, []float32{float32(v)})
}

// drawState writes the state dict's tensors; momentum starts at zero.
func (r runner) drawState(g *graph.Graph) {
	r.t.Helper()
	for _, n := range g.Variables {
		if !strings.HasPrefix(n.Name, network.MomentumOf("")) {
			r.write(n.Name, Draw(n.Name, n.Shapes[0]))
		}
	}
}

func (r runner) run() {
	r.t.Helper()
	if err := r.program.Run(); err != nil {
		r.t.Fatal(err)
	}
}

// read reads as exactly as the program can give it.
func (r runner) read(name string, size int) []float64 {
	r.t.Helper()
	v := make([]float64, size)
	if p, ok := r.program.(plain.Program64); ok {
		if err := p.Read64(name, v); err != nil {
			r.t.Fatal(err)
		}
		return v
	}
	narrow := make([]float32, size)
	if err := r.program.Read(name, narrow); err != nil {
		r.t.Fatal(err)
	}
	for i, x := range narrow {
		v[i] = float64(x)
	}
	return v
}

// distance is the relative error of a tensor: the L2 norm of the difference
// over that of what is wanted, or the former alone if nothing but zeros are
// wanted. It is infinite for a NaN.
func distance(got, want []float64) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	difference := make([]float64, len(want))
	for i := range want {
		difference[i] = got[i] - want[i]
	}
	d, n := norm(difference), norm(want)
	switch {
	case math.IsNaN(d):
		return math.Inf(1)
	case n == 0:
		return d
	}
	return d / n
}

func norm(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum)
}

// A worst keeps the largest of some errors and the tensor it belongs to.
type worst struct {
	name  string
	error float64
	count int
}

func (w *worst) add(name string, error float64) {
	w.count++
	if w.count == 1 || error > w.error {
		w.name, w.error = name, error
	}
}

// check fails the test if the worst error is above the limit, and logs it. A
// limit of 0 checks nothing.
func (w *worst) check(t *testing.T, what string, limit float64) {
	t.Helper()
	if limit == 0 {
		return
	}
	if w.count == 0 {
		t.Errorf("%s: nothing was compared", what)
		return
	}
	if !(w.error <= limit) {
		t.Errorf("%s: relative error %.2g, limit %.2g (%s)", what, w.error, limit, w.name)
		return
	}
	t.Logf("%s: relative error %.2g, limit %.2g (%s, worst of %d)", what, w.error, limit, w.name, w.count)
}
