package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/internal/ort"
	"github.com/destseg/destseg/internal/wholefile"
	"github.com/destseg/destseg/metric"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/onnx"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/quantize"
)

// A race is between a detector on two engines.
type race struct {
	options
	record destseg.Record
	values map[string][]float32
	inputs [][]float32 // normalised pictures
	folder string      // of models

	ours, theirs string // names of the engines
	contenders   []*contender
	closers      []func() error
}

// A contender is the detector on one engine in one precision, for a batch.
type contender struct {
	engine, precision string
	batch             int
	call              func() (outcome, error)

	times []float64 // seconds a call
	last  outcome
}

// An outcome is what a call came to.
type outcome struct {
	maps   []float32 // of all pictures, at the network's size
	scores []float64
	took   time.Duration
}

func (r *race) close() error {
	var errs []error
	for _, c := range r.closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// prepare compiles programs and opens models.
func (r *race) prepare() error {
	e, err := destseg.NewEngine("auto")
	if err != nil {
		return err
	}
	r.ours = e.Name()
	precisions := []engine.Precision{engine.Float32}
	auto, err := engine.PrecisionInForce(e, engine.Options{})
	if err != nil {
		return err
	}
	if auto == engine.BFloat16 {
		precisions = append(precisions, auto)
	}
	models := []onnx.Precision{onnx.Float32}
	if r.record.Quantization != nil {
		precisions, models = append(precisions, engine.Int8), append(models, onnx.Int8)
	}
	for _, batch := range r.batches {
		for _, p := range precisions {
			if err := r.addOurs(e, p, batch); err != nil {
				return fmt.Errorf("%s, %v, batch %d: %w", r.ours, p, batch, err)
			}
		}
	}
	for _, p := range models {
		if err := r.addTheirs(p); err != nil {
			return fmt.Errorf("ONNX Runtime, %v: %w", p, err)
		}
	}
	slices.SortStableFunc(r.contenders, func(a, b *contender) int { return a.batch - b.batch })
	return nil
}

// addOurs adds our engine.
func (r *race) addOurs(e engine.Engine, precision engine.Precision, batch int) error {
	how := r.record.Preprocessing
	g, err := network.Inference(network.Size{Batch: batch, Height: how.Height, Width: how.Width}, false)
	if err == nil && precision == engine.Int8 {
		g, err = quantize.Graph(g, r.record.Quantization.Steps)
	}
	if err != nil {
		return err
	}
	p, err := e.Compile(g, engine.Options{Precision: precision, Threads: r.threads, Constants: func(name string, v []float32) error {
		copy(v, r.values[name])
		return nil
	}})
	if err != nil {
		return err
	}
	r.closers = append(r.closers, p.Close)
	input := slices.Concat(r.inputs[:batch]...)
	width, height := how.Width/network.MapStride, how.Height/network.MapStride
	coarse, cells, pixels := make([]float32, batch*width*height), width*height, how.Width*how.Height
	r.contenders = append(r.contenders, &contender{engine: r.ours, precision: precision.String(), batch: batch, call: func() (outcome, error) {
		begin := time.Now()
		if err := errors.Join(p.Write(network.Image, input), p.Run(), p.Read(network.Segmentation, coarse)); err != nil {
			return outcome{}, err
		}
		o := outcome{maps: make([]float32, batch*pixels)}
		for b := range batch {
			m := o.maps[b*pixels : (b+1)*pixels]
			picture.ResizeMap(coarse[b*cells:(b+1)*cells], width, height, how.Width, how.Height, m)
			const scorePixels = 100
			o.scores = append(o.scores, metric.TopMean(m, scorePixels))
		}
		o.took = time.Since(begin)
		return o, nil
	}})
	return nil
}

// addTheirs adds ONNX Runtime, for all batches.
func (r *race) addTheirs(precision onnx.Precision) error {
	path := filepath.Join(r.folder, precision.String()+".onnx")
	err := wholefile.Write(path, func(w io.Writer) error {
		return onnx.Write(w, r.record, r.values, onnx.Options{Precision: precision, WithoutROI: true})
	})
	if err != nil {
		return err
	}
	process, err := ort.Start()
	if err != nil {
		return err
	}
	r.closers = append(r.closers, process.Close)
	if _, _, err := process.Open(path, r.threads); err != nil {
		return err
	}
	r.theirs = "ONNX Runtime " + process.Version
	how := r.record.Preprocessing
	for _, batch := range r.batches {
		input := map[string]ort.Tensor{onnx.Image: {Shape: []int{batch, 3, how.Height, how.Width}, Floats: slices.Concat(r.inputs[:batch]...)}}
		r.contenders = append(r.contenders, &contender{engine: r.theirs, precision: precision.String(), batch: batch, call: func() (outcome, error) {
			outputs, took, err := process.Run(input)
			if err != nil {
				return outcome{}, err
			}
			o := outcome{maps: outputs[onnx.AnomalyMap].Floats, took: took}
			for _, x := range outputs[onnx.Score].Floats {
				o.scores = append(o.scores, float64(x))
			}
			return o, nil
		}})
	}
	return nil
}

// measure lets the contenders take turns.
func (r *race) measure(ctx context.Context) error {
	const warm = 2 // rounds that don't count: memory and code are made on demand
	for round := range warm + r.rounds {
		for _, c := range r.contenders {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			// Threads of the one before may spin for some milliseconds.
			time.Sleep(50 * time.Millisecond)
			o, err := c.call()
			if err != nil {
				return fmt.Errorf("%s, %s, batch %d: %w", c.engine, c.precision, c.batch, err)
			}
			if c.last = o; round >= warm {
				c.times = append(c.times, o.took.Seconds())
			}
		}
	}
	return nil
}

// apart returns the largest differences of maps and of scores.
func apart(a, b outcome) (maps, scores float64) {
	for i, v := range a.maps {
		maps = max(maps, math.Abs(float64(v-b.maps[i])))
	}
	for i, v := range a.scores {
		scores = max(scores, math.Abs(v-b.scores[i]))
	}
	return maps, scores
}
