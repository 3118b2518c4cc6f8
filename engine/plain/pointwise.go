package plain

import (
	"math"

	"github.com/destseg/destseg/graph"
)

// unary is every operation that computes an element from one element.
func (c *compiler[T]) unary(n *graph.Node, in, out [][]T) func() {
	y := out[0]
	alpha, beta := n.Alpha, n.Beta
	if n.Op == graph.OpBroadcast {
		return func() {
			value := T(alpha)
			if in[0] != nil {
				value = in[0][0]
			}
			fill(y, value)
		}
	}
	x := in[0]
	var f func(y, x []T)
	switch n.Op {
	case graph.OpReLU:
		f = func(y, x []T) {
			for i, v := range x {
				y[i] = max(v, 0)
			}
		}
	case graph.OpAffine:
		f = func(y, x []T) {
			for i, v := range x {
				y[i] = T(alpha*float64(v) + beta)
			}
		}
	case graph.OpSigmoid:
		f = func(y, x []T) {
			for i, v := range x {
				y[i] = T(1 / (1 + math.Exp(-float64(v))))
			}
		}
	case graph.OpStep:
		f = func(y, x []T) {
			for i, v := range x {
				y[i] = 0
				if float64(v) >= alpha {
					y[i] = 1
				}
			}
		}
	}
	return func() {
		c.crew.pieces(len(x), func(from, to int) { f(y[from:to], x[from:to]) })
	}
}

// binary is every operation that computes an element from two elements.
func (c *compiler[T]) binary(n *graph.Node, in, out [][]T) func() {
	a, b, y := in[0], in[1], out[0]
	alpha, beta := n.Alpha, n.Beta
	var f func(y, a, b []T)
	switch n.Op {
	case graph.OpAdd:
		f = func(y, a, b []T) {
			for i, v := range a {
				y[i] = v + b[i]
			}
		}
	case graph.OpMul:
		f = func(y, a, b []T) {
			for i, v := range a {
				y[i] = v * b[i]
			}
		}
	case graph.OpMix:
		f = func(y, a, b []T) {
			for i, v := range a {
				y[i] = T(alpha*float64(v) + beta*float64(b[i]))
			}
		}
	case graph.OpReLUBackward: // (y, dy)
		f = func(dx, y, dy []T) {
			for i, v := range y {
				dx[i] = 0
				if v > 0 {
					dx[i] = dy[i]
				}
			}
		}
	case graph.OpSigmoidBackward: // (y, dy)
		f = func(dx, y, dy []T) {
			for i, v := range y {
				dx[i] = dy[i] * v * (1 - v)
			}
		}
	}
	return func() {
		c.crew.pieces(len(a), func(from, to int) { f(y[from:to], a[from:to], b[from:to]) })
	}
}

// sgd is OpSGD.
func (c *compiler[T]) sgd(n *graph.Node, in, out [][]T) func() {
	w, gradient, momentum, rate := in[0], in[1], in[2], in[3]
	keep, decay := n.Alpha, n.Beta
	return func() {
		r := float64(rate[0])
		c.crew.pieces(len(w), func(from, to int) {
			for i := from; i < to; i++ {
				wi := float64(w[i])
				m := keep*float64(momentum[i]) + float64(gradient[i]) + decay*wi
				if out[0] != nil {
					out[0][i] = T(wi - r*m)
				}
				if out[1] != nil {
					out[1][i] = T(m)
				}
			}
		})
	}
}

func fill[T real](v []T, value T) {
	for i := range v {
		v[i] = value
	}
}
