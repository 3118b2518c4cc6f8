package oip

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"
)

// A Datatype is what the elements of a tensor are.
type Datatype string

// The protocol's data types.
const (
	Bool   Datatype = "BOOL"
	Uint8  Datatype = "UINT8"
	Uint16 Datatype = "UINT16"
	Uint32 Datatype = "UINT32"
	Uint64 Datatype = "UINT64"
	Int8   Datatype = "INT8"
	Int16  Datatype = "INT16"
	Int32  Datatype = "INT32"
	Int64  Datatype = "INT64"
	FP16   Datatype = "FP16"
	BF16   Datatype = "BF16" // of later versions of the text
	FP32   Datatype = "FP32"
	FP64   Datatype = "FP64"
	Bytes  Datatype = "BYTES" // elements of any length each
)

// size returns how many bytes an element takes, 0 for [Bytes], whose elements differ, and
// whether there is such a type.
func (d Datatype) size() (n int, known bool) {
	switch d {
	case Bool, Uint8, Int8:
		return 1, true
	case Uint16, Int16, FP16, BF16:
		return 2, true
	case Uint32, Int32, FP32:
		return 4, true
	case Uint64, Int64, FP64:
		return 8, true
	case Bytes:
		return 0, true
	}
	return 0, false
}

// lengthBytes is what the length before an element of [Bytes] takes.
const lengthBytes = 4

// maxDimensions bounds shapes. Those of pictures have four.
const maxDimensions = 16

// A Tensor is an array with a name.
type Tensor struct {
	Name       string
	Datatype   Datatype
	Shape      []int64
	Parameters Parameters
	// Data holds the elements, row by row, little endian and without gaps: the protocol's
	// binary form. A BOOL is a byte, 0 or 1. An element of BYTES is its length, a uint32,
	// and then itself.
	Data []byte
}

// count returns the number of elements of a shape. It is an error if a dimension is
// negative or if elements of at least smallest bytes would take more than limit.
func count(shape []int64, smallest, limit int) (int, error) {
	if len(shape) > maxDimensions {
		return 0, fmt.Errorf("%d dimensions; at most %d are read", len(shape), maxDimensions)
	}
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("shape %v: a dimension is negative", shape)
		}
	}
	if slices.Contains(shape, 0) {
		return 0, nil
	}
	n, most := int64(1), int64(limit/smallest)
	for _, d := range shape {
		if n > most/d {
			return 0, fmt.Errorf("shape %v has more elements than the data", shape)
		}
		n *= d
	}
	return int(n), nil
}

// check returns an error unless t's data are what its data type and shape say.
func (t *Tensor) check() error {
	size, known := t.Datatype.size()
	if !known {
		return fmt.Errorf("datatype %q is none of the protocol", t.Datatype)
	}
	smallest := size
	if t.Datatype == Bytes {
		smallest = lengthBytes
	}
	n, err := count(t.Shape, smallest, len(t.Data))
	if err != nil {
		return err
	}
	switch t.Datatype {
	case Bytes:
		found := 0
		rest := t.Data
		for ; len(rest) > 0; found++ {
			if _, rest, err = cutElement(rest); err != nil {
				return fmt.Errorf("element %d: %w", found, err)
			}
		}
		if found != n {
			return fmt.Errorf("shape %v has %d elements, the data %d", t.Shape, n, found)
		}
	default:
		if n*size != len(t.Data) {
			return fmt.Errorf("shape %v of %s takes %d bytes, the data have %d", t.Shape, t.Datatype, n*size, len(t.Data))
		}
		if t.Datatype == Bool {
			for i, b := range t.Data {
				if b > 1 {
					return fmt.Errorf("element %d: a BOOL of %d, not 0 or 1", i, b)
				}
			}
		}
	}
	return nil
}

// Elements ranges over the elements of a tensor of [Bytes], which share its memory.
func (t *Tensor) Elements() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest := t.Data; len(rest) > 0; {
			element, after, err := cutElement(rest)
			if err != nil || !yield(element) {
				return
			}
			rest = after
		}
	}
}

// cutElement parts the first element of [Bytes] from the others.
func cutElement(data []byte) (element, rest []byte, err error) {
	if len(data) < lengthBytes {
		return nil, nil, fmt.Errorf("%d bytes are left, no length", len(data))
	}
	n, data := binary.LittleEndian.Uint32(data), data[lengthBytes:]
	if uint64(n) > uint64(len(data)) {
		return nil, nil, fmt.Errorf("its length is %d, and %d bytes are left", n, len(data))
	}
	return data[:n:n], data[n:], nil
}

// appendElement appends an element of [Bytes].
func appendElement[T string | []byte](data []byte, element T) []byte {
	return append(binary.LittleEndian.AppendUint32(data, uint32(len(element))), element...)
}

// Parameters are named values of a request, a tensor or a response: string, bool, int64,
// uint64 or float64.
type Parameters map[string]any

// Int returns a parameter that is a whole number, and whether there is one of that name. It
// is an error for it to be anything else.
func (p Parameters) Int(name string) (n int64, ok bool, err error) {
	switch v := p[name].(type) {
	case nil:
		return 0, false, nil
	case int64:
		return v, true, nil
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v), true, nil
		}
	}
	return 0, false, fmt.Errorf("parameter %q: %v is no whole number", name, p[name])
}

// Bool is [Parameters.Int] for a parameter that is true or false.
func (p Parameters) Bool(name string) (b, ok bool, err error) {
	switch v := p[name].(type) {
	case nil:
		return false, false, nil
	case bool:
		return v, true, nil
	}
	return false, false, fmt.Errorf("parameter %q: %v is neither true nor false", name, p[name])
}
