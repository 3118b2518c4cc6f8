package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/picture"
)

// TestTiling checks that tiles are used where a flag asks for them, and where the record
// does.
func TestTiling(t *testing.T) {
	if testing.Short() {
		t.Skip("inspects many tiles, which takes the plain engine half a minute")
	}
	data, detector := dataSet(t), detectorFile(t)
	t.Chdir(t.TempDir())
	copyFile(t, detector, "x.safetensors")
	good := filepath.Join(data, "test", "good", "000.png") // 64×64, the network sees 32×32
	score := func(args ...string) float64 {
		t.Helper()
		return predictions(t, succeed(t, append([]string{"predict", "x.safetensors", good}, args...)...).stdout)[0].Score
	}
	want := func(tile, overlap int) float64 {
		t.Helper()
		d, err := destseg.Open("x.safetensors", destseg.WithRecord(func(r *destseg.Record) {
			if p := &r.Preprocessing; tile > 0 {
				p.Fit, p.Tile, p.Overlap = picture.Tiles, tile, overlap
			} else {
				p.Fit = picture.Stretch
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		p, err := picture.Open(good)
		if err != nil {
			t.Fatal(err)
		}
		in, err := d.InspectRGB(p)
		if err != nil {
			t.Fatal(err)
		}
		return in.Score
	}
	whole := want(0, 0)
	for _, c := range []struct {
		args          string
		tile, overlap int
	}{{"", 0, 0}, {"--tile 32", 32, 8}, {"--tile 40 --overlap 0", 40, 0}} {
		got := score(strings.Fields(c.args)...)
		if want := want(c.tile, c.overlap); got != want || c.tile > 0 && got == whole {
			t.Errorf("%q: score %v, want %v; of the whole picture %v", c.args, got, want, whole)
		}
	}
	if o := succeed(t, "predict", "x.safetensors", good, "--tile", "32"); !strings.Contains(o.stderr, "was not chosen for these tiles") {
		t.Errorf("no warning:\n%s", o.stderr)
	}
	if o := succeed(t, "eval", "x.safetensors", data, "--tile", "32", "--threshold", "0"); !strings.Contains(o.stdout, "seen in tiles of 32×32 that overlap by 8 pixels") ||
		!strings.Contains(o.stdout, "at the threshold 0.0000, 2 of 2 good pictures are rejected") {
		t.Errorf("eval says\n%s", o.stdout)
	}
	succeed(t, "calibrate", "x.safetensors", data, "--tile", "32", "--overlap", "4", "--synthetic", "3")
	if got := score(); got != want(32, 4) {
		t.Errorf("calibrated with tiles: score %v, want %v", got, want(32, 4))
	}
	if got := score("--tile", "0"); got != whole {
		t.Errorf("without the record's tiles: score %v, want %v", got, whole)
	}
	for args, code := range map[string]int{"--tile 0 --overlap 4": exitUsage, "--tile 32 --overlap 17": exitUsage, "--overlap 17": exitFailed, "--tile 7": exitFailed} {
		if o := command(t.Context(), append([]string{"predict", "x.safetensors", good}, strings.Fields(args)...)...); o.code != code {
			t.Errorf("%s: exit status %d: %s", args, o.code, o.stderr)
		}
	}
}

// TestTrainTiles trains a detector that sees pictures in tiles.
func TestTrainTiles(t *testing.T) {
	if testing.Short() {
		t.Skip("slow without oneDNN")
	}
	data := dataSet(t)
	t.Chdir(t.TempDir())
	succeed(t, append([]string{"train", data, "-o", "x.safetensors", "--tile", "48", "--overlap", "20"}, tiny...)...)
	r, _, err := destseg.Read("x.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if p := r.Preprocessing; p.Fit != picture.Tiles || p.Tile != 48 || p.Overlap != 20 || p.Width != 32 || r.Recipe.Fit != p.Fit || r.Recipe.Tile != p.Tile {
		t.Errorf("%+v, recipe %+v", p, r.Recipe)
	}
	if o, want := succeed(t, "info", "x.safetensors"), "32×32, tiles of 48 pixels across that overlap by 20, at 0.667 of their size"; !strings.Contains(o.stdout, want) {
		t.Errorf("info lacks %q:\n%s", want, o.stdout)
	}
}
