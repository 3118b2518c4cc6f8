package demoset

import "math"

// The studio is what polished metal mirrors. A direction is the surface normal that mirrors it to the
// camera, as an angle vector: length is the tilt from the camera's axis in radians, so that 45° mirrors
// the horizon.
type studio struct {
	key, fill softbox
	ceiling   rgb
	gain      float64
}

// A softbox is a rectangular light with soft edges.
type softbox struct {
	x, y         float64 // its middle
	ux, uy       float64 // unit vector along its long side
	long, across float64 // half its sides
	soft         float64 // width of its edge
	light        rgb
}

func (s *softbox) at(x, y float64) rgb {
	x, y = x-s.x, y-s.y
	a, b := math.Abs(x*s.ux+y*s.uy), math.Abs(x*s.uy-y*s.ux)
	return s.light.times((1 - smooth(s.long-s.soft, s.long+s.soft, a)) * (1 - smooth(s.across-s.soft, s.across+s.soft, b)))
}

// at returns the light mirrored by a normal.
func (s *studio) at(x, y float64) rgb {
	tilt := math.Sqrt(x*x + y*y)
	sky := 1 - smooth(0.55, 0.95, tilt)
	// The ceiling is brighter towards the key light, and the camera hides a patch of it.
	v := sky * (0.8 - 0.45*x - 0.6*y) * (1 - 0.35*(1-smooth(0.05, 0.28, tilt)))
	out := s.ceiling.times(v)
	out = out.plus(rgb{0.030, 0.028, 0.027}) // what the bench throws back
	if sky > 0 {
		out = out.plus(s.key.at(x, y)).plus(s.fill.at(x, y))
	}
	return out.times(s.gain)
}

// Turned metal is covered with fine circular grooves, so at each point its normals fan out in a plane: it
// mirrors a streak of the studio, not a point. fanTaps points of a Gaussian stand for the fan.
const fanTaps = 15

// fan returns the light mirrored by grooves across (ux, uy) around the normal (x, y).
func (s *studio) fan(x, y, ux, uy, spread float64) rgb {
	var sum rgb
	var total float64
	for i := range fanTaps {
		t := (float64(i)/(fanTaps-1)*2 - 1) * 2.4
		w := math.Exp(-t * t / 2)
		sum = sum.plus(s.at(x+t*spread*ux, y+t*spread*uy).times(w))
		total += w
	}
	return sum.times(1 / total)
}

// A fanTable holds fan for circular grooves, by azimuth and by tilt away from the circle's centre.
type fanTable struct {
	pix [fanTurns * fanTilts]rgb
}

const (
	fanTurns = 128
	fanTilts = 160
	fanReach = 1.45 // largest tilt in the table, radians
)

func newFanTable(s *studio, spread float64) *fanTable {
	const step = 2 * fanReach / (fanTilts - 1)
	half := int(2.4 * spread / step)
	weights := make([]float32, 2*half+1)
	var total float32
	for i := range weights {
		t := float64(i-half) * step / spread
		weights[i] = float32(math.Exp(-t * t / 2))
		total += weights[i]
	}
	line := make([]rgb, fanTilts+2*half)
	t := new(fanTable)
	for a := range fanTurns {
		sin, cos := math.Sincos(2 * math.Pi * float64(a) / fanTurns)
		for i := range line {
			tilt := -fanReach + float64(i-half)*step
			line[i] = s.at(tilt*cos, tilt*sin)
		}
		for i := range fanTilts {
			var r, g, b float32
			for k, w := range weights {
				p := &line[i+k]
				r, g, b = r+w*p[0], g+w*p[1], b+w*p[2]
			}
			t.pix[a*fanTilts+i] = rgb{r / total, g / total, b / total}
		}
	}
	return t
}

// at interpolates. The turn is the azimuth in parts of a full circle, at least 0; the tilt is in radians.
func (t *fanTable) at(turn, tilt float64) rgb {
	a := turn * fanTurns
	b := (min(max(tilt, -fanReach), fanReach) + fanReach) * ((fanTilts - 1.001) / (2 * fanReach))
	i, j := int(a), int(b)
	fa, fb := float32(a-float64(i)), float32(b-float64(j))
	p := t.pix[(i%fanTurns)*fanTilts+j:][:2]
	q := t.pix[((i+1)%fanTurns)*fanTilts+j:][:2]
	var out rgb
	for c := range 3 {
		u := p[0][c] + (p[1][c]-p[0][c])*fb
		v := q[0][c] + (q[1][c]-q[0][c])*fb
		out[c] = u + (v-u)*fa
	}
	return out
}
