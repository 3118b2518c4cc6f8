package destseg_test

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/internal/golden"
	"github.com/destseg/destseg/internal/torchfile"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/weights"
)

// publishedDict is a state dict as the published code saves it, counters included.
func publishedDict() *weights.File {
	f := &weights.File{Tensors: map[string]weights.Tensor{}}
	for _, t := range network.Tensors() {
		v := golden.Draw(t.Name, t.Shape)
		if strings.HasSuffix(t.Name, ".bias") {
			// Numbers that a detour by text or arithmetic would change.
			v[0], v[len(v)-1] = math.SmallestNonzeroFloat32, float32(math.Copysign(0, -1))
		}
		f.Tensors[t.Name] = weights.FromFloat32(t.Shape, v)
		if norm, ok := strings.CutSuffix(t.Name, "running_var"); ok {
			f.Tensors[norm+"num_batches_tracked"] = weights.FromInt64(nil, []int64{5000})
		}
	}
	return f
}

// TestStateDictRoundTrip brings a PyTorch file in and out again.
func TestStateDictRoundTrip(t *testing.T) {
	folder := t.TempDir()
	path := func(name string) string { return filepath.Join(folder, name) }
	published := publishedDict()
	if err := os.WriteFile(path("DeSTSeg_MVTec_5000_bottle_.pckl"), torchfile.Pack(t, "", published), 0o666); err != nil {
		t.Fatal(err)
	}
	r, values, err := destseg.Import(path("DeSTSeg_MVTec_5000_bottle_.pckl"), "bottle", 320, 256)
	if err != nil {
		t.Fatal(err)
	}
	if r.Imported == nil || r.Imported.File != "DeSTSeg_MVTec_5000_bottle_.pckl" || len(r.Imported.Digest) != 64 ||
		r.Threshold != nil || r.Category != "bottle" || r.Preprocessing != destseg.StandardPreprocessing(320, 256) {
		t.Errorf("record %+v", r)
	}
	if err := destseg.Save(path("bottle.safetensors"), r, values); err != nil {
		t.Fatal(err)
	}
	if _, values, err = destseg.Read(path("bottle.safetensors")); err != nil {
		t.Fatal(err)
	}
	if err := destseg.SaveStateDict(path("out.safetensors"), values); err != nil {
		t.Fatal(err)
	}
	out, err := weights.Open(path("out.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Tensors) != len(published.Tensors) {
		t.Errorf("%d tensors came out, %d went in", len(out.Tensors), len(published.Tensors))
	}
	for name, want := range published.Tensors {
		got, ok := out.Tensors[name]
		switch {
		case !ok:
			t.Errorf("%s is missing", name)
		case strings.HasSuffix(name, "num_batches_tracked"):
			if v, err := got.Int64s(); err != nil || len(v) != 1 || v[0] != 0 || len(got.Shape) != 0 {
				t.Errorf("%s is %v, %v", name, v, err)
			}
		case got.DType != weights.F32 || !bytes.Equal(got.Data, want.Data):
			t.Errorf("%s changed on the way", name)
		}
	}
	// What goes out comes in again.
	if _, _, err := destseg.Import(path("out.safetensors"), "", 64, 64); err != nil {
		t.Error(err)
	}

	if _, _, err := destseg.Import(path("bottle.safetensors"), "", 64, 64); !errors.Is(err, destseg.ErrDetector) {
		t.Errorf("importing a detector: %v", err)
	}
	if _, _, err := destseg.Import(path("out.safetensors"), "", 100, 64); !errors.Is(err, destseg.ErrRecord) {
		t.Errorf("size: %v", err)
	}
	if err := destseg.SaveStateDict(path("no.safetensors"), nil); !errors.Is(err, destseg.ErrTensors) {
		t.Errorf("saving nothing: %v", err)
	}
}

func TestImportRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pth")
	for name, c := range map[string]struct {
		content []byte
		kind    error
		says    string
	}{
		"another network": {torchfile.Pack(t, "", &weights.File{Tensors: map[string]weights.Tensor{"fc.bias": weights.FromFloat32([]int{1}, []float32{1})}}), destseg.ErrTensors, "fc.bias"},
		"text":            {[]byte("hello"), weights.ErrUnrecognised, path},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, c.content, 0o666); err != nil {
				t.Fatal(err)
			}
			if _, _, err := destseg.Import(path, "", 64, 64); !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
}
