package synth

import (
	"math"
	"math/rand/v2"
)

const (
	// scales is the number of lattice resolutions a side: 2⁰ to 2⁵.
	scales = 6
	// threshold is the noise above which a pixel is corrupted.
	threshold = 0.5
)

// masker draws masks of one size.
type masker struct {
	width, height int
	// mask is the latest mask, Height×Width, 0 or 1.
	mask []uint8
	// noise is the mask's Perlin noise inside a border of zeros, one pixel wide:
	// beyond its edges, rotated noise fades to 0.
	noise []float32
	nodes []gradient
}

func newMasker(width, height int) *masker {
	return &masker{
		width:  width,
		height: height,
		mask:   make([]uint8, width*height),
		noise:  make([]float32, (width+2)*(height+2)),
	}
}

// draw makes a new mask and returns its number of ones: Perlin noise on a lattice of
// 2^a × 2^b cells, a and b uniform in 0..5, rotated by an angle uniform in ±90°, then
// cut at 0.5.
func (m *masker) draw(rng *rand.Rand) int {
	rows, columns := 1<<rng.IntN(scales), 1<<rng.IntN(scales)
	m.nodes = drawGradients(m.nodes[:0], (rows+1)*(columns+1), rng)
	m.fill(rows, columns)
	return m.cut((rng.Float64() - 0.5) * math.Pi)
}

// fill computes the noise of rows × columns cells from the nodes.
func (m *masker) fill(rows, columns int) {
	clear(m.noise)
	stride := m.width + 2
	ys, xs := newAxis(m.height, float64(rows), 0), newAxis(m.width, float64(columns), 0)
	addPerlin(m.noise[stride+1:], stride, ys, xs, m.nodes, math.Sqrt2)
}

// cut rotates the noise about the picture's centre by an angle in radians, with
// bilinear interpolation and zeros from outside, thresholds it into the mask and
// returns the number of ones.
func (m *masker) cut(angle float64) int {
	// Positions in the noise, border included, in units of 2⁻³²: along a row of the
	// mask they advance by constant steps, without visible error.
	const one = 1 << 32
	const fraction = 1.0 / one
	sin, cos := math.Sincos(angle)
	stepX, stepY := int64(math.Round(cos*one)), int64(math.Round(-sin*one))
	centreX, centreY := float64(m.width-1)/2, float64(m.height-1)/2
	stride := m.width + 2
	ones := 0
	for y := range m.height {
		dy := float64(y) - centreY
		sx := int64(math.Round((1 + centreX - cos*centreX + sin*dy) * one))
		sy := int64(math.Round((1 + centreY + sin*centreX + cos*dy) * one))
		row := m.mask[y*m.width : (y+1)*m.width]
		for x := range row {
			row[x] = 0
			ix, iy := int(sx>>32), int(sy>>32)
			if uint(ix) <= uint(m.width) && uint(iy) <= uint(m.height) {
				fx, fy := float32(uint32(sx))*fraction, float32(uint32(sy))*fraction
				upper := m.noise[iy*stride+ix:]
				lower := upper[stride : stride+2]
				up := upper[0] + fx*(upper[1]-upper[0])
				low := lower[0] + fx*(lower[1]-lower[0])
				if up+fy*(low-up) > threshold {
					row[x] = 1
					ones++
				}
			}
			sx += stepX
			sy += stepY
		}
	}
	return ones
}
