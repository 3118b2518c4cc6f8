package train

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/internal/digest"
	"github.com/destseg/destseg/internal/training"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/synth"
)

var (
	// ErrInterrupted is wrapped by the error of a run that its context ended.
	// The checkpoint, if there is one, continues it.
	ErrInterrupted = training.ErrInterrupted
	// ErrDiverged is wrapped by the error of a run whose loss is no number
	// any more.
	ErrDiverged = training.ErrDiverged
	// ErrPictures is wrapped by the error for pictures that can't be learned from.
	ErrPictures = errors.New("train: unusable pictures")
)

// Config says what to train, from what and with what.
type Config struct {
	Engine  engine.Engine
	Options engine.Options
	Recipe  Recipe

	Teacher  map[string][]float32 // values by published name; all others start at random
	Good     []string             // paths of the good pictures, at least one
	Pictures *dataset.Cache       // as Recipe.Prepare makes them; nil: one of 1 GiB
	Textures synth.Textures       // nil: procedural ones; told apart by a method Digest, if they have one, or by type
	Loaders  int                  // goroutines that prepare pictures; 0: one a processor

	Checkpoint string // file to continue from and to write; empty: none
	Fresh      bool   // begin anew and replace the checkpoint that is there by the first one written
	Every      int    // steps between checkpoints; 0: 100
	Keep       int    // earlier checkpoints to keep beside the last one, under its name with .1, .2, … (the oldest)

	// Begin is called once, by Run's goroutine, when everything is checked and
	// before the first step, with Stage, Step, Steps and Batch; a Step other than
	// 0, or stage 2, comes from the checkpoint. Progress is called likewise after
	// each step. Either may be nil.
	Begin, Progress func(Progress)

	// Look, if it is not nil, is called before Progress after each step that ends
	// with a checkpoint, or would if Checkpoint named one.
	Look func([]Glimpse)
}

// usualCache is how many bytes of pictures a run keeps that is given no cache.
const usualCache = 1 << 30

// Progress tells how a run goes.
type Progress struct {
	Stage, Step, Steps int // Step of Steps in stage 1 or 2 are done
	Batch              int

	// Losses of the step, before its update: cosine distance summed over the
	// three scales, mean over the batch, in stage 1; the others in stage 2.
	Cosine, Focal, L1 float64

	Rate       float64       // part of the recipe's learning rates that the step took
	Speed      float64       // pictures a second in this stage, without the first step
	Remaining  time.Duration // estimate for both stages; 0 until known
	Waited     time.Duration // spent by the engine on waiting for pictures so far
	Checkpoint error         // what kept the last checkpoint from being written, if anything; the run goes on
}

// Result is what a run leaves behind.
type Result struct {
	Weights  map[string][]float32 // all tensors of network.Tensors by name, row-major
	Pictures string               // hexadecimal SHA-256 over the sorted and joined SHA-256 digests of the good pictures

	// Wall-clock times, with those of the runs that the checkpoint continued.
	Elapsed time.Duration
	Student time.Duration // of Elapsed, until stage 1 was done
	Waited  time.Duration // of Elapsed, spent by the engine on waiting for pictures

	Checkpoint error // what kept the last checkpoint from being written; nil: it holds the finished training
}

// stageRatio is about how much longer a picture takes in stage 2 than in
// stage 1; it serves the estimate of the time left until stage 2 is measured.
const stageRatio = 4

type trainer struct {
	Config
	source source
}

// Run trains a detector. It continues from the checkpoint if there is one that
// fits; one that does not is ErrCheckpoint. When ctx ends, it finishes the step,
// writes the checkpoint and returns ErrInterrupted.
func Run(ctx context.Context, c Config) (Result, error) {
	if c.Engine == nil {
		return Result{}, errors.New("train: Config.Engine is nil; destseg.NewEngine returns one")
	}
	start := time.Now()
	r, err := newTrainer(ctx, c)
	if err != nil {
		return Result{}, err
	}
	id, pictures, err := c.identify(ctx)
	if ctx.Err() != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
	} else if err != nil {
		return Result{}, err
	}
	run, err := r.training()
	if err != nil {
		return Result{}, err
	}
	if run.State, err = r.initial(); err != nil {
		return Result{}, err
	}
	run.Identity = id
	run.Start = start
	reached, err := training.Run(ctx, run)
	if errors.Is(err, ErrDiverged) {
		err = fmt.Errorf("%w; another seed, a larger batch or fp32 may help", err)
	}
	if err != nil {
		return Result{}, err
	}
	result := Result{
		Weights: map[string][]float32{}, Pictures: digest.Set(pictures).String(),
		Elapsed: reached.Times.Elapsed, Student: reached.Times.Stages[0], Waited: reached.Times.Waited, Checkpoint: reached.Checkpoint,
	}
	for _, t := range network.Tensors() {
		result.Weights[t.Name] = reached.State[t.Name]
	}
	return result, nil
}

