package metric

import (
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
)

// smoothSamples draws maps as a segmentation network gives them: sigmoids of a
// coarse field resized bilinearly, with a defect in three of four pictures.
func smoothSamples(n, side int) []Sample {
	r := rand.New(rand.NewPCG(11, 11))
	const coarse = 64
	samples := make([]Sample, n)
	for i := range samples {
		field := make([]float64, (coarse+1)*(coarse+1))
		for j := range field {
			field[j] = r.NormFloat64()*2 - 7
		}
		s := Sample{
			Width: side, Height: side, Score: r.Float64(), Defective: i%4 != 0,
			Map: make([]float32, side*side), Mask: make([]uint8, side*side),
		}
		for p := range s.Map {
			x, y := p%side, p/side
			fx, fy := float64(x)*coarse/float64(side), float64(y)*coarse/float64(side)
			ix, iy := int(fx), int(fy)
			dx, dy := fx-float64(ix), fy-float64(iy)
			at := field[iy*(coarse+1)+ix:]
			v := (at[0]*(1-dx)+at[1]*dx)*(1-dy) + (at[coarse+1]*(1-dx)+at[coarse+2]*dx)*dy
			if s.Defective && x > side/3 && x < side/2 && y > side/3 && y < side/2 {
				s.Mask[p] = 1
				v += 5
			}
			s.Map[p] = float32(1 / (1 + math.Exp(-v)))
		}
		samples[i] = s
	}
	return samples
}

// BenchmarkTestSet measures 83 pictures of 900×900, the size of one MVTec AD
// category, from the first Add to the Result.
func BenchmarkTestSet(b *testing.B) {
	samples := smoothSamples(8, 900)
	b.SetBytes(83 * 900 * 900 * 4)
	var before, after runtime.MemStats
	for b.Loop() {
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&before)
		b.StartTimer()
		e := new(Evaluator)
		for i := range 83 {
			if err := e.Add(samples[i%len(samples)]); err != nil {
				b.Fatal(err)
			}
		}
		e.Result()
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(e)
		b.StartTimer()
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(83*900*900), "B/pixel")
}

func BenchmarkAdd(b *testing.B) {
	samples := smoothSamples(4, 900)
	e := new(Evaluator)
	b.SetBytes(900 * 900 * 4)
	i := 0
	for b.Loop() {
		if err := e.Add(samples[i%len(samples)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkResult(b *testing.B) {
	e := new(Evaluator)
	for _, s := range smoothSamples(16, 900) {
		if err := e.Add(s); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(16 * 900 * 900 * 4)
	for b.Loop() {
		e.Result()
	}
}
