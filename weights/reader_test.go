package weights

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestReaderGivesWhatOpenGives(t *testing.T) {
	long := make([]float32, 1<<16+77) // more than a piece
	for i := range long {
		long[i] = float32(i) * 0.5
	}
	f := &File{
		Tensors: map[string]Tensor{
			"long": FromFloat32([]int{len(long)}, long), "half": FromFloat16([]int{2, 2}, []float32{1, -2, 3, 0.5}),
			"scalar": FromFloat32(nil, []float32{7}), "count": FromInt64([]int{1}, []int64{9}), "none": FromFloat32([]int{0, 3}, nil),
		},
		Metadata: map[string]string{"key": "text"},
	}
	path := filepath.Join(t.TempDir(), "file.safetensors")
	if err := WriteFile(path, f); err != nil {
		t.Fatal(err)
	}
	torch := filepath.Join("..", "testdata", "golden", "small-zip.pth")
	for _, path := range []string{path, torch} {
		whole, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := OpenReader(path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if len(r.Metadata) != len(whole.Metadata) || r.Metadata["key"] != whole.Metadata["key"] {
			t.Errorf("metadata %v, want %v", r.Metadata, whole.Metadata)
		}
		shapes := map[string][]int{}
		for name, tensor := range whole.Tensors {
			shapes[name] = tensor.Shape
			want, err := tensor.Float32s()
			if err != nil {
				t.Fatal(err)
			}
			got := make([]float32, len(want))
			if err := r.Float32s(name, got); err != nil || !slices.EqualFunc(got, want, sameBits) {
				t.Errorf("%s: %v", name, err)
			}
			if err := r.Float32s(name, make([]float32, len(want)+1)); !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s, too long: %v", name, err)
			}
		}
		if err := r.Match(shapes); err != nil {
			t.Error(err)
		}
		shapes["absent"] = []int{3}
		if err := r.Match(shapes); !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), "absent") {
			t.Errorf("absent tensor: %v", err)
		}
		if err := r.Float32s("absent", make([]float32, 3)); !errors.Is(err, ErrMismatch) {
			t.Errorf("absent tensor: %v", err)
		}
		if err := r.Float32s("absent", nil); !errors.Is(err, ErrMismatch) {
			t.Errorf("absent tensor without elements: %v", err)
		}
	}
}

func sameBits(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }

func TestReaderOfAFileCutShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.safetensors")
	if err := WriteFile(path, &File{Tensors: map[string]Tensor{"a": FromFloat32([]int{100}, make([]float32, 100))}}); err != nil {
		t.Fatal(err)
	}
	r, err := OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(path, 200); err != nil {
		t.Fatal(err)
	}
	if err := r.Float32s("a", make([]float32, 100)); !errors.Is(err, ErrDamaged) {
		t.Errorf("cut while open: %v", err)
	}
	if _, err := OpenReader(path); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
		t.Errorf("cut before: %v", err)
	}
}
