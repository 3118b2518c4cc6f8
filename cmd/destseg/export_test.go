package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/internal/ort"
	"github.com/destseg/destseg/internal/torchfile"
	"github.com/destseg/destseg/onnx"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/region"
	"github.com/destseg/destseg/weights"
)

func TestExport(t *testing.T) {
	detector := detectorFile(t)
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		args  string
		least int64 // bytes
		says  []string
	}{
		{"-o a.onnx", 130 << 20, []string{"onnx         a.onnx (", "image: N×3×32×32", "anomaly_map: N×1×32×32; score: N", "0.5000 for score"}},
		{"-o a.onnx --force --precision fp16 --dynamic-size --dest", 65 << 20, []string{"fp16", "multiples of 32", "dest_map: N×1×H×W"}},
		{"-o b.onnx --with-preprocessing", 130 << 20, []string{"picture: N×H×W×3, RGB in uint8"}},
		{"-o s.safetensors --format torch-state-dict", 130 << 20, []string{"torch-state-dict  s.safetensors"}},
	} {
		o := succeed(t, append([]string{"export", detector}, strings.Fields(c.args)...)...)
		for _, want := range c.says {
			if !strings.Contains(o.stdout, want) {
				t.Errorf("%s: %q is missing in\n%s", c.args, want, o.stdout)
			}
		}
		if o.stderr != "" {
			t.Errorf("%s: warns %s", c.args, o.stderr)
		}
		if info, err := os.Stat(strings.Fields(c.args)[1]); err != nil || info.Size() < c.least {
			t.Errorf("%s: %v, %v", c.args, info, err)
		}
	}

	before := listing(t, ".")
	if o := command(t.Context(), "export", detector, "-o", "c.onnx", "--precision", "int8"); o.code != exitFailed || !strings.Contains(o.stderr, "not quantized; destseg quantize "+detector) {
		t.Errorf("status %d: %s", o.code, o.stderr)
	}
	if o := command(t.Context(), "export", detector, "-o", "a.onnx"); o.code != exitFailed || !strings.Contains(o.stderr, "--force replaces it") {
		t.Errorf("status %d: %s", o.code, o.stderr)
	}
	if o := command(t.Context(), "export", "s.safetensors", "-o", "c.onnx"); o.code != exitFailed || !strings.Contains(o.stderr, "not a detector") {
		t.Errorf("status %d: %s", o.code, o.stderr)
	}
	if after := listing(t, "."); after != before {
		t.Errorf("what failed left\n%s", after)
	}
}

// TestExportLeavesOut checks that nobody takes a model for all of a detector that is
// more.
func TestExportLeavesOut(t *testing.T) {
	t.Chdir(t.TempDir())
	save := func(path string, change func(*destseg.Record)) {
		r := testRecord()
		change(&r)
		if err := destseg.Save(path, r, testWeights()); err != nil {
			t.Fatal(err)
		}
	}
	save("roi.safetensors", func(r *destseg.Record) {
		r.Regions.ROI = &region.ROI{Include: []region.Polygon{{{{0, 0}, {9, 0}, {9, 9}}}}}
	})
	save("tiles.safetensors", func(r *destseg.Record) { r.Preprocessing.Fit, r.Preprocessing.Tile = picture.Tiles, 32 })
	for args, want := range map[string]string{
		"roi.safetensors -o x.onnx":                        "--without-roi leaves it out",
		"tiles.safetensors -o x.onnx --with-preprocessing": "without --with-preprocessing the model sees one tile",
	} {
		o := command(t.Context(), append([]string{"export"}, strings.Fields(args)...)...)
		if o.code != exitFailed || !strings.Contains(o.stderr, want) {
			t.Errorf("%s: status %d, %s", args, o.code, o.stderr)
		}
		if _, err := os.Stat("x.onnx"); err == nil {
			t.Errorf("%s: wrote a model", args)
		}
	}
	for args, want := range map[string]string{
		"roi.safetensors -o x.onnx --without-roi": "the model has no ROI",
		"tiles.safetensors -o y.onnx":             "the model sees one tile",
	} {
		if o := succeed(t, append([]string{"export"}, strings.Fields(args)...)...); !strings.Contains(o.stderr, want) {
			t.Errorf("%s: warns %q", args, o.stderr)
		}
	}
}

