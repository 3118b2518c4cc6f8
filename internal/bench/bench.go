// Package bench measures programs of an engine: how long a call takes, and how
// near that is to the time which direct convolutions alone would take.
package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/internal/memory"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/quantize"
)

// A Work is what is measured.
type Work struct {
	Name  string // as results call it
	Size  network.Size
	build func(network.Size) (*graph.Graph, error)
}

// Inference is a run of the whole detector, from normalised pictures to both maps.
func Inference(s network.Size) Work {
	return Work{"inference", s, func(s network.Size) (*graph.Graph, error) { return network.Inference(s, false) }}
}

var published = network.Training{Momentum: 0.9, WeightDecay: 1e-4}

// StudentStep is a training step of stage 1, from normalised pictures to the
// loss, update included.
func StudentStep(s network.Size) Work {
	return Work{"stage 1", s, func(s network.Size) (*graph.Graph, error) { return network.StudentStep(s, published) }}
}

// SegmentationStep is StudentStep for stage 2.
func SegmentationStep(s network.Size) Work {
	return Work{"stage 2", s, func(s network.Size) (*graph.Graph, error) { return network.SegmentationStep(s, published) }}
}

// ClassifierStep is StudentStep for a classifier of as many classes as the teacher
// inside the program was trained with.
func ClassifierStep(s network.Size) Work {
	return Work{"pretraining", s, func(s network.Size) (*graph.Graph, error) {
		const classes, smoothing = 311, 0.1
		return network.ClassifierStep(s, classes, smoothing, published)
	}}
}

// Effort says how long to measure: until both the time has passed and the least
// number of runs is done, and at most Most runs.
type Effort struct {
	Time        time.Duration
	Least, Most int
}

