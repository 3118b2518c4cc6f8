package destseg

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/metric"
	"github.com/destseg/destseg/quantize"
	"github.com/destseg/destseg/synth"
)

// ErrNotQuantized is wrapped by the error for a detector that is asked to run in int8
// but has no [Quantization].
var ErrNotQuantized = errors.New("the detector is not quantized")

// A Quantization is what a detector needs to run in 8-bit integers, [engine.Int8].
type Quantization struct {
	Steps quantize.Steps `json:"steps"`
	Good  PicturesRecord `json:"good"` // pictures by which the steps were chosen
	Trial Trial          `json:"trial"`
}

// A Trial compares a detector in int8 with itself in fp32: on the good pictures by which
// it was quantized, and on synthetic anomalies made on these.
type Trial struct {
	Good      int `json:"good"`      // pictures
	Synthetic int `json:"synthetic"` // anomalies that show

	// Of image scores, int8 against fp32.
	MeanDifference    float64 `json:"mean_score_difference"`
	LargestDifference float64 `json:"largest_score_difference"`
	Verdicts          int     `json:"verdicts_changed"` // 0 without a threshold

	Float32 TrialFigures `json:"fp32"`
	Int8    TrialFigures `json:"int8"`
}

// TrialFigures tell, for one precision in a [Trial], how well anomalies are told from
// good pictures, and their pixels from others, at network scale. They are nil without
// anomalies.
type TrialFigures struct {
	ImageAUROC *float64 `json:"image_auroc"`
	PixelAP    *float64 `json:"pixel_ap"`
}

// What int8 may lose in a trial that it passes.
const (
	MaxAUROCLoss       = 0.005 // of image AUROC
	MaxAPLoss          = 0.02  // of pixel AP
	MaxScoreDifference = 0.05  // of image scores, in the mean
)

// Passed reports whether int8 finds about what fp32 finds: it loses no more than
// [MaxAUROCLoss] and [MaxAPLoss], and scores differ by [MaxScoreDifference] at most in
// the mean.
func (t Trial) Passed() bool {
	return t.MeanDifference <= MaxScoreDifference &&
		loss(t.Float32.ImageAUROC, t.Int8.ImageAUROC) <= MaxAUROCLoss && loss(t.Float32.PixelAP, t.Int8.PixelAP) <= MaxAPLoss
}

func loss(before, after *float64) float64 {
	if before == nil || after == nil {
		return 0
	}
	return *before - *after
}

func (q *Quantization) check() error {
	if err := q.Steps.Check(); err != nil {
		return fmt.Errorf("quantization: %w", err)
	}
	if q.Good.Count < 0 || q.Trial.Good < 0 || q.Trial.Synthetic < 0 {
		return fmt.Errorf("quantization by %d pictures, tried on %d and %d anomalies", q.Good.Count, q.Trial.Good, q.Trial.Synthetic)
	}
	return nil
}

// QuantizationPictures are what a detector is quantized by.
type QuantizationPictures struct {
	Good []string // paths of good pictures, at least one
	// Synthetic is how many synthetic anomalies are made on the good pictures for the
	// trial, by the settings of Synthesis, of which Width and Height don't matter.
	Synthetic int
	Synthesis synth.Settings
}

// Quantize chooses the steps in which a detector's file is to be computed in int8, and
// tries that. It changes nothing: [Update] can put the result into the record, after
// which [Open] takes int8 for [engine.Auto] where the processor has it, if the trial was
// passed.
//
// The detector runs in fp32 over the good pictures, and each tensor that is rounded gets
// a step by what it held; see package quantize. Then the detector runs in both precisions
// over the same pictures and over synthetic anomalies.
//
// Pictures that can't be read are returned as failed and left out. If ctx ends, the
// error is its cause; if no picture could be read, it wraps [ErrNoPictures]; an engine or
// processor that has no int8 gives one wrapping [engine.ErrUnsupported]. Of the options,
// the precision does not matter. progress, if it is not nil, is called after each run
// over a picture.
func Quantize(ctx context.Context, path string, p QuantizationPictures, progress func(done, total int), opts ...Option) (Quantization, []FailedPicture, error) {
	var q Quantization
	if err := checkInt8(opts); err != nil {
		return q, nil, err
	}
	c := calibration{total: 3*len(p.Good) + 2*p.Synthetic, progress: progress}
	observed, steps, err := observe(ctx, path, p.Good, &c, opts)
	if err != nil {
		return q, c.failed, err
	}
	q.Steps = steps
	if q.Good, err = digestPictures(ctx, observed); err != nil {
		return q, c.failed, err
	}
	p.Good = observed
	var runs [2]trialRun
	for i, precision := range []engine.Precision{engine.Float32, engine.Int8} {
		d, err := Open(path, append(slices.Clone(opts), WithPrecision(precision), WithRecord(func(r *Record) { r.Quantization = &q }))...)
		if err != nil {
			return q, c.failed, err
		}
		runs[i], err = c.try(ctx, d, p)
		d.Close()
		if err != nil {
			return q, c.failed, err
		}
	}
	q.Trial = compareRuns(&runs[0], &runs[1])
	return q, c.failed, nil
}

