package graph

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestWindowOutput(t *testing.T) {
	for _, c := range []struct {
		w    Window
		n    int
		want int
	}{
		{Window{Kernel: 7, Stride: 2, Padding: 3, Dilation: 1}, 256, 128},
		{Window{Kernel: 3, Stride: 2, Padding: 1, Dilation: 1}, 5, 3},
		{Window{Kernel: 3, Stride: 1, Padding: 18, Dilation: 18}, 8, 8},
		{Window{Kernel: 1, Stride: 2, Dilation: 1}, 7, 4},
	} {
		if got := c.w.Output(c.n); got != c.want {
			t.Errorf("%+v over %d gives %d, want %d", c.w, c.n, got, c.want)
		}
	}
}

func TestOpsAreNamed(t *testing.T) {
	seen := map[string]Op{}
	for op := opInvalid + 1; op < opCount; op++ {
		name := op.String()
		if other, ok := seen[name]; ok || name == "" || name == "invalid" {
			t.Errorf("operation %d is called %q, as is %d", op, name, other)
		}
		seen[name] = op
	}
	if Op(255).String() != "invalid" {
		t.Error("an unknown operation has a name")
	}
}

func TestBuildRefusesWhatDoesNotFit(t *testing.T) {
	win := Window{Stride: 1, Dilation: 1}
	for name, build := range map[string]func(g *Graph, x Value){
		"conv bias":          func(g *Graph, x Value) { g.ConvBias(x, g.Variable("w", 4, 3, 3, 3), g.Variable("b", 3), win) },
		"conv of a vector":   func(g *Graph, x Value) { g.Conv(g.Input("v", 3), g.Variable("w", 4, 3, 3, 3), win) },
		"conv past the edge": func(g *Graph, x Value) { g.Conv(x, g.Variable("w", 4, 3, 9, 9), win) },
		"batch norm": func(g *Graph, x Value) {
			c := g.Variable("c", 3)
			g.BatchNorm(x, c, c, c, g.Variable("d", 4), 1e-5)
		},
		"batch norm training": func(g *Graph, x Value) { g.BatchNormTrain(x, g.Variable("c", 3), g.Variable("d", 3, 1), 1e-5) },
		"max pool":            func(g *Graph, x Value) { g.MaxPool(x, Window{Kernel: 9, Stride: 2, Dilation: 1}) },
		"max pool stride":     func(g *Graph, x Value) { g.MaxPool(x, Window{Kernel: 3, Dilation: 1}) },
		"mean pool":           func(g *Graph, x Value) { g.MeanPool(g.Sum(x)) },
		"resize":              func(g *Graph, x Value) { g.Resize(x, 0, 8) },
		"cosine":              func(g *Graph, x Value) { v := g.Input("v", 3); g.Cosine(v, v, 1e-12) },
		"rate": func(g *Graph, x Value) {
			w := g.Variable("w", 3)
			g.SGD(w, g.Variable("gradient", 3), g.Variable("buffer", 3), g.Input("rate", 1), 0.9, 0)
		},
		"conv":      func(g *Graph, x Value) { g.Conv(x, g.Variable("w", 4, 5, 3, 3), win) },
		"add":       func(g *Graph, x Value) { g.Add(x, g.Input("y", 1, 3, 8, 9)) },
		"concat":    func(g *Graph, x Value) { g.Concat(x, g.Input("y", 1, 3, 4, 4)) },
		"slice":     func(g *Graph, x Value) { g.Slice(x, 2, 2) },
		"two names": func(g *Graph, x Value) { g.Variable("x", 1) },
		"output":    func(g *Graph, x Value) { g.Output("o", x); g.Output("o", x) },
		"quantize":  func(g *Graph, x Value) { g.Quantize(x, 0, false) },
		"update":    func(g *Graph, x Value) { g.Update(x, x) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if message, ok := recover().(string); !ok || !strings.HasPrefix(message, "graph: ") {
					t.Errorf("panic says %q", message)
				}
			}()
			g := new(Graph)
			build(g, g.Input("x", 1, 3, 8, 8))
		})
	}
}

