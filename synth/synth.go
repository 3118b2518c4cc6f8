// Package synth makes the synthetic anomalies of the training: it rotates a good
// picture, draws an irregular mask from Perlin noise and blends a foreign texture
// into the picture under the mask (section 3.1 of the DeSTSeg paper, after DRAEM).
//
// Distributions are those of the published DeSTSeg code. What differs is the
// source of randomness: every sample follows from the seed and its own number
// alone, so that any number of goroutines, in any order, makes the same samples.
// (Between processor architectures the last bit of a float may differ.)
package synth

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/destseg/destseg/picture"
)

// Lower ends of the range of opacities, see [Settings].
const (
	PublishedMinOpacity = 0.2  // the published code: (0.2, 1]
	PaperMinOpacity     = 0.15 // the paper, section 3.1: [0.15, 1]
)

// sizeStep divides every size a sample can have: the networks shrink pictures by
// 32, and the finest Perlin lattice has 32 cells a side.
const sizeStep = 32

// Settings say how samples are made.
type Settings struct {
	// Width and Height are the network's picture size in pixels: positive
	// multiples of 32.
	Width, Height int
	// Seed, together with a sample's number, decides everything about it.
	Seed uint64
	// Rotation is what happens to the good picture first. Zero: nothing.
	Rotation Rotation
	// MinOpacity is the smallest weight of the texture under the mask; weights
	// are uniform in (MinOpacity, 1]. It is above 0 and at most 1.
	MinOpacity float64
	// Textures supplies what is blended in. Nil means [Procedural].
	Textures Textures
}

// Generator makes samples. It may be used by any number of goroutines at a time.
type Generator struct {
	settings  Settings
	mean, std [3]float32
	// norm[c][v] is the normalised value of byte v in channel c.
	norm    [3][256]float32
	scratch sync.Pool // of *scratch
}

// Sample is one training sample, written into memory of the caller, say a slice of
// a batch. Nil parts are not wanted and left out.
type Sample struct {
	// Clean is the good picture, rotated: 3×Height×Width, normalised with
	// [picture.ImageNet].
	Clean []float32
	// Corrupted is Clean with the texture under the mask, same shape and scale.
	// Blended values are not rounded to bytes.
	Corrupted []float32
	// Mask is 1 where the picture was corrupted and 0 elsewhere: Height×Width. In
	// about one sample of twenty it is 0 everywhere, as in the published code.
	Mask []float32
}

// scratch is what one sample in the making needs.
type scratch struct {
	pcg     rand.PCG
	rng     *rand.Rand // draws from pcg
	mask    *masker
	texture *picture.RGB

	// The sample itself.
	clean   *picture.RGB
	opacity float32
}

// New checks the settings and returns a generator.
func New(s Settings) (*Generator, error) {
	if s.Width <= 0 || s.Height <= 0 || s.Width%sizeStep != 0 || s.Height%sizeStep != 0 {
		return nil, fmt.Errorf("synth: picture size %d×%d: both sides must be positive multiples of %d", s.Width, s.Height, sizeStep)
	}
	if s.Rotation > FullRotation {
		return nil, fmt.Errorf("synth: unknown rotation %d", s.Rotation)
	}
	if !(s.MinOpacity > 0 && s.MinOpacity <= 1) {
		return nil, fmt.Errorf("synth: smallest opacity is %v, must be above 0 and at most 1", s.MinOpacity)
	}
	switch t := s.Textures.(type) {
	case nil:
		s.Textures = Procedural{}
	case *Folder:
		t.fit(s.Width, s.Height)
	}
	g := &Generator{settings: s}
	g.mean, g.std = picture.ImageNet()
	for c := range g.norm {
		for v := range g.norm[c] {
			g.norm[c][v] = (float32(v)/255 - g.mean[c]) / g.std[c]
		}
	}
	g.scratch.New = func() any {
		sc := &scratch{
			mask:    newMasker(s.Width, s.Height),
			texture: picture.NewRGB(s.Width, s.Height),
		}
		sc.rng = rand.New(&sc.pcg)
		return sc
	}
	return g, nil
}

