package destseg

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/destseg/destseg/metric"
	"github.com/destseg/destseg/region"
	"github.com/destseg/destseg/weights"
)

func TestSaveRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "screw.safetensors")
	saved := testRecord(64, 96)
	saved.Program, saved.Created = "v1.2.3", time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	saved.Threshold = &Threshold{Image: 0.25, Pixel: 0.5, Source: "held back"}
	saved.Metrics = &Evaluation{
		Segmentation: metric.Result{Pictures: 5, ImageAUROC: new(0.875)},
		Pictures:     5, Protocol: []string{"as published"},
		Scores: []PictureScore{{Path: "private.png"}}, Failed: []FailedPicture{{Path: "secret.png"}},
	}
	if err := Save(path, saved, drawn()); err != nil {
		t.Fatal(err)
	}
	if len(saved.Metrics.Scores) != 1 || len(saved.Metrics.Failed) != 1 {
		t.Error("Save changed the caller's evaluation")
	}
	onlyFile(t, dir, "screw.safetensors")

	want := saved
	want.Format = FormatVersion
	want.Metrics = new(*saved.Metrics)
	want.Metrics.Scores, want.Metrics.Failed = nil, nil
	got, values, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("record:\n%+v\nwant:\n%+v", got, want)
	}
	if alone, err := ReadRecord(path); err != nil || !reflect.DeepEqual(alone, want) {
		t.Errorf("record alone:\n%+v\n%v\nwant:\n%+v", alone, err, want)
	}
	if len(values) != len(drawn()) {
		t.Errorf("%d tensors, want %d", len(values), len(drawn()))
	}
	same := func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }
	for name, v := range drawn() {
		if !slices.EqualFunc(values[name], v, same) {
			t.Errorf("tensor %s has other bits", name)
		}
	}

	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if !reflect.DeepEqual(d.Record(), want) {
		t.Errorf("record of the detector: %+v", d.Record())
	}

	// The same file, cut short.
	if err := os.Truncate(path, 100_000_000); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, weights.ErrDamaged) || !strings.Contains(err.Error(), path) {
		t.Errorf("cut short: %v", err)
	}
}

func TestSaveFailsClean(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "screw.safetensors")
	if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	unmeasured := testRecord(64, 64)
	unmeasured.Seconds = math.Inf(1) // JSON has no such number
	missing := maps.Clone(drawn())
	delete(missing, "teacher_net.encoder.conv1.weight")
	for _, c := range []struct {
		record Record
		values map[string][]float32
		want   error
	}{
		{testRecord(64, 65), drawn(), ErrRecord},
		{unmeasured, drawn(), ErrRecord},
		{testRecord(64, 64), missing, ErrTensors},
		{testRecord(64, 64), nil, ErrTensors},
	} {
		if err := Save(path, c.record, c.values); !errors.Is(err, c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v, want %v", err, c.want)
		}
	}
	onlyFile(t, dir, "screw.safetensors")
	if text, err := os.ReadFile(path); err != nil || string(text) != "before" {
		t.Errorf("the file now holds %q, %v", text, err)
	}
	if err := Save(filepath.Join(dir, "none", "screw.safetensors"), testRecord(64, 64), drawn()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing folder: %v", err)
	}
}

func onlyFile(t *testing.T, dir, name string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != name {
		t.Errorf("folder holds %v, %v; want %s only", entries, err, name)
	}
}

// withRecord returns a record's JSON with one part replaced.
func withRecord(t testing.TB, path []string, value any) string {
	t.Helper()
	text, err := testRecord(64, 64).JSON()
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	at := root
	for _, key := range path[:len(path)-1] {
		at = at[key].(map[string]any)
	}
	at[path[len(path)-1]] = value
	changed, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return string(changed)
}

