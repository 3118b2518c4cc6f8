package synth

import (
	"math"
	"math/rand/v2"
)

// axis places the pixels of one direction on the lattice of the noise.
type axis struct {
	start []int     // first pixel of every cell, then the number of pixels
	at    []float32 // every pixel's position in its cell, in [0,1)
	fade  []float32 // 6t⁵ − 15t⁴ + 10t³ of it
}

// newAxis spreads resolution cells over the pixels and moves the first pixel offset
// cells in, 0 ≤ offset < 1. Resolution is positive and at most the number of pixels,
// so that no cell is skipped.
func newAxis(pixels int, resolution, offset float64) axis {
	a := axis{at: make([]float32, pixels), fade: make([]float32, pixels)}
	for i := range pixels {
		// Multiplying first makes the first pixel of a cell come out exact.
		cell, t := math.Modf(float64(i)*resolution/float64(pixels) + offset)
		if int(cell) == len(a.start) {
			a.start = append(a.start, i)
		}
		a.at[i] = float32(t)
		a.fade[i] = float32(t * t * t * (t*(6*t-15) + 10))
	}
	a.start = append(a.start, pixels)
	return a
}

// nodes returns how many lattice nodes the axis touches: one more than cells.
func (a axis) nodes() int { return len(a.start) }

// gradient is a lattice node's unit vector.
type gradient struct{ x, y float32 }

// drawGradients appends n gradients of uniform angle to dst.
func drawGradients(dst []gradient, n int, rng *rand.Rand) []gradient {
	for range n {
		dst = append(dst, gradientAt(2*math.Pi*rng.Float64()))
	}
	return dst
}

// gradientAt returns the gradient of an angle against the y axis, in radians: the
// published noise has rows as its first coordinate.
func gradientAt(angle float64) gradient {
	sin, cos := math.Sincos(angle)
	return gradient{x: float32(sin), y: float32(cos)}
}

// addPerlin adds gain times Perlin noise to dst, whose rows are stride values apart.
// The nodes' gradients come row by row, ys.nodes() × xs.nodes() of them. Noise of
// gain √2, the published one, is within [−1, 1].
//
// In a pixel row, a cell's noise is a + b·t + fade(t)·(c + d·t), with factors that
// hold for the whole cell, so only that is computed pixel by pixel.
func addPerlin(dst []float32, stride int, ys, xs axis, nodes []gradient, gain float32) {
	width := xs.nodes()
	for cy := range len(ys.start) - 1 {
		upper := nodes[cy*width : (cy+1)*width]
		lower := nodes[(cy+1)*width : (cy+2)*width]
		for y := ys.start[cy]; y < ys.start[cy+1]; y++ {
			row := dst[y*stride:]
			ty, fy := ys.at[y], ys.fade[y]
			// base and slope of a node: what its column of the lattice contributes
			// left and right of it, blended between the upper and the lower node.
			base := func(i int) float32 {
				up, low := upper[i].y*ty, lower[i].y*(ty-1)
				return gain * (up + fy*(low-up))
			}
			slope := func(i int) float32 {
				return gain * (upper[i].x + fy*(lower[i].x-upper[i].x))
			}
			a, b := base(0), slope(0)
			for cx := range width - 1 {
				from, to := xs.start[cx], xs.start[cx+1]
				rightBase, rightSlope := base(cx+1), slope(cx+1)
				c, d := rightBase-rightSlope-a, rightSlope-b
				cells := row[from:to]
				at, fade := xs.at[from:to], xs.fade[from:to]
				at, fade = at[:len(cells)], fade[:len(cells)]
				for i := range cells {
					cells[i] += a + b*at[i] + fade[i]*(c+d*at[i])
				}
				a, b = rightBase, rightSlope
			}
		}
	}
}
