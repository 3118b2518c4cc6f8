package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/internal/paint"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/region"
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
	settings := region.Settings{Close: 1.5, MinArea: 3}
	d, err := destseg.Open(detector, destseg.WithRecord(func(r *destseg.Record) {
		r.Threshold.Pixel, r.Regions = 0.45, settings
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()

	args := []string{"predict", detector, filepath.Join(data, "test"), "in/wide.png", "--overlays", "marked", "--masks", "masks", "--maps", "maps", "--map-format", "npy",
		"--pixel-threshold", "0.45", "--close", "1.5", "--min-area", "3"}
	got := predictions(t, succeed(t, args...).stdout)
	if len(got) != 9 {
		t.Fatalf("%d lines, want 9", len(got))
	}
	files := map[string]bool{}
	marked := 0 // regions
	for _, p := range got {
		original, err := picture.Open(p.Path)
		if err != nil {
			t.Fatal(err)
		}
		in, err := d.InspectRGB(original)
		if err != nil {
			t.Fatal(err)
		}
		if p.Score != in.Score || *p.Threshold != 0.5 || *p.Margin != in.Score-0.5 || (p.Verdict == "NG") != in.Anomalous || (p.Verdict == "OK") == in.Anomalous {
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
		regions, found := in.Regions()
		if !slices.Equal(mask.Pix, found.Pix) {
			t.Errorf("%s: the mask is another", p.Path)
		}
		if want, _ := region.Find(values, in.Width, in.Height, 0.45, settings); len(want) != len(regions) || !reflect.DeepEqual(p.Regions, append([]region.Region{}, regions...)) {
			t.Errorf("%s: regions %+v, want %+v", p.Path, p.Regions, want)
		}
		marked += len(regions)
		content, err := os.ReadFile(p.Map)
		if err != nil || !strings.HasSuffix(p.Map, "_map.npy") || len(content) != 128+4*len(values) {
			t.Errorf("%s: a map of %d bytes in %s, %v", p.Path, len(content), p.Map, err)
		}
		painted, err := picture.Open(p.Overlay)
		if err != nil {
			t.Fatal(err)
		}
		low, high := d.Record().Threshold.HeatScale()
		want := picture.Outline(picture.Overlay(original, values, low, high, paint.Opacity), mask, paint.RegionColour)
		if !reflect.DeepEqual(painted, want) {
			t.Errorf("%s: the overlay is another", p.Path)
		}
		if files[p.Overlay] || files[p.Mask] {
			t.Errorf("%s: its files are also those of another picture", p.Path)
		}
		files[p.Overlay], files[p.Mask] = true, true
	}

	if marked == 0 {
		t.Error("no regions")
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
		if row[0] != got[i].Path || row[1] != formatFloat(got[i].Score) || row[2] != "0" || row[3] != row[1] || row[4] != "NG" || row[10] == "" {
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
		if p.Threshold != nil || p.Verdict != "" || p.Margin != nil || p.Regions != nil {
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

// TestROI checks that an ROI says where defects count, as polygons and as a mask, by a
// flag and from the record, and that a flag takes it away.
func TestROI(t *testing.T) {
	data, detector := dataSet(t), detectorFile(t)
	t.Chdir(t.TempDir())
	copyFile(t, detector, "x.safetensors")
	picturePath := filepath.Join(data, "test", "dent", "000.png")
	writeFile(t, "roi.json", []byte(`{"width": 64, "height": 64, "include": [[[[0, 0], [32, 0], [32, 64], [0, 64]]]]}`))
	mask := picture.NewGray(64, 64)
	for i := range mask.Pix {
		mask.Pix[i] = uint8(245*(i%64/32) + i%9) // the other half, as a lossy format has it
	}
	if err := picture.WritePNG("mask.png", mask.Image()); err != nil {
		t.Fatal(err)
	}
	predict := func(args ...string) prediction {
		t.Helper()
		args = append([]string{"predict", "x.safetensors", picturePath, "--pixel-threshold", "0", "--threshold", "0.5"}, args...)
		return predictions(t, succeed(t, args...).stdout)[0]
	}
	boxes := func(p prediction) []region.Box {
		var all []region.Box
		for _, r := range p.Regions {
			all = append(all, r.Box)
		}
		return all
	}
	everywhere, left, right := predict(), predict("--roi", "roi.json"), predict("--roi", "mask.png")
	for _, c := range []struct {
		got  prediction
		want region.Box
	}{{everywhere, region.Box{Width: 64, Height: 64}}, {left, region.Box{Width: 32, Height: 64}}, {right, region.Box{X: 32, Width: 32, Height: 64}}} {
		if got := boxes(c.got); len(got) != 1 || got[0] != c.want {
			t.Errorf("regions %v, want %v", got, c.want)
		}
	}
	if max(left.Score, right.Score) > everywhere.Score || left.Score == right.Score {
		t.Errorf("scores %v, left %v, right %v", everywhere.Score, left.Score, right.Score)
	}
	if left.Peak.X >= 32 || right.Peak.X < 32 {
		t.Errorf("peaks %+v and %+v", left.Peak, right.Peak)
	}

	good := filepath.Join(data, "train", "good")
	o := succeed(t, "calibrate", "x.safetensors", good, "--roi", "mask.png", "--open", "2", "--close", "3", "--min-area", "4", "--synthetic", "2")
	if want := "ROI of 1 polygon (drawn on 64×64), opened by 2, closed by 3, 4 pixels at least"; !strings.Contains(o.stdout, want) || !strings.Contains(succeed(t, "info", "x.safetensors").stdout, want) {
		t.Errorf("nothing about the settings:\n%s", o.stdout)
	}
	if again := predict(); again.Score != right.Score {
		t.Errorf("the record's ROI gives %v, the flag %v", again.Score, right.Score)
	}
	if again := predict("--roi", "none"); again.Score != everywhere.Score {
		t.Errorf("without the record's ROI %v, want %v", again.Score, everywhere.Score)
	}

	writeFile(t, "bad.json", []byte(`{"include": 7}`))
	writeFile(t, "wide.json", []byte(`{"width": 128, "height": 64, "include": [[[[0, 0], [32, 0], [32, 64], [0, 64]]]]}`))
	for roi, want := range map[string]string{
		"bad.json":  "bad.json: ",
		"wide.json": "it has 64×64 pixels, another shape than the 128×64 that the ROI was drawn on",
		picturePath: "a picture with shades of grey is no mask",
	} {
		if o := command(t.Context(), "predict", "x.safetensors", picturePath, "--roi", roi); o.code != exitFailed || !strings.Contains(o.stderr, want) {
			t.Errorf("exit status %d: %s", o.code, o.stderr)
		}
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
		{"predict x.safetensors in --maps in/maps", "in/maps lies in in,"},
		{"predict x.safetensors in --roi in/a.png -o in/a.png", "in/a.png is read by this command"},
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
