package teacher

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/weights"
)

func TestBuiltin(t *testing.T) {
	got, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	named, err := Load(Builtin)
	if err != nil || !reflect.DeepEqual(named, got) {
		t.Errorf("by name it is another one: %v", err)
	}
	text, err := os.ReadFile("resnet18.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if digest := sha256.Sum256(text); got.Name != Builtin || got.Digest != hex.EncodeToString(digest[:]) {
		t.Errorf("name %q, digest %s", got.Name, got.Digest)
	}
	count := 0
	for _, tensor := range network.Tensors() {
		if tensor.Part() != network.TeacherPart {
			continue
		}
		count++
		v := got.Weights[tensor.Name]
		if len(v) != tensor.Shape.Size() {
			t.Errorf("%s has %d values", tensor.Name, len(v))
		}
		// A trained layer is neither constant nor huge.
		if slices.Max(v) == slices.Min(v) || slices.Max(v) > 100 {
			t.Errorf("%s lies between %v and %v", tensor.Name, slices.Min(v), slices.Max(v))
		}
		if strings.HasSuffix(tensor.Name, "running_var") && slices.Min(v) <= 0 {
			t.Errorf("%s has a variance of %v", tensor.Name, slices.Min(v))
		}
	}
	if len(got.Weights) != count {
		t.Errorf("%d tensors, want %d", len(got.Weights), count)
	}
}

// published returns the shapes of a published state dict.
func published(t *testing.T, name string) map[string][]int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "testdata", "golden", name))
	if err != nil {
		t.Fatal(err)
	}
	var shapes map[string][]int
	if err := json.Unmarshal(text, &shapes); err != nil {
		t.Fatal(err)
	}
	return shapes
}

// file holds a tensor of its own value for each shape that keep lets pass.
func file(shapes map[string][]int, prefix string, keep func(name string) bool) *weights.File {
	f := &weights.File{Tensors: map[string]weights.Tensor{}}
	for name, shape := range shapes {
		if !keep(name) {
			continue
		}
		size := 1
		for _, n := range shape {
			size *= n
		}
		f.Tensors[prefix+name] = weights.FromFloat16(shape, slices.Repeat([]float32{valueOf(name)}, size))
	}
	return f
}

// valueOf gives each tensor of a ResNet-18 a number in [1, 2) that half precision
// holds.
func valueOf(name string) float32 {
	digest := sha256.Sum256([]byte(strings.TrimPrefix(name, prefix)))
	return 1 + float32(digest[0])/256
}

func TestLoadFile(t *testing.T) {
	all := func(string) bool { return true }
	trunk := func(name string) bool { return !strings.HasPrefix(name, "layer4") && !strings.HasPrefix(name, "fc") }
	teacherOnly := func(name string) bool { return strings.HasPrefix(name, prefix) }
	torchvision, destseg := "torchvision-resnet18-state-dict.json", "destseg-state-dict.json"
	for _, c := range []struct {
		what string
		file *weights.File
	}{
		{"ResNet-18", file(published(t, torchvision), "", all)},
		{"without stage 4 and classifier", file(published(t, torchvision), "", trunk)},
		{"backbone", file(published(t, torchvision), "backbone.", trunk)},
		{"encoder", file(published(t, torchvision), "encoder.", trunk)},
		{"published checkpoint", file(published(t, destseg), "", teacherOnly)},
	} {
		path := filepath.Join(t.TempDir(), "mine.safetensors")
		if err := weights.WriteFile(path, c.file); err != nil {
			t.Fatal(err)
		}
		got, err := Load(path)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if got.Name != "mine.safetensors" || len(got.Digest) != 64 || len(got.Weights) != 75 {
			t.Errorf("%s: %q, digest %q, %d tensors", c.what, got.Name, got.Digest, len(got.Weights))
		}
		for name, v := range got.Weights {
			if !strings.HasPrefix(name, prefix) || v[len(v)-1] != valueOf(name) {
				t.Errorf("%s: %s is %v, want %v", c.what, name, v[0], valueOf(name))
			}
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	shapes := published(t, "torchvision-resnet18-state-dict.json")
	sound := file(shapes, "", func(string) bool { return true })
	change := func(name string, tensor *weights.Tensor) *weights.File {
		f := &weights.File{Tensors: maps.Clone(sound.Tensors)}
		if delete(f.Tensors, name); tensor != nil {
			f.Tensors[name] = *tensor
		}
		return f
	}
	const name = "layer2.0.downsample.1.weight"
	short := weights.FromFloat32([]int{64}, make([]float32, 64))
	broken := weights.FromFloat32([]int{128}, slices.Repeat([]float32{float32(math.NaN())}, 128))
	for what, f := range map[string]*weights.File{
		"missing": change(name, nil), "misshapen": change(name, &short), "NaN": change(name, &broken),
	} {
		path := filepath.Join(t.TempDir(), "mine.safetensors")
		if err := weights.WriteFile(path, f); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if !errors.Is(err, ErrUnsuitable) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", what, err)
		}
		if what != "NaN" && !errors.Is(err, weights.ErrMismatch) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := Load("../testdata/golden/small-zip.pth"); !errors.Is(err, ErrUnsuitable) {
		t.Errorf("another network: %v", err)
	}
	if _, err := Load("gone.pth"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
