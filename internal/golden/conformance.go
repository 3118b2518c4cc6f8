package golden

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/plain"
	"github.com/destseg/destseg/graph"
)

// Conformance runs every case and a few checks of the program's manners on an
// engine. The cases' outputs, gradients and updated variables must lie within
// tolerance of the plain engine's float64 results: L2 of the difference over
// L2 of the reference, tensor by tensor. Cases of several training steps have a
// tolerance of their own.
func Conformance(t *testing.T, e engine.Engine, o engine.Options, tolerance, steps float64) {
	for _, c := range Cases() {
		limit := tolerance
		if c.Steps {
			limit = steps
		}
		t.Run(c.Name, func(t *testing.T) { conform(t, c.Build(), e, o, limit) })
		t.Run(c.Name+" with constants", func(t *testing.T) { conformBaked(t, c.Build(), e, o, limit) })
	}
	t.Run("constant error", func(t *testing.T) { checkConstantError(t, e, o) })
	t.Run("names", func(t *testing.T) { checkNames(t, e, o) })
	t.Run("state", func(t *testing.T) { checkState(t, e, o) })
	t.Run("zero at the start", func(t *testing.T) { checkStart(t, e, o) })
	t.Run("not a number", func(t *testing.T) { checkNaN(t, e, o) })
	t.Run("closed", func(t *testing.T) { checkClosed(t, e, o) })
	t.Run("threads", func(t *testing.T) { checkThreads(t, e, o) })
}

func conform(t *testing.T, c *Circuit, e engine.Engine, o engine.Options, tolerance float64) {
	for i, v := range c.Gradients() {
		c.Graph.Output("gradient/"+c.Wrt[i].Node.Name, v)
	}
	reference := compile(t, plain.NewFloat64(), engine.Options{}, c.Graph)
	tested := compile(t, e, o, c.Graph)
	for round := range 3 {
		for name, v := range c.Content(round) {
			if _, isVariable := c.variables[name]; isVariable && round > 1 {
				continue // the last round goes on from the one before
			}
			reference.write(name, v)
			tested.write(name, v)
		}
		reference.run()
		tested.run()
		for _, out := range c.Graph.Outputs {
			compare(tested, reference, out.Name, out.Value.Shape().Size(), tolerance)
		}
		for _, v := range c.Graph.Variables {
			compare(tested, reference, v.Name, v.Shapes[0].Size(), tolerance)
		}
	}
}

func compare(tested, reference runner, name string, size int, tolerance float64) {
	t := reference.t
	t.Helper()
	want, got := reference.read(name, size), tested.read(name, size)
	if d := distance(got, want); !(d <= tolerance) {
		t.Errorf("%s: relative error %.2g, limit %.2g\n got %.6g\nwant %.6g",
			name, d, tolerance, got[:min(size, 12)], want[:min(size, 12)])
	}
}

// conformBaked is conform for a program that takes its constants when it is
// compiled. It runs twice, since memory that constants leave behind is used.
func conformBaked(t *testing.T, c *Circuit, e engine.Engine, o engine.Options, tolerance float64) {
	content := c.Content(0)
	o.Constants = func(name string, v []float32) error {
		if len(v) != len(content[name]) {
			t.Errorf("constant %s is asked for with %d values", name, len(v))
		}
		copy(v, content[name])
		return nil
	}
	reference := compile(t, plain.NewFloat64(), engine.Options{}, c.Graph)
	tested := compile(t, e, o, c.Graph)
	constants := map[string]bool{}
	for _, n := range c.Graph.Constants() {
		constants[n.Name] = true
	}
	for round := range 2 {
		for name, v := range c.Content(round) {
			switch {
			case !constants[name]:
				reference.write(name, v)
				tested.write(name, v)
			case round == 0:
				reference.write(name, v)
			}
		}
		reference.run()
		tested.run()
		for _, out := range c.Graph.Outputs {
			compare(tested, reference, out.Name, out.Value.Shape().Size(), tolerance)
		}
	}
	for name := range constants {
		v := make([]float32, len(content[name]))
		if err := tested.program.Write(name, v); !errors.Is(err, engine.ErrUnknownTensor) {
			t.Errorf("writing constant %s: got error %v", name, err)
		}
		if err := tested.program.Read(name, v); !errors.Is(err, engine.ErrUnknownTensor) {
			t.Errorf("reading constant %s: got error %v", name, err)
		}
	}
}

// checkConstantError lets a constant be missing.
func checkConstantError(t *testing.T, e engine.Engine, o engine.Options) {
	g := new(graph.Graph)
	g.Output("y", g.Add(g.Input("x", 1, 1, 1, 3), g.Variable("w", 1, 1, 1, 3)))
	missing := errors.New("missing")
	o.Constants = func(string, []float32) error { return missing }
	if p, err := e.Compile(g, o); !errors.Is(err, missing) {
		t.Errorf("compiled with error %v", err)
		if err == nil {
			p.Close()
		}
	}
}

// checkNames makes the mistakes that ErrUnknownTensor answers.
func checkNames(t *testing.T, e engine.Engine, o engine.Options) {
	g := new(graph.Graph)
	x, w := g.Input("x", 2, 1, 1, 3), g.Variable("w", 2, 1, 1, 3)
	g.Output("y", g.Add(x, w))
	p := compile(t, e, o, g).program
	for _, c := range []struct {
		what string
		err  error
	}{
		{"writing an unknown tensor", p.Write("z", make([]float32, 6))},
		{"writing an output", p.Write("y", make([]float32, 6))},
		{"writing a short input", p.Write("x", make([]float32, 5))},
		{"writing a long variable", p.Write("w", make([]float32, 7))},
		{"reading an unknown tensor", p.Read("z", make([]float32, 6))},
		{"reading a short output", p.Read("y", make([]float32, 5))},
		{"reading a long variable", p.Read("w", make([]float32, 7))},
	} {
		if !errors.Is(c.err, engine.ErrUnknownTensor) {
			t.Errorf("%s: got error %v", c.what, c.err)
		}
	}
	if got := p.Precision(); got == engine.Auto {
		t.Error("precision in force is auto")
	}
}

