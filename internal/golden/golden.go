package golden

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/weights"
)

// Rates, momentum and decay of the training vectors.
const (
	rateStudent, rateRes, rateHead = 0.4, 0.1, 0.01
	momentum, decay                = 0.9, 1e-4
)

// Forward runs inference on every forward vector. Each map, distance and
// feature must lie within limit of the vector: L2 of the difference over L2
// of the vector; so must each score, which the test computes from the map.
func Forward(t *testing.T, e engine.Engine, o engine.Options, limit float64) {
	for _, name := range []string{"forward-64x64", "forward-96x160", "forward-256x256"} {
		t.Run(name, func(t *testing.T) {
			v := open(t, name)
			if testing.Short() && v.size.Height > 64 {
				t.Skip("slow")
			}
			_, features := v.file.Tensors["teacher.1"]
			g, err := network.Inference(v.size, features)
			if err != nil {
				t.Fatal(err)
			}
			r := compile(t, e, o, g)
			r.drawState(g)
			r.write(network.Image, DrawPictures(name, v.size).Corrupted)
			r.run()
			var w worst
			compare := func(name string, got []float64) { w.add(name, distance(got, v.tensor(t, name))) }
			for _, name := range []string{network.Segmentation, network.DeST} {
				m := r.read(name, v.size.Batch*v.size.Height*v.size.Width/(network.MapStride*network.MapStride))
				compare(name, m)
				compare("score."+name, scores(m, v.size))
			}
			for k := 1; k <= 3; k++ {
				pixels := v.size.Height * v.size.Width >> (2 * (k + 1))
				compare(network.Distance(k), r.read(network.Distance(k), v.size.Batch*pixels))
				if !features {
					continue
				}
				for _, name := range []string{network.TeacherFeature(k), network.StudentFeature(k)} {
					channels := 32 << k
					feature := r.read(name, v.size.Batch*channels*pixels)
					normaliseChannels(feature, v.size.Batch, channels)
					compare(name, feature)
				}
			}
			w.check(t, name, limit)
		})
	}
}

// Limits say how far a training run may stray from its vector. Every error is
// relative, L2 of the difference over L2 of the vector, of the worst tensor. A
// limit of 0 means that the numbers are not compared.
type Limits struct {
	// FirstLoss binds each loss before the first update. LastLoss binds the
	// losses before the second and the third, each time those that the step
	// computes against the vector's row of three: by then a ReLU that rounding
	// moved across 0 has left its mark on the smallest of them.
	FirstLoss, LastLoss float64
	// GradientNorm binds the norms of the first gradients and GradientHead
	// their first elements.
	GradientNorm, GradientHead float64
	// First and Last bind parameters and running statistics, norms as well as
	// first elements, after one and after three updates.
	First, Last float64
}

// Student runs three steps of stage 1.
func Student(t *testing.T, e engine.Engine, o engine.Options, l Limits) {
	trainThreeSteps(t, e, o, l, "student-96x128", network.StudentStep,
		func(r runner, p Pictures) {
			r.write(network.Clean, p.Clean)
			r.write(network.Corrupted, p.Corrupted)
			r.writeScalar(network.Rate, rateStudent)
		}, []string{network.CosineLoss})
}

// Segmentation runs three steps of stage 2.
func Segmentation(t *testing.T, e engine.Engine, o engine.Options, l Limits) {
	trainThreeSteps(t, e, o, l, "segmentation-96x128", network.SegmentationStep,
		func(r runner, p Pictures) {
			r.write(network.Corrupted, p.Corrupted)
			r.write(network.Mask, p.Mask)
			r.writeScalar(network.RateRes, rateRes)
			r.writeScalar(network.RateHead, rateHead)
		}, []string{network.FocalLoss, network.L1Loss})
}

// lossColumns are the losses in a row of the vector.
var lossColumns = []string{network.CosineLoss, network.FocalLoss, network.L1Loss}

func trainThreeSteps(t *testing.T, e engine.Engine, o engine.Options, l Limits, name string,
	build func(network.Size, network.Training) (*graph.Graph, error), write func(runner, Pictures), losses []string) {
	if testing.Short() {
		t.Skip("slow")
	}
	v := open(t, name)
	g, err := build(v.size, network.Training{Momentum: momentum, WeightDecay: decay, Gradients: true})
	if err != nil {
		t.Fatal(err)
	}
	r := compile(t, e, o, g)
	r.drawState(g)
	wantLosses := v.tensor(t, "losses")
	for step := range 3 {
		write(r, DrawPictures(fmt.Sprintf("%s/%d", name, step), v.size))
		r.run()
		row := wantLosses[step*len(lossColumns):][:len(lossColumns)]
		got := slices.Clone(row)
		var each, all worst
		for i, loss := range lossColumns {
			if slices.Contains(losses, loss) {
				got[i] = r.read(loss, 1)[0]
				each.add(loss, distance(got[i:i+1], row[i:i+1]))
			}
		}
		all.add("losses", distance(got, row))
		t.Logf("step %d: worst loss by itself: relative error %.2g (%s)", step, each.error, each.name)
		switch step {
		case 0:
			each.check(t, "losses before the first update", l.FirstLoss)
			norms, heads := v.compare(t, r, "grad1/", network.GradientOf)
			norms.check(t, "norms of the first gradients", l.GradientNorm)
			heads.check(t, "first elements of the first gradients", l.GradientHead)
			v.checkState(t, r, "param1/", "after the first update", l.First)
		case 1:
			all.check(t, "losses before the second update", l.LastLoss)
		case 2:
			all.check(t, "losses before the third update", l.LastLoss)
			v.checkState(t, r, "paramN/", "after the third update", l.Last)
		}
	}
}

