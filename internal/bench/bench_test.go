package bench

import (
	"context"
	"errors"
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/onednn"
	"github.com/destseg/destseg/engine/plain"
	"github.com/destseg/destseg/network"
)

func TestMeasure(t *testing.T) {
	engines := []engine.Engine{plain.New()}
	if e, err := onednn.New(); err == nil {
		engines = append(engines, e)
	}
	size := network.Size{Batch: 2, Height: 32, Width: 64}
	for _, e := range engines {
		works := []Work{Inference(size)}
		if e.Name() != "plain" { // it takes long to train
			works = append(works, StudentStep(size), SegmentationStep(size))
		}
		for _, w := range works {
			r, err := Measure(context.Background(), e, engine.Options{Precision: engine.Float32}, w, Effort{Least: 2, Most: 2})
			if err != nil {
				t.Fatalf("%s, %s: %v", e.Name(), w.Name, err)
			}
			if r.What != w.Name || r.Batch != 2 || r.Width != 64 || r.Height != 32 || r.Runs != 2 || r.Precision != "fp32" {
				t.Errorf("%s: %+v", e.Name(), r)
			}
			if !(0 < r.Least && r.Least <= r.Median && r.Median <= r.P90 && r.P90 <= r.P99) {
				t.Errorf("%s, %s: times %v %v %v %v", e.Name(), w.Name, r.Least, r.Median, r.P90, r.P99)
			}
			if mean := 2 / r.PicturesPerSecond; !(r.Least <= mean && mean <= r.P99) {
				t.Errorf("%s, %s: %v pictures/s, times from %v to %v", e.Name(), w.Name, r.PicturesPerSecond, r.Least, r.P99)
			}
			tells := e.Name() != "plain"
			if (r.Floor > 0) != tells || (r.Ratio > 0) != tells || (len(r.Layers) > 0) != tells {
				t.Errorf("%s, %s: floor %v, ratio %v, %d layers", e.Name(), w.Name, r.Floor, r.Ratio, len(r.Layers))
			}
		}
	}
}

// TestMeasureInt8 measures inference, and refuses what has no int8.
func TestMeasureInt8(t *testing.T) {
	e, err := onednn.New()
	if err != nil {
		t.Skip(err)
	}
	size, o, once := network.Size{Batch: 2, Height: 32, Width: 32}, engine.Options{Precision: engine.Int8}, Effort{Least: 1, Most: 1}
	if _, err := Measure(t.Context(), e, o, StudentStep(size), once); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("a training step: error %v", err)
	}
	r, err := Measure(t.Context(), e, o, Inference(size), once)
	if errors.Is(err, engine.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil || r.Precision != "int8" || r.Runs != 1 || r.Floor <= 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestMeasureStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Measure(ctx, plain.New(), engine.Options{}, Inference(network.Size{Batch: 1, Height: 32, Width: 32}), Effort{Least: 1 << 20, Most: 1 << 20})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestQuantile(t *testing.T) {
	values := []float64{5, 1, 4, 2, 3}
	for q, want := range map[float64]float64{0: 1, 0.2: 1, 0.5: 3, 0.8: 4, 0.9: 5, 0.99: 5, 1: 5} {
		if got := quantile(values, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
}