// checkInt8 finds out, before anything takes long, whether there is int8 here.
func checkInt8(opts []Option) error {
	var o options
	for _, set := range opts {
		set(&o)
	}
	if err := o.chooseEngine(); err != nil {
		return err
	}
	g := new(graph.Graph)
	g.Output("y", g.Quantize(g.Input("x", 1, 1, 1, 1), 1, false))
	p, err := o.engine.Compile(g, engine.Options{Precision: engine.Int8, Threads: 1})
	if err != nil {
		return err
	}
	return p.Close()
}

// observe runs a detector over pictures and returns those that could be read, and the
// steps for what it computed.
func observe(ctx context.Context, path string, paths []string, c *calibration, opts []Option) ([]string, quantize.Steps, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, quantize.Steps{}, err
	}
	defer f.Close()
	var collector *quantize.Collector
	d, err := compileChanged(f.record, f.tensor, append(slices.Clone(opts), WithPrecision(engine.Float32)), changed{
		graph: func(g *graph.Graph) *graph.Graph {
			observed, points := quantize.Observe(g)
			collector = quantize.NewCollector(points)
			return observed
		},
		program: func(p engine.Program) engine.Program { return &observer{p, collector} },
	})
	if err != nil {
		return nil, quantize.Steps{}, err
	}
	defer d.Close()
	c.detector = d
	good, err := c.inspect(ctx, paths)
	if err != nil {
		return nil, quantize.Steps{}, err
	}
	if len(good.paths) == 0 {
		return nil, quantize.Steps{}, c.none("good")
	}
	steps, err := collector.Steps()
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return good.paths, steps, err
}

// An observer is a program whose runs a collector sees.
type observer struct {
	engine.Program
	collector *quantize.Collector
}

func (o *observer) Run() error {
	if err := o.Program.Run(); err != nil {
		return err
	}
	return o.collector.Add(o.Read)
}

// A trialRun is what a detector says in one precision.
type trialRun struct {
	threshold *Threshold
	good      []float64 // scores
	synthetic []float64
	all       metric.Evaluator
}

func (c *calibration) try(ctx context.Context, d *Detector, p QuantizationPictures) (trialRun, error) {
	c.detector = d
	r := trialRun{threshold: d.record.Threshold}
	for f := range d.InspectFiles(ctx, p.Good) {
		if err := context.Cause(ctx); err != nil {
			return r, err
		}
		if f.Err != nil {
			return r, f.Err // it could be read before
		}
		i := f.Inspection
		r.good = append(r.good, i.Score)
		err := r.all.Add(metric.Sample{
			Score: i.Score, Width: i.scaledWidth, Height: i.scaledHeight, Map: i.Map(i.scaledWidth, i.scaledHeight),
			Mask: make([]uint8, i.scaledWidth*i.scaledHeight),
		})
		if err != nil {
			return r, fmt.Errorf("%s: %w", f.Path, err)
		}
		c.step()
	}
	if p.Synthetic == 0 {
		return r, nil
	}
	err := c.synthesise(ctx, p.Good, p.Synthesis, p.Synthetic, func(s metric.Sample) error {
		r.synthetic = append(r.synthetic, s.Score)
		return r.all.Add(s)
	})
	return r, err
}

// compareRuns compares int8 with fp32.
func compareRuns(float32s, int8s *trialRun) Trial {
	t := Trial{Good: len(float32s.good), Synthetic: len(float32s.synthetic)}
	before, after := slices.Concat(float32s.good, float32s.synthetic), slices.Concat(int8s.good, int8s.synthetic)
	for i, score := range before {
		d := math.Abs(after[i] - score)
		t.MeanDifference += d / float64(len(before))
		t.LargestDifference = max(t.LargestDifference, d)
		if limit := float32s.threshold; limit != nil && (score > limit.Image) != (after[i] > limit.Image) {
			t.Verdicts++
		}
	}
	t.Float32, t.Int8 = float32s.figures(), int8s.figures()
	return t
}

func (r *trialRun) figures() TrialFigures {
	result := r.all.Result()
	return TrialFigures{result.ImageAUROC, result.PixelAP}
}

// inInt8 reports whether a detector is to run in int8, and returns the graph for that.
func (r Record) inInt8(p engine.Precision, g *graph.Graph) (*graph.Graph, bool, error) {
	q := r.Quantization
	switch {
	case p == engine.Int8 && q == nil:
		return nil, false, fmt.Errorf("%w: int8 needs what `destseg quantize` finds out", ErrNotQuantized)
	case p != engine.Int8 && (p != engine.Auto || q == nil || !q.Trial.Passed()):
		return nil, false, nil
	}
	quantized, err := quantize.Graph(g, q.Steps)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return quantized, true, nil
}
