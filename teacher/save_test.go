package teacher

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/destseg/destseg/weights"
)

func TestSave(t *testing.T) {
	builtin, err := Load(Builtin)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "copy.safetensors")
	if err := Save(path, builtin); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "copy.safetensors" || got.Digest == builtin.Digest || !reflect.DeepEqual(got.Weights, builtin.Weights) {
		t.Errorf("%q, digest %s", got.Name, got.Digest)
	}
	f, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if origin, err := originOf(f); err != nil || origin.Name != Builtin || origin.Digest != builtin.Digest {
		t.Errorf("%+v, %v", origin, err)
	}
	for name, tensor := range f.Tensors {
		if tensor.DType != weights.F32 || strings.HasPrefix(name, published) {
			t.Errorf("%s in %s", name, tensor.DType)
		}
	}

	// The one inside the program was rounded so.
	path = filepath.Join(t.TempDir(), "half.safetensors")
	if err := SaveHalf(path, builtin); err != nil {
		t.Fatal(err)
	}
	if half, err := Load(path); err != nil || !reflect.DeepEqual(half.Weights, builtin.Weights) {
		t.Errorf("in half precision it is another teacher, or none: %v", err)
	}
	large := builtin
	large.Weights = maps.Clone(builtin.Weights)
	v := slices.Clone(large.Weights[published+"conv1.weight"])
	v[5] = 1e5
	large.Weights[published+"conv1.weight"] = v
	if err := SaveHalf(filepath.Join(t.TempDir(), "large.safetensors"), large); !errors.Is(err, ErrUnsuitable) || !strings.Contains(err.Error(), "conv1.weight") {
		t.Errorf("what half precision can't hold: %v", err)
	}

	path = filepath.Join(t.TempDir(), "hollow.safetensors")
	if err := Save(path, Teacher{}); !errors.Is(err, ErrUnsuitable) || !strings.HasPrefix(err.Error(), path+": ") {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("half a teacher was written")
	}
}

func FuzzOrigin(f *testing.F) {
	f.Add(`{"name":"resnet18-f37072fd.pth","digest":"f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",` +
		`"values":"1cd4422288963cbecaf4ab7856863a94016024fa03023af720fc52edc4e2758f"}`)
	f.Fuzz(func(t *testing.T, text string) {
		origin, err := originOf(&weights.File{Metadata: map[string]string{originKey: text}})
		if err != nil && !errors.Is(err, weights.ErrDamaged) {
			t.Error(err)
		}
		if err == nil && (len(origin.Name) > 1000 || len(origin.Digest) != 64) {
			t.Errorf("%+v", origin)
		}
	})
}
