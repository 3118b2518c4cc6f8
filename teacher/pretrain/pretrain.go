package pretrain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/internal/training"
	"github.com/destseg/destseg/network"
)

var (
	// ErrInterrupted is wrapped by the error of a run that its context ended. The
	// checkpoint, if there is one, continues it.
	ErrInterrupted = training.ErrInterrupted
	// ErrCheckpoint is wrapped by the error for a checkpoint that this run can't
	// continue.
	ErrCheckpoint = training.ErrUnusable
	// ErrDiverged is wrapped by the error of a run whose loss is no number any more.
	ErrDiverged = training.ErrDiverged
)

// Config says what to train, from what and with what.
type Config struct {
	Engine  engine.Engine
	Options engine.Options
	Recipe  Recipe
	Sources []*Source

	Cache   int64 // bytes of decoded pictures to keep
	Loaders int   // goroutines that prepare crops; 0: one a processor

	Checkpoint string // file to continue from and to write; empty: none
	Fresh      bool   // begin anew and replace the checkpoint that is there
	Every      int    // steps between checkpoints, and between validations; 0: 1000

	// Reading is called while pictures are read before the first step, Validating while they are
	// classified. Begin and Progress are called before the first and after each step, Validated
	// after each validation. All may be nil.
	Reading, Validating func(done, total int)
	Begin, Progress     func(Progress)
	Validated           func(Validation)
}

// Progress tells how a run goes.
type Progress struct {
	Phase, Step int // Step steps of Recipe.Phases[Phase] are done
	Done, Steps int // of all phases
	Loss        float64
	Speed       float64       // crops a second in this phase
	Remaining   time.Duration // estimate for all phases; 0 until known
	Waited      time.Duration // spent by the engine on waiting for crops so far
	Checkpoint  error         // what kept the last checkpoint from being written, if anything
}

// Result is what a run leaves behind.
type Result struct {
	Weights map[string][]float32 // all tensors of network.ClassifierTensors by name, averaged if the recipe says so
	Record  Record
	Waited  time.Duration // of the training's time, spent by the engine on waiting for crops

	Checkpoint error // what kept the last checkpoint from being written; nil: it holds the finished training
}

const usualEvery = 1000

var checkpointKind = training.Kind{Key: "destseg.pretraining.checkpoint", Version: 1}

// Run trains a classifier. It continues from the checkpoint if there is one that
// fits. When ctx ends, it finishes the step, writes the checkpoint and returns
// [ErrInterrupted]. Other errors wrap [ErrRecipe], [ErrSource], [ErrCheckpoint], or
// come from the engine or the file system.
func Run(ctx context.Context, c Config) (Result, error) {
	start := time.Now()
	p, err := newPretraining(c)
	if err != nil {
		return Result{}, err
	}
	if err := p.store.check(ctx, c.Sources, c.Reading); err != nil {
		return Result{}, err
	}
	if ctx.Err() != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
	}
	run, err := p.training(start)
	if err != nil {
		return Result{}, err
	}
	run.State = p.initial()
	reached, err := training.Run(ctx, run)
	if errors.Is(err, ErrDiverged) {
		err = fmt.Errorf("%w; begin anew with a lower rate, or fp32", err)
	}
	if err != nil {
		return Result{}, err
	}
	result := Result{
		Weights: map[string][]float32{}, Waited: reached.Times.Waited, Record: p.record(run, reached), Checkpoint: reached.Checkpoint,
	}
	for _, t := range network.ClassifierTensors(p.classes) {
		result.Weights[t.Name] = reached.State[t.Name]
	}
	if p.last == nil { // the checkpoint brought all steps
		err = p.validated(ctx, reached.State)
	}
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
	}
	if err != nil {
		return Result{}, err
	}
	result.Record.Validation = *p.last
	return result, nil
}

// FileSizes is about how many bytes a checkpoint takes, and what [Save] writes. Errors are
// those of [Run] for what it can't use.
func (c Config) FileSizes() (checkpoint, saved int64, err error) {
	p, err := newPretraining(c)
	if err != nil {
		return 0, 0, err
	}
	run, err := p.training(time.Now())
	if err != nil {
		return 0, 0, err
	}
	for _, size := range run.Kept {
		saved += 4 * int64(size) // float32
	}
	return run.CheckpointSize(), saved, nil
}

