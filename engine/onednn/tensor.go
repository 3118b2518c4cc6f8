//go:build cgo

package onednn

import "github.com/destseg/destseg/graph"

// A buffer is a piece of the program's memory. Buffers whose lifetimes do not
// overlap may share it.
type buffer struct {
	bytes       int
	first, last int  // steps that touch it
	keep        bool // holds its content from run to run; assemble sets it for what prepare makes
	shared      bool // several tensors view it, so none may overwrite it
	offset      int  // in the program's memory
}

// A tensor is a view of a buffer: row-major fp32 in the logical order, or
// pixels of c channels each, ld elements apart.
type tensor struct {
	buf    *buffer
	shape  graph.Shape
	pixel  bool // channels last
	bf16   bool
	levels *levels // pixels that are bytes; nil: they are numbers
	ld     int     // elements between pixels
	offset int     // elements before the first one
}

// levels say which number a byte stands for: a step times it, as a signed byte where
// the lowest level is below 0.
type levels struct {
	step   float64
	lowest int
}

func (t *tensor) elementSize() int {
	switch {
	case t.levels != nil:
		return 1
	case t.bf16:
		return 2
	}
	return 4
}

func (t *tensor) channels() int { return t.shape[1] }
func (t *tensor) pixels() int   { return t.shape[0] * t.shape[2] * t.shape[3] }

// dense reports whether the elements follow each other without gaps.
func (t *tensor) dense() bool { return !t.pixel || t.ld == t.channels() }

// rows gives the extents by which element-wise kernels walk: so many rows of
// so many elements, the stride apart.
func (t *tensor) rows() (count, width, stride int) {
	if t.pixel {
		return t.pixels(), t.channels(), t.ld
	}
	count = 1
	if len(t.shape) > 1 {
		count = t.shape[0]
	}
	width = t.shape.Size() / count
	return count, width, width
}

// slice views channels from first on.
func (t *tensor) slice(first int, shape graph.Shape) *tensor {
	t.buf.shared = true
	return &tensor{buf: t.buf, shape: shape, pixel: true, bf16: t.bf16, levels: t.levels, ld: t.ld, offset: t.offset + first}
}

const alignment = 64 // bytes: a cache line, and the widest vector

// layOut gives each buffer its place and returns the bytes needed. Kept
// buffers have places of their own. The others go, largest first, to the
// lowest place that no buffer alive at the same time covers.
func layOut(buffers []*buffer) int {
	total := 0
	var moving []*buffer
	for _, b := range buffers {
		b.bytes = (b.bytes + alignment - 1) / alignment * alignment
		if !b.keep {
			moving = append(moving, b)
			continue
		}
		b.offset = total
		total += b.bytes
	}
	sortBySize(moving)
	base, high := total, total
	var placed []*buffer // by offset
	for _, b := range moving {
		at, index := base, 0
		for i, p := range placed {
			if p.last < b.first || b.last < p.first {
				continue
			}
			if p.offset >= at+b.bytes {
				break
			}
			at, index = max(at, p.offset+p.bytes), i+1
		}
		b.offset = at
		for index < len(placed) && placed[index].offset < at {
			index++
		}
		placed = append(placed, nil)
		copy(placed[index+1:], placed[index:])
		placed[index] = b
		high = max(high, at+b.bytes)
	}
	return high
}
