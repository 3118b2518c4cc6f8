package quantize_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/plain"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/quantize"
)

// block is a residual block with a projection behind a ReLU, and what a pooled branch
// and a sum read of it.
func block() *graph.Graph {
	g := new(graph.Graph)
	same, point := graph.Window{Stride: 1, Padding: 1, Dilation: 1}, graph.Window{Stride: 1, Dilation: 1}
	first := g.Conv(g.Input("x", 1, 3, 6, 6), g.Variable("first", 4, 3, 3, 3), same)
	x := g.ReLU(first)
	y := g.ReLU(g.Conv(x, g.Variable("conv1", 6, 4, 3, 3), same))
	y = g.Conv(y, g.Variable("conv2", 6, 6, 3, 3), same)
	projection := g.Conv(x, g.Variable("projection", 6, 4, 1, 1), point)
	y = g.ReLU(g.Add(y, projection))
	z := g.ReLU(g.Conv(y, g.Variable("conv3", 6, 6, 3, 3), same))
	z = g.ReLU(g.Add(g.Conv(z, g.Variable("conv4", 6, 6, 3, 3), same), y))
	g.Output("features", y)
	g.Output("pooled", g.Conv(g.MeanPool(y), g.Variable("pooled", 6, 6, 1, 1), point))
	g.Output("y", g.Conv(z, g.Variable("last", 1, 6, 1, 1), point))
	return g
}

func ones(names ...string) map[string]float64 {
	m := map[string]float64{}
	for _, name := range names {
		m[name] = 1
	}
	return m
}

func TestGraph(t *testing.T) {
	g := block()
	steps := quantize.Steps{Inputs: ones("conv1", "conv2", "projection", "conv3", "conv4"), Sums: map[string]float64{"projection": 2}}
	q, err := quantize.Graph(g, steps)
	if err != nil {
		t.Fatal(err)
	}
	readers := map[*graph.Node][]graph.Op{}
	weights := map[string]bool{}
	for _, n := range q.Nodes {
		for _, v := range n.In {
			readers[v.Node] = append(readers[v.Node], n.Op)
		}
		if n.Op == graph.OpConv {
			name := n.In[1].Node
			rounded := name.Op == graph.OpQuantizeWeights
			if rounded {
				name = name.In[0].Node
			}
			if rounded != (n.In[0].Node.Op == graph.OpQuantize) {
				t.Errorf("%s: only one of the operands is rounded", name.Name)
			}
			weights[name.Name] = rounded
		}
	}
	for name, want := range map[string]bool{
		"first": false, "conv1": true, "conv2": true, "projection": true, "conv3": true, "conv4": true, "pooled": false, "last": false,
	} {
		if weights[name] != want {
			t.Errorf("%s: rounded %v, want %v", name, weights[name], want)
		}
	}
	var got []string
	for _, n := range q.Nodes {
		if n.Op == graph.OpQuantize {
			var names []string
			for _, op := range readers[n] {
				names = append(names, op.String())
			}
			slices.Sort(names)
			got = append(got, strings.Join(names, " "))
			if (n.First < 0) != (n.Alpha == 2) {
				t.Errorf("levels from %d in steps of %v", n.First, n.Alpha)
			}
		}
	}
	slices.Sort(got)
	// What two convolutions read; what one reads, twice; the projection; and the block's
	// result, which the next convolution, the pool and the next sum read.
	if want := []string{"add", "add conv mean-pool", "conv", "conv", "conv conv"}; !slices.Equal(got, want) {
		t.Errorf("rounded for %q, want %q", got, want)
	}
	if out := q.Outputs[0].Value.Node.Op; out != graph.OpReLU {
		t.Errorf("the features are those of a %v", out)
	}

	for what, change := range map[string]func(s *quantize.Steps){
		"steps for 6 convolutions": func(s *quantize.Steps) { s.Inputs["conv9"] = 1 },
		"steps 1 and 3": func(s *quantize.Steps) {
			s.Inputs["projection"] = 3
		},
	} {
		broken := quantize.Steps{Inputs: ones("conv1", "conv2", "projection", "conv3", "conv4"), Sums: ones("projection")}
		change(&broken)
		if _, err := quantize.Graph(g, broken); err == nil || !strings.Contains(err.Error(), what) && !strings.Contains(err.Error(), "steps 3 and 1") {
			t.Errorf("%s: error %v", what, err)
		}
	}
}

