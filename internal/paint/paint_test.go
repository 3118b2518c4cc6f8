package paint

import (
	"testing"

	"github.com/destseg/destseg/region"
)

// TestAround checks that the mark has its size and stays inside the picture.
func TestAround(t *testing.T) {
	for _, c := range []struct {
		peak          region.Peak
		width, height int
		want          int
	}{
		{region.Peak{X: 20, Y: 20}, 41, 41, 13}, // radius 2
		{region.Peak{}, 41, 41, 6},
		{region.Peak{X: 60, Y: 2}, 100, 200, 64},
	} {
		mask, marked := around(c.peak, c.width, c.height), 0
		for _, v := range mask.Pix {
			if v != 0 {
				marked++
			}
		}
		if marked != c.want {
			t.Errorf("%+v on %d×%d: %d pixels, want %d", c.peak, c.width, c.height, marked, c.want)
		}
	}
}
