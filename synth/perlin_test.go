package synth

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/destseg/destseg/internal/golden"
	"github.com/destseg/destseg/weights"
)

func TestPerlinGolden(t *testing.T) {
	vectors, err := weights.Open("../testdata/golden/perlin.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if len(vectors.Tensors) == 0 {
		t.Fatal("no vectors")
	}
	const size = 256
	for name, tensor := range vectors.Tensors {
		want, err := tensor.Float64s()
		if err != nil {
			t.Fatal(err)
		}
		var rows, columns int
		if _, err := fmt.Sscanf(strings.TrimPrefix(name, "perlin/"), "%dx%d", &rows, &columns); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		m := newMasker(size, size)
		for i := range (rows + 1) * (columns + 1) {
			m.nodes = append(m.nodes, gradientAt(2*math.Pi*golden.Uniform(name, i)))
		}
		m.fill(rows, columns)
		if len(want) != size*size {
			t.Fatalf("%s: %d values, want %d", name, len(want), size*size)
		}
		worst := 0.0
		for i, v := range want {
			got := m.noise[(i/size+1)*(size+2)+i%size+1]
			worst = max(worst, math.Abs(float64(got)-v))
		}
		if worst > 1e-5 {
			t.Errorf("%s: off by up to %g", name, worst)
		}
		t.Logf("%s: largest difference %.2g", name, worst)
	}
}

// slowPerlin is noise by its definition, pixel by pixel in float64.
func slowPerlin(height, width int, rows, columns, offsetY, offsetX float64, nodesAcross int, nodes []gradient) []float64 {
	fade := func(t float64) float64 { return 6*math.Pow(t, 5) - 15*math.Pow(t, 4) + 10*math.Pow(t, 3) }
	lerp := func(a, b, t float64) float64 { return a + (b-a)*t }
	out := make([]float64, height*width)
	for i := range out {
		v := float64(i/width)*rows/float64(height) + offsetY
		u := float64(i%width)*columns/float64(width) + offsetX
		y, x := math.Floor(v), math.Floor(u)
		corner := func(down, right float64) float64 {
			g := nodes[int(y+down)*nodesAcross+int(x+right)]
			return float64(g.y)*(v-y-down) + float64(g.x)*(u-x-right)
		}
		ty, tx := fade(v-y), fade(u-x)
		out[i] = lerp(lerp(corner(0, 0), corner(1, 0), ty), lerp(corner(0, 1), corner(1, 1), ty), tx)
	}
	return out
}

func TestPerlinAgainstDefinition(t *testing.T) {
	for _, c := range []struct {
		height, width                   int
		rows, columns, offsetY, offsetX float64
	}{
		{32, 32, 1, 1, 0, 0},
		{32, 32, 32, 32, 0, 0},
		{96, 160, 32, 8, 0, 0},
		{96, 160, 1, 32, 0, 0},
		{64, 224, 2.3, 7.9, 0.999, 0.4},
		{37, 53, 18.5, 26.5, 0.5, 0.01},
		{33, 40, 0.7, 33.3, 0.6, 0.9},
	} {
		ys, xs := newAxis(c.height, c.rows, c.offsetY), newAxis(c.width, c.columns, c.offsetX)
		var nodes []gradient
		for i := range ys.nodes() * xs.nodes() {
			nodes = append(nodes, gradientAt(2*math.Pi*golden.Uniform("nodes", i)))
		}
		want := slowPerlin(c.height, c.width, c.rows, c.columns, c.offsetY, c.offsetX, xs.nodes(), nodes)
		stride := c.width + 3
		got := make([]float32, stride*c.height)
		for i := range got {
			got[i] = 1 // noise is added to what is there
		}
		addPerlin(got, stride, ys, xs, nodes, 0.5)
		for y := range c.height {
			for x := range stride {
				expect := 1.0
				if x < c.width {
					expect += 0.5 * want[y*c.width+x]
				}
				if diff := math.Abs(float64(got[y*stride+x]) - expect); diff > 2e-6 {
					t.Fatalf("%+v at (%d,%d): off by %g", c, x, y, diff)
				}
			}
		}
	}
}
