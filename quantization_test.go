package destseg

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/plain"
	"github.com/destseg/destseg/quantize"
	"github.com/destseg/destseg/synth"
)

// inInt8 skips a test where there is no int8.
func inInt8(t *testing.T) {
	t.Helper()
	if err := checkInt8(nil); errors.Is(err, engine.ErrUnsupported) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
}

// TestQuantize quantizes a detector, and opens it in all ways.
func TestQuantize(t *testing.T) {
	inInt8(t)
	set := writeSet(t)
	var good []string
	for _, s := range set.Train {
		good = append(good, s.Path)
	}
	path := filepath.Join(t.TempDir(), "x.safetensors")
	record := testRecord(64, 64)
	record.Threshold = &Threshold{Image: 0.5, Pixel: 0.5}
	if err := Save(path, record, drawn()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, WithPrecision(engine.Int8)); !errors.Is(err, ErrNotQuantized) || !strings.Contains(err.Error(), path) {
		t.Errorf("before it is quantized: error %v", err)
	}

	p := QuantizationPictures{Good: append(slices.Clone(good), "gone.png"), Synthetic: 3, Synthesis: synth.Settings{MinOpacity: 0.5, Seed: 5}}
	steps, total := 0, 0
	q, failed, err := Quantize(t.Context(), path, p, func(done, of int) { steps, total = done, of })
	if err != nil {
		t.Fatal(err)
	}
	if len(failed) != 1 || q.Good.Count != len(good) || q.Trial.Good != len(good) || q.Trial.Synthetic == 0 || steps == 0 || steps > total {
		t.Errorf("%d failed, %+v, %d of %d steps", len(failed), q, steps, total)
	}
	if digest, err := DigestPictures(good); err != nil || digest != q.Good {
		t.Errorf("by %+v, want %+v, %v", q.Good, digest, err)
	}
	if f := q.Trial; f.Float32.ImageAUROC == nil || f.Int8.PixelAP == nil || !(f.MeanDifference <= f.LargestDifference) || f.LargestDifference == 0 {
		t.Errorf("%+v", f)
	}
	// The steps are those of the file's own networks over the same pictures.
	if again, _, err := Quantize(t.Context(), path, QuantizationPictures{Good: good}, nil, WithPrecision(engine.BFloat16)); err != nil ||
		again.Steps.Inputs["segmentation_net.head.1.weight"] != q.Steps.Inputs["segmentation_net.head.1.weight"] || again.Trial.Float32.ImageAUROC != nil {
		t.Errorf("%+v, %v", again.Trial, err)
	}

	if err := Update(path, func(r *Record) error { r.Quantization = &q; return nil }); err != nil {
		t.Fatal(err)
	}
	inspect := func(want engine.Precision, opts ...Option) float64 {
		t.Helper()
		d, err := Open(path, opts...)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if d.Precision() != want {
			t.Errorf("computed in %v, want %v", d.Precision(), want)
		}
		i, err := d.InspectRGB(noise(1, 80, 70))
		if err != nil {
			t.Fatal(err)
		}
		return i.DeSTScore()
	}
	exact := inspect(engine.Float32, WithPrecision(engine.Float32))
	if rounded := inspect(engine.Int8, WithPrecision(engine.Int8)); rounded == exact || math.Abs(rounded/exact-1) > 0.1 {
		t.Errorf("score %v in int8, %v in fp32", rounded, exact)
	}
	passed := Trial{}
	if !passed.Passed() {
		t.Error("what differs in nothing fails")
	}
	inspect(engine.Int8, WithRecord(func(r *Record) { r.Quantization = &Quantization{q.Steps, q.Good, passed} }))
	auto, err := engine.PrecisionInForce(mustEngine(t), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	inspect(auto, WithRecord(func(r *Record) {
		r.Quantization = &Quantization{q.Steps, q.Good, Trial{MeanDifference: 2 * MaxScoreDifference}}
	}))

	// An engine without int8 takes what it has, unless it is told to.
	if d, err := Open(path, WithEngine(plain.New())); err != nil || d.Precision() != engine.Float32 {
		t.Errorf("the plain engine: %v", err)
	} else {
		d.Close()
	}
	if _, err := Open(path, WithEngine(plain.New()), WithPrecision(engine.Int8)); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("the plain engine in int8: %v", err)
	}
	if _, err := Open(path, WithPrecision(engine.Int8), WithRecord(func(r *Record) {
		r.Quantization = &Quantization{Steps: quantize.Steps{Inputs: map[string]float64{"other": 1}}}
	})); !errors.Is(err, ErrRecord) {
		t.Errorf("steps of other networks: %v", err)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	if _, _, err := Quantize(ctx, path, p, func(done, _ int) {
		if done == 5 {
			cancel(why)
		}
	}); !errors.Is(err, why) {
		t.Errorf("ended with error %v", err)
	}
}

func mustEngine(t *testing.T) engine.Engine {
	t.Helper()
	e, err := NewEngine("auto")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestQuantizeRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := Save(path, testRecord(32, 32), drawn()); err != nil {
		t.Fatal(err)
	}
	// A plain engine says so at once, before it looks for pictures.
	if _, _, err := Quantize(t.Context(), path, QuantizationPictures{}, nil, WithEngine(plain.New())); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("error %v", err)
	}
	inInt8(t)
	if _, failed, err := Quantize(t.Context(), path, QuantizationPictures{Good: []string{"gone.png"}}, nil); !errors.Is(err, ErrNoPictures) || len(failed) != 1 {
		t.Errorf("error %v", err)
	}
	if _, _, err := Quantize(t.Context(), "gone.safetensors", QuantizationPictures{}, nil); err == nil {
		t.Error("a file that is not there is quantized")
	}
}

func TestTrialPassed(t *testing.T) {
	figures := func(auroc, ap float64) TrialFigures { return TrialFigures{&auroc, &ap} }
	for _, c := range []struct {
		trial Trial
		want  bool
	}{
		{Trial{}, true},
		{Trial{MeanDifference: 0.049}, true},
		{Trial{MeanDifference: 0.051}, false},
		{Trial{Float32: figures(0.9, 0.8), Int8: figures(0.896, 0.781)}, true},
		{Trial{Float32: figures(0.9, 0.8), Int8: figures(0.894, 0.8)}, false},
		{Trial{Float32: figures(0.9, 0.8), Int8: figures(0.9, 0.779)}, false},
		{Trial{Float32: figures(0.8, 0.7), Int8: figures(0.9, 0.9)}, true}, // it finds more
		{Trial{MeanDifference: math.NaN()}, false},
	} {
		if got := c.trial.Passed(); got != c.want {
			t.Errorf("%+v: %v", c.trial, got)
		}
	}
}

func TestCheckQuantization(t *testing.T) {
	good := quantize.Steps{Inputs: map[string]float64{"w": -0.5}}
	for _, c := range []struct {
		q    Quantization
		fine bool
	}{
		{Quantization{Steps: good}, true},
		{Quantization{}, false},
		{Quantization{Steps: quantize.Steps{Inputs: map[string]float64{"w": 0}}}, false},
		{Quantization{Steps: good, Good: PicturesRecord{Count: -1}}, false},
	} {
		r := testRecord(64, 64)
		r.Quantization = &c.q
		if err := r.Check(); (err == nil) != c.fine || err != nil && !errors.Is(err, ErrRecord) {
			t.Errorf("%+v: %v", c.q, err)
		}
	}
}
