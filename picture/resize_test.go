package picture

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/destseg/destseg/internal/golden"
	"github.com/destseg/destseg/weights"
)

// drawn makes the picture of testdata/golden/README.md: gradients and a
// chequerboard under noise drawn for tag.
func drawn(tag string, width, height int) *RGB {
	p := NewRGB(width, height)
	for y := range height {
		for x := range width {
			base := [3]int{255 * x / (width - 1), 255 * y / (height - 1), 160 * ((x/17 + y/13) % 2)}
			for c := range 3 {
				i := 3*(y*width+x) + c
				noise := int(64 * golden.Uniform(tag+"/noise", i))
				p.Pix[i] = uint8(min(255, 3*base[c]/4+noise))
			}
		}
	}
	return p
}

// compare fails unless the pictures are equal.
func compare(t *testing.T, got, want []uint8) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d values, want %d", len(got), len(want))
	}
	differ, worst := 0, 0
	for i := range got {
		if d := int(got[i]) - int(want[i]); d != 0 {
			differ++
			worst = max(worst, d, -d)
		}
	}
	if differ > 0 {
		t.Errorf("%d of %d values differ, by up to %d", differ, len(got), worst)
	}
}

func TestGoldenResizeAndRotate(t *testing.T) {
	vectors, err := weights.Open("../testdata/golden/images.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if len(vectors.Tensors) != 11 {
		t.Fatalf("%d vectors, want 11", len(vectors.Tensors))
	}
	for name, want := range vectors.Tensors {
		t.Run(name, func(t *testing.T) {
			parts := strings.Split(name, "/")
			var got *RGB
			switch parts[0] {
			case "resize":
				var h, w, toH, toW int
				if _, err := fmt.Sscanf(parts[1]+" "+parts[2], "%dx%d %dx%d", &h, &w, &toH, &toW); err != nil {
					t.Fatal(err)
				}
				got = drawn(parts[1], w, h).Resize(toW, toH)
			case "rotate":
				degrees, err := strconv.ParseFloat(parts[1], 64)
				if err != nil {
					t.Fatal(err)
				}
				got = drawn("rotate", 256, 256).Rotate(degrees, [3]uint8{114, 114, 114})
			}
			compare(t, got.Pix, want.Data)
			if got.Height != want.Shape[0] || got.Width != want.Shape[1] {
				t.Errorf("size %d×%d, want %v", got.Width, got.Height, want.Shape)
			}
		})
	}
}

func randomRGB(seed uint64, width, height int) *RGB {
	p := NewRGB(width, height)
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range p.Pix {
		p.Pix[i] = uint8(rng.Uint32())
	}
	return p
}

// slowResize is the definition: every output is the weighted sum of all inputs
// under a triangle, rows rounded first.
func slowResize(pix []uint8, width, height, channels, toWidth, toHeight int) []uint8 {
	pass := func(at func(i int) uint8, n, m, o int) uint8 {
		scale := float64(n) / float64(m)
		support := max(scale, 1)
		centre := (float64(o) + 0.5) * scale
		// The filter reaches from first to end; Pillow includes ends by rounding.
		first, end := max(int(centre-support+0.5), 0), min(int(centre+support+0.5), n)
		var total float64
		for i := first; i < end; i++ {
			total += max(0, 1-math.Abs((float64(i)-centre+0.5)/support))
		}
		sum := 1 << 21
		for i := first; i < end; i++ {
			weight := max(0, 1-math.Abs((float64(i)-centre+0.5)/support)) / total
			sum += int(math.Round(weight*(1<<22))) * int(at(i))
		}
		return uint8(min(sum>>22, 255))
	}
	across := make([]uint8, toWidth*height*channels)
	for y := range height {
		for x := range toWidth {
			for c := range channels {
				across[(y*toWidth+x)*channels+c] = pass(func(i int) uint8 { return pix[(y*width+i)*channels+c] }, width, toWidth, x)
			}
		}
	}
	down := make([]uint8, toWidth*toHeight*channels)
	for y := range toHeight {
		for x := range toWidth * channels {
			down[y*toWidth*channels+x] = pass(func(i int) uint8 { return across[i*toWidth*channels+x] }, height, toHeight, y)
		}
	}
	return down
}

func TestResizeAgainstDefinition(t *testing.T) {
	sizes := [][2]int{{1, 1}, {1, 7}, {5, 1}, {2, 3}, {31, 17}, {64, 9}, {3, 200}}
	for _, from := range sizes {
		for _, to := range sizes {
			t.Run(fmt.Sprint(from, to), func(t *testing.T) {
				p := randomRGB(uint64(from[0]), from[0], from[1])
				got := p.Resize(to[0], to[1])
				compare(t, got.Pix, slowResize(p.Pix, from[0], from[1], 3, to[0], to[1]))
				g := &Gray{from[0], from[1], p.Pix[:from[0]*from[1]]}
				compare(t, g.Resize(to[0], to[1]).Pix, slowResize(g.Pix, from[0], from[1], 1, to[0], to[1]))
			})
		}
	}
}

func TestResizeKeepsInputAndExtremes(t *testing.T) {
	white := NewRGB(20000, 3)
	for i := range white.Pix {
		white.Pix[i] = 255
	}
	for _, v := range white.Resize(1, 1).Pix {
		if v != 255 {
			t.Errorf("white shrank to %d", v)
		}
	}
	p := randomRGB(3, 4, 4)
	same := p.Resize(4, 4)
	compare(t, same.Pix, p.Pix)
	same.Pix[0]++
	if same.Pix[0] == p.Pix[0] {
		t.Error("a resize to the same size shares its pixels")
	}
}

