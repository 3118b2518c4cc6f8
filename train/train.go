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
	Pictures *dataset.Cache       // at the recipe's size
	Textures synth.Textures       // nil: procedural ones
	Loaders  int                  // goroutines that prepare pictures; 0: one a processor

	Checkpoint string         // file to continue from and to write; empty: none
	Every      int            // steps between checkpoints; 0: 100
	Progress   func(Progress) // called after each step by Run's goroutine; may be nil
}

// Progress tells how a run goes.
type Progress struct {
	Stage, Step, Steps int // Step of Steps in stage 1 or 2 are done
	Batch              int

	// Losses of the step, before its update: cosine distance summed over the
	// three scales, mean over the batch, in stage 1; the others in stage 2.
	Cosine, Focal, L1 float64

	Speed      float64       // pictures a second in this stage, without the first step
	Remaining  time.Duration // estimate for both stages; 0 until known
	Waited     time.Duration // spent by the engine on waiting for pictures
	Checkpoint error         // what kept the last checkpoint from being written, if anything; the run goes on
}

// Result is what a run leaves behind.
type Result struct {
	Weights map[string][]float32 // all tensors of network.Tensors by name, row-major
	Elapsed time.Duration        // of this run, without what a checkpoint brought
	Waited  time.Duration        // of it, spent by the engine on waiting for pictures
}

// stageRatio is about how much longer a picture takes in stage 2 than in
// stage 1; it serves the estimate of the time left until stage 2 is measured.
const stageRatio = 4

type trainer struct {
	Config
	source      source
	fingerprint string
	state       tensors // all tensors, and the momentum of the stage under way
	start       time.Time
	waited      time.Duration
	saveError   error
}

// Run trains a detector. It continues from the checkpoint if there is one that
// fits. When ctx ends, it finishes the step, writes the checkpoint and returns
// ErrInterrupted.
func Run(ctx context.Context, c Config) (Result, error) {
	r, err := newTrainer(ctx, c)
	if err != nil {
		return Result{}, err
	}
	at, err := r.begin()
	if err != nil {
		return Result{}, err
	}
	for _, s := range []stage{r.studentStage(), r.segmentationStage()} {
		if s.number < at.Stage {
			continue
		}
		first := 0
		if s.number == at.Stage {
			first = at.Step
		}
		if err := r.stage(ctx, s, first); err != nil {
			return Result{}, err
		}
	}
	result := Result{Weights: map[string][]float32{}, Elapsed: time.Since(r.start), Waited: r.waited}
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
	r := &trainer{Config: c, start: time.Now(), source: source{
		paths: c.Good, pictures: c.Pictures, generator: generator, recipe: c.Recipe, workers: c.Loaders,
	}}
	if r.fingerprint, err = c.fingerprint(); err != nil {
		return nil, err
	}
	if err := r.source.check(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// begin brings the state to where the checkpoint left it, or to the start.
func (r *trainer) begin() (position, error) {
	sizes := map[string]int{}
	for _, t := range network.Tensors() {
		sizes[t.Name] = t.Shape.Size()
		sizes[network.MomentumOf(t.Name)] = t.Shape.Size()
	}
	r.state = r.initial()
	for name, v := range r.Teacher {
		if sizes[name] != len(v) {
			return position{}, fmt.Errorf("train: the teacher's tensor %q holds %d values, not %d", name, len(v), sizes[name])
		}
		r.state[name] = v
	}
	if r.Checkpoint == "" {
		return position{Stage: 1}, nil
	}
	at, saved, err := loadCheckpoint(r.Checkpoint, r.fingerprint, sizes)
	if err != nil {
		return position{}, err
	}
	if saved == nil {
		return position{Stage: 1}, nil
	}
	maps.Copy(r.state, saved)
	return at, nil
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

// A stage is what the two have not in common.
type stage struct {
	number, steps int
	build         func(network.Size, network.Training) (*graph.Graph, error)
	lossScale     float64
	rates         map[string]float64
	inputs        func(*batch) map[string][]float32
	losses        func(read func(string) float64, p *Progress)
}

func (r *trainer) studentStage() stage {
	return stage{
		number: 1, steps: r.Recipe.StudentSteps, build: network.StudentStep,
		lossScale: PublishedBatch / float64(r.Recipe.Batch),
		rates:     map[string]float64{network.Rate: r.Recipe.StudentRate},
		inputs: func(b *batch) map[string][]float32 {
			return map[string][]float32{network.Clean: b.clean, network.Corrupted: b.corrupted}
		},
		losses: func(read func(string) float64, p *Progress) {
			p.Cosine = read(network.CosineLoss) / float64(p.Batch)
		},
	}
}

func (r *trainer) segmentationStage() stage {
	return stage{
		number: 2, steps: r.Recipe.SegmentationSteps, build: network.SegmentationStep, lossScale: 1,
		rates: map[string]float64{network.RateRes: r.Recipe.ResRate, network.RateHead: r.Recipe.HeadRate},
		inputs: func(b *batch) map[string][]float32 {
			return map[string][]float32{network.Corrupted: b.corrupted, network.Mask: b.mask}
		},
		losses: func(read func(string) float64, p *Progress) {
			p.Focal, p.L1 = read(network.FocalLoss), read(network.L1Loss)
		},
	}
}

// stage runs the steps of a stage from first on.
func (r *trainer) stage(ctx context.Context, s stage, first int) error {
	if first >= s.steps {
		return nil
	}
	g, err := s.build(r.Recipe.size(), network.Training{
		Momentum: r.Recipe.Momentum, WeightDecay: r.Recipe.WeightDecay, LossScale: s.lossScale,
	})
	if err != nil {
		return err
	}
	options := r.Options
	options.Constants = func(name string, v []float32) error {
		copy(v, r.state[name])
		return nil
	}
	program, err := r.Engine.Compile(g, options)
	if err != nil {
		return err
	}
	defer program.Close()
	if err := r.send(program, g, s); err != nil {
		return err
	}
	l := r.source.load(ctx, s.number, first, s.steps)
	defer l.stop()

	var clock clock
	for step := first; step < s.steps; step++ {
		b := l.next(ctx)
		if b == nil || ctx.Err() != nil {
			return r.interrupt(ctx, program, g, s, step)
		}
		if b.err != nil {
			return b.err
		}
		p := Progress{Stage: s.number, Step: step + 1, Steps: s.steps, Batch: r.Recipe.Batch}
		if err := r.step(program, s, b, &p); err != nil {
			return err
		}
		l.recycle(b)
		if (step+1)%r.Every == 0 || step+1 == s.steps {
			r.saveError = r.save(program, g, s, step+1)
		}
		clock.tick()
		p.Speed = clock.speed() * float64(r.Recipe.Batch)
		p.Remaining = r.remaining(p)
		p.Waited = r.waited + l.waited
		p.Checkpoint = r.saveError
		if r.Progress != nil {
			r.Progress(p)
		}
	}
	r.waited += l.waited
	return r.receive(program, g)
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
			failed = fmt.Errorf("%w at step %d of stage %d; a lower learning rate may help", ErrDiverged, p.Step, p.Stage)
		}
		return float64(v[0])
	}, p)
	return failed
}

