package demoset

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// files reads every file below dir, by its slash path.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			out[name], err = fs.ReadFile(root, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	var steps []int
	counts := Counts{Train: 2, TestGood: 1, Defect: 1}
	err := Write(context.Background(), dir, Woven, counts, MinSize, 3, func(done, total int) {
		if total != 8 {
			t.Errorf("total is %d, want 8", total)
		}
		steps = append(steps, done)
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{1, 2, 3, 4, 5, 6, 7, 8}; !slices.Equal(steps, want) {
		t.Errorf("progress %v, want %v", steps, want)
	}
	first := files(t, dir)
	want := []string{"train/good/000.png", "train/good/001.png", "test/good/000.png"}
	for _, d := range Woven.Defects() {
		want = append(want, "test/"+d.String()+"/000.png", "ground_truth/"+d.String()+"/000_mask.png")
	}
	for _, name := range want {
		img, err := png.Decode(bytes.NewReader(first[name]))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if img.Bounds() != image.Rect(0, 0, MinSize, MinSize) {
			t.Errorf("%s: bounds %v", name, img.Bounds())
		}
		if _, grey := img.(*image.Gray); grey != (filepath.Dir(filepath.Dir(name)) == "ground_truth") {
			t.Errorf("%s is a %T", name, img)
		}
	}
	if len(first) != len(want) {
		t.Errorf("%d files, want %d", len(first), len(want))
	}
	if bytes.Equal(first["train/good/000.png"], first["test/good/000.png"]) {
		t.Error("training and test share a picture")
	}

	// A second run over the remains of the first gives the same bytes, and more of one sort changes no other.
	counts.Train++
	if err := os.WriteFile(filepath.Join(dir, "train", "good", "001.png.0123456789abcdef.tmp"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := Write(context.Background(), dir, Woven, counts, MinSize, 3, nil); err != nil {
		t.Fatal(err)
	}
	second := files(t, dir)
	if len(second) != len(want)+1 {
		t.Errorf("%d files after the second run, want %d", len(second), len(want)+1)
	}
	for name, data := range first {
		if !bytes.Equal(second[name], data) {
			t.Errorf("%s changed", name)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	if err := Write(ctx, dir, Machined, Counts{Train: -1}, 128, 1, nil); err == nil {
		t.Error("negative count accepted")
	}
	if err := Write(ctx, dir, Machined, Counts{Train: 1}, 8, 1, nil); err == nil {
		t.Error("size 8 accepted")
	}
	if err := Write(ctx, dir, Kind(-1), Counts{Train: 1}, 128, 1, nil); err == nil {
		t.Error("unknown kind accepted")
	}
	other := filepath.Join(dir, "test", "crack")
	if err := os.MkdirAll(other, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "000.png"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := Write(ctx, dir, Machined, Counts{Train: 1}, 128, 1, nil); !errors.Is(err, ErrOtherFiles) {
		t.Errorf("a folder with other pictures gave %v", err)
	}
	if len(files(t, dir)) != 1 {
		t.Error("a refused call wrote files")
	}
}

func TestWriteStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	last := 0
	err := Write(ctx, t.TempDir(), Machined, Counts{Train: 500}, MinSize, 1, func(done, _ int) {
		last = done
		cancel()
	})
	if !errors.Is(err, context.Canceled) || last > 100 {
		t.Errorf("after cancelling: %v, %d pictures", err, last)
	}

	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := Write(context.Background(), blocked, Machined, Counts{Train: 3}, MinSize, 1, nil); err == nil {
		t.Error("wrote into a file")
	}
}
