package region

import (
	"math"
	"slices"
)

const (
	// tolerance is how far a simplified border may stray from the border, in pixels,
	// with a little for rounding.
	tolerance = 0.5 + 1e-9
	// longest is how many places a side passes at most, so that very long staircases
	// take a time in proportion to their length.
	longest = 2048
	// areaCost is what one pixel of area gained or lost along a side costs, in
	// sides. It makes sides run along the middle of staircases, which costs next to
	// nothing, and keeps the corners of rectangles down to a single pixel.
	areaCost = 4
)

// simplify returns the polygon with the least cost among those whose vertices are
// the first corner and any corners and middles of edges of a border, and that nowhere
// stray from it by more than half a pixel. The cost is the number of sides and the
// area that each gains or loses.
func simplify(border Ring) Ring {
	// places are the corners at even indexes and the middles of the edges between
	// them; the last one is the first corner again.
	places := make([]Point, 0, 2*len(border)+1)
	for i, p := range border {
		next := border[(i+1)%len(border)]
		places = append(places, p, Point{(p[0] + next[0]) / 2, (p[1] + next[1]) / 2})
	}
	places = append(places, border[0])

	cost := slices.Repeat([]float64{math.Inf(1)}, len(places)) // of the cheapest way from the first place
	from := make([]int, len(places))                           // the last place but one of that way
	cost[0] = 0
	for i := range places {
		s := side{from: places[i]}
		for j := i + 1; j < min(len(places), i+longest); j++ {
			// Between neighbours there is no corner.
			if j > i+1 && (j-1)%2 == 0 && !s.pass(places[j-1]) {
				break
			}
			if area, ok := s.to(places[j]); ok && cost[i]+1+areaCost*area < cost[j] {
				cost[j], from[j] = cost[i]+1+areaCost*area, i
			}
		}
	}
	var ring Ring
	for j := len(places) - 1; j > 0; j = from[j] {
		ring = append(ring, places[from[j]])
	}
	slices.Reverse(ring)
	return ring
}

// A side grows from a place over the corners that follow, and knows the directions
// in which it passes all of them within the tolerance.
type side struct {
	from        Point
	bounded     bool
	first, last Point   // directions that bound it, from first to last to the right on the screen
	farthest    float64 // square of the distance of a corner

	corner Point   // the last one, relative to from
	twice  float64 // the area between the corners and from, signed, two times
}

// pass takes a corner and reports whether any direction is left.
func (s *side) pass(corner Point) bool {
	x, y := corner[0]-s.from[0], corner[1]-s.from[1]
	s.twice += cross(s.corner, Point{x, y})
	s.corner = Point{x, y}
	square := x*x + y*y
	s.farthest = max(s.farthest, square)
	if square <= tolerance*tolerance {
		return true // any direction passes it
	}
	// The tangents from the place to the circle around the corner.
	sin := tolerance / math.Sqrt(square)
	cos := math.Sqrt(1 - sin*sin)
	first := Point{x*cos + y*sin, y*cos - x*sin}
	last := Point{x*cos - y*sin, y*cos + x*sin}
	if !s.bounded {
		s.bounded, s.first, s.last = true, first, last
		return true
	}
	if x*(s.first[0]+s.last[0])+y*(s.first[1]+s.last[1]) <= 0 {
		return false // it lies behind
	}
	if cross(s.first, first) > 0 {
		s.first = first
	}
	if cross(s.last, last) < 0 {
		s.last = last
	}
	return cross(s.first, s.last) >= 0
}

// to returns the area between the corners and the side that ends at a place, what
// lies on one side of it less what lies on the other, if the side passes all corners.
func (s *side) to(place Point) (area float64, ok bool) {
	d := Point{place[0] - s.from[0], place[1] - s.from[1]}
	length := d[0]*d[0] + d[1]*d[1]
	if length == 0 || length < s.farthest {
		return 0, false
	}
	if s.bounded && (cross(s.first, d) < 0 || cross(d, s.last) < 0 || d[0]*(s.first[0]+s.last[0])+d[1]*(s.first[1]+s.last[1]) <= 0) {
		return 0, false
	}
	return math.Abs(s.twice+cross(s.corner, d)) / 2, true
}

// cross is positive if b lies to the right of a on the screen.
func cross(a, b Point) float64 { return a[0]*b[1] - a[1]*b[0] }
