package weights

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// saveStateDict is the remedy for files that hold more than tensors by name.
const saveStateDict = "in Python, write torch.save(model.state_dict(), path)"

// looksLikeTorch tells a zip archive or a pickle by its first bytes.
func looksLikeTorch(head []byte) bool {
	return isZip(head) || len(head) >= 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5
}

func isZip(head []byte) bool {
	return bytes.HasPrefix(head, []byte("PK\x03\x04"))
}

// ReadTorch reads a file written by torch.save, of size bytes: the zip format (from PyTorch 1.6 on) or the one before it.
// Nothing in it is executed.
//
// The tensors are those of the state dict: of the entry "state_dict", "model_state_dict", "model" and the like where the
// top level has one, else of the top level, else of the only entry that holds tensors. Other values are ignored. If every
// name begins with "module.", as DataParallel writes them, that is taken off. Views are made contiguous.
//
// Errors that are not r's wrap [ErrUnrecognised], [ErrDamaged] or [ErrUnsupported].
func ReadTorch(r io.ReaderAt, size int64) (*File, error) {
	head, err := readRange(r, 0, min(size, 4))
	if err != nil {
		return nil, err
	}
	switch {
	case isZip(head):
		return readTorchZip(r, size)
	case looksLikeTorch(head):
		return readTorchLegacy(r, size)
	}
	return nil, fmt.Errorf("%w: it begins with % x", ErrUnrecognised, head)
}

// allowance limits the memory that one file may take, whatever it claims: views may repeat a storage, and zip entries
// may be compressed or overlap. Honest files of weights stay far below.
type allowance struct{ left int64 }

func newAllowance(size int64) *allowance {
	const factor = 16
	return &allowance{left: 16<<20 + factor*min(size, math.MaxInt64/(2*factor))}
}

func (a *allowance) take(n int64) error {
	if n < 0 || n > a.left {
		return fmt.Errorf("%w: it claims to hold more than 16 times its size", ErrDamaged)
	}
	a.left -= n
	return nil
}

// collect reads the tensors of the state dict in root. The bytes of a storage come from load, once each.
func collect(root any, load func(*storage) ([]byte, error), memory *allowance) (*File, error) {
	state, err := findStateDict(root)
	if err != nil {
		return nil, err
	}
	const parallel = "module."
	names := slices.Sorted(maps.Keys(state))
	prefix := parallel
	if slices.ContainsFunc(names, func(name string) bool { return !strings.HasPrefix(name, parallel) }) {
		prefix = ""
	}
	loaded := make(map[*storage][]byte)
	f := &File{Tensors: make(map[string]Tensor, len(names))}
	for _, name := range names {
		ref := state[name]
		data, ok := loaded[ref.from.storage]
		if !ok {
			if data, err = load(ref.from.storage); err != nil {
				return nil, fmt.Errorf("tensor %s: %w", quote(name), err)
			}
			loaded[ref.from.storage] = data
		}
		t, err := ref.materialise(data, memory)
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", quote(name), err)
		}
		f.Tensors[strings.TrimPrefix(name, prefix)] = t
	}
	return f, nil
}

// findStateDict looks for tensors by name, in the order that ReadTorch documents.
func findStateDict(root any) (map[string]*tensorRef, error) {
	names := [...]string{"state_dict", "model_state_dict", "model", "net", "network", "weights"}
	for depth := 0; depth < 4; depth++ { // a dict may contain itself
		top, ok := root.(*dict)
		if !ok {
			return nil, fmt.Errorf("%w: it holds a %s and not tensors by name; %s", ErrUnsupported, kindOf(root), saveStateDict)
		}
		if i := slices.IndexFunc(names[:], func(name string) bool { _, ok := top.items[name].(*dict); return ok }); i >= 0 {
			root = top.items[names[i]]
			continue
		}
		if tensors := tensorsOf(top); len(tensors) > 0 {
			return tensors, nil
		}
		var holders []string
		for _, name := range slices.Sorted(maps.Keys(top.items)) {
			if entry, ok := top.items[name].(*dict); ok && len(tensorsOf(entry)) > 0 {
				holders = append(holders, name)
			}
		}
		switch len(holders) {
		case 1:
			return tensorsOf(top.items[holders[0]]), nil
		case 0:
			// A whole model under one of the names is worth a word of its own.
			for _, name := range names {
				if v, ok := top.items[name].(opaque); ok {
					return nil, fmt.Errorf("%w: its entry %q is a %s; %s", ErrUnsupported, name, kindOf(v), saveStateDict)
				}
			}
			return nil, fmt.Errorf("%w: it holds no tensors by name; %s", ErrUnsupported, saveStateDict)
		}
		return nil, fmt.Errorf("%w: it holds %d sets of tensors (%s); save the wanted one alone",
			ErrUnsupported, len(holders), list(holders, quote))
	}
	return nil, fmt.Errorf("%w: its dicts are nested too deeply; %s", ErrUnsupported, saveStateDict)
}

