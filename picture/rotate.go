package picture

import (
	"math"
	"strconv"
)

// Rotate returns the picture turned anticlockwise about its centre at its own
// size, as Pillow's Image.rotate(degrees, BILINEAR, fillcolor=fill) does, to the
// grey level. Corners that come from outside are fill. Turns by 180°, and by 90°
// and 270° where the picture is square, only move pixels. It panics if degrees is
// not finite.
func (p *RGB) Rotate(degrees float64, fill [3]uint8) *RGB {
	if math.IsNaN(degrees) || math.IsInf(degrees, 0) {
		panic("picture: rotation by an angle that is not finite")
	}
	angle := math.Mod(degrees, 360)
	if angle < 0 {
		angle += 360
	}
	w, h := p.Width, p.Height
	out := &RGB{Width: w, Height: h}
	switch {
	case angle == 0:
		out.Pix = append([]uint8(nil), p.Pix...)
	case angle == 180:
		out.Pix = gather(w, h, p.Pix, 3, w*h-1, -1, -w)
	case angle == 90 && w == h:
		out.Pix = gather(w, h, p.Pix, 3, w-1, w, -1)
	case angle == 270 && w == h:
		out.Pix = gather(w, h, p.Pix, 3, (h-1)*w, -w, 1)
	default:
		out.Pix = make([]uint8, len(p.Pix))
		p.rotateInto(out.Pix, angle, fill)
	}
	return out
}

// rotateInto samples the picture at the places that an affine map assigns to the
// pixels of dst. The order of operations is Pillow's, and conversions keep the
// compiler from fusing them, so that values next to a rounding border fall on the
// same side.
func (p *RGB) rotateInto(dst []uint8, angle float64, fill [3]uint8) {
	w, h := float64(p.Width), float64(p.Height)
	radians := -angle * (math.Pi / 180)
	cos, sin := round15(math.Cos(radians)), round15(math.Sin(radians))
	centreX, centreY := w/2, h/2
	offsetX := float64(float64(cos*-centreX)+float64(sin*-centreY)) + centreX
	offsetY := float64(float64(-sin*-centreX)+float64(cos*-centreY)) + centreY

	for y := range p.Height {
		row := dst[3*p.Width*y : 3*p.Width*(y+1)]
		down := float64(y) + 0.5
		for x := range p.Width {
			right := float64(x) + 0.5
			fromX := float64(float64(cos*right)+float64(sin*down)) + offsetX
			fromY := float64(float64(-sin*right)+float64(cos*down)) + offsetY
			q := row[3*x : 3*x+3 : 3*x+3]
			if !(fromX >= 0 && fromX < w && fromY >= 0 && fromY < h) {
				q[0], q[1], q[2] = fill[0], fill[1], fill[2]
				continue
			}
			p.sample(q, fromX-0.5, fromY-0.5)
		}
	}
}

// sample blends the four pixels around (x, y), which are centred at whole
// coordinates; beyond the border the border's pixels go on. Fractions of a grey
// level are cut off.
func (p *RGB) sample(dst []uint8, x, y float64) {
	left, top := int(math.Floor(x)), int(math.Floor(y))
	dx, dy := x-float64(left), y-float64(top)
	right, bottom := min(left+1, p.Width-1), min(top+1, p.Height-1)
	left, top = max(left, 0), max(top, 0)
	upper, lower := p.row(top), p.row(bottom)
	a, b := upper[3*left:3*left+3:3*left+3], upper[3*right:3*right+3:3*right+3]
	c, d := lower[3*left:3*left+3:3*left+3], lower[3*right:3*right+3:3*right+3]
	for i := range 3 {
		u := lerp(float64(a[i]), float64(b[i]), dx)
		v := lerp(float64(c[i]), float64(d[i]), dx)
		dst[i] = uint8(lerp(u, v, dy))
	}
}

// lerp goes the fraction t of the way from a to b, rounding after each operation.
func lerp(a, b, t float64) float64 {
	return a + float64((b-a)*t)
}

// round15 rounds to 15 decimal digits as Python's round(v, 15) does, exactly in
// decimal.
func round15(v float64) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'f', 15, 64), 64)
	if err != nil {
		panic(err) // FormatFloat writes what ParseFloat reads
	}
	return r
}
