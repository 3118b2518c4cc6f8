package teacher

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/internal/torchfile"
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
	if digest := sha256.Sum256(embedded); got.Name != Builtin || got.Digest != hex.EncodeToString(digest[:]) {
		t.Errorf("name %q, digest %s", got.Name, got.Digest)
	}
	if text, err := os.ReadFile("../docs/teacher.md"); err != nil || !strings.Contains(string(text), "| SHA-256 | `"+got.Digest+"` |") {
		t.Errorf("docs/teacher.md tells of another one (%v)", err)
	}
	if len(embedded) > 6e6 {
		t.Errorf("it takes %d bytes", len(embedded))
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

// stateDict returns the shapes of a published state dict.
func stateDict(t *testing.T, name string) map[string][]int {
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
	digest := sha256.Sum256([]byte(strings.TrimPrefix(name, published)))
	return 1 + float32(digest[0])/256
}

// join puts what two files hold into one. The second counts as zeros.
func join(a, b *weights.File) *weights.File {
	f := &weights.File{Tensors: maps.Clone(a.Tensors)}
	for name, tensor := range b.Tensors {
		tensor.Data = make([]byte, len(tensor.Data))
		f.Tensors[name] = tensor
	}
	return f
}

func all(string) bool { return true }

// trunkOnly keeps what a teacher uses of a ResNet-18.
func trunkOnly(name string) bool {
	return !strings.HasPrefix(name, "layer4") && !strings.HasPrefix(name, "fc") && !isCounter(name)
}

func TestLoadFile(t *testing.T) {
	teacherOnly := func(name string) bool { return strings.HasPrefix(name, published) }
	const destseg = "destseg-state-dict.json"
	for _, c := range []struct {
		what string
		file *weights.File
	}{
		{"ResNet-18", file(stateDict(t, resnet18), "", all)},
		{"without stage 4 and classifier", file(stateDict(t, resnet18), "", trunkOnly)},
		{"backbone", file(stateDict(t, resnet18), "backbone.", trunkOnly)},
		{"any prefix", file(stateDict(t, resnet18), "module.trunk.", trunkOnly)},
		{"bare beside another", join(file(stateDict(t, resnet18), "", trunkOnly), file(stateDict(t, resnet18), "a.", trunkOnly))},
		{"published checkpoint", file(stateDict(t, destseg), "", teacherOnly)},
		{"published checkpoint with its student", join(file(stateDict(t, destseg), "", teacherOnly),
			file(stateDict(t, resnet18), "student_net.encoder.", trunkOnly))},
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
			if !strings.HasPrefix(name, published) || v[len(v)-1] != valueOf(name) {
				t.Errorf("%s: %s is %v, want %v", c.what, name, v[0], valueOf(name))
			}
		}
	}
}

const resnet18 = "torchvision-resnet18-state-dict.json"

// write makes a file in a folder of the test.
func write(t *testing.T, name string, f *weights.File) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := weights.WriteFile(path, f); err != nil {
		t.Fatal(err)
	}
	return path
}

// changed returns a ResNet-18 with another tensor of a name, or without it.
func changed(t *testing.T, name string, tensor *weights.Tensor) *weights.File {
	f := file(stateDict(t, resnet18), "", trunkOnly)
	if delete(f.Tensors, name); tensor != nil {
		f.Tensors[name] = *tensor
	}
	return f
}

func filled(value float32, shape ...int) *weights.Tensor {
	tensor := weights.FromFloat32(shape, slices.Repeat([]float32{value}, graph.Shape(shape).Size()))
	return &tensor
}

