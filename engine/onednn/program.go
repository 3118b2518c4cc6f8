//go:build cgo

package onednn

/*
#include <string.h>
#include "program.h"
*/
import "C"

import (
	"fmt"
	"maps"
	"unsafe"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/graph"
)

// program implements engine.Program.
type program struct {
	precision engine.Precision
	thread    *thread

	context      *C.dnn_context
	primitives   []*C.dnn_primitive
	call         call
	prepare, run list
	memory       unsafe.Pointer
	bytes        int

	writable map[string]*tensor // inputs and variables
	readable map[string]*tensor // variables and outputs
	frozen   map[string]bool    // of these, variables that prepare reads
	ready    bool               // prepare has run since they were written

	steps []engine.Step      // of run
	convs []*C.dnn_conv_spec // of run; nil for other steps
	floor *floor             // nil until it is asked for
}

// A list of steps that C runs.
type list struct {
	steps *C.ds_program
	count int
}

func (p *program) compile(g *graph.Graph, constants func(string, []float32) error, bf16 bool, tiling tiling, threads int) error {
	if err := check(C.dnn_open(&p.context), "opening the engine"); err != nil {
		return err
	}
	l := &lowering{
		context: p.context, bf16: bf16, tiling: tiling, graph: g, fusion: newFusion(g, C.dnn_native_int8() != 0),
		frozen: map[string]bool{}, baked: map[*graph.Node]bool{}, values: map[graph.Value]*tensor{}, converted: map[graph.Value]*tensor{}, outputs: map[string]*tensor{}, sums: map[windowed]*tensor{}, blocks: map[graph.Value]*tensor{},
	}
	if constants != nil {
		for _, n := range g.Constants() {
			l.baked[n] = true
		}
	}
	err := l.lower()
	p.primitives = l.primitives
	if err != nil {
		return err
	}
	p.writable, p.readable, p.frozen = map[string]*tensor{}, map[string]*tensor{}, l.frozen
	for _, n := range g.Inputs {
		p.writable[n.Name] = l.values[graph.Value{Node: n}]
	}
	for _, n := range g.Variables {
		if !l.baked[n] {
			t := l.values[graph.Value{Node: n}]
			p.writable[n.Name], p.readable[n.Name] = t, t
		}
	}
	maps.Copy(p.readable, l.outputs)
	p.describe(l)
	if err := p.assemble(l, threads); err != nil {
		return err
	}
	if constants == nil {
		return nil
	}
	return p.bake(l.loads, constants)
}

// bake loads the constants and prepares what is made of them, for good.
func (p *program) bake(loads []load, constants func(string, []float32) error) error {
	done := 0
	for _, from := range loads {
		if err := p.runSteps(p.prepare, done, from.before, nil); err != nil {
			return err
		}
		done = from.before
		if err := constants(from.name, p.values(from.to)); err != nil {
			return constantError{err}
		}
	}
	p.ready = true
	return p.runSteps(p.prepare, done, p.prepare.count, nil)
}

// assemble plans the memory, binds all operands to it and builds the lists of
// steps.
func (p *program) assemble(l *lowering, threads int) error {
	scratch := &buffer{bytes: l.scratch, keep: true}
	work := &buffer{bytes: 8 * int(C.ds_work_size(C.int(threads), C.long(l.channels))), keep: true}
	buffers := []*buffer{scratch, work}
	seen := map[*buffer]bool{}
	touch := func(t *tensor, at int) {
		if t == nil {
			return
		}
		if !seen[t.buf] {
			seen[t.buf] = true
			t.buf.first = at
			buffers = append(buffers, t.buf)
		}
		t.buf.last = at
	}
	for i, s := range append(append([]step{}, l.prepare...), l.run...) {
		for _, t := range s.operands {
			touch(t, i)
		}
	}
	for _, list := range []map[string]*tensor{p.writable, p.readable} {
		for _, t := range list {
			touch(t, 0)
		}
	}
	for b := range seen { // what prepare makes for the runs
		b.keep = b.keep || b.first < len(l.prepare) && b.last >= len(l.prepare)
	}
	p.bytes = layOut(buffers)
	if p.memory = C.ds_memory_new(C.size_t(p.bytes)); p.memory == nil {
		return fmt.Errorf("no memory for %d MiB; a smaller batch needs less", p.bytes>>20)
	}
	at := func(b *buffer) unsafe.Pointer { return unsafe.Add(p.memory, b.offset) }
	for _, part := range []struct {
		steps []step
		list  *list
	}{{l.prepare, &p.prepare}, {l.run, &p.run}} {
		if part.list.steps = C.ds_program_new(C.int(threads)); part.list.steps == nil {
			return fmt.Errorf("out of memory")
		}
		for _, s := range part.steps {
			if err := p.append(part.list.steps, s, at(scratch), at(work)); err != nil {
				return err
			}
		}
		part.list.count = len(part.steps)
	}
	return nil
}

