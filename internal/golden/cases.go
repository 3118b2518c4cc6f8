package golden

import (
	"fmt"
	"slices"

	"github.com/destseg/destseg/graph"
)

// Cases returns a case or several for every operation of package graph, on
// sizes that are odd, tiny or above the blocks in which engines work.
func Cases() []Case {
	return slices.Concat(convolutions(), norms(), pools(), resizes(), cosines(), pointwise(), channels(), losses(), combinations(), quantized())
}

var normal = between(-1, 1)

func convolutions() []Case {
	var cases []Case
	for _, s := range []struct {
		batch, in, height, width, out, kernel, stride, padding, dilation int
	}{
		{2, 3, 7, 9, 5, 3, 1, 1, 1},
		{1, 4, 9, 7, 6, 3, 2, 1, 1},
		{2, 3, 11, 10, 4, 7, 2, 3, 1}, // a trunk's first layer
		{2, 5, 6, 8, 3, 1, 1, 0, 1},
		{1, 6, 7, 5, 4, 1, 2, 0, 1}, // a projection
		{2, 4, 9, 11, 3, 3, 1, 6, 6},
		{1, 3, 8, 7, 2, 3, 1, 18, 18}, // only the centre meets the picture
		{1, 2, 9, 9, 3, 3, 2, 2, 2},
		{1, 2, 6, 7, 3, 3, 1, 0, 1},
		{1, 2, 8, 6, 3, 3, 2, 0, 1}, // the last row and column stay unread
		{1, 2, 7, 7, 3, 2, 3, 1, 1},
		{3, 17, 5, 6, 19, 3, 1, 1, 1},
		{2, 8, 1, 1, 5, 1, 1, 0, 1},
		{2, 70, 5, 5, 66, 1, 1, 0, 1},
		{1, 300, 3, 3, 4, 3, 1, 1, 1},
		{3, 2, 17, 13, 3, 3, 1, 1, 1},
		{1, 16, 12, 13, 32, 3, 1, 1, 1},
		{2, 144, 5, 4, 128, 3, 1, 2, 2}, // so much that backward passes have a layout of their own
	} {
		win := graph.Window{Stride: s.stride, Padding: s.padding, Dilation: s.dilation}
		name := fmt.Sprintf("conv %d×%d×%d×%d to %d kernel %d stride %d padding %d dilation %d",
			s.batch, s.in, s.height, s.width, s.out, s.kernel, s.stride, s.padding, s.dilation)
		cases = append(cases, Case{Name: name, build: func(c *Circuit) {
			x := c.variable("x", normal, s.batch, s.in, s.height, s.width)
			w := c.variable("w", normal, s.out, s.in, s.kernel, s.kernel)
			c.result("y", c.Graph.Conv(x, w, win))
		}})
	}
	same := graph.Window{Stride: 1, Padding: 1, Dilation: 1}
	return append(cases,
		Case{Name: "conv bias", build: func(c *Circuit) {
			x, w := c.variable("x", normal, 2, 3, 5, 4), c.variable("w", normal, 4, 3, 3, 3)
			c.result("y", c.Graph.ConvBias(x, w, c.variable("bias", normal, 4), same))
		}},
		Case{Name: "conv bias to one channel", build: func(c *Circuit) {
			x, w := c.variable("x", normal, 3, 7, 5, 3), c.variable("w", normal, 1, 7, 1, 1)
			c.result("y", c.Graph.ConvBias(x, w, c.variable("bias", normal, 1), graph.Window{Stride: 1, Dilation: 1}))
		}},
		Case{Name: "conv of many channels side by side", build: func(c *Circuit) {
			x, other := c.variable("x", normal, 2, 112, 4, 5), c.variable("other", normal, 2, 32, 4, 5)
			whole := c.Graph.Concat(c.Graph.ReLU(x), other, c.Graph.ReLU(other))
			y := c.Graph.Conv(whole, c.variable("w", normal, 144, 176, 3, 3), same)
			z := c.Graph.Conv(c.Graph.Slice(y, 0, 128), c.variable("v", normal, 128, 128, 3, 3), same)
			c.result("y", c.Graph.Concat(z, c.Graph.Slice(y, 128, 16)))
		}},
		Case{Name: "conv frozen weights", build: func(c *Circuit) {
			x, w := c.variable("x", normal, 2, 3, 5, 4), c.frozen("w", normal, 4, 3, 3, 3)
			c.result("y", c.Graph.Conv(x, w, same))
		}},
		Case{Name: "conv of an input", build: func(c *Circuit) {
			x, w := c.input("x", normal, 2, 3, 5, 4), c.variable("w", normal, 4, 3, 3, 3)
			c.result("y", c.Graph.Conv(x, w, same))
		}},
		Case{Name: "conv inference", build: func(c *Circuit) {
			x, w := c.input("x", normal, 2, 3, 5, 4), c.frozen("w", normal, 4, 3, 3, 3)
			c.result("y", c.Graph.Conv(x, w, same))
		}},
	)
}

