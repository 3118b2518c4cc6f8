package demoset

import (
	"image"
	"math"
	"math/rand/v2"
)

// rgb is linear light, or a factor on it, by channel.
type rgb [3]float32

func (c rgb) times(k float64) rgb {
	f := float32(k)
	return rgb{c[0] * f, c[1] * f, c[2] * f}
}

func (c rgb) filter(o rgb) rgb { return rgb{c[0] * o[0], c[1] * o[1], c[2] * o[2]} }

func (c rgb) plus(o rgb) rgb { return rgb{c[0] + o[0], c[1] + o[1], c[2] + o[2]} }

// mix runs from c at k = 0 to o at k = 1.
func (c rgb) mix(o rgb, k float64) rgb {
	f := float32(k)
	return rgb{c[0] + (o[0]-c[0])*f, c[1] + (o[1]-c[1])*f, c[2] + (o[2]-c[2])*f}
}

// A rectangle is given in parts of the picture's side, y downwards.
type rectangle struct{ x0, y0, x1, y1 float64 }

// around returns the rectangle about (x, y) that reaches d in each direction.
func around(x, y, d float64) rectangle { return rectangle{x - d, y - d, x + d, y + d} }

func (r rectangle) union(o rectangle) rectangle {
	return rectangle{min(r.x0, o.x0), min(r.y0, o.y0), max(r.x1, o.x1), max(r.y1, o.y1)}
}

func (r rectangle) grown(d float64) rectangle {
	return rectangle{r.x0 - d, r.y0 - d, r.x1 + d, r.y1 + d}
}

func (r rectangle) holds(x, y float64) bool { return x >= r.x0 && x < r.x1 && y >= r.y0 && y < r.y1 }

// pixels returns the pixels of a size×size picture that r touches.
func (r rectangle) pixels(size int) image.Rectangle {
	s := float64(size)
	return image.Rect(int(math.Floor(r.x0*s)), int(math.Floor(r.y0*s)), int(math.Ceil(r.x1*s)), int(math.Ceil(r.y1*s))).
		Intersect(image.Rect(0, 0, size, size))
}

// A frame is a square picture in linear light, row by row.
type frame struct {
	size int
	pix  []rgb
}

func newFrame(size int) *frame { return &frame{size, make([]rgb, size*size)} }

func (f *frame) bounds() image.Rectangle { return image.Rect(0, 0, f.size, f.size) }

func (f *frame) clone() *frame { return &frame{f.size, append([]rgb(nil), f.pix...)} }

// A display is a developed picture in display values from 0 to 255, before grain and rounding.
type display struct {
	size int
	pix  []rgb
}

// lens is the share of its light that a pixel gives to each of its four neighbours: no lens is perfectly sharp.
const lens = 0.07

// develop applies the lens, the film's response and the display's gamma.
func (f *frame) develop() display {
	const steps = 4096
	const top = 4.0 // linear light at the end of the table
	var curve [steps + 1]float32
	for i := range curve {
		// A shoulder instead of hard clipping in the highlights, then gamma.
		v := 1 - math.Exp(-1.25*top*float64(i*i)/(steps*steps))
		curve[i] = float32(255 * math.Pow(v, 1/2.2))
	}
	out := display{f.size, make([]rgb, len(f.pix))}
	n := f.size
	for y := range n {
		up, down := f.pix[max(y-1, 0)*n:], f.pix[min(y+1, n-1)*n:]
		row := f.pix[y*n:]
		for x := range n {
			l, r := row[max(x-1, 0)], row[min(x+1, n-1)]
			for c := range 3 {
				v := (1-4*lens)*row[x][c] + lens*(l[c]+r[c]+up[x][c]+down[x][c])
				// The table is even in the square root, where the curve bends least.
				at := math.Sqrt(float64(min(max(v, 0), top))/top) * steps
				i := min(int(at), steps-1)
				out.pix[y*n+x][c] = curve[i] + (curve[i+1]-curve[i])*float32(at-float64(i))
			}
		}
	}
	return out
}

// print adds the sensor's grain and rounds to bytes.
func (d display) print(rng *rand.Rand) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, d.size, d.size))
	for i, p := range d.pix {
		luma := 1.3 * rng.NormFloat64()
		for c := range 3 {
			v := float64(p[c]) + luma + 0.6*rng.NormFloat64()
			img.Pix[4*i+c] = uint8(min(max(v+0.5, 0), 255))
		}
		img.Pix[4*i+3] = 255
	}
	return img
}

// noticeable is the difference, in display values of the most different channel, from which a pixel counts as
// changed. It is about four times the grain's deviation.
const noticeable = 6

// difference returns the mask of the pixels that differ noticeably, with gaps up to gap pixels wide
// closed, and how many pixels differ.
func difference(a, b display, gap int) (mask *image.Gray, visible int) {
	n := a.size
	mask = image.NewGray(image.Rect(0, 0, n, n))
	for i := range a.pix {
		var most float32
		for c := range 3 {
			most = max(most, float32(math.Abs(float64(a.pix[i][c]-b.pix[i][c]))))
		}
		if most >= noticeable {
			mask.Pix[i] = 255
			visible++
		}
	}
	if visible > 0 {
		closeGaps(mask.Pix, n, gap)
	}
	return mask, visible
}
