package golden

import (
	"fmt"
	"math"

	"github.com/destseg/destseg/graph"
)

// quantized returns cases of rounding to 8 bits and of convolutions between such
// numbers, alone and in the chains that engines compute in one go.
func quantized() []Case {
	const step = 0.0051 // no number below lies between two levels; the largest are cut
	positive, negative := coarse(0, 1.4), coarse(-1.4, 0)
	same := graph.Window{Stride: 1, Padding: 1, Dilation: 1}
	conv := func(c *Circuit, name string, x graph.Value, out, kernel int, win graph.Window) graph.Value {
		w := c.frozen(name, normal, out, x.Shape()[1], kernel, kernel)
		return c.Graph.Conv(x, c.Graph.QuantizeWeights(w), win)
	}
	cases := []Case{
		{Name: "quantize unsigned", build: func(c *Circuit) {
			c.result("y", c.Graph.Quantize(c.input("x", coarse(-0.3, 1.5), 2, 5, 3, 7), step, false))
		}},
		{Name: "quantize signed", build: func(c *Circuit) {
			c.result("y", c.Graph.Quantize(c.input("x", normal, 1, 1, 9, 7), step, true))
		}},
		{Name: "quantize downwards", build: func(c *Circuit) {
			c.result("y", c.Graph.Quantize(c.input("x", coarse(-1.5, 0.3), 2, 17, 3, 2), -step, false))
		}},
		{Name: "quantize an intermediate result", build: func(c *Circuit) {
			g := c.Graph
			y := g.Quantize(g.ReLU(c.input("x", normal, 2, 6, 4, 4)), step, false)
			c.result("y", g.Add(y, g.Affine(y, 0.5, 0)))
			g.Output("quantized", y)
			g.Output("mean", g.MeanPool(y))
		}},
		{Name: "quantize weights", build: func(c *Circuit) {
			c.result("y", c.Graph.QuantizeWeights(c.frozen("w", normal, 5, 3, 3, 3)))
		}},
		{Name: "quantize weights and scale them", build: func(c *Circuit) {
			c.result("y", c.Graph.Affine(c.Graph.QuantizeWeights(c.frozen("w", normal, 5, 3, 3, 3)), 2, 0))
		}},
		{Name: "quantize weights of zero", build: func(c *Circuit) {
			x := c.Graph.Quantize(c.input("x", positive, 1, 4, 3, 3), step, false)
			w := c.Graph.QuantizeWeights(c.frozen("w", between(0, 0), 6, 4, 3, 3))
			c.result("y", c.norm("n", c.Graph.Conv(x, w, same)))
		}},
		{Name: "quantized conv of a learned filter", build: func(c *Circuit) {
			g := c.Graph
			x, w := g.Quantize(c.input("x", positive, 1, 4, 5, 4), step, false), c.frozen("w", normal, 3, 4, 3, 3)
			g.Update(w, g.Affine(w, 0.9, 0))
			c.result("y", g.Conv(x, g.QuantizeWeights(w), same))
		}},
		{Name: "quantized conv of signed numbers", build: func(c *Circuit) {
			x := c.Graph.Quantize(c.input("x", normal, 2, 5, 4, 6), step, true)
			c.result("y", conv(c, "w", x, 7, 3, same))
		}},
		{Name: "quantized conv bias", build: func(c *Circuit) {
			g := c.Graph
			x := g.Quantize(c.input("x", positive, 2, 3, 5, 4), step, false)
			w := g.QuantizeWeights(c.frozen("w", normal, 4, 3, 3, 3))
			c.result("y", g.ReLU(g.ConvBias(x, w, c.frozen("bias", normal, 4), same)))
		}},
		{Name: "quantized conv of negative numbers", build: func(c *Circuit) {
			x := c.Graph.Quantize(c.input("x", negative, 2, 8, 5, 4), -step, false)
			c.result("y", c.Graph.ReLU(c.norm("n", conv(c, "w", x, 16, 3, same))))
		}},
		{Name: "quantized conv of extremes", build: func(c *Circuit) { // sums that 16 bits don't hold
			one := between(1, 1)
			x := c.Graph.Quantize(c.input("x", one, 1, 64, 4, 4), 1.0/255, false)
			w := c.Graph.QuantizeWeights(c.frozen("w", one, 32, 64, 3, 3))
			c.result("y", c.Graph.Conv(x, w, same))
		}},
		{Name: "quantized block", build: func(c *Circuit) {
			g := c.Graph
			x := g.Quantize(c.input("x", positive, 2, 16, 6, 5), step, false)
			y := g.Quantize(g.ReLU(c.norm("n1", conv(c, "w1", x, 16, 3, same))), 0.1, false)
			y = c.norm("n2", conv(c, "w2", y, 16, 3, same))
			y = g.ReLU(g.Add(y, x))
			c.result("features", y) // read twice, as itself and rounded
			y = g.Quantize(y, 0.5, false)
			c.result("y", g.ReLU(conv(c, "w3", y, 19, 3, same)))
		}},
		{Name: "quantized block in between", build: func(c *Circuit) {
			g := c.Graph
			x := g.Quantize(c.input("x", positive, 2, 16, 6, 5), step, false)
			for i := range 2 {
				y := g.Quantize(g.ReLU(c.norm(fmt.Sprint("a", i), conv(c, fmt.Sprint("v", i), x, 16, 3, same))), 0.1, false)
				y = c.norm(fmt.Sprint("b", i), conv(c, fmt.Sprint("w", i), y, 16, 3, same))
				x = g.Quantize(g.ReLU(g.Add(y, x)), 0.5, false)
			}
			g.Output("mean", g.MeanPool(x))
			c.result("y", conv(c, "w", x, 16, 1, graph.Window{Stride: 1, Dilation: 1}))
		}},
		{Name: "quantized block with a projection", build: func(c *Circuit) {
			g := c.Graph
			x := g.Quantize(c.input("x", positive, 2, 8, 8, 6), step, false)
			half := graph.Window{Stride: 2, Padding: 1, Dilation: 1}
			y := g.Quantize(g.ReLU(c.norm("n1", conv(c, "w1", x, 16, 3, half))), 0.1, false)
			y = c.norm("n2", conv(c, "w2", y, 16, 3, same))
			p := c.norm("n", conv(c, "w", x, 16, 1, graph.Window{Stride: 2, Dilation: 1}))
			y = g.Quantize(g.ReLU(g.Add(y, g.Quantize(p, 0.2, true))), 0.5, false)
			c.result("y", g.ReLU(conv(c, "w3", y, 8, 3, same)))
		}},
		{Name: "quantized sum with what is not", build: func(c *Circuit) {
			g := c.Graph
			r := c.input("r", normal, 2, 16, 5, 5)
			x := g.Quantize(c.input("x", positive, 2, 16, 5, 5), step, false)
			y := g.Quantize(g.ReLU(g.Add(conv(c, "w", x, 16, 3, same), r)), 0.5, false)
			c.result("y", conv(c, "v", y, 16, 3, same))
		}},
		{Name: "quantized concatenation", build: func(c *Circuit) {
			g := c.Graph
			x, z := g.Quantize(c.input("x", positive, 2, 8, 5, 6), step, false), c.input("z", positive, 2, 5, 3, 3)
			parts := g.Concat(g.ReLU(c.norm("n", conv(c, "w", x, 16, 3, same))), g.Resize(z, 5, 6), g.ReLU(conv(c, "w2", x, 3, 3, same)))
			all := g.Quantize(parts, 0.1037, false) // no resized number lies between two levels, either
			c.result("y", conv(c, "v", all, 16, 3, same))
			c.result("z", conv(c, "v2", all, 8, 1, graph.Window{Stride: 1, Dilation: 1}))
		}},
		{Name: "quantized spread convolution", build: func(c *Circuit) {
			g := c.Graph
			x := g.Quantize(c.input("x", positive, 2, 8, 5, 6), step, false)
			spread := g.Resize(g.ReLU(g.Affine(g.MeanPool(x), 1, 0)), 5, 6)
			parts := g.Concat(spread, g.ReLU(c.norm("n", conv(c, "w", x, 16, 3, same))))
			all := g.Quantize(parts, 0.1, false)
			c.result("y", g.Quantize(g.ReLU(c.norm("m", conv(c, "v", all, 16, 3, same))), 0.3, false))
		}},
		{Name: "quantized spread convolution of a single channel", build: func(c *Circuit) {
			g := c.Graph
			spread := g.Resize(c.input("z", positive, 2, 1, 1, 1), 5, 6)
			all := g.Quantize(g.Concat(c.input("x", positive, 2, 16, 5, 6), spread), step, false)
			c.result("y", conv(c, "v", all, 16, 3, same))
		}},
		{Name: "quantized conv to a single channel", build: func(c *Circuit) { // by weights that every run reads
			g, point := c.Graph, graph.Window{Stride: 1, Dilation: 1}
			y := conv(c, "w", g.Quantize(c.input("x", positive, 2, 16, 6, 5), step, false), 1, 1, point)
			for i, channels := range []int{64, 3} {
				y = g.Conv(y, c.frozen(fmt.Sprint("v", i), normal, channels, y.Shape()[1], 3, 3), same)
			}
			c.result("y", y)
		}},
	}
	for _, s := range []struct {
		batch, in, height, width, out, kernel, stride, padding, dilation int
	}{
		{2, 3, 7, 9, 5, 3, 1, 1, 1},
		{1, 64, 9, 7, 64, 3, 2, 1, 1},
		{2, 33, 6, 8, 47, 1, 1, 0, 1},
		{1, 16, 7, 5, 32, 1, 2, 0, 1},
		{2, 32, 9, 11, 16, 3, 1, 6, 6},
		{1, 20, 8, 7, 18, 3, 1, 18, 18}, // only the centre meets the picture
		{1, 128, 6, 5, 256, 3, 1, 1, 1},
	} {
		win := graph.Window{Stride: s.stride, Padding: s.padding, Dilation: s.dilation}
		name := fmt.Sprintf("quantized conv %d×%d×%d×%d to %d kernel %d stride %d padding %d dilation %d",
			s.batch, s.in, s.height, s.width, s.out, s.kernel, s.stride, s.padding, s.dilation)
		cases = append(cases, Case{Name: name, build: func(c *Circuit) {
			x := c.Graph.Quantize(c.input("x", positive, s.batch, s.in, s.height, s.width), step, false)
			c.result("y", c.norm("n", conv(c, "w", x, s.out, s.kernel, win)))
		}})
	}
	return cases
}

// coarse draws multiples of 1/128, which 8 bits of precision hold: all engines then round
// the same numbers.
func coarse(lo, hi float64) content {
	return func(u uniform, size int) []float32 {
		v := u.between(lo, hi, size)
		for i := range v {
			v[i] = float32(math.Round(float64(v[i])*128) / 128)
		}
		return v
	}
}
