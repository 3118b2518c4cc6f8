package train

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/onednn"
	"github.com/destseg/destseg/engine/plain"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/synth"
	"github.com/destseg/destseg/weights"
)

// fast is the best engine that this build has.
func fast(t *testing.T) engine.Engine {
	t.Helper()
	e, err := onednn.New()
	if errors.Is(err, engine.ErrUnavailable) {
		return plain.New()
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// drawParts writes good pictures, of a size that is not the network's.
func drawParts(t *testing.T, count int) []string {
	t.Helper()
	dir := t.TempDir()
	paths := make([]string, count)
	for i := range paths {
		img := image.NewRGBA(image.Rect(0, 0, 50, 40))
		for y := range 40 {
			for x := range 50 {
				img.Set(x, y, color.RGBA{uint8(5 * x), uint8(6 * y), uint8(40*i + x*y%40), 255})
			}
		}
		paths[i] = filepath.Join(dir, fmt.Sprintf("%d.png", i))
		if err := picture.WritePNG(paths[i], img); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

// tiny is a run of a few steps, which take seconds on the plain engine.
func tiny(t *testing.T, pictures int) Config {
	t.Helper()
	r := Published("")
	r.Width, r.Height, r.Batch, r.StudentSteps, r.SegmentationSteps = 32, 32, 4, 3, 3
	return Config{
		Engine: fast(t), Options: engine.Options{Precision: engine.Float32, Threads: 2}, Recipe: r,
		Good: drawParts(t, pictures), Pictures: dataset.NewCache(r.Prepare, 1<<20), Loaders: 2, Every: 100,
	}
}

// steps is called by tests that take some.
func steps(t *testing.T) {
	t.Helper()
	if _, err := onednn.New(); err != nil && testing.Short() {
		t.Skip("slow without oneDNN")
	}
}

func run(t *testing.T, c Config) Result {
	t.Helper()
	steps(t)
	result, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func sameWeights(t *testing.T, got, want map[string][]float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d tensors, want %d", len(got), len(want))
	}
	for name := range want {
		if !slices.Equal(got[name], want[name]) {
			t.Fatalf("%s differs", name)
		}
	}
}

// Interrupted after any step and continued, a run ends where an uninterrupted
// one does; and the number of loaders makes no difference.
func TestResumeIsBitIdentical(t *testing.T) {
	c := tiny(t, 3) // fewer than a batch
	want := run(t, c).Weights
	for _, stop := range []struct{ stage, step int }{{1, 1}, {1, 3}, {2, 2}} {
		t.Run(fmt.Sprintf("stage %d step %d", stop.stage, stop.step), func(t *testing.T) {
			c := c
			c.Loaders = 1 + stop.step
			c.Checkpoint = filepath.Join(t.TempDir(), "run.checkpoint")
			ctx, cancel := context.WithCancelCause(t.Context())
			reason := errors.New("pulled the plug")
			c.Progress = func(p Progress) {
				if p.Stage == stop.stage && p.Step == stop.step {
					cancel(reason)
				}
			}
			if _, err := Run(ctx, c); !errors.Is(err, ErrInterrupted) || !errors.Is(err, reason) {
				t.Fatalf("interrupted run: %v", err)
			}
			var first Progress
			c.Progress = func(p Progress) {
				if first.Step == 0 {
					first = p
				}
			}
			got := run(t, c).Weights
			if first.Stage == stop.stage && first.Step <= stop.step {
				t.Errorf("the second run began at stage %d, step %d", first.Stage, first.Step)
			}
			sameWeights(t, got, want)
			sameWeights(t, run(t, c).Weights, want) // nothing left to do
		})
	}
}

// Slow textures let the engine wait for the loader, which is when Ctrl-C comes.
type slowTextures struct{ synth.Procedural }

func (s slowTextures) Texture(dst *picture.RGB, random *rand.Rand) error {
	time.Sleep(50 * time.Millisecond)
	return s.Procedural.Texture(dst, random)
}

func TestInterruptWhileWaitingForPictures(t *testing.T) {
	c := tiny(t, 2)
	c.Textures = slowTextures{}
	ctx, cancel := context.WithCancel(t.Context())
	c.Progress = func(Progress) { time.AfterFunc(20*time.Millisecond, cancel) }
	if _, err := Run(ctx, c); !errors.Is(err, ErrInterrupted) {
		t.Errorf("got %v", err)
	}
}

func TestSeedDecides(t *testing.T) {
	c := tiny(t, 2)
	c.Recipe.StudentSteps, c.Recipe.SegmentationSteps = 1, 1
	first := run(t, c).Weights
	c.Recipe.Seed++
	second := run(t, c).Weights
	const name = "student_net.decoder_layer1.0.conv1.weight"
	if slices.Equal(first[name], second[name]) {
		t.Error("another seed gave the same weights")
	}
}

func TestTeacherAndStudentStayFrozen(t *testing.T) {
	c := tiny(t, 2)
	c.Teacher = map[string][]float32{}
	random := Config{Recipe: c.Recipe}
	state, err := (&trainer{Config: random}).initial()
	if err != nil {
		t.Fatal(err)
	}
	for _, tensor := range network.Tensors() {
		if tensor.Part() == network.TeacherPart {
			c.Teacher[tensor.Name] = state[tensor.Name]
		}
	}
	c.Recipe.SegmentationSteps = 0
	afterStage1 := run(t, c).Weights
	c.Recipe.SegmentationSteps = 2
	afterStage2 := run(t, c).Weights
	for _, tensor := range network.Tensors() {
		same := slices.Equal(afterStage1[tensor.Name], afterStage2[tensor.Name])
		if frozen := tensor.Part() != network.SegmentationPart; same != frozen {
			t.Errorf("%s: unchanged by stage 2 is %v", tensor.Name, same)
		}
		if tensor.Part() == network.TeacherPart && !slices.Equal(afterStage2[tensor.Name], c.Teacher[tensor.Name]) {
			t.Errorf("%s of the teacher was changed", tensor.Name)
		}
	}
}

// The schedule reaches the engine, the average the result, and both survive an
// interruption.
func TestScheduleAndAverage(t *testing.T) {
	c := tiny(t, 2)
	c.Recipe.StudentSteps, c.Recipe.SegmentationSteps = 9, 9
	constant := run(t, c).Weights
	c.Recipe.Schedule, c.Recipe.Warmup = Cosine, 2
	var rates []float64
	c.Progress = func(p Progress) { rates = append(rates, p.Rate) }
	cosine := run(t, c).Weights
	for i, want := range []float64{1. / 3, 2. / 3, 1, (1 + math.Cos(math.Pi/7)) / 2} {
		if math.Abs(rates[i]-want) > 1e-12 || math.Abs(rates[9+i]-want) > 1e-12 {
			t.Errorf("the rates of step %d are %v and %v, want %v", i+1, rates[i], rates[9+i], want)
		}
	}
	c.Recipe.Average = 0.9
	c.Progress = nil
	averaged := run(t, c).Weights
	const name = "segmentation_net.res.0.conv1.weight"
	if slices.Equal(cosine[name], constant[name]) || slices.Equal(cosine[name], averaged[name]) {
		t.Error("schedule or average make no difference")
	}
	c.Checkpoint = filepath.Join(t.TempDir(), "run.checkpoint")
	ctx, cancel := context.WithCancel(t.Context())
	c.Progress = func(p Progress) {
		if p.Stage == 2 && p.Step == 8 {
			cancel()
		}
	}
	if _, err := Run(ctx, c); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	c.Progress = nil
	sameWeights(t, run(t, c).Weights, averaged)
}

func TestLook(t *testing.T) {
	c := tiny(t, 3)
	c.Recipe.SegmentationSteps, c.Every = 4, 2
	var seen [][]Glimpse
	c.Look = func(g []Glimpse) { seen = append(seen, g) }
	looked := run(t, c).Weights
	if len(seen) != 4 { // after steps 2 and 3, and 2 and 4
		t.Fatalf("looked %d times", len(seen))
	}
	for i, g := range seen {
		if len(g) != glimpsed || !slices.Equal(g[0].Picture.Pix, seen[0][0].Picture.Pix) || !slices.Equal(g[1].Mask.Pix, seen[0][1].Mask.Pix) {
			t.Fatalf("look %d is at other samples", i)
		}
		if g[0].Width != 8 || g[0].Height != 8 || len(g[0].Segmentation) != 64 || len(g[0].DeST) != 64 {
			t.Fatalf("maps of %d×%d", g[0].Width, g[0].Height)
		}
	}
	if slices.Equal(seen[0][0].DeST, seen[1][0].DeST) || slices.Equal(seen[2][0].Segmentation, seen[3][0].Segmentation) {
		t.Error("training changes nothing")
	}
	c.Look = nil
	sameWeights(t, run(t, c).Weights, looked)
}

func TestLossFalls(t *testing.T) {
	c := tiny(t, 2)
	c.Recipe.StudentSteps, c.Recipe.SegmentationSteps = 30, 0
	var losses []float64
	c.Progress = func(p Progress) { losses = append(losses, p.Cosine) }
	run(t, c)
	if first, last := losses[0], losses[len(losses)-1]; !(last < first/2) {
		t.Errorf("the student's loss went from %v to %v", first, last)
	}
}

func TestUnusableInput(t *testing.T) {
	damaged := filepath.Join(t.TempDir(), "damaged.png")
	if err := os.WriteFile(damaged, []byte("\x89PNG\r\n\x1a\nand no more"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   error
		says   string
	}{
		{"no pictures", func(c *Config) { c.Good = nil }, ErrPictures, "none"},
		{"damaged picture", func(c *Config) { c.Good = append(c.Good, damaged) }, ErrPictures, "1 of 3 can't be read"},
		{"no cache", func(c *Config) { c.Pictures, c.Good = nil, []string{damaged} }, ErrPictures, damaged},
		{"size", func(c *Config) { c.Recipe.Width = 40 }, ErrRecipe, "multiples of 32"},
		{"batch", func(c *Config) { c.Recipe.Batch = 0 }, ErrRecipe, "batch"},
		{"steps", func(c *Config) { c.Recipe.StudentSteps = -1 }, ErrRecipe, "steps"},
		{"endless", func(c *Config) { c.Recipe.SegmentationSteps = math.MaxInt }, ErrRecipe, "steps"},
		{"vast batch", func(c *Config) { c.Recipe.Batch = 1 << 20 }, ErrRecipe, "at most 4096"},
		{"vast pictures", func(c *Config) { c.Recipe.Width, c.Recipe.Height = 1<<40, 1<<40 }, ErrRecipe, "pixels"},
		{"no engine", func(c *Config) { c.Engine = nil }, nil, "Engine is nil"},
		{"teacher's tensor", func(c *Config) { c.Teacher = map[string][]float32{"fc.bias": {1}} }, nil, `"fc.bias" is none of`},
		{"rate", func(c *Config) { c.Recipe.ResRate = -1 }, ErrRecipe, "res rate"},
		{"schedule", func(c *Config) { c.Recipe.Schedule = "sine" }, ErrRecipe, "constant and cosine"},
		{"warm-up", func(c *Config) { c.Recipe.Warmup = -1 }, ErrRecipe, "warm-up"},
		{"average", func(c *Config) { c.Recipe.Average = 1 }, ErrRecipe, "average"},
		{"opacity", func(c *Config) { c.Recipe.MinOpacity = 0 }, ErrRecipe, "opacity"},
		{"divergence", func(c *Config) {
			c.Recipe.StudentRate, c.Recipe.WeightDecay, c.Recipe.StudentSteps = math.MaxFloat32, 1, 5
		}, ErrDiverged, "another seed"},
		{"teacher", func(c *Config) {
			c.Teacher = map[string][]float32{"teacher_net.encoder.bn1.weight": {1}}
		}, nil, "teacher_net.encoder.bn1.weight"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := tiny(t, 2)
			c.change(&config)
			_, err := Run(t.Context(), config)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestUnusableCheckpoint(t *testing.T) {
	c := tiny(t, 2)
	c.Recipe.StudentSteps, c.Recipe.SegmentationSteps = 1, 1
	c.Checkpoint = filepath.Join(t.TempDir(), "run.checkpoint")
	run(t, c)
	good, err := weights.Open(c.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	old := good.Metadata[checkpointKind.Key]
	for _, test := range []struct {
		name   string
		change func(t *testing.T, c *Config)
		want   error
		says   string
	}{
		{"other recipe", func(t *testing.T, c *Config) { c.Recipe.Seed++ }, ErrCheckpoint, "another run (seed 0, not 1)"},
		{"fewer pictures", func(t *testing.T, c *Config) { c.Good = c.Good[:1] }, ErrCheckpoint, "(other good pictures)"},
		{"other picture of the same name", func(t *testing.T, c *Config) {
			if err := os.Rename(c.Good[0], c.Good[0]+".away"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Rename(c.Good[0]+".away", c.Good[0]) })
			if err := picture.WritePNG(c.Good[0], image.NewRGBA(image.Rect(0, 0, 50, 40))); err != nil {
				t.Fatal(err)
			}
		}, ErrCheckpoint, "(other good pictures)"},
		{"other textures", func(t *testing.T, c *Config) { c.Textures = foreignTextures{} }, ErrCheckpoint, "(other textures)"},
		{"other teacher", func(t *testing.T, c *Config) {
			c.Teacher = map[string][]float32{"teacher_net.encoder.bn1.weight": make([]float32, 64)}
		}, ErrCheckpoint, "(another teacher)"},
		{"other engine", func(t *testing.T, c *Config) { c.Engine = renamed{c.Engine} }, ErrCheckpoint, "(engine "},
		{"truncated", func(t *testing.T, c *Config) {
			if err := os.Truncate(c.Checkpoint, 1000); err != nil {
				t.Fatal(err)
			}
		}, ErrNotCheckpoint, "remove it"},
		{"not a checkpoint", func(t *testing.T, c *Config) {
			rewrite(t, c.Checkpoint, &weights.File{Tensors: good.Tensors})
		}, ErrNotCheckpoint, "name another file"},
		{"newer", record(strings.Replace(old, `"version":3`, `"version":4`, 1)), ErrCheckpoint, "newer version"},
		{"older", record(`{"version":2,"stage":1,"step":1}`), ErrCheckpoint, "older version"},
		{"no record", record(""), ErrCheckpoint, "damaged"},
		{"step", record(strings.Replace(old, `"step":1`, `"step":2`, 1)), ErrCheckpoint, "damaged"},
		{"tensor", func(t *testing.T, c *Config) {
			f := *good
			f.Tensors = maps.Clone(good.Tensors)
			f.Tensors["student_net.encoder.bn1.weight"] = weights.FromFloat32([]int{2}, []float32{1, 2})
			rewrite(t, c.Checkpoint, &f)
		}, ErrCheckpoint, "student_net.encoder.bn1.weight"},
		{"missing tensor", func(t *testing.T, c *Config) {
			f := *good
			f.Tensors = maps.Clone(good.Tensors)
			delete(f.Tensors, network.MomentumOf("segmentation_net.head.4.bias"))
			rewrite(t, c.Checkpoint, &f)
		}, ErrCheckpoint, "segmentation_net.head.4.bias"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := c
			c.Checkpoint = filepath.Join(t.TempDir(), "run.checkpoint")
			rewrite(t, c.Checkpoint, good)
			test.change(t, &c)
			c.Begin = func(Progress) { t.Error("it began") }
			if _, err := Run(t.Context(), c); !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), c.Checkpoint) {
				t.Errorf("got %v", err)
			}
			if !errors.Is(test.want, ErrNotCheckpoint) {
				return
			}
			c.Fresh = true
			if _, err := Run(t.Context(), c); !errors.Is(err, ErrNotCheckpoint) {
				t.Errorf("to be replaced: %v", err)
			}
		})
	}
}

// What a checkpoint belongs to is told by contents: pictures that were moved are
// the same ones. Its times go on.
func TestCheckpointContinues(t *testing.T) {
	c := tiny(t, 2)
	c.Recipe.StudentSteps, c.Recipe.SegmentationSteps = 1, 1
	c.Checkpoint = filepath.Join(t.TempDir(), "run.checkpoint")
	first := run(t, c)
	if first.Checkpoint != nil || first.Student <= 0 || first.Student > first.Elapsed {
		t.Errorf("the first run says %v, %v, %v", first.Checkpoint, first.Student, first.Elapsed)
	}
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(filepath.Dir(c.Good[0]), moved); err != nil {
		t.Fatal(err)
	}
	for i, path := range c.Good {
		c.Good[i] = filepath.Join(moved, filepath.Base(path))
	}
	leftover := c.Checkpoint + ".0123456789abcdef.tmp"
	if err := os.WriteFile(leftover, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	var begun Progress
	c.Begin = func(p Progress) { begun = p }
	second := run(t, c)
	if begun.Stage != 2 || begun.Step != 1 || begun.Steps != 1 {
		t.Errorf("it began with %+v", begun)
	}
	if second.Elapsed <= second.Student || second.Student != first.Student || second.Pictures != first.Pictures {
		t.Errorf("times %v and %v, then %v and %v", first.Elapsed, first.Student, second.Elapsed, second.Student)
	}
	if _, err := os.Stat(leftover); err == nil {
		t.Error("half a checkpoint of a killed run is still there")
	}
	c.Recipe.Seed++
	c.Fresh = true
	if run(t, c); begun.Stage != 1 || begun.Step != 0 {
		t.Errorf("anew, it began with %+v", begun)
	}
	info, err := os.Stat(c.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	if size, want := info.Size(), CheckpointSize(); size < want/2 || size > want+want/50 {
		t.Errorf("a checkpoint has %d bytes, not about %d", size, want)
	}
}

// Failing textures are such that a file of them gets lost on the way.
type failingTextures struct {
	synth.Procedural
	after *atomic.Int64
}

func (f failingTextures) Texture(dst *picture.RGB, random *rand.Rand) error {
	if f.after.Add(-1) < 0 {
		return errors.New("the texture is gone")
	}
	return f.Procedural.Texture(dst, random)
}

func TestCheckpointBeforeTheErrorOfABatch(t *testing.T) {
	steps(t)
	c := tiny(t, 2)
	c.Checkpoint = filepath.Join(t.TempDir(), "run.checkpoint")
	c.Textures = failingTextures{after: new(atomic.Int64)}
	c.Textures.(failingTextures).after.Store(int64(2 * c.Recipe.Batch))
	if _, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "the texture is gone") {
		t.Fatalf("got %v", err)
	}
	c.Textures.(failingTextures).after.Store(1000)
	var begun Progress
	c.Begin = func(p Progress) { begun = p }
	if run(t, c); begun.Step != 2 {
		t.Errorf("it went on with %+v", begun)
	}
}

// foreignTextures have a digest.
type foreignTextures struct{ synth.Procedural }

func (foreignTextures) Digest() (string, error) { return "0123", nil }

// A renamed engine stands for another version.
type renamed struct{ engine.Engine }

func (renamed) Name() string { return "another" }

func record(text string) func(*testing.T, *Config) {
	return func(t *testing.T, c *Config) {
		f, err := weights.Open(c.Checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		f.Metadata = map[string]string{checkpointKind.Key: text}
		rewrite(t, c.Checkpoint, f)
	}
}

func rewrite(t *testing.T, path string, f *weights.File) {
	t.Helper()
	if err := weights.WriteFile(path, f); err != nil {
		t.Fatal(err)
	}
}

// TestFit checks what of a picture samples show, for each fit.
func TestFit(t *testing.T) {
	p := picture.NewRGB(100, 70)
	for i := range p.Pix {
		p.Pix[i] = uint8(i / 3 * 7)
	}
	r := Published("")
	r.Width, r.Height, r.Seed = 64, 32, 5
	if got := r.Prepare(p); !slices.Equal(got.Pix, p.Resize(64, 32).Pix) || r.window(got, 1) != got {
		t.Error("stretched otherwise")
	}
	r.Fit = picture.Pad
	if got := r.Prepare(p); !slices.Equal(got.Pix, p.Resize(46, 32).Window(0, 0, 64, 32).Pix) || r.window(got, 1) != got {
		t.Error("padded otherwise")
	}
	r.Fit, r.Tile = picture.Tiles, 64
	if r.Prepare(p) != p {
		t.Error("tiles at the picture's own scale take another picture")
	}
	seen := map[string]bool{}
	for number := range uint64(40) {
		w := r.window(p, number)
		if !slices.Equal(w.Pix, r.window(p, number).Pix) || w.Width != 64 || w.Height != 32 {
			t.Fatal("the same sample shows something else")
		}
		seen[string(w.Pix)] = true
		found := false
		for y := range 70 - 32 + 1 {
			for x := range 100 - 64 + 1 {
				found = found || slices.Equal(p.Window(x, y, 64, 32).Pix, w.Pix)
			}
		}
		if !found {
			t.Fatal("a sample shows no part of the picture")
		}
	}
	if len(seen) < 20 {
		t.Errorf("40 samples show %d parts", len(seen))
	}
	r.Tile = 128 // at half its size, less than the network's
	if got := r.Prepare(p); !slices.Equal(got.Pix, p.Resize(50, 35).Window(0, 0, 64, 35).Pix) {
		t.Error("a small picture is filled up otherwise")
	}
	for _, bad := range []Recipe{{Fit: picture.Tiles}, {Fit: picture.Tiles, Tile: 15}, {Fit: 9}} {
		recipe := r
		recipe.Fit, recipe.Tile = bad.Fit, bad.Tile
		if err := recipe.Check(); !errors.Is(err, ErrRecipe) {
			t.Errorf("%v with tiles of %d: %v", bad.Fit, bad.Tile, err)
		}
	}
	if err := r.Check(); err != nil {
		t.Error(err)
	}
}
