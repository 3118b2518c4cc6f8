package demoset

import (
	"math"
	"math/rand/v2"
)

type point struct{ x, y float64 }

// A stroke is a curve with a width, flattened into straight pieces.
type stroke struct {
	at    []point
	half  []float64 // half the width at each point
	reach rectangle // holds the stroke and its width
}

// newStroke flattens the cubic Bézier curve of the four points; width gives half the width for t from 0 to 1.
func newStroke(p [4]point, pieces int, width func(t float64) float64) stroke {
	s := stroke{reach: rectangle{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}}
	for i := range pieces + 1 {
		t := float64(i) / float64(pieces)
		u := 1 - t
		a, b, c, d := u*u*u, 3*u*u*t, 3*u*t*t, t*t*t
		q := point{a*p[0].x + b*p[1].x + c*p[2].x + d*p[3].x, a*p[0].y + b*p[1].y + c*p[2].y + d*p[3].y}
		w := width(t)
		s.at, s.half = append(s.at, q), append(s.half, w)
		s.reach = s.reach.union(around(q.x, q.y, w))
	}
	return s
}

// bend returns control points of a gentle curve of the given length from (x, y) in the given direction.
func bend(rng *rand.Rand, x, y, angle, length, curl float64) [4]point {
	var p [4]point
	p[0] = point{x, y}
	for i := 1; i < 4; i++ {
		p[i] = point{p[i-1].x + math.Cos(angle)*length/3, p[i-1].y + math.Sin(angle)*length/3}
		angle += curl * rng.NormFloat64()
	}
	return p
}

// near returns the signed distance of (x, y) from the stroke's line, the half width there, the unit
// direction of the line and how far along it that is, 0 to 1.
func (s *stroke) near(x, y float64) (dist, half float64, dir point, along float64) {
	best := math.Inf(1)
	for i := range len(s.at) - 1 {
		a, b := s.at[i], s.at[i+1]
		dx, dy := b.x-a.x, b.y-a.y
		t := ((x-a.x)*dx + (y-a.y)*dy) / (dx*dx + dy*dy)
		t = min(max(t, 0), 1)
		ex, ey := x-a.x-t*dx, y-a.y-t*dy
		if d := ex*ex + ey*ey; d < best {
			best = d
			half = s.half[i] + t*(s.half[i+1]-s.half[i])
			dir = point{dx, dy}
			along = (float64(i) + t) / float64(len(s.at)-1)
			dist = dx*ey - dy*ex
		}
	}
	l := math.Hypot(dir.x, dir.y)
	return math.Copysign(math.Sqrt(best), dist), half, point{dir.x / l, dir.y / l}, along
}

// faintest is the least value of a blob's field at which anything may be drawn.
const faintest = 0.45

// A blob is a smooth shape: the sum of its balls' fields, cut about where it passes 1.
type blob struct {
	balls []ball
	reach rectangle
}

type ball struct{ x, y, r float64 }

// newBlob gathers balls of about radius r around (x, y).
func newBlob(rng *rand.Rand, x, y, r float64) blob {
	var b blob
	var sum float64
	for i := range 4 + rng.IntN(4) {
		q := ball{x, y, r * uniform(rng, 0.45, 0.7)}
		if i > 0 {
			a, d := rng.Float64()*2*math.Pi, r*uniform(rng, 0.5, 1.1)
			q = ball{x + d*math.Cos(a), y + d*math.Sin(a), r * uniform(rng, 0.15, 0.5)}
		}
		b.balls = append(b.balls, q)
		sum += q.r * q.r
	}
	// Farther than this from every ball the field is below faintest.
	far := math.Sqrt(sum / faintest)
	b.reach = around(x, y, far)
	for _, q := range b.balls {
		b.reach = b.reach.union(around(q.x, q.y, far))
	}
	return b
}

// field is 1 on the blob's outline, more inside, less outside.
func (b *blob) field(x, y float64) float64 {
	var f float64
	for _, q := range b.balls {
		dx, dy := x-q.x, y-q.y
		f += q.r * q.r / (dx*dx + dy*dy + 0.15*q.r*q.r)
	}
	return f
}

func uniform(rng *rand.Rand, lo, hi float64) float64 { return lo + (hi-lo)*rng.Float64() }

// smooth rises from 0 at lo to 1 at hi with flat ends.
func smooth(lo, hi, v float64) float64 {
	t := min(max((v-lo)/(hi-lo), 0), 1)
	return t * t * (3 - 2*t)
}

const tileSide = 64

// A tile is smooth random texture that repeats every tileSide units, with values from 0 to 1.
type tile [tileSide * tileSide]float32

func newTile(rng *rand.Rand) *tile {
	t := new(tile)
	for i := range t {
		t[i] = rng.Float32()
	}
	return t
}

func (t *tile) at(x, y float64) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	tx, ty := x-fx, y-fy
	tx, ty = tx*tx*(3-2*tx), ty*ty*(3-2*ty)
	x0, y0 := int(fx)&(tileSide-1), int(fy)&(tileSide-1)
	x1, y1 := (x0+1)&(tileSide-1), (y0+1)&(tileSide-1)
	a, b := float64(t[y0*tileSide+x0]), float64(t[y0*tileSide+x1])
	c, d := float64(t[y1*tileSide+x0]), float64(t[y1*tileSide+x1])
	a += (b - a) * tx
	c += (d - c) * tx
	return a + (c-a)*ty
}

// wander returns a smooth random line of n values, about ±1, with a new random value every step values.
func wander(rng *rand.Rand, n int, step float64) []float32 {
	out := make([]float32, n)
	offset := rng.Float64()
	a, b := rng.NormFloat64(), rng.NormFloat64()
	knot := 0
	for i := range out {
		at := float64(i)/step + offset
		for int(at) > knot {
			knot++
			a, b = b, rng.NormFloat64()
		}
		t := at - math.Floor(at)
		out[i] = float32(a + (b-a)*t*t*(3-2*t))
	}
	return out
}
