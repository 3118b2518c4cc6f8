package picture

import (
	"encoding/binary"
	"math"
)

// Resize returns the picture at another size, as Pillow's Image.resize with
// BILINEAR does: a triangle filter as wide as the shrinking asks for, applied to
// rows first and to columns then, each pass rounding to 8 bits. The result agrees
// with Pillow's to the grey level. It panics if either picture is empty.
func (p *RGB) Resize(width, height int) *RGB {
	out := &RGB{Width: width, Height: height}
	out.Pix = resize(p.Pix, p.Width, p.Height, 3, width, height)
	return out
}

// Resize is [RGB.Resize] for one channel. A mask becomes grey at its edges; see
// [Gray.Binary].
func (g *Gray) Resize(width, height int) *Gray {
	out := &Gray{Width: width, Height: height}
	out.Pix = resize(g.Pix, g.Width, g.Height, 1, width, height)
	return out
}

// resize does both passes. A pass that would change nothing is skipped.
func resize(pix []uint8, width, height, channels, toWidth, toHeight int) []uint8 {
	if width < 1 || height < 1 || toWidth < 1 || toHeight < 1 {
		panic("picture: resize of an empty picture")
	}
	if width != toWidth {
		taps := triangle(width, toWidth)
		across := make([]uint8, toWidth*height*channels)
		if channels == 3 {
			resizeRowsRGB(across, pix, width, height, taps)
		} else {
			resizeRowsGray(across, pix, width, height, taps)
		}
		pix = across
	}
	if height != toHeight {
		down := make([]uint8, toWidth*toHeight*channels)
		resizeColumns(down, pix, toWidth*channels, triangle(height, toHeight))
		return down
	}
	if width == toWidth {
		return append([]uint8(nil), pix...)
	}
	return pix
}

// weightBits is the precision of filter weights: Pillow's 32 − 8 − 2, which
// leaves room for the sum of weighted bytes in 32 bits.
const weightBits = 32 - 8 - 2

// mostWeight is the largest sum of weights under which white, rounded to nearest,
// still is 255.
const mostWeight = (256<<weightBits - 1<<(weightBits-1) - 1) / 255

// tap is what one output position needs: weights, in units of 2^−weightBits, of
// the input positions from first on. They are never negative and add up to 1 but
// for rounding.
type tap struct {
	first   int
	weights []uint32
}

// triangle computes the taps of a pass from n to m positions, in the arithmetic
// of Pillow's precompute_coeffs.
func triangle(n, m int) []tap {
	scale := float64(n) / float64(m)
	support := max(scale, 1) // half the width of the filter
	taps := make([]tap, m)
	most := min(2*int(math.Ceil(support))+1, n)
	pool := make([]uint32, 0, m*most)
	weights := make([]float64, most)
	for i := range taps {
		centre := float64((float64(i) + 0.5) * scale)
		first := max(int(centre-support+0.5), 0)
		end := min(int(centre+support+0.5), n)
		var sum float64
		for k := range end - first {
			// Without the conversion a compiler may fuse product and sum and
			// round once instead of twice.
			distance := float64((float64(k+first) - centre + 0.5) * (1 / support))
			weights[k] = max(1-math.Abs(distance), 0)
			sum += weights[k]
		}
		start := len(pool)
		var total uint32
		for k := range end - first {
			weight := uint32(0.5 + float64(weights[k]/sum*(1<<weightBits)))
			// Rounding may carry very many small weights so far beyond 1 that
			// white would overflow.
			weight = min(weight, mostWeight-total)
			total += weight
			pool = append(pool, weight)
		}
		taps[i] = tap{first, pool[start:len(pool):len(pool)]}
	}
	return taps
}

// The passes keep two sums in one 64-bit word, each within its 32 bits, so that
// one multiplication serves two bytes; these constants address both halves.
const (
	bothHalves = 1<<32 | 1
	lowBytes   = 0xff * bothHalves
	halfUnits  = 1 << (weightBits - 1) * bothHalves // rounds to nearest
)

// halves returns both sums of a word as bytes.
func halves(sums uint64) (low, high uint8) {
	return uint8(sums >> weightBits), uint8(sums >> (32 + weightBits))
}

// resizeRowsRGB filters along rows of three channels, two rows at a time.
func resizeRowsRGB(dst, src []uint8, width, height int, taps []tap) {
	stride, toStride := 3*width, 3*len(taps)
	// Each pixel of a pair of rows in one word: the upper row's red, green, blue
	// in bytes 0 to 2, the lower row's in bytes 4 to 6.
	pair := make([]uint64, width)
	for y := 0; y < height; y += 2 {
		upper := src[y*stride : (y+1)*stride]
		lower, toLower := upper, dst[y*toStride:(y+1)*toStride]
		if y+1 < height {
			lower, toLower = src[(y+1)*stride:(y+2)*stride], dst[(y+1)*toStride:(y+2)*toStride]
		}
		interleave(pair, upper, lower)
		filterPair(dst[y*toStride:(y+1)*toStride], toLower, pair, taps)
	}
}

