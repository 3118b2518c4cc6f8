package synth

import (
	"math"
	"math/rand/v2"

	"github.com/destseg/destseg/picture"
)

// Procedural makes textures out of nothing, for those who have no texture pictures:
// stripes, weaves, grain, cells, clouds and blotches, in many colours and scales. Its
// pictures need sides of at least 32 pixels.
type Procedural struct{}

// Texture paints a random texture over dst. It never fails.
func (Procedural) Texture(dst *picture.RGB, rng *rand.Rand) error {
	p := painter{
		dst:   dst,
		rng:   rng,
		unit:  float64(min(dst.Width, dst.Height)) / 256,
		speck: rng.Uint32() | 1,
	}
	for i := range p.directions {
		p.directions[i] = gradientAt(2 * math.Pi * float64(i) / float64(len(p.directions)))
	}
	switch rng.IntN(6) {
	case 0:
		p.stripes()
	case 1:
		p.weave()
	case 2:
		p.grain()
	case 3:
		p.cells()
	case 4:
		p.clouds()
	case 5:
		p.blotches()
	}
	p.wear()
	return nil
}

// painter paints one texture. Lengths are drawn for a picture of 256 pixels and
// multiplied by unit.
type painter struct {
	dst   *picture.RGB
	rng   *rand.Rand
	unit  float64
	speck uint32 // state of the noise of single pixels, never 0
	// directions are the gradients that noise chooses from: many sines are slow.
	directions [64]gradient
}

// between draws a number in [lo, hi).
func (p *painter) between(lo, hi float64) float64 { return lo + (hi-lo)*p.rng.Float64() }

// length draws a length in pixels, short ones as likely as long ones by ratio.
func (p *painter) length(lo, hi float64) float64 {
	return p.unit * lo * math.Pow(hi/lo, p.rng.Float64())
}

// chance is true with a probability.
func (p *painter) chance(probability float64) bool { return p.rng.Float64() < probability }

// noise returns octaves of Perlin noise, the first with the given cells across the
// height and the width, every further one twice as fine and with gain as much weight.
// Values are roughly within ±1.
func (p *painter) noise(rows, columns float64, octaves int, gain float32) []float32 {
	w, h := p.dst.Width, p.dst.Height
	field := make([]float32, w*h)
	var nodes []gradient
	total := float32(0)
	for weight := float32(1); octaves > 0; octaves-- {
		ys := newAxis(h, min(rows, float64(h)/2), p.rng.Float64())
		xs := newAxis(w, min(columns, float64(w)/2), p.rng.Float64())
		nodes = nodes[:0]
		for range ys.nodes() * xs.nodes() {
			nodes = append(nodes, p.directions[p.rng.Uint32()%uint32(len(p.directions))])
		}
		addPerlin(field, w, ys, xs, nodes, weight)
		total += weight * weight
		weight *= gain
		rows, columns = 2*rows, 2*columns
	}
	scale := float32(1.8 / math.Sqrt(float64(total)))
	for i := range field {
		field[i] *= scale
	}
	return field
}

// plane is a coordinate that grows by one every period pixels in a direction.
type plane struct{ x, y float32 }

func newPlane(angle, period float64) plane {
	sin, cos := math.Sincos(angle)
	return plane{float32(cos / period), float32(sin / period)}
}

// at returns the coordinate of a pixel; the large constant keeps it positive, so
// that converting it to an integer rounds down.
func (a plane) at(x, y int) float32 { return 4096 + a.x*float32(x) + a.y*float32(y) }