// tensorsOf returns the tensors that v, a dict, has as direct entries.
func tensorsOf(v any) map[string]*tensorRef {
	tensors := make(map[string]*tensorRef)
	if d, ok := v.(*dict); ok {
		for name, value := range d.items {
			if t, ok := value.(*tensorRef); ok {
				tensors[name] = t
			}
		}
	}
	return tensors
}

// materialise checks the tensor against its storage, whose bytes are data, and makes it contiguous.
func (t *tensorRef) materialise(data []byte, memory *allowance) (Tensor, error) {
	shape := make([]int, len(t.shape))
	for i, d := range t.shape {
		if d < 0 || d > math.MaxInt {
			return Tensor{}, fmt.Errorf("%w: dimension of %d", ErrDamaged, d)
		}
		shape[i] = int(d)
	}
	n, ok := elements(shape)
	if !ok {
		return Tensor{}, fmt.Errorf("%w: shape %s is too large", ErrDamaged, shapeText(shape))
	}
	out := Tensor{Shape: shape, DType: t.from.dtype}
	if n == 0 {
		return out, nil
	}
	last, ok := t.last()
	if !ok {
		return Tensor{}, fmt.Errorf("%w: shape %s, strides %v and offset %d leave a storage of %d elements",
			ErrDamaged, shapeText(shape), t.stride, t.offset, t.from.length)
	}
	size := int64(out.DType.size())
	begin, end := (t.from.offset+t.offset)*size, (t.from.offset+last+1)*size
	if t.contiguous() {
		out.Data = data[begin:end:end]
		return out, nil
	}
	if int64(n) > math.MaxInt64/size {
		return Tensor{}, fmt.Errorf("%w: shape %s is too large", ErrDamaged, shapeText(shape))
	}
	if err := memory.take(int64(n) * size); err != nil {
		return Tensor{}, err
	}
	out.Data = make([]byte, int64(n)*size)
	gather(out.Data, data[begin:end], shape, t.stride, size)
	return out, nil
}

// last is the place of the last element in the window, for a tensor that has elements; false if it lies outside.
func (t *tensorRef) last() (int64, bool) {
	last := t.offset
	if last < 0 || last >= t.from.length {
		return 0, false
	}
	for i, d := range t.shape {
		s := t.stride[i]
		if s < 0 || s > 0 && d-1 > (t.from.length-1-last)/s {
			return 0, false
		}
		last += (d - 1) * s
	}
	return last, true
}

// contiguous tells whether a tensor that has elements lies in row-major order without gaps.
func (t *tensorRef) contiguous() bool {
	expected := int64(1)
	for i := len(t.shape) - 1; i >= 0; i-- {
		if t.shape[i] != 1 && t.stride[i] != expected {
			return false
		}
		expected *= t.shape[i]
	}
	return true
}

// gather copies the elements of size bytes that src holds at the given strides, in elements, to dst in row-major order.
func gather(dst, src []byte, shape []int, stride []int64, size int64) {
	index := make([]int, len(shape))
	inner := len(shape) - 1 // a tensor without dimensions is contiguous and does not come here
	var at int64
	for len(dst) > 0 {
		if stride[inner] == 1 {
			run := int64(shape[inner]) * size
			copy(dst, src[at*size:at*size+run])
			dst = dst[run:]
		} else {
			for i := range int64(shape[inner]) {
				from := (at + i*stride[inner]) * size
				copy(dst, src[from:from+size])
				dst = dst[size:]
			}
		}
		for axis := inner - 1; axis >= 0; axis-- {
			index[axis]++
			at += stride[axis]
			if index[axis] < shape[axis] {
				break
			}
			at -= int64(shape[axis]) * stride[axis]
			index[axis] = 0
		}
	}
}
