package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/picture"
)

func TestCalibrate(t *testing.T) {
	if testing.Short() {
		t.Skip("slow without oneDNN")
	}
	data, detector := dataSet(t), detectorFile(t)
	t.Chdir(t.TempDir())
	copyFile(t, detector, "x.safetensors")
	read := func(path string) *destseg.Calibration {
		t.Helper()
		d, err := destseg.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		return d.Record().Threshold.Calibration
	}
	textures := filepath.Join(data, "train", "good")
	for _, c := range []struct {
		args string
		path string
		want destseg.Calibration
		says string
	}{
		{"--target-fpr 40% -o y.safetensors --synthetic 3 --textures " + textures, "y.safetensors", destseg.Calibration{Target: 0.4, Good: destseg.PicturesRecord{Count: 2}}, " synthetic defect"},
		{"--objective f1 --synthetic 0", "x.safetensors", destseg.Calibration{Objective: destseg.BestF1, Good: destseg.PicturesRecord{Count: 2}}, "best F1"},
		{"--objective recall --target-recall 0.5 --synthetic 0", "x.safetensors", destseg.Calibration{Objective: destseg.MinRecall, Target: 0.5, Good: destseg.PicturesRecord{Count: 2}}, "recall of 50 %"},
	} {
		o := succeed(t, append([]string{"calibrate", "x.safetensors", data}, strings.Fields(c.args)...)...)
		got := read(c.path)
		if got.Objective != c.want.Objective || got.Target != c.want.Target || got.Good.Count != c.want.Good.Count || got.Trained || got.Caught == nil || got.Caught.Of != 6 {
			t.Errorf("%s: %+v", c.args, got)
		}
		if !strings.Contains(o.stdout, c.says) || !strings.Contains(o.stdout, c.path) {
			t.Errorf("%s: nothing about %q:\n%s", c.args, c.says, o.stdout)
		}
	}
	if k := read("x.safetensors"); k.Objective != destseg.MinRecall || k.Caught.Count < 3 {
		t.Errorf("%+v", k)
	}

	want := testWeights()
	for _, path := range []string{"x.safetensors", "y.safetensors"} {
		if _, values, err := destseg.Read(path); err != nil || !reflect.DeepEqual(values, want) {
			t.Errorf("%s: other weights, %v", path, err)
		}
	}

	// Pictures that can't be read are listed.
	writeFile(t, "good/bad.png", []byte("no picture"))
	copyFile(t, filepath.Join(data, "test", "good", "000.png"), "good/a.png")
	o := command(t.Context(), "calibrate", "x.safetensors", "good", "--synthetic", "1")
	if k := read("x.safetensors"); o.code != exitFailed || k.Good.Count != 1 || !strings.Contains(o.stderr, "1 picture could not be read") {
		t.Errorf("exit status %d, %+v:\n%s", o.code, k, o.stderr)
	}

	before2, err := os.ReadFile("x.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"x.safetensors good --objective f1":                      "no labelled defects",
		"x.safetensors good --roi gone.json":                     "gone.json",
		"x.safetensors good -o good/a.png":                       "is read by this command",
		"x.safetensors good -o nowhere/x":                        "no such folder",
		"x.safetensors good --synthetic 1 --textures good/a.png": "is a file",
	} {
		o := command(t.Context(), append([]string{"calibrate"}, strings.Fields(args)...)...)
		if o.code == 0 || !strings.Contains(o.stderr, want) {
			t.Errorf("%s: exit status %d: %s", args, o.code, o.stderr)
		}
	}
	if after, err := os.ReadFile("x.safetensors"); err != nil || string(after) != string(before2) {
		t.Error("a command that failed changed the detector")
	}
}

