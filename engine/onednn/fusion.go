//go:build cgo

package onednn

import (
	"slices"

	"github.com/destseg/destseg/graph"
)

// A chain is computed in one go: a convolution with a frozen batch norm folded
// in, or a batch norm, then perhaps a residual sum, a ReLU and, if the convolution is
// one in integers, a rounding to 8 bits.
type chain struct {
	conv     *graph.Node // or nil
	norm     *graph.Node // or nil
	residual graph.Value // or none
	relu     bool
	rounding *graph.Node // or nil
}

// A place is where in a concatenation a value is written.
type place struct {
	whole graph.Value
	first int // channel
}

// fusion says which nodes are computed together.
type fusion struct {
	integers   bool // convolutions of levels are computed in integers
	needed     map[*graph.Node]bool
	uses       map[graph.Value]int // by needed nodes, outputs and updates; counted down while lowering
	users      map[graph.Value][]*graph.Node
	absorbed   map[*graph.Node]bool        // computed with another node
	chains     map[*graph.Node]*chain      // by last node
	started    map[*graph.Node]bool        // training batch norms that a later node applies
	factors    map[*graph.Node]*graph.Node // cosine → the scaling of its product
	masks      map[*graph.Node]*graph.Node // batch-norm-backward → the ReLU-backward before it
	places     map[graph.Value]place
	spreads    map[graph.Value]spread      // by concatenation
	spreadData map[*graph.Node]spread      // by conv-backward-data that gives a concatenation's gradient
	spreadSums map[*graph.Node]*graph.Node // the same → the resize-backward of the spread part
	joins      map[*graph.Node]*graph.Node // rounding → the concatenation whose parts are rounded one by one
	parts      map[graph.Value]*graph.Node // part of such a concatenation → the rounding
	updated    map[*graph.Node]bool        // variables
}

func newFusion(g *graph.Graph, integers bool) fusion {
	f := fusion{
		integers: integers, joins: map[*graph.Node]*graph.Node{}, parts: map[graph.Value]*graph.Node{},
		needed: map[*graph.Node]bool{}, uses: map[graph.Value]int{}, users: map[graph.Value][]*graph.Node{},
		absorbed: map[*graph.Node]bool{}, chains: map[*graph.Node]*chain{}, started: map[*graph.Node]bool{},
		factors: map[*graph.Node]*graph.Node{}, masks: map[*graph.Node]*graph.Node{}, places: map[graph.Value]place{},
		spreads: map[graph.Value]spread{}, spreadData: map[*graph.Node]spread{}, spreadSums: map[*graph.Node]*graph.Node{},
		updated: map[*graph.Node]bool{},
	}
	f.need(g)
	for _, n := range g.Nodes {
		if f.needed[n] && n.Op == graph.OpConcat {
			f.spread(n)
		}
	}
	for _, n := range g.Nodes {
		if f.needed[n] && n.Op == graph.OpQuantize {
			f.join(n)
		}
	}
	for _, n := range g.Nodes {
		if f.needed[n] && !f.absorbed[n] {
			f.match(n)
		}
	}
	for _, n := range g.Nodes {
		if f.needed[n] && n.Op == graph.OpConcat && !f.absorbed[n] {
			f.place(n)
		}
	}
	return f
}

// need walks back from outputs and updates and counts the uses of each value.
func (f *fusion) need(g *graph.Graph) {
	for _, o := range g.Outputs {
		f.needed[o.Value.Node] = true
		f.uses[o.Value]++
	}
	for _, u := range g.Updates {
		f.needed[u.Value.Node] = true
		f.updated[u.Variable] = true
		if u.Value.Node.Op != graph.OpSGD {
			f.uses[u.Value]++
		}
	}
	for _, n := range slices.Backward(g.Nodes) {
		if n.Op == graph.OpInput || n.Op == graph.OpVariable {
			f.needed[n] = true // the caller may write it in any case
		}
		if !f.needed[n] {
			continue
		}
		for _, v := range n.In {
			if v.IsNone() {
				continue
			}
			f.needed[v.Node] = true
			f.uses[v]++
			f.users[v] = append(f.users[v], n)
		}
	}
}

// next returns the node that alone uses v, if there is such a one.
func (f *fusion) next(v graph.Value) *graph.Node {
	if f.uses[v] != 1 || len(f.users[v]) != 1 || f.absorbed[f.users[v][0]] {
		return nil
	}
	return f.users[v][0]
}

