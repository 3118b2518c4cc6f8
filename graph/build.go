package graph

import (
	"fmt"
	"math"
)

// Conv adds a convolution without bias. w is O×I×K×K; win.Kernel is taken
// from it.
func (g *Graph) Conv(x, w Value, win Window) Value { return g.conv(win, x, w) }

// ConvBias adds a convolution with a bias of O elements.
func (g *Graph) ConvBias(x, w, bias Value, win Window) Value { return g.conv(win, x, w, bias) }

func (g *Graph) conv(win Window, in ...Value) Value {
	xs, ws := planes("convolution", in[0]), planes("weights", in[1])
	if xs[1] != ws[1] || ws[2] != ws[3] {
		panic(fmt.Sprintf("graph: convolution of %v by %v", xs, ws))
	}
	mustBe("bias", ws[:1], in[2:]...)
	win.Kernel = ws[2]
	win.mustFit("convolution", xs)
	n := g.one(OpConv, Shape{xs[0], ws[0], win.Output(xs[2]), win.Output(xs[3])}, in...)
	n.Window = win
	return Value{Node: n}
}

// BatchNorm adds a batch norm that uses given statistics.
func (g *Graph) BatchNorm(x, scale, shift, mean, variance Value, epsilon float64) Value {
	s := planes("batch norm", x)
	mustBe("vector of a batch norm", s[1:2], scale, shift, mean, variance)
	n := g.one(OpBatchNorm, s, x, scale, shift, mean, variance)
	n.Alpha = epsilon
	return Value{Node: n}
}

// BatchNormTrain adds a batch norm over the batch's own statistics and
// returns these too. The variance is the biased one.
func (g *Graph) BatchNormTrain(x, scale, shift Value, epsilon float64) (y, mean, variance Value) {
	s := planes("batch norm", x)
	c := Shape{s[1]}
	mustBe("vector of a batch norm", c, scale, shift)
	n := g.add(Node{Op: OpBatchNormTrain, In: []Value{x, scale, shift}, Shapes: []Shape{s, c, c}, Alpha: epsilon})
	return Value{n, 0}, Value{n, 1}, Value{n, 2}
}

// ReLU adds max(x, 0).
func (g *Graph) ReLU(x Value) Value { return Value{Node: g.one(OpReLU, x.Shape(), x)} }

// Add adds a+b.
func (g *Graph) Add(a, b Value) Value {
	sameShape("sum", a, b)
	return Value{Node: g.one(OpAdd, a.Shape(), a, b)}
}

// Mul adds a·b, element by element.
func (g *Graph) Mul(a, b Value) Value {
	sameShape("product", a, b)
	return Value{Node: g.one(OpMul, a.Shape(), a, b)}
}

// Affine adds factor·x+offset.
func (g *Graph) Affine(x Value, factor, offset float64) Value {
	n := g.one(OpAffine, x.Shape(), x)
	n.Alpha, n.Beta = factor, offset
	return Value{Node: n}
}

// Mix adds alpha·a+beta·b.
func (g *Graph) Mix(a, b Value, alpha, beta float64) Value {
	sameShape("mix", a, b)
	n := g.one(OpMix, a.Shape(), a, b)
	n.Alpha, n.Beta = alpha, beta
	return Value{Node: n}
}

// MaxPool adds a maximum over windows.
func (g *Graph) MaxPool(x Value, win Window) Value {
	s := planes("max pool", x)
	win.mustFit("max pool", s)
	out := Shape{s[0], s[1], win.Output(s[2]), win.Output(s[3])}
	n := g.add(Node{Op: OpMaxPool, In: []Value{x}, Shapes: []Shape{out, out}, Window: win})
	return Value{Node: n}
}

// Resize adds a bilinear resize to height×width with half-pixel centres. A
// resize to the same size is x itself.
func (g *Graph) Resize(x Value, height, width int) Value {
	s := planes("resize", x)
	if height < 1 || width < 1 {
		panic(fmt.Sprintf("graph: resize of %v to %d×%d", s, height, width))
	}
	if s[2] == height && s[3] == width {
		return x
	}
	return Value{Node: g.one(OpResize, Shape{s[0], s[1], height, width}, x)}
}

// MeanPool adds the mean over all pixels.
func (g *Graph) MeanPool(x Value) Value {
	s := planes("mean pool", x)
	return Value{Node: g.one(OpMeanPool, Shape{s[0], s[1], 1, 1}, x)}
}

