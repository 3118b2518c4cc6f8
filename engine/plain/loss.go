package plain

import (
	"math"

	"github.com/destseg/destseg/graph"
)

// sum is OpSum.
func (c *compiler[T]) sum(in, out [][]T) func() {
	return func() {
		out[0][0] = T(c.crew.sum(len(in[0]), func(from, to int) float64 {
			sum := 0.0
			for _, v := range in[0][from:to] {
				sum += float64(v)
			}
			return sum
		}))
	}
}

const (
	logFloor  = -100  // where the focal loss cuts the logarithm
	poleFloor = 1e-12 // what its derivative puts under the probability
)

// focal is OpFocal.
func (c *compiler[T]) focal(n *graph.Node, in, out [][]T) func() {
	p, target := in[0], in[1]
	return func() {
		sum := c.crew.sum(len(p), func(from, to int) float64 {
			sum := 0.0
			for i := from; i < to; i++ {
				q := float64(p[i])
				if target[i] == 0 {
					q = 1 - q
				}
				sum -= max(math.Log(q), logFloor) * math.Pow(1-q, n.Alpha)
			}
			return sum
		})
		out[0][0] = T(sum / float64(len(p)))
	}
}

// focalBackward is OpFocalBackward.
func (c *compiler[T]) focalBackward(n *graph.Node, in, out [][]T) func() {
	p, target, dy := in[0], in[1], in[2]
	gamma := n.Alpha
	return func() {
		each := float64(dy[0]) / float64(len(p))
		c.crew.pieces(len(p), func(from, to int) {
			for i := from; i < to; i++ {
				q, sign := float64(p[i]), 1.0
				if target[i] == 0 {
					q, sign = 1-q, -1
				}
				d := -math.Pow(1-q, gamma) / max(q, poleFloor)
				if gamma != 0 && q != 1 { // else this term is 0, and might come out as 0·∞
					d += gamma * math.Pow(1-q, gamma-1) * max(math.Log(q), logFloor)
				}
				out[0][i] = T(sign * d * each)
			}
		})
	}
}

// l1 is OpL1.
func (c *compiler[T]) l1(in, out [][]T) func() {
	p, target := in[0], in[1]
	return func() {
		sum := c.crew.sum(len(p), func(from, to int) float64 {
			sum := 0.0
			for i := from; i < to; i++ {
				sum += math.Abs(float64(p[i]) - float64(target[i]))
			}
			return sum
		})
		out[0][0] = T(sum / float64(len(p)))
	}
}

// l1Backward is OpL1Backward.
func (c *compiler[T]) l1Backward(in, out [][]T) func() {
	p, target, dy := in[0], in[1], in[2]
	return func() {
		each := T(float64(dy[0]) / float64(len(p)))
		c.crew.pieces(len(p), func(from, to int) {
			for i := from; i < to; i++ {
				switch {
				case p[i] > target[i]:
					out[0][i] = each
				case p[i] < target[i]:
					out[0][i] = -each
				default:
					out[0][i] = 0
				}
			}
		})
	}
}

// softmax calls each with the channels of every pixel in turn: the place of the
// first one, the distance from one to the next, the largest logit and the
// logarithm of the sum of their exponentials, less that logit.
func softmax[T real](x []T, shape graph.Shape, each func(at, stride int, largest, logSum float64)) {
	channels, stride := shape[1], shape[2]*shape[3]
	for pixel := range shape[0] * stride {
		at := pixel/stride*channels*stride + pixel%stride
		largest := math.Inf(-1)
		for k := range channels {
			largest = max(largest, float64(x[at+k*stride]))
		}
		sum := 0.0
		for k := range channels {
			sum += math.Exp(float64(x[at+k*stride]) - largest)
		}
		each(at, stride, largest, math.Log(sum))
	}
}

// crossEntropy is OpCrossEntropy.
func (c *compiler[T]) crossEntropy(n *graph.Node, in, out [][]T) func() {
	x, target, shape := in[0], in[1], n.In[0].Shape()
	even := n.Alpha / float64(shape[1])
	return func() {
		sum := 0.0
		softmax(x, shape, func(at, stride int, largest, logSum float64) {
			for k := range shape[1] {
				i := at + k*stride
				sum -= ((1-n.Alpha)*float64(target[i]) + even) * (float64(x[i]) - largest - logSum)
			}
		})
		out[0][0] = T(sum / float64(shape.Size()/shape[1]))
	}
}

// crossEntropyBackward is OpCrossEntropyBackward.
func (c *compiler[T]) crossEntropyBackward(n *graph.Node, in, out [][]T) func() {
	x, target, dy, shape := in[0], in[1], in[2], n.In[0].Shape()
	even := n.Alpha / float64(shape[1])
	return func() {
		each := float64(dy[0]) / float64(shape.Size()/shape[1])
		softmax(x, shape, func(at, stride int, largest, logSum float64) {
			for k := range shape[1] {
				i := at + k*stride
				out[0][i] = T((math.Exp(float64(x[i])-largest-logSum) - (1-n.Alpha)*float64(target[i]) - even) * each)
			}
		})
	}
}
