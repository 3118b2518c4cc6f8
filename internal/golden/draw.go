// Package golden holds an engine against what it should compute: vectors from
// the published PyTorch code (testdata/golden, whose README defines them), and
// the reference engine, operation by operation. The tests of every engine call
// it.
package golden

import (
	"math"
	"slices"
	"strings"

	"github.com/destseg/destseg/network"
)

// Uniform returns uniform(name, i) of the README with seed 1, in [0, 1).
func Uniform(name string, i int) float64 { return newUniform(name).at(i) }

// uniform draws the numbers uniform(name, i), i = 0, 1, …, of the README with
// seed 1; they lie in [0, 1).
type uniform uint64

func newUniform(name string) uniform {
	hash := uint64(14695981039346656037) // FNV-1a
	for _, b := range []byte("1/" + name) {
		hash = (hash ^ uint64(b)) * 1099511628211
	}
	return uniform(hash)
}

func (u uniform) at(i int) float64 {
	z := uint64(u) + uint64(i+1)*0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return float64((z^z>>31)>>40) / (1 << 24)
}

// between fills a tensor with numbers from lo to hi.
func (u uniform) between(lo, hi float64, size int) []float32 {
	v := make([]float32, size)
	for i := range v {
		v[i] = float32(lo + (hi-lo)*u.at(i))
	}
	return v
}

// Draw returns the value, row-major, of a tensor of the state dict in all
// vectors: small numbers that depend on name and shape alone.
func Draw(name string, shape []int) []float32 {
	size := 1
	for _, d := range shape {
		size *= d
	}
	lo, hi := 0.8, 1.2
	switch {
	case strings.HasSuffix(name, "running_mean"), strings.HasSuffix(name, "bias"):
		lo, hi = -0.1, 0.1
	case !strings.HasSuffix(name, "running_var") && len(shape) != 1:
		a := math.Sqrt(6 / float64(size/shape[0]))
		if name == "segmentation_net.head.4.weight" {
			a *= 0.25
		}
		lo, hi = -a, a
	}
	return newUniform(name).between(lo, hi, size)
}

// Pictures are the inputs of a vector: Clean and Corrupted N×3×H×W, in ±2 as
// if normalised, and Mask N×1×H×W, 1 where they differ.
type Pictures struct{ Clean, Corrupted, Mask []float32 }

// DrawPictures returns the pictures of the README with a tag.
func DrawPictures(tag string, size network.Size) Pictures {
	batch, width, pixels := size.Batch, size.Width, size.Height*size.Width
	p := Pictures{
		Clean: newUniform(tag+"/image").between(-2, 2, batch*3*pixels),
		Mask:  make([]float32, batch*pixels),
	}
	p.Corrupted = slices.Clone(p.Clean)
	noise := newUniform(tag+"/anomaly").between(-2, 2, batch*3*pixels)
	for b := range batch {
		for i := range pixels {
			if (i/width/16+i%width/16+b)%3 != 0 {
				continue
			}
			p.Mask[b*pixels+i] = 1
			for c := range 3 {
				at := (b*3+c)*pixels + i
				p.Corrupted[at] = noise[at]
			}
		}
	}
	return p
}