func (p *pretraining) record(run training.Config, reached training.Result) Record {
	id := run.Identity.(identity)
	r := Record{Engine: id.Engine, Precision: id.Precision, Recipe: p.Recipe, Seconds: reached.Times.Elapsed.Seconds()}
	for i, s := range p.Sources {
		r.Sets = append(r.Sets, Set{
			Name: s.Name(), Digest: s.digest.String(), Pictures: len(s.train), Crops: p.counts[i], Classes: s.Classes,
		})
	}
	return r
}

type pretraining struct {
	Config
	store   *store
	classes int
	first   []int       // number of each source's first class
	counts  []int       // crops of each source in a batch
	last    *Validation // nil before the first
}

func newPretraining(c Config) (*pretraining, error) {
	if c.Engine == nil {
		return nil, errors.New("pretrain: Config.Engine is nil")
	}
	if err := c.Recipe.Check(); err != nil {
		return nil, err
	}
	if len(c.Sources) == 0 {
		return nil, fmt.Errorf("%w: there are none", ErrSource)
	}
	if len(c.Sources) > c.Recipe.Batch {
		return nil, fmt.Errorf("%w: a batch of %d holds no crop of each of %d sets", ErrRecipe, c.Recipe.Batch, len(c.Sources))
	}
	if c.Every <= 0 {
		c.Every = usualEvery
	}
	if c.Loaders <= 0 {
		c.Loaders = runtime.GOMAXPROCS(0)
	}
	largest := 0
	for _, phase := range c.Recipe.Phases {
		largest = max(largest, phase.Size)
	}
	p := &pretraining{Config: c, store: newStore(c.Sources, c.Cache, 2*largest)}
	var weights []float64
	for i, s := range c.Sources {
		for _, other := range c.Sources[:i] {
			if other.digest == s.digest {
				return nil, fmt.Errorf("%w: %s and %s hold the same pictures, which would have two classes each", ErrSource, other.Path, s.Path)
			}
		}
		p.first = append(p.first, p.classes)
		p.classes += len(s.Classes)
		weights = append(weights, s.Weight)
	}
	p.counts = share(c.Recipe.Batch, weights)
	return p, nil
}

// share divides a batch in proportion to weights, at least one to each.
func share(batch int, weights []float64) []int {
	total := 0.0
	for _, w := range weights {
		total += w
	}
	counts := make([]int, len(weights))
	rest := batch
	for i, w := range weights {
		counts[i] = max(1, int(float64(batch)*w/total))
		rest -= counts[i]
	}
	for ; rest != 0; rest -= sign(rest) { // to where most, or least, is missing
		best, most := -1, 0.0
		for i, w := range weights {
			missing := (float64(batch)*w/total - float64(counts[i])) * float64(sign(rest))
			if (best < 0 || missing > most) && counts[i]+sign(rest) >= 1 {
				best, most = i, missing
			}
		}
		counts[best] += sign(rest)
	}
	return counts
}

func sign(n int) int {
	if n < 0 {
		return -1
	}
	return 1
}

// An identity is what a run depends on.
type identity struct {
	Recipe    Recipe         `json:"recipe"`
	Sources   []sourceDigest `json:"sources"`
	Counts    []int          `json:"counts"` // crops of each in a batch
	Engine    string         `json:"engine"`
	Precision string         `json:"precision"`
}

// A sourceDigest is that of a source's list of pictures. A name makes no difference.
type sourceDigest struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// Differences names what the identity in a checkpoint has not in common with this
// one.
func (id identity) Differences(saved []byte) (string, error) {
	var its identity
	if err := json.Unmarshal(saved, &its); err != nil {
		return "", err
	}
	list := training.Differing(its.Recipe, id.Recipe)
	if len(its.Sources) != len(id.Sources) {
		list = append(list, fmt.Sprintf("sets %d, not %d", len(its.Sources), len(id.Sources)))
	} else {
		for i, s := range id.Sources {
			if its.Sources[i].Digest != s.Digest {
				list = append(list, fmt.Sprintf("pictures of %s, not those of %s now", its.Sources[i].Name, s.Name))
			}
		}
	}
	its.Recipe, id.Recipe, its.Sources, id.Sources = Recipe{}, Recipe{}, nil, nil
	return strings.Join(append(list, training.Differing(its, id)...), "; "), nil
}

// initial draws all tensors, each from a source of its own.
func (p *pretraining) initial() training.Tensors {
	state := training.Tensors{}
	for i, t := range network.ClassifierTensors(p.classes) {
		state[t.Name] = t.Initial(rand.New(rand.NewPCG(p.Recipe.Seed, ^uint64(i))))
	}
	return state
}

