package dataset

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/destseg/destseg/picture"
)

// plant makes files with a few bytes in them, and the folders they need.
func plant(t *testing.T, root string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// describe writes samples as "path kind mask", relative to root.
func describe(root string, samples []Sample) []string {
	var lines []string
	for _, s := range samples {
		line := strings.TrimPrefix(s.Path, root+string(filepath.Separator)) + " " + s.Defect
		if s.Anomalous {
			line += " " + strings.TrimPrefix(s.Mask, root+string(filepath.Separator))
		}
		lines = append(lines, filepath.ToSlash(line))
	}
	return lines
}

func checkList(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n  %s\nwant:\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestOpenMVTec(t *testing.T) {
	root := filepath.Join(t.TempDir(), "screw")
	plant(t, root,
		"train/good/001.png", "train/good/000.PNG", "train/good/Thumbs.db", "train/good/.hidden.png", "train/good/._001.png",
		"train/good/line2/7.jpeg", "license.txt", "readme.md",
		"test/good/000.png", "test/scratch/000.png", "test/scratch/001.png", "test/scratch/cam/002.tif", "test/dent/000.bmp",
		"ground_truth/scratch/000_mask.png", "ground_truth/scratch/001.PNG", "ground_truth/scratch/cam/002_MASK.png",
		"ground_truth/dent/000_mask.png",
	)
	set, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	if set.Layout != "mvtec" || set.Category != "screw" || set.Root != root {
		t.Errorf("layout %q, category %q, root %q", set.Layout, set.Category, set.Root)
	}
	checkList(t, "train", describe(root, set.Train),
		"train/good/000.PNG good", "train/good/001.png good", "train/good/line2/7.jpeg good")
	checkList(t, "test", describe(root, set.Test),
		"test/dent/000.bmp dent ground_truth/dent/000_mask.png",
		"test/good/000.png good",
		"test/scratch/000.png scratch ground_truth/scratch/000_mask.png",
		"test/scratch/001.png scratch ground_truth/scratch/001.PNG",
		"test/scratch/cam/002.tif scratch ground_truth/scratch/cam/002_MASK.png")
	checkList(t, "warnings", set.Warnings)
}

func TestOpenWarnings(t *testing.T) {
	tests := []struct {
		name  string
		files []string
		warn  []string // what each warning must say
	}{
		{"no mask", []string{"test/dent/a.png", "test/dent/b.png", "ground_truth/dent/a_mask.png"}, []string{"b.png"}},
		{"no ground truth", []string{"test/dent/a.png"}, []string{"1 defective picture without a mask"}},
		{"mask without picture", []string{"test/dent/a.png", "ground_truth/dent/a.png", "ground_truth/dent/c.png"}, []string{"c.png"}},
		{"masks of no kind", []string{"test/good/a.png", "ground_truth/dent/a.png"}, []string{"dent"}},
		{"masks of good", []string{"test/good/a.png", "ground_truth/good/a.png"}, nil},
		{"loose test pictures", []string{"test/a.png", "test/good/a.png"}, []string{"1 picture left out"}},
		{"more in train", []string{"train/good/a.png", "train/bad/a.png", "train/b.png"}, []string{"not bad", "1 picture beside"}},
		{"foreign formats", []string{"a.png", "b.heic", "c.GIF"}, []string{"2 pictures in formats that are not read"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			plant(t, root, test.files...)
			set, err := Open(root)
			if err != nil {
				t.Fatal(err)
			}
			if len(set.Warnings) != len(test.warn) {
				t.Fatalf("warnings %q, want %d", set.Warnings, len(test.warn))
			}
			for i, want := range test.warn {
				if !strings.Contains(set.Warnings[i], want) {
					t.Errorf("warning %q does not say %q", set.Warnings[i], want)
				}
			}
		})
	}
}

func TestOpenOtherLayouts(t *testing.T) {
	tests := []struct {
		name   string
		files  []string
		layout string
		train  []string
	}{
		{"plain", []string{"b.jpg", "a.png", "n/c.webp", "notes.txt"}, "plain", []string{"a.png good", "b.jpg good", "n/c.webp good"}},
		{"only good", []string{"good/a.png"}, "plain", []string{"good/a.png good"}},
		{"pictures in train", []string{"train/a.png"}, "mvtec", []string{"train/a.png good"}},
		{"capitals", []string{"Train/Good/a.png"}, "mvtec", []string{"Train/Good/a.png good"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			plant(t, root, test.files...)
			set, err := Open(root)
			if err != nil {
				t.Fatal(err)
			}
			if set.Layout != test.layout || len(set.Test) != 0 {
				t.Errorf("layout %q, %d test pictures", set.Layout, len(set.Test))
			}
			checkList(t, "train", describe(root, set.Train), test.train...)
		})
	}
}

func TestOpenErrors(t *testing.T) {
	tests := []struct {
		name  string
		files []string
		want  error
		say   string
	}{
		{"empty", []string{"x/notes.txt"}, ErrEmpty, ".png"},
		{"empty mvtec", []string{"train/good/notes.txt"}, ErrEmpty, ".png"},
		{"many sets", []string{"bottle/train/good/a.png", "cable/train/good/a.png"}, ErrCategories, "bottle, cable"},
		{"no good in train", []string{"train/fine/a.png"}, ErrLayout, "found fine"},
		{"no layout", []string{"ok/a.png", "dent/a.png"}, ErrLayout, "the folders dent, ok fit none of the known ones: VisA, MVTec AD 2, MVTec LOCO AD, " +
			"BTAD, KolektorSDD2, KolektorSDD, MVTec AD and MPDD, the folder good beside one for each kind of defect, a plain folder of good pictures"},
		{"bad alone", []string{"bad/a.png", "b.png"}, ErrLayout, "the folders bad fit none"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			plant(t, root, test.files...)
			_, err := Open(root)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.say) || !strings.Contains(err.Error(), root) {
				t.Errorf("error %v", err)
			}
		})
	}
	root := t.TempDir()
	plant(t, root, "a.png")
	if _, err := Open(filepath.Join(root, "a.png")); !errors.Is(err, ErrLayout) {
		t.Errorf("a file: %v", err)
	}
	if _, err := Open(filepath.Join(root, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent folder: %v", err)
	}
}

func TestLinks(t *testing.T) {
	root := t.TempDir()
	plant(t, root, "far/good/a.png", "set/notes.txt")
	set := filepath.Join(root, "set")
	if err := os.Symlink(filepath.Join(root, "far"), filepath.Join(set, "train")); err != nil {
		t.Skip("no links here:", err)
	}
	found, err := Open(set)
	if err != nil {
		t.Fatal(err)
	}
	checkList(t, "train", describe(set, found.Train), "train/good/a.png good")
	if err := os.Symlink(root, filepath.Join(root, "far", "good", "back")); err != nil {
		t.Fatal(err)
	}
	if found, err = Open(set); err != nil {
		t.Fatal(err)
	}
	checkList(t, "train with a circle of links", describe(set, found.Train), "train/good/a.png good")
}

func TestExpand(t *testing.T) {
	root := t.TempDir()
	plant(t, root, "a.png", "b.JPG", "n/c.tif", "n/.d.png", "n/e.txt", "odd", "f[1].png", "empty/x.txt")
	at := func(name string) string { return filepath.Join(root, filepath.FromSlash(name)) }
	tests := []struct {
		name string
		args []string
		want []string
	}{
		{"file", []string{"a.png"}, []string{"a.png"}},
		{"any extension", []string{"odd"}, []string{"odd"}},
		{"folder", []string{"."}, []string{"a.png", "b.JPG", "f[1].png", "n/c.tif"}},
		{"pattern", []string{"*.png"}, []string{"a.png", "f[1].png"}},
		{"pattern over folders", []string{"*"}, []string{"a.png", "b.JPG", "f[1].png", "n/c.tif"}},
		{"called like a pattern", []string{"f[1].png"}, []string{"f[1].png"}},
		{"each once", []string{"n", "a.png", "n/c.tif", "./a.png", "n/../a.png"}, []string{"a.png", "n/c.tif"}},
		{"none", nil, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var args, want []string
			for _, arg := range test.args {
				args = append(args, root+string(filepath.Separator)+filepath.FromSlash(arg))
			}
			for _, name := range test.want {
				want = append(want, at(name))
			}
			got, failures := Expand(args)
			checkList(t, "pictures", got, want...)
			if len(failures) > 0 {
				t.Errorf("failures: %v", failures)
			}
		})
	}
}