func newTrainer(ctx context.Context, c Config) (*trainer, error) {
	if err := c.Recipe.Check(); err != nil {
		return nil, err
	}
	if len(c.Good) == 0 {
		return nil, fmt.Errorf("%w: there are none", ErrPictures)
	}
	if c.Pictures == nil {
		c.Pictures = dataset.NewCache(c.Recipe.Prepare, usualCache)
	}
	if c.Every <= 0 {
		c.Every = 100
	}
	if c.Loaders <= 0 {
		c.Loaders = runtime.GOMAXPROCS(0)
	}
	generator, err := synth.New(synth.Settings{
		Width: c.Recipe.Width, Height: c.Recipe.Height, Seed: c.Recipe.Seed,
		Rotation: c.Recipe.Rotation, MinOpacity: c.Recipe.MinOpacity, Textures: c.Textures,
	})
	if err != nil {
		return nil, err
	}
	r := &trainer{Config: c, source: source{
		paths: c.Good, pictures: c.Pictures, textures: c.Textures, generator: generator, recipe: c.Recipe, workers: c.Loaders,
	}}
	return r, r.source.check(ctx)
}

// training says what to run, but for the state and the identity.
func (r *trainer) training() (training.Config, error) {
	stages, err := r.stages()
	if err != nil {
		return training.Config{}, err
	}
	c := training.Config{
		Engine: r.Engine, Options: r.Options, Stages: stages, Kept: kept(),
		Average: r.Recipe.Average, Checkpoint: r.Checkpoint, Kind: checkpointKind, Fresh: r.Fresh, Every: r.Every, Keep: r.Keep,
	}
	if r.Look != nil {
		c.Rest = func(_ context.Context, state training.Tensors) error {
			glimpses, err := r.look(state)
			if err == nil {
				r.Look(glimpses)
			}
			return err
		}
	}
	if r.Begin != nil {
		c.Begin = func(p training.Progress) { r.Begin(r.progress(p)) }
	}
	if r.Progress != nil {
		c.Progress = func(p training.Progress) { r.Progress(r.progress(p)) }
	}
	return c, nil
}

// progress tells of both stages what training tells of any.
func (r *trainer) progress(p training.Progress) Progress {
	steps := [...]int{r.Recipe.StudentSteps, r.Recipe.SegmentationSteps}[p.Stage]
	rate := 0.0
	if p.Step > 0 {
		rate = r.Recipe.rate(p.Step-1, steps)
	}
	return Progress{
		Rate:  rate,
		Stage: p.Stage + 1, Step: p.Step, Steps: steps, Batch: r.Recipe.Batch,
		Cosine: p.Losses[network.CosineLoss] / float64(r.Recipe.Batch),
		Focal:  p.Losses[network.FocalLoss], L1: p.Losses[network.L1Loss],
		Speed: p.Speed * float64(r.Recipe.Batch), Remaining: p.Remaining, Waited: p.Waited, Checkpoint: p.Checkpoint,
	}
}

// initial draws all tensors but the teacher's; each from a source of its own, so
// that a tensor more or less changes no other.
func (r *trainer) initial() (training.Tensors, error) {
	state := training.Tensors{}
	for i, t := range network.Tensors() {
		state[t.Name] = t.Initial(rand.New(rand.NewPCG(r.Recipe.Seed, ^uint64(i))))
	}
	for name, v := range r.Teacher {
		if state[name] == nil {
			return nil, fmt.Errorf("train: the teacher's tensor %q is none of the networks'; teacher.Load names them as they are published", name)
		}
		if size := len(state[name]); size != len(v) {
			return nil, fmt.Errorf("train: the teacher's tensor %q holds %d values, not %d", name, len(v), size)
		}
		state[name] = v
	}
	return state, nil
}

// stages returns the student's and the segmentation network's.
func (r *trainer) stages() ([]training.Stage, error) {
	settings := network.Training{Momentum: r.Recipe.Momentum, WeightDecay: r.Recipe.WeightDecay}
	segmentation, err := network.SegmentationStep(r.Recipe.size(), settings)
	if err != nil {
		return nil, err
	}
	settings.LossScale = PublishedBatch / float64(r.Recipe.Batch)
	student, err := network.StudentStep(r.Recipe.size(), settings)
	if err != nil {
		return nil, err
	}
	rates := func(steps int, highest map[string]float64) func(int) map[string]float64 {
		return func(step int) map[string]float64 {
			now := map[string]float64{}
			for name, rate := range highest {
				now[name] = rate * r.Recipe.rate(step, steps)
			}
			return now
		}
	}
	return []training.Stage{{
		Graph: student, Steps: r.Recipe.StudentSteps, Cost: 1, Settle: true,
		Inputs: []string{network.Clean, network.Corrupted}, Fill: r.source.fill(0),
		Scalars: rates(r.Recipe.StudentSteps, map[string]float64{network.Rate: r.Recipe.StudentRate}),
		Losses:  []string{network.CosineLoss},
	}, {
		Graph: segmentation, Steps: r.Recipe.SegmentationSteps, Cost: stageRatio, Settle: true,
		// Samples are numbered through both stages, so that no two ever are the same.
		Inputs: []string{network.Corrupted, network.Mask}, Fill: r.source.fill(uint64(r.Recipe.StudentSteps) * uint64(r.Recipe.Batch)),
		Scalars: rates(r.Recipe.SegmentationSteps, map[string]float64{network.RateRes: r.Recipe.ResRate, network.RateHead: r.Recipe.HeadRate}),
		Losses:  []string{network.FocalLoss, network.L1Loss},
	}}, nil
}
