package weights

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
)

// teacherPlaces are the ways a ResNet-18 is found in published files.
var teacherPlaces = []Rewrite{{"", "encoder."}, {"", "backbone."}, {"", "teacher_net.encoder."}}

func zeros(shapes map[string][]int, prefix string) *File {
	f := &File{Tensors: make(map[string]Tensor)}
	for name, shape := range shapes {
		n, _ := elements(shape)
		f.Tensors[prefix+name] = FromFloat32(shape, make([]float32, n))
	}
	return f
}

func TestMatchTakesTheBestWay(t *testing.T) {
	want := map[string][]int{"conv1.weight": {2, 3}, "bn1.bias": {2}}
	for _, prefix := range []string{"", "encoder.", "backbone.", "teacher_net.encoder."} {
		f := zeros(want, prefix)
		f.Tensors["conv1.weight"] = FromFloat32([]int{2, 3}, []float32{1, 1, 1, 1, 1, 1}) // fewer than the whole set
		f.Tensors["fc.weight"] = FromFloat32([]int{1}, []float32{1})
		got, err := f.Match(want, teacherPlaces...)
		if err != nil {
			t.Fatalf("%q: %v", prefix, err)
		}
		if len(got) != 2 || len(got["conv1.weight"]) != 6 || len(got["bn1.bias"]) != 2 || prefix != "" && got["conv1.weight"][0] != 0 {
			t.Errorf("%q: %v", prefix, got)
		}
	}
}

func TestMatchEarlierWayWins(t *testing.T) {
	f := &File{Tensors: map[string]Tensor{
		"a.w": FromFloat32(nil, []float32{1}),
		"b.w": FromFloat32(nil, []float32{2}),
	}}
	got, err := f.Match(map[string][]int{"w": nil}, Rewrite{"", "b."}, Rewrite{"", "a."})
	if err != nil || got["w"][0] != 2 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestMatchPublishedNames(t *testing.T) {
	published := readShapes(t, "destseg-state-dict.json")
	teacher := make(map[string][]int)
	for name, shape := range published {
		if strings.HasPrefix(name, "teacher_net.") && !strings.HasSuffix(name, "num_batches_tracked") {
			teacher[name] = shape
		}
	}
	resnet := zeros(readShapes(t, "torchvision-resnet18-state-dict.json"), "")
	if _, err := resnet.Match(teacher, Rewrite{"teacher_net.encoder.", ""}); err != nil {
		t.Errorf("a bare ResNet-18 as teacher: %v", err)
	}
	if _, err := zeros(published, "").Match(teacher, Rewrite{"teacher_net.encoder.", ""}); err != nil {
		t.Errorf("a published checkpoint as teacher: %v", err)
	}
}

func TestMismatch(t *testing.T) {
	want := map[string][]int{"a": {1}, "b": {64, 3, 7, 7}, "c": nil, "d": {2}}
	f := &File{Tensors: map[string]Tensor{
		"x.a": FromFloat32([]int{1}, []float32{1}),
		"x.b": FromFloat32([]int{2}, []float32{1, 2}),
		"x.c": FromFloat32([]int{1}, []float32{1}),
	}}
	_, err := f.Match(want, Rewrite{"", "x."})
	if !errors.Is(err, ErrMismatch) {
		t.Fatal(err)
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
		_, err := f.Match(many)
		if !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), "1000 of 1000 missing") || len(err.Error()) > 4000 {
			t.Errorf("%v", err)
		}
	}

	f = &File{Tensors: map[string]Tensor{"a": {Shape: []int{1}, DType: F8E4M3, Data: []byte{0}}}}
	if _, err := f.Match(map[string][]int{"a": {1}}); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("type without conversion: %v", err)
	}
}

func TestMatchNothing(t *testing.T) {
	if got, err := (&File{}).Match(nil); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func ExampleFile_Match() {
	resnet := &File{Tensors: map[string]Tensor{
		"conv1.weight": FromFloat32([]int{1, 2}, []float32{0.5, -0.5}),
		"fc.weight":    FromFloat32([]int{1}, []float32{math.Pi}),
	}}
	teacher := map[string][]int{"teacher_net.encoder.conv1.weight": {1, 2}}
	values, err := resnet.Match(teacher, Rewrite{Want: "teacher_net.encoder.", File: ""})
	fmt.Println(slices.Collect(maps.Keys(values)), values["teacher_net.encoder.conv1.weight"], err)

	_, err = resnet.Match(map[string][]int{"conv1.weight": {64, 3, 7, 7}, "bn1.bias": {64}})
	fmt.Println(err)
	// Output:
	// [teacher_net.encoder.conv1.weight] [0.5 -0.5] <nil>
	// tensors do not match: 1 of 2 missing: "bn1.bias"; 1 of another shape: "conv1.weight" (want 64×3×7×7, file has 1×2)
}