// checkState compares parameters and running statistics.
func (v *vector) checkState(t *testing.T, r runner, prefix, when string, limit float64) {
	norms, heads := v.compare(t, r, prefix, func(name string) string { return name })
	norms.check(t, "norms of parameters and statistics "+when, limit)
	heads.check(t, "first elements of parameters and statistics "+when, limit)
}

// compare holds the program's tensors against the vector's "norm" and "head"
// entries under a prefix.
func (v *vector) compare(t *testing.T, r runner, prefix string, rename func(string) string) (norms, heads worst) {
	t.Helper()
	for entry := range v.file.Tensors {
		name, ok := strings.CutPrefix(entry, prefix)
		name, isNorm := strings.CutSuffix(name, "/norm")
		if !ok || !isNorm {
			continue
		}
		got := r.read(rename(name), v.sizes[name])
		norms.add(name, distance([]float64{norm(got)}, v.tensor(t, entry)))
		head := v.tensor(t, prefix+name+"/head")
		heads.add(name, distance(got[:min(len(head), len(got))], head))
	}
	return norms, heads
}

// scores are the means of the 100 largest values of each map, resized
// bilinear to the picture's size.
func scores(maps []float64, size network.Size) []float64 {
	height, width := size.Height/network.MapStride, size.Width/network.MapStride
	list := make([]float64, size.Batch)
	for b := range list {
		m := maps[b*height*width:][:height*width]
		var large []float64
		for y := range size.Height {
			for x := range size.Width {
				large = append(large, bilinear(m, height, width, y, x))
			}
		}
		slices.Sort(large)
		for _, v := range large[len(large)-100:] {
			list[b] += v / 100
		}
	}
	return list
}

// bilinear is a map's value at a pixel of the picture, centres at half pixels.
func bilinear(m []float64, height, width, y, x int) float64 {
	split := func(at, size int) (first, second int, weight float64) {
		f := max((float64(at)+0.5)/network.MapStride-0.5, 0)
		first = int(f)
		return first, min(first+1, size-1), f - float64(first)
	}
	y0, y1, wy := split(y, height)
	x0, x1, wx := split(x, width)
	return (1-wy)*((1-wx)*m[y0*width+x0]+wx*m[y0*width+x1]) + wy*((1-wx)*m[y1*width+x0]+wx*m[y1*width+x1])
}

// normaliseChannels divides every pixel by its L2 norm over channels.
func normaliseChannels(v []float64, batch, channels int) {
	pixels := len(v) / (batch * channels)
	for b := range batch {
		for i := range pixels {
			at := b*channels*pixels + i
			sum := 0.0
			for c := range channels {
				sum += v[at+c*pixels] * v[at+c*pixels]
			}
			for c := range channels {
				v[at+c*pixels] /= math.Sqrt(sum) + 1e-12
			}
		}
	}
}

// A vector is one file of expected values.
type vector struct {
	file  *weights.File
	size  network.Size
	sizes map[string]int // elements of each tensor of the state dict
}

func open(t *testing.T, name string) *vector {
	t.Helper()
	f, err := weights.Open(filepath.Join(folder(t), name+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	v := &vector{file: f, sizes: map[string]int{}}
	for key, to := range map[string]*int{"batch": &v.size.Batch, "height": &v.size.Height, "width": &v.size.Width} {
		if *to, err = strconv.Atoi(f.Metadata[key]); err != nil {
			t.Fatalf("%s: %s: %v", name, key, err)
		}
	}
	for _, tensor := range network.Tensors() {
		v.sizes[tensor.Name] = tensor.Shape.Size()
	}
	return v
}

// folder finds testdata/golden in the folder of the module that is tested.
func folder(t *testing.T) string {
	t.Helper()
	at, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return filepath.Join(at, "testdata", "golden")
		}
		parent := filepath.Dir(at)
		if parent == at {
			t.Fatal("no go.mod above the test's folder")
		}
		at = parent
	}
}

func (v *vector) tensor(t *testing.T, name string) []float64 {
	t.Helper()
	tensor, ok := v.file.Tensors[name]
	if !ok {
		t.Fatalf("the vector has no tensor %q", name)
	}
	values, err := tensor.Float64s()
	if err != nil {
		t.Fatal(err)
	}
	return values
}
