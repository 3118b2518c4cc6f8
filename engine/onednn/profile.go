//go:build cgo

package onednn

/*
#include "program.h"
*/
import "C"

import (
	"fmt"
	"math"
	"slices"
	"time"
	"unsafe"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/graph"
)

// describe keeps what profiles say about the steps of a run.
func (p *program) describe(l *lowering) {
	for _, s := range l.run {
		d := engine.Step{Op: s.node.Op, Name: weightsOf(s.node, l.fusion.users), Shape: s.node.Shapes[0]}
		switch {
		case s.primitive == nil:
			d.Kernel = C.GoString(C.ds_kernel_name(s.kernel))
		default:
			d.Kernel = C.GoString(&s.primitive.implementation[0])
			if s.product != nil {
				d.Kernel = "winograd " + d.Kernel
			}
			c := s.conv
			d.Operations = 2 * float64(c.n*c.o*c.p*c.q) * float64(c.c*c.kernel*c.kernel)
		}
		p.steps = append(p.steps, d)
		p.convs = append(p.convs, s.conv)
	}
}

// weightsOf names the variable whose layer a node belongs to.
func weightsOf(n *graph.Node, users map[graph.Value][]*graph.Node) string {
	for _, v := range n.In {
		if !v.IsNone() && v.Node.Op == graph.OpQuantizeWeights {
			v = v.Node.In[0]
		}
		if !v.IsNone() && v.Node.Op == graph.OpVariable {
			return v.Node.Name
		}
	}
	for i := range n.Shapes {
		for _, user := range users[graph.Value{Node: n, Index: i}] {
			if user.Op == graph.OpSGD {
				return user.In[0].Node.Name
			}
		}
	}
	return ""
}

// Steps implements engine.Profiler.
func (p *program) Steps() []engine.Step { return p.steps }

// Profile implements engine.Profiler.
func (p *program) Profile() ([]time.Duration, error) {
	seconds := make([]C.double, p.run.count+1) // never empty
	if err := p.execute(&seconds[0]); err != nil {
		return nil, err
	}
	return durations(seconds[:p.run.count]), nil
}

// Floor implements engine.Profiler.
func (p *program) Floor() ([]time.Duration, error) {
	if p.thread == nil {
		return nil, engine.ErrClosed
	}
	times := make([]time.Duration, len(p.convs))
	if !slices.ContainsFunc(p.convs, func(c *C.dnn_conv_spec) bool { return c != nil }) {
		return times, nil
	}
	var seconds []C.double
	var err error
	p.thread.do(func() {
		if p.floor == nil {
			if p.floor, err = newFloor(p.context, p.convs); err != nil {
				return
			}
		}
		seconds = make([]C.double, p.floor.list.count+1)
		err = p.runSteps(p.floor.list, 0, p.floor.list.count, &seconds[0])
	})
	if err != nil {
		return nil, err
	}
	alone := durations(seconds)
	at := 0
	for i, c := range p.convs {
		if c != nil {
			times[i] = alone[at]
			at++
		}
	}
	return times, nil
}

func durations(seconds []C.double) []time.Duration {
	d := make([]time.Duration, len(seconds))
	for i, s := range seconds {
		d[i] = time.Duration(float64(s) * float64(time.Second))
	}
	return d
}

// A floor is the convolutions of a program, each by itself and direct. All read the same
// operands and none reads what another has written.
type floor struct {
	list       list
	primitives []*C.dnn_primitive
	memory     unsafe.Pointer
	bytes      int
}

func newFloor(context *C.dnn_context, convs []*C.dnn_conv_spec) (*floor, error) {
	f := &floor{}
	var source, filter, gradient, target, scratch buffer
	for _, c := range convs {
		if c == nil {
			continue
		}
		bare := *c
		bare.bias, bare.sum, bare.relu, bare.factors, bare.layout = 0, 0, 0, 0, C.DNN_ANY
		var p *C.dnn_primitive
		if err := check(C.dnn_conv_create(context, &bare, &p), "convolution by itself"); err != nil {
			f.free()
			return nil, err
		}
		f.primitives = append(f.primitives, p)
		source.bytes = max(source.bytes, int(p.src_size))
		filter.bytes = max(filter.bytes, int(p.weights_size))
		gradient.bytes = max(gradient.bytes, int(p.dst_size))
		target.bytes = max(target.bytes, int(max(p.src_size, p.weights_size, p.dst_size)))
		scratch.bytes = max(scratch.bytes, int(p.scratch_size))
	}
	buffers := []*buffer{&source, &filter, &gradient, &target, &scratch}
	for _, b := range buffers {
		b.keep = true
	}
	f.bytes = layOut(buffers)
	f.memory = C.ds_memory_new(C.size_t(f.bytes))
	f.list.steps = C.ds_program_new(1)
	if f.memory == nil || f.list.steps == nil {
		f.free()
		return nil, fmt.Errorf("no memory for %d MiB; a smaller batch needs less", f.bytes>>20)
	}
	at := func(b *buffer) unsafe.Pointer { return unsafe.Add(f.memory, b.offset) }
	for _, c := range convs {
		if c == nil {
			continue
		}
		p := f.primitives[f.list.count]
		src, weights, dst := at(&source), at(&filter), at(&gradient)
		switch c.kind {
		case C.DNN_FORWARD:
			dst = at(&target)
		case C.DNN_BACKWARD_DATA:
			src = at(&target)
		case C.DNN_BACKWARD_WEIGHTS:
			weights = at(&target)
		}
		status := C.dnn_bind(p, src, weights, nil, dst, at(&scratch), nil)
		if status == 0 {
			status = C.ds_append_primitive(f.list.steps, p)
		}
		if err := check(status, "convolution by itself"); err != nil {
			f.free()
			return nil, err
		}
		f.list.count++
	}
	for _, b := range []*buffer{&source, &filter, &gradient} {
		fill(unsafe.Slice((*uint32)(at(b)), b.bytes/4), isBFloat16(convs))
	}
	return f, nil
}

func isBFloat16(convs []*C.dnn_conv_spec) bool {
	for _, c := range convs {
		if c != nil {
			return c.bf16 != 0
		}
	}
	return false
}

// fill writes numbers of ordinary size, since zeros cost less power and let a
// processor run faster: fp32, or pairs of bf16.
func fill(words []uint32, bf16 bool) {
	state := uint32(1)
	for i := range words {
		state = state*1664525 + 1013904223
		bits := math.Float32bits(float32(int32(state)) / (1 << 31))
		if bf16 {
			bits = bits&0xffff0000 | bits>>16
		}
		words[i] = bits
	}
}

// free releases everything. It is called on the program's thread.
func (f *floor) free() {
	if f == nil {
		return
	}
	for _, p := range f.primitives {
		C.dnn_destroy(p)
	}
	C.ds_program_free(f.list.steps)
	C.ds_memory_free(f.memory, C.size_t(f.bytes))
}
