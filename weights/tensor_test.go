package weights

import (
	"errors"
	"math"
	"slices"
	"testing"
)

func TestConversions(t *testing.T) {
	cases := []struct {
		tensor Tensor
		floats []float64
		ints   []int64 // nil: refused
	}{
		{FromFloat32([]int{2}, []float32{1.5, -0.25}), []float64{1.5, -0.25}, nil},
		{FromFloat16([]int{1, 2}, []float32{1.5, 65520}), []float64{1.5, math.Inf(1)}, nil},
		{FromBFloat16([]int{2}, []float32{1.5, -3}), []float64{1.5, -3}, nil},
		{FromInt64(nil, []int64{-7}), []float64{-7}, []int64{-7}},
		{FromFloat32([]int{0, 3}, nil), []float64{}, nil},
		{Tensor{[]int{1}, F64, []byte{0, 0, 0, 0, 0, 0, 0xf8, 0xbf}}, []float64{-1.5}, nil},
		{Tensor{[]int{2}, I32, []byte{0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0}}, []float64{-1, 1}, []int64{-1, 1}},
		{Tensor{[]int{1}, U32, []byte{0xff, 0xff, 0xff, 0xff}}, []float64{math.MaxUint32}, []int64{math.MaxUint32}},
		{Tensor{[]int{1}, I16, []byte{0xfe, 0xff}}, []float64{-2}, []int64{-2}},
		{Tensor{[]int{1}, U16, []byte{0xfe, 0xff}}, []float64{65534}, []int64{65534}},
		{Tensor{[]int{2}, I8, []byte{0xff, 1}}, []float64{-1, 1}, []int64{-1, 1}},
		{Tensor{[]int{2}, U8, []byte{0xff, 1}}, []float64{255, 1}, []int64{255, 1}},
		{Tensor{[]int{2}, Bool, []byte{0, 1}}, []float64{0, 1}, []int64{0, 1}},
		{Tensor{[]int{1}, U64, []byte{0, 0, 0, 0, 0, 0, 0, 0x80}}, []float64{1 << 63}, nil},
	}
	for _, c := range cases {
		t.Run(string(c.tensor.DType), func(t *testing.T) {
			floats, err := c.tensor.Float64s()
			if err != nil || !slices.Equal(floats, c.floats) {
				t.Errorf("Float64s: %v, %v; want %v", floats, err, c.floats)
			}
			singles, err := c.tensor.Float32s()
			if err != nil || len(singles) != len(c.floats) {
				t.Fatalf("Float32s: %v, %v", singles, err)
			}
			for i := range singles {
				if singles[i] != float32(c.floats[i]) {
					t.Errorf("Float32s: %v, want %v", singles, c.floats)
				}
			}
			ints, err := c.tensor.Int64s()
			if c.ints == nil {
				if !errors.Is(err, ErrUnsupported) {
					t.Errorf("Int64s: %v, %v; want a refusal", ints, err)
				}
			} else if err != nil || !slices.Equal(ints, c.ints) {
				t.Errorf("Int64s: %v, %v; want %v", ints, err, c.ints)
			}
		})
	}
}

func TestInconsistentTensors(t *testing.T) {
	for _, tensor := range []Tensor{
		{},
		{Shape: []int{1}, DType: "F4", Data: []byte{0}},
		{Shape: []int{1}, DType: F8E4M3, Data: []byte{0}},
		{Shape: []int{2}, DType: F32, Data: make([]byte, 4)},
		{Shape: []int{1}, DType: F32, Data: make([]byte, 5)},
		{Shape: []int{-1, -1}, DType: F32, Data: make([]byte, 4)},
		{Shape: []int{math.MaxInt, 2, 2}, DType: U8},
		{Shape: []int{0, -1}, DType: U8},
	} {
		if v, err := tensor.Float32s(); err == nil {
			t.Errorf("%v: %v", tensor, v)
		}
		if v, err := tensor.Float64s(); err == nil {
			t.Errorf("%v: %v", tensor, v)
		}
		if v, err := tensor.Int64s(); err == nil {
			t.Errorf("%v: %v", tensor, v)
		}
	}
}

func TestConstructorsCheckShapes(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("three values passed for a tensor of four")
		}
	}()
	FromFloat32([]int{2, 2}, make([]float32, 3))
}
