package pretrain

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/destseg/destseg/picture"
)

func TestShare(t *testing.T) {
	for _, c := range []struct {
		batch   int
		weights []float64
		want    []int
	}{
		{128, []float64{100, 20, 8}, []int{100, 20, 8}},
		{10, []float64{1, 1, 1}, []int{4, 3, 3}},
		{8, []float64{1000, 1, 1}, []int{6, 1, 1}},
		{3, []float64{1e6, 1, 1}, []int{1, 1, 1}},
		{7, []float64{3}, []int{7}},
		{5, []float64{0.1, 0.1}, []int{3, 2}},
	} {
		if got := share(c.batch, c.weights); !slices.Equal(got, c.want) {
			t.Errorf("%d by %v: %v, want %v", c.batch, c.weights, got, c.want)
		}
	}
}

func TestRandomCrop(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, s := range [][2]int{{64, 64}, {200, 31}, {1, 1}, {3, 1000}} {
		least, most := math.Inf(1), 0.0
		for range 500 {
			x, y, w, h := randomCrop(s[0], s[1], 0.3, rng)
			if x < 0 || y < 0 || w < 1 || h < 1 || x+w > s[0] || y+h > s[1] {
				t.Fatalf("%v: %d×%d at (%d, %d)", s, w, h, x, y)
			}
			area := float64(w*h) / float64(s[0]*s[1])
			least, most = min(least, area), max(most, area)
			if s[0] == 64 {
				if ratio := float64(w) / float64(h); ratio < 0.73 || ratio > 1.37 {
					t.Fatalf("%d×%d", w, h)
				}
			}
		}
		if s[0] == 64 && (least < 0.28 || least > 0.34 || most < 0.9) {
			t.Errorf("areas from %v to %v", least, most)
		}
	}
}

// A crop without changes of colour, or its mirror image, holds what the picture does.
func TestCropWithoutChanges(t *testing.T) {
	p := picture.NewRGB(8, 8)
	for i := range p.Pix {
		p.Pix[i] = uint8(i)
	}
	c := newCropper(8, Recipe{MinArea: 1})
	want, got := make([]float32, 3*64), make([]float32, 3*64)
	c.whole(want, p)
	mirrored := slices.Clone(want)
	for row := range 3 * 8 {
		slices.Reverse(mirrored[8*row:][:8])
	}
	seen := map[bool]int{}
	for seed := range uint64(20) {
		c.random(got, p, rand.New(rand.NewPCG(seed, 0)))
		far := func(want []float32) float64 {
			d := 0.0
			for i := range want {
				d = max(d, math.Abs(float64(got[i]-want[i])))
			}
			return d
		}
		a, b := far(want), far(mirrored)
		if min(a, b) > 1e-5 {
			t.Fatalf("seed %d: off by %v and %v", seed, a, b)
		}
		seen[a < b]++
	}
	if len(seen) != 2 {
		t.Error("never mirrored, or always")
	}
}

func TestColourChange(t *testing.T) {
	const r, g, b = 200, 100, 50
	near := func(x, y, z, u, v, w float32) bool {
		return max(math.Abs(float64(x-u)), math.Abs(float64(y-v)), math.Abs(float64(z-w))) < 1e-3
	}
	own := grey(r, g, b)
	for _, c := range []struct {
		change  colourChange
		u, v, w float32
	}{
		{colourChange{1, 1, 1, 90}, r, g, b},
		{colourChange{1, 1, 0, 90}, own, own, own},
		{colourChange{1.5, 1, 1, 90}, 255, 150, 75},
		{colourChange{1, 0.5, 1, 90}, 145, 95, 70},
		{colourChange{1, 2, 1, 90}, 255, 110, 10},
		{colourChange{0.5, 0, 0, 90}, 45, 45, 45},
	} {
		if x, y, z := c.change.apply(r, g, b); !near(x, y, z, c.u, c.v, c.w) {
			t.Errorf("%+v: %v %v %v, want %v %v %v", c.change, x, y, z, c.u, c.v, c.w)
		}
	}
}

func BenchmarkRandomCrop96(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	p := picture.NewRGB(64, 64)
	for i := range p.Pix {
		p.Pix[i] = uint8(rng.Uint32())
	}
	c := newCropper(96, Usual(0))
	dst := make([]float32, 3*96*96)
	for b.Loop() {
		c.random(dst, p, rng)
	}
}
