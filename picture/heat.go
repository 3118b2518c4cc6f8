package picture

import (
	"fmt"
	"math"
)

// Colorize paints a map of height×width values (rows from the top): lo and less is
// almost black, hi and more pale yellow, and between them the colours pass through
// violet, red and orange. NaN counts as lo. It panics if values is shorter than
// the size says.
//
// The colours lie on a curve of OKLab (Björn Ottosson, 2020) along which lightness
// grows evenly, so that equal steps of the value look like equal steps, also in
// grey print and to the colour-blind.
func Colorize(values []float32, width, height int, lo, hi float32) *RGB {
	p := NewRGB(width, height)
	colours := heatColours()
	for i, v := range values[:width*height] {
		c := &colours[uint8(255*heat(v, lo, hi)+0.5)]
		copy(p.Pix[3*i:3*i+3], c[:])
	}
	return p
}

// Overlay returns the picture with a map of its size painted over it in the
// colours of [Colorize]. The paint's opacity grows in proportion to the value,
// from nothing at lo to alpha (0…1) at hi, so that calm regions stay what they
// are. It panics if heat is shorter than the picture.
func Overlay(p *RGB, heatMap []float32, lo, hi, alpha float32) *RGB {
	out := NewRGB(p.Width, p.Height)
	colours := heatColours()
	alpha = max(0, min(alpha, 1))
	for i, v := range heatMap[:p.Width*p.Height] {
		t := heat(v, lo, hi)
		c := &colours[uint8(255*t+0.5)]
		opacity := uint32(t*alpha*(1<<16) + 0.5)
		src, dst := p.Pix[3*i:3*i+3:3*i+3], out.Pix[3*i:3*i+3:3*i+3]
		for k := range 3 {
			dst[k] = uint8((uint32(src[k])*(1<<16-opacity) + uint32(c[k])*opacity + 1<<15) >> 16)
		}
	}
	return out
}

// heat places v on the scale from lo (0) to hi (1).
func heat(v, lo, hi float32) float32 {
	switch {
	case !(v > lo): // NaN too
		return 0
	case v >= hi:
		return 1
	}
	return (v - lo) / (hi - lo)
}

// heatColours computes the 256 colours of the heat scale.
func heatColours() *[256][3]uint8 {
	// Lightness from almost black to almost white, hue from violet by red to
	// yellow, and chroma that swells in the middle as far as the screen has it.
	const (
		darkest, lightest   = 0.14, 0.95
		firstHue, lastHue   = -75.0, 105.0 // degrees
		endChroma, midBulge = 0.05, 0.17
	)
	var table [256][3]uint8
	for i := range table {
		t := float64(i) / 255
		lightness := darkest + (lightest-darkest)*t
		hue := (firstHue + (lastHue-firstHue)*t) * math.Pi / 180
		chroma := endChroma + midBulge*math.Sin(math.Pi*t)
		rgb := oklabToLinear(lightness, chroma*math.Cos(hue), chroma*math.Sin(hue))
		for !onScreen(rgb) && chroma > 0 {
			chroma -= 0.002
			rgb = oklabToLinear(lightness, chroma*math.Cos(hue), chroma*math.Sin(hue))
		}
		for c, v := range rgb {
			table[i][c] = uint8(255*gammaEncode(v) + 0.5)
		}
	}
	return &table
}

// oklabToLinear converts OKLab to linear sRGB with the matrices of its
// definition, https://bottosson.github.io/posts/oklab.
func oklabToLinear(lightness, a, b float64) [3]float64 {
	cube := func(v float64) float64 { return v * v * v }
	l := cube(lightness + 0.3963377774*a + 0.2158037573*b)
	m := cube(lightness - 0.1055613458*a - 0.0638541728*b)
	s := cube(lightness - 0.0894841775*a - 1.2914855480*b)
	return [3]float64{
		4.0767416621*l - 3.3077115913*m + 0.2309699292*s,
		-1.2684380046*l + 2.6097574011*m - 0.3413193965*s,
		-0.0041960863*l - 0.7034186147*m + 1.7076147010*s,
	}
}

// onScreen reports whether sRGB has the colour.
func onScreen(rgb [3]float64) bool {
	for _, v := range rgb {
		if v < 0 || v > 1 {
			return false
		}
	}
	return true
}

// gammaEncode is the transfer function of sRGB (IEC 61966-2-1) on [0,1].
func gammaEncode(v float64) float64 {
	v = max(0, min(v, 1))
	if v <= 0.0031308 {
		return 12.92 * v
	}
	return 1.055*math.Pow(v, 1/2.4) - 0.055
}

// Outline returns the picture with the contours of a mask of its size drawn in
// colour: the marked pixels (not 0; see [Gray.Binary]) that have an unmarked
// neighbour beside, above or below them. Lines are one pixel wide for every 256
// of the shorter side, at least one. It panics if the sizes differ.
func Outline(p *RGB, mask *Gray, colour [3]uint8) *RGB {
	if mask.Width != p.Width || mask.Height != p.Height {
		panic(fmt.Sprintf("picture: outline of a %d×%d mask on a %d×%d picture", mask.Width, mask.Height, p.Width, p.Height))
	}
	w, h := p.Width, p.Height
	out := &RGB{Width: w, Height: h, Pix: append([]uint8(nil), p.Pix...)}
	pen := max(1, min(w, h)/256)
	for y := range h {
		for x := range w {
			i := y*w + x
			if mask.Pix[i] == 0 {
				continue
			}
			inner := (x == 0 || mask.Pix[i-1] != 0) && (x == w-1 || mask.Pix[i+1] != 0) &&
				(y == 0 || mask.Pix[i-w] != 0) && (y == h-1 || mask.Pix[i+w] != 0)
			if !inner {
				out.dot(x-pen/2, y-pen/2, pen, colour)
			}
		}
	}
	return out
}

// dot paints a square of the given side from (left, top), as far as it lies in
// the picture.
func (p *RGB) dot(left, top, side int, colour [3]uint8) {
	for y := max(top, 0); y < min(top+side, p.Height); y++ {
		row := p.row(y)
		for x := max(left, 0); x < min(left+side, p.Width); x++ {
			copy(row[3*x:3*x+3], colour[:])
		}
	}
}