func norms() []Case {
	var cases []Case
	for _, s := range [][]int{{2, 5, 3, 4}, {3, 17, 1, 1}, {1, 1, 5, 5}, {2, 33, 9, 7}} {
		ofChannel := func(c *Circuit, x graph.Value) (y, mean, variance graph.Value) {
			scale, shift := c.variable("scale", between(-1.5, 1.5), s[1]), c.variable("shift", normal, s[1])
			return c.Graph.BatchNormTrain(x, scale, shift, 1e-5)
		}
		cases = append(cases,
			Case{Name: fmt.Sprint("batch-norm-train ", s), build: func(c *Circuit) {
				y, mean, variance := ofChannel(c, c.variable("x", normal, s...))
				c.Graph.Output("mean", mean)
				c.Graph.Output("variance", variance)
				c.result("y", y)
			}},
			Case{Name: fmt.Sprint("batch-norm-train of an input ", s), build: func(c *Circuit) {
				y, _, _ := ofChannel(c, c.input("x", between(1, 2), s...))
				c.result("y", y)
			}},
			Case{Name: fmt.Sprint("batch-norm ", s), build: func(c *Circuit) {
				x := c.input("x", normal, s...)
				c.result("y", c.norm("n", x))
			}},
		)
	}
	return append(cases, Case{Name: "batch-norm-train of single values", Kink: true, build: func(c *Circuit) {
		x := c.variable("x", normal, 1, 4, 1, 1)
		y, _, _ := c.Graph.BatchNormTrain(x, c.variable("scale", normal, 4), c.variable("shift", normal, 4), 1e-5)
		c.result("y", y)
	}}, Case{Name: "batch-norm-train with running statistics", build: func(c *Circuit) {
		c.result("y", c.normTrain("n", c.variable("x", normal, 2, 6, 5, 3)))
	}})
}

// norm adds a batch norm with frozen parameters.
func (c *Circuit) norm(name string, x graph.Value) graph.Value {
	channels := x.Shape()[1]
	return c.Graph.BatchNorm(x, c.frozen(name+"/scale", between(-1.5, 1.5), channels), c.frozen(name+"/shift", normal, channels),
		c.frozen(name+"/mean", normal, channels), c.frozen(name+"/variance", between(0.5, 2), channels), 1e-5)
}

// normTrain adds a batch norm that learns, with running statistics.
func (c *Circuit) normTrain(name string, x graph.Value) graph.Value {
	g, channels := c.Graph, x.Shape()[1]
	y, mean, variance := g.BatchNormTrain(x, c.variable(name+"/scale", between(0.5, 1.5), channels),
		c.variable(name+"/shift", normal, channels), 1e-5)
	runningMean := c.frozen(name+"/mean", normal, channels)
	runningVariance := c.frozen(name+"/variance", between(0.5, 2), channels)
	g.Update(runningMean, g.Mix(runningMean, mean, 0.9, 0.1))
	g.Update(runningVariance, g.Mix(runningVariance, variance, 0.9, 0.11))
	return y
}

