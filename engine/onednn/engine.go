//go:build cgo

package onednn

/*
#cgo CFLAGS: -std=gnu11 -O3 -fopenmp -Wall -Wextra
#cgo LDFLAGS: -ldnnl -lgomp -lm
#include "program.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/graph"
)

// New returns the engine.
func New() (engine.Engine, error) { return dnn{tiling{chunk: chunkBytes}}, nil }

type dnn struct{ tiling tiling }

// Name implements engine.Engine.
func (dnn) Name() string {
	v := int(C.dnn_version())
	return fmt.Sprintf("oneDNN %d.%d.%d", v/10000, v/100%100, v%100)
}

// Compile implements engine.Engine.
func (d dnn) Compile(g *graph.Graph, o engine.Options) (engine.Program, error) {
	precision := o.Precision
	if precision == engine.Int8 {
		if err := checkInt8(g); err != nil {
			return nil, err
		}
	}
	bf16 := precision == engine.BFloat16
	if precision == engine.Auto || precision == engine.Int8 {
		bf16 = C.dnn_native_bf16() != 0
	}
	if precision == engine.Auto {
		precision = engine.Float32
		if bf16 {
			precision = engine.BFloat16
		}
	}
	threads := o.Threads
	switch {
	case threads < 0 || threads > math.MaxInt16:
		return nil, fmt.Errorf("oneDNN: %w: %d threads", engine.ErrUnsupported, threads)
	case threads == 0:
		threads = runtime.GOMAXPROCS(0)
	}
	p := &program{precision: precision, thread: startThread()}
	p.call.run = p.executeHere
	var err error
	p.thread.do(func() {
		err = p.compile(g, o.Constants, bf16, d.tiling, int(C.ds_thread_init(C.int(threads))))
	})
	if err != nil {
		p.Close()
		if of := (constantError{}); errors.As(err, &of) {
			return nil, of.error
		}
		if precision == engine.BFloat16 && C.dnn_native_bf16() == 0 && errors.Is(err, engine.ErrUnsupported) {
			return nil, fmt.Errorf("oneDNN: this processor has no bf16; use fp32: %w", err)
		}
		return nil, fmt.Errorf("oneDNN: %w", err)
	}
	return p, nil
}

// checkInt8 refuses graphs that aren't quantized, and processors that compute with
// 8-bit integers no faster than with fp32.
func checkInt8(g *graph.Graph) error {
	if C.dnn_native_int8() == 0 {
		return fmt.Errorf("oneDNN: %w: this processor multiplies no 8-bit integers for int8 (AVX-VNNI, AVX512-VNNI or AMX); use bf16, fp32 or auto", engine.ErrUnsupported)
	}
	if !slices.ContainsFunc(g.Nodes, func(n *graph.Node) bool { return n.Op == graph.OpQuantize }) {
		return fmt.Errorf("oneDNN: %w: int8 takes a quantized graph", engine.ErrUnsupported)
	}
	return nil
}

// A constantError is what the caller's source of constants returned.
type constantError struct{ error }

// A thread is one thread of the operating system that runs what it is given.
// OpenMP keeps a pool of workers for each thread that it is called from, so a
// program stays on one.
type thread struct {
	calls chan func()
	done  chan struct{}
}

func startThread() *thread {
	t := &thread{calls: make(chan func()), done: make(chan struct{})}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for f := range t.calls {
			f()
			t.done <- struct{}{}
		}
	}()
	return t
}

func (t *thread) do(f func()) {
	t.calls <- f
	<-t.done
}

func (t *thread) stop() { close(t.calls) }

// check turns a status of oneDNN into an error.
func check(status C.int, what string) error {
	switch status {
	case C.dnnl_success:
		return nil
	case C.dnnl_unimplemented:
		return fmt.Errorf("%w: %s", engine.ErrUnsupported, what)
	case C.dnnl_out_of_memory:
		return fmt.Errorf("%s: out of memory; a smaller batch needs less", what)
	}
	return fmt.Errorf("%s: status %d", what, int(status))
}
