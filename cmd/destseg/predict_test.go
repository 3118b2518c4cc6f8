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
	succeed(t, "predict", detector, filepath.Join(data, "test"), "in/wide.png", "-o", "out.csv", "--threshold", "0")
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
		if row[0] != got[i].Path || row[1] != formatFloat(got[i].Score) || row[2] != "0" || row[3] != "NG" {
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

// TestPredictProvisional checks that verdicts by a provisional threshold come with a
// warning.
func TestPredictProvisional(t *testing.T) {
	r := testRecord()
	r.Threshold.Source = "provisional: largest score of 12 good training pictures"
	t.Chdir(t.TempDir())
	if err := destseg.Save("x.safetensors", r, testWeights()); err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(dataSet(t), "test", "good")
	if o := succeed(t, "predict", "x.safetensors", good); strings.Count(o.stderr, "warning: the threshold 0.5000 of x.safetensors is provisional") != 1 {
		t.Errorf("no warning:\n%s", o.stderr)
	}
	if o := succeed(t, "predict", "x.safetensors", good, "--threshold", "0.5"); strings.Contains(o.stderr, "warning") {
		t.Errorf("a warning in spite of --threshold:\n%s", o.stderr)
	}
}

// TestPredictAmongFailures checks that whatever can't be judged or written is told
// and does not keep the rest from being done.
func TestPredictAmongFailures(t *testing.T) {
	data := dataSet(t)
	t.Chdir(t.TempDir())
	copyFile(t, filepath.Join(data, "test", "good", "000.png"), "in/a.png")
	copyFile(t, filepath.Join(data, "test", "good", "001.png"), "in/b.png")
	writeFile(t, "in/c\n\x1b[31m.png", []byte("no picture"))
	writeFile(t, "in/d.gif", []byte("GIF89a"))
	for link, target := range map[string]string{"in/gone.png": "nowhere.png", "in/loop": "../in"} {
		if err := os.Symlink(target, link); err != nil {
			t.Skip("no links here:", err)
		}
	}
	if err := os.MkdirAll("marked/a_overlay.png", 0o777); err != nil { // is in the way of a file
		t.Fatal(err)
	}
	o := command(t.Context(), "predict", detectorFile(t), "in", "missing.png", "none*.png", "--overlays", "marked")
	if o.code != exitFailed {
		t.Errorf("exit status %d", o.code)
	}
	_, list, ok := strings.Cut(o.stderr, "5 pictures could not be read, 1 file could not be written:\n")
	if !ok || strings.Count(list, "\n") != 6 || strings.Contains(list, "\x1b") || strings.Contains(list, ".tmp") {
		t.Errorf("the list is %q", o.stderr)
	}
	rows := map[string]prediction{}
	for _, p := range predictions(t, o.stdout) {
		rows[filepath.ToSlash(p.Path)] = p
	}
	for path, want := range map[string]string{
		"in/d.gif": "save it as PNG", "in/gone.png": "no such file", "missing.png": "no such file", "none*.png": "no pictures found",
		"in/c\n\x1b[31m.png": `in/c\n\x1b[31m.png: not a picture`,
	} {
		if !strings.Contains(rows[path].Error, want) || !strings.Contains(list, want) {
			t.Errorf("%q: %+v, want %q", path, rows[path], want)
		}
	}
	a, b := rows["in/a.png"], rows["in/b.png"]
	if len(rows) != 7 || a.Verdict == "" || a.Overlay != "" || a.Error != "" || b.Verdict == "" || filepath.ToSlash(b.Overlay) != "marked/b_overlay.png" {
		t.Errorf("rows %+v", rows)
	}
	if !strings.Contains(filepath.ToSlash(list), "marked/a_overlay.png: ") {
		t.Errorf("nothing about the overlay:\n%s", list)
	}
}

// TestKeepsInputs checks that no command replaces what it reads, or writes where it
// will read the next time.
func TestKeepsInputs(t *testing.T) {
	data := dataSet(t)
	t.Chdir(t.TempDir())
	copyFile(t, detectorFile(t), "x.safetensors")
	copyFile(t, filepath.Join(data, "test", "good", "000.png"), "in/a.png")
	copyFile(t, filepath.Join(data, "test", "good", "000.png"), "in/a_overlay.png")
	copyFile(t, filepath.Join(data, "test", "good", "000.png"), "set/test/good/a.png")
	if err := os.Symlink("x.safetensors", "link"); err != nil {
		t.Skip("no links here:", err)
	}
	before := listing(t, ".")
	for _, test := range []struct {
		args string // separated by spaces
		want string
	}{
		{"predict x.safetensors in -o x.safetensors", "x.safetensors is read by this command"},
		{"predict x.safetensors in -o link", "link is read by this command"},
		{"predict link in -o x.safetensors", "x.safetensors is read by this command"},
		{"predict x.safetensors in -o in/a.png", "in/a.png is read by this command"},
		{"predict x.safetensors in/a.png in/a_overlay.png --overlays in", "in/a_overlay.png is read by this command"},
		{"predict x.safetensors in --overlays in/marked", "in/marked lies in in,"},
		{"predict x.safetensors i* --masks ./in", "./in lies in in,"},
		{"eval x.safetensors set --json set/test/good/a.png", "set/test/good/a.png is read by this command"},
		{"synth in -o in/a.png", "in/a.png is read by this command"},
	} {
		o := command(t.Context(), strings.Fields(test.args)...)
		if o.code != exitUsage || !strings.Contains(filepath.ToSlash(o.stderr), test.want) {
			t.Errorf("%s: exit status %d\n%s", test.args, o.code, o.stderr)
		}
	}
	if after := listing(t, "."); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
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