func pools() []Case {
	var cases []Case
	for _, s := range []struct {
		win           graph.Window
		height, width int
	}{
		{graph.Window{Kernel: 3, Stride: 2, Padding: 1, Dilation: 1}, 9, 12},
		{graph.Window{Kernel: 3, Stride: 2, Padding: 1, Dilation: 1}, 8, 7},
		{graph.Window{Kernel: 2, Stride: 2, Dilation: 1}, 5, 6},
		{graph.Window{Kernel: 3, Stride: 1, Padding: 1, Dilation: 1}, 4, 5},
		{graph.Window{Kernel: 2, Stride: 1, Dilation: 2}, 6, 5},
	} {
		name := fmt.Sprintf("max-pool %d×%d kernel %d stride %d padding %d dilation %d",
			s.height, s.width, s.win.Kernel, s.win.Stride, s.win.Padding, s.win.Dilation)
		cases = append(cases, Case{Name: name, build: func(c *Circuit) {
			c.result("y", c.Graph.MaxPool(c.variable("x", apart, 2, 3, s.height, s.width), s.win))
		}})
	}
	return append(cases,
		Case{Name: "max-pool inference, all negative", build: func(c *Circuit) {
			x := c.input("x", between(-3, -1), 2, 5, 7, 6)
			c.result("y", c.Graph.MaxPool(x, graph.Window{Kernel: 3, Stride: 2, Padding: 1, Dilation: 1}))
		}},
		Case{Name: "mean-pool", build: func(c *Circuit) {
			c.result("y", c.Graph.MeanPool(c.variable("x", normal, 2, 19, 5, 7)))
		}},
		Case{Name: "mean-pool of one pixel", build: func(c *Circuit) {
			c.result("y", c.Graph.MeanPool(c.variable("x", normal, 2, 3, 1, 1)))
		}},
	)
}

func resizes() []Case {
	var cases []Case
	for _, s := range [][4]int{{4, 5, 8, 10}, {3, 5, 7, 11}, {8, 9, 3, 4}, {1, 1, 6, 5}, {5, 4, 1, 1}, {3, 4, 12, 2}, {2, 3, 16, 24}} {
		cases = append(cases, Case{Name: fmt.Sprintf("resize %d×%d to %d×%d", s[0], s[1], s[2], s[3]), build: func(c *Circuit) {
			c.result("y", c.Graph.Resize(c.variable("x", normal, 2, 3, s[0], s[1]), s[2], s[3]))
		}})
	}
	return append(cases, Case{Name: "resize of an input", build: func(c *Circuit) {
		c.result("y", c.Graph.Resize(c.input("x", normal, 1, 1, 8, 12), 2, 3))
	}})
}

func cosines() []Case {
	var cases []Case
	for _, s := range [][]int{{2, 5, 3, 4}, {1, 67, 9, 8}, {2, 2, 1, 3}} {
		tensors := func(c *Circuit) (a, b graph.Value) {
			return c.variable("a", normal, s...), c.variable("b", normal, s...)
		}
		cases = append(cases,
			Case{Name: fmt.Sprint("cosine product ", s), build: func(c *Circuit) {
				a, b := tensors(c)
				product, _ := c.Graph.Cosine(a, b, 1e-3)
				c.result("product", product)
			}},
			Case{Name: fmt.Sprint("cosine similarity ", s), build: func(c *Circuit) {
				a, b := tensors(c)
				_, similarity := c.Graph.Cosine(a, b, 1e-3)
				c.result("similarity", similarity)
			}},
			Case{Name: fmt.Sprint("cosine both ", s), build: func(c *Circuit) {
				a, b := tensors(c)
				product, similarity := c.Graph.Cosine(a, b, 1e-12)
				c.result("product", product)
				c.result("similarity", similarity)
			}},
		)
	}
	return append(cases,
		Case{Name: "cosine with an input", build: func(c *Circuit) {
			a, b := c.input("a", normal, 2, 6, 3, 5), c.variable("b", normal, 2, 6, 3, 5)
			_, similarity := c.Graph.Cosine(a, b, 1e-12)
			c.result("similarity", similarity)
		}},
		Case{Name: "cosine inference", build: func(c *Circuit) {
			a, b := c.input("a", normal, 2, 6, 3, 5), c.input("b", normal, 2, 6, 3, 5)
			product, similarity := c.Graph.Cosine(a, b, 1e-12)
			c.result("product", product)
			c.result("similarity", similarity)
		}},
		Case{Name: "cosine of zeros", Kink: true, build: func(c *Circuit) {
			a, b := c.input("a", normal, 2, 6, 3, 5), c.variable("b", between(0, 0), 2, 6, 3, 5)
			product, similarity := c.Graph.Cosine(a, b, 1e-12)
			c.result("product", product)
			c.result("similarity", similarity)
		}},
	)
}

