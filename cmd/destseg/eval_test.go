package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/dataset"
)

func TestEval(t *testing.T) {
	data, detector := dataSet(t), detectorFile(t)
	t.Chdir(t.TempDir())
	d, err := destseg.Open(detector)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	set, err := dataset.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	want, err := destseg.Evaluate(t.Context(), d, set, nil)
	if err != nil {
		t.Fatal(err)
	}

	o := succeed(t, "eval", detector, data, "--json", "out.json", "--overlays", "marked")
	for _, text := range append(want.Protocol, "8 pictures, 6 of them defective", "at the threshold 0.5000, ", "missing_hole") {
		if !strings.Contains(o.stdout, text) {
			t.Errorf("the table lacks %q:\n%s", text, o.stdout)
		}
	}
	for _, row := range want.Rows() {
		if !strings.Contains(o.stdout, row.Name) || !strings.Contains(o.stdout, row.Protocol) {
			t.Errorf("the table lacks %s:\n%s", row.Name, o.stdout)
		}
	}
	text, err := os.ReadFile("out.json")
	if err != nil {
		t.Fatal(err)
	}
	check := func(text []byte) {
		t.Helper()
		var document struct {
			Note       string
			Figures    []destseg.Row
			Evaluation destseg.Evaluation
		}
		if err := json.Unmarshal(text, &document); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(document.Note, "until version 1.0") {
			t.Errorf("the note is %q", document.Note)
		}
		for i, row := range want.Rows() {
			if got := document.Figures[i]; got.Key != row.Key || *got.Segmentation != *row.Segmentation || *got.DeST != *row.DeST {
				t.Errorf("%s differs from the evaluation", row.Key)
			}
		}
		if len(document.Evaluation.Scores) != 8 {
			t.Errorf("%d scores", len(document.Evaluation.Scores))
		}
	}
	check(text)
	check([]byte(succeed(t, "eval", detector, data, "--json", "-").stdout))
	painted, err := filepath.Glob("marked/*_overlay.png")
	if err != nil || len(painted) != 8 {
		t.Errorf("overlays %q, %v", painted, err)
	}
}

// TestEvalWithoutMasks checks that figures which the set does not define are
// missing for a stated reason.
func TestEvalWithoutMasks(t *testing.T) {
	data := dataSet(t)
	t.Chdir(t.TempDir())
	copyFile(t, filepath.Join(data, "test", "good", "000.png"), "set/test/good/000.png")
	copyFile(t, filepath.Join(data, "test", "dent", "000.png"), "set/test/dent/000.png")
	o := succeed(t, "eval", detectorFile(t), "set")
	if !strings.Contains(o.stdout, "no defect pixels in the masks; 1 of 2 pictures") || !strings.Contains(o.stderr, "without a mask") {
		t.Errorf("nothing about the missing mask:\n%s%s", o.stdout, o.stderr)
	}
}

func TestInfo(t *testing.T) {
	detector := detectorFile(t)
	o := succeed(t, "info", detector)
	for _, text := range []string{"flange", "327 tensors", "32×32", "12 good pictures", "1000+4000 steps of 32", "0.5000 for pictures", "made up", "1 min 30 s"} {
		if !strings.Contains(o.stdout, text) {
			t.Errorf("info lacks %q:\n%s", text, o.stdout)
		}
	}
	var document struct {
		Note       string
		Parameters int
		Record     destseg.Record
	}
	if err := json.Unmarshal([]byte(succeed(t, "info", detector, "--json").stdout), &document); err != nil {
		t.Fatal(err)
	}
	if document.Record.Category != "flange" || document.Parameters < 30_000_000 || !strings.Contains(document.Note, "until version 1.0") {
		t.Errorf("info --json says %+v", document)
	}

	// With measurements in the record, they are shown.
	measured := filepath.Join(t.TempDir(), "measured.safetensors")
	r := testRecord()
	auroc := 0.9876
	r.Metrics = &destseg.Evaluation{Engine: "plain", Precision: "fp32", Pictures: 8}
	r.Metrics.Segmentation.ImageAUROC = &auroc
	if err := destseg.Save(measured, r, testWeights()); err != nil {
		t.Fatal(err)
	}
	if o := succeed(t, "info", measured); !strings.Contains(o.stdout, "0.9876") {
		t.Errorf("info does not show the measurements:\n%s", o.stdout)
	}
}

// TestEvalKeep checks that a detector takes its figures and curves along.
func TestEvalKeep(t *testing.T) {
	data, detector := dataSet(t), filepath.Join(t.TempDir(), "kept.safetensors")
	copyFile(t, detectorFile(t), detector)
	if o := command(t.Context(), "eval", detector, data, "--keep", "--min-area=5"); o.code != exitUsage || !strings.Contains(o.stderr, "destseg calibrate") {
		t.Errorf("as it is not: %d, %s", o.code, o.stderr)
	}
	o := succeed(t, "eval", detector, data, "--keep")
	r, err := destseg.ReadRecord(detector)
	if err != nil {
		t.Fatal(err)
	}
	if m := r.Metrics; m == nil || m.Pictures != 8 || len(m.Scores) > 0 || len(m.SegmentationCurves.ImageROC) < 2 || len(m.DeSTCurves.PixelPR) < 2 {
		t.Errorf("kept is %+v", m)
	}
	figure := fmt.Sprintf("%.4f", *r.Metrics.Segmentation.ImageAUROC)
	if told := succeed(t, "info", detector); !strings.Contains(o.stdout, figure) || !strings.Contains(told.stdout, figure) {
		t.Errorf("eval says\n%s\ninfo says\n%s", o.stdout, told.stdout)
	}
}

func TestSynth(t *testing.T) {
	data := dataSet(t)
	t.Chdir(t.TempDir())
	o := succeed(t, "synth", data, "--count", "4", "--size", "64x32", "-o", "sheet.png", "--seed", "3", "--textures", filepath.Join(data, "train"))
	if !strings.Contains(o.stdout, "sheet.png: 4 samples") {
		t.Errorf("synth says %q", o.stdout)
	}
	first, err := os.ReadFile("sheet.png")
	if err != nil {
		t.Fatal(err)
	}
	succeed(t, "synth", data, "--count", "4", "--size", "64x32", "-o", "again.png", "--seed", "3", "--textures", filepath.Join(data, "train"))
	if again, err := os.ReadFile("again.png"); err != nil || string(again) != string(first) {
		t.Errorf("the same seed gives another sheet (%v)", err)
	}
	succeed(t, "synth", data, "--count", "1", "--size", "32", "-o", "sheet.jpg")
	if content, err := os.ReadFile("sheet.jpg"); err != nil || !strings.HasPrefix(string(content), "\xff\xd8\xff") {
		t.Errorf("sheet.jpg is no JPEG (%v)", err)
	}
}
