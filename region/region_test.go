package region

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// smooth draws a map of hills in [0,1].
func smooth(r *rand.Rand, width, height, hills int) []float32 {
	values := make([]float32, width*height)
	for range hills {
		cx, cy := r.Float64()*float64(width), r.Float64()*float64(height)
		wide, high := 1+r.Float64()*float64(width)/4, 1+r.Float64()*float64(height)/4
		for i := range values {
			dx, dy := (float64(i%width)-cx)/wide, (float64(i/width)-cy)/high
			values[i] = max(values[i], float32(math.Exp(-dx*dx-dy*dy)))
		}
	}
	return values
}

func TestFind(t *testing.T) {
	values := []float32{
		0.9, 0.1, 0.0, 0.0, 0.0, 0.0,
		0.0, 0.8, 0.0, 0.6, 0.6, 0.6,
		0.0, 0.0, 0.0, 0.6, 0.2, 0.7,
		0.5, 0.0, 0.0, 0.6, 0.6, 0.7,
	}
	regions, mask := Find(values, 6, 4, 0.5, Settings{}) // 0.5 is not above it
	if want := []uint8{
		1, 0, 0, 0, 0, 0,
		0, 1, 0, 1, 1, 1,
		0, 0, 0, 1, 0, 1,
		0, 0, 0, 1, 1, 1,
	}; !slices.Equal(mask, want) {
		t.Errorf("mask %v", mask)
	}
	if len(regions) != 2 {
		t.Fatalf("regions %+v", regions)
	}
	diagonal, frame := regions[0], regions[1]
	if diagonal.Area != 2 || diagonal.Box != (Box{0, 0, 2, 2}) || diagonal.Peak != (Peak{0, 0, 0.9}) || math.Abs(diagonal.Mean-0.85) > 1e-7 {
		t.Errorf("%+v", diagonal)
	}
	if len(diagonal.Polygon) != 1 {
		t.Errorf("polygon %v", diagonal.Polygon)
	}
	if frame.Area != 8 || frame.Box != (Box{3, 1, 3, 3}) || frame.Peak != (Peak{5, 2, 0.7}) || math.Abs(frame.Mean-(6*0.6+2*0.7)/8) > 1e-7 {
		t.Errorf("%+v", frame)
	}
	want := Polygon{{{3, 1}, {6, 1}, {6, 4}, {3, 4}}, {{4, 3}, {5, 3}, {5, 2}, {4, 2}}}
	if len(frame.Polygon) != 2 || !sameRing(frame.Polygon[0], want[0]) || !sameRing(frame.Polygon[1], want[1]) {
		t.Errorf("polygon %v, want %v", frame.Polygon, want)
	}

	regions, mask = Find(values, 6, 4, 0.5, Settings{MinArea: 3})
	if len(regions) != 1 || regions[0].Area != 8 || slices.Contains(mask[:6], 1) {
		t.Errorf("least area 3: %+v", regions)
	}
	regions, _ = Find(values, 6, 4, 0.5, Settings{Close: 1})
	if i := slices.IndexFunc(regions, func(r Region) bool { return r.Area >= 9 && len(r.Polygon) == 1 }); i < 0 {
		t.Errorf("closed: %+v", regions)
	}
	regions, _ = Find(values, 6, 4, 0.5, Settings{Open: 1})
	if len(regions) != 1 || regions[0].Area != 3 || regions[0].Box != (Box{4, 2, 2, 2}) { // at the corner of the map, beyond which it goes on
		t.Errorf("opened: %+v", regions)
	}
	regions, mask = Find(values, 6, 4, 0.5, Settings{Close: 1, ROI: &ROI{Exclude: []Polygon{{{{4, 2}, {9, 2}, {9, 3}, {4, 3}}}}}})
	if len(regions) == 0 || mask[2*6+5] != 0 || mask[2*6+4] != 0 { // closing would have filled it
		t.Errorf("in the ROI: %+v", regions)
	}
	if regions, mask = Find(values, 6, 4, 1, Settings{}); len(regions) != 0 || slices.Contains(mask, 1) {
		t.Errorf("above 1: %+v", regions)
	}
}