// address of a tensor's first element; nil for an absent one.
func (p *program) address(t *tensor) unsafe.Pointer {
	if t == nil {
		return nil
	}
	return unsafe.Add(p.memory, t.buf.offset+t.offset*t.elementSize())
}

func (p *program) append(list *C.ds_program, s step, scratch, work unsafe.Pointer) error {
	if s.product != nil {
		return p.appendProduct(list, s, scratch, work)
	}
	if s.primitive != nil {
		o := s.operands
		var factors unsafe.Pointer
		if len(o) > 4 {
			factors = p.address(o[4])
		}
		status := C.dnn_bind(s.primitive, p.address(o[0]), p.address(o[1]), p.address(o[2]), p.address(o[3]), scratch, factors)
		if status == 0 {
			status = C.ds_append_primitive(list, s.primitive)
		}
		return check(status, s.node.Op.String())
	}
	a := p.args(s, work)
	return check(C.ds_append_kernel(list, s.kernel, &a, unsafe.SliceData(s.places), C.int(len(s.places))), s.node.Op.String())
}

// args are the operands of a kernel.
func (p *program) args(s step, work unsafe.Pointer) C.ds_args {
	a := C.ds_args{bf: flag(s.bf16), relu: flag(s.relu), work: (*C.double)(work)}
	for i, t := range s.operands {
		a.p[i] = p.address(t)
	}
	for i, n := range s.extents {
		a.n[i] = C.long(n)
	}
	for i, f := range s.constants {
		a.f[i] = C.float(f)
	}
	return a
}

// values are those of a row-major tensor in fp32.
func (p *program) values(t *tensor) []float32 {
	return unsafe.Slice((*float32)(p.address(t)), t.shape.Size())
}

// find checks a name and a length.
func find(list map[string]*tensor, name string, length int) (*tensor, error) {
	t, ok := list[name]
	if list == nil {
		return nil, engine.ErrClosed
	}
	if !ok {
		return nil, fmt.Errorf("%w: %q", engine.ErrUnknownTensor, name)
	}
	if size := t.shape.Size(); size != length {
		return nil, fmt.Errorf("%w: %q holds %d values, not %d", engine.ErrUnknownTensor, name, size, length)
	}
	return t, nil
}

// Write implements engine.Program.
func (p *program) Write(name string, v []float32) error {
	t, err := find(p.writable, name, len(v))
	if err != nil {
		return err
	}
	copy(p.values(t), v)
	if p.frozen[name] {
		p.ready = false
	}
	return nil
}

// Read implements engine.Program.
func (p *program) Read(name string, v []float32) error {
	t, err := find(p.readable, name, len(v))
	if err != nil {
		return err
	}
	copy(v, p.values(t))
	return nil
}

// Run implements engine.Program.
func (p *program) Run() error { return p.execute(nil) }

// execute is Run. Where seconds is not nil, it gains the time of each step.
func (p *program) execute(seconds *C.double) error {
	if p.thread == nil {
		return engine.ErrClosed
	}
	p.call.seconds = seconds
	p.thread.do(p.call.run)
	return p.call.err
}

// A call is a run on its way to the program's thread and back. The program
// keeps one, so that runs allocate nothing.
type call struct {
	run     func() // executes on the thread
	seconds *C.double
	err     error
}

func (p *program) executeHere() {
	if !p.ready {
		if p.call.err = p.runSteps(p.prepare, 0, p.prepare.count, nil); p.call.err != nil {
			return
		}
		p.ready = true
	}
	p.call.err = p.runSteps(p.run, 0, p.run.count, p.call.seconds)
}

// runSteps runs part of a list. Where seconds is not nil, it gains the time of
// each step. It is called on the program's thread.
func (p *program) runSteps(l list, first, end int, seconds *C.double) error {
	return check(C.ds_run(l.steps, C.int(first), C.int(end), p.context, seconds), "oneDNN: run")
}

// Precision implements engine.Program.
func (p *program) Precision() engine.Precision { return p.precision }

// Memory implements engine.Program.
func (p *program) Memory() int64 { return int64(p.bytes) }

// Close implements engine.Program.
func (p *program) Close() error {
	if p.thread == nil {
		return nil
	}
	p.thread.do(func() {
		for _, primitive := range p.primitives {
			C.dnn_destroy(primitive)
		}
		p.floor.free()
		C.ds_program_free(p.prepare.steps)
		C.ds_program_free(p.run.steps)
		C.ds_memory_free(p.memory, C.size_t(p.bytes))
		C.dnn_close(p.context)
	})
	p.thread.stop()
	*p = program{}
	return nil
}
