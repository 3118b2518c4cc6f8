package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/teacher"
	"github.com/destseg/destseg/train"
)

// categories makes a data set of two categories, "a" and "b", with good pictures and
// a defective one each.
func categories(t *testing.T, root string) {
	t.Helper()
	data := dataSet(t)
	for _, category := range []string{"a", "b"} {
		for _, name := range []string{"train/good/000.png", "train/good/001.png", "train/good/002.png", "test/good/000.png", "test/dent/000.png", "ground_truth/dent/000_mask.png"} {
			copyFile(t, filepath.Join(data, filepath.FromSlash(name)), filepath.Join(root, category, filepath.FromSlash(name)))
		}
	}
}

// TestTrainAll trains two categories, of which one fails and one is interrupted, until
// all is done.
func TestTrainAll(t *testing.T) {
	if testing.Short() {
		t.Skip("slow without oneDNN")
	}
	t.Chdir(t.TempDir())
	categories(t, "set")
	mask := filepath.Join("set", "b", "train", "good", "000.png")
	good, err := os.ReadFile(mask)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, mask, []byte("no picture"))
	args := append([]string{"train", "--all", "set", "-o", "detectors", "--map", "both"}, tiny...)

	// a is interrupted, and b not begun.
	ctx, cancel := context.WithCancel(t.Context())
	stderr := &trigger{text: "student 1/2", call: cancel}
	if code := run(ctx, args, &bytes.Buffer{}, stderr); code != exitFailed {
		t.Fatalf("interrupted: exit status %d\n%s", code, stderr.all.String())
	}
	if said := stderr.all.String(); !strings.Contains(said, "the same command continues from detectors/a-seed7.safetensors.checkpoint") || strings.Contains(said, "b, seed") {
		t.Errorf("interrupted:\n%s", said)
	}

	// a goes on, and b fails.
	o := command(t.Context(), args...)
	if o.code != exitFailed || !strings.Contains(o.stderr, "continuing from detectors/a-seed7.safetensors.checkpoint after step 1") {
		t.Errorf("exit status %d:\n%s", o.code, o.stderr)
	}
	if _, list, _ := strings.Cut(o.stderr, "not everything could be done:\n"); !strings.HasPrefix(list, "  b, seed 7: unusable pictures: 1 of 3") || !strings.Contains(list, mask) {
		t.Errorf("what failed:\n%s", o.stderr)
	}
	for _, text := range []string{"set, segmentation map\n", "set, DeST map\n", "\na               ", "\nmean (1 of 2)  ", "pixel AP: all pixels"} {
		if !strings.Contains(o.stdout, text) {
			t.Errorf("the table lacks %q:\n%s", text, o.stdout)
		}
	}

	// a is done, and b is trained.
	writeFile(t, mask, good)
	before, err := os.Stat("detectors/a-seed7.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	o = succeed(t, args...)
	if after, err := os.Stat("detectors/a-seed7.safetensors"); err != nil || after.ModTime() != before.ModTime() || !strings.Contains(o.stderr, "detectors/a-seed7.safetensors is done") {
		t.Errorf("a was trained again (%v):\n%s", err, o.stderr)
	}
	if !strings.Contains(o.stdout, "\nb  ") || !strings.Contains(o.stdout, "\nmean  ") {
		t.Errorf("the table:\n%s", o.stdout)
	}
	record, err := destseg.ReadRecord("detectors/b-seed7.safetensors")
	if err != nil || record.Category != "b" || record.Recipe.Seed != 7 {
		t.Errorf("%+v, %v", record, err)
	}

	// Another recipe doesn't take the place of this one.
	o = command(t.Context(), append(args, "--batch=3")...)
	if o.code != exitFailed || strings.Count(o.stderr, "there is a detector with another recipe; --force replaces it") != 2 {
		t.Errorf("another recipe: exit status %d:\n%s", o.code, o.stderr)
	}
	if o.stdout != "" {
		t.Errorf("a table of nothing:\n%s", o.stdout)
	}
}

