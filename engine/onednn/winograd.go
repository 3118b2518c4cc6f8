//go:build cgo

package onednn

/*
#include "program.h"
*/
import "C"

import (
	"math"
	"unsafe"

	"github.com/destseg/destseg/graph"
)

// A winograd is how a convolution is computed by products of tiles, see winograd.c.
type winograd struct {
	spec  C.dnn_conv_spec
	side  int // of a tile, in results
	tiles int // in all pictures
	group int // tiles in which chunks begin anew
	chunk int // tiles that go through the product together
}

// A product is a step's products of matrices and the parts around them.
type product struct {
	source, weights, target *tensor
	before                  []step
	after                   *step
	tiles, group, chunk     int
}

// A tiling says which convolutions are computed by tiles, and in what chunks.
type tiling struct {
	always bool // all that can be, and not just those that take less time
	side   int  // of the tiles in bf16, or 0: of which they take the least time
	chunk  int  // bytes that the numbers of a chunk take, about
}

const (
	chunkBytes = 8 << 20 // what stays in the processor's caches
	leastChunk = 32      // tiles, whatever they take
	// Chunks are so many times as large where each adds to all of the sums for the gradient
	// of weights.
	sumChunks = 3
)

// winograd returns how to compute a convolution by products of tiles, if that takes less
// time. Where AMX computes in bf16 it never does.
func (l *lowering) winograd(s *C.dnn_conv_spec, frozen bool) (best winograd, ok bool) {
	if s.kernel != 3 || s.stride != 1 || s.integer != 0 || s.c%C.DNN_BLOCK != 0 || s.o%C.DNN_BLOCK != 0 {
		return best, false
	}
	if l.bf16 && hasAMX() && !l.tiling.always {
		return best, false
	}
	least := math.Inf(1)
	if !l.tiling.always {
		least = tapsInside(s.p, s) * tapsInside(s.q, s) * float64(l.tiledPictures(s)*int(s.c*s.o))
		if l.bf16 {
			least /= 2
		}
	}
	for _, side := range l.tileSides(s.kind) {
		w := l.tiles(s, side)
		if cost := w.cost(frozen); cost < least {
			best, least, ok = w, cost, true
		}
	}
	return best, ok
}

// tileSides lists the tiles that round little enough. Those of 4×4 lose half a digit of fp32,
// those of 6×6 another half, which is nothing beside bf16; the first is nothing beside what
// the order of sums does to gradients. In fp32 the way forward has tiles of 2×2, and none
// where something is trained: a loss that agrees with the vectors in 7 digits would do so in 6.
func (l *lowering) tileSides(kind C.int) []int {
	switch {
	case l.bf16 && l.tiling.side != 0:
		return []int{l.tiling.side}
	case l.bf16:
		return []int{4, 6}
	case kind != C.DNN_FORWARD:
		return []int{4}
	case l.inference():
		return []int{2}
	}
	return nil
}

func (l *lowering) inference() bool { return len(l.graph.Updates) == 0 }

// tiledPictures is how many pictures' tiles may share a product. What is found in one must
// not depend on what goes with it, but the last digits of a product may depend on its size
// and on where in it a tile lies.
func (l *lowering) tiledPictures(s *C.dnn_conv_spec) int {
	if l.inference() {
		return 1
	}
	return int(s.n)
}

// tiles cuts a convolution's results.
func (l *lowering) tiles(s *C.dnn_conv_spec, side int) winograd {
	height, width := s.p, s.q
	if s.kind == C.DNN_BACKWARD_DATA {
		height, width = s.h, s.w
	}
	each := int(C.ds_tiles(height, width, s.dilation, C.long(side)))
	w := winograd{spec: *s, side: side, tiles: int(s.n) * each, group: l.tiledPictures(s) * each}
	bytes := l.tiling.chunk
	if s.kind == C.DNN_BACKWARD_WEIGHTS {
		bytes *= sumChunks
	}
	if side == 6 {
		bytes *= 2 // lest a chunk have half as many tiles as one of 4×4
	}
	chunks := (w.group-1)/max(bytes/(4*w.places()*int(s.c+s.o)), leastChunk) + 1
	// Odd, lest the matrices of all places begin at the same line of a cache.
	w.chunk = (w.group+chunks-1)/chunks | 1
	return w
}

// cost estimates the time of a group, in multiplications of fp32.
func (w winograd) cost(frozen bool) float64 {
	channels, weights := float64(w.spec.c+w.spec.o), float64(w.spec.c*w.spec.o)
	perNumber, perWeight := 50., 40. // what transforming one takes, and bringing a weight in
	if w.side == 6 {
		perNumber = 60
	}
	if frozen {
		perWeight = 30
	}
	return float64(w.places()) * (float64(w.group)*(weights+perNumber*channels) + perWeight*weights)
}

// hasAMX reports whether the processor computes in bf16 sixteen times as fast as in fp32.
func hasAMX() bool { return C.dnn_tiles_bf16() != 0 }

// tapsInside is how many taps of all rows, or columns, of results fall into the source and
// not into the padding, which a direct convolution leaves out.
func tapsInside(results C.long, s *C.dnn_conv_spec) float64 {
	rows := max(results-s.padding, 0) // for which the first or last tap is inside
	return float64(results + 2*rows)
}

// places is how many numbers a transformed tile has for each channel.
func (w winograd) places() int { return (w.side + 2) * (w.side + 2) }

