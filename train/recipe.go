package train

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/destseg/destseg/internal/training"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/synth"
)

// A Recipe is everything that decides what is learned, besides the pictures, the
// textures and the teacher. Two runs with the same recipe, pictures, textures,
// teacher, engine, precision and thread count give the same weights bit for bit.
type Recipe struct {
	Width  int `json:"width"` // network size in pixels, multiples of 32
	Height int `json:"height"`
	Batch  int `json:"batch"` // pictures a step

	// Fit says how pictures come to the network size. With [picture.Tiles] each sample
	// is a random window of a picture that is resized so that Tile of its pixels are
	// as wide as the network sees.
	Fit  picture.Fit `json:"fit"`
	Tile int         `json:"tile"`

	StudentSteps      int `json:"student_steps"`      // of stage 1
	SegmentationSteps int `json:"segmentation_steps"` // of stage 2

	StudentRate float64 `json:"student_rate"` // learning rate at batch 32; the loss is scaled by 32/Batch
	ResRate     float64 `json:"res_rate"`     // learning rate of segmentation_net.res
	HeadRate    float64 `json:"head_rate"`    // learning rate of segmentation_net.head
	Momentum    float64 `json:"momentum"`
	WeightDecay float64 `json:"weight_decay"` // on every parameter

	Schedule Schedule `json:"schedule,omitempty"`     // of the rates within a stage
	Warmup   int      `json:"warmup_steps,omitempty"` // in which the rates grow from near 0, in each stage
	Average  float64  `json:"average,omitempty"`      // decay a step of the moving average that a trained network consists of; 0: of its last values

	MinOpacity float64        `json:"min_opacity"` // of the blended texture, above 0 and up to 1
	Rotation   synth.Rotation `json:"rotation"`    // of the good pictures
	Seed       uint64         `json:"seed"`        // every random choice follows from it
}

// A Schedule says how learning rates go, after the warm-up.
type Schedule string

// Schedules.
const (
	Constant Schedule = ""       // as published
	Cosine   Schedule = "cosine" // to 0 at the end of the stage, along half a cosine
)

// String returns the schedule's name.
func (s Schedule) String() string {
	if s == Constant {
		return "constant"
	}
	return string(s)
}

// rate is the part of the recipe's learning rates that a step of a stage takes.
func (r Recipe) rate(step, steps int) float64 {
	if r.Schedule == Cosine {
		return training.Cosine(step, r.Warmup, steps)
	}
	return training.Warm(step, r.Warmup)
}

// PublishedBatch is the batch that the published learning rates belong to.
const PublishedBatch = 32

// Published is the recipe of the paper (section 4.1) and its code, for
// pictures of a category.
func Published(category string) Recipe {
	return Recipe{
		Width: 256, Height: 256, Batch: PublishedBatch,
		StudentSteps: 1000, SegmentationSteps: 4000,
		StudentRate: 0.4, ResRate: 0.1, HeadRate: 0.01, Momentum: 0.9, WeightDecay: 1e-4,
		MinOpacity: synth.PublishedMinOpacity, Rotation: synth.RotationOf(category),
	}
}

// Upper ends of what a recipe may ask for, beyond which a batch surely does not
// fit into memory or a run never ends.
const (
	MaxBatch  = 4096
	MaxPixels = 1 << 28 // of all pictures of a batch
	MaxSteps  = 1 << 30 // of a stage
)

// ErrRecipe is wrapped by the error for a recipe that can't be followed.
var ErrRecipe = errors.New("train: unusable recipe")

// Check says what is wrong with a recipe, if anything is.
func (r Recipe) Check() error {
	if err := r.size().Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrRecipe, err)
	}
	if r.Batch > MaxBatch {
		return fmt.Errorf("%w: batch of %d pictures; at most %d are possible", ErrRecipe, r.Batch, MaxBatch)
	}
	if pixels := MaxPixels / r.Batch; r.Width > pixels/r.Height { // divided, lest it overflow
		return fmt.Errorf("%w: %d pictures of %d×%d have more than %d pixels; shrink them or the batch", ErrRecipe, r.Batch, r.Width, r.Height, MaxPixels)
	}
	if r.Fit > picture.Tiles || r.Fit == picture.Tiles && r.Tile < max(1, r.Width/4) { // enlarged too far
		return fmt.Errorf("%w: fit %v with tiles of %d pixels; they have at least a quarter of the network size", ErrRecipe, r.Fit, r.Tile)
	}
	for _, steps := range []int{r.StudentSteps, r.SegmentationSteps} {
		if steps < 0 || steps > MaxSteps {
			return fmt.Errorf("%w: %d steps of a stage; it takes 0 to %d", ErrRecipe, steps, MaxSteps)
		}
	}
	if r.Schedule != Constant && r.Schedule != Cosine {
		return fmt.Errorf("%w: schedule %q; known are constant and cosine", ErrRecipe, r.Schedule)
	}
	if r.Warmup < 0 || r.Warmup > MaxSteps {
		return fmt.Errorf("%w: warm-up of %d steps; it takes 0 to %d", ErrRecipe, r.Warmup, MaxSteps)
	}
	for _, v := range []struct {
		name     string
		value    float64
		min, max float64
	}{
		{"student rate", r.StudentRate, 0, math.MaxFloat32},
		{"res rate", r.ResRate, 0, math.MaxFloat32},
		{"head rate", r.HeadRate, 0, math.MaxFloat32},
		{"momentum", r.Momentum, 0, 1},
		{"weight decay", r.WeightDecay, 0, 1},
		{"average", r.Average, 0, 1 - 1e-9},
	} {
		if !(v.value >= v.min && v.value <= v.max) {
			return fmt.Errorf("%w: %s of %v; it lies between %v and %v", ErrRecipe, v.name, v.value, v.min, v.max)
		}
	}
	if !(r.MinOpacity > 0 && r.MinOpacity <= 1) {
		return fmt.Errorf("%w: opacity of %v; it lies above 0 and is at most 1", ErrRecipe, r.MinOpacity)
	}
	return nil
}

func (r Recipe) size() network.Size {
	return network.Size{Batch: r.Batch, Height: r.Height, Width: r.Width}
}

// Prepare brings a picture to what samples are made from: its fit's size, and at least
// the network size, filled up as by [picture.RGB.Window].
func (r Recipe) Prepare(p *picture.RGB) *picture.RGB {
	width, height := r.Fit.Scaled(p.Width, p.Height, r.Width, r.Height, r.Tile)
	if p.Width != width || p.Height != height {
		p = p.Resize(width, height)
	}
	if wide, high := max(width, r.Width), max(height, r.Height); width != wide || height != high {
		p = p.Window(0, 0, wide, high)
	}
	return p
}

// window cuts from a prepared picture what sample number shows.
func (r Recipe) window(p *picture.RGB, number uint64) *picture.RGB {
	if p.Width == r.Width && p.Height == r.Height {
		return p
	}
	// A source of its own, lest tiles change what else a seed means.
	random := rand.New(rand.NewPCG(^r.Seed, number))
	return p.Window(random.IntN(p.Width-r.Width+1), random.IntN(p.Height-r.Height+1), r.Width, r.Height)
}
