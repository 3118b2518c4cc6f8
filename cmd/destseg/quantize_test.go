package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/destseg/destseg"
)

func TestQuantize(t *testing.T) {
	if testing.Short() {
		t.Skip("slow without oneDNN")
	}
	data, detector := dataSet(t), detectorFile(t)
	t.Chdir(t.TempDir())
	copyFile(t, detector, "x.safetensors")
	good := filepath.Join(data, "train", "good")

	// A detector that is not quantized says how to do that.
	if o := command(t.Context(), "predict", "x.safetensors", good, "--precision", "int8"); o.code != exitFailed || !strings.Contains(o.stderr, "x.safetensors: the detector is not quantized") || !strings.Contains(o.stderr, "destseg quantize") {
		t.Errorf("exit status %d: %s", o.code, o.stderr)
	}
	// An engine without int8 ends before anything is done.
	if o := command(t.Context(), "quantize", "x.safetensors", good, "--engine", "plain"); o.code != exitFailed || !strings.Contains(o.stderr, "int8") {
		t.Errorf("exit status %d: %s", o.code, o.stderr)
	}

	o := command(t.Context(), "quantize", "x.safetensors", data, "-o", "y.safetensors", "--pictures", "2", "--synthetic", "0")
	if strings.Contains(o.stderr, "this processor") {
		t.Skip(o.stderr)
	}
	if o.code != 0 || !strings.Contains(o.stdout, "by 2 good pictures") || !strings.Contains(o.stdout, "y.safetensors") {
		t.Fatalf("exit status %d: %s%s", o.code, o.stdout, o.stderr)
	}
	for path, want := range map[string]bool{"x.safetensors": false, "y.safetensors": true} {
		record, values, err := destseg.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if (record.Quantization != nil) != want || !reflect.DeepEqual(values, testWeights()) {
			t.Errorf("%s: %+v, or other weights", path, record.Quantization)
		}
	}
	if o := succeed(t, "info", "y.safetensors"); !strings.Contains(o.stdout, "int8 ") {
		t.Errorf("info says\n%s", o.stdout)
	}
	if o := succeed(t, "eval", "y.safetensors", data); !strings.Contains(o.stdout, " in int8") {
		t.Errorf("eval says\n%s", o.stdout)
	}
	// These weights are drawn, so that whether anomalies are told from good pictures is
	// chance. It is written what passes, and nothing else.
	o = command(t.Context(), "quantize", "x.safetensors", data, "-o", "z.safetensors", "--synthetic", "3", "--textures", good)
	if _, err := os.Stat("z.safetensors"); !strings.Contains(o.stdout, "image AUROC of") || (o.code == 0) != (err == nil) || (o.code == exitFailed) != strings.Contains(o.stderr, "nothing was written") {
		t.Errorf("exit status %d, %v: %s%s", o.code, err, o.stdout, o.stderr)
	}
	// Other thresholds leave it quantized.
	succeed(t, "calibrate", "y.safetensors", good, "--synthetic", "0")
	if record, err := destseg.ReadRecord("y.safetensors"); err != nil || record.Quantization == nil || record.Threshold.Calibration == nil {
		t.Errorf("%+v, %v", record.Quantization, err)
	}

	// Quantizing again replaces what was. Pictures that can't be read are listed, and the
	// others do.
	writeFile(t, "good/bad.png", []byte("no picture"))
	copyFile(t, filepath.Join(good, "000.png"), "good/a.png")
	o = command(t.Context(), "quantize", "y.safetensors", "good", "--synthetic", "0")
	if record, err := destseg.ReadRecord("y.safetensors"); err != nil || o.code != exitFailed || record.Quantization.Good.Count != 1 || !strings.Contains(o.stderr, "1 picture could not be read") {
		t.Errorf("exit status %d, %v:\n%s", o.code, err, o.stderr)
	}
	before, err := os.ReadFile("y.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"y.safetensors good -o good/a.png":                       "is read by this command",
		"y.safetensors good -o nowhere/x":                        "no such folder",
		"y.safetensors good --synthetic 1 --textures good/a.png": "is a file",
		"y.safetensors gone":                                     "gone",
		"gone.safetensors good":                                  "gone.safetensors",
		"y.safetensors good --precision int8":                    "unknown flag",
	} {
		o := command(t.Context(), append([]string{"quantize"}, strings.Fields(args)...)...)
		if o.code == 0 || !strings.Contains(o.stderr, want) {
			t.Errorf("%s: exit status %d: %s", args, o.code, o.stderr)
		}
	}
	if after, err := os.ReadFile("y.safetensors"); err != nil || string(after) != string(before) {
		t.Error("a command that failed changed the detector")
	}
}

// TestQuantizeVerdict tells what stands in the way of a detector that int8 harms.
func TestQuantizeVerdict(t *testing.T) {
	worse, better := 0.5, 0.9
	q := destseg.Quantization{Trial: destseg.Trial{
		Good: 3, Synthetic: 2, Verdicts: 1,
		Float32: destseg.TrialFigures{ImageAUROC: &better, PixelAP: &better}, Int8: destseg.TrialFigures{ImageAUROC: &worse, PixelAP: &worse},
	}}
	if err := harmed("x.safetensors", q.Trial); err == nil || !strings.Contains(err.Error(), "x.safetensors") || !strings.Contains(err.Error(), "nothing was written") {
		t.Errorf("%v", err)
	}
	if err := harmed("x.safetensors", destseg.Trial{}); err != nil {
		t.Error(err)
	}
	text := formatList(quantizationRows(&q))
	for _, want := range []string{"1 verdict of 5 changes", "image AUROC of 2 synthetic defects: 0.5000, in fp32 0.9000"} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing about %q:\n%s", want, text)
		}
	}
	if quantizationRows(nil) != nil {
		t.Error("a detector that is not quantized has something to tell")
	}
}

func TestSpaced(t *testing.T) {
	list := []string{"a", "b", "c", "d", "e"}
	for most, want := range map[int]string{1: "a", 2: "a c", 5: "a b c d e", 9: "a b c d e"} {
		if got := strings.Join(spaced(list, most), " "); got != want {
			t.Errorf("%d of them: %s, want %s", most, got, want)
		}
	}
}

func TestBenchInt8(t *testing.T) {
	if o := command(t.Context(), "bench", "--precision", "int8", "--training", "2"); o.code != exitUsage || !strings.Contains(o.stderr, "int8 is for inference") {
		t.Errorf("exit status %d: %s", o.code, o.stderr)
	}
}
