package demoset

import (
	"math"
	"math/rand/v2"
	"slices"
)

// clothFlaws are what lies on a cloth or hangs from it, in the picture's coordinates. What is wrong with the weave
// itself is in the cloth's threads.
type clothFlaws struct {
	reach  rectangle // holds every change; empty on a good part
	stain  blob
	soil   rgb     // what the stain lets through
	edge   float64 // how much darker its outline is
	fibres []fibre
}

// A fibre lies above the weave and casts a shadow on it.
type fibre struct {
	stroke
	color rgb
	lift  float64 // of the shadow from the fibre
}

// spoil implements part.
func (c *cloth) spoil(rng *rand.Rand, defect Defect, severity float64) (part, rectangle) {
	bad := *c
	w := &bad.flaws
	px, py := uniform(rng, 0.14, 0.86), uniform(rng, 0.14, 0.86)
	x, y := c.onCloth(px, py)
	scale := func(subtle, obvious float64) float64 { return subtle + (obvious-subtle)*severity }
	down := rng.IntN(2) == 0 // whether a warp thread suffers
	across, along := y, x
	if down {
		across, along = x, y
	}

	switch defect {
	case Stain:
		w.stain = newBlob(rng, px, py, scale(0.032, 0.11)*uniform(rng, 0.8, 1.2))
		tint := [...]rgb{{0.50, 0.33, 0.14}, {0.22, 0.20, 0.19}, {0.45, 0.16, 0.20}}[rng.IntN(3)]
		w.soil = rgb{1, 1, 1}.mix(tint, scale(0.30, 0.95))
		w.edge = uniform(rng, 0, 0.6)
		w.reach = w.stain.reach
	case MissingThread:
		length := scale(2.5, 16) * pitch
		bad.cut(down, across, along-length/2, along+length/2)
		w.reach = bad.strip(down, across, along-length/2, along+length/2)
	case Misweave:
		length := scale(2.2, 6) * pitch
		bad.float(down, across, along-length/2, along+length/2, rng.IntN(2) == 0)
		w.reach = bad.strip(down, across, along-length/2, along+length/2)
	case Tear:
		r := scale(0.65, 2.1) * pitch
		w.reach = around(px, py, r+1.5*pitch)
		for _, down := range []bool{true, false} {
			across, along, color := y, x, c.weftColor
			if down {
				across, along, color = x, y, c.warpColor
			}
			// Threads are cut where they pass through the hole, each at its own place.
			for d := rng.Float64() * pitch; d < 2*r; d += pitch {
				chord := math.Sqrt(r*r - (d-r)*(d-r))
				from := along - chord*uniform(rng, 0.75, 1.2)
				to := along + chord*uniform(rng, 0.75, 1.2)
				bad.cut(down, across+d-r, from, to)
				bad.fray(rng, down, across+d-r, from, 1, color)
				bad.fray(rng, down, across+d-r, to, -1, color)
			}
		}
	case ForeignFibre:
		color := [...]rgb{{0.30, 0.03, 0.03}, {0.012, 0.012, 0.014}, {0.85, 0.85, 0.83}, {0.05, 0.22, 0.08}}[rng.IntN(4)]
		half := scale(0.0022, 0.0055)
		length := scale(0.09, 0.40) * uniform(rng, 0.8, 1.2)
		p := bend(rng, px, py, rng.Float64()*2*math.Pi, length, 0.8)
		s := newStroke(p, 20, func(t float64) float64 { return half * (0.6 + 0.4*math.Sqrt(4*t*(1-t))) })
		w.fibres = []fibre{{s, color, scale(0.004, 0.009)}}
		w.reach = s.reach.grown(0.02)
	}
	return &bad, w.reach.grown(0.01) // the lens spreads what changes
}

// threads returns the threads of one direction.
func (c *cloth) threads(down bool) *[threadCount]yarn {
	if down {
		return &c.warp
	}
	return &c.weft
}

// cross returns the crossing of thread i of one direction with thread j of the other.
func (c *cloth) cross(down bool, i, j int) *int8 {
	if down {
		return &c.over[i][j]
	}
	return &c.over[j][i]
}

