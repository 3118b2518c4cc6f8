package synth

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/destseg/destseg/picture"
)

// noiseTextures hands out pictures of noise and remembers the latest one.
type noiseTextures struct{ latest *picture.RGB }

func (n *noiseTextures) Texture(dst *picture.RGB, rng *rand.Rand) error {
	for i := range dst.Pix {
		dst.Pix[i] = uint8(rng.Uint32())
	}
	n.latest = picture.NewRGB(dst.Width, dst.Height)
	copy(n.latest.Pix, dst.Pix)
	return nil
}

// brokenTextures fails.
type brokenTextures struct{ err error }

func (b brokenTextures) Texture(*picture.RGB, *rand.Rand) error { return b.err }

func newSample(width, height int) Sample {
	n := width * height
	return Sample{make([]float32, 3*n), make([]float32, 3*n), make([]float32, n)}
}

func newGenerator(t testing.TB, s Settings) *Generator {
	t.Helper()
	g, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestNewRefuses(t *testing.T) {
	for name, s := range map[string]Settings{
		"no size":       {MinOpacity: 1},
		"odd width":     {Width: 250, Height: 256, MinOpacity: 1},
		"odd height":    {Width: 256, Height: 16, MinOpacity: 1},
		"negative":      {Width: -32, Height: 32, MinOpacity: 1},
		"rotation":      {Width: 32, Height: 32, Rotation: 3, MinOpacity: 1},
		"no opacity":    {Width: 32, Height: 32},
		"opacity":       {Width: 32, Height: 32, MinOpacity: 1.1},
		"opacity below": {Width: 32, Height: 32, MinOpacity: -0.1},
		"opacity NaN":   {Width: 32, Height: 32, MinOpacity: math.NaN()},
	} {
		if _, err := New(s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSampleRefuses(t *testing.T) {
	g := newGenerator(t, Settings{Width: 64, Height: 32, MinOpacity: PublishedMinOpacity})
	good := picture.NewRGB(64, 32)
	for name, try := range map[string]func() error{
		"picture":   func() error { return g.Sample(newSample(64, 32), 0, picture.NewRGB(32, 64)) },
		"clean":     func() error { return g.Sample(Sample{Clean: make([]float32, 5)}, 0, good) },
		"corrupted": func() error { return g.Sample(Sample{Corrupted: make([]float32, 64*32)}, 0, good) },
		"mask":      func() error { return g.Sample(Sample{Mask: []float32{}}, 0, good) },
	} {
		if try() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	reason := errors.New("out of textures")
	g = newGenerator(t, Settings{Width: 64, Height: 32, MinOpacity: 1, Textures: brokenTextures{reason}})
	failed := 0
	for i := range uint64(20) {
		if err := g.Sample(newSample(64, 32), i, good); errors.Is(err, reason) {
			failed++
		}
	}
	if failed < 10 {
		t.Errorf("the textures' error came back %d times in 20", failed)
	}
}

// The published blend, in float64: picture·(1−mask) + (1−β)·texture·mask +
// β·picture·mask on values from 0 to 1, normalised after that.
func TestBlendAgainstSlowTwin(t *testing.T) {
	const width, height, n = 96, 64, 96 * 64
	mean, std := picture.ImageNet()
	for name, least := range map[string]float64{
		"published": PublishedMinOpacity,
		"paper":     PaperMinOpacity,
		"opaque":    1,
	} {
		textures := new(noiseTextures)
		g := newGenerator(t, Settings{Width: width, Height: height, Seed: 3, MinOpacity: least, Textures: textures})
		s := newSample(width, height)
		lowest, highest, sum, count := 1.0, 0.0, 0.0, 0.0
		for index := range uint64(150) {
			good := drawn(width, height, index)
			textures.latest = nil
			if err := g.Sample(s, index, good); err != nil {
				t.Fatal(err)
			}
			// The opacity, from the pixel where it shows most.
			opacity, contrast := 0.0, 0.0
			for i := range 3 * n {
				if s.Mask[i%n] == 0 {
					continue
				}
				picture, texture := float64(good.Pix[i%n*3+i/n])/255, float64(textures.latest.Pix[i%n*3+i/n])/255
				if difference := texture - picture; math.Abs(difference) > contrast {
					contrast = math.Abs(difference)
					value := float64(s.Corrupted[i])*float64(std[i/n]) + float64(mean[i/n])
					opacity = (value - picture) / difference
				}
			}
			if contrast > 0.5 {
				lowest, highest = min(lowest, opacity), max(highest, opacity)
				sum += opacity
				count++
			}
			beta := 1 - opacity
			for i := range 3 * n {
				p, m := float64(good.Pix[i%n*3+i/n])/255, float64(s.Mask[i%n])
				blended := p
				if m != 0 {
					texture := float64(textures.latest.Pix[i%n*3+i/n]) / 255
					blended = p*(1-m) + (1-beta)*texture*m + beta*p*m
				}
				normal := func(v float64) float64 { return (v - float64(mean[i/n])) / float64(std[i/n]) }
				if math.Abs(normal(p)-float64(s.Clean[i])) > 2e-6 || math.Abs(normal(blended)-float64(s.Corrupted[i])) > 1e-5 {
					t.Fatalf("%s, sample %d, value %d: clean %v, corrupted %v, want %v and %v",
						name, index, i, s.Clean[i], s.Corrupted[i], normal(p), normal(blended))
				}
				if m == 0 && s.Clean[i] != s.Corrupted[i] {
					t.Fatalf("%s, sample %d: changed outside the mask", name, index)
				}
			}
		}
		const rounding = 1e-6
		span := 1 - least
		if lowest < least-rounding || highest > 1+rounding {
			t.Errorf("%s: opacities from %v to %v, want (%v, 1]", name, lowest, highest, least)
		}
		if lowest > least+0.05*span+rounding || highest < 1-0.05*span-rounding || math.Abs(sum/count-(1+least)/2) > 0.07*span+rounding {
			t.Errorf("%s: opacities from %v to %v, mean %v, are not uniform in (%v, 1]", name, lowest, highest, sum/count, least)
		}
	}
}

func TestSampleParts(t *testing.T) {
	g := newGenerator(t, Settings{Width: 64, Height: 96, Seed: 8, Rotation: SlightRotation, MinOpacity: PublishedMinOpacity})
	good := drawn(64, 96, 4)
	all := newSample(64, 96)
	for index := range uint64(10) {
		if err := g.Sample(all, index, good); err != nil {
			t.Fatal(err)
		}
		for name, part := range map[string]func(s *Sample) *[]float32{
			"clean":     func(s *Sample) *[]float32 { return &s.Clean },
			"corrupted": func(s *Sample) *[]float32 { return &s.Corrupted },
			"mask":      func(s *Sample) *[]float32 { return &s.Mask },
		} {
			var only Sample
			want := *part(&all)
			*part(&only) = make([]float32, len(want))
			if err := g.Sample(only, index, good); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(*part(&only), want) {
				t.Errorf("sample %d: %s differs when asked for alone", index, name)
			}
		}
	}
}

func TestSampleFollowsFromSeedAndIndex(t *testing.T) {
	const n = 48
	make1 := func(seed uint64, goroutines int, backwards bool) []Sample {
		g := newGenerator(t, Settings{Width: 64, Height: 64, Seed: seed, Rotation: FullRotation, MinOpacity: PublishedMinOpacity})
		good := drawn(64, 64, 9)
		samples := make([]Sample, n)
		indices := make(chan int)
		var group sync.WaitGroup
		for range goroutines {
			group.Go(func() {
				for i := range indices {
					samples[i] = newSample(64, 64)
					if err := g.Sample(samples[i], uint64(i), good); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for i := range n {
			if backwards {
				i = n - 1 - i
			}
			indices <- i
		}
		close(indices)
		group.Wait()
		return samples
	}
	equal := func(a, b Sample) bool {
		return slices.Equal(a.Clean, b.Clean) && slices.Equal(a.Corrupted, b.Corrupted) && slices.Equal(a.Mask, b.Mask)
	}
	want := make1(1, 1, false)
	for _, goroutines := range []int{1, 2, 7} {
		for i, s := range make1(1, goroutines, true) {
			if !equal(s, want[i]) {
				t.Fatalf("%d goroutines, sample %d differs", goroutines, i)
			}
		}
	}
	other := make1(2, 2, false)
	for i := range n {
		if equal(want[i], other[i]) {
			t.Errorf("sample %d is the same with another seed", i)
		}
		if i > 0 && equal(want[i], want[i-1]) {
			t.Errorf("samples %d and %d are the same", i-1, i)
		}
	}
}

func TestSheet(t *testing.T) {
	g := newGenerator(t, Settings{Width: 64, Height: 32, Seed: 2, MinOpacity: PublishedMinOpacity})
	good := []*picture.RGB{drawn(64, 32, 1), drawn(64, 32, 2)}
	for _, c := range []struct{ n, width, height int }{
		{1, 24 + 3*64 + 2*8 + 24, 24 + 32 + 24},
		{3, 24 + 3*64 + 2*8 + 24, 24 + 3*32 + 2*8 + 24},
		{5, 24 + 2*(3*64+2*8+24), 24 + 3*32 + 2*8 + 24},
	} {
		sheet, err := g.Sheet(good, c.n)
		if err != nil {
			t.Fatal(err)
		}
		if sheet.Width != c.width || sheet.Height != c.height {
			t.Fatalf("%d samples: sheet of %d×%d, want %d×%d", c.n, sheet.Width, sheet.Height, c.width, c.height)
		}
		// The last sample stands where it should and equals what training gets.
		i := c.n - 1
		s := newSample(64, 32)
		if err := g.Sample(s, uint64(i), good[i%2]); err != nil {
			t.Fatal(err)
		}
		mean, std := picture.ImageNet()
		columns := 1
		if c.n > 3 {
			columns = 2
		}
		left, top := 24+i%columns*(3*64+2*8+24), 24+i/columns*(32+8)
		for k := range 3 * 64 * 32 {
			channel, x, y := k/(64*32), k%64, k/64%32
			for tile, want := range []float32{
				(s.Clean[k]*std[channel] + mean[channel]) * 255,
				(s.Corrupted[k]*std[channel] + mean[channel]) * 255,
				s.Mask[y*64+x] * 255,
			} {
				got := sheet.Pix[3*((top+y)*sheet.Width+left+tile*(64+8)+x)+channel]
				if math.Abs(float64(float32(got)-want)) > 0.501 {
					t.Fatalf("%d samples, tile %d, channel %d at (%d,%d): %d, want %v", c.n, tile, channel, x, y, got, want)
				}
			}
		}
	}
	if _, err := g.Sheet(nil, 4); err == nil {
		t.Error("a sheet without pictures")
	}
	if _, err := g.Sheet(good, 0); err == nil {
		t.Error("a sheet without samples")
	}
}

func BenchmarkSample(b *testing.B) {
	for _, r := range []Rotation{NoRotation, SlightRotation, FullRotation} {
		b.Run(r.String(), func(b *testing.B) {
			g := newGenerator(b, Settings{Width: 256, Height: 256, Rotation: r, MinOpacity: PublishedMinOpacity})
			good, s := drawn(256, 256, 1), newSample(256, 256)
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				if err := g.Sample(s, i, good); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMask(b *testing.B) {
	m := newMasker(256, 256)
	rng := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		m.draw(rng)
	}
}
