package demoset

import (
	"image"
	"math"
	"math/rand/v2"
)

// The cloth's make, in parts of the picture's side. Warp threads run down the picture, weft threads across.
const (
	pitch       = 1.0 / 21
	margin      = 0.12 // of cloth beyond the picture, so that it may shift and turn
	threadCount = 28
	alongSteps  = 320 // entries of a thread's tables
	// A thread rises and sinks by wave and is round by crown, both in half pitches.
	wave  = 0.42
	crown = 0.95
)

// A yarn is one thread's course and look.
type yarn struct {
	place []float32 // of its middle, by the way along it
	half  []float32 // half its width; 0 where it is missing
	tone  float64
}

// A cloth is a plain weave of two yarns over a dark backing.
type cloth struct {
	sin, cos float64
	sx, sy   float64
	warp     [threadCount]yarn
	weft     [threadCount]yarn
	// over is 1 where a warp thread crosses above a weft thread, −1 below, 0 where one of them is missing.
	over      [threadCount][threadCount]int8
	warpColor rgb
	weftColor rgb
	light     [3]float64
	texture   *tile
	folds     [2]float64
	gain      float64

	flaws clothFlaws
}

func newCloth(rng *rand.Rand) *cloth {
	turn := uniform(rng, -1.8, 1.8) * math.Pi / 180
	c := &cloth{
		sin: math.Sin(turn), cos: math.Cos(turn),
		sx: uniform(rng, -pitch/2, pitch/2), sy: uniform(rng, -pitch/2, pitch/2),
		texture: newTile(rng),
		gain:    uniform(rng, 0.93, 1.08),
		folds:   [2]float64{uniform(rng, -0.12, 0.12), uniform(rng, -0.12, 0.12)},
	}
	shade := uniform(rng, 0.95, 1.05)
	c.warpColor = rgb{0.062, 0.088, 0.122}.times(shade)
	c.weftColor = rgb{0.560, 0.495, 0.385}.times(shade)
	azimuth := -2.3 + uniform(rng, -0.12, 0.12)
	c.light = [3]float64{0.74 * math.Cos(azimuth), 0.74 * math.Sin(azimuth), 0.67}
	phase := rng.IntN(2)
	for i := range threadCount {
		c.warp[i] = newYarn(rng, i, 0.90)
		c.weft[i] = newYarn(rng, i, 0.94)
		for j := range threadCount {
			c.over[i][j] = int8(1 - 2*((i+j+phase)&1))
		}
	}
	return c
}

// newYarn draws the course of thread i: a little off its place, wandering, of uneven thickness.
func newYarn(rng *rand.Rand, i int, width float64) yarn {
	y := yarn{
		place: wander(rng, alongSteps, 60),
		half:  wander(rng, alongSteps, 34),
		tone:  1 + 0.045*rng.NormFloat64(),
	}
	middle := (float64(i)+0.5)*pitch - margin + 0.045*pitch*rng.NormFloat64()
	half := 0.5 * pitch * width * (1 + 0.03*rng.NormFloat64())
	for k := range alongSteps {
		y.place[k] = float32(middle + 0.035*pitch*float64(y.place[k]))
		y.half[k] = float32(half * (1 + 0.045*float64(y.half[k])))
	}
	return y
}

// entry returns the place in a yarn's tables for a coordinate along it.
func entry(along float64) int {
	return min(max(int((along+margin)*(alongSteps/(1+2*margin))), 0), alongSteps-1)
}

// nearest returns the thread nearest to the coordinate across, how far it is from its middle, and half its width.
func nearest(yarns *[threadCount]yarn, across float64, at int) (i int, off, half float64) {
	guess := int(math.Floor((across + margin) / pitch))
	off = math.Inf(1)
	for k := max(guess-1, 0); k <= min(guess+1, threadCount-1); k++ {
		if d := across - float64(yarns[k].place[at]); math.Abs(d) < math.Abs(off) {
			i, off = k, d
		}
	}
	return i, off, float64(yarns[i].half[at])
}

func (c *cloth) gap() float64 { return 0.62 * pitch }

// render takes four samples a pixel.
func (c *cloth) render(dst *frame, box image.Rectangle) {
	step := 1 / float64(dst.size)
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			px, py := (float64(x)+0.25)*step, (float64(y)+0.25)*step
			sum := c.sample(px, py).plus(c.sample(px+step/2, py)).
				plus(c.sample(px, py+step/2)).plus(c.sample(px+step/2, py+step/2))
			dst.pix[y*dst.size+x] = sum.times(0.25)
		}
	}
}