// interleave fills pair from two rows of its length. Bytes 3 and 7 of a word are
// left to chance; the filter does not look at them.
func interleave(pair []uint64, upper, lower []uint8) {
	last := len(pair) - 1
	for x := range pair[:last] {
		u, l := binary.LittleEndian.Uint32(upper[3*x:3*x+4]), binary.LittleEndian.Uint32(lower[3*x:3*x+4])
		pair[x] = uint64(u) | uint64(l)<<32
	}
	u, l := upper[3*last:3*last+3], lower[3*last:3*last+3]
	pair[last] = uint64(u[0]) | uint64(u[1])<<8 | uint64(u[2])<<16 |
		uint64(l[0])<<32 | uint64(l[1])<<40 | uint64(l[2])<<48
}

// filterPair writes two filtered rows.
func filterPair(upper, lower []uint8, pair []uint64, taps []tap) {
	for x, t := range taps {
		red, green, blue := weigh(pair[t.first:][:len(t.weights)], t.weights)
		u, l := upper[3*x:3*x+3:3*x+3], lower[3*x:3*x+3:3*x+3]
		u[0], l[0] = halves(red)
		u[1], l[1] = halves(green)
		u[2], l[2] = halves(blue)
	}
}

// weigh adds up the weighted channels of as many words as there are weights.
//
// It is kept apart because a caller's variables would crowd the sums out of the
// registers.
//
//go:noinline
func weigh(pixels []uint64, weights []uint32) (red, green, blue uint64) {
	red, green, blue = halfUnits, halfUnits, halfUnits
	pixels = pixels[:len(weights)]
	for k, weight := range weights {
		v, w := pixels[k], uint64(weight)
		red += v & lowBytes * w
		green += v >> 8 & lowBytes * w
		blue += v >> 16 & lowBytes * w
	}
	return red, green, blue
}

// resizeRowsGray filters along rows of one channel.
func resizeRowsGray(dst, src []uint8, width, height int, taps []tap) {
	for y := range height {
		row, out := src[y*width:(y+1)*width], dst[y*len(taps):(y+1)*len(taps)]
		for x, t := range taps {
			sum := uint64(1 << (weightBits - 1))
			pixels := row[t.first:][:len(t.weights)]
			for k, weight := range t.weights {
				sum += uint64(pixels[k]) * uint64(weight)
			}
			out[x], _ = halves(sum)
		}
	}
}

// resizeColumns filters along columns of rows of stride bytes, eight columns at a
// time.
func resizeColumns(dst, src []uint8, stride int, taps []tap) {
	for y, t := range taps {
		out := dst[y*stride : (y+1)*stride]
		rows := src[t.first*stride:]
		x := 0
		for ; x+8 <= stride; x += 8 {
			// Sum i serves columns i and i+4.
			s0, s1, s2, s3 := uint64(halfUnits), uint64(halfUnits), uint64(halfUnits), uint64(halfUnits)
			at := x
			for _, weight := range t.weights {
				v, w := binary.LittleEndian.Uint64(rows[at:]), uint64(weight)
				s0 += v & lowBytes * w
				s1 += v >> 8 & lowBytes * w
				s2 += v >> 16 & lowBytes * w
				s3 += v >> 24 & lowBytes * w
				at += stride
			}
			o := out[x : x+8 : x+8]
			o[0], o[4] = halves(s0)
			o[1], o[5] = halves(s1)
			o[2], o[6] = halves(s2)
			o[3], o[7] = halves(s3)
		}
		for ; x < stride; x++ {
			sum := uint64(1 << (weightBits - 1))
			for k, weight := range t.weights {
				sum += uint64(rows[k*stride+x]) * uint64(weight)
			}
			out[x], _ = halves(sum)
		}
	}
}

// ResizeNearest returns the picture at another size, each value taken from the
// nearest one, by pixel centres, so that labels stay labels. It panics if either
// picture is empty.
func (g *Gray) ResizeNearest(width, height int) *Gray {
	if g.Width < 1 || g.Height < 1 || width < 1 || height < 1 {
		panic("picture: resize of an empty picture")
	}
	out := NewGray(width, height)
	columns := make([]int, width)
	for x := range columns {
		columns[x] = nearest(x, width, g.Width)
	}
	for y := range height {
		src := g.Pix[nearest(y, height, g.Height)*g.Width:]
		row := out.Pix[y*width : (y+1)*width]
		for x, from := range columns {
			row[x] = src[from]
		}
	}
	return out
}

// TwoTone reports whether the picture can be taken for a mask: it has two values at
// most, or next to nothing, such as soft edges, between nearly black and nearly white.
func (g *Gray) TwoTone() bool {
	var counts [256]int
	for _, v := range g.Pix {
		counts[v]++
	}
	const near = 32 // what lossy formats make of black and white
	values, between := 0, 0
	for v, n := range counts {
		if n > 0 {
			values++
		}
		if v >= near && v < 256-near {
			between += n
		}
	}
	return values <= 2 || between <= len(g.Pix)/50
}

// nearest returns the position among n over which the centre of position i among
// m lies.
func nearest(i, m, n int) int {
	return (2*i + 1) * n / (2 * m)
}

// Binary returns the mask as 0 and 255, whatever way it was painted: values above
// 127 are marked, the middle between black and white; in a mask without such
// values, which holds small labels, everything above 0 is.
//
// A mask shrunk with [Gray.Resize] and then made binary is what the published
// evaluation compares with.
func (g *Gray) Binary() *Gray {
	threshold := uint8(0)
	for _, v := range g.Pix {
		if v > 127 {
			threshold = 127
			break
		}
	}
	out := NewGray(g.Width, g.Height)
	for i, v := range g.Pix {
		if v > threshold {
			out.Pix[i] = 255
		}
	}
	return out
}