func pointwise() []Case {
	shape := []int{2, 3, 5, 7}
	unary := func(name string, f func(g *graph.Graph, x graph.Value) graph.Value) Case {
		return Case{Name: name, build: func(c *Circuit) { c.result("y", f(c.Graph, c.variable("x", apart, shape...))) }}
	}
	binary := func(name string, f func(g *graph.Graph, a, b graph.Value) graph.Value) Case {
		return Case{Name: name, build: func(c *Circuit) {
			c.result("y", f(c.Graph, c.variable("a", normal, shape...), c.variable("b", normal, shape...)))
		}}
	}
	return []Case{
		unary("relu", (*graph.Graph).ReLU),
		unary("sigmoid", func(g *graph.Graph, x graph.Value) graph.Value { return g.Sigmoid(g.Affine(x, 5, 0)) }),
		unary("affine", func(g *graph.Graph, x graph.Value) graph.Value { return g.Affine(x, -1.75, 0.375) }),
		unary("sum", (*graph.Graph).Sum),
		unary("double", func(g *graph.Graph, x graph.Value) graph.Value { return g.Add(x, x) }),
		unary("square", func(g *graph.Graph, x graph.Value) graph.Value { return g.Mul(x, x) }),
		binary("add", (*graph.Graph).Add),
		binary("mul", (*graph.Graph).Mul),
		binary("mix", func(g *graph.Graph, a, b graph.Value) graph.Value { return g.Mix(a, b, 0.875, -2.25) }),
		{Name: "relu of zeros", Kink: true, build: func(c *Circuit) {
			c.result("y", c.Graph.ReLU(c.variable("x", between(0, 0), shape...)))
		}},
		{Name: "step", build: func(c *Circuit) {
			x := c.input("x", binary3, shape...)
			c.result("y", c.Graph.Step(x, 0.5))
		}},
		{Name: "sum of many", build: func(c *Circuit) {
			c.result("y", c.Graph.Sum(c.input("x", between(0, 1), 3, 5, 91, 79)))
		}},
		{Name: "vectors and scalars", build: func(c *Circuit) {
			g := c.Graph
			a, b := c.variable("a", normal, 5), c.variable("b", normal, 5)
			s := g.Sum(g.Mul(g.Mix(a, b, 2, 3), g.Affine(b, 1, 1)))
			c.result("y", g.Mul(g.Affine(s, 0.5, 1), c.variable("factor", between(1, 2))))
		}},
		{Name: "sgd", build: func(c *Circuit) {
			g := c.Graph
			for i, shape := range [][]int{{4, 3, 3, 3}, {7}} {
				w := c.frozen(fmt.Sprint("w", i), normal, shape...)
				buffer := c.frozen(fmt.Sprint("buffer", i), normal, shape...)
				gradient, rate := c.input(fmt.Sprint("gradient", i), normal, shape...), c.input(fmt.Sprint("rate", i), between(0.1, 0.5))
				g.SGD(w, gradient, buffer, rate, 0.9, 0.125)
			}
		}},
	}
}

// shares divides each pixel of planes among two classes, in parts that every
// precision holds exactly.
func shares(classes, pixels int) content {
	return func(u uniform, size int) []float32 {
		v := make([]float32, size)
		for i := range size / classes {
			at := i/pixels*classes*pixels + i%pixels
			class := func(k int) int { return at + int(u.at(2*i+k)*float64(classes))*pixels }
			v[class(0)] += 0.75
			v[class(1)] += 0.25
		}
		return v
	}
}

// binary3 draws 0, ½ or 1.
func binary3(u uniform, size int) []float32 {
	v := u.between(0, 3, size)
	for i := range v {
		v[i] = float32(int(v[i])) / 2
	}
	return v
}

func channels() []Case {
	return []Case{
		{Name: "concat", build: func(c *Circuit) {
			a, b, d := c.variable("a", normal, 2, 3, 4, 5), c.variable("b", normal, 2, 1, 4, 5), c.variable("c", normal, 2, 18, 4, 5)
			c.result("y", c.Graph.Concat(a, b, d))
		}},
		{Name: "concat twice the same", build: func(c *Circuit) {
			a, b := c.variable("a", normal, 2, 3, 4, 5), c.input("b", normal, 2, 2, 4, 5)
			c.result("y", c.Graph.Concat(a, b, a))
		}},
		{Name: "slice", build: func(c *Circuit) {
			c.result("y", c.Graph.Slice(c.variable("x", normal, 2, 7, 3, 4), 2, 4))
		}},
		{Name: "slices that overlap", build: func(c *Circuit) {
			x := c.variable("x", normal, 3, 20, 3, 4)
			c.result("first", c.Graph.Slice(x, 0, 17))
			c.result("last", c.Graph.Slice(x, 5, 15))
		}},
	}
}

