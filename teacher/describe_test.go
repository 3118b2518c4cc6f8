package teacher

import (
	"errors"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/weights"
)

// trunkParameters counts the numbers in a teacher.
func trunkParameters() (n int64) {
	for _, t := range network.Tensors() {
		if t.Part() == network.TeacherPart {
			n += int64(t.Shape.Size())
		}
	}
	return n
}

func TestDescribe(t *testing.T) {
	path := write(t, "whole.safetensors", file(stateDict(t, resnet18), "net.", all))
	d, err := Describe(path)
	if err != nil {
		t.Fatal(err)
	}
	if !d.Fits || d.Problem != "" || d.Prefix != "net." || d.Missing != nil || d.Misshapen != nil || len(d.Foreign) > 0 || d.Origin != nil {
		t.Errorf("%+v", d)
	}
	// The classifier, stage 4 and the counters of the 15 batch norms before it.
	if d.File.Count != 122 || d.Teacher.Count != 75 || len(d.Unused) != 122-75 || !slices.Contains(d.Unused, "net.fc.weight") {
		t.Errorf("%d tensors, %d of a teacher, %d unused", d.File.Count, d.Teacher.Count, len(d.Unused))
	}
	// 11,689,512 parameters, as torchvision counts them, 2 · 4,800 running statistics
	// and 20 counters.
	if want := int64(11_689_512 + 2*4800 + 20); d.File.Parameters != want || d.Teacher.Parameters != trunkParameters() {
		t.Errorf("%d numbers, want %d; %d in the teacher", d.File.Parameters, want, d.Teacher.Parameters)
	}
	if want := map[weights.DType]int{weights.F16: 75}; !reflect.DeepEqual(d.Teacher.Types, want) {
		t.Errorf("types %v", d.Teacher.Types)
	}

	builtin, err := Describe("")
	if err != nil || !builtin.Fits || builtin.Name != Builtin || builtin.Path != "" || builtin.Bytes != int64(len(embedded)) || builtin.Unused != nil {
		t.Errorf("%+v, %v", builtin, err)
	}
	if _, err := Describe("gone.pth"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestDescribeUnsuitable(t *testing.T) {
	const name = "layer2.0.downsample.1.weight"
	for _, test := range []struct {
		file   *weights.File
		expect func(Description) bool
	}{
		{changed(t, name, nil), func(d Description) bool { return slices.Equal(d.Missing, []string{name}) && d.Teacher.Count == 74 }},
		{changed(t, name, filled(1, 64)), func(d Description) bool {
			return reflect.DeepEqual(d.Misshapen, []weights.Misshapen{{Name: name, Want: []int{128}, Shape: []int{64}}})
		}},
		{changed(t, "conv1.bias", filled(1, 64)), func(d Description) bool {
			return slices.Equal(d.Foreign, []string{"conv1.bias"}) && slices.Equal(d.Unused, d.Foreign)
		}},
		{&weights.File{Tensors: map[string]weights.Tensor{"x": *filled(1, 0, 5)}}, func(d Description) bool {
			return len(d.Missing) == 75 && d.File.Parameters == 0 && slices.Equal(d.Unused, []string{"x"})
		}},
		{&weights.File{}, func(d Description) bool { return len(d.Missing) == 75 && d.File.Count == 0 }},
	} {
		d, err := Describe(write(t, "mine.safetensors", test.file))
		if err != nil {
			t.Fatal(err)
		}
		if d.Fits || d.Problem == "" || !test.expect(d) {
			t.Errorf("%+v", d)
		}
	}
}

// TestDescribeOrigin checks what is said of files that Save wrote.
func TestDescribeOrigin(t *testing.T) {
	builtin, err := Load(Builtin)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "copy.safetensors")
	if err := Save(path, builtin); err != nil {
		t.Fatal(err)
	}
	d, err := Describe(path)
	if err != nil || d.Origin == nil || d.Origin.Name != Builtin || d.Origin.Digest != builtin.Digest || d.Edited {
		t.Errorf("%+v, %v", d, err)
	}
	f, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	f.Tensors["bn1.bias"] = *filled(0, 64)
	if err := weights.WriteFile(path, f); err != nil {
		t.Fatal(err)
	}
	if d, err := Describe(path); err != nil || !d.Edited || !d.Fits {
		t.Errorf("%+v, %v", d, err)
	}

	m := newMaker(t)
	c := Cache{t.TempDir(), m.source}
	if err := c.Fetch(t.Context(), Fetching{}); err != nil {
		t.Fatal(err)
	}
	if d, err := c.Describe(); err != nil || !d.Fits || d.Name != ImageNet || d.Digest != m.source.Digest || d.Path != c.Path() {
		t.Errorf("%+v, %v", d, err)
	}
}