// TestLoadTorch reads what torch.save writes: a state dict, and a checkpoint with one
// in it, of a network on several processors.
func TestLoadTorch(t *testing.T) {
	for key, prefix := range map[string]string{"": "", "state_dict": "module.backbone."} {
		f := file(stateDict(t, resnet18), prefix, trunkOnly)
		for name, tensor := range f.Tensors {
			v, err := tensor.Float32s()
			if err != nil {
				t.Fatal(err)
			}
			f.Tensors[name] = weights.FromFloat32(tensor.Shape, v)
		}
		path := filepath.Join(t.TempDir(), "mine.pth")
		if err := os.WriteFile(path, torchfile.Pack(t, key, f), 0o666); err != nil {
			t.Fatal(err)
		}
		got, err := Load(path)
		if err != nil {
			t.Errorf("%q: %v", key, err)
			continue
		}
		for name, v := range got.Weights {
			if v[len(v)-1] != valueOf(name) {
				t.Errorf("%q: %s is %v, want %v", key, name, v[0], valueOf(name))
			}
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	const name = "layer2.0.downsample.1.weight"
	deeper := changed(t, "", nil) // the names of a ResNet-34
	for part, blocks := range map[string]int{"layer1": 3, "layer2": 4, "layer3": 6} {
		for block := 2; block < blocks; block++ {
			for tensor, content := range deeper.Tensors {
				if rest, ok := strings.CutPrefix(tensor, part+".1."); ok {
					deeper.Tensors[fmt.Sprintf("%s.%d.%s", part, block, rest)] = content
				}
			}
		}
	}
	for _, test := range []struct {
		what     string
		file     *weights.File
		want     string
		mismatch bool
	}{
		{"missing", changed(t, name, nil), `1 of 75 missing: "` + name + `"`, true},
		{"misshapen", changed(t, name, filled(1, 64)), `1 of another shape: "` + name + `" (want 128, file has 64)`, true},
		{"not finite", changed(t, name, filled(float32(math.NaN()), 128)), `value 0 of tensor "` + name + `" is NaN`, false},
		{"negative", changed(t, "bn1.running_var", filled(-1, 64)), `value 0 of tensor "bn1.running_var" is -1, but it is a variance`, false},
		{"biased", changed(t, "conv1.bias", filled(1, 64)), `1 tensors in its stem and stages 1 to 3 are none of a ResNet-18: "conv1.bias"`, false},
		{"deeper", deeper, `"layer1.2.bn1.bias", "layer1.2.bn1.running_mean"`, false},
		{"two", join(file(stateDict(t, resnet18), "encoder_k.", trunkOnly), file(stateDict(t, resnet18), "encoder_q.", trunkOnly)),
			`it holds 2 of them, under the prefixes "encoder_k.", "encoder_q."; name one with`, false},
	} {
		path := write(t, "mine.safetensors", test.file)
		_, err := Load(path)
		if !errors.Is(err, ErrUnsuitable) || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.what, err)
		}
		if errors.Is(err, weights.ErrMismatch) != test.mismatch {
			t.Errorf("%s: %v", test.what, err)
		}
	}
	if _, err := Load("../testdata/golden/small-zip.pth"); !errors.Is(err, ErrUnsuitable) {
		t.Errorf("another network: %v", err)
	}
	if _, err := Load("gone.pth"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestWithPrefix(t *testing.T) {
	path := write(t, "mine.safetensors", join(file(stateDict(t, resnet18), "encoder_q.", trunkOnly), file(stateDict(t, resnet18), "encoder_k.", trunkOnly)))
	for prefix, scale := range map[string]float32{"encoder_q.": 1, "encoder_k.": 0} {
		got, err := Load(path, WithPrefix(prefix))
		if err != nil {
			t.Fatal(err)
		}
		if v := got.Weights[published+"bn1.weight"][0]; v != scale*valueOf("bn1.weight") {
			t.Errorf("%s: %v", prefix, v)
		}
	}
	if _, err := Load(path, WithPrefix("encoder_x.")); !errors.Is(err, weights.ErrMismatch) || !strings.Contains(err.Error(), `"encoder_x.bn1.bias"`) {
		t.Error(err)
	}
}
