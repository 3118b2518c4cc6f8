// Package quantize prepares networks for inference in 8-bit integers.
//
// It rounds after training: [Observe] adds outputs that show what the convolutions of
// a network read, a [Collector] gathers these over good pictures and chooses a step for
// each, and [Graph] builds the network that computes with them. Any engine can run both
// networks, and an exporter can lower the second one as well.
//
// What a convolution reads is rounded to 256 levels with one step for the whole tensor,
// its weights to 255 with a step for each output channel. In the networks of this method
// everything that is quantized has one sign, as it comes from a ReLU or from the product
// of two, so that the levels are 0 to 255 and no zero point is needed; where the numbers
// are negative, the step is. Sums are exact.
//
// Kept as they are: the first convolutions, which read the picture; the last one and the
// pooled branch, which cost next to nothing; and the features that the cosines compare.
package quantize

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/destseg/destseg/graph"
)

// levels is how many values 8 bits tell apart.
const levels = 256

// Steps are the distances between neighbouring levels. A value is a step times a whole
// number: 0 to 255, or −128 to 127 for sums.
type Steps struct {
	// Inputs has, by the name of a convolution's weights, the step of what it reads.
	// A negative one is for numbers below 0.
	Inputs map[string]float64 `json:"inputs"`
	// Sums has, by the name of a convolution's weights, the step of its result, which
	// may have either sign, where that is added to another convolution's.
	Sums map[string]float64 `json:"sums"`
}

// Check says what is wrong with steps read from a file, if anything is.
func (s Steps) Check() error {
	if len(s.Inputs) == 0 {
		return fmt.Errorf("no steps of what convolutions read")
	}
	for _, m := range []map[string]float64{s.Inputs, s.Sums} {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			// The bounds keep all that is computed with steps within float32.
			if size := math.Abs(m[name]); !(size >= smallestStep && size <= largestStep) {
				return fmt.Errorf("step %v of %.60q; it is between %g and %g in size", m[name], name, smallestStep, largestStep)
			}
		}
	}
	return nil
}

const smallestStep, largestStep = 1e-9, 1e9

// Graph returns a copy of a network for inference in which the convolutions that have a
// step read rounded numbers and have rounded weights. Residual sums and mean pools read
// the rounded numbers where convolutions read them as well.
//
// Convolutions without a step stay as they are. It is an error if there are steps for
// others than the network has.
func Graph(g *graph.Graph, s Steps) (*graph.Graph, error) {
	l := survey(g, func(name string) bool { _, ok := s.Inputs[name]; return ok })
	if len(l.convolutions) < len(s.Inputs) {
		return nil, fmt.Errorf("steps for %d convolutions, of which the network has %d; quantize the detector again", len(s.Inputs), len(l.convolutions))
	}
	steps := map[graph.Value]float64{} // of what convolutions read
	for _, n := range l.convolutions {
		name := n.In[1].Node.Name
		step := s.Inputs[name]
		if other, ok := steps[n.In[0]]; ok && other != step {
			return nil, fmt.Errorf("what the convolution %q reads has steps %v and %v; quantize the detector again", name, step, other)
		}
		steps[n.In[0]] = step
	}
	added := map[graph.Value]float64{}
	for v, conv := range l.sums {
		if step, ok := s.Sums[conv.In[1].Node.Name]; ok {
			added[v] = step
		}
	}
	quantized := map[graph.Value]graph.Value{}
	rounded := func(to *graph.Graph, v, copied graph.Value, step float64, signed bool) graph.Value {
		if q, ok := quantized[v]; ok {
			return q
		}
		q := to.Quantize(copied, step, signed)
		quantized[v] = q
		return q
	}
	return g.Rewrite(func(to *graph.Graph, n *graph.Node, in []graph.Value) []graph.Value {
		switch {
		case n.Op == graph.OpConv && slices.Contains(l.convolutions, n):
			in[0] = rounded(to, n.In[0], in[0], steps[n.In[0]], false)
			in[1] = to.QuantizeWeights(in[1])
		case n.Op == graph.OpMeanPool, n.Op == graph.OpAdd:
			for i, v := range n.In {
				if step, ok := steps[v]; ok {
					in[i] = rounded(to, v, in[i], step, false)
				} else if step, ok := added[v]; ok {
					in[i] = rounded(to, v, in[i], step, true)
				}
			}
		}
		return in
	}), nil
}

// layers are what is quantized of a graph.
type layers struct {
	convolutions []*graph.Node
	sums         map[graph.Value]*graph.Node // a convolution's result that is added to another's → the convolution
}

// survey finds what can be quantized, as far as the names of the weights are wanted.
func survey(g *graph.Graph, wanted func(name string) bool) layers {
	l := layers{sums: map[graph.Value]*graph.Node{}}
	constant := map[*graph.Node]bool{}
	for _, n := range g.Constants() {
		constant[n] = true
	}
	for _, n := range g.Nodes {
		switch n.Op {
		case graph.OpConv:
			reads := n.In[0].Node.Op
			if constant[n.In[1].Node] && wanted(n.In[1].Node.Name) && n.Shapes[0][1] > 1 && reads != graph.OpInput && reads != graph.OpMeanPool {
				l.convolutions = append(l.convolutions, n)
			}
		case graph.OpAdd:
			if l.linear(n.In[0]) != nil {
				if conv := l.linear(n.In[1]); conv != nil {
					l.sums[n.In[1]] = conv
				}
			}
		}
	}
	return l
}

// linear returns the quantized convolution whose result, with or without a batch norm,
// a value is.
func (l layers) linear(v graph.Value) *graph.Node {
	n := v.Node
	if n.Op == graph.OpBatchNorm {
		n = n.In[0].Node
	}
	if n.Op == graph.OpConv && slices.Contains(l.convolutions, n) {
		return n
	}
	return nil
}
