package pretrain_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/onednn"
	"github.com/destseg/destseg/engine/plain"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/teacher"
	"github.com/destseg/destseg/teacher/pretrain"
	"github.com/destseg/destseg/weights"
)

// drawn writes pictures of stripes, the classes by their direction and width.
func drawn(t *testing.T, write func(name string) io.WriteCloser, count int) {
	t.Helper()
	for class, name := range []string{"across", "along", "both"} {
		for i := range count {
			img := image.NewRGBA(image.Rect(0, 0, 40, 30))
			for y := range 30 {
				for x := range 40 {
					v := [...]int{x / 3, y / 3, x/3 + y/3}[class]%2*150 + 5*i
					img.Set(x, y, color.RGBA{uint8(v), uint8(v), 80, 255})
				}
			}
			f := write(fmt.Sprintf("%s/%d.png", name, i))
			if err := errors.Join(png.Encode(f, img), f.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func inFolder(t *testing.T, root string) func(string) io.WriteCloser {
	return func(name string) io.WriteCloser {
		t.Helper()
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
}

type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }

// zipped writes a zip file with a picture set within an outer folder.
func zipped(t *testing.T, count int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "set.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for _, part := range []string{"train", "val"} {
		drawn(t, func(name string) io.WriteCloser {
			w, err := z.Create("outer/" + part + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			return unclosed{w}
		}, count)
	}
	if w, err := z.Create("__MACOSX/train/junk/._0.png"); err != nil {
		t.Fatal(err)
	} else if _, err := w.Write([]byte("junk")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, path string, weight float64) *pretrain.Source {
	t.Helper()
	s, err := pretrain.OpenSource(path, weight)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestOpenSource(t *testing.T) {
	folder := t.TempDir()
	drawn(t, inFolder(t, folder), 20)
	inFolder(t, folder)("across/notes.txt").Close()
	inFolder(t, folder)(".cache/0.png").Close()
	if err := os.Mkdir(filepath.Join(folder, "bare"), 0o777); err != nil { // no class
		t.Fatal(err)
	}
	classes := []string{"across", "along", "both"}
	for _, c := range []struct {
		path       string
		train, val int
	}{{folder, 57, 3}, {zipped(t, 2), 6, 6}} {
		s := open(t, c.path, 1)
		if train, val := s.Counts(); train != c.train || val != c.val || !slices.Equal(s.Classes, classes) {
			t.Errorf("%s: classes %v, %d and %d pictures, want %d and %d", c.path, s.Classes, train, val, c.train, c.val)
		}
	}

	text := filepath.Join(folder, "across", "notes.txt")
	empty := t.TempDir()
	for _, c := range []struct {
		path   string
		weight float64
		want   error
	}{
		{filepath.Join(folder, "missing"), 1, os.ErrNotExist},
		{text, 1, pretrain.ErrSource},
		{empty, 1, pretrain.ErrSource},
		{filepath.Join(folder, "across"), 1, pretrain.ErrSource},
		{folder, 0, pretrain.ErrSource},
	} {
		if _, err := pretrain.OpenSource(c.path, c.weight); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s with %v: got %v", c.path, c.weight, err)
		}
	}
}

// Folders as they are found in the wild.
func TestOpenSourceLayouts(t *testing.T) {
	pictures := t.TempDir()
	drawn(t, inFolder(t, pictures), 5)
	link := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.Symlink(from, to); err != nil {
			t.Skip(err)
		}
	}
	for _, c := range []struct {
		name       string
		make       func(t *testing.T, folder string)
		classes    string
		train, val int
	}{
		{"links to classes", func(t *testing.T, folder string) {
			for _, class := range []string{"across", "along"} {
				link(t, filepath.Join(pictures, class), filepath.Join(folder, class))
			}
			link(t, filepath.Join(pictures, "nowhere"), filepath.Join(folder, "nowhere"))
		}, "across along", 10, 0},
		{"a link that leads back", func(t *testing.T, folder string) {
			drawn(t, inFolder(t, folder), 2)
			link(t, filepath.Join(folder, "across"), filepath.Join(folder, "across", "again"))
		}, "across along both", 8, 0}, // across twice, as it stands below itself once
		{"a class called train", func(t *testing.T, folder string) {
			drawn(t, func(name string) io.WriteCloser {
				return inFolder(t, folder)(strings.Replace(name, "both/", "train/", 1))
			}, 3)
		}, "across along train", 9, 0},
		{"a single picture at the twentieth place", func(t *testing.T, folder string) {
			for i := range 19 {
				drawn(t, func(name string) io.WriteCloser {
					return inFolder(t, folder)("a/" + strings.ReplaceAll(name, "/", fmt.Sprint(i)))
				}, 1)
			}
			drawn(t, func(name string) io.WriteCloser { return inFolder(t, folder)(fmt.Sprintf("b%s", name)) }, 1)
		}, "a bacross balong bboth", 58, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			c.make(t, folder)
			s := open(t, folder, 1)
			if train, val := s.Counts(); strings.Join(s.Classes, " ") != c.classes || train != c.train || val != c.val {
				t.Errorf("classes %v, %d and %d pictures", s.Classes, train, val)
			}
		})
	}
}

func FuzzOpenSource(f *testing.F) {
	f.Add([]byte("PK\x05\x06" + strings.Repeat("\x00", 18)))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "set.zip")
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		if s, err := pretrain.OpenSource(path, 1); err == nil {
			s.Close()
		}
	})
}