func TestResizeNearest(t *testing.T) {
	g := &Gray{3, 2, []uint8{1, 2, 3, 4, 5, 6}}
	compare(t, g.ResizeNearest(6, 2).Pix, []uint8{1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6})
	compare(t, g.ResizeNearest(1, 1).Pix, []uint8{5})
	compare(t, g.ResizeNearest(2, 4).Pix, []uint8{1, 3, 1, 3, 4, 6, 4, 6})
}

func TestBinary(t *testing.T) {
	for _, test := range []struct{ in, want []uint8 }{
		{[]uint8{0, 127, 128, 255}, []uint8{0, 0, 255, 255}},
		{[]uint8{0, 1, 2, 127}, []uint8{0, 255, 255, 255}},
		{[]uint8{0, 0, 0, 0}, []uint8{0, 0, 0, 0}},
	} {
		compare(t, (&Gray{2, 2, test.in}).Binary().Pix, test.want)
	}
}

func TestTwoTone(t *testing.T) {
	soft, ramp := NewGray(50, 10), NewGray(50, 10)
	for i := range soft.Pix {
		soft.Pix[i], ramp.Pix[i] = uint8(i%7+248*(i%50/25)), uint8(i/2)
	}
	copy(soft.Pix, []uint8{60, 90, 120, 150, 180, 210})
	for _, c := range []struct {
		g    *Gray
		want bool
	}{{soft, true}, {ramp, false}, {&Gray{2, 2, []uint8{100, 100, 130, 100}}, true}, {&Gray{2, 2, []uint8{100, 100, 130, 0}}, false}} {
		if got := c.g.TwoTone(); got != c.want {
			t.Errorf("%v: %v", c.g.Pix, got)
		}
	}
}

func TestRotateNonSquareAndWholeTurns(t *testing.T) {
	p := randomRGB(1, 7, 5)
	fill := [3]uint8{1, 2, 3}
	compare(t, p.Rotate(360, fill).Pix, p.Pix)
	compare(t, p.Rotate(-180, fill).Pix, p.Rotate(180, fill).Pix)
	compare(t, p.Rotate(180, fill).Rotate(540, fill).Pix, p.Pix)
	// A quarter turn of a wide picture loses its sides to the fill.
	quarter := p.Rotate(90, fill)
	if quarter.Width != 7 || quarter.Height != 5 {
		t.Fatalf("size %d×%d", quarter.Width, quarter.Height)
	}
	compare(t, quarter.Pix[:3], fill[:])
	at := func(p *RGB, x, y int) []uint8 { return p.Pix[3*(y*p.Width+x):][:3] }
	compare(t, at(quarter, 3, 2), at(p, 3, 2))
	compare(t, at(quarter, 3, 1), at(p, 4, 2)) // anticlockwise: right goes up
}

func TestResizeMapAgainstDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for _, size := range [][4]int{{1, 1, 5, 3}, {64, 64, 256, 256}, {7, 5, 20, 31}, {20, 31, 7, 5}, {9, 4, 9, 8}, {2, 2, 3, 1}} {
		w, h, toW, toH := size[0], size[1], size[2], size[3]
		src := make([]float32, w*h)
		for i := range src {
			src[i] = rng.Float32()
		}
		dst := make([]float32, toW*toH)
		ResizeMap(src, w, h, toW, toH, dst)
		split := func(o, n, m int) (int, int, float64) {
			at := max((float64(o)+0.5)*float64(n)/float64(m)-0.5, 0)
			first := int(math.Floor(at))
			return first, min(first+1, n-1), at - float64(first)
		}
		for y := range toH {
			y0, y1, v := split(y, h, toH)
			for x := range toW {
				x0, x1, u := split(x, w, toW)
				at := func(x, y int) float64 { return float64(src[y*w+x]) }
				want := (1-v)*((1-u)*at(x0, y0)+u*at(x1, y0)) + v*((1-u)*at(x0, y1)+u*at(x1, y1))
				if got := float64(dst[y*toW+x]); math.Abs(got-want) > 1e-6 {
					t.Fatalf("%v: (%d,%d) = %v, want %v", size, x, y, got, want)
				}
			}
		}
	}
}

func BenchmarkResize900(b *testing.B) {
	p := randomRGB(1, 900, 900)
	b.SetBytes(int64(len(p.Pix)))
	for b.Loop() {
		p.Resize(256, 256)
	}
}

func BenchmarkRotate256(b *testing.B) {
	p := randomRGB(1, 256, 256)
	for b.Loop() {
		p.Rotate(3.7, [3]uint8{114, 114, 114})
	}
}

func BenchmarkResizeMap64To900(b *testing.B) {
	src, dst := make([]float32, 64*64), make([]float32, 900*900)
	for b.Loop() {
		ResizeMap(src, 64, 64, 900, 900, dst)
	}
}

func BenchmarkNormalize256(b *testing.B) {
	p := randomRGB(1, 256, 256)
	dst := make([]float32, 3*256*256)
	mean, std := ImageNet()
	for b.Loop() {
		p.Normalize(dst, mean, std)
	}
}
