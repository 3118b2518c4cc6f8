package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/picture"
)

// TestLayoutFlag measures on a category whose pictures have several masks, with
// values that tell the kind of defect, as it is and under another layout's name.
func TestLayoutFlag(t *testing.T) {
	data, detector := dataSet(t), detectorFile(t)
	t.Chdir(t.TempDir())
	good := filepath.Join(data, "test", "good", "000.png")
	for _, to := range []string{"train/good/0.png", "test/good/0.png", "test/logical_anomalies/7.png"} {
		copyFile(t, good, filepath.Join("loco", "pins", to))
	}
	masks := filepath.Join("loco", "pins", "ground_truth", "logical_anomalies", "7")
	if err := os.MkdirAll(masks, 0o777); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"000.png", "001.png"} {
		mask := picture.NewGray(64, 64)
		for k := range 64 {
			mask.Pix[(16+32*i)*64+k], mask.Pix[(17+32*i)*64+k] = uint8(100+i), uint8(255-i)
		}
		if err := picture.WritePNG(filepath.Join(masks, name), mask.Image()); err != nil {
			t.Fatal(err)
		}
	}
	measure := func(args ...string) destseg.Evaluation {
		t.Helper()
		var document struct{ Evaluation destseg.Evaluation }
		if err := json.Unmarshal([]byte(succeed(t, append([]string{"eval", detector, filepath.Join("loco", "pins"), "--json", "-"}, args...)...).stdout), &document); err != nil {
			t.Fatal(err)
		}
		return document.Evaluation
	}
	e := measure()
	// Two stripes of 2 of 64 rows are marked, at 32×32 one row each.
	if e.Segmentation.Instances != 2 || e.Segmentation.DefectPixels != 2*32 {
		t.Errorf("%d instances, %d defect pixels", e.Segmentation.Instances, e.Segmentation.DefectPixels)
	}
	if text := strings.Join(e.Protocol, "\n"); !strings.Contains(text, "sPRO") {
		t.Errorf("the protocol does not tell of the masks: %s", text)
	}
	// As MVTec AD the masks are those of the pictures 7/000 and 7/001.
	if e := measure("--layout", "mvtec"); e.Segmentation.BlindPictures != 1 {
		t.Errorf("as MVTec AD: %+v", e.Segmentation)
	}

	o := command(t.Context(), "eval", detector, "loco")
	if o.code != exitFailed || !strings.Contains(o.stderr, "loco: it holds several categories (pins); name one of them (train and eval take all of them with --all)") {
		t.Errorf("several categories: exit status %d:\n%s", o.code, o.stderr)
	}
	if o := succeed(t, "synth", "loco", "--layout", "plain", "--count", "1", "--size", "32"); !strings.Contains(o.stdout, "1 sample") {
		t.Errorf("synth says %q", o.stdout)
	}
	o = command(t.Context(), "train", "loco", "--layout", "mvtech")
	if o.code != exitUsage || !strings.Contains(o.stderr, "expected visa, mvtec2, loco, ") {
		t.Errorf("an unknown layout: exit status %d:\n%s", o.code, o.stderr)
	}
}
