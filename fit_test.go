package destseg

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/picture"
)

func TestWindows(t *testing.T) {
	for _, c := range []struct {
		n, size, overlap int
		want             []int
	}{
		{1, 64, 0, []int{0}}, {64, 64, 16, []int{0}}, {65, 64, 16, []int{0, 4}},
		{128, 64, 0, []int{0, 64}}, {130, 64, 0, []int{0, 64, 68}}, {300, 64, 32, []int{0, 32, 64, 96, 128, 160, 192, 224, 236}},
	} {
		got := windows(c.n, c.size, c.overlap)
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v", c, got)
		}
		// Between windows the weights add up to one where two meet as meant.
		all := ramps(got, c.size, c.overlap)
		for i := range all {
			for k, weight := range all[i] {
				if weight <= 0 || weight > 1 {
					t.Errorf("%+v: weight %v", c, weight)
				}
				at := got[i] + network.MapStride*k
				alone := true
				for j := range got {
					alone = alone && (j == i || at < got[j] || at >= got[j]+c.size)
				}
				if alone && weight != 1 {
					t.Errorf("%+v: weight %v where there is no neighbour", c, weight)
				}
			}
		}
	}
}

func open(t *testing.T, fit Preprocessing) *Detector {
	t.Helper()
	r := testRecord(64, 64)
	r.Preprocessing = fit
	return newDetector(t, r)
}

// TestTiles checks that the map of a large picture is, where only one tile lies, that of
// the tile inspected alone, at any scale, and in the overlap between those of the tiles.
func TestTiles(t *testing.T) {
	alone := open(t, StandardPreprocessing(64, 64))
	for _, c := range []struct{ width, height, tile, overlap int }{
		{150, 64, 64, 0}, {300, 128, 128, 32}, {170, 130, 64, 16},
	} {
		if testing.Short() && c.width > 150 {
			continue // the plain engine takes seconds for each
		}
		how := StandardPreprocessing(64, 64)
		how.Fit, how.Tile, how.Overlap = picture.Tiles, c.tile, c.overlap
		p := noise(7, c.width, c.height)
		in, err := open(t, how).InspectRGB(p)
		if err != nil {
			t.Fatal(err)
		}
		scale := c.tile / 64
		wide, high := c.width/scale, c.height/scale
		if in.scaledWidth != wide || in.scaledHeight != high {
			t.Errorf("%+v: seen at %d×%d", c, in.scaledWidth, in.scaledHeight)
		}
		small := p
		if scale != 1 {
			small = p.Resize(wide, high)
		}
		columns, rows := windows(wide, 64, c.overlap/scale), windows(high, 64, c.overlap/scale)
		if len(columns)*len(rows) < 2 {
			t.Fatalf("%+v: one tile", c)
		}
		type span struct{ low, high float32 }
		limits := make([]span, wide*high)
		for i := range limits {
			limits[i] = span{math.MaxFloat32, -math.MaxFloat32}
		}
		count := make([]int, wide*high)
		values := in.Map(wide, high)
		for _, y := range rows {
			for _, x := range columns {
				one, err := alone.InspectRGB(small.Window(x, y, 64, 64))
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range one.Map(64, 64) {
					if px, py := x+i%64, y+i/64; px < wide && py < high {
						at := py*wide + px
						limits[at].low, limits[at].high = min(limits[at].low, v), max(limits[at].high, v)
						count[at]++
					}
				}
			}
		}
		// Between two cells of a map, of which one also belongs to a neighbour, the
		// interpolation already looks at that one.
		near := func(at int) bool {
			x, y := at%wide, at/wide
			for ny := max(y-4, 0); ny <= min(y+4, high-1); ny++ {
				for nx := max(x-4, 0); nx <= min(x+4, wide-1); nx++ {
					if count[ny*wide+nx] > 1 {
						return true
					}
				}
			}
			// And beyond a border of a tile it looks at the next tile instead of repeating.
			for _, b := range columns[1:] {
				if x > b-4 && x < b+4 {
					return true
				}
			}
			for _, b := range rows[1:] {
				if y > b-4 && y < b+4 {
					return true
				}
			}
			return false
		}
		inside := 0
		for at, v := range values {
			switch l := limits[at]; {
			case count[at] == 0:
				t.Fatalf("%+v: no tile at %d", c, at)
			case !near(at):
				inside++
				if v != l.low {
					t.Fatalf("%+v: %v at %d, %d, alone %v", c, v, at%wide, at/wide, l.low)
				}
			}
		}
		if inside < wide*high/8 {
			t.Errorf("%+v: only %d of %d pixels compared", c, inside, wide*high)
		}
	}
}

// TestPad checks that a picture keeps its shape and that what it is filled up with
// enters nothing.
func TestPad(t *testing.T) {
	how := StandardPreprocessing(64, 64)
	stretching := open(t, how)
	how.Fit = picture.Pad
	d := open(t, how)
	p := noise(9, 150, 61)
	in, err := d.InspectRGB(p)
	if err != nil {
		t.Fatal(err)
	}
	filled, err := stretching.InspectRGB(p.Resize(64, 26).Window(0, 0, 64, 64))
	if err != nil {
		t.Fatal(err)
	}
	want := filled.Map(64, 64)[:24*64] // the last cell of 4 is half of the picture
	if got := in.Map(64, 26)[:24*64]; !slices.Equal(got, want) {
		t.Error("the map differs from that of the picture filled up")
	}
	if in.Score != scoreOf(in.Map(64, 26), nil) {
		t.Errorf("score %v, of the picture %v", in.Score, scoreOf(in.Map(64, 26), nil))
	}
	if at := in.Peak(); at.X >= 150 || at.Y >= 61 {
		t.Errorf("peak %+v", at)
	}
	if values := in.Map(150, 61); len(values) != 150*61 {
		t.Errorf("%d values", len(values))
	}
	square, err := d.InspectRGB(noise(9, 64, 64))
	if err != nil {
		t.Fatal(err)
	}
	stretched, err := stretching.InspectRGB(noise(9, 64, 64))
	if err != nil {
		t.Fatal(err)
	}
	if square.Score != stretched.Score {
		t.Errorf("a picture of the network's shape scores %v padded and %v stretched", square.Score, stretched.Score)
	}
}

func TestTilesRefused(t *testing.T) {
	for _, c := range []struct{ tile, overlap int }{{0, 0}, {64, 33}, {64, -1}, {MaxTile + 1, 0}, {15, 0}} {
		how := StandardPreprocessing(64, 64)
		how.Fit, how.Tile, how.Overlap = picture.Tiles, c.tile, c.overlap
		if err := how.check(); err == nil || !strings.Contains(err.Error(), "tiles of") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	how := StandardPreprocessing(64, 64)
	how.Fit, how.Tile = picture.Tiles, 16
	tall := &picture.RGB{Width: 1, Height: 1 << 25, Pix: make([]uint8, 3<<25)}
	if _, err := open(t, how).InspectRGB(tall); !errors.Is(err, picture.ErrTooLarge) || !errors.Is(err, ErrPicture) {
		t.Errorf("a picture that becomes too large: %v", err)
	}
}