// training is a run but for what its variables start with.
func (p *pretraining) training(start time.Time) (training.Config, error) {
	precision, err := engine.PrecisionInForce(p.Engine, p.Options)
	if err != nil {
		return training.Config{}, err
	}
	id := identity{Recipe: p.Recipe, Counts: p.counts, Engine: p.Engine.Name(), Precision: precision.String()}
	for _, s := range p.Sources {
		id.Sources = append(id.Sources, sourceDigest{s.Name(), s.digest.String()})
	}
	c := training.Config{
		Engine: p.Engine, Options: p.Options, Kept: map[string]int{}, Average: p.Recipe.Average,
		Checkpoint: p.Checkpoint, Kind: checkpointKind, Identity: id, Fresh: p.Fresh, Every: p.Every, Start: start,
		Rest: p.validated,
	}
	for _, t := range network.ClassifierTensors(p.classes) {
		c.Kept[t.Name] = t.Shape.Size()
	}
	before := make([]int, len(p.Recipe.Phases))
	for i, phase := range p.Recipe.Phases {
		if i > 0 {
			before[i] = before[i-1] + p.Recipe.Phases[i-1].Steps
		}
		stage, err := p.stage(phase, before[i])
		if err != nil {
			return training.Config{}, err
		}
		stage.Settle = i == len(p.Recipe.Phases)-1
		c.Stages = append(c.Stages, stage)
	}
	tell := func(to func(Progress)) func(training.Progress) {
		if to == nil {
			return nil
		}
		return func(t training.Progress) {
			to(Progress{
				Phase: t.Stage, Step: t.Step, Done: before[t.Stage] + t.Step, Steps: p.Recipe.Steps(), Loss: t.Losses[network.ClassLoss],
				Speed: t.Speed * float64(p.Recipe.Batch), Remaining: t.Remaining, Waited: t.Waited, Checkpoint: t.Checkpoint,
			})
		}
	}
	c.Begin, c.Progress = tell(p.Begin), tell(p.Progress)
	return c, nil
}

// stage is a phase whose first step is number before of all.
func (p *pretraining) stage(phase Phase, before int) (training.Stage, error) {
	g, err := network.ClassifierStep(p.Recipe.size(phase), p.classes, p.Recipe.Smoothing,
		network.Training{Momentum: p.Recipe.Momentum, WeightDecay: p.Recipe.WeightDecay})
	return training.Stage{
		Graph: g, Steps: phase.Steps, Cost: float64(phase.Size * phase.Size),
		Inputs: []string{network.Image, network.Target}, Fill: p.fill(phase.Size, before),
		Scalars: func(step int) map[string]float64 {
			return map[string]float64{network.Rate: p.Recipe.rate(before + step)}
		},
		Losses: []string{network.ClassLoss},
	}, err
}

// fill returns what makes the batches of a phase.
func (p *pretraining) fill(size, before int) func(training.Tensors, int) error {
	crop := newCropper(size, p.Recipe)
	orders := make([]training.Order, len(p.Sources))
	for i, s := range p.Sources {
		orders[i] = training.Order{Seed: p.Recipe.Seed + uint64(i), Count: uint64(len(s.train))}
	}
	type crops struct {
		source *Source
		item   item
		class  int
	}
	batch := make([]crops, 0, p.Recipe.Batch)
	errs := make([]error, p.Recipe.Batch)
	return func(inputs training.Tensors, step int) error {
		batch = batch[:0]
		for i, s := range p.Sources {
			for k := range p.counts[i] {
				at := orders[i].At(uint64(before+step)*uint64(p.counts[i]) + uint64(k))
				batch = append(batch, crops{s, s.train[at], p.first[i] + s.train[at].class})
			}
		}
		images, targets := inputs[network.Image], inputs[network.Target]
		clear(targets)
		first := uint64(before+step) * uint64(len(batch))
		var group sync.WaitGroup
		for w := range min(p.Loaders, len(batch)) {
			group.Go(func() {
				for i := w; i < len(batch); i += p.Loaders {
					b := batch[i]
					picture, err := p.store.get(b.source, b.item)
					if errs[i] = err; err != nil {
						continue
					}
					// Seeds of pictures differ from those of orders by the second word.
					rng := rand.New(rand.NewPCG(p.Recipe.Seed, 1<<63|(first+uint64(i))))
					crop.random(images[i*3*size*size:][:3*size*size], picture, rng)
					targets[i*p.classes+b.class] = 1
				}
			})
		}
		group.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		return nil
	}
}