// TestImport makes a detector of a PyTorch file and calibrates it.
func TestImport(t *testing.T) {
	data := dataSet(t)
	t.Chdir(t.TempDir())
	f := &weights.File{Tensors: map[string]weights.Tensor{}}
	detector, err := weights.Open(detectorFile(t))
	if err != nil {
		t.Fatal(err)
	}
	f.Tensors = detector.Tensors
	writeFile(t, "published_bottle.pckl", torchfile.Pack(t, "", f))

	o := succeed(t, "import", "published_bottle.pckl", "-o", "x.safetensors", "--size", "32")
	for _, want := range []string{"published_bottle.pckl (", "none yet", "destseg calibrate x.safetensors GOOD_PICTURES"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("%q is missing in\n%s", want, o.stdout)
		}
	}
	for _, want := range []string{"published_bottle.pckl, digest", "how it was trained is not known", "  none\n"} {
		if o := succeed(t, "info", "x.safetensors"); !strings.Contains(o.stdout, want) {
			t.Errorf("%q is missing in\n%s", want, o.stdout)
		}
	}
	if o := command(t.Context(), "import", "published_bottle.pckl", "-o", "x.safetensors"); o.code != exitFailed || !strings.Contains(o.stderr, "--force") {
		t.Errorf("status %d: %s", o.code, o.stderr)
	}
	if o := command(t.Context(), "import", "x.safetensors", "-o", "y.safetensors"); o.code != exitFailed || !strings.Contains(o.stderr, "a detector already; use it as it is") {
		t.Errorf("status %d: %s", o.code, o.stderr)
	}
	if o := succeed(t, "predict", "x.safetensors", filepath.Join(data, "test", "good")); !strings.Contains(o.stderr, "no threshold") || !strings.Contains(o.stdout, `"score"`) {
		t.Errorf("%s\n%s", o.stderr, o.stdout)
	}
	succeed(t, "calibrate", "x.safetensors", filepath.Join(data, "train", "good"), "--synthetic", "1")
	r, err := destseg.ReadRecord("x.safetensors")
	if err != nil || r.Threshold == nil || r.Threshold.Provisional() || r.Imported == nil || r.Category != "published_bottle" {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestONNXRuntime lets ONNX Runtime judge a picture that predict judges.
func TestONNXRuntime(t *testing.T) {
	if os.Getenv("DESTSEG_TEST_EXCHANGE") == "" {
		t.Skip("make test-exchange runs this")
	}
	detector := detectorFile(t)
	photo := filepath.Join(dataSet(t), "test", "good", "000.png")
	path := filepath.Join(t.TempDir(), "x.onnx")
	succeed(t, "export", detector, "-o", path, "--with-preprocessing")
	var judged struct{ Score float64 }
	if err := json.Unmarshal([]byte(succeed(t, "predict", detector, photo, "--precision", "fp32").stdout), &judged); err != nil {
		t.Fatal(err)
	}
	p, err := picture.Open(photo)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ort.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, _, err := r.Open(path, 0); err != nil {
		t.Fatal(err)
	}
	outputs, _, err := r.Run(map[string]ort.Tensor{onnx.Picture: {Shape: []int{1, p.Height, p.Width, 3}, Bytes: p.Pix}})
	if err != nil {
		t.Fatal(err)
	}
	const limit = 1e-5 // 10⁻⁷ was measured
	if got := float64(outputs[onnx.Score].Floats[0]); !(math.Abs(got-judged.Score) <= limit) {
		t.Errorf("score %v, predict says %v", got, judged.Score)
	}
}