// matrices makes room for those of all places, of rows×columns each.
func (w winograd) matrices(rows, columns int) *tensor {
	return newTensor(graph.Shape{w.places(), rows, columns}, false, false)
}

// filter transforms weights, once if they are frozen.
func (l *lowering) filter(n *graph.Node, w winograd, from *tensor, frozen bool) *tensor {
	out, in, turned := int(w.spec.o), int(w.spec.c), w.spec.kind == C.DNN_BACKWARD_DATA
	to := w.matrices(in, out)
	l.emitTo(frozen, step{
		node: n, kernel: C.DS_FILTER_TILES, operands: []*tensor{from, to}, extents: []int{out, in, int(flag(turned)), w.side},
	})
	return to
}

// sourceTiles is the part that transforms what a convolution reads, whose results have
// height×width pixels.
func (w winograd) sourceTiles(x *tensor, height, width int) step {
	margin := int(w.spec.padding)
	if w.spec.kind == C.DNN_BACKWARD_DATA {
		margin = int(2*w.spec.dilation) - margin
	}
	return step{
		kernel: C.DS_SOURCE_TILES, operands: []*tensor{x, w.matrices(w.chunk, x.channels())}, bf16: x.bf16,
		extents: []int{0, 0, 0, x.shape[2], x.shape[3], x.channels(), x.ld, height, width, margin, int(w.spec.dilation), w.side},
	}
}

// convolveTiles emits a convolution of x, or the gradient of one's source from that of its
// result, into y.
func (l *lowering) convolveTiles(n *graph.Node, w winograd, x, filter, bias, y *tensor) error {
	from, to := x.channels(), y.channels()
	p, err := l.newProduct(w, w.chunk, from, to, false, false)
	if err != nil {
		return err
	}
	source := w.sourceTiles(x, y.shape[2], y.shape[3])
	results := w.matrices(w.chunk, to)
	target := step{
		kernel: C.DS_TARGET_TILES, operands: []*tensor{results, bias, y}, bf16: y.bf16, relu: w.spec.relu != 0,
		extents: []int{0, 0, 0, y.shape[2], y.shape[3], to, y.ld, int(w.spec.dilation), w.side, int(w.spec.sum)},
	}
	l.emitProduct(n, w, p, product{source: source.operands[1], weights: filter, target: results, before: []step{source}, after: &target})
	return nil
}

// filterGradient emits the gradient of weights, row-major.
func (l *lowering) filterGradient(n *graph.Node, w winograd, x, dy, dw *tensor) error {
	in, out := x.channels(), dy.channels()
	p, err := l.newProduct(w, in, w.chunk, out, true, true)
	if err != nil {
		return err
	}
	source := w.sourceTiles(x, dy.shape[2], dy.shape[3])
	gradient := step{
		kernel: C.DS_GRADIENT_TILES, operands: []*tensor{dy, w.matrices(w.chunk, out)}, bf16: dy.bf16,
		extents: []int{0, 0, 0, dy.shape[2], dy.shape[3], out, dy.ld, dy.shape[2], dy.shape[3], 0, int(w.spec.dilation), w.side},
	}
	sums := w.matrices(in, out)
	l.emit(step{node: n, kernel: C.DS_ZERO, operands: []*tensor{sums}, extents: []int{sums.shape[0] * in, out, out}})
	l.emitProduct(n, w, p, product{source: source.operands[1], weights: gradient.operands[1], target: sums, before: []step{source, gradient}})
	l.emit(step{node: n, kernel: C.DS_FILTER_GRADIENT, operands: []*tensor{sums, dw}, extents: []int{out, in, w.side}})
	return nil
}

// newProduct makes that of all places.
func (l *lowering) newProduct(w winograd, rows, inner, columns int, transposed, sum bool) (*C.dnn_primitive, error) {
	var p *C.dnn_primitive
	if err := check(C.dnn_product_create(l.context, C.long(w.places()), C.long(rows), C.long(inner), C.long(columns), flag(transposed), flag(sum), &p), "product"); err != nil {
		return nil, err
	}
	l.own(p)
	return p, nil
}

func (l *lowering) emitProduct(n *graph.Node, w winograd, primitive *C.dnn_primitive, p product) {
	p.tiles, p.group, p.chunk = w.tiles, w.group, w.chunk
	operands := []*tensor{p.source, p.weights, p.target}
	for _, s := range p.before {
		operands = append(operands, s.operands...)
	}
	if p.after != nil {
		operands = append(operands, p.after.operands...)
	}
	l.emit(step{node: n, primitive: primitive, conv: &w.spec, operands: operands, product: &p})
}

// appendProduct is append for a product of tiles.
func (p *program) appendProduct(list *C.ds_program, s step, scratch, work unsafe.Pointer) error {
	o := s.product
	status := C.dnn_bind(s.primitive, p.address(o.source), p.address(o.weights), nil, p.address(o.target), scratch, nil)
	if err := check(status, "product"); err != nil {
		return err
	}
	none := C.ds_part{kernel: C.DS_KERNELS}
	before, after := [2]C.ds_part{none, none}, none
	for i, part := range o.before {
		before[i] = C.ds_part{kernel: part.kernel, args: p.args(part, work)}
	}
	if o.after != nil {
		after = C.ds_part{kernel: o.after.kernel, args: p.args(*o.after, work)}
	}
	status = C.ds_append_product(list, s.primitive, &before[0], &after, C.long(o.tiles), C.long(o.group), C.long(o.chunk))
	return check(status, s.node.Op.String())
}