// sameRing compares rings wherever they begin.
func sameRing(a, b Ring) bool {
	for range b {
		if reflect.DeepEqual(a, b) {
			return true
		}
		b = append(b[1:len(b):len(b)], b[0])
	}
	return false
}

// TestPolygons checks of random masks that the exact borders enclose just their
// pixels, and that simplified ones stray from them by at most half a pixel.
func TestPolygons(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	for _, size := range [][2]int{{1, 1}, {1, 9}, {9, 1}, {5, 4}, {13, 17}, {40, 31}} {
		for n := range 30 {
			width, height := size[0], size[1]
			mask := make([]uint8, width*height)
			if n%2 == 0 {
				for i := range mask {
					mask[i] = b2u(r.Float64() < 0.1+0.03*float64(n))
				}
			} else {
				for i, v := range smooth(r, width, height, 1+n/6) {
					mask[i] = b2u(v > 0.4)
				}
			}
			labels, count := Label(mask, width, height)
			filled, again := make([]uint8, len(mask)), make([]uint8, len(mask))
			for label, rings := range borders(labels, width, height, count) {
				clear(again)
				Polygon(rings).fill(again, width, height, 1, 1, 1)
				for i, l := range labels {
					if (int(l) == label+1) != (again[i] != 0) {
						t.Fatalf("%v: region %d is %v, its border %v encloses %v", size, label+1, labels, rings, again)
					}
					filled[i] |= again[i]
				}
				for k, ring := range rings {
					if outer := area(ring) > 0; outer != (k == 0) {
						t.Fatalf("border %d runs the other way round: %v", k, ring)
					}
					simple := simplify(ring)
					if len(simple) < 3 {
						t.Errorf("simplified to %v", simple)
					}
					if d := max(strays(ring, simple), strays(simple, ring)); d > 0.5+1e-6 {
						t.Errorf("%v strays by %.3f from %v", simple, d, ring)
					}
				}
			}
			if !slices.Equal(filled, mask) {
				t.Fatal("pixels without a region")
			}
		}
	}
}

// area is positive for a ring clockwise on the screen.
func area(ring Ring) float64 {
	var twice float64
	for i, p := range ring {
		twice += cross(p, ring[(i+1)%len(ring)])
	}
	return twice / 2
}

// strays returns how far a's points, closely spaced, lie from b at most.
func strays(a, b Ring) float64 {
	var most float64
	for i, from := range a {
		to := a[(i+1)%len(a)]
		steps := int(8*math.Hypot(to[0]-from[0], to[1]-from[1])) + 1
		for k := range steps {
			f := float64(k) / float64(steps)
			p := Point{from[0] + f*(to[0]-from[0]), from[1] + f*(to[1]-from[1])}
			least := math.Inf(1)
			for j, q := range b {
				least = min(least, distance(p, q, b[(j+1)%len(b)]))
			}
			most = max(most, least)
		}
	}
	return most
}

// distance returns that of a point from the line between two.
func distance(p, a, b Point) float64 {
	dx, dy := b[0]-a[0], b[1]-a[1]
	f := 0.0
	if square := dx*dx + dy*dy; square > 0 {
		f = max(0, min(1, ((p[0]-a[0])*dx+(p[1]-a[1])*dy)/square))
	}
	return math.Hypot(p[0]-a[0]-f*dx, p[1]-a[1]-f*dy)
}