// cut takes the thread at the coordinate across away between two places along it.
func (c *cloth) cut(down bool, across, from, to float64) {
	threads := c.threads(down)
	i, _, _ := nearest(threads, across, entry((from+to)/2))
	t := &threads[i]
	t.half = slices.Clone(t.half)
	const end = 0.15 * pitch // the thread thins out over this length
	for k := range t.half {
		at := (float64(k)+0.5)*(1+2*margin)/alongSteps - margin
		inside := min(at-from, to-at)
		if inside > end {
			t.half[k] = 0
		} else if inside > 0 {
			t.half[k] *= float32(1 - inside/end)
		}
	}
	for j, other := range c.threads(!down) {
		if at := float64(other.place[entry(across)]); at > from && at < to {
			*c.cross(down, i, j) = 0
		}
	}
}

// float makes the thread at the coordinate across run above, or below, all it crosses between two places along it.
func (c *cloth) float(down bool, across, from, to float64, above bool) {
	i, _, _ := nearest(c.threads(down), across, entry((from+to)/2))
	side := int8(-1)
	if above == down { // over tells how the warp lies
		side = 1
	}
	for j, other := range c.threads(!down) {
		if at := float64(other.place[entry(across)]); at > from && at < to {
			*c.cross(down, i, j) = side
		}
	}
}

// strip returns the rectangle of the picture that holds a piece of thread and its neighbours.
func (c *cloth) strip(down bool, across, from, to float64) rectangle {
	ax, ay, bx, by := from, across, to, across
	if down {
		ax, ay, bx, by = across, from, across, to
	}
	ax, ay = c.inPicture(ax, ay)
	bx, by = c.inPicture(bx, by)
	return around(ax, ay, 1.6*pitch).union(around(bx, by, 1.6*pitch))
}

// fray lets fibres hang from the end of a thread; way is 1 if they point along it, −1 if back.
func (c *cloth) fray(rng *rand.Rand, down bool, across, along, way float64, color rgb) {
	x, y, angle := along, across, 0.0
	if down {
		x, y, angle = across, along, math.Pi/2
	}
	if way < 0 {
		angle += math.Pi
	}
	// The cloth is turned in the picture.
	angle -= math.Atan2(c.sin, c.cos)
	px, py := c.inPicture(x, y)
	for range 3 + rng.IntN(3) {
		side := 0.35 * pitch * uniform(rng, -1, 1)
		p := bend(rng, px-side*math.Sin(angle), py+side*math.Cos(angle), angle+0.5*rng.NormFloat64(),
			pitch*uniform(rng, 0.3, 0.9), 0.5)
		s := newStroke(p, 6, func(t float64) float64 { return 0.0030 * (1 - 0.7*t) })
		c.flaws.fibres = append(c.flaws.fibres, fibre{s, color.times(uniform(rng, 0.7, 1.1)), 0.003})
	}
}

// flawed returns the light from a point that defects may change: (px, py) in the picture, (x, y) on the cloth.
func (c *cloth) flawed(px, py, x, y float64) rgb {
	w := &c.flaws
	light := c.weave(x, y)
	if len(w.stain.balls) > 0 {
		// Threads soak differently.
		v := w.stain.field(px, py) + 0.25*(c.texture.at(x/pitch+8, y/pitch+8)-0.5)
		film := smooth(0.8, 1.15, v)
		rim := w.edge * film * (1 - smooth(1.15, 1.8, v))
		light = light.filter(rgb{1, 1, 1}.mix(w.soil, film)).times(1 - 0.3*rim)
	}
	for i := range w.fibres {
		f := &w.fibres[i]
		sx, sy := px+f.lift*c.light[0], py+f.lift*c.light[1]
		if f.reach.grown(0.006).holds(sx, sy) {
			d, half, _, _ := f.near(sx, sy)
			light = light.times(1 - 0.5*(1-smooth(0.6*half, half+0.004, math.Abs(d))))
		}
	}
	for i := range w.fibres {
		f := &w.fibres[i]
		if !f.reach.holds(px, py) {
			continue
		}
		d, half, dir, _ := f.near(px, py)
		q := d / half
		if q <= -1 || q >= 1 {
			continue
		}
		// A smooth round fibre.
		lit := -q*dir.y*c.light[0] + q*dir.x*c.light[1] + math.Sqrt(1-q*q)*c.light[2]
		light = f.color.times(0.35 + 0.95*max(lit, 0))
	}
	return light
}
