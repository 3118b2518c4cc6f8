package metric

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// resampler adds samples under thresholds.
func resampler(t testing.TB, samples []Sample, thresholds []float32) *Resampler {
	t.Helper()
	r := NewResampler(thresholds)
	for _, s := range samples {
		if err := r.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// TestResamplerAgainstCopies compares drawn sets with sets whose samples are there
// several times.
func TestResamplerAgainstCopies(t *testing.T) {
	for _, c := range []struct{ n, width, height, levels int }{
		{1, 1, 1, 2}, {3, 5, 3, 3}, {6, 13, 8, 5}, {7, 9, 9, 1000}, {12, 17, 5, 1 << 20},
	} {
		t.Run(fmt.Sprintf("%d of %d×%d, %d levels", c.n, c.width, c.height, c.levels), func(t *testing.T) {
			for seed := range uint64(8) {
				random := rand.New(rand.NewPCG(seed, 12))
				samples := randomSamples(random, c.n, c.width, c.height, c.levels)
				if c.n > 2 { // blind ones
					samples[1].Mask, samples[1].Defective = nil, true
					samples[2].Map, samples[2].Mask = nil, nil
				}
				whole := evaluate(t, samples)
				r := resampler(t, samples, whole.Thresholds(math.MaxInt))
				for range 4 {
					times := make([]int, c.n)
					var copies []Sample
					for range c.n {
						i := random.IntN(c.n)
						times[i]++
						copies = append(copies, samples[i])
					}
					sameResult(t, r.Result(times), evaluate(t, copies).Result())
				}
			}
		})
	}
}

// TestThresholds checks how fine the parts are, and what figures lose by them.
func TestThresholds(t *testing.T) {
	samples := smoothSamples(6, 90)
	whole := evaluate(t, samples)
	want := whole.Result().Figures()
	ones := slices.Repeat([]int{1}, len(samples))
	for _, n := range []int{2, 3, 50, 1000} {
		cuts := whole.Thresholds(n)
		if len(cuts) > n+whole.Result().Instances || !slices.IsSortedFunc(cuts, func(a, b float32) int { return int(math.Copysign(1, float64(b-a))) }) {
			t.Errorf("%d cuts for %d: %v", len(cuts), n, cuts)
		}
		lowest := float32(math.Inf(1))
		for _, s := range samples {
			lowest = min(lowest, slices.Min(s.Map))
		}
		if cuts[len(cuts)-1] != lowest {
			t.Errorf("the last of %d cuts is %v, the smallest score %v", n, cuts[len(cuts)-1], lowest)
		}
		if n < 50 {
			continue
		}
		// IAP looks at the scores of instances alone, which are thresholds. Ranks within a part are lost: that is half of a part's share of pairs for
		// AUROC, and at most a part's share of recall for the others.
		for i, f := range resampler(t, samples, cuts).Result(ones).Figures() {
			limit := 4 / float64(n)
			if f.Key == "iap" || f.Key == "iap90" {
				limit = 1e-12
			}
			if off := math.Abs(*f.Value - *want[i].Value); f.Key != "pixel_f1_threshold" && !(off <= limit) {
				t.Errorf("%d thresholds: %v, want %v", n, f, want[i])
			}
		}
	}
	if cuts := new(Evaluator).Thresholds(9); cuts != nil {
		t.Errorf("without pixels: %v", cuts)
	}
}

func TestResamplerRefuses(t *testing.T) {
	r := NewResampler([]float32{0.9, 0.5})
	for name, s := range map[string]Sample{
		"below": {Width: 2, Height: 1, Map: []float32{0.95, 0.4}},
		"NaN":   {Score: math.NaN()},
	} {
		if err := r.Add(s); !errors.Is(err, ErrSample) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := r.Result(nil); got != (Result{}) {
		t.Errorf("without pictures: %+v", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("a number too many did not panic")
		}
	}()
	r.Result([]int{1})
}

func BenchmarkResample(b *testing.B) {
	samples := smoothSamples(83, 256)
	whole := evaluate(b, samples)
	r := resampler(b, samples, whole.Thresholds(4096))
	times := make([]int, len(samples))
	random := rand.New(rand.NewPCG(1, 2))
	for range times {
		times[random.IntN(len(times))]++
	}
	for b.Loop() {
		r.Result(times)
	}
}
