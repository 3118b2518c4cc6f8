package quantize

import (
	"fmt"

	"github.com/destseg/destseg/graph"
)

// A Point is a tensor that is rounded.
type Point struct {
	Output string      // its name among the outputs of the observed graph
	Shape  graph.Shape // N×C×H×W

	inputs []string // weights of the convolutions that read it
	sum    string   // weights of the convolution whose result it is, if that is added to another's
}

// Observe returns a copy of a network with everything among its outputs that [Graph]
// rounds, under names of their own.
func Observe(g *graph.Graph) (*graph.Graph, []Point) {
	var points []Point
	at := map[graph.Value]int{}
	values := []graph.Value{}
	point := func(v graph.Value) *Point {
		i, ok := at[v]
		if !ok {
			i = len(points)
			at[v] = i
			points = append(points, Point{Output: fmt.Sprintf("quantize/%d", i), Shape: v.Shape()})
			values = append(values, v)
		}
		return &points[i]
	}
	l := survey(g, func(string) bool { return true })
	for _, n := range l.convolutions {
		p := point(n.In[0])
		p.inputs = append(p.inputs, n.In[1].Node.Name)
	}
	for _, n := range g.Nodes { // in the order of the graph, not of the map
		if n.Op != graph.OpAdd {
			continue
		}
		for _, v := range n.In {
			if conv, ok := l.sums[v]; ok {
				point(v).sum = conv.In[1].Node.Name
			}
		}
	}
	observed := g.Rewrite(func(_ *graph.Graph, _ *graph.Node, in []graph.Value) []graph.Value { return in })
	for i, v := range values {
		observed.Output(points[i].Output, graph.Value{Node: observed.Nodes[v.Node.ID], Index: v.Index})
	}
	return observed, points
}
