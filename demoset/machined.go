package demoset

import (
	"image"
	"math"
	"math/rand/v2"
)

// The flange's drawing, in parts of the picture's side.
const (
	rimRadius   = 0.432 // outer edge
	boreRadius  = 0.098
	boltCircle  = 0.330
	boltHoles   = 6
	holeRadius  = 0.040
	sinkRadius  = 0.055 // countersink around a bolt hole
	profileStep = 0.0005
	profileLen  = 1024
	// perspective is how far the lower face lies towards the middle of the picture, relative to the upper one.
	perspective = 0.055
)

// profile is the section through the flange: radius and height where its direction changes.
var profile = [...]struct{ r, h float64 }{
	{0, 0.030}, {boreRadius, 0.030}, {0.110, 0.040}, {0.178, 0.040}, {0.186, 0.033}, {0.191, 0},
	{0.220, 0}, {0.226, -0.010}, {0.238, -0.010}, {0.244, 0},
	{0.392, 0}, {0.395, -0.003}, {0.398, 0},
	{0.417, 0}, {rimRadius, -0.015}, {1, -0.015},
}

// A flange is a turned disc lying on a mat, seen from above.
type flange struct {
	cx, cy   float64 // middle, in the picture
	scale    float64
	holes    [boltHoles]point // relative to the middle, upright in the picture
	studio   studio
	turned   *fanTable // the turned faces under the studio
	spread   float64
	tilt     []float32 // by radius: tilt of the surface away from the middle, tool marks included
	tone     []float32 // by radius: how much light the surface returns
	texture  *tile
	mat      rgb
	shadow   point // of the flange on the mat
	hubShade point // unit vector from the light, for the hub's shadow on the flange

	flaws flaws
}

func newFlange(rng *rand.Rand) *flange {
	f := &flange{
		cx:      0.5 + uniform(rng, -0.012, 0.012),
		cy:      0.5 + uniform(rng, -0.012, 0.012),
		scale:   uniform(rng, 0.992, 1.008),
		texture: newTile(rng),
		spread:  uniform(rng, 0.20, 0.23),
		flaws:   flaws{missing: -1},
	}
	turn := uniform(rng, -5, 5) * math.Pi / 180
	for k := range f.holes {
		sin, cos := math.Sincos(turn + (float64(k)+0.5)*2*math.Pi/boltHoles)
		f.holes[k] = point{boltCircle * cos, boltCircle * sin}
	}

	gain := uniform(rng, 0.94, 1.07)
	warm := uniform(rng, -0.02, 0.02)
	key := -2.20 + uniform(rng, -0.07, 0.07) // azimuth: up and to the left
	fill := 0.35 + uniform(rng, -0.08, 0.08)
	f.studio = studio{
		key: softbox{
			x: 0.46 * math.Cos(key), y: 0.46 * math.Sin(key), ux: -math.Sin(key), uy: math.Cos(key),
			long: 0.20, across: 0.13, soft: 0.07, light: rgb{8.4, 8.0, 7.5},
		},
		fill: softbox{
			x: 0.50 * math.Cos(fill), y: 0.50 * math.Sin(fill), ux: -math.Sin(fill), uy: math.Cos(fill),
			long: 0.26, across: 0.09, soft: 0.06, light: rgb{2.4, 2.8, 3.4},
		},
		ceiling: rgb{0.17 * float32(1+warm), 0.178, 0.19 * float32(1-warm)},
		gain:    gain,
	}
	f.turned = newFanTable(&f.studio, f.spread)
	f.mat = rgb{0.036, 0.041, 0.049}.times(gain * uniform(rng, 0.93, 1.07))
	f.shadow = point{-0.020 * math.Cos(key), -0.020 * math.Sin(key)}
	f.hubShade = point{-math.Cos(key), -math.Sin(key)}
	f.section(rng)
	return f
}

// section fills the tables by radius: the rounded profile, the tool's rings and the soil in the corners.
func (f *flange) section(rng *rand.Rand) {
	height := make([]float64, profileLen)
	next := 1
	for i := range height {
		r := float64(i) * profileStep
		for r > profile[next].r {
			next++
		}
		a, b := profile[next-1], profile[next]
		height[i] = a.h + (b.h-a.h)*(r-a.r)/(b.r-a.r)
	}
	rounded := averaged(averaged(height, 3), 3)
	wide := averaged(averaged(height, 14), 14)

	f.tilt = make([]float32, profileLen)
	f.tone = make([]float32, profileLen)
	coarse := wander(rng, profileLen, 90)
	medium := wander(rng, profileLen, 22)
	fine := wander(rng, profileLen, 6)
	for i := range height {
		lo, hi := max(i-1, 0), min(i+1, profileLen-1)
		slope := (rounded[hi] - rounded[lo]) / (float64(hi-lo) * profileStep)
		f.tilt[i] = float32(math.Atan(-slope)) + 0.012*coarse[i] + 0.022*medium[i] + 0.045*fine[i]
		hollow := min(max((wide[i]-rounded[i])*45, 0), 0.55)
		f.tone[i] = float32(1-hollow) * (0.90 + 0.012*medium[i] + 0.02*fine[i])
	}
}

// averaged returns means over 2·half+1 neighbours.
func averaged(v []float64, half int) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		var sum float64
		for j := i - half; j <= i+half; j++ {
			sum += v[min(max(j, 0), len(v)-1)]
		}
		out[i] = sum / float64(2*half+1)
	}
	return out
}

func (f *flange) gap() float64 { return 8.0 / 256 }

