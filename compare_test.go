package destseg

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/metric"
)

// scored makes a resampler of pictures without maps, the first half of them good.
func scored(t *testing.T, scores []float64) *metric.Resampler {
	t.Helper()
	r := metric.NewResampler(nil)
	for i, score := range scores {
		if err := r.Add(metric.Sample{Score: score, Defective: i >= len(scores)/2}); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// halves are the draws of so many pictures, the first half of them good.
func halves(pictures int, o CompareOptions) *draws {
	d := &draws{options: o}
	for i := range pictures {
		d.strata[2*i/pictures] = append(d.strata[2*i/pictures], i)
	}
	return d
}

// TestCoverage checks that intervals hold the true difference as often as they say:
// of two detectors that are equally good, and of two that are not.
func TestCoverage(t *testing.T) {
	const pictures, trials = 80, 100
	o := CompareOptions{Resamples: 200, Confidence: 0.9}
	ones := slices.Repeat([]int{1}, pictures)
	for _, gain := range []float64{0, 1} {
		random := rand.New(rand.NewPCG(4, uint64(gain)))
		// Scores are a common difficulty, an error of each, and the distance of the
		// classes, 1 for A; AUROC is the normal distribution function of it over the
		// deviation of a difference of two scores, 2.
		truth := 0.5*math.Erfc(-(1+gain)/2/math.Sqrt2) - 0.5*math.Erfc(-1/2./math.Sqrt2)
		held, beyond := 0, 0
		for trial := range trials {
			var a, b []float64
			for i := range pictures {
				common, defective := random.NormFloat64(), float64(2*i/pictures)
				a = append(a, common+random.NormFloat64()+defective)
				b = append(b, common+random.NormFloat64()+defective*(1+gain))
			}
			o.Seed = uint64(trial)
			p := pair{scored(t, a), scored(t, b)}
			list, err := halves(pictures, o).differences(t.Context(), p, p[0].Result(ones), p[1].Result(ones), 0)
			if err != nil {
				t.Fatal(err)
			}
			d := list[0]
			if d.Key != "image_auroc" || !(*d.Low <= *d.High) || list[2].Low != nil || list[2].Missing == "" {
				t.Fatalf("%+v", list)
			}
			if *d.Low <= truth && truth <= *d.High {
				held++
			}
			if d.BeyondChance() {
				beyond++
			}
		}
		// 90 of 100 are expected, with a deviation of 3; the method itself is a little
		// off at 40 + 40 pictures.
		if held < 80 || held > 98 {
			t.Errorf("gain %v: %d of %d intervals of 90 %% hold the difference %.3f", gain, held, trials, truth)
		}
		if gain == 0 && beyond > 20 || gain == 1 && beyond < 60 {
			t.Errorf("gain %v: %d of %d differences are beyond chance", gain, beyond, trials)
		}
	}
}

func TestInterval(t *testing.T) {
	var values []float64
	for i := range 199 {
		values = append(values, float64(199-i))
	}
	low, high := interval(values, 0.9)
	if math.Abs(*low-10) > 1e-9 || math.Abs(*high-190) > 1e-9 {
		t.Errorf("%v to %v, want 10 to 190", *low, *high)
	}
	if low, high = interval([]float64{3}, 0.95); *low != 3 || *high != 3 {
		t.Errorf("of one value: %v to %v", *low, *high)
	}
	if low, high = interval([]float64{1, 2}, 0.5); *low != 1 || *high != 2 {
		t.Errorf("of two values: %v to %v", *low, *high)
	}
	if low, high = interval(nil, 0.95); low != nil || high != nil {
		t.Errorf("of none: %v to %v", low, high)
	}
}

func TestDraws(t *testing.T) {
	d := halves(10, CompareOptions{Seed: 3})
	d.strata[0] = append(d.strata[0], d.strata[1][0])
	d.strata[1] = d.strata[1][1:]
	several := false
	for n := range 50 {
		times := d.times(n)
		good := 0
		for _, i := range d.strata[0] {
			good += times[i]
		}
		defective := 0
		for _, i := range d.strata[1] {
			defective += times[i]
		}
		if good != 6 || defective != 4 || !slices.Equal(times, d.times(n)) {
			t.Fatalf("set %d: %v", n, times)
		}
		several = several || slices.Max(times) > 1
	}
	if !several || slices.Equal(d.times(0), d.times(1)) {
		t.Error("nothing is drawn twice")
	}
}

func TestCompare(t *testing.T) {
	set := writeSet(t)
	if err := os.Truncate(filepath.Join(set.Root, "test", "good", "1.png"), 100); err != nil {
		t.Fatal(err)
	}
	a, b := newDetector(t, testRecord(32, 32)), newDetector(t, testRecord(64, 32))
	var last [2]int
	o := CompareOptions{
		Resamples: 100, Seed: 5,
		Inspected: func(done, total int) { last[0] = 100*done + total },
		Resampled: func(done, total int) { last[1] = 1000*done + total },
	}
	got, err := Compare(t.Context(), a, b, set, o)
	if err != nil {
		t.Fatal(err)
	}
	if last != [2]int{606, 200_200} {
		t.Errorf("progress %v", last)
	}
	for i, d := range []*Detector{a, b} {
		want, err := Evaluate(t.Context(), d, set, nil)
		if err != nil {
			t.Fatal(err)
		}
		e := []Evaluation{got.A, got.B}[i]
		sameJSON(t, e.Segmentation, want.Segmentation)
		sameJSON(t, e.DeST, want.DeST)
		sameJSON(t, e.Failed, want.Failed)
		sameJSON(t, e.Scores, want.Scores)
	}
	if len(got.Segmentation) != 8 || len(got.DeST) != 8 {
		t.Fatalf("%d and %d figures", len(got.Segmentation), len(got.DeST))
	}
	for _, d := range append(got.Segmentation, got.DeST...) {
		if d.Difference == nil || *d.Difference != *d.B-*d.A || !(*d.Low <= *d.High) || d.Missing != "" {
			t.Errorf("%+v", d)
		}
	}
	if text := strings.Join(got.Protocol, "\n"); !strings.Contains(text, "95 %, percentile bootstrap, 100 test sets drawn with seed 5") {
		t.Errorf("protocol: %s", text)
	}
	if testing.Short() {
		return // slow without oneDNN
	}
	if again, err := Compare(t.Context(), a, b, set, o); err != nil {
		t.Error(err)
	} else {
		sameJSON(t, again.Segmentation, got.Segmentation)
		sameJSON(t, again.DeST, got.DeST)
	}
	// A detector does not differ from itself, whatever is drawn.
	same, err := Compare(t.Context(), a, a, set, CompareOptions{Resamples: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range append(same.Segmentation, same.DeST...) {
		if *d.Difference != 0 || *d.Low != 0 || *d.High != 0 || d.BeyondChance() {
			t.Errorf("with itself: %+v", d)
		}
	}
}

func TestCompareRefuses(t *testing.T) {
	d := newDetector(t, testRecord(32, 32))
	set := writeSet(t)
	cause := errors.New("enough")
	for _, when := range []string{"inspecting", "resampling"} {
		ctx, cancel := context.WithCancelCause(context.Background())
		defer cancel(nil)
		o := CompareOptions{Resamples: 100}
		stop := func(int, int) { cancel(cause) }
		if when == "inspecting" {
			o.Inspected = stop
		} else {
			o.Resampled = stop
		}
		if _, err := Compare(ctx, d, d, set, o); !errors.Is(err, cause) {
			t.Errorf("cancelled while %s: %v", when, err)
		}
	}
	if _, err := Compare(t.Context(), d, d, &dataset.Set{Root: "somewhere"}, CompareOptions{}); !errors.Is(err, ErrNoPictures) {
		t.Errorf("no test pictures: %v", err)
	}
	gone := &dataset.Set{Root: "somewhere", Test: []dataset.Sample{{Path: "gone.png"}}}
	if _, err := Compare(t.Context(), d, d, gone, CompareOptions{}); !errors.Is(err, ErrNoPictures) || strings.Count(err.Error(), "gone.png") != 1 {
		t.Errorf("nothing readable: %v", err)
	}
	if _, err := Compare(t.Context(), d, d, set, CompareOptions{Confidence: 1}); err == nil {
		t.Error("a confidence of 1 is taken")
	}
}
