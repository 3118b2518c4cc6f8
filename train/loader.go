package train

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/internal/training"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/synth"
)

// source is what samples are made from.
type source struct {
	paths     []string
	pictures  *dataset.Cache
	textures  synth.Textures
	generator *synth.Generator
	recipe    Recipe
	workers   int
}

// fill returns what makes the batches of a stage, whose first sample has the given
// number. See synth.Sample for the layouts.
func (s source) fill(first uint64) func(training.Tensors, int) error {
	o := training.Order{Seed: s.recipe.Seed, Count: uint64(len(s.paths))}
	count := s.recipe.Batch
	paths, errs := make([]string, count), make([]error, count)
	return func(inputs training.Tensors, step int) error {
		number := first + uint64(step)*uint64(count)
		for i := range paths {
			paths[i] = s.paths[o.At(number+uint64(i))]
		}
		var group sync.WaitGroup
		for w := range min(s.workers, count) {
			group.Go(func() {
				for i := w; i < count; i += s.workers {
					errs[i] = s.sample(inputs, i, number+uint64(i), paths[i])
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

// sample makes one sample of a batch.
func (s source) sample(inputs training.Tensors, i int, number uint64, path string) error {
	good, err := s.pictures.Get(path)
	if err != nil {
		return err
	}
	pixels := s.recipe.Width * s.recipe.Height
	part := func(name string, channels int) []float32 {
		v := inputs[name]
		if v == nil {
			return nil
		}
		return v[i*channels*pixels:][:channels*pixels]
	}
	dst := synth.Sample{Clean: part(network.Clean, 3), Corrupted: part(network.Corrupted, 3), Mask: part(network.Mask, 1)}
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
	run, err := r.training()
	if err != nil {
		return 0, err
	}
	s := run.Stages[stage-1]
	s.Steps = batches
	start := time.Now()
	feed := s.Feed(ctx, 0)
	defer feed.Stop()
	for range batches {
		batch, err := feed.Next(ctx)
		if ctx.Err() != nil {
			return 0, fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
		}
		if err != nil {
			return 0, err
		}
		feed.Recycle(batch)
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
	if err := training.Unreadable(ErrPictures, errs); err != nil {
		return err
	}
	if textures, ok := s.textures.(interface{ Check(context.Context) error }); ok && ctx.Err() == nil {
		if err := textures.Check(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}