// TestExpandAmongFailures checks that what can't be taken is told and does not keep
// the rest from being taken.
func TestExpandAmongFailures(t *testing.T) {
	root := t.TempDir()
	plant(t, root, "a.png", "in/b.png", "in/c.heic", "in/n/d.png", "empty/x.txt", "odd/z.gif", "odd/y.png")
	at := func(name string) string { return filepath.Join(root, filepath.FromSlash(name)) }
	for link, target := range map[string]string{"in/gone.png": "nowhere.png", "in/gone.txt": "nowhere", "in/n/loop": at("in"), "in/n/up": root} {
		if err := os.Symlink(target, at(link)); err != nil {
			t.Skip("no links here:", err)
		}
	}
	got, failures := Expand([]string{at("a.png"), at("no.png"), at("no*.png"), at("empty"), at("x["), at("in"), at("in/n"), at("odd/*")})
	checkList(t, "pictures", got, at("a.png"), at("in/b.png"), at("in/n/d.png"), at("odd/y.png"))
	want := []struct {
		path string
		err  error
	}{
		{"empty", ErrEmpty}, {"in/c.heic", ErrForeign}, {"in/gone.png", fs.ErrNotExist}, {"no*.png", ErrEmpty},
		{"no.png", fs.ErrNotExist}, {"odd/z.gif", ErrForeign}, {"x[", filepath.ErrBadPattern},
	}
	if len(failures) != len(want) {
		t.Fatalf("failures %v", failures)
	}
	for i, f := range failures {
		if f.Path != at(want[i].path) || !errors.Is(f.Err, want[i].err) || !strings.Contains(f.Err.Error(), f.Path) {
			t.Errorf("%s: %v, want %s: %v", f.Path, f.Err, want[i].path, want[i].err)
		}
	}
	if got, failures := Expand([]string{os.DevNull}); got != nil || len(failures) != 1 || !strings.Contains(failures[0].Err.Error(), "no ordinary file") {
		t.Errorf("a device: %v, %v", got, failures)
	}
}

