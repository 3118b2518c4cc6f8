package destseg

import (
	"errors"
	"fmt"
	"sync"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/network"
)

// ErrClosed is returned for work that is given to a detector after Close.
var ErrClosed = errors.New("the detector is closed")

// A Detector inspects pictures. It is safe for concurrent use: pictures are
// prepared and maps evaluated side by side, while runs of the networks, each of
// which uses all threads, wait for each other; see [WithBatch].
type Detector struct {
	record     Record
	engineName string
	runner     *runner
	inputs     sync.Pool // *[]float32 as normalized returns them, whose runs are over
}

// Open reads a detector that [Save] wrote and compiles its networks. Its errors
// are those of [Read] and [New]. Close it to free its memory.
func Open(path string, opts ...Option) (*Detector, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d, err := compile(f.record, f.tensor, opts)
	if errors.Is(err, ErrNotQuantized) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return d, err
}

// New makes a detector from a record and weights, values by published name, as
// [Save] takes them. Neither is kept.
//
// Errors wrap [ErrRecord] or [ErrTensors], or come from the engine:
// [engine.ErrUnavailable], [engine.ErrUnsupported], or [ErrNotQuantized] if it is to run in int8.
func New(r Record, values map[string][]float32, opts ...Option) (*Detector, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	if err := checkValues(values); err != nil {
		return nil, err
	}
	return compile(r, func(name string, v []float32) error {
		copy(v, values[name])
		return nil
	}, opts)
}

// compile takes the tensors one by one, so that an engine need not hold them in
// the form that they have in a file.
func compile(r Record, tensor func(name string, v []float32) error, opts []Option) (*Detector, error) {
	return compileChanged(r, tensor, opts, changed{
		graph:   func(g *graph.Graph) *graph.Graph { return g },
		program: func(p engine.Program) engine.Program { return p },
	})
}

// changed is how the networks and their program come back when they are to be changed.
type changed struct {
	graph   func(*graph.Graph) *graph.Graph
	program func(engine.Program) engine.Program
}

// compileChanged is compile for changed networks.
func compileChanged(r Record, tensor func(name string, v []float32) error, opts []Option, as changed) (*Detector, error) {
	var o options
	for _, set := range opts {
		set(&o)
	}
	r = r.clone()
	for _, change := range o.change {
		change(&r)
	}
	if len(o.change) > 0 {
		if err := r.Check(); err != nil {
			return nil, err
		}
	}
	switch o.Precision {
	case engine.Auto, engine.Float32, engine.BFloat16, engine.Int8:
	default:
		return nil, fmt.Errorf("%w: %v; known are auto, fp32, bf16 and int8", engine.ErrUnsupported, o.Precision)
	}
	if err := o.chooseEngine(); err != nil {
		return nil, err
	}
	o.Constants = tensor
	run, err := startRunner(o, r.Preprocessing.Width, r.Preprocessing.Height, func(batch int) (engine.Program, error) {
		g, err := network.Inference(network.Size{Batch: batch, Height: r.Preprocessing.Height, Width: r.Preprocessing.Width}, false)
		if err != nil {
			return nil, err
		}
		p, err := compileProgram(r, as.graph(g), o)
		if err != nil {
			return nil, err
		}
		return as.program(p), nil
	})
	if err != nil {
		return nil, err
	}
	return &Detector{record: r, engineName: o.engine.Name(), runner: run}, nil
}

// compileProgram lets auto take int8 where the detector is quantized and the processor
// has it.
func compileProgram(r Record, g *graph.Graph, o options) (engine.Program, error) {
	quantized, ok, err := r.inInt8(o.Precision, g)
	if err != nil {
		return nil, err
	}
	if ok {
		in8 := o.Options
		in8.Precision = engine.Int8
		p, err := o.engine.Compile(quantized, in8)
		if o.Precision == engine.Int8 || !errors.Is(err, engine.ErrUnsupported) {
			return p, err
		}
	}
	return o.engine.Compile(g, o.Options)
}

// clone copies what a caller could change in place. Measurements, the calibration, the
// ROI and the quantization are shared.
func (r Record) clone() Record {
	if r.Threshold != nil {
		r.Threshold = new(*r.Threshold)
		if r.Threshold.Heat != nil {
			r.Threshold.Heat = new(*r.Threshold.Heat)
		}
	}
	return r
}

// Record returns what is known about the detector. Its Metrics, Calibration, ROI and
// Quantization must not be changed.
func (d *Detector) Record() Record { return d.record.clone() }

// Precision returns what the networks compute in, never [engine.Auto].
func (d *Detector) Precision() engine.Precision { return d.runner.precision }

// Memory returns how many bytes the networks take, closed or not.
func (d *Detector) Memory() int64 { return d.runner.memory }

// EngineName returns the name and version of the engine.
func (d *Detector) EngineName() string { return d.engineName }

// Close waits for the run under way and frees the memory of the networks. What
// waits for another one, or is given to the detector afterwards, returns [ErrClosed].
func (d *Detector) Close() error { return d.runner.close() }
