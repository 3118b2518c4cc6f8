package destseg

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/metric"
	"github.com/destseg/destseg/picture"
)

// writeSet makes a data set of small pictures in the layout of MVTec AD. Pictures
// and masks have other sizes than the network, and each other.
func writeSet(t *testing.T) *dataset.Set {
	t.Helper()
	root := t.TempDir()
	save := func(path string, p interface{ write(string) error }) {
		path = filepath.Join(root, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := p.write(path); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range []string{"train/good/0.png", "train/good/1.png", "test/good/0.png", "test/good/1.png",
		"test/bent/0.png", "test/bent/1.png", "test/scratch/0.png", "test/scratch/1.png"} {
		save(name, colour{noise(uint64(i), 80+i, 72)})
	}
	mask := picture.NewGray(100, 90)
	for y := 20; y < 50; y++ {
		for x := 30; x < 70; x++ {
			mask.Pix[y*100+x] = 255
		}
	}
	dot := picture.NewGray(640, 640) // its mark vanishes at network size
	dot.Pix[640*320+320] = 255
	save("ground_truth/bent/0_mask.png", grey{mask})
	save("ground_truth/bent/1_mask.png", grey{picture.NewGray(8, 8)})
	save("ground_truth/scratch/0_mask.png", grey{dot})
	save("ground_truth/scratch/1_mask.png", grey{mask})
	set, err := dataset.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

type colour struct{ p *picture.RGB }

func (c colour) write(path string) error { return picture.WritePNG(path, c.p.Image()) }

type grey struct{ p *picture.Gray }

func (g grey) write(path string) error { return picture.WritePNG(path, g.p.Image()) }

func TestEvaluate(t *testing.T) {
	set := writeSet(t)
	damaged := filepath.Join(set.Root, "test", "bent", "0.png")
	if err := os.Truncate(damaged, 100); err != nil {
		t.Fatal(err)
	}
	noMask := filepath.Join(set.Root, "ground_truth", "scratch", "1_mask.png")
	if err := os.WriteFile(noMask, []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := sharedDetector(t)
	var seen []TestedPicture
	got, err := Evaluate(context.Background(), d, set, func(p TestedPicture) { seen = append(seen, p) })
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != len(set.Test) {
		t.Fatalf("%d pictures handed out", len(seen))
	}
	scores := got.Scores
	for i, p := range seen {
		if p.Sample != set.Test[i] || (p.Inspection == nil) != (p.Err != nil) {
			t.Errorf("picture %d is handed out as %+v", i, p)
		}
		if p.Err != nil {
			continue
		}
		if p.Picture == nil || (p.Mask != nil) != (p.Sample.Mask != "") || p.Inspection.Score != scores[0].Score {
			t.Errorf("%s is handed out as %+v", p.Sample.Path, p)
		}
		scores = scores[1:]
	}

	// bent/1 has a blank mask and counts as good; scratch/0 has a mark that only
	// its full-size mask shows.
	base := func(path string) string { return filepath.Base(filepath.Dir(path)) + "/" + filepath.Base(path) }
	var failed, measured []string
	for _, f := range got.Failed {
		failed = append(failed, base(f.Path))
	}
	if !slices.Equal(failed, []string{"bent/0.png", "scratch/1.png"}) ||
		!strings.Contains(got.Failed[0].Error, damaged) || !strings.Contains(got.Failed[1].Error, noMask) {
		t.Errorf("failed: %+v", got.Failed)
	}
	var segmentation, dest metric.Evaluator
	for _, s := range got.Scores {
		measured = append(measured, base(s.Path))
		p, err := picture.Open(s.Path)
		if err != nil {
			t.Fatal(err)
		}
		alone, err := d.InspectRGB(p)
		if err != nil {
			t.Fatal(err)
		}
		if s.Score != alone.Score || s.DeSTScore != alone.DeSTScore() || s.Defective != (base(s.Path) == "scratch/0.png") {
			t.Errorf("%+v, alone %v and %v", s, alone.Score, alone.DeSTScore())
		}
		for _, m := range []struct {
			e     *metric.Evaluator
			score float64
			at    []float32
		}{{&segmentation, alone.Score, alone.Map(side, side)}, {&dest, alone.DeSTScore(), alone.DeSTMap(side, side)}} {
			if err := m.e.Add(metric.Sample{Score: m.score, Defective: s.Defective, Width: side, Height: side, Map: m.at, Mask: make([]uint8, side*side)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !slices.Equal(measured, []string{"bent/1.png", "good/0.png", "good/1.png", "scratch/0.png"}) || got.Pictures != 4 {
		t.Errorf("measured %d: %v", got.Pictures, measured)
	}
	sameJSON(t, got.Segmentation, segmentation.Result())
	sameJSON(t, got.DeST, dest.Result())
	if len(got.Defects) != 1 || got.Defects[0].Name != "scratch" || got.Defects[0].Pictures != 1 ||
		*got.Defects[0].AUROC != *got.Segmentation.ImageAUROC || *got.Defects[0].DeSTAUROC != *got.DeST.ImageAUROC {
		t.Errorf("defects %+v", got.Defects)
	}
	if got.Engine != d.EngineName() || got.Precision != "fp32" || got.Seconds <= 0 {
		t.Errorf("engine %q, precision %q, %v s", got.Engine, got.Precision, got.Seconds)
	}
	if text := strings.Join(got.Protocol, "\n"); !strings.Contains(text, "32×32") || !strings.Contains(text, "counted as good: 1\npictures that could not be measured, left out: 2") {
		t.Errorf("protocol: %s", text)
	}
	rows := got.Rows()
	if len(rows) != len(got.DeST.Figures()) || rows[0].Name != "image AUROC" || rows[0].Segmentation != got.Segmentation.ImageAUROC ||
		rows[0].DeST != got.DeST.ImageAUROC || rows[0].Protocol == "" || rows[0].Missing != "" || rows[2].Missing == "" {
		t.Errorf("rows %+v", rows)
	}
}

func sameJSON(t *testing.T, got, want any) {
	t.Helper()
	a, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Errorf("got  %s\nwant %s", a, b)
	}
}

func TestEvaluateSound(t *testing.T) {
	got, err := Evaluate(context.Background(), sharedDetector(t), writeSet(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := got.Segmentation
	if len(got.Failed) != 0 || r.Pictures != 6 || r.DefectivePictures != 3 || r.Instances != 2 || r.Pixels != 6*side*side || r.PixelAUROC == nil {
		t.Errorf("%+v", r)
	}
	// 40×30 of 100×90 pixels are marked, in two masks.
	if want := 2 * side * side * 40 * 30 / (100 * 90); math.Abs(float64(r.DefectPixels)-float64(want)) > 0.05*float64(want) {
		t.Errorf("%d defect pixels, about %d are marked", r.DefectPixels, want)
	}
	if len(got.Defects) != 2 || got.Defects[0].Name != "bent" || got.Defects[1].Pictures != 2 {
		t.Errorf("defects %+v", got.Defects)
	}
	if n := len(got.SegmentationCurves.PixelROC); n < 2 || n > curvePoints {
		t.Errorf("%d points in the curve", n)
	}
	if _, err := json.Marshal(got); err != nil {
		t.Error(err)
	}
}

// TestEvaluateDoubtfulMasks checks that a picture without a mask stays out of the
// pixel figures alone, and that a photograph in the place of a mask is told.
func TestEvaluateDoubtfulMasks(t *testing.T) {
	set := writeSet(t)
	without, photograph := set.Test[0], filepath.Join(set.Root, "ground_truth", "scratch", "1_mask.png")
	if err := os.Remove(without.Mask); err != nil {
		t.Fatal(err)
	}
	if err := picture.WritePNG(photograph, noise(9, 100, 90).Image()); err != nil {
		t.Fatal(err)
	}
	set, err := dataset.Open(set.Root)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Evaluate(context.Background(), sharedDetector(t), set, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := got.Segmentation; r.Pictures != 6 || r.BlindPictures != 1 || r.PixelAUROC == nil || r.Pixels != 5*side*side {
		t.Errorf("%+v", r)
	}
	if len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], photograph) || !strings.Contains(got.Warnings[0], "is it a mask?") {
		t.Errorf("warnings %q", got.Warnings)
	}
}

func TestEvaluateRefuses(t *testing.T) {
	d := sharedDetector(t)
	set := writeSet(t)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	calls := 0
	if _, err := Evaluate(ctx, d, set, func(TestedPicture) { calls++; cancel(cause) }); !errors.Is(err, cause) || calls != 1 {
		t.Errorf("cancelled: %v after %d pictures", err, calls)
	}
	if _, err := Evaluate(context.Background(), d, &dataset.Set{Root: "somewhere"}, nil); !errors.Is(err, ErrNoPictures) || !strings.Contains(err.Error(), "somewhere") {
		t.Errorf("no test pictures: %v", err)
	}
	gone := &dataset.Set{Root: "somewhere", Test: []dataset.Sample{{Path: "gone.png"}, {Path: "lost.png"}}}
	if _, err := Evaluate(context.Background(), d, gone, nil); !errors.Is(err, ErrNoPictures) || !strings.Contains(err.Error(), "gone.png") {
		t.Errorf("nothing readable: %v", err)
	}
}

func TestTruth(t *testing.T) {
	mask := func(width, height int, pix ...uint8) *picture.Gray {
		return &picture.Gray{Width: width, Height: height, Pix: pix}
	}
	dot := picture.NewGray(16, 16)
	dot.Pix[0] = 255
	for _, c := range []struct {
		what      string
		mask      *picture.Gray
		want      []uint8
		defective bool
	}{
		{"same size", mask(2, 2, 0, 255, 127, 128), []uint8{0, 1, 0, 1}, true},
		{"all black", mask(2, 2, 0, 0, 0, 0), []uint8{0, 0, 0, 0}, false},
		{"small labels", mask(2, 2, 0, 1, 2, 0), []uint8{0, 1, 1, 0}, true},
		{"small labels, shrunk", mask(4, 2, 0, 0, 1, 1, 0, 0, 1, 1), []uint8{0, 1}, true},
		{"a dot that vanishes", dot, []uint8{0, 0, 0, 0}, true},
	} {
		width := len(c.want)
		height := 1
		if width == 4 {
			width, height = 2, 2
		}
		got, defective := truth(c.mask, width, height)
		if !slices.Equal(got, c.want) || defective != c.defective {
			t.Errorf("%s: %v, %v", c.what, got, defective)
		}
	}
}

func TestInspectFiles(t *testing.T) {
	set := writeSet(t)
	d := sharedDetector(t)
	paths := []string{set.Test[0].Path, "gone.png", set.Test[1].Path}
	var got []InspectedFile
	for f := range d.InspectFiles(context.Background(), paths) {
		got = append(got, f)
	}
	if len(got) != 3 {
		t.Fatalf("%d results", len(got))
	}
	for i, f := range got {
		if f.Path != paths[i] || (f.Err != nil) != (i == 1) || (f.Inspection == nil) != (i == 1) || (f.Picture == nil) != (i == 1) {
			t.Errorf("result %d: %+v", i, f)
		}
	}
	if !errors.Is(got[1].Err, fs.ErrNotExist) || !errors.Is(got[1].Err, ErrPicture) {
		t.Error(got[1].Err)
	}
	for range d.InspectFiles(context.Background(), paths) {
		break // must not leave the reader stuck, nor panic
	}

	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	got = nil
	for f := range d.InspectFiles(ctx, slices.Repeat(paths, 10)) {
		got = append(got, f)
		cancel(cause)
	}
	if len(got) != 2 || !errors.Is(got[1].Err, cause) {
		t.Errorf("cancelled: %+v", got)
	}
}

func TestAheadKeepsOrder(t *testing.T) {
	items := make([]int, 1000)
	for i := range items {
		items[i] = i
	}
	next := 0
	for v := range ahead(t.Context(), items, func(i int) int { return i * i }) {
		if v != next*next {
			t.Fatalf("%d in place %d", v, next)
		}
		next++
	}
	if next != len(items) {
		t.Errorf("%d results", next)
	}
}

// TestAheadDoesNotWait checks that an end of the context beats an item that never
// comes.
func TestAheadDoesNotWait(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	never := make(chan int)
	for v := range ahead(ctx, []int{0, 1}, func(i int) int {
		if i == 0 {
			return 0
		}
		cancel()
		return <-never
	}) {
		if v != 0 {
			t.Errorf("item %d", v)
		}
	}
}
