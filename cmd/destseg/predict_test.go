package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/picture"
)

// predictions reads lines of JSON.
func predictions(t *testing.T, text string) []prediction {
	t.Helper()
	var all []prediction
	for line := range strings.Lines(text) {
		var p prediction
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		all = append(all, p)
	}
	return all
}

// TestPredict compares lines, overlays and masks with what the root package says.
func TestPredict(t *testing.T) {
	data, detector := dataSet(t), detectorFile(t)
	t.Chdir(t.TempDir())
	// A picture that is not square and has not the network's size.
	wide := picture.NewRGB(90, 50)
	for i := range wide.Pix {
		wide.Pix[i] = uint8(i * 7)
	}
	if err := os.Mkdir("in", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := picture.WritePNG("in/wide.png", wide.Image()); err != nil {
		t.Fatal(err)
	}
	d, err := destseg.Open(detector)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()

	args := []string{"predict", detector, filepath.Join(data, "test"), "in/wide.png", "--overlays", "marked", "--masks", "masks", "--pixel-threshold", "0.45"}
	got := predictions(t, succeed(t, args...).stdout)
	if len(got) != 9 {
		t.Fatalf("%d lines, want 9", len(got))
	}
	files := map[string]bool{}
	for _, p := range got {
		original, err := picture.Open(p.Path)
		if err != nil {
			t.Fatal(err)
		}
		in, err := d.InspectRGB(original)
		if err != nil {
			t.Fatal(err)
		}
		if p.Score != in.Score || *p.Threshold != 0.5 || (p.Verdict == "NG") != in.Anomalous || (p.Verdict == "OK") == in.Anomalous {
			t.Errorf("%s: score %v, threshold %v, verdict %s; want %v, %v, anomalous %v",
				p.Path, p.Score, *p.Threshold, p.Verdict, in.Score, in.Threshold, in.Anomalous)
		}
		if p.Width != original.Width || p.Height != original.Height || p.Milliseconds < 0 {
			t.Errorf("%s: %d×%d pixels in %v ms", p.Path, p.Width, p.Height, p.Milliseconds)
		}
		values := in.Map(in.Width, in.Height)
		mask, err := picture.OpenGray(p.Mask)
		if err != nil {
			t.Fatal(err)
		}
		if mask.Width != p.Width || mask.Height != p.Height {
			t.Fatalf("%s: a mask of %d×%d", p.Path, mask.Width, mask.Height)
		}
		for i, v := range values {
			if want := float64(v) > 0.45; want != (mask.Pix[i] == 255) || !want && mask.Pix[i] != 0 {
				t.Fatalf("%s: the mask is %d where the map is %v", p.Path, mask.Pix[i], v)
			}
		}
		painted, err := picture.Open(p.Overlay)
		if err != nil {
			t.Fatal(err)
		}
		want := picture.Overlay(original, values, overlayFrom, 1, overlayOpacity)
		if !reflect.DeepEqual(painted, want) {
			t.Errorf("%s: the overlay is another", p.Path)
		}
		if files[p.Overlay] || files[p.Mask] {
			t.Errorf("%s: its files are also those of another picture", p.Path)
		}
		files[p.Overlay], files[p.Mask] = true, true
	}

	// CSV says the same.
	succeed(t, "predict", detector, filepath.Join(data, "test"), "in/wide.png", "--format", "csv", "-o", "out.csv", "--threshold", "-1")
	file, err := os.Open("out.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil || len(rows) != 10 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for i, row := range rows[1:] {
		if row[0] != got[i].Path || row[1] != formatFloat(got[i].Score) || row[2] != "-1" || row[3] != "NG" {
			t.Errorf("row %q, line %+v", row, got[i])
		}
	}
}

func TestPredictWithoutThreshold(t *testing.T) {
	r := testRecord()
	r.Threshold = nil
	t.Chdir(t.TempDir())
	if err := destseg.Save("x.safetensors", r, testWeights()); err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(dataSet(t), "test", "good")
	o := succeed(t, "predict", "x.safetensors", good)
	for _, p := range predictions(t, o.stdout) {
		if p.Threshold != nil || p.Verdict != "" {
			t.Errorf("a verdict without a threshold: %+v", p)
		}
	}
	if !strings.Contains(o.stderr, "has no threshold") {
		t.Errorf("no warning:\n%s", o.stderr)
	}
	o = command(t.Context(), "predict", "x.safetensors", good, "--masks", "m")
	if o.code != exitUsage || !strings.Contains(o.stderr, "--masks needs --pixel-threshold") {
		t.Errorf("exit status %d: %s", o.code, o.stderr)
	}
}

func TestPeak(t *testing.T) {
	d, err := destseg.Open(detectorFile(t))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	p, err := picture.Open(filepath.Join(dataSet(t), "test", "dent", "000.png"))
	if err != nil {
		t.Fatal(err)
	}
	p = p.Resize(32, 32) // the network's size
	in, err := d.InspectRGB(p)
	if err != nil {
		t.Fatal(err)
	}
	at := peakOf(in, d.Record().Preprocessing)
	values := in.Map(p.Width, p.Height)
	for _, v := range values {
		if v > at.Value {
			t.Fatalf("the map reaches %v, the peak is %v", v, at.Value)
		}
	}
	if v := values[at.Y*p.Width+at.X]; v != at.Value {
		t.Errorf("the map is %v at the peak of %v", v, at.Value)
	}
}

func TestOutputNames(t *testing.T) {
	for _, test := range []struct{ paths, want []string }{
		{nil, []string{}},
		{[]string{"a/x.png"}, []string{"x"}},
		{[]string{"a/x.png", "a/y.tar.png"}, []string{"x", "y.tar"}},
		{[]string{"s/a/0.png", "s/b/0.png", "s/b/c/0.png"}, []string{"a_0", "b_0", "b_c_0"}},
		{[]string{"x.jpg", "x.png", "X.PNG"}, []string{"x", "x-2", "X-3"}},
		{[]string{"a/b_c.png", "a_b/c.png"}, []string{"a_b_c", "a_b_c-2"}},
		{[]string{"../in/x.png", "x.png"}, nil}, // only different
		{[]string{"/p/q/x.png", "/p/r/x.png"}, []string{"q_x", "r_x"}},
		{[]string{"/x.png", "/p/x.png"}, []string{"x", "p_x"}},
	} {
		got := outputNames(test.paths)
		if test.want != nil && !reflect.DeepEqual(got, test.want) {
			t.Errorf("outputNames(%q) = %q, want %q", test.paths, got, test.want)
		}
		seen := map[string]bool{}
		for _, name := range got {
			if seen[name] || strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, ".") {
				t.Errorf("outputNames(%q) = %q", test.paths, got)
			}
			seen[name] = true
		}
	}
}
