package train

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/internal/digest"
	"github.com/destseg/destseg/internal/wholefile"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/synth"
)

var (
	// ErrInterrupted is wrapped by the error of a run that its context ended.
	// The checkpoint, if there is one, continues it.
	ErrInterrupted = errors.New("train: interrupted")
	// ErrDiverged is wrapped by the error of a run whose loss is no number
	// any more.
	ErrDiverged = errors.New("train: the loss is not a number")
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

	// Begin is called once, by Run's goroutine, when everything is checked and
	// before the first step, with Stage, Step, Steps and Batch; a Step other than
	// 0, or stage 2, comes from the checkpoint. Progress is called likewise after
	// each step. Either may be nil.
	Begin, Progress func(Progress)
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
	source    source
	identity  identity
	state     tensors   // all tensors, and the momentum of the stage under way
	times     times     // up to mark
	mark      time.Time // when times was last brought up to date
	saveError error
}

// Run trains a detector. It continues from the checkpoint if there is one that
// fits; one that does not is ErrCheckpoint. When ctx ends, it finishes the step,
// writes the checkpoint and returns ErrInterrupted.
func Run(ctx context.Context, c Config) (Result, error) {
	if c.Engine == nil {
		return Result{}, errors.New("train: Config.Engine is nil; destseg.NewEngine returns one")
	}
	r, err := newTrainer(ctx, c)
	if err != nil {
		return Result{}, err
	}
	var pictures []digest.Digest
	if r.identity, pictures, err = c.identify(ctx); ctx.Err() != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
	} else if err != nil {
		return Result{}, err
	}
	stages, err := r.stages()
	if err != nil {
		return Result{}, err
	}
	at, err := r.begin(stages)
	if err != nil {
		return Result{}, err
	}
	if r.Begin != nil {
		r.Begin(Progress{Stage: at.Stage, Step: at.Step, Steps: stages[at.Stage-1].steps, Batch: r.Recipe.Batch})
	}
	for _, s := range stages[at.Stage-1:] {
		first := 0
		if s.number == at.Stage {
			first = at.Step
		}
		if err := r.stage(ctx, s, first); err != nil {
			return Result{}, err
		}
		r.tick()
		if s.number == 1 {
			r.times.Student = r.times.Elapsed
		}
	}
	result := Result{
		Weights: map[string][]float32{}, Pictures: digest.Set(pictures).String(),
		Elapsed: r.times.Elapsed, Student: r.times.Student, Waited: r.times.Waited, Checkpoint: r.saveError,
	}
	for _, t := range network.Tensors() {
		result.Weights[t.Name] = r.state[t.Name]
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
	r := &trainer{Config: c, mark: time.Now(), source: source{
		paths: c.Good, pictures: c.Pictures, textures: c.Textures, generator: generator, recipe: c.Recipe, workers: c.Loaders,
	}}
	return r, r.source.check(ctx)
}

// tick brings the time up to date.
func (r *trainer) tick() {
	now := time.Now()
	r.times.Elapsed += now.Sub(r.mark)
	r.mark = now
}

// begin brings the state to where the checkpoint left it, or to the start.
func (r *trainer) begin(stages []stage) (position, error) {
	sizes := map[string]int{}
	for _, t := range network.Tensors() {
		sizes[t.Name] = t.Shape.Size()
	}
	for name, v := range r.Teacher {
		size, known := sizes[name]
		if !known {
			return position{}, fmt.Errorf("train: the teacher's tensor %q is none of the networks'; teacher.Load names them as they are published", name)
		}
		if size != len(v) {
			return position{}, fmt.Errorf("train: the teacher's tensor %q holds %d values, not %d", name, len(v), size)
		}
	}
	at, saved, err := r.resume(stages)
	if err != nil {
		return position{}, err
	}
	r.state = r.initial()
	maps.Copy(r.state, r.Teacher)
	maps.Copy(r.state, saved)
	r.times = at.Times
	return at, nil
}

