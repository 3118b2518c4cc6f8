package weights

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// DType is the type of a tensor's elements, by its safetensors name.
type DType string

// The element types that are read and written. Those below the line are carried but have no conversion to Go numbers.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"  // IEEE 754 half precision
	BF16 DType = "BF16" // the upper half of an F32
	I64  DType = "I64"
	I32  DType = "I32"
	I16  DType = "I16"
	I8   DType = "I8"
	U64  DType = "U64"
	U32  DType = "U32"
	U16  DType = "U16"
	U8   DType = "U8"
	Bool DType = "BOOL" // one byte, 0 or 1

	F8E4M3 DType = "F8_E4M3"
	F8E5M2 DType = "F8_E5M2"
)

// size is the number of bytes an element takes, 0 for a type that is not known.
func (d DType) size() int {
	switch d {
	case F64, I64, U64:
		return 8
	case F32, I32, U32:
		return 4
	case F16, BF16, I16, U16:
		return 2
	case I8, U8, Bool, F8E4M3, F8E5M2:
		return 1
	}
	return 0
}

// Tensor is an array of numbers: row-major, contiguous, little endian.
type Tensor struct {
	Shape []int // empty for a scalar
	DType DType
	Data  []byte // product of Shape times the size of an element
}

// FromFloat32 makes an F32 tensor. It panics unless v has as many elements as shape.
func FromFloat32(shape []int, v []float32) Tensor {
	return encode(F32, shape, v, func(b []byte, x float32) { binary.LittleEndian.PutUint32(b, math.Float32bits(x)) })
}

// FromFloat16 makes an F16 tensor, rounding to nearest even; magnitudes from 65520 on become infinite. It panics unless
// v has as many elements as shape.
func FromFloat16(shape []int, v []float32) Tensor {
	return encode(F16, shape, v, func(b []byte, x float32) { binary.LittleEndian.PutUint16(b, toFloat16(x)) })
}

// FromBFloat16 makes a BF16 tensor, rounding to nearest even. It panics unless v has as many elements as shape.
func FromBFloat16(shape []int, v []float32) Tensor {
	return encode(BF16, shape, v, func(b []byte, x float32) { binary.LittleEndian.PutUint16(b, toBFloat16(x)) })
}

// FromInt64 makes an I64 tensor. It panics unless v has as many elements as shape.
func FromInt64(shape []int, v []int64) Tensor {
	return encode(I64, shape, v, func(b []byte, x int64) { binary.LittleEndian.PutUint64(b, uint64(x)) })
}

func encode[T any](d DType, shape []int, v []T, put func([]byte, T)) Tensor {
	if n, ok := elements(shape); !ok || n != len(v) {
		panic(fmt.Sprintf("weights: %d values for a tensor of shape %v", len(v), shape))
	}
	size := d.size()
	data := make([]byte, len(v)*size)
	for i, x := range v {
		put(data[i*size:], x)
	}
	return Tensor{Shape: slices.Clone(shape), DType: d, Data: data}
}

// Float32s returns the elements rounded to the nearest float32. An F64 beyond its range becomes infinite. The error
// names a type that has no conversion.
func (t Tensor) Float32s() ([]float32, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	v := make([]float32, len(t.Data)/t.DType.size())
	return v, t.fill(v)
}

// fill puts the elements into v, which has room for all of them.
func (t Tensor) fill(v []float32) error {
	if t.DType == F32 {
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
		}
		return nil
	}
	number, size := floatDecoder(t.DType), t.DType.size()
	if number == nil {
		return fmt.Errorf("%w: numbers of type %s", ErrUnsupported, t.DType)
	}
	for i := range v {
		v[i] = float32(number(t.Data[i*size:]))
	}
	return nil
}

// Float64s returns the elements as float64: exactly, save for 64-bit integers beyond ±2^53. The error names a type that
// has no conversion.
func (t Tensor) Float64s() ([]float64, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	number := floatDecoder(t.DType)
	if number == nil {
		return nil, fmt.Errorf("%w: numbers of type %s", ErrUnsupported, t.DType)
	}
	return decode(t, number), nil
}

// Int64s returns the elements of a tensor of integers or truth values (0 and 1). The error names another type, or an
// unsigned element beyond the range.
func (t Tensor) Int64s() ([]int64, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	number := intDecoder(t.DType)
	if number == nil {
		return nil, fmt.Errorf("%w: %s read as integers", ErrUnsupported, t.DType)
	}
	v := decode(t, number)
	if t.DType == U64 {
		if i := slices.IndexFunc(v, func(x int64) bool { return x < 0 }); i >= 0 {
			return nil, fmt.Errorf("%w: element %d, %d, exceeds 2^63-1", ErrUnsupported, i, uint64(v[i]))
		}
	}
	return v, nil
}

// check finds tensors put together wrongly; those that come from a file never are.
func (t Tensor) check() error {
	size := t.DType.size()
	if size == 0 {
		return fmt.Errorf("%w: element type %s", ErrUnsupported, quote(string(t.DType)))
	}
	n, ok := elements(t.Shape)
	if !ok || len(t.Data)%size != 0 || len(t.Data)/size != n {
		return fmt.Errorf("%w: %d bytes of %s for shape %s", ErrDamaged, len(t.Data), t.DType, shapeText(t.Shape))
	}
	return nil
}

// elements is the product of a shape; false if a dimension is negative or the product overflows.
func elements(shape []int) (int, bool) {
	if slices.ContainsFunc(shape, func(d int) bool { return d < 0 }) {
		return 0, false
	}
	if slices.Contains(shape, 0) {
		return 0, true // whatever the other dimensions are
	}
	n := 1
	for _, d := range shape {
		if n > math.MaxInt/d {
			return 0, false
		}
		n *= d
	}
	return n, true
}

func decode[T any](t Tensor, get func([]byte) T) []T {
	size := t.DType.size()
	out := make([]T, len(t.Data)/size)
	for i := range out {
		out[i] = get(t.Data[i*size:])
	}
	return out
}

func floatDecoder(d DType) func([]byte) float64 {
	le := binary.LittleEndian
	switch d {
	case F64:
		return func(b []byte) float64 { return math.Float64frombits(le.Uint64(b)) }
	case F32:
		return func(b []byte) float64 { return float64(math.Float32frombits(le.Uint32(b))) }
	case F16:
		return func(b []byte) float64 { return float64(fromFloat16(le.Uint16(b))) }
	case BF16:
		return func(b []byte) float64 { return float64(fromBFloat16(le.Uint16(b))) }
	case U64:
		return func(b []byte) float64 { return float64(le.Uint64(b)) }
	}
	if number := intDecoder(d); number != nil {
		return func(b []byte) float64 { return float64(number(b)) }
	}
	return nil
}

func intDecoder(d DType) func([]byte) int64 {
	le := binary.LittleEndian
	switch d {
	case I64, U64:
		return func(b []byte) int64 { return int64(le.Uint64(b)) }
	case I32:
		return func(b []byte) int64 { return int64(int32(le.Uint32(b))) }
	case U32:
		return func(b []byte) int64 { return int64(le.Uint32(b)) }
	case I16:
		return func(b []byte) int64 { return int64(int16(le.Uint16(b))) }
	case U16:
		return func(b []byte) int64 { return int64(le.Uint16(b)) }
	case I8:
		return func(b []byte) int64 { return int64(int8(b[0])) }
	case U8:
		return func(b []byte) int64 { return int64(b[0]) }
	case Bool:
		return func(b []byte) int64 { return min(int64(b[0]), 1) }
	}
	return nil
}
