package synth

import "math"

// cells paints Worley noise: the plane is parted among scattered points, and a pixel
// gets its colour from the nearest ones. Pebbles, scales, mosaics, cracks, honeycombs.
func (p *painter) cells() {
	const (
		mosaic = iota // flat cells with joints
		pebbles
		bubbles // dark inside, light rim
		styles
	)
	w, h := p.dst.Width, p.dst.Height
	size := p.length(9, 60)
	style := p.rng.IntN(styles)
	jitter := p.between(0.1, 0.95)
	// Cell heights differ from widths by stretch.
	stretch := float32(p.between(0.6, 1.7))
	sizeY := size * float64(stretch)
	columns, rows := int(float64(w)/size)+3, int(float64(h)/sizeY)+3

	// One point in every square of a grid that begins one square outside.
	points := make([]cell, columns*rows)
	tones := gradual(drawScheme(2+p.rng.IntN(3), p.rng))
	variety := p.between(0, 1)
	base := p.rng.Float64()
	honeycomb := p.chance(0.3)
	for i := range points {
		cx, cy := float64(i%columns)-0.5, float64(i/columns)-0.5
		if honeycomb {
			cx += 0.5 * float64(i/columns%2)
		}
		points[i] = cell{
			x:    float32((cx + jitter*(p.rng.Float64()-0.5)) * size),
			y:    float32((cy + jitter*(p.rng.Float64()-0.5)) * sizeY),
			tone: tones[uint8(255*math.Mod(base+variety*p.rng.Float64(), 1))],
		}
	}
	joint := drawScheme(2, p.rng)[p.rng.IntN(2)]
	thickness := float32(p.unit * p.between(0.7, 4))
	radius := float32(size * p.between(0.5, 0.8))

	for gy := range rows - 2 {
		top, bottom := int(float64(gy)*sizeY), min(int(float64(gy+1)*sizeY), h)
		for gx := range columns - 2 {
			left, right := int(float64(gx)*size), min(int(float64(gx+1)*size), w)
			// The square's own point and those of its eight neighbours.
			var near [9]*cell
			for k := range near {
				near[k] = &points[(gy+k/3)*columns+gx+k%3]
			}
			var xs, squares [9]float32
			for k, c := range near {
				xs[k] = c.x
			}
			for y := top; y < bottom; y++ {
				for k, c := range near {
					dy := (float32(y) - c.y) / stretch
					squares[k] = dy * dy
				}
				for x := left; x < right; x++ {
					best, second, nearest := float32(math.MaxFloat32), float32(math.MaxFloat32), 0
					for k, px := range &xs {
						dx := float32(x) - px
						d := dx*dx + squares[k]
						if d < best {
							best, second, nearest = d, best, k
						} else if d < second {
							second = d
						}
					}
					first := float32(math.Sqrt(float64(best)))
					gap := float32(math.Sqrt(float64(second))) - first
					c := near[nearest].tone
					switch style {
					case mosaic:
						c = c.mix(joint, min(max(thickness-gap, 0), 1))
					case pebbles:
						c = joint.mix(c, min(gap/(3*thickness), 1)*max(0, 1-0.5*best/(radius*radius)))
					case bubbles:
						c = joint.mix(c, min(best/(radius*radius), 1))
					}
					put(p.dst.Pix[3*(y*w+x):], c)
				}
			}
		}
	}
}

// cell is a point of [painter.cells] with the colour of what is nearest to it.
type cell struct {
	x, y float32
	tone colour
}

// blotches paints spots on a ground: dots in rows, sprinkles, or stains cut out of
// noise.
func (p *painter) blotches() {
	scheme := drawScheme(2+p.rng.IntN(4), p.rng)
	if p.chance(0.4) {
		p.stains(scheme)
		return
	}
	w, h := p.dst.Width, p.dst.Height
	ground := scheme[0]
	for i := range w * h {
		put(p.dst.Pix[3*i:], ground)
	}
	radius := p.length(2.5, 22)
	spots := scheme[1:]
	soft := float32(p.unit * p.between(1, 3))
	if p.chance(0.4) { // polka dots
		pitch := radius * p.between(2.2, 4.5)
		shift := p.between(0, 0.5)
		for row, y := 0, 0.0; y < float64(h)+pitch; row, y = row+1, y+pitch {
			for x := float64(row%2) * shift * pitch; x < float64(w)+pitch; x += pitch {
				p.spot(x, y, radius, radius, 0, soft, spots[row%len(spots)])
			}
		}
		return
	}
	// Sprinkles that would cover between a quarter and all of the picture if none
	// overlapped.
	uniformity, slim := p.between(0, 1), p.between(0.3, 1)
	room := p.between(0.25, 1) * float64(w*h)
	for room > 0 {
		r := radius * (uniformity + (1-uniformity)*p.between(0.3, 2))
		p.spot(p.between(0, float64(w)), p.between(0, float64(h)), r, r*slim,
			p.between(0, math.Pi), soft, spots[p.rng.IntN(len(spots))])
		room -= math.Pi * r * r * slim
	}
}

// stains cuts noise at as many levels as there are colours.
func (p *painter) stains(scheme []colour) {
	cells := p.between(3, 14)
	field := p.noise(cells, cells*p.between(0.6, 1.6), 1+p.rng.IntN(4), 0.5)
	var colours ramp
	width := p.between(50, 90) // levels a colour covers
	edge := p.between(2, 10)   // levels over which it turns into the next
	for i := range colours {
		at := max(0, (float64(i)-128)/width+float64(len(scheme))/2-0.5)
		k := min(int(at), len(scheme)-1)
		next := min(k+1, len(scheme)-1)
		colours[i] = scheme[k].mix(scheme[next], float32(max(0, 1-(1-(at-float64(k)))*width/edge)))
	}
	for i, v := range field {
		put(p.dst.Pix[3*i:], colours[level8(128+110*v)])
	}
}

// spot paints an ellipse with the half axes a and b, the first of them turned by an
// angle in radians; its edge is soft pixels wide.
func (p *painter) spot(x, y, a, b, angle float64, soft float32, c colour) {
	sin, cos := math.Sincos(angle)
	reach := max(a, b) + float64(soft)
	top, bottom := max(0, int(y-reach)), min(p.dst.Height, int(y+reach)+1)
	left, right := max(0, int(x-reach)), min(p.dst.Width, int(x+reach)+1)
	ax, ay := float32(cos/a), float32(sin/a)
	bx, by := float32(-sin/b), float32(cos/b)
	hardness := float32(min(a, b)) / soft
	for row := top; row < bottom; row++ {
		dy := float32(row) - float32(y)
		for column := left; column < right; column++ {
			dx := float32(column) - float32(x)
			u, v := ax*dx+ay*dy, bx*dx+by*dy
			// How far inside the edge the pixel is, in units of the soft edge.
			inside := 0.5 + hardness*(1-float32(math.Sqrt(float64(u*u+v*v))))
			if inside <= 0 {
				continue
			}
			q := p.dst.Pix[3*(row*p.dst.Width+column):][:3:3]
			put(q, colour{float32(q[0]), float32(q[1]), float32(q[2])}.mix(c, min(inside, 1)))
		}
	}
}
