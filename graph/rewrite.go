package graph

// Rewrite returns a copy of a graph in which nodes may read something else. operands is
// called for each node in turn, with the copies of its operands; it may add nodes to the
// copy, and returns what the copy of the node reads, in the same shapes.
func (g *Graph) Rewrite(operands func(to *Graph, n *Node, in []Value) []Value) *Graph {
	to := new(Graph)
	copies := map[*Node]*Node{}
	copied := func(v Value) Value {
		if v.IsNone() {
			return v
		}
		return Value{copies[v.Node], v.Index}
	}
	for _, n := range g.Nodes {
		in := make([]Value, len(n.In))
		for i, v := range n.In {
			in[i] = copied(v)
		}
		same := *n
		same.In = operands(to, n, in)
		for i, v := range same.In {
			if !v.IsNone() {
				sameShape("rewriting "+n.Op.String(), v, n.In[i])
			}
		}
		copies[n] = to.add(same)
		switch n.Op {
		case OpInput:
			to.Inputs = append(to.Inputs, copies[n])
		case OpVariable:
			to.Variables = append(to.Variables, copies[n])
		}
	}
	for _, o := range g.Outputs {
		to.Output(o.Name, copied(o.Value))
	}
	for _, u := range g.Updates {
		to.Updates = append(to.Updates, Update{copies[u.Variable], copied(u.Value)})
	}
	return to
}
