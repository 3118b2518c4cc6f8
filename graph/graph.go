package graph

import (
	"fmt"
	"slices"
)

// Shape lists a tensor's dimensions, outermost first. A scalar has none.
type Shape []int

// Size is the number of elements.
func (s Shape) Size() int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// Equal reports whether both shapes have the same dimensions.
func (s Shape) Equal(t Shape) bool { return slices.Equal(s, t) }

// Window holds the geometry of a convolution or a pooling. Padding is
// symmetric and the same in both directions, as everywhere in this method.
type Window struct {
	Kernel   int // side of the window; convolutions read it off the weights
	Stride   int
	Padding  int
	Dilation int // distance between taps, 1 for an ordinary convolution
}

// Output returns the extent of the result for an input of extent n.
func (w Window) Output(n int) int {
	return (n+2*w.Padding-w.Dilation*(w.Kernel-1)-1)/w.Stride + 1
}

// A Node is one operation. Its fields are read by engines and never change
// once it is in a graph.
type Node struct {
	ID     int     // position in Graph.Nodes
	Op     Op      // what it computes
	Name   string  // of an input or a variable, else empty
	In     []Value // operands; an optional operand that is absent is the zero Value
	Shapes []Shape // one for each result

	Window Window  // convolution and pooling
	First  int     // channel from which on OpSlice reads and OpPadChannels writes; lowest level of OpQuantize
	Alpha  float64 // first constant, see the Op
	Beta   float64 // second constant, see the Op
}

// A Value is one result of a node. The zero Value stands for "none".
type Value struct {
	Node  *Node
	Index int
}

// IsNone reports whether v stands for an absent operand.
func (v Value) IsNone() bool { return v.Node == nil }

// Shape returns the dimensions of the value.
func (v Value) Shape() Shape { return v.Node.Shapes[v.Index] }

// An Output is a value that a run hands out under a name.
type Output struct {
	Name  string
	Value Value
}

// An Update replaces the content of a variable after a run.
type Update struct {
	Variable *Node
	Value    Value
}

// A Graph is a network, or a network with its losses, gradients and updates.
// The zero Graph is empty and ready for use.
//
// The methods that add operations panic when shapes do not fit, since a graph
// is built by code and not from data.
type Graph struct {
	Nodes     []*Node // in an order of execution
	Inputs    []*Node
	Variables []*Node
	Outputs   []Output
	Updates   []Update
}

func (g *Graph) add(n Node) *Node {
	n.ID = len(g.Nodes)
	p := &n
	g.Nodes = append(g.Nodes, p)
	return p
}

func (g *Graph) one(op Op, shape Shape, in ...Value) *Node {
	return g.add(Node{Op: op, In: in, Shapes: []Shape{shape}})
}

// Input declares a tensor that the caller provides before each run.
func (g *Graph) Input(name string, shape ...int) Value {
	g.mustBeNew(name)
	n := g.add(Node{Op: OpInput, Name: name, Shapes: []Shape{shape}})
	g.Inputs = append(g.Inputs, n)
	return Value{Node: n}
}

// Variable declares a tensor that stays in the program from run to run.
func (g *Graph) Variable(name string, shape ...int) Value {
	g.mustBeNew(name)
	n := g.add(Node{Op: OpVariable, Name: name, Shapes: []Shape{shape}})
	g.Variables = append(g.Variables, n)
	return Value{Node: n}
}

func (g *Graph) mustBeNew(name string) {
	for _, list := range [][]*Node{g.Inputs, g.Variables} {
		for _, n := range list {
			if n.Name == name {
				panic(fmt.Sprintf("graph: two tensors are named %q", name))
			}
		}
	}
}

// Output makes v readable under a name after a run.
func (g *Graph) Output(name string, v Value) {
	for _, o := range g.Outputs {
		if o.Name == name {
			panic(fmt.Sprintf("graph: two outputs are named %q", name))
		}
	}
	g.Outputs = append(g.Outputs, Output{name, v})
}

// Update replaces variable by value at the end of a run.
func (g *Graph) Update(variable, value Value) {
	if variable.Node.Op != OpVariable {
		panic("graph: only a variable can be updated")
	}
	sameShape("update", variable, value)
	g.Updates = append(g.Updates, Update{variable.Node, value})
}

// Constants returns the variables that no update changes.
func (g *Graph) Constants() []*Node {
	updated := map[*Node]bool{}
	for _, u := range g.Updates {
		updated[u.Variable] = true
	}
	return slices.DeleteFunc(slices.Clone(g.Variables), func(n *Node) bool { return updated[n] })
}

// Tensor finds an input or a variable by name.
func (g *Graph) Tensor(name string) (*Node, bool) {
	for _, list := range [][]*Node{g.Inputs, g.Variables} {
		for _, n := range list {
			if n.Name == name {
				return n, true
			}
		}
	}
	return nil, false
}

func sameShape(what string, a, b Value) {
	if !a.Shape().Equal(b.Shape()) {
		panic(fmt.Sprintf("graph: %s of %v and %v", what, a.Shape(), b.Shape()))
	}
}

// mustBe checks operands that have to have one shape.
func mustBe(what string, shape Shape, operands ...Value) {
	for _, v := range operands {
		if !v.Shape().Equal(shape) {
			panic(fmt.Sprintf("graph: %s of shape %v, must be %v", what, v.Shape(), shape))
		}
	}
}

// planes returns the shape of an operand that has to be N×C×H×W.
func planes(what string, x Value) Shape {
	s := x.Shape()
	if len(s) != 4 {
		panic(fmt.Sprintf("graph: %s of %v, must be N×C×H×W", what, s))
	}
	return s
}

// mustFit checks that a window meets a picture of N×C×H×W at least once.
func (w Window) mustFit(what string, s Shape) {
	reach := w.Dilation*(w.Kernel-1) + 1
	if w.Kernel < 1 || w.Stride < 1 || w.Dilation < 1 || w.Padding < 0 || min(s[2], s[3])+2*w.Padding < reach {
		panic(fmt.Sprintf("graph: %s of %v with window %+v", what, s, w))
	}
}
