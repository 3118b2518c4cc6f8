package train

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/synth"
)

// An order says which good picture each sample shows: every picture once an
// epoch, in an order that follows from seed and epoch alone. An epoch may end
// within a batch, so that folders smaller than a batch work too.
type order struct {
	seed  uint64
	count uint64
	epoch uint64
	perm  []int // of the epoch, nil before the first
}

func (o *order) at(sample uint64) int {
	if epoch := sample / o.count; o.perm == nil || epoch != o.epoch {
		o.epoch = epoch
		o.perm = rand.New(rand.NewPCG(o.seed, epoch)).Perm(int(o.count))
	}
	return o.perm[sample%o.count]
}

// A batch is what one step learns from; parts that its stage does not need
// are nil. See synth.Sample for the layouts.
type batch struct {
	clean, corrupted, mask []float32
	err                    error
}

// A loader prepares batches beside the engine, a few ahead of it.
type loader struct {
	free, ready chan *batch
	cancel      context.CancelFunc
	done        sync.WaitGroup
	waited      time.Duration
}

// source is what samples are made from.
type source struct {
	paths     []string
	pictures  *dataset.Cache
	textures  synth.Textures
	generator *synth.Generator
	recipe    Recipe
	workers   int
}

const ahead = 2 // batches prepared before they are wanted

// load starts a loader for steps first to last−1 of a stage. Samples are
// numbered through both stages, so that no two ever are the same.
func (s source) load(ctx context.Context, stage, first, last int) *loader {
	ctx, cancel := context.WithCancel(ctx)
	l := &loader{free: make(chan *batch, ahead+1), ready: make(chan *batch, ahead), cancel: cancel}
	pixels := s.recipe.Batch * s.recipe.Width * s.recipe.Height
	for range ahead + 1 {
		b := &batch{corrupted: make([]float32, 3*pixels)}
		if stage == 1 {
			b.clean = make([]float32, 3*pixels)
		} else {
			b.mask = make([]float32, pixels)
		}
		l.free <- b
	}
	start := uint64(0)
	if stage == 2 {
		start = uint64(s.recipe.StudentSteps) * uint64(s.recipe.Batch)
	}
	l.done.Go(func() {
		o := order{seed: s.recipe.Seed, count: uint64(len(s.paths))}
		for step := first; step < last; step++ {
			select {
			case b := <-l.free:
				s.fill(b, &o, start+uint64(step)*uint64(s.recipe.Batch))
				select {
				case l.ready <- b:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return l
}

// next waits for a batch, which recycle gives back; it returns nil when ctx
// ends first.
func (l *loader) next(ctx context.Context) *batch {
	start := time.Now()
	defer func() { l.waited += time.Since(start) }()
	select {
	case b := <-l.ready:
		return b
	case <-ctx.Done():
		return nil
	}
}

func (l *loader) recycle(b *batch) { l.free <- b }

// stop ends the loader and waits for its goroutines.
func (l *loader) stop() {
	l.cancel()
	l.done.Wait()
}

// fill makes the samples of a batch, from the given number on.
func (s source) fill(b *batch, o *order, first uint64) {
	count := s.recipe.Batch
	paths := make([]string, count)
	for i := range paths {
		paths[i] = s.paths[o.at(first+uint64(i))]
	}
	errs := make([]error, count)
	var group sync.WaitGroup
	for w := range min(s.workers, count) {
		group.Go(func() {
			for i := w; i < count; i += s.workers {
				errs[i] = s.sample(b, i, first+uint64(i), paths[i])
			}
		})
	}
	group.Wait()
	b.err = nil
	for _, err := range errs {
		if err != nil {
			b.err = err
			return
		}
	}
}

func (s source) sample(b *batch, i int, number uint64, path string) error {
	good, err := s.pictures.Get(path)
	if err != nil {
		return err
	}
	part := func(v []float32, size int) []float32 {
		if v == nil {
			return nil
		}
		return v[i*size:][:size]
	}
	pixels := s.recipe.Width * s.recipe.Height
	dst := synth.Sample{Clean: part(b.clean, 3*pixels), Corrupted: part(b.corrupted, 3*pixels), Mask: part(b.mask, pixels)}
	if err := s.generator.Sample(dst, number, s.recipe.window(good, number)); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// LoaderSpeed prepares batches of a stage as Run does, with no engine beside
// it, and returns how many pictures a second that makes. Of c it needs what
// says how pictures are made: Recipe, Good, Pictures, Textures and Loaders.
func LoaderSpeed(ctx context.Context, c Config, stage, batches int) (float64, error) {
	r, err := newTrainer(ctx, c)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	l := r.source.load(ctx, stage, 0, batches)
	defer l.stop()
	for range batches {
		b := l.next(ctx)
		if b == nil {
			return 0, fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
		}
		if b.err != nil {
			return 0, b.err
		}
		l.recycle(b)
	}
	return float64(batches*c.Recipe.Batch) / time.Since(start).Seconds(), nil
}

// check decodes every picture and texture once and reports all that can't be
// read, before any time is spent on training. What the cache holds is not decoded
// again. When ctx ends, it leaves the rest.
func (s source) check(ctx context.Context) error {
	errs := make([]error, len(s.paths))
	var group sync.WaitGroup
	for w := range s.workers {
		group.Go(func() {
			for i := w; i < len(s.paths) && ctx.Err() == nil; i += s.workers {
				_, errs[i] = s.pictures.Get(s.paths[i])
			}
		})
	}
	group.Wait()
	if err := unreadable(errs); err != nil {
		return err
	}
	if textures, ok := s.textures.(interface{ Check(context.Context) error }); ok && ctx.Err() == nil {
		if err := textures.Check(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}
