package golden

import (
	"fmt"
	"slices"

	"github.com/destseg/destseg/graph"
)

// A Case is a small graph around one operation or one way of combining some.
type Case struct {
	Name string
	// Kink is set where the loss has no derivative at some element, so that
	// finite differences can't confirm the gradients.
	Kink bool
	// Steps is set where training steps follow each other, over which the
	// rounding of an engine grows.
	Steps bool
	build func(*Circuit)
}

// Build builds the case's graph.
func (c Case) Build() *Circuit {
	b := &Circuit{Graph: new(graph.Graph), name: c.Name, contents: map[string]content{}, variables: map[string]bool{}}
	c.build(b)
	return b
}

// A Circuit is a case's graph with content for its tensors and, if there is
// something to differentiate, a loss.
type Circuit struct {
	Graph *graph.Graph
	Wrt   []graph.Value // variables that the loss can be differentiated by
	Loss  graph.Value   // scalar; none if Wrt is empty

	name      string
	contents  map[string]content
	variables map[string]bool
}

// Content returns content for every input and variable, by name. Each round
// has its own.
func (c *Circuit) Content(round int) map[string][]float32 {
	all := map[string][]float32{}
	for name, f := range c.contents {
		node, _ := c.Graph.Tensor(name)
		all[name] = f(newUniform(fmt.Sprintf("%s/%s/%d", c.name, name, round)), node.Shapes[0].Size())
	}
	return all
}

// Gradients adds the derivatives of the loss by each of Wrt.
func (c *Circuit) Gradients() []graph.Value {
	if len(c.Wrt) == 0 {
		return nil
	}
	gradients, err := graph.Gradients(c.Graph, c.Loss, c.Wrt)
	if err != nil {
		panic(err) // a case is code
	}
	return gradients
}

// content draws a tensor.
type content func(u uniform, size int) []float32

func between(lo, hi float64) content {
	return func(u uniform, size int) []float32 { return u.between(lo, hi, size) }
}

// apart draws distinct numbers in (−1, 1) at equal distances, none of them 0,
// for operations with kinks.
func apart(u uniform, size int) []float32 {
	order := make([]int, size)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		if u.at(i) < u.at(j) {
			return -1
		}
		return 1
	})
	v := make([]float32, size)
	for rank, i := range order {
		v[i] = float32((float64(rank)+0.25)*2/float64(size) - 1)
	}
	return v
}

// binary draws 0 or 1.
func binary(u uniform, size int) []float32 {
	v := u.between(0, 1, size)
	for i := range v {
		if v[i] < 0.5 {
			v[i] = 0
		} else {
			v[i] = 1
		}
	}
	return v
}

// input declares a tensor that nothing is differentiated by.
func (c *Circuit) input(name string, f content, shape ...int) graph.Value {
	c.contents[name] = f
	return c.Graph.Input(name, shape...)
}

// frozen declares a variable that nothing is differentiated by.
func (c *Circuit) frozen(name string, f content, shape ...int) graph.Value {
	c.contents[name] = f
	c.variables[name] = true
	return c.Graph.Variable(name, shape...)
}

// variable declares a tensor to differentiate by.
func (c *Circuit) variable(name string, f content, shape ...int) graph.Value {
	v := c.frozen(name, f, shape...)
	c.Wrt = append(c.Wrt, v)
	return v
}

// result makes v an output and adds its elements to the loss, each with a
// weight of its own.
func (c *Circuit) result(name string, v graph.Value) {
	g := c.Graph
	g.Output(name, v)
	if len(c.Wrt) == 0 {
		return
	}
	term := g.Sum(g.Mul(v, c.input("weights/"+name, between(-1, 1), v.Shape()...)))
	if !c.Loss.IsNone() {
		term = g.Add(c.Loss, term)
	}
	c.Loss = term
}