func (f *fusion) nextIs(v graph.Value, op graph.Op) *graph.Node {
	if n := f.next(v); n != nil && n.Op == op {
		return n
	}
	return nil
}

func (f *fusion) match(n *graph.Node) {
	v := graph.Value{Node: n}
	switch n.Op {
	case graph.OpConv:
		if isDot(n.In[1].Shape(), n.Window) {
			return
		}
		c := &chain{conv: n}
		last := n
		if bn := f.nextIs(v, graph.OpBatchNorm); bn != nil && len(n.In) == 2 && bn.In[0] == v && f.foldable(n, bn) {
			c.norm, last = bn, bn
		}
		if f.inIntegers(n) {
			f.absorbed[n.In[1].Node] = true // its levels are what the convolution takes
		}
		f.extend(c, last)
	case graph.OpBatchNorm, graph.OpBatchNormTrain:
		f.extend(&chain{norm: n}, n)
	case graph.OpCosine:
		if affine := f.nextIs(v, graph.OpAffine); affine != nil && affine.Beta == 0 {
			f.factors[n] = affine
			f.absorbed[affine] = true
			f.uses[v] = 0
		}
	case graph.OpReLUBackward:
		if bn := f.nextIs(v, graph.OpBatchNormBackward); bn != nil && bn.In[1] == v {
			f.masks[bn] = n
			f.absorbed[n] = true
		}
	}
}

// extend appends a residual sum and a ReLU to a chain and files it under its
// last node.
func (f *fusion) extend(c *chain, last *graph.Node) {
	first := last
	if c.conv != nil {
		first = c.conv
	}
	v := graph.Value{Node: last}
	if add := f.nextIs(v, graph.OpAdd); add != nil && add.In[0] != add.In[1] && len(v.Shape()) == 4 {
		c.residual = add.In[0]
		if add.In[0] == v {
			c.residual = add.In[1]
		}
		v = graph.Value{Node: add}
	}
	if relu := f.nextIs(v, graph.OpReLU); relu != nil {
		c.relu = true
		v = graph.Value{Node: relu}
	}
	if q := f.rounding(c, v); q != nil {
		c.rounding = q
		if f.parts[v] == nil {
			v = graph.Value{Node: q}
		}
	}
	if v.Node == first && c.rounding == nil {
		return
	}
	f.chains[v.Node] = c
	// The nodes before the last are computed there; a training batch norm
	// still computes its statistics in its own place.
	for n := first; n != v.Node; n = f.users[graph.Value{Node: n}][0] {
		if n.Op == graph.OpBatchNormTrain {
			f.started[n] = true
		} else {
			f.absorbed[n] = true
		}
	}
	if !c.residual.IsNone() {
		// Counted once more, so that the residual's producer does not extend
		// over the same sum.
		f.users[c.residual] = append(f.users[c.residual], v.Node)
	}
}

// foldable reports whether weights and statistics stay the same from run to run.
func (f *fusion) foldable(conv, bn *graph.Node) bool {
	for _, v := range append([]graph.Value{conv.In[1]}, bn.In[1:]...) {
		if !f.constant(v) {
			return false
		}
	}
	return true
}

func (f *fusion) constant(v graph.Value) bool {
	if v.Node.Op == graph.OpQuantizeWeights {
		return f.constant(v.Node.In[0])
	}
	return v.Node.Op == graph.OpVariable && !f.updated[v.Node]
}

// place lets the producers of a concatenation write straight into it.
func (f *fusion) place(concat *graph.Node) {
	first := 0
	whole := graph.Value{Node: concat}
	s, spread := f.spreads[whole]
	for _, v := range concat.In {
		if spread && first == s.first {
			spread = false // takes no room
			continue
		}
		if f.uses[v] == 1 && f.strided(v.Node) && v.Shape()[1] > 1 {
			f.places[v] = place{whole, first}
		}
		first += v.Shape()[1]
	}
}

// strided reports whether a node is computed by a kernel that can leave gaps
// between pixels.
func (f *fusion) strided(n *graph.Node) bool {
	switch n.Op {
	case graph.OpResize:
		return true
	case graph.OpAffine:
		return true // alone, or as the factor of a cosine
	case graph.OpReLU, graph.OpAdd, graph.OpBatchNormTrain:
		c := f.chains[n]
		return c == nil || c.conv == nil
	}
	return false
}
