package synth

import (
	"math"
	"math/rand/v2"
	"testing"
)

// slowRotate rotates a picture of floats about its centre, bilinear, zeros outside.
func slowRotate(src []float64, width, height int, angle float64) []float64 {
	at := func(x, y float64) float64 {
		if x < 0 || y < 0 || x >= float64(width) || y >= float64(height) {
			return 0
		}
		return src[int(y)*width+int(x)]
	}
	centreX, centreY := float64(width-1)/2, float64(height-1)/2
	sin, cos := math.Sincos(angle)
	out := make([]float64, len(src))
	for i := range out {
		dx, dy := float64(i%width)-centreX, float64(i/width)-centreY
		x, y := centreX+cos*dx+sin*dy, centreY-sin*dx+cos*dy
		left, top := math.Floor(x), math.Floor(y)
		fx, fy := x-left, y-top
		out[i] = (1-fy)*((1-fx)*at(left, top)+fx*at(left+1, top)) +
			fy*((1-fx)*at(left, top+1)+fx*at(left+1, top+1))
	}
	return out
}

// slowMask draws like masker.draw and returns the noise before the threshold.
func slowMask(width, height int, rng *rand.Rand) []float64 {
	rows, columns := 1<<rng.IntN(6), 1<<rng.IntN(6)
	var nodes []gradient
	for range (rows + 1) * (columns + 1) {
		nodes = append(nodes, gradientAt(2*math.Pi*rng.Float64()))
	}
	noise := slowPerlin(height, width, float64(rows), float64(columns), 0, 0, columns+1, nodes)
	for i := range noise {
		noise[i] *= math.Sqrt2
	}
	return slowRotate(noise, width, height, (rng.Float64()*180-90)*math.Pi/180)
}

func TestMaskAgainstSlowTwin(t *testing.T) {
	for _, size := range [][2]int{{32, 32}, {64, 64}, {160, 96}, {96, 160}, {256, 256}} {
		width, height := size[0], size[1]
		m := newMasker(width, height)
		for seed := range uint64(25) {
			ones := m.draw(rand.New(rand.NewPCG(1, seed)))
			want := slowMask(width, height, rand.New(rand.NewPCG(1, seed)))
			count := 0
			for i, v := range want {
				if m.mask[i] > 1 {
					t.Fatalf("mask holds %d", m.mask[i])
				}
				count += int(m.mask[i])
				if math.Abs(v-threshold) < 1e-5 {
					continue // rounding may decide
				}
				if (v > threshold) != (m.mask[i] == 1) {
					t.Fatalf("%d×%d seed %d, pixel %d: noise %v, mask %d", width, height, seed, i, v, m.mask[i])
				}
			}
			if ones != count {
				t.Errorf("draw counted %d ones, mask has %d", ones, count)
			}
		}
	}
}

// The angles at which positions fall on the border exactly.
func TestMaskRightAngles(t *testing.T) {
	m := newMasker(64, 32)
	m.nodes = drawGradients(m.nodes, 5*5, rand.New(rand.NewPCG(3, 3)))
	m.fill(4, 4)
	inner := make([]float64, 64*32)
	for i := range inner {
		inner[i] = float64(m.noise[(i/64+1)*66+i%64+1])
	}
	for _, angle := range []float64{-math.Pi / 2, -math.Pi / 4, 0, math.Pi / 4, math.Pi / 2} {
		m.cut(angle)
		for i, v := range slowRotate(inner, 64, 32, angle) {
			if math.Abs(v-threshold) > 1e-5 && (v > threshold) != (m.mask[i] == 1) {
				t.Fatalf("angle %v, pixel %d: noise %v, mask %d", angle, i, v, m.mask[i])
			}
		}
	}
}

// The expected figures are those of a simulation of 40,000 masks by the slow twin at 64×64.
func TestMaskDistribution(t *testing.T) {
	const n = 4000
	m := newMasker(64, 64)
	rng := rand.New(rand.NewPCG(5, 6))
	var sum, squares float64
	empty := 0
	for range n {
		ones := m.draw(rng)
		if ones == 0 {
			empty++
		}
		fraction := float64(ones) / (64 * 64)
		sum += fraction
		squares += fraction * fraction
	}
	mean := sum / n
	deviation := math.Sqrt(squares/n - mean*mean)
	share := float64(empty) / n
	t.Logf("mask fraction %.4f, deviation %.4f, empty %.4f", mean, deviation, share)
	// Four standard errors.
	if math.Abs(mean-0.0403) > 4*0.0327/math.Sqrt(n) {
		t.Errorf("mean mask fraction is %.4f, want about 0.0403", mean)
	}
	if math.Abs(deviation-0.0327) > 0.004 {
		t.Errorf("deviation of the mask fraction is %.4f, want about 0.0327", deviation)
	}
	if math.Abs(share-0.053) > 4*math.Sqrt(0.053*0.947/n) {
		t.Errorf("%.4f of the masks are empty, want about 0.053", share)
	}
}
