package region

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestLabelShapes(t *testing.T) {
	for _, c := range []struct {
		name string
		rows []string // '.' is background
		want []string // labels
	}{
		{"empty", []string{"..."}, []string{"000"}},
		{"diagonal", []string{"x..", ".x.", "x.."}, []string{"100", "010", "100"}},
		{"V joins late", []string{"x.x", ".x."}, []string{"101", "010"}},
		{"order", []string{"..x", "...", "x.."}, []string{"001", "000", "200"}},
		{"U", []string{"x.x.x", "x.x.x", "xxx.x"}, []string{"10102", "10102", "11102"}},
		{"spiral", []string{"xxxxx", "....x", "xxx.x", "x...x", "xxxxx"}, []string{"11111", "00001", "11101", "10001", "11111"}},
		{"no wrap", []string{"..x", "x..", "..."}, []string{"001", "200", "000"}},
	} {
		var mask []uint8
		var want []int32
		for y, row := range c.rows {
			for x := range row {
				mask = append(mask, 200*b2u(row[x] == 'x'))
				want = append(want, int32(c.want[y][x]-'0'))
			}
		}
		labels, count := Label(mask, len(c.rows[0]), len(c.rows))
		if !slices.Equal(labels, want) || count != int(slices.Max(want)) {
			t.Errorf("%s: %v, %d; want %v", c.name, labels, count, want)
		}
	}
}

func b2u(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

func TestLabelAgainstTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for _, size := range [][2]int{{1, 1}, {1, 40}, {40, 1}, {2, 2}, {2, 31}, {17, 13}, {64, 48}} {
		for _, density := range []float64{0, 0.1, 0.3, 0.45, 0.6, 0.9, 1} {
			mask := make([]uint8, size[0]*size[1])
			for i := range mask {
				mask[i] = b2u(r.Float64() < density)
			}
			want := make([]int32, len(mask))
			components := flood(mask, size[0], size[1])
			for c, pixels := range components {
				for _, p := range pixels {
					want[p] = int32(c + 1)
				}
			}
			labels, count := Label(mask, size[0], size[1])
			if count != len(components) || !slices.Equal(labels, want) {
				t.Errorf("%v at density %v: %d components, want %d", size, density, count, len(components))
			}
		}
	}
}

// flood visits every component in turn, in raster order of its first
// pixel, and returns the pixels of each.
func flood(mask []uint8, width, height int) [][]int {
	var components [][]int
	seen := make([]bool, len(mask))
	for start, m := range mask {
		if m == 0 || seen[start] {
			continue
		}
		seen[start] = true
		pixels := []int{start}
		for i := 0; i < len(pixels); i++ {
			x, y := pixels[i]%width, pixels[i]/width
			for ny := max(y-1, 0); ny <= min(y+1, height-1); ny++ {
				for nx := max(x-1, 0); nx <= min(x+1, width-1); nx++ {
					if j := ny*width + nx; mask[j] != 0 && !seen[j] {
						seen[j] = true
						pixels = append(pixels, j)
					}
				}
			}
		}
		components = append(components, pixels)
	}
	return components
}

func TestShapes(t *testing.T) {
	for _, c := range []struct{ n, width, height int }{
		{0, 0, 0}, {6, 2, 2}, {6, -2, -3}, {6, 6, 0}, {4, 1 << 62, 4}, {6, 7, 1},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v: no panic", c)
				}
			}()
			Label(make([]uint8, c.n), c.width, c.height)
		}()
	}
}

func BenchmarkLabel(b *testing.B) {
	const side = 900
	r := rand.New(rand.NewPCG(7, 7))
	blobs, noise := make([]uint8, side*side), make([]uint8, side*side)
	for i := range noise {
		x, y := i%side, i/side
		blobs[i] = b2u(x/60%3 == 0 && y/60%3 == 0)
		noise[i] = b2u(r.Float64() < 0.4)
	}
	for _, c := range []struct {
		name string
		mask []uint8
	}{{"blobs", blobs}, {"noise", noise}} {
		b.Run(fmt.Sprintf("%s-%dx%d", c.name, side, side), func(b *testing.B) {
			b.SetBytes(side * side)
			for b.Loop() {
				Label(c.mask, side, side)
			}
		})
	}
}