// TestGraphInPart checks that a convolution without a step, and a sum without one, stay
// as they are.
func TestGraphInPart(t *testing.T) {
	q, err := quantize.Graph(block(), quantize.Steps{Inputs: ones("conv1", "projection", "conv4")})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range q.Nodes {
		if n.Op != graph.OpConv {
			continue
		}
		weights := n.In[1].Node
		rounded := weights.Op == graph.OpQuantizeWeights
		if rounded {
			weights = weights.In[0].Node
		}
		want := slices.Contains([]string{"conv1", "projection", "conv4"}, weights.Name)
		if rounded != want || (n.In[0].Node.Op == graph.OpQuantize) != want {
			t.Errorf("%s: rounded %v, want %v", weights.Name, rounded, want)
		}
	}
	for _, n := range q.Nodes {
		if n.Op == graph.OpAdd && slices.ContainsFunc(n.In, func(v graph.Value) bool { return v.Node.Op == graph.OpQuantize }) {
			t.Errorf("a sum of rounded numbers")
		}
	}
}

func TestCheck(t *testing.T) {
	for _, s := range []quantize.Steps{
		{}, {Inputs: map[string]float64{"a": 0}}, {Inputs: map[string]float64{"a": math.NaN()}},
		{Inputs: ones("a"), Sums: map[string]float64{"b": math.Inf(1)}}, {Inputs: map[string]float64{"a": 1e30}},
	} {
		if s.Check() == nil {
			t.Errorf("%v is accepted", s)
		}
	}
	if err := (quantize.Steps{Inputs: map[string]float64{"a": -0.25}}).Check(); err != nil {
		t.Error(err)
	}
}