// stripes paints straight, wavy or concentric bands, or two crossing sets of them.
func (p *painter) stripes() {
	period := p.length(7, 70)
	angle := p.between(0, math.Pi)
	colours := func() *ramp {
		scheme := drawScheme(2+p.rng.IntN(4), p.rng)
		if p.chance(0.35) {
			return gradual(append(scheme, scheme[0]))
		}
		return banded(scheme, int(256*p.between(1, 2)/period), p.rng)
	}
	first := colours()
	along := newPlane(angle, period)
	w, h := p.dst.Width, p.dst.Height
	pix := p.dst.Pix

	if p.chance(0.3) { // crossing: gingham, grids, lattices
		second, across := first, newPlane(angle+math.Pi/2, period*p.between(0.6, 1.6))
		if p.chance(0.4) {
			second = colours()
		}
		share := float32(p.between(0.3, 0.5))
		for i, y := 0, 0; y < h; y++ {
			for x := range w {
				a := &first[uint8(int(256*along.at(x, y)))]
				b := &second[uint8(int(256*across.at(x, y)))]
				put(pix[3*i:], a.mix(*b, share))
				i++
			}
		}
		return
	}

	// What bends the stripes, in periods.
	bend := make([]float32, w*h)
	if p.chance(0.7) {
		cells := p.between(1, 5)
		bend = p.noise(cells, cells*p.between(0.4, 2.5), 1+p.rng.IntN(3), 0.5)
		strength := float32(p.between(0.05, 1.5))
		for i := range bend {
			bend[i] *= strength
		}
	}
	if p.chance(0.2) { // rings
		cx, cy := p.between(-0.2, 1.2)*float64(w), p.between(-0.2, 1.2)*float64(h)
		stretch := p.between(0.5, 1)
		for i, y := 0, 0; y < h; y++ {
			for x := range w {
				dx, dy := float64(x)-cx, (float64(y)-cy)*stretch
				bend[i] += float32(math.Sqrt(dx*dx+dy*dy) / period)
				i++
			}
		}
		along = plane{}
	}
	for i, y := 0, 0; y < h; y++ {
		for x := range w {
			put(pix[3*i:], first[uint8(int(256*(along.at(x, y)+bend[i])))])
			i++
		}
	}
}

// weave paints threads that go over and under each other, or, with flat threads of
// two colours, a chequerboard.
func (p *painter) weave() {
	scheme := drawScheme(4, p.rng)
	// Threads repeat their colours after eight. Light and dark alternate in a scheme,
	// so that the two directions differ.
	threads := func(one, other colour) (all [8]colour) {
		mixed := p.chance(0.4)
		for i := range all {
			all[i] = one
			if mixed && p.chance(0.5) {
				all[i] = other
			}
		}
		return all
	}
	warp, weft := threads(scheme[0], scheme[3]), threads(scheme[1], scheme[2])
	angle, width := p.between(0, math.Pi), p.length(3, 36)
	if p.chance(0.5) {
		angle = math.Pi / 4 * float64(p.rng.IntN(4))
	}
	us, vs := newPlane(angle, width), newPlane(angle+math.Pi/2, width*p.between(0.7, 1.4))
	// Plain weave, basket weave and twills of 2/2 and 3/1: bit (u + step·v) mod 4.
	pattern := [...]struct{ over, step, shift int }{
		{0b0101, 1, 0}, {0b0101, 1, 1}, {0b0011, 1, 0}, {0b0111, 1, 0},
	}[p.rng.IntN(4)]
	// A thread is darker at its sides and where it dives under another one.
	var side, dive [64]float32
	depth, bulge := float32(p.between(0, 0.7)), float32(p.between(0, 0.5))
	for i := range side {
		t := (float32(i)+0.5)/32 - 1 // −1..1 across the thread
		side[i] = 1 - depth*t*t*t*t
		dive[i] = 1 - bulge*t*t
	}
	uneven := p.noise(p.between(2, 6), p.between(2, 6), 2, 0.5)
	wobble := float32(p.between(0, 0.25))
	w, h := p.dst.Width, p.dst.Height
	for i, y := 0, 0; y < h; y++ {
		for x := range w {
			u, v := us.at(x, y)+wobble*uneven[i], vs.at(x, y)-wobble*uneven[i]
			iu, iv := int(u), int(v)
			fu, fv := int(64*u)&63, int(64*v)&63
			phase := (iu>>pattern.shift + pattern.step*(iv>>pattern.shift)) & 3
			var c colour
			var shade float32
			if pattern.over>>phase&1 == 1 {
				c, shade = warp[iu&7], side[fu]*dive[fv]
			} else {
				c, shade = weft[iv&7], side[fv]*dive[fu]
			}
			for k := range c {
				c[k] *= shade
			}
			put(p.dst.Pix[3*i:], c)
			i++
		}
	}
}