func losses() []Case {
	shape := []int{2, 1, 5, 6}
	return []Case{
		{Name: "focal", build: func(c *Circuit) {
			c.result("y", c.Graph.Focal(c.variable("p", between(0.05, 0.95), shape...), c.input("t", binary, shape...), 4))
		}},
		{Name: "focal gamma 0", build: func(c *Circuit) {
			c.result("y", c.Graph.Focal(c.variable("p", between(0.05, 0.95), shape...), c.input("t", binary, shape...), 0))
		}},
		{Name: "focal gamma 1.5 of a sigmoid", build: func(c *Circuit) {
			p := c.Graph.Sigmoid(c.variable("x", between(-3, 3), shape...))
			c.result("y", c.Graph.Focal(p, c.input("t", binary, shape...), 1.5))
		}},
		{Name: "focal at the ends", Kink: true, build: func(c *Circuit) {
			c.result("y", c.Graph.Focal(c.variable("p", binary, shape...), c.input("t", binary, shape...), 4))
		}},
		{Name: "l1", build: func(c *Circuit) {
			c.result("y", c.Graph.L1(c.variable("p", between(0.05, 0.95), shape...), c.input("t", binary, shape...)))
		}},
		{Name: "l1 of equals", Kink: true, build: func(c *Circuit) {
			c.result("y", c.Graph.L1(c.variable("p", binary3, shape...), c.input("t", binary3, shape...)))
		}},
		{Name: "cross-entropy", build: func(c *Circuit) {
			c.result("y", c.Graph.CrossEntropy(c.variable("x", between(-3, 3), 3, 7, 1, 1), c.input("t", shares(7, 1), 3, 7, 1, 1), 0))
		}},
		{Name: "cross-entropy smoothed, of pixels", build: func(c *Circuit) {
			c.result("y", c.Graph.CrossEntropy(c.variable("x", between(-30, 30), 2, 37, 3, 2), c.input("t", shares(37, 6), 2, 37, 3, 2), 0.1))
		}},
		{Name: "cross-entropy of large logits", build: func(c *Circuit) {
			whole := func(u uniform, size int) []float32 { // exact in every precision
				v := u.between(200, 204, size)
				for i := range v {
					v[i] = float32(int(v[i]))
				}
				return v
			}
			c.result("y", c.Graph.CrossEntropy(c.variable("x", whole, 2, 5, 1, 1), c.input("t", shares(5, 1), 2, 5, 1, 1), 0.1))
		}},
		{Name: "cross-entropy of a linear layer", build: func(c *Circuit) {
			pooled := c.Graph.MeanPool(c.variable("x", normal, 4, 33, 3, 2))
			logits := c.Graph.ConvBias(pooled, c.variable("w", normal, 19, 33, 1, 1), c.variable("bias", normal, 19), graph.Window{Stride: 1, Dilation: 1})
			c.result("y", c.Graph.CrossEntropy(logits, c.input("t", shares(19, 1), 4, 19, 1, 1), 0.1))
		}},
		{Name: "focal plus l1 of many", build: func(c *Circuit) {
			p, t := c.input("p", between(0.001, 0.999), 3, 1, 97, 83), c.input("t", binary, 3, 1, 97, 83)
			c.Graph.Output("focal", c.Graph.Focal(p, t, 4))
			c.Graph.Output("l1", c.Graph.L1(p, t))
		}},
	}
}

