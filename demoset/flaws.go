package demoset

import (
	"math"
	"math/rand/v2"
)

// flaws are what is wrong with a flange, in coordinates from its middle.
type flaws struct {
	reach rectangle // holds them all; empty on a good part

	stains  blob
	soil    rgb     // what the stain lets through
	soft    float64 // how gradually it ends
	edge    float64 // how much darker its outline is
	groove  stroke  // the scratch
	depth   float64 // of the scratch: tilt of its flanks in radians
	dents   []dent
	missing int     // the bolt hole not drilled, or -1
	spot    float64 // radius of the spot drilled in its place
	bites   []ball  // what broke off
	sliver  stroke  // the burr
}

// A dent is an elliptic dimple: height −deep·(1−q)·exp(−q), q the squared distance in radii, so that its rim stands up.
type dent struct {
	x, y, cos, sin float64
	rx, ry         float64
	deep           float64
}

// spoil implements part.
func (f *flange) spoil(rng *rand.Rand, defect Defect, severity float64) (part, rectangle) {
	bad := *f
	w := &bad.flaws
	angle := rng.Float64() * 2 * math.Pi
	sin, cos := math.Sincos(angle)
	face := uniform(rng, 0.26, 0.40)
	if rng.IntN(5) == 0 {
		face = uniform(rng, 0.13, 0.17) // on the hub
	}
	x, y := face*cos, face*sin
	if defect == Dent || defect == Scratch {
		// Between two bolt holes, where there is metal to show it.
		for _, _, _, d := f.nearestHole(x, y); d < 0.10; _, _, _, d = f.nearestHole(x, y) {
			angle = rng.Float64() * 2 * math.Pi
			sin, cos = math.Sincos(angle)
			x, y = face*cos, face*sin
		}
	}
	scale := func(subtle, obvious float64) float64 { return subtle + (obvious-subtle)*severity }

	switch defect {
	case Stain:
		w.stains = newBlob(rng, x, y, scale(0.026, 0.095)*uniform(rng, 0.8, 1.2))
		tint := [...]rgb{{0.62, 0.42, 0.20}, {0.40, 0.38, 0.36}, {0.45, 0.50, 0.66}}[rng.IntN(3)]
		w.soil = rgb{1, 1, 1}.mix(tint, scale(0.30, 0.95))
		w.soft = uniform(rng, 0.08, 0.40)
		w.edge = uniform(rng, 0, 0.05) / w.soft // a blurred stain has dried without a rim
		w.reach = w.stains.reach
	case Scratch:
		half := scale(0.0024, 0.0050)
		skips := wander(rng, 33, 4)
		length := scale(0.07, 0.36) * uniform(rng, 0.8, 1.2)
		p := bend(rng, x, y, rng.Float64()*2*math.Pi, length, scale(0.25, 0.12))
		// The place drawn is the curve's middle, so that it stays on the part.
		mx, my := (p[3].x-p[0].x)/2, (p[3].y-p[0].y)/2
		for i := range p {
			p[i].x -= mx
			p[i].y -= my
		}
		w.groove = newStroke(p, 32, func(t float64) float64 {
			return half * (0.6 + 0.4*smooth(0, 0.2, t)*(1-smooth(0.55, 1, t))) * (1 + 0.2*float64(skips[int(t*32)]))
		})
		w.depth = scale(0.35, 0.75)
		w.reach = w.groove.reach.grown(2.5 * half)
	case Dent:
		for i := range 1 + rng.IntN(2) {
			r := scale(0.013, 0.042)
			if i > 0 {
				r *= uniform(rng, 0.4, 0.7)
			}
			a := rng.Float64() * 2 * math.Pi
			d := dent{x: x, y: y, cos: math.Cos(a), sin: math.Sin(a), rx: r, ry: r * uniform(rng, 0.6, 1)}
			if i > 0 {
				d.x += 0.06 * math.Cos(a)
				d.y += 0.06 * math.Sin(a)
			}
			d.deep = d.ry * scale(0.12, 0.32)
			w.dents = append(w.dents, d)
			if i == 0 {
				w.reach = around(d.x, d.y, 3*r)
			}
			w.reach = w.reach.union(around(d.x, d.y, 3*r))
		}
	case MissingHole:
		w.missing = rng.IntN(boltHoles)
		if severity < 0.5 {
			w.spot = uniform(rng, 0.008, 0.016)
		}
		h := f.holes[w.missing]
		w.reach = around(h.x, h.y, sinkRadius+0.01)
	case Chip:
		edge := rimRadius
		if rng.IntN(4) == 0 {
			edge = boreRadius
		}
		size := scale(0.018, 0.056)
		w.reach = around(edge*cos, edge*sin, size)
		out := 0.1
		if edge == boreRadius {
			out = -out
		}
		for range 3 + rng.IntN(4) {
			a := angle + 1.3*size/edge*uniform(rng, -1, 1)
			b := ball{r: size * uniform(rng, 0.4, 1)}
			b.x, b.y = (edge+out*b.r)*math.Cos(a), (edge+out*b.r)*math.Sin(a)
			w.bites = append(w.bites, b)
			w.reach = w.reach.union(around(b.x, b.y, b.r+0.01))
		}
	case Burr:
		hx, hy, r := 0.0, 0.0, boreRadius
		if rng.IntN(3) == 0 {
			h := f.holes[rng.IntN(boltHoles)]
			hx, hy, r = h.x, h.y, holeRadius
		}
		half := scale(0.0050, 0.0100)
		lean := uniform(rng, 0.5, 1.1)
		if rng.IntN(2) == 0 {
			lean = -lean
		}
		p := bend(rng, hx+1.03*r*cos, hy+1.03*r*sin, angle+math.Pi+lean, min(scale(0.035, 0.10), 1.4*r), 0.35)
		w.sliver = newStroke(p, 16, func(t float64) float64 { return half * (1 - 0.85*t) })
		w.reach = w.sliver.reach.grown(0.003)
	}
	where := w.reach.grown(0.01) // the lens spreads what changes
	return &bad, rectangle{
		where.x0*f.scale + f.cx, where.y0*f.scale + f.cy,
		where.x1*f.scale + f.cx, where.y1*f.scale + f.cy,
	}
}