func TestGradients(t *testing.T) {
	t.Run("frozen parts get none", func(t *testing.T) {
		g := new(Graph)
		x, w, v := g.Input("x", 1, 2, 4, 4), g.Variable("w", 2, 2, 1, 1), g.Variable("v", 2, 2, 1, 1)
		win := Window{Stride: 1, Dilation: 1}
		loss := g.Sum(g.Conv(g.Conv(x, w, win), v, win))
		before := len(g.Nodes)
		if _, err := Gradients(g, loss, []Value{v}); err != nil {
			t.Fatal(err)
		}
		for _, n := range g.Nodes[before:] {
			if n.Op == OpConvBackwardData {
				t.Error("a gradient flows into the frozen convolution")
			}
		}
	})
	t.Run("nodes stay in order", func(t *testing.T) {
		g := new(Graph)
		x := g.Variable("x", 1, 2, 4, 4)
		y := g.ReLU(x)
		if _, err := Gradients(g, g.Sum(g.Mul(y, g.Add(y, x))), []Value{x}); err != nil {
			t.Fatal(err)
		}
		for i, n := range g.Nodes {
			if n.ID != i || slices.ContainsFunc(n.In, func(v Value) bool { return v.Node != nil && v.Node.ID >= i }) {
				t.Errorf("node %d (%s) comes before its operands", i, n.Op)
			}
		}
	})
	t.Run("second results", func(t *testing.T) {
		g := new(Graph)
		x, scale, shift := g.Variable("x", 2, 3, 4, 4), g.Variable("scale", 3), g.Variable("shift", 3)
		y, mean, variance := g.BatchNormTrain(x, scale, shift, 1e-5)
		for name, loss := range map[string]Value{
			"mean":     g.Sum(mean),
			"variance": g.Add(g.Sum(y), g.Sum(variance)),
		} {
			if _, err := Gradients(g, loss, []Value{x}); !errors.Is(err, ErrNoDerivative) {
				t.Errorf("through the %s: %v", name, err)
			}
		}
		if _, err := Gradients(g, g.Add(g.Sum(y), g.Sum(mean)), []Value{y, mean}); err != nil {
			t.Errorf("by what a batch norm returns: %v", err)
		}
	})
	t.Run("errors", func(t *testing.T) {
		g := new(Graph)
		x, y := g.Variable("x", 1, 1, 2, 2), g.Variable("y", 1, 1, 2, 2)
		if _, err := Gradients(g, g.Sum(g.Step(x, 0.5)), []Value{x}); !errors.Is(err, ErrNoDerivative) {
			t.Errorf("through a step: %v", err)
		}
		if _, err := Gradients(g, g.Sum(g.Quantize(x, 0.5, true)), []Value{x}); !errors.Is(err, ErrNoDerivative) {
			t.Errorf("through a quantization: %v", err)
		}
		if _, err := Gradients(g, g.Sum(x), []Value{y}); err == nil || !strings.Contains(err.Error(), `"y"`) {
			t.Errorf("by what the loss ignores: %v", err)
		}
		if _, err := Gradients(g, x, []Value{x}); err == nil || !strings.Contains(err.Error(), "scalar") {
			t.Errorf("of a tensor: %v", err)
		}
		if _, err := Gradients(g, g.Focal(x, y, 4), []Value{y}); !errors.Is(err, ErrNoDerivative) {
			t.Errorf("by a target: %v", err)
		}
	})
}

// TestRewrite lets a sum read something else, and nothing else changes.
func TestRewrite(t *testing.T) {
	g := new(Graph)
	x, w := g.Input("x", 1, 2, 4, 4), g.Variable("w", 1, 2, 4, 4)
	y, place := g.Add(x, w), g.MaxPool(w, Window{Kernel: 2, Stride: 2, Dilation: 1})
	g.Output("y", y)
	g.Output("place", Value{place.Node, 1})
	g.Update(w, y)
	h := g.Rewrite(func(to *Graph, n *Node, in []Value) []Value {
		if n.Op == OpAdd {
			in[1] = to.ReLU(in[1])
		}
		return in
	})
	var ops []Op
	for i, n := range h.Nodes {
		ops = append(ops, n.Op)
		if n.ID != i || slices.Contains(g.Nodes, n) {
			t.Errorf("node %d is %d, or shared", i, n.ID)
		}
		for _, v := range n.In {
			if h.Nodes[v.Node.ID] != v.Node || v.Node.ID >= i {
				t.Errorf("node %d reads another graph, or what comes later", i)
			}
		}
	}
	if want := []Op{OpInput, OpVariable, OpReLU, OpAdd, OpMaxPool}; !slices.Equal(ops, want) {
		t.Errorf("operations %v, want %v", ops, want)
	}
	sum := h.Nodes[3]
	if sum.In[1].Node.Op != OpReLU || h.Outputs[0].Value.Node != sum || h.Outputs[1].Value.Index != 1 ||
		h.Updates[0].Value.Node != sum || h.Updates[0].Variable != h.Variables[0] || h.Inputs[0] != h.Nodes[0] {
		t.Errorf("%+v", h)
	}
	if len(g.Nodes) != 4 || g.Nodes[2].In[1] != w {
		t.Error("the original changed")
	}
}