func combinations() []Case {
	same := graph.Window{Stride: 1, Padding: 1, Dilation: 1}
	conv := func(c *Circuit, name string, x graph.Value, out, kernel, stride int) graph.Value {
		w := c.frozen(name+"/w", between(-0.5, 0.5), out, x.Shape()[1], kernel, kernel)
		return c.Graph.Conv(x, w, graph.Window{Stride: stride, Padding: kernel / 2, Dilation: 1})
	}
	return []Case{
		{Name: "frozen residual block", build: func(c *Circuit) {
			g, x := c.Graph, c.input("x", normal, 2, 5, 9, 7)
			y := g.ReLU(c.norm("n1", conv(c, "c1", x, 6, 3, 2)))
			y = c.norm("n2", conv(c, "c2", y, 6, 3, 1))
			c.result("y", g.ReLU(g.Add(y, c.norm("n3", conv(c, "c3", x, 6, 1, 2)))))
		}},
		{Name: "frozen residual block without projection", build: func(c *Circuit) {
			g, x := c.Graph, c.input("x", normal, 2, 16, 6, 7)
			y := g.ReLU(c.norm("n1", conv(c, "c1", x, 16, 3, 1)))
			y = c.norm("n2", conv(c, "c2", y, 16, 3, 1))
			c.result("y", g.ReLU(g.Add(y, x)))
		}},
		{Name: "every layer between is read", build: func(c *Circuit) {
			g, x := c.Graph, c.input("x", normal, 2, 5, 6, 7)
			y := conv(c, "c", x, 4, 3, 1)
			c.result("conv", y)
			y = c.norm("n", y)
			c.result("norm", y)
			sum := g.Add(y, c.input("other", normal, 2, 4, 6, 7))
			c.result("sum", sum)
			c.result("relu", g.ReLU(sum))
			c.result("relu.norm", g.ReLU(y))
		}},
		{Name: "training residual block with descent", Steps: true, build: func(c *Circuit) {
			g, x := c.Graph, c.variable("x", normal, 2, 3, 6, 5)
			y := g.ReLU(c.normTrain("n1", g.Conv(x, c.variable("w1", normal, 4, 3, 3, 3), same)))
			y = c.normTrain("n2", g.Conv(y, c.variable("w2", normal, 4, 4, 3, 3), same))
			short := c.normTrain("n3", g.Conv(x, c.variable("w3", normal, 4, 3, 1, 1), graph.Window{Stride: 1, Dilation: 1}))
			c.result("y", g.ReLU(g.Add(y, short)))
			rate := c.input("rate", between(0.1, 0.2))
			for i, gradient := range c.Gradients() {
				name := "momentum/" + c.Wrt[i].Node.Name
				g.SGD(c.Wrt[i], gradient, c.frozen(name, normal, c.Wrt[i].Shape()...), rate, 0.9, 1e-4)
			}
		}},
		{Name: "fan-out", build: func(c *Circuit) {
			g := c.Graph
			x := c.variable("x", normal, 2, 4, 6, 5)
			y := g.Conv(x, c.variable("w", normal, 4, 4, 3, 3), same)
			product, similarity := g.Cosine(x, y, 1e-12)
			up := g.Resize(g.MeanPool(g.Sigmoid(y)), 6, 5)
			all := g.Concat(g.Affine(product, -1, 0), up, g.Mul(x, y))
			c.result("all", g.Slice(all, 2, 9))
			c.result("similarity", similarity)
			c.result("mix", g.Mix(g.Slice(all, 0, 4), x, 0.5, 2))
		}},
		{Name: "pooled branch among others, frozen", build: func(c *Circuit) {
			g, x := c.Graph, c.input("x", normal, 2, 5, 9, 7)
			pooled := g.ReLU(c.norm("n1", conv(c, "c1", g.MeanPool(x), 6, 1, 1)))
			all := g.Concat(g.Resize(pooled, 9, 7), conv(c, "c2", x, 4, 3, 1))
			c.result("y", g.ReLU(c.norm("n2", conv(c, "c3", all, 8, 3, 1))))
		}},
		{Name: "pooled branch, two readers and a residual", build: func(c *Circuit) {
			g, x := c.Graph, c.input("x", normal, 2, 5, 4, 3)
			all := g.Concat(conv(c, "c2", x, 4, 3, 1), g.Resize(g.MeanPool(x), 4, 3))
			y := conv(c, "c3", all, 5, 3, 1)
			c.result("y", g.ReLU(g.Add(y, x)))
			c.result("z", g.Conv(all, c.frozen("w", normal, 3, 9, 1, 1), graph.Window{Stride: 1, Dilation: 1}))
		}},
		{Name: "pooled branch among others, training", build: func(c *Circuit) {
			g, x := c.Graph, c.variable("x", normal, 3, 5, 9, 7)
			pooled := g.Conv(g.MeanPool(x), c.variable("w1", normal, 4, 5, 1, 1), graph.Window{Stride: 1, Dilation: 1})
			before := g.Conv(x, c.variable("w2", normal, 3, 5, 3, 3), same)
			all := g.Concat(before, g.Resize(pooled, 9, 7), g.ReLU(x))
			c.result("y", c.normTrain("n", g.Conv(all, c.variable("w3", normal, 6, 12, 3, 3), same)))
		}},
		{Name: "pooled branch under a dilated convolution wider than the map", build: func(c *Circuit) {
			g, x := c.Graph, c.variable("x", normal, 2, 3, 4, 5)
			all := g.Concat(g.Resize(g.MeanPool(x), 4, 5), x)
			w := c.variable("w", normal, 4, 6, 3, 3)
			c.result("y", g.Conv(all, w, graph.Window{Stride: 1, Padding: 3, Dilation: 3}))
		}},
		{Name: "pooled branch under a convolution that changes the size", build: func(c *Circuit) {
			g, x := c.Graph, c.variable("x", normal, 2, 3, 4, 5)
			all := g.Concat(g.Resize(g.MeanPool(x), 4, 5), x)
			c.result("y", g.Conv(all, c.variable("w", normal, 4, 6, 3, 3), graph.Window{Stride: 1, Padding: 2, Dilation: 1}))
		}},
		{Name: "pooled branch with a stride", build: func(c *Circuit) {
			g, x := c.Graph, c.variable("x", normal, 2, 3, 5, 5)
			all := g.Concat(g.Resize(g.MeanPool(x), 5, 5), x)
			c.result("y", g.Conv(all, c.variable("w", normal, 4, 6, 3, 3), graph.Window{Stride: 2, Padding: 1, Dilation: 1}))
		}},
		{Name: "pooled branch under windows that share a gradient", build: func(c *Circuit) {
			g, x := c.Graph, c.variable("x", normal, 2, 3, 6, 5)
			all := g.Concat(x, g.Resize(g.MeanPool(x), 6, 5))
			y := g.Conv(all, c.variable("w1", normal, 4, 6, 1, 1), graph.Window{Stride: 1, Dilation: 1})
			for _, dilation := range []int{1, 2} {
				w := c.variable(fmt.Sprint("w3 dilated ", dilation), normal, 4, 6, 3, 3)
				y = g.Add(y, g.Conv(all, w, graph.Window{Stride: 1, Padding: dilation, Dilation: dilation}))
			}
			c.result("y", y)
		}},
		{Name: "concat of scaled inputs", build: func(c *Circuit) {
			g, x, z := c.Graph, c.input("x", normal, 2, 3, 4, 5), c.input("z", normal, 2, 4, 4, 5)
			c.result("y", conv(c, "c", g.Concat(g.Affine(x, 2, 1), g.ReLU(z), g.Add(x, x)), 3, 3, 1))
		}},
		{Name: "statistics with other readers", build: func(c *Circuit) {
			g, x := c.Graph, c.input("x", normal, 2, 4, 3, 5)
			y, mean, variance := g.BatchNormTrain(x, c.frozen("scale", normal, 4), c.frozen("shift", normal, 4), 1e-5)
			g.Output("mean", g.Affine(mean, 3, 1))
			g.Output("variance", g.Affine(variance, -2, 0.5))
			c.result("y", g.ReLU(y))
		}},
		{Name: "pooled branch to one channel, with a residual", build: func(c *Circuit) {
			g, x, r := c.Graph, c.input("x", normal, 2, 5, 4, 3), c.input("r", normal, 2, 1, 4, 3)
			all := g.Concat(x, g.Resize(g.MeanPool(x), 4, 3))
			c.result("y", g.ReLU(g.Add(conv(c, "c", all, 1, 3, 1), r)))
		}},
		{Name: "descent at a rate that changes", build: func(c *Circuit) {
			g := c.Graph
			w, m := c.frozen("w", normal, 7), c.frozen("m", normal, 7)
			rate, gradient := c.frozen("rate", between(0.1, 0.5)), c.frozen("gradient", normal, 7)
			g.SGD(w, gradient, m, rate, 0.9, 0.01)
			g.Update(rate, g.Affine(rate, 0.5, 0))
			g.Update(gradient, w)
			c.result("old", w)
		}},
		{Name: "focal loss without focus", build: func(c *Circuit) {
			g, p, target := c.Graph, c.variable("p", between(0.1, 0.9), 1, 1, 3, 4), c.input("target", binary, 1, 1, 3, 4)
			c.result("y", g.Focal(p, target, 0))
		}},
		{Name: "unread results", build: func(c *Circuit) {
			g := c.Graph
			x := c.variable("x", normal, 2, 4, 6, 5)
			y := c.normTrain("n", x)
			g.Sigmoid(g.MeanPool(y)) // of no use
			g.MaxPool(y, graph.Window{Kernel: 2, Stride: 2, Dilation: 1})
			c.result("y", g.Affine(y, 2, 0))
		}},
	}
}