// A Result is the outcome for a Work. Times are in seconds.
type Result struct {
	What   string `json:"what"`
	Batch  int    `json:"batch"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Runs   int    `json:"runs"`

	Precision string `json:"precision"`

	// Of a call: writing the inputs, the run, and reading the outputs.
	Median float64 `json:"median_seconds"`
	Least  float64 `json:"least_seconds"`
	P90    float64 `json:"p90_seconds"`
	P99    float64 `json:"p99_seconds"`

	PicturesPerSecond float64 `json:"pictures_per_second"` // over all calls

	// Floor is the median time of direct convolutions alone, run after each call,
	// and Ratio the median of time over floor of each pair. Convolutions by tiles
	// undercut it. 0: the engine doesn't tell.
	Floor float64 `json:"floor_seconds,omitempty"`
	Ratio float64 `json:"ratio,omitempty"`

	ProgramMemory int64 `json:"program_bytes,omitempty"` // what the engine holds for it
	PeakMemory    int64 `json:"peak_bytes,omitempty"`    // of the process meanwhile, without the floor's operands

	Layers []Layer `json:"layers,omitempty"`
}

// A Layer is one step of a run. Times are medians in seconds.
type Layer struct {
	Op         string  `json:"op"`
	Name       string  `json:"name,omitempty"` // of its weights
	Shape      []int   `json:"shape"`
	Kernel     string  `json:"kernel"`
	Operations float64 `json:"operations,omitempty"` // additions and multiplications of a convolution
	Time       float64 `json:"seconds"`
	Floor      float64 `json:"floor_seconds,omitempty"`
}

// Measure compiles a work and runs it on random pictures and weights. Each call
// is followed by one of the floor, so that a processor that others use as well
// slows both alike.
func Measure(ctx context.Context, e engine.Engine, o engine.Options, w Work, effort Effort) (Result, error) {
	g, err := w.build(w.Size)
	if err != nil {
		return Result{}, err
	}
	if o.Precision == engine.Int8 {
		if g, err = quantized(g, e, o, w); err != nil {
			return Result{}, err
		}
	}
	peakKnown := memory.StartPeak()
	p, err := compile(g, e, o)
	if err != nil {
		return Result{}, err
	}
	defer p.Close()
	c := newCaller(g, p)
	for range 2 { // caches, huge pages, code made on demand
		if _, err := c.call(); err != nil {
			return Result{}, err
		}
	}
	r := Result{What: w.Name, Batch: w.Size.Batch, Width: w.Size.Width, Height: w.Size.Height, Precision: p.Precision().String()}
	if peakKnown {
		r.PeakMemory = memory.Peak()
	}
	var l layers
	var times, floors, ratios []float64
	for start := time.Now(); r.Runs < effort.Most && (r.Runs < effort.Least || time.Since(start) < effort.Time); r.Runs++ {
		if err := context.Cause(ctx); err != nil {
			return Result{}, err
		}
		begin := time.Now()
		steps, err := c.call()
		if err != nil {
			return Result{}, err
		}
		seconds := time.Since(begin).Seconds()
		times = append(times, seconds)
		if c.profiler == nil {
			continue
		}
		alone, err := c.profiler.Floor()
		if err != nil {
			return Result{}, err
		}
		floor := l.add(steps, alone)
		floors = append(floors, floor)
		ratios = append(ratios, seconds/floor)
	}
	r.Median, r.Least, r.P90, r.P99 = quantile(times, 0.5), slices.Min(times), quantile(times, 0.9), quantile(times, 0.99)
	var total float64
	for _, seconds := range times {
		total += seconds
	}
	r.PicturesPerSecond = float64(r.Batch*r.Runs) / total
	if c.profiler != nil {
		r.Floor, r.Ratio = quantile(floors, 0.5), quantile(ratios, 0.5)
		r.ProgramMemory = c.profiler.Memory()
		r.Layers = l.list(c.profiler.Steps())
	}
	return r, nil
}

// quantized returns a work's graph as it is for int8, in steps by a random picture.
func quantized(g *graph.Graph, e engine.Engine, o engine.Options, w Work) (*graph.Graph, error) {
	if len(g.Updates) > 0 {
		return nil, fmt.Errorf("%s: %w: int8 is for inference", w.Name, engine.ErrUnsupported)
	}
	single := w.Size
	single.Batch = 1
	one, err := w.build(single)
	if err != nil {
		return nil, err
	}
	observed, points := quantize.Observe(one)
	o.Precision = engine.Float32
	p, err := compile(observed, e, o)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	if _, err := newCaller(observed, p).call(); err != nil {
		return nil, err
	}
	c := quantize.NewCollector(points)
	if err := c.Add(p.Read); err != nil {
		return nil, err
	}
	steps, err := c.Steps()
	if err != nil {
		return nil, err
	}
	return quantize.Graph(g, steps)
}

// compile gives constants and variables their initial values, and what has none
// ordinary numbers.
func compile(g *graph.Graph, e engine.Engine, o engine.Options) (engine.Program, error) {
	initial := map[string]func(*rand.Rand) []float32{}
	for _, t := range network.Tensors() {
		initial[t.Name] = t.Initial
	}
	value := func(name string, v []float32) {
		if draw := initial[name]; draw != nil {
			copy(v, draw(rand.New(rand.NewPCG(0, uint64(len(v))))))
		}
	}
	o.Constants = func(name string, v []float32) error {
		value(name, v)
		return nil
	}
	p, err := e.Compile(g, o)
	if err != nil {
		return nil, err
	}
	for _, u := range g.Updates {
		v := make([]float32, u.Variable.Shapes[0].Size())
		value(u.Variable.Name, v)
		if err := p.Write(u.Variable.Name, v); err != nil {
			p.Close()
			return nil, err
		}
	}
	return p, nil
}

// A caller uses a program as others do: it writes the inputs, runs it and reads
// the outputs.
type caller struct {
	program         engine.Program
	profiler        engine.Profiler // the same, or nil
	inputs, outputs map[string][]float32
}

func newCaller(g *graph.Graph, p engine.Program) caller {
	profiler, _ := p.(engine.Profiler)
	c := caller{p, profiler, map[string][]float32{}, map[string][]float32{}}
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range g.Inputs {
		v := make([]float32, n.Shapes[0].Size())
		for i := range v {
			switch {
			case len(n.Shapes[0]) == 0:
				v[i] = 1e-6 // a rate: weights move, as when training, but stay what they are
			case n.Name == network.Mask:
				v[i] = float32(random.IntN(2))
			default:
				v[i] = float32(random.NormFloat64())
			}
		}
		c.inputs[n.Name] = v
	}
	for _, out := range g.Outputs {
		c.outputs[out.Name] = make([]float32, out.Value.Shape().Size())
	}
	return c
}

// call returns the times of the steps, if the program tells them.
func (c caller) call() (steps []time.Duration, err error) {
	for name, v := range c.inputs {
		if err := c.program.Write(name, v); err != nil {
			return nil, err
		}
	}
	if c.profiler != nil {
		steps, err = c.profiler.Profile()
	} else {
		err = c.program.Run()
	}
	if err != nil {
		return nil, err
	}
	for name, v := range c.outputs {
		if err := c.program.Read(name, v); err != nil {
			return nil, err
		}
		if math.IsNaN(float64(v[0])) {
			return nil, fmt.Errorf("%s is no number", name)
		}
	}
	return steps, nil
}

// layers gathers the times of steps and floors, by step.
type layers struct{ times, floors [][]float64 }

// add returns the sum of the floors.
func (l *layers) add(steps, floors []time.Duration) float64 {
	if l.times == nil {
		l.times, l.floors = make([][]float64, len(steps)), make([][]float64, len(steps))
	}
	total := 0.0
	for i := range steps {
		l.times[i] = append(l.times[i], steps[i].Seconds())
		l.floors[i] = append(l.floors[i], floors[i].Seconds())
		total += floors[i].Seconds()
	}
	return total
}

func (l *layers) list(steps []engine.Step) []Layer {
	list := make([]Layer, len(steps))
	for i, s := range steps {
		list[i] = Layer{
			Op: s.Op.String(), Name: s.Name, Shape: s.Shape, Kernel: s.Kernel, Operations: s.Operations,
			Time: quantile(l.times[i], 0.5), Floor: quantile(l.floors[i], 0.5),
		}
	}
	return list
}

// quantile returns the value that the share q of all does not exceed.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(int(math.Ceil(q*float64(len(sorted))))-1, 0)]
}