// resume returns where the checkpoint left the run and its tensors, if there is
// one to continue.
func (r *trainer) resume(stages []stage) (position, tensors, error) {
	start := position{Stage: 1}
	if r.Checkpoint == "" {
		return start, nil, nil
	}
	if err := wholefile.RemoveLeftovers(r.Checkpoint); err != nil {
		return start, nil, fmt.Errorf("train: checkpoint: %w", err)
	}
	if r.Fresh {
		f, _, err := openCheckpoint(r.Checkpoint) // nothing else is replaced
		if f != nil {
			f.Close()
		}
		return start, nil, err
	}
	at, saved, err := loadCheckpoint(r.Checkpoint, r.identity, stages)
	if saved == nil {
		at = start
	}
	return at, saved, err
}

// initial draws all tensors; each from a source of its own, so that a tensor
// more or less changes no other.
func (r *trainer) initial() tensors {
	state := tensors{}
	for i, t := range network.Tensors() {
		state[t.Name] = t.Initial(rand.New(rand.NewPCG(r.Recipe.Seed, ^uint64(i))))
	}
	return state
}

// A stage is what differs between the two.
type stage struct {
	number, steps int
	graph         *graph.Graph // of one step
	rates         map[string]float64
	inputs        func(*batch) map[string][]float32
	losses        func(read func(string) float64, p *Progress)
}

// stages returns the student's and the segmentation network's.
func (r *trainer) stages() ([]stage, error) {
	training := network.Training{Momentum: r.Recipe.Momentum, WeightDecay: r.Recipe.WeightDecay}
	segmentation, err := network.SegmentationStep(r.Recipe.size(), training)
	if err != nil {
		return nil, err
	}
	training.LossScale = PublishedBatch / float64(r.Recipe.Batch)
	student, err := network.StudentStep(r.Recipe.size(), training)
	if err != nil {
		return nil, err
	}
	return []stage{{
		number: 1, steps: r.Recipe.StudentSteps, graph: student,
		rates: map[string]float64{network.Rate: r.Recipe.StudentRate},
		inputs: func(b *batch) map[string][]float32 {
			return map[string][]float32{network.Clean: b.clean, network.Corrupted: b.corrupted}
		},
		losses: func(read func(string) float64, p *Progress) {
			p.Cosine = read(network.CosineLoss) / float64(p.Batch)
		},
	}, {
		number: 2, steps: r.Recipe.SegmentationSteps, graph: segmentation,
		rates: map[string]float64{network.RateRes: r.Recipe.ResRate, network.RateHead: r.Recipe.HeadRate},
		inputs: func(b *batch) map[string][]float32 {
			return map[string][]float32{network.Corrupted: b.corrupted, network.Mask: b.mask}
		},
		losses: func(read func(string) float64, p *Progress) {
			p.Focal, p.L1 = read(network.FocalLoss), read(network.L1Loss)
		},
	}}, nil
}

// stage runs the steps of a stage from first on.
func (r *trainer) stage(ctx context.Context, s stage, first int) error {
	if first >= s.steps {
		return nil
	}
	options := r.Options
	options.Constants = func(name string, v []float32) error {
		copy(v, r.state[name])
		return nil
	}
	program, err := r.Engine.Compile(s.graph, options)
	if err != nil {
		return err
	}
	defer program.Close()
	if err := r.send(program, s); err != nil {
		return err
	}
	l := r.source.load(ctx, s.number, first, s.steps)
	defer l.stop()

	var clock clock
	waited := r.times.Waited
	for step := first; step < s.steps; step++ {
		b := l.next(ctx)
		r.times.Waited = waited + l.waited
		if b == nil || ctx.Err() != nil {
			return r.interrupt(ctx, program, s, step)
		}
		if b.err != nil { // a file that could be read before the first step
			if err := r.save(program, s, step); err != nil {
				return fmt.Errorf("%w\nand the checkpoint could not be written: %w", b.err, err)
			}
			return b.err
		}
		p := Progress{Stage: s.number, Step: step + 1, Steps: s.steps, Batch: r.Recipe.Batch}
		if err := r.step(program, s, b, &p); err != nil {
			return err
		}
		l.recycle(b)
		if (step+1)%r.Every == 0 || step+1 == s.steps {
			r.saveError = r.save(program, s, step+1)
		}
		clock.tick()
		p.Speed = clock.speed() * float64(r.Recipe.Batch)
		p.Remaining = r.remaining(p)
		p.Waited = r.times.Waited
		p.Checkpoint = r.saveError
		if r.Progress != nil {
			r.Progress(p)
		}
	}
	return r.receive(program, s)
}

