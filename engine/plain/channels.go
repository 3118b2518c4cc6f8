package plain

import "github.com/destseg/destseg/graph"

// concat is OpConcat.
func (c *compiler[T]) concat(n *graph.Node, in, out [][]T) func() {
	batch := n.Shapes[0][0]
	return func() {
		c.crew.each(batch, func(_, b int) {
			to := part(out[0], b, batch)
			for _, x := range in {
				to = to[copy(to, part(x, b, batch)):]
			}
		})
	}
}

// slice is OpSlice.
func (c *compiler[T]) slice(n *graph.Node, in, out [][]T) func() {
	s := n.Shapes[0]
	first := n.First * s[2] * s[3]
	return func() {
		c.crew.each(s[0], func(_, b int) {
			copy(part(out[0], b, s[0]), part(in[0], b, s[0])[first:])
		})
	}
}

// padChannels is OpPadChannels.
func (c *compiler[T]) padChannels(n *graph.Node, in, out [][]T) func() {
	s := n.Shapes[0]
	first := n.First * s[2] * s[3]
	return func() {
		c.crew.each(s[0], func(_, b int) {
			to := part(out[0], b, s[0])
			end := first + copy(to[first:], part(in[0], b, s[0]))
			clear(to[:first])
			clear(to[end:])
		})
	}
}

// channelSum is OpChannelSum.
func (c *compiler[T]) channelSum(n *graph.Node, in, out [][]T) func() {
	s := n.In[0].Shape()
	return func() {
		c.crew.each(s[1], func(_, channel int) {
			sum := 0.0
			for b := range s[0] {
				for _, v := range plane(in[0], s, b, channel) {
					sum += float64(v)
				}
			}
			out[0][channel] = T(sum)
		})
	}
}

// part is the i-th of count equal parts of v.
func part[T real](v []T, i, count int) []T {
	size := len(v) / count
	return v[i*size : (i+1)*size]
}

// plane is one channel of one picture of a tensor of shape s.
func plane[T real](v []T, s graph.Shape, batch, channel int) []T {
	return part(v, batch*s[1]+channel, s[0]*s[1])
}