// grain paints noise near the scale of pixels: brushed metal, fibres, granite, sand.
func (p *painter) grain() {
	colours := gradual(drawScheme(2+p.rng.IntN(3), p.rng))
	fine := p.between(30, 110)
	coarse := fine
	if p.chance(0.6) { // drawn out in one direction
		coarse = p.between(3, 12)
	}
	if p.chance(0.5) {
		fine, coarse = coarse, fine
	}
	field := p.noise(fine, coarse, 2, 0.8)
	clumps := p.noise(p.between(2, 8), p.between(2, 8), 2, 0.5)
	contrast, clumping, sparkle := float32(p.between(40, 130)), float32(p.between(0, 70)), float32(p.between(0, 0.6))
	for i, v := range field {
		level := 128 + contrast*v + clumping*clumps[i] + sparkle*float32(p.byte())
		put(p.dst.Pix[3*i:], colours[level8(level)])
	}
}

// clouds paints fractal noise: clouds, marble, veins, flames.
func (p *painter) clouds() {
	cells := p.between(1.2, 9)
	field := p.noise(cells, cells*p.between(0.5, 2), 3+p.rng.IntN(3), float32(p.between(0.4, 0.7)))
	contrast := float32(p.between(90, 180))
	scheme := drawScheme(2+p.rng.IntN(4), p.rng)
	pix := p.dst.Pix
	switch p.rng.IntN(3) {
	case 0: // clouds
		colours := gradual(scheme)
		for i, v := range field {
			put(pix[3*i:], colours[level8(128+contrast*v)])
		}
	case 1: // contour lines, marble
		colours := gradual(append(scheme, scheme[0]))
		contrast *= float32(p.between(1, 4))
		for i, v := range field {
			put(pix[3*i:], colours[uint8(int(1<<20+contrast*v))])
		}
	case 2: // veins where the noise changes sign
		colours := gradual(scheme)
		contrast *= 3
		for i, v := range field {
			put(pix[3*i:], colours[level8(contrast*max(v, -v))])
		}
	}
}

// byte returns noise of a single pixel: a step of xorshift.
func (p *painter) byte() uint8 {
	s := p.speck
	s ^= s << 13
	s ^= s >> 17
	s ^= s << 5
	p.speck = s
	return uint8(s >> 24)
}

// wear takes the flawlessness off some textures: uneven light and fine noise.
func (p *painter) wear() {
	pix := p.dst.Pix
	if p.chance(0.4) {
		light := p.noise(p.between(0.6, 2), p.between(0.6, 2), 1, 0)
		strength := float32(p.between(0.1, 0.45))
		for i, v := range light {
			factor := 1 + strength*v
			q := pix[3*i : 3*i+3 : 3*i+3]
			put(q, colour{factor * float32(q[0]), factor * float32(q[1]), factor * float32(q[2])})
		}
	}
	if p.chance(0.5) {
		strength := 2 + p.rng.IntN(24)
		for i := 0; i+3 <= len(pix); i += 3 {
			delta := (int(p.byte()) - 128) * strength >> 7
			q := pix[i : i+3 : i+3]
			q[0] = uint8(min(max(int(q[0])+delta, 0), 255))
			q[1] = uint8(min(max(int(q[1])+delta, 0), 255))
			q[2] = uint8(min(max(int(q[2])+delta, 0), 255))
		}
	}
}

// put stores a colour as the first pixel of dst.
func put(dst []uint8, c colour) {
	dst = dst[:3:3]
	dst[0], dst[1], dst[2] = level8(c[0]), level8(c[1]), level8(c[2])
}

// level8 clamps a level to a byte. Clamping integers needs no branches.
func level8(v float32) uint8 { return uint8(min(max(int32(v), 0), 255)) }
