package training

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/plain"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/weights"
)

type name string

func (n name) Differences(saved []byte) (string, error) {
	var its name
	if err := json.Unmarshal(saved, &its); err != nil || its == n {
		return "", err
	}
	return string(its) + ", not " + string(n), nil
}

// counting adds what Fill gives to a variable, two stages long.
func counting() Config {
	g := new(graph.Graph)
	w, x := g.Variable("w", 1, 1, 1, 2), g.Input("x", 1, 1, 1, 2)
	next := g.Add(w, x)
	g.Update(w, next)
	g.Output("loss", g.Sum(next))
	stage := Stage{
		Graph: g, Steps: 20, Cost: 1, Inputs: []string{"x"}, Losses: []string{"loss"},
		Fill: func(inputs Tensors, step int) error {
			inputs["x"][0], inputs["x"][1] = 1, float32(step)
			return nil
		},
	}
	return Config{
		Engine: plain.New(), Options: engine.Options{Threads: 1}, Stages: []Stage{stage, stage},
		State: Tensors{"w": {0, 0}}, Kept: map[string]int{"w": 2}, Every: 7, Kind: Kind{"counting", 1}, Identity: name("one"),
	}
}

func TestAverage(t *testing.T) {
	c := counting()
	c.Average = 0.8
	result, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if want := []float32{40, 380}; !slices.Equal(result.State["w"], want) {
		t.Errorf("w is %v, want %v", result.State["w"], want)
	}
	// It is brought up to date after steps 8, 16 and 20 of each stage, starts as it is at
	// the first of them, and at first forgets faster than by 0.8 a step.
	want := 8.0
	for _, update := range []struct{ w, keep float64 }{
		{16, math.Pow(0.8, 8)}, {20, 3. / 12}, {28, math.Pow(0.8, 8)}, {36, math.Pow(0.8, 8)}, {40, 6. / 15},
	} {
		want = update.keep*want + (1-update.keep)*update.w
	}
	if got := float64(result.State[AverageOf("w")][0]); math.Abs(got-want) > 1e-5 {
		t.Errorf("the average is %v, want %v", got, want)
	}
}

func TestResumeKeepsAverages(t *testing.T) {
	whole := counting()
	whole.Average = 0.9
	want, err := Run(t.Context(), whole)
	if err != nil {
		t.Fatal(err)
	}
	for _, stop := range []int{3, 8, 20, 21, 39} {
		path := filepath.Join(t.TempDir(), "checkpoint")
		run := func(ctx context.Context, progress func(Progress)) (Result, error) {
			c := counting()
			c.Average, c.Checkpoint, c.Progress = 0.9, path, progress
			return Run(ctx, c)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := 0
		if _, err := run(ctx, func(Progress) {
			if done++; done == stop {
				cancel()
			}
		}); !errors.Is(err, ErrInterrupted) {
			t.Fatalf("interrupted after %d steps: %v", stop, err)
		}
		got, err := run(t.Context(), func(Progress) { done++ })
		if err != nil {
			t.Fatal(err)
		}
		if done != 40 {
			t.Errorf("interrupted after %d steps, it took %d in all", stop, done)
		}
		for _, name := range []string{"w", AverageOf("w")} {
			if !slices.Equal(got.State[name], want.State[name]) {
				t.Errorf("interrupted after %d steps, %s is %v, want %v", stop, name, got.State[name], want.State[name])
			}
		}
	}
}

func TestSettle(t *testing.T) {
	c := counting()
	c.Average, c.Stages[0].Settle, c.Stages[1].Settle = 0.5, true, true
	result, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	keep, rest := math.Pow(0.5, averageEvery), math.Pow(0.5, 4)
	first := rest*(keep*8+(1-keep)*16) + (1-rest)*20
	want := rest*(keep*(first+8)+(1-keep)*(first+16)) + (1-rest)*(first+20)
	if got := float64(result.State["w"][0]); math.Abs(got-want) > 1e-4 {
		t.Errorf("w is %v, want %v", got, want)
	}
	if result.State[AverageOf("w")] != nil {
		t.Error("the average is still there")
	}
}

func TestKeep(t *testing.T) {
	c := counting()
	c.Checkpoint, c.Keep = filepath.Join(t.TempDir(), "checkpoint"), 2
	if _, err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for n, w := range []float32{40, 34, 27} {
		path := c.Checkpoint
		if n > 0 {
			path = EarlierCheckpoint(path, n)
		}
		f, err := weights.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := f.Tensors["w"].Float32s(); err != nil || got[0] != w {
			t.Errorf("%s holds %v, want %v", path, got, w)
		}
	}
	if left, err := filepath.Glob(c.Checkpoint + "*"); err != nil || len(left) != 3 {
		t.Errorf("left are %v, %v", left, err)
	}

	// What can't be written moves nothing.
	before, err := os.ReadFile(EarlierCheckpoint(c.Checkpoint, 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(c.Checkpoint+".next", "in the way"), 0o777); err != nil {
		t.Fatal(err)
	}
	again := counting()
	again.Checkpoint, again.Keep, again.Fresh = c.Checkpoint, 2, true
	result, err := Run(t.Context(), again)
	if err != nil || result.Checkpoint == nil {
		t.Errorf("got %v, and of the checkpoint %v", err, result.Checkpoint)
	}
	if after, err := os.ReadFile(EarlierCheckpoint(c.Checkpoint, 1)); err != nil || !slices.Equal(after, before) {
		t.Errorf("an earlier checkpoint has changed, %v", err)
	}
}

func TestRest(t *testing.T) {
	c := counting()
	var at []float32
	c.Rest = func(_ context.Context, state Tensors) error {
		at = append(at, state["w"][0])
		return nil
	}
	if _, err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if want := []float32{7, 14, 20, 27, 34, 40}; !slices.Equal(at, want) {
		t.Errorf("it rested at %v, want %v", at, want)
	}
	reason := errors.New("enough")
	c = counting()
	c.Rest = func(context.Context, Tensors) error { return reason }
	if _, err := Run(t.Context(), c); !errors.Is(err, reason) {
		t.Errorf("an error while it rested became %v", err)
	}
}

func TestCheckpointOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoint")
	for i, test := range []struct {
		change func(*Config)
		want   error
	}{
		{func(*Config) {}, nil},
		{func(c *Config) { c.Identity = name("two") }, ErrUnusable},
		{func(c *Config) { c.Kind.Version = 2 }, ErrUnusable},
		{func(c *Config) { c.Kind.Key = "other" }, ErrNotCheckpoint},
		{func(c *Config) { c.Stages = c.Stages[:1] }, ErrUnusable},
		{func(c *Config) { c.Kept["v"] = 3 }, ErrUnusable},
		{func(c *Config) { c.Identity, c.Fresh = name("two"), true }, nil},
	} {
		c := counting()
		c.Checkpoint = path
		test.change(&c)
		if _, err := Run(t.Context(), c); !errors.Is(err, test.want) {
			t.Errorf("%d: got %v, want %v", i, err, test.want)
		}
	}
}