func (r *trainer) step(program engine.Program, s stage, b *batch, p *Progress) error {
	for name, v := range s.inputs(b) {
		if err := program.Write(name, v); err != nil {
			return err
		}
	}
	if err := program.Run(); err != nil {
		return err
	}
	var failed error
	s.losses(func(name string) float64 {
		var v [1]float32
		if err := program.Read(name, v[:]); err != nil {
			failed = err
		} else if !finite(v[0]) {
			failed = fmt.Errorf("%w at step %d of stage %d; another seed, a larger batch or fp32 may help", ErrDiverged, p.Step, p.Stage)
		}
		return float64(v[0])
	}, p)
	return failed
}

// send gives the program what it will change, and its rates.
func (r *trainer) send(program engine.Program, s stage) error {
	for _, u := range s.graph.Updates {
		name := u.Variable.Name
		if r.state[name] == nil { // momentum, at the start of a stage
			continue
		}
		if err := program.Write(name, r.state[name]); err != nil {
			return err
		}
	}
	for name, rate := range s.rates {
		if err := program.Write(name, []float32{float32(rate)}); err != nil {
			return err
		}
	}
	return nil
}

// receive takes what the program has changed into the state.
func (r *trainer) receive(program engine.Program, s stage) error {
	for _, u := range s.graph.Updates {
		v := make([]float32, u.Variable.Shapes[0].Size())
		if err := program.Read(u.Variable.Name, v); err != nil {
			return err
		}
		r.state[u.Variable.Name] = v
	}
	return nil
}

func (r *trainer) interrupt(ctx context.Context, program engine.Program, s stage, step int) error {
	if r.Checkpoint == "" {
		return fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
	}
	if err := r.save(program, s, step); err != nil {
		return fmt.Errorf("%w, and the checkpoint could not be written: %w", ErrInterrupted, err)
	}
	return fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
}

// save writes the checkpoint.
func (r *trainer) save(program engine.Program, s stage, step int) error {
	if r.Checkpoint == "" {
		return nil
	}
	if err := r.receive(program, s); err != nil {
		return err
	}
	keep := tensors{}
	for name := range s.kept() {
		keep[name] = r.state[name]
	}
	r.tick()
	return saveCheckpoint(r.Checkpoint, position{checkpointVersion, r.identity, s.number, step, r.times}, keep)
}

// remaining estimates the time until both stages are done.
func (r *trainer) remaining(p Progress) time.Duration {
	if p.Speed == 0 {
		return 0
	}
	steps := float64(p.Steps - p.Step)
	if p.Stage == 1 {
		steps += stageRatio * float64(r.Recipe.SegmentationSteps)
	}
	return time.Duration(steps * float64(p.Batch) / p.Speed * float64(time.Second))
}

// A clock measures steps, but for the first, which warms up caches.
type clock struct {
	start time.Time
	ticks int
}

func (c *clock) tick() {
	if c.start.IsZero() {
		c.start = time.Now()
		return
	}
	c.ticks++
}

// speed is in steps a second, 0 while unknown.
func (c *clock) speed() float64 {
	if c.ticks == 0 {
		return 0
	}
	return float64(c.ticks) / time.Since(c.start).Seconds()
}

const listed = 10 // unreadable pictures named in an error

// unreadable joins the errors of pictures into one.
func unreadable(errs []error) error {
	var bad []error
	for _, err := range errs {
		if err != nil {
			bad = append(bad, err)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	count, more := len(bad), ""
	if count > listed {
		more = fmt.Sprintf("\nand %d more", count-listed)
		bad = bad[:listed]
	}
	return fmt.Errorf("%w: %d of %d can't be read; repair them or take them away:\n%w%s", ErrPictures, count, len(errs), errors.Join(bad...), more)
}