// render takes four samples a pixel.
func (f *flange) render(dst *frame, box image.Rectangle) {
	step := 1 / float64(dst.size)
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			px, py := (float64(x)+0.25)*step, (float64(y)+0.25)*step
			sum := f.sample(px, py, step).plus(f.sample(px+step/2, py, step)).
				plus(f.sample(px, py+step/2, step)).plus(f.sample(px+step/2, py+step/2, step))
			dst.pix[y*dst.size+x] = sum.times(0.25)
		}
	}
}

// sample returns the light from one point of the picture, with the rim blended over the given width.
func (f *flange) sample(px, py, edge float64) rgb {
	x, y := (px-f.cx)/f.scale, (py-f.cy)/f.scale
	flawed := f.flaws.reach.holds(x, y)
	if flawed {
		if c, ok := f.burr(x, y); ok {
			return c
		}
	}
	r := math.Sqrt(x*x + y*y)
	out := (r-rimRadius)/edge + 0.5
	if out >= 1 {
		return f.ground(x, y, r)
	}
	light := f.metal(x, y, r, flawed)
	if out > 0 {
		light = light.mix(f.ground(x, y, r), out)
	}
	return light
}

// metal returns the light from a point within the rim, r from the middle; flawed tells that defects may change it.
func (f *flange) metal(x, y, r float64, flawed bool) rgb {
	if r < boreRadius {
		return f.hole(x, y, 0, 0, boreRadius)
	}
	at := r / profileStep
	i := int(at)
	part := float32(at - float64(i))
	tilt := float64(f.tilt[i] + (f.tilt[i+1]-f.tilt[i])*part)
	tone := float64(f.tone[i] + (f.tone[i+1]-f.tone[i])*part)
	// The nearer the edge, the more from the side the camera sees the grooves.
	tilt += 0.16 * (r - 0.3)
	turnX, turnY := x, y

	k, dx, dy, d := f.nearestHole(x, y)
	if d < sinkRadius+0.004 && k != f.flaws.missing {
		if d < holeRadius {
			return f.hole(x, y, f.holes[k].x, f.holes[k].y, holeRadius)
		}
		// Within the countersink the grooves run round the hole and the surface falls towards it.
		in := 1 - smooth(sinkRadius-0.003, sinkRadius+0.004, d)
		if d < sinkRadius {
			turnX, turnY = dx, dy
			tilt = -0.62*in + 6*float64(f.tilt[i]-f.tilt[i+1])
			tone = 0.82
		} else {
			tilt -= 0.25 * in * (x*dx + y*dy) / (r * d)
		}
	}
	if r > 0.189 && r < 0.30 {
		// The hub stands in the key light's way.
		c := (x*f.hubShade.x + y*f.hubShade.y) / r
		tone *= 1 - 0.34*smooth(0, 1, c)*(1-smooth(0.192, 0.192+0.045*max(c, 0.02), r))
	}
	tone *= 0.97 + 0.06*f.texture.at(x*23+40, y*23+40)
	if flawed {
		return f.flawed(x, y, turnX, turnY, tilt, tone, k, dx, dy, d)
	}
	return f.turned.at(turnOf(turnX, turnY), tilt).times(tone)
}

// turnOf returns the azimuth of a direction in parts of a circle, from 0 to 1.
func turnOf(x, y float64) float64 {
	turn := math.Atan2(y, x) / (2 * math.Pi)
	if turn < 0 {
		turn++
	}
	return turn
}

// nearestHole returns the nearest bolt hole, and where the point lies from its middle.
func (f *flange) nearestHole(x, y float64) (k int, dx, dy, d float64) {
	best := math.Inf(1)
	for i, h := range f.holes {
		if e := (x-h.x)*(x-h.x) + (y-h.y)*(y-h.y); e < best {
			best, k = e, i
		}
	}
	return k, x - f.holes[k].x, y - f.holes[k].y, math.Sqrt(best)
}

// hole draws what shows within a hole of radius r around (hx, hy): the wall on the outer side, the mat in its shadow below.
func (f *flange) hole(x, y, hx, hy, r float64) rgb {
	low := 1 - perspective
	bx, by := x-hx*low, y-hy*low
	inside := r*low - math.Sqrt(bx*bx+by*by)
	dx, dy := x-hx, y-hy
	d := math.Sqrt(dx*dx + dy*dy)
	deep := f.bare(x, y).times(0.10 + 0.30*smooth(0, 1.6*r, inside+0.5*(dx*f.hubShade.x+dy*f.hubShade.y)))
	if inside > 0.004 {
		return deep
	}
	// The wall stands upright; it catches the key light on the far side, fading with depth.
	lit := max(0, (dx*f.hubShade.x+dy*f.hubShade.y)/(d+1e-9))
	wall := rgb{0.05, 0.052, 0.056}.plus(f.studio.key.light.times(0.11 * lit * lit)).times(f.studio.gain)
	return wall.mix(deep, smooth(-0.004, 0.004, inside))
}

// ground draws the mat, with the flange's shadow.
func (f *flange) ground(x, y, r float64) rgb {
	sx, sy := x-f.shadow.x, y-f.shadow.y
	cast := smooth(-0.035, 0.035, math.Sqrt(sx*sx+sy*sy)-rimRadius)
	contact := smooth(-0.004, 0.03, r-rimRadius)
	return f.bare(x, y).times((0.25 + 0.75*cast) * (0.55 + 0.45*contact))
}

// bare draws the mat in the open, brighter towards the key light.
func (f *flange) bare(x, y float64) rgb {
	n := 0.7*f.texture.at(x*230+200, y*230+200) + 0.3*f.texture.at(x*97+99, y*97+93)
	return f.mat.times((1 - 0.5*(x*f.hubShade.x+y*f.hubShade.y)) * (0.75 + 0.5*n))
}