// TestTrainAllSeeds has all that is to be trained, so that it is measured only.
func TestTrainAllSeeds(t *testing.T) {
	if testing.Short() {
		t.Skip("slow without oneDNN")
	}
	t.Chdir(t.TempDir())
	categories(t, "set")
	if err := os.RemoveAll(filepath.Join("set", "b")); err != nil {
		t.Fatal(err)
	}
	learned, err := teacher.Load(teacher.Builtin)
	if err != nil {
		t.Fatal(err)
	}
	pictures, err := destseg.DigestPictures([]string{"set/a/train/good/000.png", "set/a/train/good/001.png", "set/a/train/good/002.png"})
	if err != nil {
		t.Fatal(err)
	}
	for _, seed := range []uint64{0, 1} {
		asDetector(t, filepath.Join("d", detectorName("a", seed)), func(r *destseg.Record) {
			r.Category, r.Recipe = "a", train.Published("a")
			r.Recipe.Width, r.Recipe.Height, r.Recipe.Seed = 32, 32, seed
			r.Pictures, r.Teacher.Digest = pictures, learned.Digest
		})
	}
	args := []string{"train", "--all", "set", "-o", "d", "--seeds", "1,0", "--format", "csv", "--size=32"}
	before := listing(t, "d")
	o := succeed(t, args...)
	rows, err := csv.NewReader(strings.NewReader(o.stdout)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 3 || rows[1][1] != "a" || rows[1][3] != "2" || rows[1][5] != "0" || rows[2][1] != "mean" {
		t.Errorf("%q", rows)
	}
	if after := listing(t, "d"); after != before || strings.Count(o.stderr, " is done\n") != 2 {
		t.Errorf("before:\n%safter:\n%s%s", before, after, o.stderr)
	}
	copyFile(t, filepath.Join("set", "a", "test", "good", "000.png"), filepath.Join("set", "a", "train", "good", "003.png"))
	o = command(t.Context(), append(args, "--textures", "set", "--min-opacity", "0.3")...)
	if o.code != exitFailed || strings.Count(o.stderr, "there is a detector with another recipe, other pictures, other textures; --force replaces it") != 2 {
		t.Errorf("exit status %d:\n%s", o.code, o.stderr)
	}
}

// asDetector writes a detector with the shared weights and a changed record.
func asDetector(t *testing.T, path string, change func(*destseg.Record)) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(detectorFile(t), path); err != nil { // Update replaces the link
		copyFile(t, detectorFile(t), path)
	}
	if err := destseg.Update(path, func(r *destseg.Record) error { change(r); return nil }); err != nil {
		t.Fatal(err)
	}
}

// TestEvalAll measures a folder in which detectors are missing, damaged, double and
// superfluous.
func TestEvalAll(t *testing.T) {
	if testing.Short() {
		t.Skip("slow without oneDNN")
	}
	t.Chdir(t.TempDir())
	categories(t, "set")
	as := func(name, category string, seed uint64) {
		t.Helper()
		asDetector(t, filepath.Join("d", name), func(r *destseg.Record) { r.Category, r.Recipe.Seed = category, seed })
	}
	as("one.safetensors", "a", 0)
	as("two.safetensors", "a", 3)
	o := command(t.Context(), "eval", "--all", "d", "set", "--format", "json")
	if o.code != exitFailed || !strings.Contains(o.stderr, "not everything could be done:\n  b: no detector of it in d\n") {
		t.Errorf("exit status %d:\n%s", o.code, o.stderr)
	}
	var document struct {
		Note   string
		Tables []summary
		Runs   []struct {
			Category, Detector string
			Seed               uint64
			Evaluation         destseg.Evaluation
		}
		Failed []string
	}
	if err := json.Unmarshal([]byte(o.stdout), &document); err != nil {
		t.Fatal(err)
	}
	if len(document.Tables) != 1 || document.Tables[0].Map != "segmentation" || len(document.Runs) != 2 || document.Runs[1].Seed != 3 ||
		document.Runs[1].Detector != filepath.Join("d", "two.safetensors") || len(document.Runs[0].Evaluation.Scores) != 2 || len(document.Failed) != 1 {
		t.Errorf("%+v", document)
	}
	if c := document.Tables[0].Rows[0].Cells[0]; *c.Mean != *document.Runs[0].Evaluation.Segmentation.ImageAUROC || *c.Deviation != 0 {
		t.Errorf("the same weights at two seeds: %+v", c)
	}

	as("three.safetensors", "b", 0)
	as("idle.safetensors", "c", 0)
	as("zwei.safetensors", "a", 3)
	writeFile(t, "d/text.safetensors", []byte("no detector"))
	smallFile(t, "d/damaged.safetensors", func(map[string]any) {})
	o = command(t.Context(), "eval", "--all", "d", "set", "--format", "latex", "--map", "dest")
	for _, text := range []string{
		"detectors of categories that are not there: " + filepath.Join("d", "idle.safetensors"), "text.safetensors is no detector and left out",
		"damaged.safetensors: ", "a, seed 3: " + filepath.Join("d", "zwei.safetensors") + " is left out",
	} {
		if !strings.Contains(o.stderr, text) {
			t.Errorf("nothing about %q:\n%s", text, o.stderr)
		}
	}
	if o.code != exitFailed || !strings.Contains(o.stdout, "\\begin{tabular}") || !strings.Contains(o.stdout, "\nb & ") || !strings.Contains(o.stdout, "DeST map") {
		t.Errorf("exit status %d:\n%s", o.code, o.stdout)
	}
	for _, test := range []struct{ args, want string }{
		{"d set", "it holds several categories (a, b)"},
		{"--all d/one.safetensors set", "is a file; with --all, name the folder of the detectors"},
		{"--all gone set", "gone: no such file or folder"},
		{"--all d d", "no folder in it is a data set"},
	} {
		if o := command(t.Context(), append([]string{"eval"}, strings.Fields(test.args)...)...); o.code != exitFailed || !strings.Contains(o.stderr, test.want) {
			t.Errorf("%s: exit status %d:\n%s", test.args, o.code, o.stderr)
		}
	}
}