// TestHoldout trains with pictures held back, and calibrates by them again.
func TestHoldout(t *testing.T) {
	if testing.Short() {
		t.Skip("slow without oneDNN")
	}
	data := dataSet(t)
	t.Chdir(t.TempDir())
	good := filepath.Join(data, "train", "good")
	args := append([]string{"train", data, "-o", "x.safetensors", "--holdout", "1", "--target-fpr", "0.6"}, tiny...)
	o := succeed(t, args...)
	r, _, err := destseg.Read("x.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	k := r.Threshold.Calibration
	if r.Pictures.Count != 2 || k.Good.Count != 1 || k.Trained || k.Target != 0.6 || r.Threshold.Provisional() {
		t.Errorf("%+v, %+v", r.Pictures, k)
	}
	if !strings.Contains(o.stderr, "1 picture held back") || !strings.Contains(o.stdout, "2 good pictures of flange") || !strings.Contains(o.stdout, "60 % false alarms") {
		t.Errorf("it says\n%s%s", o.stdout, o.stderr)
	}
	o = succeed(t, "calibrate", "x.safetensors", good, "--synthetic", "0")
	again, _, err := destseg.Read("x.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if again.Threshold.Calibration.Good != k.Good || again.Threshold.Image != r.Threshold.Image || !strings.Contains(o.stderr, "the 1 picture that training held back") {
		t.Errorf("calibrated by %+v, held back %+v\n%s", again.Threshold.Calibration, k, o.stderr)
	}

	// With none held back, the same pictures promise nothing. They keep their shape.
	succeed(t, append(args, "--force", "--holdout", "0", "--fit", "pad", "--size", "64x32")...)
	if o := succeed(t, "calibrate", "x.safetensors", good, "--synthetic", "0", "--target-fpr", "0.2"); !strings.Contains(o.stderr, "was trained on these very pictures") {
		t.Errorf("no warning: %s", o.stderr)
	}
	if o := succeed(t, "predict", "x.safetensors", good); !strings.Contains(o.stderr, "is provisional") {
		t.Errorf("no warning: %s", o.stderr)
	}
	r, _, err = destseg.Read("x.safetensors")
	if err != nil || !r.Threshold.Provisional() || r.Threshold.Calibration.Good.Count != 3 {
		t.Errorf("%+v, %v", r.Threshold, err)
	}
	if p := r.Preprocessing; p.Fit != picture.Pad || r.Recipe.Fit != picture.Pad || p.Width != 64 || p.Height != 32 {
		t.Errorf("%+v, recipe %+v", p, r.Recipe)
	}
	if o := succeed(t, "info", "x.safetensors"); !strings.Contains(o.stdout, "64×32, pictures keep their shape") {
		t.Errorf("info says\n%s", o.stdout)
	}

	copyFile(t, filepath.Join(good, "000.png"), "set/a.png")
	copyFile(t, filepath.Join(good, "001.png"), "set/b.png")
	writeFile(t, "set/c.png", []byte("no picture"))
	if o := command(t.Context(), append([]string{"train", "set", "-o", "y", "--holdout", "34%"}, tiny...)...); o.code != exitFailed || !strings.Contains(o.stderr, "c.png") {
		t.Errorf("exit status %d: %s", o.code, o.stderr) // before training, whichever is held back
	}
}

// TestExpect checks what is told of few pictures.
func TestExpect(t *testing.T) {
	for _, c := range []struct {
		trained, held int
		want, not     string
	}{
		{1, 0, "warning: 1 good picture to learn from", "expect defects"},
		{4, 0, "Give 5 at least", "held back for"},
		{5, 0, "5 good pictures to learn from: expect defects that stand out to be found, and false alarms", "warning"},
		{19, 3, "3 pictures held back for the thresholds", "promise nothing"},
		{20, 0, "no pictures are held back", "expect"},
		{188, 21, "21 pictures held back for the thresholds", "expect"},
	} {
		var stderr bytes.Buffer
		usualTraining().expect(newConsole(io.Discard, &stderr), c.trained, c.held)
		if said := stderr.String(); !strings.Contains(said, c.want) || strings.Contains(said, c.not) {
			t.Errorf("%d and %d pictures: %s", c.trained, c.held, said)
		}
	}
}

func TestHoldoutCounts(t *testing.T) {
	for _, c := range []struct {
		holdout holdout
		n, want int
	}{
		{holdout{auto: true}, 5, 0}, {holdout{auto: true}, 19, 0}, {holdout{auto: true}, 20, 5}, {holdout{auto: true}, 209, 20},
		{holdout{count: 7}, 9, 7}, {holdout{share: 0.25}, 10, 3}, {holdout{}, 100, 0},
	} {
		if got := c.holdout.of(c.n); got != c.want {
			t.Errorf("%v of %d: %d, want %d", c.holdout, c.n, got, c.want)
		}
	}
}
