package region

import (
	"math"
	"slices"
)

// A Point is a place: x and y.
type Point [2]float64

// A Ring is a closed line through its points and back to the first one.
type Ring []Point

// A Polygon is an area: its outer border and then those of its holes. It reads and
// writes as JSON as the coordinates of a polygon in GeoJSON (RFC 7946, 3.1.6) do,
// but need not repeat a ring's first point at its end.
type Polygon []Ring

// fill sets the pixels of a mask whose centre lies in the polygon, by the even-odd
// rule, after scaling it by scaleX and scaleY.
func (p Polygon) fill(mask []uint8, width, height int, scaleX, scaleY float64, value uint8) {
	crossings := make([][]float64, height) // of the rows' centre lines with the rings
	for _, ring := range p {
		for i, to := range ring {
			from := ring[(i+len(ring)-1)%len(ring)]
			x0, y0, x1, y1 := from[0]*scaleX, from[1]*scaleY, to[0]*scaleX, to[1]*scaleY
			if y0 > y1 {
				x0, y0, x1, y1 = x1, y1, x0, y0
			}
			for y := centreFrom(y0, height); y < centreFrom(y1, height); y++ {
				crossings[y] = append(crossings[y], x0+(x1-x0)*(float64(y)+0.5-y0)/(y1-y0))
			}
		}
	}
	for y, at := range crossings {
		slices.Sort(at)
		for i := 0; i+1 < len(at); i += 2 {
			row := mask[y*width : (y+1)*width]
			for x := centreFrom(at[i], width); x < centreFrom(at[i+1], width); x++ {
				row[x] = value
			}
		}
	}
}

// centreFrom returns the first of n pixels whose centre does not lie before at, or n.
func centreFrom(at float64, n int) int {
	return int(max(0, min(math.Ceil(at-0.5), float64(n))))
}