// sample returns the light from one point of the picture.
func (c *cloth) sample(px, py float64) rgb {
	x, y := c.onCloth(px, py)
	fall := c.gain * (1.06 - 0.30*((px-0.5)*-c.light[0]+(py-0.5)*-c.light[1]) +
		c.folds[0]*math.Sin(5*px+3*py) + c.folds[1]*math.Sin(4*py-2*px+1))
	if !c.flaws.reach.holds(px, py) {
		return c.weave(x, y).times(fall)
	}
	return c.flawed(px, py, x, y).times(fall)
}

// onCloth returns where on the cloth, along its threads, a point of the picture lies.
func (c *cloth) onCloth(px, py float64) (x, y float64) {
	px, py = px-0.5, py-0.5
	return px*c.cos - py*c.sin + 0.5 + c.sx, px*c.sin + py*c.cos + 0.5 + c.sy
}

// inPicture undoes onCloth.
func (c *cloth) inPicture(x, y float64) (px, py float64) {
	x, y = x-0.5-c.sx, y-0.5-c.sy
	return x*c.cos + y*c.sin + 0.5, y*c.cos - x*c.sin + 0.5
}

// weave returns the light from the upper thread at (x, y), or from the backing between threads.
func (c *cloth) weave(x, y float64) rgb {
	i, u, hu := nearest(&c.warp, x, entry(y))
	j, v, hv := nearest(&c.weft, y, entry(x))
	const a = pitch / 2
	zw, zf := -2.0, -2.0 // heights of warp and weft in half pitches
	var slopeW, slopeF float64
	qu, qv := 2.0, 2.0
	if hu > 0 {
		qu = u / hu
	}
	if hv > 0 {
		qv = v / hv
	}
	if qu > -1 && qu < 1 {
		rise, slope := between(v/pitch, c.over[i][j], c.over[i][max(j-1, 0)], c.over[i][min(j+1, threadCount-1)])
		zw = wave*rise + crown*math.Sqrt(1-qu*qu)
		slopeW = wave * slope * a / pitch
	}
	if qv > -1 && qv < 1 {
		rise, slope := between(u/pitch, -c.over[i][j], -c.over[max(i-1, 0)][j], -c.over[min(i+1, threadCount-1)][j])
		zf = wave*rise + crown*math.Sqrt(1-qv*qv)
		slopeF = wave * slope * a / pitch
	}
	// Little light reaches the crease where one thread goes under the other.
	crease := 0.35 + 0.65*smooth(0, 0.6, math.Abs(zw-zf))
	switch {
	case zw < -1.9 && zf < -1.9:
		return rgb{0.020, 0.018, 0.016}.times(0.6 + 0.8*c.texture.at(x*90, y*90))
	case zw >= zf:
		k := crease * c.warp[i].tone * c.strand(qu, y/pitch, float64(i)*7.31, c.light[0], c.light[1], slopeW, zw)
		return c.warpColor.times(k)
	default:
		k := crease * c.weft[j].tone * c.strand(qv, x/pitch, float64(j)*5.17+31, c.light[1], c.light[0], slopeF, zf)
		return c.weftColor.times(k)
	}
}

// between returns a thread's rise, −1 to 1, and its slope per pitch, at offset t (in pitches) from a crossing where it
// rises to here, given how it rises at the crossings before and after.
func between(t float64, here, before, after int8) (rise, slope float64) {
	to, sign := after, 1.0
	if t < 0 {
		to, sign, t = before, -1, -t
	}
	t = min(t, 1)
	d := float64(to - here)
	return float64(here) + d*t*t*(3-2*t), sign * d * 6 * t * (1 - t)
}

// strand returns how bright a thread is at q (−1 to 1) across it, and along it in pitches. The light comes from across
// and along; slope is the thread's own, z its height.
func (c *cloth) strand(q, along, id, across, ahead, slope, z float64) float64 {
	// The yarn is twisted: its fibres run askew, and show as fine ridges that also tilt the surface.
	const fibres = 4.2
	p := along*fibres*0.55 + math.Asin(q)*1.1
	ridge := c.texture.at(p*1.9+id, along*0.35+id*3) + 0.6*c.texture.at(p*4.3+id*5, along*0.9+id)
	ridge = ridge/1.6 - 0.5
	nx, ny, nz := 0.85*q, -slope, math.Sqrt(1-0.7*q*q)
	l := 1 / math.Sqrt(nx*nx+ny*ny+nz*nz)
	lit := (nx*across + ny*ahead + nz*c.light[2]) * l
	lit = max(0, (lit+0.22)/1.22)
	open := 0.10 + 0.90*smooth(-0.35, 1.25, z)
	return (0.14 + 1.6*lit) * open * (1 + 1.1*ridge)
}