// Concat joins along channels.
func (g *Graph) Concat(xs ...Value) Value {
	s := planes("concatenation", xs[0])
	out := Shape{s[0], 0, s[2], s[3]}
	for _, x := range xs {
		t := planes("concatenation", x)
		if t[0] != s[0] || t[2] != s[2] || t[3] != s[3] {
			panic(fmt.Sprintf("graph: concatenation of %v and %v", s, t))
		}
		out[1] += t[1]
	}
	return Value{Node: g.one(OpConcat, out, xs...)}
}

// Slice takes count channels from channel first on.
func (g *Graph) Slice(x Value, first, count int) Value {
	s := planes("slice", x)
	if first < 0 || count < 1 || first+count > s[1] {
		panic(fmt.Sprintf("graph: channels %d to %d of %v", first, first+count, s))
	}
	n := g.one(OpSlice, Shape{s[0], count, s[2], s[3]}, x)
	n.First = first
	return Value{Node: n}
}

// Cosine divides a and b by their channel norms (plus epsilon) and returns
// their product and its sum over channels, the cosine similarity.
func (g *Graph) Cosine(a, b Value, epsilon float64) (product, similarity Value) {
	sameShape("cosine", a, b)
	s := planes("cosine", a)
	n := g.add(Node{Op: OpCosine, In: []Value{a, b}, Shapes: []Shape{s, {s[0], 1, s[2], s[3]}}, Alpha: epsilon})
	return Value{n, 0}, Value{n, 1}
}

// Sigmoid adds 1/(1+e^−x).
func (g *Graph) Sigmoid(x Value) Value { return Value{Node: g.one(OpSigmoid, x.Shape(), x)} }

// Step is 1 where x ≥ threshold, else 0.
func (g *Graph) Step(x Value, threshold float64) Value {
	n := g.one(OpStep, x.Shape(), x)
	n.Alpha = threshold
	return Value{Node: n}
}

// Quantize rounds x to multiples of step, which may be negative: 0 to 255 times it, or, if
// signed is set, −128 to 127 times.
func (g *Graph) Quantize(x Value, step float64, signed bool) Value {
	n := g.one(OpQuantize, planes("quantization", x), x)
	if step == 0 || math.IsInf(step, 0) || math.IsNaN(step) {
		panic(fmt.Sprintf("graph: quantization in steps of %v", step))
	}
	n.Alpha = step
	if signed {
		n.First = -128
	}
	return Value{Node: n}
}

// QuantizeWeights rounds each output channel of a convolution's weights to 8 bits.
func (g *Graph) QuantizeWeights(w Value) Value {
	return Value{Node: g.one(OpQuantizeWeights, planes("quantization of weights", w), w)}
}

// Sum adds up all elements.
func (g *Graph) Sum(x Value) Value { return Value{Node: g.one(OpSum, Shape{}, x)} }

// Focal adds the mean focal loss of probabilities p against targets 0 or 1.
func (g *Graph) Focal(p, target Value, gamma float64) Value {
	sameShape("focal loss", p, target)
	n := g.one(OpFocal, Shape{}, p, target)
	n.Alpha = gamma
	return Value{Node: n}
}

// L1 adds the mean absolute difference.
func (g *Graph) L1(p, target Value) Value {
	sameShape("L1 loss", p, target)
	return Value{Node: g.one(OpL1, Shape{}, p, target)}
}

// CrossEntropy adds the mean cross-entropy between the softmax of logits over
// channels and targets, which are the shares of the classes, smoothed: each
// share gives up that part of itself, and all classes get an equal part of it.
func (g *Graph) CrossEntropy(logits, target Value, smoothing float64) Value {
	planes("cross-entropy", logits)
	sameShape("cross-entropy", logits, target)
	n := g.one(OpCrossEntropy, Shape{}, logits, target)
	n.Alpha = smoothing
	return Value{Node: n}
}

// SGD lets stochastic gradient descent with momentum and weight decay update
// a variable and its momentum buffer. rate is a scalar.
func (g *Graph) SGD(variable, gradient, buffer, rate Value, momentum, decay float64) {
	sameShape("gradient step", variable, gradient)
	sameShape("gradient step", variable, buffer)
	mustBe("rate", Shape{}, rate)
	n := g.add(Node{
		Op: OpSGD, In: []Value{variable, gradient, buffer, rate},
		Shapes: []Shape{variable.Shape(), variable.Shape()}, Alpha: momentum, Beta: decay,
	})
	g.Update(variable, Value{n, 0})
	g.Update(buffer, Value{n, 1})
}