// TestSimplify checks that polygons are as simple as their shapes are.
func TestSimplify(t *testing.T) {
	shape := func(width, height int, in func(x, y float64) bool) Ring {
		mask := make([]uint8, width*height)
		for i := range mask {
			mask[i] = b2u(in(float64(i%width)+0.5, float64(i/width)+0.5))
		}
		labels, count := Label(mask, width, height)
		return borders(labels, width, height, count)[0][0]
	}
	for _, test := range []struct {
		name  string
		ring  Ring
		sides int // at most
	}{
		{"pixel", shape(1, 1, func(x, y float64) bool { return true }), 4},
		{"rectangle", shape(30, 20, func(x, y float64) bool { return x > 3 && x < 27 && y > 5 && y < 11 }), 4},
		{"line", shape(30, 30, func(x, y float64) bool { return y > 10 && y < 11 }), 4},
		{"diamond", shape(60, 60, func(x, y float64) bool { return math.Abs(x-30)+math.Abs(y-30) < 25 }), 16},
		{"triangle", shape(200, 100, func(x, y float64) bool { return y < 90 && y > 10 && 3*y > x }), 7},
		{"circle", shape(100, 100, func(x, y float64) bool { return math.Hypot(x-50, y-50) < 40 }), 60},
	} {
		simple := simplify(test.ring)
		if len(simple) > test.sides {
			t.Errorf("%s: %d sides %v, want at most %d", test.name, len(simple), simple, test.sides)
		}
		if got, want := area(simple), area(test.ring); math.Abs(got/want-1) > 0.02 {
			t.Errorf("%s: area %v, want %v", test.name, got, want)
		}
	}
}

// TestMorphology compares with the definition.
func TestMorphology(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for _, size := range [][2]int{{1, 1}, {1, 12}, {12, 1}, {19, 14}} {
		width, height := size[0], size[1]
		for _, radius := range []float64{0.5, 1, 1.5, 2, 3.7, 12} {
			for _, density := range []float64{0, 0.05, 0.5, 0.95, 1} {
				mask, grown, shrunk := make([]uint8, width*height), make([]uint8, width*height), make([]uint8, width*height)
				for i := range mask {
					mask[i] = b2u(r.Float64() < density)
				}
				for i := range mask {
					shrunk[i] = 1
					for j, m := range mask {
						if math.Hypot(float64(i%width-j%width), float64(i/width-j/width)) <= radius {
							grown[i] = max(grown[i], m)
							shrunk[i] = min(shrunk[i], m)
						}
					}
				}
				// By the definition of closing on an endless plane: a pixel stays clear
				// if a disc around some place covers it and no set pixel.
				shut := make([]uint8, len(mask))
				margin := int(radius) + 1
				for i := range mask {
					shut[i] = 1
					for y := -margin; y < height+margin && shut[i] == 1; y++ {
						for x := -margin; x < width+margin && shut[i] == 1; x++ {
							if math.Hypot(float64(i%width-x), float64(i/width-y)) <= radius && !touches(mask, width, x, y, radius) {
								shut[i] = 0
							}
						}
					}
				}
				if got := closed(mask, width, height, radius); !slices.Equal(got, shut) {
					t.Errorf("%v closed by %v: %v, want %v", mask, radius, got, shut)
				}
				if got := dilate(mask, width, height, radius); !slices.Equal(got, grown) {
					t.Errorf("%v dilated by %v: %v, want %v", mask, radius, got, grown)
				}
				if got := erode(mask, width, height, radius); !slices.Equal(got, shrunk) {
					t.Errorf("%v eroded by %v: %v, want %v", mask, radius, got, shrunk)
				}
			}
		}
	}
}

// touches reports whether a disc reaches a set pixel.
func touches(mask []uint8, width, x, y int, radius float64) bool {
	for j, m := range mask {
		if m != 0 && math.Hypot(float64(x-j%width), float64(y-j/width)) <= radius {
			return true
		}
	}
	return false
}

func TestSettingsCheck(t *testing.T) {
	for _, s := range []Settings{{Open: -1}, {Close: math.NaN()}, {Open: 1001}, {MinArea: -1}} {
		if err := s.Check(); !errors.Is(err, ErrSettings) {
			t.Errorf("%+v: %v", s, err)
		}
	}
	if err := (Settings{ROI: &ROI{}}).Check(); !errors.Is(err, ErrROI) {
		t.Error(err)
	}
	if err := (Settings{Open: 3, Close: 2.5, MinArea: 9}).Check(); err != nil {
		t.Error(err)
	}
}

func BenchmarkFind(b *testing.B) {
	const side = 900
	values := smooth(rand.New(rand.NewPCG(10, 10)), side, side, 12)
	b.SetBytes(side * side)
	for b.Loop() {
		Find(values, side, side, 0.4, Settings{Open: 3, Close: 3, MinArea: 20})
	}
}
