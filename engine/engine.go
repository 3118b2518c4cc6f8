// Package engine says what an engine promises: it compiles a graph for the
// shapes it was built with and for a precision, and runs it.
package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/destseg/destseg/graph"
)

// Precision is what activations and the operands of convolutions are held in.
// Variables, statistics and losses are at least float32 in any case.
type Precision int

const (
	// Auto takes BFloat16 where the processor computes with it natively, else Float32.
	Auto Precision = iota
	// Float32 is IEEE single precision.
	Float32
	// BFloat16 has float32's range and 8 bits of precision.
	BFloat16
	// Int8 is for graphs with rounded operands, [graph.OpQuantize], as package quantize
	// makes them: convolutions of these are computed in 8-bit integers with sums of 32
	// bits, and all the rest in what Auto takes. The other precisions compute the same
	// graph, and it is up to the engine what its convolutions are computed in.
	Int8
)

var precisionNames = [...]string{"auto", "fp32", "bf16", "int8"}

// String returns the name that ParsePrecision reads.
func (p Precision) String() string {
	if p < 0 || int(p) >= len(precisionNames) {
		return fmt.Sprintf("Precision(%d)", int(p))
	}
	return precisionNames[p]
}

// ParsePrecision reads "auto", "fp32", "bf16" or "int8".
func ParsePrecision(s string) (Precision, error) {
	for i, name := range precisionNames {
		if s == name {
			return Precision(i), nil
		}
	}
	return 0, fmt.Errorf("precision %q; known are auto, fp32, bf16 and int8", s)
}

var (
	// ErrUnavailable means that this build or machine lacks the engine. The
	// error around it says what to install.
	ErrUnavailable = errors.New("engine is not available")
	// ErrUnsupported means that the engine can't compile what was asked for.
	ErrUnsupported = errors.New("not supported by the engine")
	// ErrUnknownTensor means that a program has no tensor of that name, or
	// one of another size.
	ErrUnknownTensor = errors.New("no such tensor of that size in the program")
	// ErrClosed means that a program is used after Close.
	ErrClosed = errors.New("the program is closed")
)

// Options of a compilation. The zero value means automatic precision and one
// thread for each processor that the process may use. What can't be had, such as
// a negative number of threads, is [ErrUnsupported].
type Options struct {
	Precision Precision
	Threads   int

	// Constants, if it is not nil, gives the values of the variables that no
	// update changes, [graph.Graph.Constants]. Compile asks once for each that
	// it needs and keeps what it makes of them, which takes less memory than
	// the variables themselves: the program then has no such variables. v has
	// the variable's size; an error ends the compilation, which returns it.
	Constants func(name string, v []float32) error
}

// An Engine turns graphs into programs. It is safe for concurrent use.
type Engine interface {
	// Name identifies the engine and its version in records and reports.
	Name() string
	// Compile plans a graph. The program starts with all variables at zero.
	Compile(g *graph.Graph, o Options) (Program, error)
}

// A Program is a compiled graph with the memory it runs in. It is used by one
// goroutine at a time.
//
// Tensors travel in the logical order of their shapes (N×C×H×W), row-major.
type Program interface {
	// Write sets an input or a variable; v has exactly its size. Inputs keep
	// their content until the next Write.
	Write(name string, v []float32) error
	// Run executes the graph once and applies its updates.
	Run() error
	// Read copies a variable or an output of the last run into v, which has
	// exactly its size.
	Read(name string, v []float32) error
	// Precision is the one in force, never Auto.
	Precision() Precision
	// Memory is what the program holds, in bytes, without what a [Profiler]'s Floor adds.
	Memory() int64
	// Close frees the memory. Everything else returns ErrClosed afterwards.
	Close() error
}

// A Profiler is a Program that tells where its time goes.
type Profiler interface {
	Program
	// Steps lists what a run does, in order.
	Steps() []Step
	// Profile is Run, and returns the time that each of Steps took.
	Profile() ([]time.Duration, error)
	// Floor executes each convolution among Steps once by itself and directly, that
	// is tap by tap: with operands of its own in the layout that suits the library
	// best, and nothing fused into it. It returns the time of each; all other steps
	// have none. A run falls below the sum only where it takes fewer multiplications,
	// as by tiles.
	Floor() ([]time.Duration, error)
}

// A Step is one of the things that a run does.
type Step struct {
	Op         graph.Op
	Name       string      // of the weights that take part, if any do
	Shape      graph.Shape // of the result
	Kernel     string      // the engine's name for the code that does it
	Operations float64     // additions and multiplications of a convolution, else 0
}

// PrecisionInForce asks an engine what it would compute in, by way of a small
// program.
func PrecisionInForce(e Engine, o Options) (Precision, error) {
	g := &graph.Graph{}
	g.Output("y", g.Affine(g.Input("x", 1, 1, 4, 4), 1, 0))
	p, err := e.Compile(g, o)
	if err != nil {
		return 0, err
	}
	defer p.Close()
	return p.Precision(), nil
}
