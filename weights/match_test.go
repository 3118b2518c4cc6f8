package weights

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func zeros(shapes map[string][]int, prefix string) *File {
	f := &File{Tensors: make(map[string]Tensor)}
	for name, shape := range shapes {
		n, _ := elements(shape)
		f.Tensors[prefix+name] = FromFloat32(shape, make([]float32, n))
	}
	return f
}

func TestMatch(t *testing.T) {
	want := map[string][]int{"conv1.weight": {2, 3}, "bn1.bias": {2}}
	for _, prefix := range []string{"", "encoder.", "teacher_net.encoder."} {
		f := zeros(want, prefix)
		f.Tensors["fc.weight"] = FromFloat32([]int{1}, []float32{1})
		if prefix != "" {
			f.Tensors["conv1.weight"] = FromFloat32([]int{2, 3}, []float32{1, 1, 1, 1, 1, 1})
		}
		got, err := f.Match(want, prefix)
		if err != nil {
			t.Fatalf("%q: %v", prefix, err)
		}
		if len(got) != 2 || len(got["conv1.weight"]) != 6 || len(got["bn1.bias"]) != 2 || got["conv1.weight"][0] != 0 {
			t.Errorf("%q: %v", prefix, got)
		}
	}
}

func TestMismatch(t *testing.T) {
	want := map[string][]int{"a": {1}, "b": {64, 3, 7, 7}, "c": {}, "d": {2}}
	f := &File{Tensors: map[string]Tensor{
		"x.a": FromFloat32([]int{1}, []float32{1}),
		"x.b": FromFloat32([]int{2}, []float32{1, 2}),
		"x.c": FromFloat32([]int{1}, []float32{1}),
	}}
	_, err := f.Match(want, "x.")
	var mismatch *Mismatch
	if !errors.Is(err, ErrMismatch) || !errors.As(err, &mismatch) {
		t.Fatal(err)
	}
	if !slices.Equal(mismatch.Missing, []string{"x.d"}) || len(mismatch.Misshapen) != 2 ||
		!reflect.DeepEqual(mismatch.Misshapen[0], Misshapen{"x.b", []int{64, 3, 7, 7}, []int{2}}) {
		t.Errorf("%+v", mismatch)
	}
	text := `tensors do not match: 1 of 4 missing: "x.d"; ` +
		`2 of another shape: "x.b" (want 64×3×7×7, file has 2), "x.c" (want scalar, file has 1)`
	if err.Error() != text {
		t.Errorf("got  %s\nwant %s", err, text)
	}

	many := make(map[string][]int)
	for i := range 1000 {
		many[fmt.Sprintf("layer%d.%s", i, strings.Repeat("x", 1000))] = []int{i}
	}
	for _, f := range []*File{{}, zeros(map[string][]int{"other": {1}}, ""), zeros(many, "y.")} {
		_, err := f.Match(many, "")
		if !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), "1000 of 1000 missing") || len(err.Error()) > 4000 {
			t.Errorf("%v", err)
		}
	}

	f = &File{Tensors: map[string]Tensor{"a": {Shape: []int{1}, DType: F8E4M3, Data: []byte{0}}}}
	if _, err := f.Match(map[string][]int{"a": {1}}, ""); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("type without conversion: %v", err)
	}
}

func TestMatchNothing(t *testing.T) {
	if got, err := (&File{}).Match(nil, ""); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func ExampleFile_Match() {
	resnet := &File{Tensors: map[string]Tensor{
		"encoder.conv1.weight": FromFloat32([]int{1, 2}, []float32{0.5, -0.5}),
		"encoder.fc.weight":    FromFloat32([]int{1}, []float32{math.Pi}),
	}}
	values, err := resnet.Match(map[string][]int{"conv1.weight": {1, 2}}, "encoder.")
	fmt.Println(values, err)

	_, err = resnet.Match(map[string][]int{"conv1.weight": {64, 3, 7, 7}, "bn1.bias": {64}}, "encoder.")
	fmt.Println(err)
	// Output:
	// map[conv1.weight:[0.5 -0.5]] <nil>
	// tensors do not match: 1 of 2 missing: "encoder.bn1.bias"; 1 of another shape: "encoder.conv1.weight" (want 64×3×7×7, file has 1×2)
}
