package metric

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestTopMean(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		values []float32
		k      int
		want   float64
	}{
		{nil, 1, math.NaN()},
		{[]float32{1}, 0, math.NaN()},
		{[]float32{1}, -1, math.NaN()},
		{[]float32{3, 1, 2}, 1, 3},
		{[]float32{3, 1, 2}, 2, 2.5},
		{[]float32{3, 1, 2}, 3, 2},
		{[]float32{3, 1, 2}, math.MaxInt, 2},
		{[]float32{-inf, -inf, -inf}, 1, math.Inf(-1)},
		{[]float32{-inf, -inf, -inf, 4}, 1, 4},
		{[]float32{1, 2, 3, inf}, 2, math.Inf(1)},
		{[]float32{nan, 2, 3}, 1, math.NaN()},
		{[]float32{5, 4, 3, 2, nan}, 1, math.NaN()},
	} {
		got := TopMean(c.values, c.k)
		if got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("TopMean(%v, %d) = %v, want %v", c.values, c.k, got, c.want)
		}
	}
	r := rand.New(rand.NewPCG(8, 8))
	for range 300 {
		values := make([]float32, 1+r.IntN(2000))
		levels := 1 + r.IntN(5000)
		for i := range values {
			values[i] = float32(r.IntN(levels)) / 7
		}
		switch r.IntN(4) {
		case 0:
			slices.Sort(values)
		case 1:
			slices.Sort(values)
			slices.Reverse(values)
		}
		before := slices.Clone(values)
		k := 1 + r.IntN(len(values)+10)
		if got, want := TopMean(values, k), twinTopMean(values, k); math.Abs(got-want) > 1e-12*want {
			t.Errorf("%d of %d: %v, want %v", k, len(values), got, want)
		}
		if !slices.Equal(values, before) {
			t.Fatal("values changed")
		}
	}
}

// organPipe rises and falls again, which gives medians of three poor pivots.
func organPipe(n int) []uint32 {
	v := make([]uint32, n)
	for i := range v {
		v[i] = uint32(min(i, n-1-i))
	}
	return v
}

func TestSelectLargest(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for range 2000 {
		v := make([]uint32, 1+r.IntN(60))
		levels := 1 + r.IntN(80)
		for i := range v {
			v[i] = uint32(r.IntN(levels))
		}
		if r.IntN(4) == 0 {
			v = organPipe(len(v))
		}
		sorted := slices.Clone(v)
		slices.Sort(sorted)
		slices.Reverse(sorted)
		k := 1 + r.IntN(len(v))
		selectLargest(v, k)
		if v[k-1] != sorted[k-1] {
			t.Fatalf("place %d holds %d, want %d", k, v[k-1], sorted[k-1])
		}
		slices.Sort(v[:k])
		slices.Reverse(v[:k])
		if !slices.Equal(v[:k], sorted[:k]) {
			t.Fatalf("%v are not the %d largest of %v", v[:k], k, sorted)
		}
	}
}

func BenchmarkTopMean(b *testing.B) {
	r := rand.New(rand.NewPCG(10, 10))
	values := make([]float32, 900*900)
	for i := range values {
		values[i] = r.Float32()
	}
	rising := slices.Clone(values)
	slices.Sort(rising)
	for _, c := range []struct {
		name   string
		values []float32
	}{{"random", values}, {"rising", rising}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(4 * len(values)))
			for b.Loop() {
				TopMean(c.values, 100)
			}
		})
	}
}
