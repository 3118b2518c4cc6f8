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

// Outline returns the picture with a line in colour around what a mask of its size
// marks (not 0; see [Gray.Binary]): along the outer side, so that the marked pixels
// themselves stay visible. The line is one pixel wide and one more for every 256 of
// the shorter side; marked pieces that come closer than it needs are outlined as
// one. It panics if the sizes differ.
func Outline(p *RGB, mask *Gray, colour [3]uint8) *RGB {
	if mask.Width != p.Width || mask.Height != p.Height {
		panic(fmt.Sprintf("picture: outline of a %d×%d mask on a %d×%d picture", mask.Width, mask.Height, p.Width, p.Height))
	}
	out := &RGB{Width: p.Width, Height: p.Height, Pix: append([]uint8(nil), p.Pix...)}
	if len(mask.Pix) == 0 {
		return out
	}
	pen := 1 + min(p.Width, p.Height)/256
	margin := 2 * pen // far enough for what happens below to miss the borders
	inside := mask.extend(margin).grow(pen, true).grow(pen, false)
	around := inside.grow(pen, true)
	for y := range p.Height {
		row, start := out.row(y), (y+margin)*inside.Width+margin
		for x := range p.Width {
			if around.Pix[start+x] != 0 && inside.Pix[start+x] == 0 {
				copy(row[3*x:3*x+3], colour[:])
			}
		}
	}
	return out
}

// extend returns the mask with a margin on every side, in which it runs on as it
// ends.
func (g *Gray) extend(margin int) *Gray {
	out := NewGray(g.Width+2*margin, g.Height+2*margin)
	for y := range out.Height {
		from := g.Pix[g.Width*min(max(y-margin, 0), g.Height-1):]
		for x := range out.Width {
			out.Pix[y*out.Width+x] = from[min(max(x-margin, 0), g.Width-1)]
		}
	}
	return out
}

// grow returns the mask with its marked pixels, or with marked false its unmarked
// ones, spread by so many pixels to all sides and across.
func (g *Gray) grow(by int, marked bool) *Gray {
	across, out := NewGray(g.Width, g.Height), NewGray(g.Width, g.Height)
	for y := range g.Height {
		spread(across.Pix[y*g.Width:], g.Pix[y*g.Width:], g.Width, 1, by, marked)
	}
	for x := range g.Width {
		spread(out.Pix[x:], across.Pix[x:], g.Height, g.Width, by, marked)
	}
	return out
}

// spread is grow for a line of n pixels, stride apart. It writes 1 for marked pixels
// and 0 for others.
func spread(dst, src []uint8, n, stride, by int, marked bool) {
	var same, other uint8 = 0, 1
	if marked {
		same, other = 1, 0
	}
	next := 0 // the first pixel that is not written yet
	for i := range n {
		if (src[i*stride] != 0) != marked {
			continue
		}
		for ; next < i-by; next++ {
			dst[next*stride] = other
		}
		for ; next <= min(i+by, n-1); next++ {
			dst[next*stride] = same
		}
	}
	for ; next < n; next++ {
		dst[next*stride] = other
	}
}
