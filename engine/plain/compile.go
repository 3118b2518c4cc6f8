package plain

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/graph"
)

// A compiler turns a graph into a program. It walks the nodes in order, gives
// each result a buffer and takes back the buffers that were read for the last
// time.
type compiler[T real] struct {
	graph   *graph.Graph
	crew    crew
	lastUse map[graph.Value]int // ID of the last node to read a value; present only if the value is needed
	buffers map[graph.Value][]T
	free    [][]T
	work    *workspace[T]
	steps   []func()
	bytes   int64 // of all buffers
}

// forever is the last use of what has to outlive the run's steps.
const forever = int(^uint(0) >> 1)

func compile[T real](g *graph.Graph, o engine.Options) (*program[T], error) {
	if o.Precision != engine.Auto && o.Precision != engine.Float32 {
		return nil, fmt.Errorf("plain: %w: precision %v; this engine computes in fp32", engine.ErrUnsupported, o.Precision)
	}
	if o.Threads < 0 {
		return nil, fmt.Errorf("plain: %w: %d threads", engine.ErrUnsupported, o.Threads)
	}
	threads := o.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	c := &compiler[T]{
		graph: g, crew: crew(threads), lastUse: lastUses(g),
		buffers: map[graph.Value][]T{}, work: newWorkspace[T](threads),
		steps: []func(){},
	}
	p := &program[T]{writable: map[string][]T{}, readable: map[string][]T{}}
	for _, n := range g.Inputs {
		p.writable[n.Name] = c.state(n)
	}
	for _, n := range g.Variables {
		p.writable[n.Name] = c.state(n)
		p.readable[n.Name] = c.state(n)
	}
	if o.Constants != nil {
		for _, n := range g.Constants() {
			v := make([]float32, n.Shapes[0].Size())
			if err := o.Constants(n.Name, v); err != nil {
				return nil, err
			}
			convert(c.state(n), v)
			delete(p.writable, n.Name)
			delete(p.readable, n.Name)
		}
	}
	for _, n := range g.Nodes {
		if err := c.node(n); err != nil {
			return nil, err
		}
	}
	for _, out := range g.Outputs {
		p.readable[out.Name] = c.snapshot(out.Value)
	}
	for _, u := range g.Updates {
		p.updates = append(p.updates, update[T]{c.state(u.Variable), c.snapshot(u.Value)})
	}
	p.steps, p.bytes = c.steps, c.bytes
	return p, nil
}

// lastUses finds the values that outputs and updates depend on.
func lastUses(g *graph.Graph) map[graph.Value]int {
	last := map[graph.Value]int{}
	for _, o := range g.Outputs {
		last[o.Value] = forever
	}
	for _, u := range g.Updates {
		last[u.Value] = forever
	}
	for id := len(g.Nodes) - 1; id >= 0; id-- {
		n := g.Nodes[id]
		if !isNeeded(n, last) {
			continue
		}
		for _, in := range n.In {
			if _, read := last[in]; !read && !in.IsNone() {
				last[in] = id
			}
		}
	}
	return last
}

func isNeeded(n *graph.Node, lastUse map[graph.Value]int) bool {
	for i := range n.Shapes {
		if _, ok := lastUse[graph.Value{Node: n, Index: i}]; ok {
			return true
		}
	}
	return false
}

// state returns the lasting buffer of an input or a variable.
func (c *compiler[T]) state(n *graph.Node) []T {
	v := graph.Value{Node: n}
	if c.buffers[v] == nil {
		c.buffers[v] = c.alloc(v.Shape().Size())
	}
	return c.buffers[v]
}

// snapshot returns a buffer that holds v from the end of a run to the next
// run. An input or a variable may be written in between and is copied.
func (c *compiler[T]) snapshot(v graph.Value) []T {
	b := c.buffers[v]
	if v.Node.Op != graph.OpInput && v.Node.Op != graph.OpVariable {
		return b
	}
	kept := c.alloc(len(b))
	c.steps = append(c.steps, func() { copy(kept, b) })
	return kept
}

func (c *compiler[T]) node(n *graph.Node) error {
	if n.Op == graph.OpInput || n.Op == graph.OpVariable || !isNeeded(n, c.lastUse) {
		return nil
	}
	in := make([][]T, len(n.In)) // nil for an absent operand
	for i, v := range n.In {
		in[i] = c.buffers[v]
	}
	out := make([][]T, len(n.Shapes)) // nil for a result that nobody reads
	for i := range out {
		v := graph.Value{Node: n, Index: i}
		if _, ok := c.lastUse[v]; ok {
			out[i] = c.take(v.Shape().Size())
			c.buffers[v] = out[i]
		}
	}
	step := c.step(n, in, out)
	if step == nil {
		return fmt.Errorf("plain: %w: operation %s", engine.ErrUnsupported, n.Op)
	}
	c.steps = append(c.steps, step)
	for i, v := range n.In {
		if !v.IsNone() && c.lastUse[v] == n.ID && v.Node.Op != graph.OpInput && v.Node.Op != graph.OpVariable {
			c.free = append(c.free, in[i])
			c.lastUse[v] = forever // an operand may occur twice
		}
	}
	return nil
}

// take returns the smallest free buffer that is large enough, or a new one.
func (c *compiler[T]) take(size int) []T {
	best := -1
	for i, b := range c.free {
		if cap(b) >= size && (best < 0 || cap(b) < cap(c.free[best])) {
			best = i
		}
	}
	if best < 0 {
		return c.alloc(size)
	}
	b := c.free[best]
	c.free = append(c.free[:best], c.free[best+1:]...)
	return b[:size]
}

// alloc makes a buffer that the program keeps.
func (c *compiler[T]) alloc(size int) []T {
	var element T
	c.bytes += int64(size) * int64(unsafe.Sizeof(element))
	return make([]T, size)
}