// Sample makes sample number index from a good picture, which must have the size of
// the settings, and writes it into dst. The same index with the same picture gives
// the same sample; a training run counts its samples from 0.
//
// Errors are those of the textures, and sizes that do not fit; dst is untouched then.
func (g *Generator) Sample(dst Sample, index uint64, good *picture.RGB) error {
	pixels := g.settings.Width * g.settings.Height
	for _, part := range []struct {
		name   string
		values []float32
		want   int
	}{
		{"clean picture", dst.Clean, 3 * pixels},
		{"corrupted picture", dst.Corrupted, 3 * pixels},
		{"mask", dst.Mask, pixels},
	} {
		if part.values != nil && len(part.values) != part.want {
			return fmt.Errorf("synth: memory for the %s holds %d values, must hold %d", part.name, len(part.values), part.want)
		}
	}
	sc := g.scratch.Get().(*scratch)
	defer g.scratch.Put(sc)
	if err := g.draw(sc, index, good); err != nil {
		return err
	}

	if dst.Clean != nil {
		sc.clean.Normalize(dst.Clean, g.mean, g.std)
	}
	if dst.Corrupted != nil {
		if dst.Clean != nil {
			copy(dst.Corrupted, dst.Clean)
		} else {
			sc.clean.Normalize(dst.Corrupted, g.mean, g.std)
		}
		g.blend(dst.Corrupted, sc)
	}
	if dst.Mask != nil {
		for i, m := range sc.mask.mask {
			dst.Mask[i] = float32(m)
		}
	}
	return nil
}

// Picture returns sample number index as a person would see it, the corrupted
// picture rounded to bytes, and its mask. Errors are those of Sample.
func (g *Generator) Picture(index uint64, good *picture.RGB) (*picture.RGB, *picture.Gray, error) {
	sc := g.scratch.Get().(*scratch)
	defer g.scratch.Put(sc)
	if err := g.draw(sc, index, good); err != nil {
		return nil, nil, err
	}
	mask := picture.NewGray(g.settings.Width, g.settings.Height)
	for i, m := range sc.mask.mask {
		mask.Pix[i] = 255 * m
	}
	return g.corrupted(sc), mask, nil
}

// draw makes every random choice of a sample, in an order that is part of what a
// seed means: rotation, mask, opacity, texture.
func (g *Generator) draw(sc *scratch, index uint64, good *picture.RGB) error {
	s := g.settings
	if good.Width != s.Width || good.Height != s.Height {
		return fmt.Errorf("synth: good picture is %d×%d, must be resized to %d×%d first", good.Width, good.Height, s.Width, s.Height)
	}
	sc.pcg.Seed(mix(s.Seed), mix(index))
	sc.clean = s.Rotation.apply(good, sc.rng)
	corrupted := sc.mask.draw(sc.rng)
	sc.opacity = float32(1 - (1-s.MinOpacity)*sc.rng.Float64())
	if corrupted == 0 {
		return nil // the texture would not show
	}
	if err := s.Textures.Texture(sc.texture, sc.rng); err != nil {
		return fmt.Errorf("synth: texture of sample %d: %w", index, err)
	}
	return nil
}

// blend turns the clean picture's planes into those of the corrupted one. The
// weights of picture and texture add up to 1, so blending normalised values is the
// same as normalising blended ones.
func (g *Generator) blend(planes []float32, sc *scratch) {
	n := g.settings.Width * g.settings.Height
	mask, texture := sc.mask.mask[:n], sc.texture.Pix[:3*n]
	red, green, blue := planes[:n], planes[n:2*n], planes[2*n:3*n]
	opacity, rest := sc.opacity, 1-sc.opacity
	for i, m := range mask {
		if m == 0 {
			continue
		}
		t := texture[3*i : 3*i+3 : 3*i+3]
		red[i] = rest*red[i] + opacity*g.norm[0][t[0]]
		green[i] = rest*green[i] + opacity*g.norm[1][t[1]]
		blue[i] = rest*blue[i] + opacity*g.norm[2][t[2]]
	}
}

// mix scatters neighbouring numbers over all 64 bits, one to one (the finaliser of
// SplitMix64), so that consecutive samples start from unrelated states.
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