// TestRealSets counts the pictures of data that is there on some machines only.
func TestRealSets(t *testing.T) {
	tests := []struct {
		folder                           string
		train, good, defective, warnings int
	}{
		{"mvtec_ad/bottle", 209, 20, 63, 0},
		{"magnetic_tile", 240, 60, 388, 0},
	}
	for _, test := range tests {
		t.Run(test.folder, func(t *testing.T) {
			set, err := Open(filepath.Join("..", "..", "shared", "data", filepath.FromSlash(test.folder)))
			if errors.Is(err, fs.ErrNotExist) {
				t.Skip("the data is not here")
			}
			if err != nil {
				t.Fatal(err)
			}
			good, defective := 0, 0
			for _, s := range set.Test {
				if s.Anomalous {
					defective++
				} else {
					good++
				}
				if !s.PixelTruth() {
					t.Errorf("%s has no mask", s.Path)
				}
			}
			if len(set.Train) != test.train || good != test.good || defective != test.defective || len(set.Warnings) != test.warnings {
				t.Errorf("%d for training, %d good, %d defective, warnings %q", len(set.Train), good, defective, set.Warnings)
			}
			first := set.Test[0] // kinds of defects in the alphabet before good
			p, err := picture.Open(first.Path)
			if err != nil {
				t.Fatal(err)
			}
			mask, err := picture.OpenGray(first.Mask)
			if err != nil {
				t.Fatal(err)
			}
			marked := 0
			for _, v := range mask.ResizeNearest(p.Width, p.Height).Binary().Pix {
				if v != 0 {
					marked++
				}
			}
			if marked == 0 || marked > p.Width*p.Height/2 {
				t.Errorf("%d of %d pixels are marked", marked, p.Width*p.Height)
			}
		})
	}
}

func TestCategoryOf(t *testing.T) {
	for path, want := range map[string]string{
		"/data/bottle": "bottle", "/data/parts/good": "parts", "/data/bottle/train/good": "bottle", "/data/Parts/OK": "Parts",
		"/good": "good", "/": string(filepath.Separator),
	} {
		if got := categoryOf(filepath.FromSlash(path)); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