func fast(t *testing.T) engine.Engine {
	t.Helper()
	e, err := onednn.New()
	if errors.Is(err, engine.ErrUnavailable) {
		if testing.Short() {
			t.Skip("slow without oneDNN")
		}
		return plain.New()
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func tiny(t *testing.T) pretrain.Config {
	t.Helper()
	folder := t.TempDir()
	drawn(t, inFolder(t, folder), 7)
	r := pretrain.Usual(0)
	r.Phases = []pretrain.Phase{{Size: 32, Steps: 10}, {Size: 64, Steps: 9}}
	r.Batch, r.Warmup, r.Rate = 6, 2, 0.05
	return pretrain.Config{
		Engine: fast(t), Options: engine.Options{Precision: engine.Float32, Threads: 2}, Recipe: r,
		Sources: []*pretrain.Source{open(t, folder, 5), open(t, zipped(t, 3), 1)}, Cache: 10000, Loaders: 2, Every: 5,
	}
}

// Interrupted in the first phase or in the second and continued, a run ends where an
// uninterrupted one does, with averages and without; the cache and the number of loaders make no difference. What
// it saves is a teacher, and no checkpoint.
func TestRun(t *testing.T) {
	for _, test := range []struct {
		average     float64
		stop, phase int
	}{{0, 9, 0}, {0.9, 12, 1}} {
		c := tiny(t)
		c.Recipe.Average = test.average
		validated := 0
		var last pretrain.Progress
		c.Validated = func(v pretrain.Validation) {
			validated++
			if len(v.Sources) != 2 || v.Size != 64 || v.Sources[1].Pictures != 9 || v.Sources[1].Name != "set.zip" {
				t.Errorf("validated %+v", v)
			}
		}
		seen := 0
		c.Validating = func(done, total int) { seen = total - done }
		c.Progress = func(p pretrain.Progress) { last = p }
		want, err := pretrain.Run(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if validated != 4 || seen != 0 || last.Done != 19 || last.Steps != 19 || last.Phase != 1 {
			t.Errorf("validated %d times, %d not seen, last progress %+v", validated, seen, last)
		}
		if crops := []int{want.Record.Sets[0].Crops, want.Record.Sets[1].Crops}; !slices.Equal(crops, []int{5, 1}) {
			t.Errorf("a batch has %v crops of the sets", crops)
		}

		c.Checkpoint, c.Cache, c.Loaders = filepath.Join(t.TempDir(), "checkpoint"), 0, 1
		ctx, cancel := context.WithCancel(t.Context())
		c.Progress = func(p pretrain.Progress) {
			if p.Done == test.stop {
				cancel()
			}
		}
		if _, err := pretrain.Run(ctx, c); !errors.Is(err, pretrain.ErrInterrupted) {
			t.Fatalf("interrupted: %v", err)
		}
		c.Progress = nil
		var begun pretrain.Progress
		c.Begin = func(p pretrain.Progress) { begun = p }
		got, err := pretrain.Run(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if begun.Done != test.stop || begun.Phase != test.phase {
			t.Errorf("it went on with %+v", begun)
		}
		sameWeights(t, got, want)

		// The checkpoint has all steps by now.
		validated = 0
		got, err = pretrain.Run(t.Context(), c)
		if err != nil || validated != 1 {
			t.Fatalf("validated %d times, %v", validated, err)
		}
		sameWeights(t, got, want)
		checkSaved(t, want, c)
	}
}

func sameWeights(t *testing.T, got, want pretrain.Result) {
	t.Helper()
	for name := range want.Weights {
		if !slices.Equal(got.Weights[name], want.Weights[name]) {
			t.Fatalf("%s differs", name)
		}
	}
}

// checkSaved checks what becomes of the result of a run of c.
func checkSaved(t *testing.T, got pretrain.Result, c pretrain.Config) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "teacher.safetensors")
	if err := pretrain.Save(path, got); err != nil {
		t.Fatal(err)
	}
	loaded, err := teacher.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(loaded.Weights["teacher_net.encoder.layer3.1.bn2.running_var"], got.Weights["layer3.1.bn2.running_var"]) {
		t.Error("the teacher is another one")
	}
	f, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if shape := f.Tensors[network.ClassifierWeight].Shape; !slices.Equal(shape, []int{6, 512}) {
		t.Errorf("the linear layer is %v", shape)
	}

	// What is made of it still tells how it was trained.
	half := filepath.Join(t.TempDir(), "half.safetensors")
	if err := teacher.SaveHalf(half, loaded); err != nil {
		t.Fatal(err)
	}
	d, err := teacher.Describe(half)
	if err != nil {
		t.Fatal(err)
	}
	if record, err := pretrain.ParseRecord(d.Pretraining); err != nil || !reflect.DeepEqual(record, got.Record) {
		t.Errorf("the record is %+v, want %+v (%v)", record, got.Record, err)
	}

	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c.Fresh = range []bool{false, true} {
		c.Checkpoint = path
		if _, err := pretrain.Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "not a checkpoint") {
			t.Errorf("a teacher as a checkpoint: %v", err)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the teacher has changed (%v)", err)
	}
}

// In bfloat16 a run learns much the same.
func TestRunBF16(t *testing.T) {
	c := tiny(t)
	c.Recipe.Phases, c.Recipe.Average, c.Recipe.Rate, c.Every = c.Recipe.Phases[:1], 0, 0.002, 1000
	losses := map[engine.Precision][]float64{}
	for _, precision := range []engine.Precision{engine.Float32, engine.BFloat16} {
		c.Options.Precision = precision
		c.Progress = func(p pretrain.Progress) { losses[precision] = append(losses[precision], p.Loss) }
		result, err := pretrain.Run(t.Context(), c)
		if errors.Is(err, engine.ErrUnsupported) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if result.Record.Precision != precision.String() {
			t.Errorf("computed in %s, asked for %s", result.Record.Precision, precision)
		}
	}
	for step, want := range losses[engine.Float32] {
		if got := losses[engine.BFloat16][step]; math.Abs(got-want) > 0.1 {
			t.Errorf("step %d: a loss of %v, in fp32 %v", step+1, got, want)
		}
	}
}

func TestItLearns(t *testing.T) {
	c := tiny(t)
	c.Sources = c.Sources[1:]
	c.Recipe.Phases = []pretrain.Phase{{Size: 32, Steps: 60}}
	c.Recipe.Batch, c.Recipe.MinArea, c.Every = 9, 0.7, 1000
	var losses []float64
	c.Progress = func(p pretrain.Progress) { losses = append(losses, p.Loss) }
	result, err := pretrain.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	// Smoothed labels leave a loss of about 0.3.
	if last := slices.Max(losses[len(losses)-5:]); !(last < 0.8) {
		t.Errorf("the loss went from %v to %v", losses[0], last)
	}
	if a := result.Record.Validation.Sources[0]; a.Top1 != 1 || a.Top1OfAll != 1 {
		t.Errorf("accuracy %+v", a)
	}
}

func TestUnusable(t *testing.T) {
	damaged := t.TempDir()
	drawn(t, inFolder(t, damaged), 2)
	if err := os.Truncate(filepath.Join(damaged, "along", "1.png"), 60); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*pretrain.Config)
		want   error
		says   string
	}{
		{"no engine", func(c *pretrain.Config) { c.Engine = nil }, nil, "Engine is nil"},
		{"no sources", func(c *pretrain.Config) { c.Sources = nil }, pretrain.ErrSource, "none"},
		{"damaged", func(c *pretrain.Config) { c.Sources = append(c.Sources, open(t, damaged, 1)) }, pretrain.ErrSource, filepath.Join("along", "1.png")},
		{"twice", func(c *pretrain.Config) { c.Sources = append(c.Sources, c.Sources[0]) }, pretrain.ErrSource, "hold the same pictures"},
		{"more sources than crops", func(c *pretrain.Config) { c.Recipe.Batch = 1 }, pretrain.ErrRecipe, "2 sets"},
		{"no phases", func(c *pretrain.Config) { c.Recipe.Phases = nil }, pretrain.ErrRecipe, "phases"},
		{"size", func(c *pretrain.Config) { c.Recipe.Phases[0].Size = 40 }, pretrain.ErrRecipe, "multiples of 32"},
		{"vast", func(c *pretrain.Config) { c.Recipe.Phases[0].Size = 1 << 40 }, pretrain.ErrRecipe, "pixels"},
		{"batch", func(c *pretrain.Config) { c.Recipe.Batch = 1 << 20 }, pretrain.ErrRecipe, "at most"},
		{"steps", func(c *pretrain.Config) { c.Recipe.Phases[1].Steps = 1 << 62 }, pretrain.ErrRecipe, "steps"},
		{"warm-up", func(c *pretrain.Config) { c.Recipe.Warmup = 100 }, pretrain.ErrRecipe, "warm-up"},
		{"rate", func(c *pretrain.Config) { c.Recipe.Rate = -1 }, pretrain.ErrRecipe, "rate"},
		{"area", func(c *pretrain.Config) { c.Recipe.MinArea = 0 }, pretrain.ErrRecipe, "area"},
		{"average", func(c *pretrain.Config) { c.Recipe.Average = 1 }, pretrain.ErrRecipe, "average"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := tiny(t)
			config.Recipe.Phases = slices.Clone(config.Recipe.Phases)
			c.change(&config)
			if _, err := pretrain.Run(t.Context(), config); err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}
