package calibrate

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// TestBounds compares with the definition: k or fewer of n have the rest of the
// confidence for their probability.
func TestBounds(t *testing.T) {
	binomial := func(k, n int, p float64) float64 { // P(X ≤ k)
		sum := 0.0
		for i := 0; i <= k; i++ {
			c := 1.0
			for j := range i {
				c *= float64(n-j) / float64(j+1)
			}
			sum += c * math.Pow(p, float64(i)) * math.Pow(1-p, float64(n-i))
		}
		return sum
	}
	for _, c := range []struct{ k, n int }{{0, 1}, {0, 20}, {1, 20}, {7, 20}, {19, 20}, {3, 300}} {
		near(t, "at most", binomial(c.k, c.n, AtMost(c.k, c.n)), 1-Confidence, 1e-8)
		if c.k > 0 {
			near(t, "at least", binomial(c.k-1, c.n, AtLeast(c.k, c.n)), Confidence, 1e-8)
		}
	}
	near(t, "0 of 20", AtMost(0, 20), 1-math.Pow(0.05, 1.0/20), 1e-9)
	if AtMost(5, 5) != 1 || AtLeast(0, 5) != 0 {
		t.Error("the ends are not 0 and 1")
	}
}

func TestFalseAlarmsByOrder(t *testing.T) {
	scores := make([]float64, 199)
	for i := range scores {
		scores[i] = float64(i+1) / 200
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(scores), func(i, j int) { scores[i], scores[j] = scores[j], scores[i] })
	for rate, k := range map[float64]int{0.005: 1, 0.01: 2, 0.014: 2, 0.07: 14, 0.5: 100, 0.999: 199} {
		got, modelled := FalseAlarms(scores, rate)
		if want := float64(200-k) / 200; got != want || modelled {
			t.Errorf("rate %v: %v, want the %d-th largest %v", rate, got, k, want)
		}
	}
	if got, modelled := FalseAlarms([]float64{0.2, 0.3}, 0.01); got != 0.3 || modelled {
		t.Errorf("of two: %v, %v", got, modelled)
	}
	if got, modelled := FalseAlarms([]float64{0.3, 0.3, 0.3, 0.3}, 0.01); got != 0.3 || !modelled {
		t.Errorf("of equal ones: %v, %v", got, modelled)
	}
	if got, _ := FalseAlarms([]float64{0, 0.5, 1}, 0.01); got != 1 {
		t.Errorf("of extremes: %v", got)
	}
}

// TestFalseAlarmsModel draws samples too small for the rate and counts how many
// further scores lie above the threshold: for normal logits about as many as promised,
// for logits that lean to the left, as those of good pictures do, as well.
func TestFalseAlarmsModel(t *testing.T) {
	const rate = 0.01
	r := rand.New(rand.NewPCG(2, 2))
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	for name, draw := range map[string]func() float64{
		"normal":  func() float64 { return sigmoid(r.NormFloat64() - 1) },
		"leaning": func() float64 { x := r.NormFloat64(); return sigmoid(min(x, 2*x) - 1) },
	} {
		later := make([]float64, 20000)
		for i := range later {
			later[i] = draw()
		}
		slices.Sort(later)
		for _, n := range []int{5, 10, 20, 60} {
			const samples = 3000
			mean := 0.0
			for range samples {
				scores := make([]float64, n)
				for i := range scores {
					scores[i] = draw()
				}
				threshold, modelled := FalseAlarms(scores, rate)
				if !modelled || threshold < slices.Max(scores) {
					t.Fatalf("threshold %v of %v, modelled %v", threshold, scores, modelled)
				}
				at, _ := slices.BinarySearch(later, threshold)
				mean += float64(len(later)-at) / float64(len(later)) / samples
			}
			if mean < rate/2 || mean > 2*rate {
				t.Errorf("%s, %d pictures: %.4f above, %v promised", name, n, mean, rate)
			}
		}
	}
}

func TestLabelled(t *testing.T) {
	good := []float64{0.1, 0.2, 0.2, 0.5}
	defective := []float64{0.4, 0.6, 0.6, 0.9, 0.15}
	near(t, "F1", F1(good, defective), 0.3, 1e-12) // 4 of 5 with 1 false alarm, 0.8; at 0.55 it is 3 of 5 with none, 0.75
	near(t, "recall 0.6", Recall(good, defective, 0.6), 0.55, 1e-12)
	near(t, "recall 0.61", Recall(good, defective, 0.61), 0.3, 1e-12)
	near(t, "recall 1", Recall(good, defective, 1), 0.125, 1e-12)
	if got := Recall(nil, []float64{0, 0}, 1); got != 0 {
		t.Errorf("of zeros: %v", got)
	}

	// Against all thresholds there are.
	r := rand.New(rand.NewPCG(3, 3))
	for range 200 {
		good, defective := make([]float64, r.IntN(8)), make([]float64, 1+r.IntN(8))
		for i := range good {
			good[i] = float64(r.IntN(8)) / 10
		}
		for i := range defective {
			defective[i] = float64(1+r.IntN(8)) / 10
		}
		f1 := func(at float64) float64 {
			tp, fp := float64(Above(defective, at)), float64(Above(good, at))
			return 2 * tp / (tp + fp + float64(len(defective)))
		}
		best := 0.0
		for at := -0.05; at < 1; at += 0.1 {
			best = max(best, f1(at))
		}
		near(t, "best F1", f1(F1(good, defective)), best, 1e-12)
		for _, recall := range []float64{0.1, 0.5, 0.8, 1} {
			at := Recall(good, defective, recall)
			if caught := float64(Above(defective, at)); caught < recall*float64(len(defective)) {
				t.Errorf("recall %v of %v: %v", recall, defective, at)
			}
		}
	}
}
