package pretrain

import (
	"context"
	"sync"

	"github.com/destseg/destseg/internal/training"
	"github.com/destseg/destseg/network"
)

// A Validation says how well the classifier tells pictures that it has not learned
// from.
type Validation struct {
	Size    int        `json:"size"` // side in pixels that they were resized to
	Sources []Accuracy `json:"sources"`
}

// An Accuracy is the share of a source's validation pictures whose class was told.
type Accuracy struct {
	Name     string `json:"name"` // of the source
	Classes  int    `json:"classes"`
	Pictures int    `json:"pictures"`
	// Top1 counts a picture if its class has the largest logit among those of its
	// source, Top1OfAll if it has the largest among those of all sources.
	Top1      float64 `json:"top1"`
	Top1OfAll float64 `json:"top1_of_all"`
}

// validationBatch is how many pictures a run takes.
const validationBatch = 64

// validated is what a run has reached, told to the caller.
func (p *pretraining) validated(ctx context.Context, state training.Tensors) error {
	p.last = nil
	v, err := p.validate(ctx, state)
	if err != nil {
		return err
	}
	p.last = &v
	if p.Validated != nil {
		p.Validated(v)
	}
	return nil
}

// validate takes the largest square in the middle of each picture, resized to the size
// of the last phase.
func (p *pretraining) validate(ctx context.Context, state training.Tensors) (Validation, error) {
	size := p.Recipe.Phases[len(p.Recipe.Phases)-1].Size
	v := Validation{Size: size}
	g, err := network.Classifier(network.Size{Batch: validationBatch, Height: size, Width: size}, p.classes)
	if err != nil {
		return v, err
	}
	options := p.Options
	options.Constants = func(name string, to []float32) error {
		copy(to, state.Final(name))
		return nil
	}
	program, err := p.Engine.Compile(g, options)
	if err != nil {
		return v, err
	}
	defer program.Close()
	crop := newCropper(size, p.Recipe)
	images, logits := make([]float32, validationBatch*3*size*size), make([]float32, validationBatch*p.classes)
	done, total := 0, 0
	for _, s := range p.Sources {
		total += len(s.val)
	}
	for i, s := range p.Sources {
		a := Accuracy{Name: s.Name(), Classes: len(s.Classes), Pictures: len(s.val)}
		own, all := 0, 0
		for first := 0; first < len(s.val); first += validationBatch {
			if err := context.Cause(ctx); err != nil {
				return v, err
			}
			batch := s.val[first:min(first+validationBatch, len(s.val))]
			if err := p.read(images, s, batch, crop); err != nil {
				return v, err
			}
			if err := program.Write(network.Image, images); err != nil {
				return v, err
			}
			if err := program.Run(); err != nil {
				return v, err
			}
			if err := program.Read(network.Logits, logits); err != nil {
				return v, err
			}
			for k, item := range batch {
				scores := logits[k*p.classes:][:p.classes]
				if largest(scores[p.first[i]:][:len(s.Classes)]) == item.class {
					own++
				}
				if largest(scores) == p.first[i]+item.class {
					all++
				}
			}
			if done += len(batch); p.Validating != nil {
				p.Validating(done, total)
			}
		}
		a.Top1, a.Top1OfAll = float64(own)/float64(max(len(s.val), 1)), float64(all)/float64(max(len(s.val), 1))
		v.Sources = append(v.Sources, a)
	}
	return v, nil
}

func (p *pretraining) read(images []float32, s *Source, batch []item, crop cropper) error {
	errs := make([]error, len(batch))
	var group sync.WaitGroup
	for w := range min(p.Loaders, len(batch)) {
		group.Go(func() {
			for i := w; i < len(batch); i += p.Loaders {
				picture, err := p.store.get(s, batch[i])
				if errs[i] = err; err == nil {
					n := 3 * crop.size * crop.size
					crop.whole(images[i*n:][:n], picture)
				}
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

// largest returns the place of the largest value, the first one of equals.
func largest(v []float32) int {
	at := 0
	for i, x := range v {
		if x > v[at] {
			at = i
		}
	}
	return at
}
