package train

import (
	"fmt"

	"github.com/destseg/destseg/internal/training"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/picture"
)

// A Glimpse is what the networks, as far as they have come, make of one corrupted
// picture.
type Glimpse struct {
	Picture *picture.RGB  // corrupted, at the recipe's size
	Mask    *picture.Gray // 255 where it was, of that size

	// Maps at a quarter of the size, rows from the top, in [0,1].
	Width, Height      int
	Segmentation, DeST []float32
}

// glimpsed is how many samples a look shows, and firstGlimpse the number of the
// first: no training gets that far.
const (
	glimpsed     = 4
	firstGlimpse = 1 << 62
)

// look inspects a few samples, always the same, with the networks of a state.
func (r *trainer) look(state training.Tensors) ([]Glimpse, error) {
	size := r.Recipe.size()
	size.Batch = 1
	g, err := network.Inference(size, false)
	if err != nil {
		return nil, err
	}
	options := r.Options
	options.Constants = func(name string, v []float32) error {
		copy(v, state.Final(name))
		return nil
	}
	program, err := r.Engine.Compile(g, options)
	if err != nil {
		return nil, err
	}
	defer program.Close()
	mean, std := picture.ImageNet()
	input := make([]float32, 3*r.Recipe.Width*r.Recipe.Height)
	var glimpses []Glimpse
	for i := range glimpsed {
		path := r.Good[i%len(r.Good)]
		good, err := r.Pictures.Get(path)
		if err != nil {
			return nil, err
		}
		s := Glimpse{Width: r.Recipe.Width / network.MapStride, Height: r.Recipe.Height / network.MapStride}
		number := uint64(firstGlimpse + i)
		if s.Picture, s.Mask, err = r.source.generator.Picture(number, r.Recipe.window(good, number)); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		s.Segmentation, s.DeST = make([]float32, s.Width*s.Height), make([]float32, s.Width*s.Height)
		s.Picture.Normalize(input, mean, std)
		for _, do := range []func() error{
			func() error { return program.Write(network.Image, input) },
			program.Run,
			func() error { return program.Read(network.Segmentation, s.Segmentation) },
			func() error { return program.Read(network.DeST, s.DeST) },
		} {
			if err := do(); err != nil {
				return nil, err
			}
		}
		glimpses = append(glimpses, s)
	}
	return glimpses, nil
}