// checkState exchanges variables and counts, with numbers that every precision
// holds exactly.
func checkState(t *testing.T, e engine.Engine, o engine.Options) {
	g := new(graph.Graph)
	in := g.Input("in", 1, 1, 1, 2)
	a, b, n := g.Variable("a", 1, 1, 1, 2), g.Variable("b", 1, 1, 1, 2), g.Variable("n", 1, 1, 1, 2)
	next := g.Add(n, in)
	g.Update(a, b)
	g.Update(b, a)
	g.Update(n, next)
	g.Output("old", n)
	g.Output("new", next)
	g.Output("kept", in)
	r := compile(t, e, o, g)
	r.write("a", []float32{1, 2})
	r.write("b", []float32{3, 4})
	r.write("in", []float32{1, 2}) // stays for the later runs
	for run, want := range []map[string][]float64{
		{"a": {3, 4}, "b": {1, 2}, "n": {1, 2}, "old": {0, 0}, "new": {1, 2}, "kept": {1, 2}},
		{"a": {1, 2}, "b": {3, 4}, "n": {2, 4}, "old": {1, 2}, "new": {2, 4}, "kept": {1, 2}},
		{"a": {3, 4}, "b": {1, 2}, "n": {3, 6}, "old": {2, 4}, "new": {3, 6}, "kept": {1, 2}},
	} {
		r.run()
		for name, v := range want {
			if got := r.read(name, 2); !slices.Equal(got, v) {
				t.Errorf("run %d: %s is %v, want %v", run, name, got, v)
			}
		}
	}
	r.write("in", []float32{5, 5})
	r.write("n", []float32{7, 7})
	for name, v := range map[string][]float64{"old": {2, 4}, "kept": {1, 2}, "n": {7, 7}} {
		if got := r.read(name, 2); !slices.Equal(got, v) {
			t.Errorf("after a write: %s is %v, want %v", name, got, v)
		}
	}
}

func checkStart(t *testing.T, e engine.Engine, o engine.Options) {
	g := new(graph.Graph)
	w := g.Variable("w", 3, 5, 3, 3)
	g.Output("y", g.Affine(w, 1, 1))
	r := compile(t, e, o, g)
	if got := r.read("w", 135); norm(got) != 0 {
		t.Errorf("variable starts as %v", got)
	}
	r.run()
	for _, v := range r.read("y", 135) {
		if v != 1 {
			t.Fatalf("1 + 0 is %v", v)
		}
	}
}

// checkNaN sends one through what could lose it.
func checkNaN(t *testing.T, e engine.Engine, o engine.Options) {
	for bits, v := range map[string]float32{
		"quiet": float32(math.NaN()), "all bits": math.Float32frombits(0x7fffffff), "negative": math.Float32frombits(0xffffffff),
	} {
		g := new(graph.Graph)
		x := g.Input("x", 1, 2, 3, 3)
		pooled := g.MaxPool(x, graph.Window{Kernel: 3, Stride: 1, Padding: 1, Dilation: 1})
		g.Output("pooled", pooled)
		g.Output("relu", g.ReLU(g.Affine(x, 2, 1)))
		g.Output("resized", g.Resize(x, 6, 6))
		g.Output("mean", g.MeanPool(x))
		r := compile(t, e, o, g)
		content := make([]float32, 18)
		content[4] = v // the middle of the first channel, which every window holds
		r.write("x", content)
		r.run()
		for name, want := range map[string]int{"pooled": 9, "relu": 1, "resized": 4, "mean": 1} {
			out := g.Outputs[slices.IndexFunc(g.Outputs, func(o graph.Output) bool { return o.Name == name })].Value
			count := 0
			for _, y := range r.read(name, out.Shape().Size()) {
				if math.IsNaN(y) {
					count++
				}
			}
			if count < want {
				t.Errorf("%s NaN: %s has %d, want at least %d", bits, name, count, want)
			}
		}
	}
}

func checkClosed(t *testing.T, e engine.Engine, o engine.Options) {
	g := new(graph.Graph)
	g.Output("y", g.ReLU(g.Input("x", 1, 1, 2, 2)))
	p, err := e.Compile(g, o)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	v := make([]float32, 4)
	uses := map[string]func() error{
		"Write": func() error { return p.Write("x", v) },
		"Run":   p.Run,
		"Read":  func() error { return p.Read("y", v) },
	}
	if p, ok := p.(engine.Profiler); ok {
		uses["Profile"] = func() error { _, err := p.Profile(); return err }
		uses["Floor"] = func() error { _, err := p.Floor(); return err }
	}
	for what, use := range uses {
		if err := use(); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("%s after Close: got error %v", what, err)
		}
	}
}

func checkThreads(t *testing.T, e engine.Engine, o engine.Options) {
	g := new(graph.Graph)
	g.Output("y", g.ReLU(g.Input("x", 1, 1, 2, 2)))
	o.Threads = -1
	if p, err := e.Compile(g, o); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("compiled for -1 threads with error %v", err)
		if err == nil {
			p.Close()
		}
	}
}
