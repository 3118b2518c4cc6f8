// Package plain is an engine in portable Go. It is slow beside a vendor's
// library, needs nothing but the Go compiler and follows the contract of
// package graph to the letter, so that tests measure other engines by it.
//
// A program is a flat list of steps, one for each node that an output or an
// update depends on. Tensors lie in memory as their shapes say, row-major.
// Buffers are planned at compilation and reused once the last reader is done.
// Convolutions are matrix products that gather their windows block by block;
// statistics, norms, losses and other long sums add up in float64. Work is cut
// into pieces of fixed size, so results don't depend on the number of threads.
package plain

import (
	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/graph"
)

// New returns the engine that computes in float32. It refuses every other
// precision with [engine.ErrUnsupported].
func New() engine.Engine { return plain[float32]{name: "plain"} }

// NewFloat64 returns an engine that computes in float64 throughout. Its
// programs implement [Program64] and report [engine.Float32], the closest
// precision that has a name.
func NewFloat64() engine.Engine { return plain[float64]{name: "plain float64"} }

// Program64 is a program of the engine from NewFloat64. Its tensors can be
// written and read without rounding to float32, as numerical derivatives need.
type Program64 interface {
	engine.Program
	// Write64 is Write in float64.
	Write64(name string, v []float64) error
	// Read64 is Read in float64.
	Read64(name string, v []float64) error
}

// real is what a program computes in.
type real interface{ ~float32 | ~float64 }

type plain[T real] struct{ name string }

func (e plain[T]) Name() string { return e.name }

func (e plain[T]) Compile(g *graph.Graph, o engine.Options) (engine.Program, error) {
	p, err := compile[T](g, o)
	if err != nil {
		return nil, err
	}
	if wide, ok := any(p).(*program[float64]); ok {
		return program64{wide}, nil
	}
	return p, nil
}
