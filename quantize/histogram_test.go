package quantize

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestReach holds the choice against all others, number by number.
func TestReach(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	values := make([]float32, 200_000)
	for i := range values {
		values[i] = float32(math.Abs(random.NormFloat64()))
	}
	values[7], values[8] = 20, 0
	for _, most := range []int{127, 255} {
		var h histogram
		if !h.count(values) || !h.positive || h.negative {
			t.Fatal("counted otherwise")
		}
		exact := func(reach float64) float64 {
			step, sum := reach/float64(most), 0.0
			for _, v := range values {
				d := float64(v) - step*math.Min(math.RoundToEven(float64(v)/step), float64(most))
				sum += d * d
			}
			return sum
		}
		got := h.reach(most)
		// One large number among many is cut, since that costs less than coarse steps.
		if got > 18 || got < 4 {
			t.Errorf("%d levels reach up to %v", most, got)
		}
		for reach := 3.0; reach <= 20; reach += 0.25 {
			if e := exact(reach); e < 0.95*exact(got) {
				t.Errorf("%d levels reach up to %v with error %v, but up to %v with %v", most, got, exact(got), reach, e)
			}
		}
	}
	var h histogram
	if !h.count(make([]float32, 9)) || h.width != 0 || h.positive || h.negative {
		t.Errorf("%+v", h)
	}
}

func BenchmarkReach(b *testing.B) {
	values := make([]float32, 1<<18)
	for i := range values {
		values[i] = float32(i)
	}
	var h histogram
	for b.Loop() {
		h.count(values)
		h.reach(255)
	}
}
