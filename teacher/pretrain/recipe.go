package pretrain

import (
	"errors"
	"fmt"
	"math"

	"github.com/destseg/destseg/internal/training"
	"github.com/destseg/destseg/network"
)

// A Phase is a number of steps at one size.
type Phase struct {
	Size  int `json:"size"` // side of the crops in pixels, a multiple of 32
	Steps int `json:"steps"`
}

// A Recipe is everything that decides what is learned, besides the pictures.
type Recipe struct {
	Phases []Phase `json:"phases"`
	Batch  int     `json:"batch"` // crops a step

	Rate        float64 `json:"rate"`   // highest learning rate
	Warmup      int     `json:"warmup"` // steps in which it is reached; then it falls to 0 along half a cosine
	Momentum    float64 `json:"momentum"`
	WeightDecay float64 `json:"weight_decay"` // on weights; vectors have none
	Smoothing   float64 `json:"smoothing"`    // part of each label that is spread over all classes
	Average     float64 `json:"average"`      // decay of the weights' moving average a step; 0: none

	MinArea float64 `json:"min_area"` // least share of a picture that a crop shows
	Colour  float64 `json:"colour"`   // largest relative change of brightness, contrast and saturation
	Grey    float64 `json:"grey"`     // share of the crops that lose their colours
	Seed    uint64  `json:"seed"`     // every random choice follows from it
}

// Usual is a recipe for some steps of 128 crops: half of them at 64 pixels, three
// tenths at 96 and the rest at 128.
//
// Sizes that grow save most of the time at little loss (Touvron et al., Fixing the
// train-test resolution discrepancy, 2019, explain why late steps matter most).
// Rate, decay and smoothing are what ResNets on small pictures are usually trained
// with; the least area is larger than the 0.08 of long trainings, since there are
// only some dozens of epochs.
func Usual(steps int) Recipe {
	first, second := steps/2, steps*3/10
	return Recipe{
		Phases: []Phase{{64, first}, {96, second}, {128, steps - first - second}}, Batch: 128,
		Rate: 0.1, Warmup: min(500, steps/10), Momentum: 0.9, WeightDecay: 5e-4, Smoothing: 0.1, Average: 0.9995,
		MinArea: 0.3, Colour: 0.4, Grey: 0.1,
	}
}

// ErrRecipe is wrapped by the error for a recipe that can't be followed.
var ErrRecipe = errors.New("pretrain: unusable recipe")

// Upper ends of what a recipe may ask for.
const (
	maxBatch  = 4096
	maxPixels = 1 << 28 // of all crops of a batch
	maxSteps  = 1 << 30
)

// Check says what is wrong with a recipe, if anything is.
func (r Recipe) Check() error {
	if len(r.Phases) == 0 {
		return fmt.Errorf("%w: it has no phases", ErrRecipe)
	}
	if r.Batch > maxBatch {
		return fmt.Errorf("%w: batch of %d crops; at most %d are possible", ErrRecipe, r.Batch, maxBatch)
	}
	steps := 0
	for _, p := range r.Phases {
		if err := r.size(p).Check(); err != nil {
			return fmt.Errorf("%w: %w", ErrRecipe, err)
		}
		if p.Size > maxPixels/r.Batch/p.Size {
			return fmt.Errorf("%w: %d crops of %d×%d have more than %d pixels; shrink them or the batch", ErrRecipe, r.Batch, p.Size, p.Size, maxPixels)
		}
		if p.Steps < 0 || p.Steps > maxSteps-steps {
			return fmt.Errorf("%w: %d steps at %d pixels; it takes 0 to %d in all", ErrRecipe, p.Steps, p.Size, maxSteps)
		}
		steps += p.Steps
	}
	if r.Warmup < 0 || r.Warmup > steps {
		return fmt.Errorf("%w: warm-up of %d steps, but there are %d", ErrRecipe, r.Warmup, steps)
	}
	for _, v := range []struct {
		name     string
		value    float64
		min, max float64
	}{
		{"rate", r.Rate, 0, math.MaxFloat32},
		{"momentum", r.Momentum, 0, 1},
		{"weight decay", r.WeightDecay, 0, 1},
		{"smoothing", r.Smoothing, 0, 1},
		{"average", r.Average, 0, 1 - 1e-9},
		{"least area", r.MinArea, 1e-3, 1},
		{"colour", r.Colour, 0, 1},
		{"grey", r.Grey, 0, 1},
	} {
		if !(v.value >= v.min && v.value <= v.max) {
			return fmt.Errorf("%w: %s of %v; it lies between %v and %v", ErrRecipe, v.name, v.value, v.min, v.max)
		}
	}
	return nil
}

// Steps is the number of steps of all phases.
func (r Recipe) Steps() int {
	steps := 0
	for _, p := range r.Phases {
		steps += p.Steps
	}
	return steps
}

func (r Recipe) size(p Phase) network.Size {
	return network.Size{Batch: r.Batch, Height: p.Size, Width: p.Size}
}

// rate returns the learning rate of a step, counted through all phases.
func (r Recipe) rate(step int) float64 {
	return r.Rate * training.Cosine(step, r.Warmup, r.Steps())
}