// send gives the program what it will change, and its rates.
func (r *trainer) send(program engine.Program, g *graph.Graph, s stage) error {
	for _, u := range g.Updates {
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
func (r *trainer) receive(program engine.Program, g *graph.Graph) error {
	for _, u := range g.Updates {
		v := make([]float32, u.Variable.Shapes[0].Size())
		if err := program.Read(u.Variable.Name, v); err != nil {
			return err
		}
		r.state[u.Variable.Name] = v
	}
	return nil
}

func (r *trainer) interrupt(ctx context.Context, program engine.Program, g *graph.Graph, s stage, step int) error {
	if r.Checkpoint == "" {
		return fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
	}
	if err := r.save(program, g, s, step); err != nil {
		return fmt.Errorf("%w, and the checkpoint could not be written: %w", ErrInterrupted, err)
	}
	return fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
}

// save writes the checkpoint: everything but the teacher, which its caller
// has, and the momentum of a stage that is over.
func (r *trainer) save(program engine.Program, g *graph.Graph, s stage, step int) error {
	if r.Checkpoint == "" {
		return nil
	}
	if err := r.receive(program, g); err != nil {
		return err
	}
	keep := tensors{}
	for _, t := range network.Tensors() {
		if t.Part() != network.TeacherPart {
			keep[t.Name] = r.state[t.Name]
		}
	}
	for _, u := range g.Updates {
		keep[u.Variable.Name] = r.state[u.Variable.Name]
	}
	return saveCheckpoint(r.Checkpoint, position{checkpointVersion, r.fingerprint, s.number, step}, keep)
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
	more := ""
	if len(bad) > listed {
		more = fmt.Sprintf("\nand %d more", len(bad)-listed)
		bad = bad[:listed]
	}
	return fmt.Errorf("%w: %w%s", ErrPictures, errors.Join(bad...), more)
}