// burr returns the light from the burr, if it covers the point.
func (f *flange) burr(x, y float64) (rgb, bool) {
	if len(f.flaws.sliver.at) == 0 {
		return rgb{}, false
	}
	dist, half, dir, _ := f.flaws.sliver.near(x, y)
	if math.Abs(dist) >= half {
		return rgb{}, false
	}
	// A thin rolled strip: its normal leans to both sides.
	lean := 0.9 * dist / half
	return f.studio.fan(-dir.y*lean, dir.x*lean, -dir.y, dir.x, 0.25).times(0.95), true
}

// flawed returns the light from a point of the metal that defects may change. The normal leans by tilt along (tx, ty);
// (dx, dy) is the way from the middle of the nearest bolt hole, k, and d its length.
func (f *flange) flawed(x, y, tx, ty, tilt, tone float64, k int, dx, dy, d float64) rgb {
	w := &f.flaws
	if depth := w.bitten(x, y, f.texture); depth > 0 {
		return f.broken(x, y, depth)
	}
	if k == w.missing && d < w.spot {
		// Only the drill's point has touched the metal.
		tx, ty, tilt, tone = dx, dy, -0.55, tone*(0.55+0.45*d/w.spot)
	}
	light := f.turned.at(turnOf(tx, ty), tilt)
	l := math.Sqrt(tx*tx+ty*ty) + 1e-9
	ux, uy := tx/l, ty/l
	nx, ny := tilt*ux, tilt*uy

	var gx, gy float64
	for _, d := range w.dents {
		u, v := (x-d.x)*d.cos+(y-d.y)*d.sin, (y-d.y)*d.cos-(x-d.x)*d.sin
		u, v = u/d.rx, v/d.ry
		q := u*u + v*v
		if q > 8 {
			continue
		}
		slope := 2 * d.deep * (2 - q) * math.Exp(-q)
		gu, gv := slope*u/d.rx, slope*v/d.ry
		gx += gu*d.cos - gv*d.sin
		gy += gu*d.sin + gv*d.cos
	}
	if gx*gx+gy*gy > 1e-5 {
		light = f.studio.fan(nx-gx, ny-gy, ux, uy, f.spread)
	}
	if len(w.groove.at) > 0 {
		// The flanks of the groove lean inwards, and it has lost the tool's marks and mirrors along its own; the lips
		// it threw up lean outwards.
		dist, half, dir, _ := w.groove.near(x, y)
		u := dist / half
		px, py := -dir.y, dir.x
		switch a := math.Abs(u); {
		case a < 1:
			lean := -2.6 * w.depth * u * (1 - u*u)
			light = light.mix(f.studio.fan(lean*px, lean*py, px, py, 0.10), 1-smooth(0.8, 1.3, a))
		case a < 2:
			lean := 1.6 * w.depth * math.Copysign((a-1)*(2-a), u)
			light = light.mix(f.studio.fan(nx+lean*px, ny+lean*py, ux, uy, f.spread), 1-smooth(1.5, 2, a))
		}
	}
	light = light.times(tone)
	if len(w.stains.balls) > 0 {
		v := w.stains.field(x, y)
		v += 0.25 * (f.texture.at(x*45+600, y*45+600) - 0.5)
		film := smooth(1-w.soft, 1+w.soft, v)
		rim := w.edge * film * (1 - smooth(1+w.soft, 1.3+2*w.soft, v))
		film *= 0.7 + 0.3*smooth(1, 3, v)
		light = light.filter(rgb{1, 1, 1}.mix(w.soil, film)).times(1 - 0.4*rim)
	}
	return light
}

// bitten returns how deep the point lies within what broke off, in parts of the picture's side;
// negative outside.
func (w *flaws) bitten(x, y float64, texture *tile) float64 {
	depth := math.Inf(-1)
	for _, b := range w.bites {
		depth = max(depth, b.r-math.Hypot(x-b.x, y-b.y))
	}
	return depth + 0.010*(texture.at(x*75+300, y*75+300)-0.5) + 0.006*(texture.at(x*190+300, y*190+300)-0.5)
}

// broken draws the fracture: a rough slope from the face down to where the metal ends.
func (f *flange) broken(x, y, depth float64) rgb {
	const slope = 0.007 // how wide the fracture shows
	r := math.Hypot(x, y)
	if depth > slope {
		if r < (rimRadius+boreRadius)/2 {
			return f.hole(x, y, 0, 0, boreRadius)
		}
		return f.ground(x, y, r)
	}
	out := 1.0
	if r < (rimRadius+boreRadius)/2 {
		out = -1
	}
	rough := func(o float64) float64 { return 0.9 * (f.texture.at(x*120+o, y*120+o) - 0.5) }
	nx, ny := out*0.35*x/r+rough(400), out*0.35*y/r+rough(500)
	return f.studio.fan(nx, ny, 0.7, 0.7, 0.3).times(0.75)
}
