package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/dataset"
)

func TestCompare(t *testing.T) {
	if testing.Short() {
		t.Skip("slow without oneDNN")
	}
	data, a := dataSet(t), detectorFile(t)
	t.Chdir(t.TempDir())
	r := testRecord()
	r.Preprocessing = destseg.StandardPreprocessing(64, 32)
	if err := destseg.Save("b.safetensors", r, testWeights()); err != nil {
		t.Fatal(err)
	}
	first, err := destseg.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := destseg.Open("b.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	set, err := dataset.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	want, err := destseg.Compare(t.Context(), first, second, set, destseg.CompareOptions{Resamples: 150, Seed: 3, Confidence: 0.8})
	if err != nil {
		t.Fatal(err)
	}

	o := succeed(t, "compare", a, "b.safetensors", "--data", data, "--resamples", "150", "--seed", "3", "--confidence", "0.8", "--layout", "mvtec", "--json", "out.json")
	for _, text := range append(want.Protocol, "B  b.safetensors\n8 pictures of ", "6 of them defective", "80 % interval", "segmentation map  ", "DeST map  ") {
		if !strings.Contains(o.stdout, text) {
			t.Errorf("the table lacks %q:\n%s", text, o.stdout)
		}
	}
	for _, d := range append(want.Segmentation, want.DeST...) {
		if !strings.Contains(o.stdout, signed(*d.Difference)+"  ") || !strings.Contains(o.stdout, interval(d)+"  ") {
			t.Errorf("the table lacks %+v:\n%s", d, o.stdout)
		}
	}
	text, err := os.ReadFile("out.json")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Note       string
		DetectorB  string `json:"detector_b"`
		Comparison destseg.Comparison
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	got := document.Comparison
	if !strings.Contains(document.Note, "until version 1.0") || document.DetectorB != "b.safetensors" || got.Resamples != 150 || got.Seed != 3 {
		t.Errorf("%s", text)
	}
	for i, d := range want.DeST {
		if g := got.DeST[i]; g.Key != d.Key || *g.Low != *d.Low || *g.High != *d.High || *g.Difference != *d.Difference {
			t.Errorf("%+v, want %+v", g, d)
		}
	}
}

// TestCompareFailures checks that a picture that cannot be read is left out, and a set
// without masks has no pixel figures.
func TestCompareFailures(t *testing.T) {
	data, a := dataSet(t), detectorFile(t)
	t.Chdir(t.TempDir())
	copyFile(t, filepath.Join(data, "test", "good", "000.png"), "set/good/0.png")
	copyFile(t, filepath.Join(data, "test", "good", "001.png"), "set/good/1.png")
	copyFile(t, filepath.Join(data, "test", "dent", "000.png"), "set/dent/0.png")
	writeFile(t, "set/dent/1.png", []byte("no picture"))
	o := command(t.Context(), "compare", a, a, "--data", "set", "--resamples", "100")
	if o.code != exitFailed || !strings.Contains(o.stderr, "1 picture could not be read:\n  set/dent/1.png: ") {
		t.Errorf("exit status %d:\n%s", o.code, o.stderr)
	}
	for _, text := range []string{"2 pictures of set, 1 of them defective", "+0.0000 to +0.0000  not beyond chance\n", "pixel AP by the DeST map: not defined: no defect pixels in the masks"} {
		if !strings.Contains(o.stdout, text) {
			t.Errorf("the table lacks %q:\n%s", text, o.stdout)
		}
	}
}

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		low, difference, high float64
		want                  string
	}{
		{0.1, 0.2, 0.3, "B is better"}, {-0.3, -0.2, -0.1, "A is better"}, {-0.1, 0.2, 0.3, "not beyond chance"}, {0, 0, 0, "not beyond chance"},
	} {
		if got := verdict(destseg.Difference{Difference: &test.difference, Low: &test.low, High: &test.high}); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}