func TestParseRecordRefuses(t *testing.T) {
	at := strings.Fields
	for _, c := range []struct {
		text string
		want error
		says string
	}{
		{"", ErrRecord, ""},
		{"null", ErrRecord, "format"},
		{"[]", ErrRecord, ""},
		{"{", ErrRecord, ""},
		{`{"format":"one"}`, ErrRecord, "format"},
		{`{"format":1.5}`, ErrRecord, "format"},
		{`{"category":"screw"}`, ErrRecord, "format"},
		{withRecord(t, at("format"), 0), ErrRecord, "format"},
		{withRecord(t, at("format"), FormatVersion+1), ErrNewer, "update"},
		{`{"format":7,"recipe":"of a shape that nobody knows yet"}`, ErrNewer, "format 7"},
		{withRecord(t, at("recipe"), "secret"), ErrRecord, "recipe"},
		{withRecord(t, at("recipe rotation"), "backwards"), ErrRecord, "backwards"},
		{withRecord(t, at("created"), "yesterday"), ErrRecord, "yesterday"},
		{withRecord(t, at("preprocessing width"), 65), ErrRecord, "65×64"},
		{withRecord(t, at("preprocessing width"), -64), ErrRecord, "-64"},
		{withRecord(t, at("preprocessing height"), 0), ErrRecord, "multiples"},
		{withRecord(t, at("preprocessing width"), 1<<40), ErrRecord, "pixels"},
		{withRecord(t, at("preprocessing width"), int64(math.MaxInt64-31)), ErrRecord, "pixels"},
		{withRecord(t, at("preprocessing width"), 1e300), ErrRecord, ""},
		{withRecord(t, at("preprocessing resize"), "nearest"), ErrRecord, "nearest"},
		{withRecord(t, at("preprocessing std"), []int{1, 0, 1}), ErrRecord, "channel 1"},
		{withRecord(t, at("preprocessing mean"), []float64{0, 0, 1e30}), ErrRecord, "channel 2"},
		{withRecord(t, at("preprocessing mean"), []float64{0, 0, 1e300}), ErrRecord, ""},
		{withRecord(t, at("pictures count"), -1), ErrRecord, "-1"},
		{withRecord(t, at("threshold"), Threshold{Image: 7, Pixel: 0.5}), ErrRecord, "7 and 0.5"},
		{withRecord(t, at("threshold"), Threshold{Image: 0.5, Pixel: -5}), ErrRecord, "[0,1]"},
		{withRecord(t, at("threshold"), Threshold{Heat: &Scale{0.5, 0.4}}), ErrRecord, "ascends"},
		{withRecord(t, at("threshold"), Threshold{Heat: &Scale{0.5, 4}}), ErrRecord, "[0,1]"},
		{withRecord(t, at("threshold"), Threshold{Calibration: &Calibration{Caught: &Share{Count: 3, Of: 2}}}), ErrRecord, "3 of 2"},
		{withRecord(t, at("threshold"), Threshold{Calibration: &Calibration{Target: -1}}), ErrRecord, "target of -1"},
		{withRecord(t, at("threshold"), map[string]any{"calibration": map[string]any{"objective": "luck"}}), ErrRecord, "luck"},
		{withRecord(t, at("regions"), region.Settings{MinArea: -1}), ErrRecord, "-1"},
		{withRecord(t, at("regions"), region.Settings{ROI: &region.ROI{}}), ErrRecord, "no polygons"},
		{withRecord(t, at("preprocessing fit"), "shrink"), ErrRecord, "shrink"},
		{withRecord(t, at("preprocessing fit"), "tiles"), ErrRecord, "tiles of 0 pixels"},
		{withRecord(t, at("threshold"), Threshold{Source: strings.Repeat("x", 2000)}), ErrRecord, "2000 bytes"},
		{withRecord(t, at("metrics"), Evaluation{Protocol: []string{strings.Repeat("x", 2000)}}), ErrRecord, "2000 bytes"},
		{withRecord(t, at("category"), strings.Repeat("x", 200_000)), ErrRecord, "200000 bytes"},
	} {
		_, err := parseRecord([]byte(c.text))
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.60q: %v", c.text, err)
		}
	}
	if _, err := parseRecord([]byte(withRecord(t, at("later"), map[string]int{"x": 1}))); err != nil {
		t.Errorf("a key that is not known: %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(withRecord(f, []string{"category"}, "screw")))
	f.Add([]byte(withRecord(f, []string{"threshold"}, Threshold{Image: 0.5, Pixel: 0.25, Source: "nobody", Heat: &Scale{0.1, 0.4}, Calibration: &Calibration{Target: 0.01, Caught: &Share{1, 2, 0.3}}})))
	f.Add([]byte(withRecord(f, []string{"regions"}, region.Settings{MinArea: 3, ROI: &region.ROI{Exclude: []region.Polygon{{{{0, 0}, {4, 0}, {4, 4}}}}}})))
	f.Add([]byte(withRecord(f, []string{"metrics"}, Evaluation{Pictures: 3, Scores: []PictureScore{{Path: "a"}}})))
	f.Add([]byte(`{"format":9e99}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parseRecord(text)
		if err != nil {
			if !errors.Is(err, ErrRecord) && !errors.Is(err, ErrNewer) {
				t.Errorf("%v wraps none of the errors that are promised", err)
			}
			return
		}
		first, err := r.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if r, err = parseRecord([]byte(first)); err != nil {
			t.Fatal(err)
		}
		if second, err := r.JSON(); err != nil || second != first {
			t.Errorf("%s became %s, %v", first, second, err)
		}
	})
}

// TestFormat1 checks that detectors of the first format open as what they were.
func TestFormat1(t *testing.T) {
	r, err := parseRecord([]byte(`{"format":1,"category":"screw","preprocessing":{"width":64,"height":96,"resize":"pillow-bilinear",
		"mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]},
		"threshold":{"image":0.6,"pixel":0.8,"source":"provisional: largest score of 9 good training pictures, which promises no rate of false alarms"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if r.Preprocessing != StandardPreprocessing(64, 96) || !reflect.DeepEqual(r.Regions, region.Settings{}) || !r.Threshold.Provisional() {
		t.Errorf("%+v", r)
	}
	if low, high := r.Threshold.HeatScale(); low != 0.4 || high != 1 {
		t.Errorf("heat from %v to %v", low, high)
	}
}

func TestReadRefuses(t *testing.T) {
	text, err := testRecord(64, 64).JSON()
	if err != nil {
		t.Fatal(err)
	}
	record := map[string]string{recordKey: text}
	tensors := func(name string, tensor *weights.Tensor) map[string]weights.Tensor {
		m := maps.Clone(drawnFile().Tensors)
		if delete(m, name); tensor != nil {
			m[name] = *tensor
		}
		return m
	}
	const name = "student_net.decoder_layer1.1.bn2.bias"
	short, wide := weights.FromFloat32([]int{32}, make([]float32, 32)), weights.FromFloat32([]int{64, 1}, make([]float32, 64))
	infinite := weights.FromFloat32([]int{64}, slices.Repeat([]float32{float32(math.Inf(-1))}, 64))
	opaque := weights.Tensor{Shape: []int{64}, DType: weights.F8E4M3, Data: make([]byte, 64)}
	for _, c := range []struct {
		what string
		file weights.File
		want error
		says string
	}{
		{"no record", weights.File{Tensors: tensors("", nil)}, ErrNotDetector, "record"},
		{"other metadata", weights.File{Metadata: map[string]string{"format": "pt"}}, ErrNotDetector, ""},
		{"damaged record", weights.File{Tensors: tensors("", nil), Metadata: map[string]string{recordKey: text[:len(text)-9]}}, ErrRecord, ""},
		{"no tensors", weights.File{Metadata: record}, weights.ErrMismatch, "missing"},
		{"missing tensor", weights.File{Tensors: tensors(name, nil), Metadata: record}, weights.ErrMismatch, name},
		{"short tensor", weights.File{Tensors: tensors(name, &short), Metadata: record}, weights.ErrMismatch, "file has 32"},
		{"misshapen tensor", weights.File{Tensors: tensors(name, &wide), Metadata: record}, ErrTensors, name},
		{"infinite values", weights.File{Tensors: tensors(name, &infinite), Metadata: record}, ErrTensors, name},
		{"unreadable type", weights.File{Tensors: tensors(name, &opaque), Metadata: record}, ErrTensors, name},
	} {
		path := filepath.Join(t.TempDir(), "refused.safetensors")
		file, err := os.Create(path)
		if err == nil {
			err = errors.Join(weights.WriteSafetensors(file, &c.file), file.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		for what, read := range map[string]func() error{
			"Read": func() error { _, _, err := Read(path); return err },
			"Open": func() error { _, err := Open(path); return err },
		} {
			if err := read(); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %s: %v", what, c.what, err)
			}
		}
	}
}

func TestOpenNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newer := filepath.Join(dir, "newer.safetensors")
	f := &weights.File{Metadata: map[string]string{recordKey: fmt.Sprintf(`{"format":%d}`, FormatVersion+1)}}
	if err := weights.WriteFile(newer, f); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		filepath.Join(dir, "none.safetensors"):                           fs.ErrNotExist,
		write("empty.safetensors", ""):                                   weights.ErrUnrecognised,
		write("text.safetensors", "good morning"):                        weights.ErrUnrecognised,
		write("photo.png", "\x89PNG\r\n\x1a\n"):                          ErrNotDetector,
		write("short.safetensors", "\x40\x00\x00\x00\x00\x00\x00\x00{}"): weights.ErrDamaged,
		newer: ErrNewer,
	} {
		for what, open := range map[string]func() error{
			"Open":   func() error { _, err := Open(path); return err },
			"Update": func() error { return Update(path, func(*Record) error { return nil }) },
		} {
			if err := open(); !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v, want %v", what, err, want)
			}
		}
	}
}

func TestUpdate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "screw.safetensors")
	text, err := testRecord(64, 64).JSON()
	if err != nil {
		t.Fatal(err)
	}
	before := &weights.File{
		Tensors:  map[string]weights.Tensor{"a": weights.FromBFloat16([]int{2}, []float32{1, 2}), "b": weights.FromInt64([]int{1}, []int64{7})},
		Metadata: map[string]string{recordKey: text, "other": "kept"},
	}
	if err := weights.WriteFile(path, before); err != nil {
		t.Fatal(err)
	}
	reopen := func() *weights.File {
		f, err := weights.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}

	broken := errors.New("broken")
	if err := Update(path, func(r *Record) error { r.Category = "nail"; return broken }); !errors.Is(err, broken) {
		t.Errorf("change failed: %v", err)
	}
	if err := Update(path, func(r *Record) error { r.Threshold = &Threshold{Image: math.NaN()}; return nil }); !errors.Is(err, ErrRecord) {
		t.Errorf("NaN: %v", err)
	}
	if !reflect.DeepEqual(reopen(), before) {
		t.Error("a failed update changed the file")
	}

	threshold := Threshold{Image: 0.5, Pixel: 0.25, Source: "here"}
	if err := Update(path, func(r *Record) error { r.Threshold = &threshold; return nil }); err != nil {
		t.Fatal(err)
	}
	after := reopen()
	r, err := recordOf(after.Metadata)
	if err != nil {
		t.Fatal(err)
	}
	want := testRecord(64, 64)
	want.Format, want.Threshold = FormatVersion, &threshold
	if !reflect.DeepEqual(r, want) {
		t.Errorf("record %+v", r)
	}
	if !reflect.DeepEqual(after.Tensors, before.Tensors) || after.Metadata["other"] != "kept" {
		t.Error("more than the record changed")
	}
	onlyFile(t, dir, "screw.safetensors")
}

func TestDigestPictures(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a, b, c := write("a", "one"), write("b", "two"), write("c", "one")
	digest := func(paths ...string) PicturesRecord {
		r, err := DigestPictures(paths)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if digest(a, b) != digest(b, c) {
		t.Error("order or names matter")
	}
	if digest(a, b) == digest(a, a) || digest(a).Digest == digest(a, c).Digest {
		t.Error("content or count does not matter")
	}
	// SHA-256 of the SHA-256 of "one".
	if got := digest(a); got.Count != 1 || got.Digest != "fe8d7a873dc48961a6af334c996b2cb3ce37149d5ce9c9253952a54c6a92c1ad" {
		t.Errorf("%+v", got)
	}
	if _, err := DigestPictures([]string{a, filepath.Join(dir, "none")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}