// TestSteps takes made-up numbers.
func TestSteps(t *testing.T) {
	_, points := quantize.Observe(block())
	random := rand.New(rand.NewPCG(1, 2))
	uniform := func(i int, size float64) func(name string, v []float32) error {
		return func(name string, v []float32) error {
			for k := range v {
				v[k] = float32(size * (random.Float64()))
				if i >= 0 && points[i].Output == name {
					v[k] = -v[k]
				}
			}
			return nil
		}
	}
	c := quantize.NewCollector(points)
	const negative = 1 // what conv2 reads
	for run := range 9 {
		size := 5.0
		if run == 4 {
			size = 5000 // a picture unlike the others
		}
		if err := c.Add(uniform(negative, size)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Steps()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Inputs) != 5 || len(s.Sums) != 1 || s.Check() != nil {
		t.Fatalf("%+v", s)
	}
	for name, step := range s.Inputs {
		want := 5.0 / 255
		if name == "conv2" {
			want = -want
		}
		if math.Abs(step/want-1) > 0.05 {
			t.Errorf("%s: step %v, want about %v", name, step, want)
		}
	}
	if step := s.Sums["projection"]; math.Abs(step/(5.0/127)-1) > 0.05 {
		t.Errorf("sum: step %v", step)
	}

	// Of ten runs three are unlike the others, for one convolution.
	c = quantize.NewCollector(points)
	for run := range 10 {
		like := uniform(-1, 5)
		err := c.Add(func(name string, v []float32) error {
			if run > 6 && name == points[negative].Output {
				return uniform(-1, 25)(name, v)
			}
			return like(name, v)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if s, err = c.Steps(); err != nil || len(s.Inputs) != 4 || s.Inputs["conv2"] != 0 {
		t.Errorf("%+v, %v", s, err)
	}

	// Zeros alone say nothing.
	c = quantize.NewCollector(points)
	if err := c.Add(func(string, []float32) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if s, err = c.Steps(); err != nil || s.Check() != nil {
		t.Errorf("%v, %v", s, err)
	}

	for what, values := range map[string][2]float32{"both signs": {1, -1}, "not finite": {1, float32(math.NaN())}, "finite": {1, float32(math.Inf(-1))}} {
		c := quantize.NewCollector(points)
		err := c.Add(func(_ string, v []float32) error {
			copy(v, values[:])
			return nil
		})
		if err == nil {
			_, err = c.Steps()
		} else if !errors.Is(err, quantize.ErrNotFinite) {
			t.Errorf("%s: error %v", what, err)
		}
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: error %v", what, err)
		}
	}
	gone := errors.New("gone")
	if err := quantize.NewCollector(points).Add(func(string, []float32) error { return gone }); !errors.Is(err, gone) {
		t.Errorf("error %v", err)
	}
}

// TestNetwork quantizes the networks themselves, and compares the maps with those of
// before.
func TestNetwork(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	size := network.Size{Batch: 1, Height: 64, Width: 64}
	g, err := network.Inference(size, false)
	if err != nil {
		t.Fatal(err)
	}
	image := make([]float32, 3*64*64)
	random := rand.New(rand.NewPCG(3, 4))
	for i := range image {
		image[i] = float32(random.NormFloat64())
	}
	initial := map[string][]float32{}
	for _, tensor := range network.Tensors() {
		initial[tensor.Name] = tensor.Initial(random)
		if strings.HasSuffix(tensor.Name, "bn2.weight") { // an encoder's starts at 0, which hides its block
			for i := range initial[tensor.Name] {
				initial[tensor.Name][i] = 0.5
			}
		}
	}
	run := func(g *graph.Graph) engine.Program {
		t.Helper()
		p, err := plain.New().Compile(g, engine.Options{Constants: func(name string, v []float32) error {
			copy(v, initial[name])
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		if err := errors.Join(p.Write(network.Image, image), p.Run()); err != nil {
			t.Fatal(err)
		}
		return p
	}
	observed, points := quantize.Observe(g)
	exact := run(observed)
	c := quantize.NewCollector(points)
	if err := c.Add(exact.Read); err != nil {
		t.Fatal(err)
	}
	steps, err := c.Steps()
	if err != nil {
		t.Fatal(err)
	}
	// 15 convolutions of the teacher, 39 of the student, 11 of the segmentation network
	// before the last one, less the two first ones and the pooled one.
	if len(steps.Inputs) != 15+39+11-3 || steps.Check() != nil {
		t.Errorf("%d convolutions", len(steps.Inputs))
	}
	// The projections: two of the teacher, three and three of the student, one more.
	if len(steps.Sums) != 9 {
		t.Errorf("%d sums", len(steps.Sums))
	}
	for name, step := range steps.Inputs {
		if fused := strings.HasPrefix(name, "segmentation_net.res.0.") && !strings.HasSuffix(name, "conv2.weight"); (step < 0) != fused {
			t.Errorf("%s: step %v", name, step)
		}
	}
	quantized, err := quantize.Graph(g, steps)
	if err != nil {
		t.Fatal(err)
	}
	rounded := run(quantized)
	for _, name := range []string{network.Segmentation, network.DeST} {
		want, got := make([]float32, 16*16), make([]float32, 16*16)
		if err := errors.Join(exact.Read(name, want), rounded.Read(name, got)); err != nil {
			t.Fatal(err)
		}
		var difference, norm float64
		for i := range want {
			difference += math.Pow(float64(got[i]-want[i]), 2)
			norm += math.Pow(float64(want[i]), 2)
		}
		// A rounding to 8 bits is one of up to 1/510 of the largest number, about thrice
		// that of a usual one; some sixty follow each other.
		if error := math.Sqrt(difference / norm); !(error < 0.03) || error == 0 {
			t.Errorf("%s: relative error %.2g", name, error)
		} else {
			t.Logf("%s: relative error %.2g", name, error)
		}
	}
}
