package destseg

import (
	"errors"
	"fmt"
	"image"
	"time"

	"github.com/destseg/destseg/metric"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/picture"
)

// scorePixels is how many of a map's largest values make the image score (T in
// the published code, section 4.1 of the paper).
const scorePixels = 100

// ErrPicture is wrapped by every error that is the picture's fault and not the
// detector's: its file can't be read, it has no pixels or too many, or they don't
// fit its size.
var ErrPicture = errors.New("unusable picture")

// An Inspection is what a detector says about one picture.
type Inspection struct {
	// Score is the mean of the 100 largest values of the segmentation map at
	// network size, in [0,1]; more is more anomalous.
	Score float64
	// DeSTScore is the same for the DeST map.
	DeSTScore float64

	// Threshold is the detector's image threshold, if HasThreshold says that it
	// has one, and Anomalous whether Score is above it.
	Threshold    float64
	HasThreshold bool
	Anomalous    bool

	// Width and Height are the picture's own size.
	Width, Height int

	// Elapsed is the wall-clock time from handing the picture to the networks to
	// having both maps. Reading and resizing the picture and waiting for another
	// run come before it; what else the processors do meanwhile, such as reading
	// the next pictures, makes it longer.
	Elapsed time.Duration

	segmentation, dest coarseMap
}

// A coarseMap is a map as the networks give it, at 1/4 of the network size.
type coarseMap struct {
	width, height int
	values        []float32
}

func (m coarseMap) resize(width, height int) []float32 {
	resized := make([]float32, width*height)
	picture.ResizeMap(m.values, m.width, m.height, width, height, resized)
	return resized
}

// Map returns the segmentation map, bilinear at any size: height×width values in
// [0,1], rows from the top. Every call computes it anew, straight from the
// networks' map, which has a quarter of the network size. It panics unless width
// and height are positive.
func (i *Inspection) Map(width, height int) []float32 { return i.segmentation.resize(width, height) }

// DeSTMap is [Inspection.Map] for the product of the cosine distances of teacher
// and student at three scales, in [0,1] but for rounding.
func (i *Inspection) DeSTMap(width, height int) []float32 { return i.dest.resize(width, height) }

// A Peak is where a map is highest.
type Peak struct {
	X     int     `json:"x"` // in pixels of the picture, from its upper left corner
	Y     int     `json:"y"`
	Value float32 `json:"value"` // in [0,1]
}

// Peak returns the place where the segmentation map at network size, from which the
// score comes, is highest; of several the first one, row by row.
func (i *Inspection) Peak() Peak {
	width, height := network.MapStride*i.segmentation.width, network.MapStride*i.segmentation.height
	values := i.Map(width, height)
	at := 0
	for k, v := range values {
		if v > values[at] {
			at = k
		}
	}
	x, y := at%width, at/width
	return Peak{
		X:     (2*x + 1) * i.Width / (2 * width),
		Y:     (2*y + 1) * i.Height / (2 * height),
		Value: values[at],
	}
}

// Inspect inspects a picture of any size. It becomes RGB as by
// [picture.FromImage]: alpha is dropped, so that the colour stored under transparent
// pixels is judged like any other. Errors wrap [ErrPicture] (also for more than
// [picture.DefaultMaxPixels] pixels), [ErrClosed] or [ErrTensors] (weights so
// large that the maps are no numbers), or come from the engine.
func (d *Detector) Inspect(img image.Image) (*Inspection, error) {
	b := img.Bounds()
	if b.Empty() {
		return nil, fmt.Errorf("%w: it has no pixels", ErrPicture)
	}
	// An endless image such as [image.Uniform] would not fit into memory.
	if b.Dx() > picture.DefaultMaxPixels/b.Dy() {
		return nil, fmt.Errorf("%w: %w: %d×%d", ErrPicture, picture.ErrTooLarge, b.Dx(), b.Dy())
	}
	return d.InspectRGB(picture.FromImage(img))
}

// InspectRGB is [Detector.Inspect] for a picture that package picture has read.
func (d *Detector) InspectRGB(p *picture.RGB) (*Inspection, error) {
	if p.Width < 1 || p.Height < 1 || len(p.Pix) != 3*p.Width*p.Height {
		return nil, fmt.Errorf("%w: %d values for %d×%d pixels in RGB", ErrPicture, len(p.Pix), p.Width, p.Height)
	}
	how := d.record.Preprocessing
	small := p
	if p.Width != how.Width || p.Height != how.Height {
		small = p.Resize(how.Width, how.Height)
	}
	input := make([]float32, 3*how.Width*how.Height)
	small.Normalize(input, how.Mean, how.Std)

	i := &Inspection{Width: p.Width, Height: p.Height}
	var err error
	if i.segmentation, i.dest, i.Elapsed, err = d.run(input); err != nil {
		return nil, err
	}
	i.Score = metric.TopMean(i.Map(how.Width, how.Height), scorePixels)
	i.DeSTScore = metric.TopMean(i.DeSTMap(how.Width, how.Height), scorePixels)
	if !finite(i.Score) || !finite(i.DeSTScore) {
		return nil, fmt.Errorf("%w: the scores are %v and %v; train the detector again", ErrTensors, i.Score, i.DeSTScore)
	}
	if t := d.record.Threshold; t != nil {
		i.Threshold, i.HasThreshold, i.Anomalous = t.Image, true, i.Score > t.Image
	}
	return i, nil
}

// run takes a normalised picture, 3×Height×Width, through the networks.
func (d *Detector) run(input []float32) (segmentation, dest coarseMap, elapsed time.Duration, err error) {
	how := d.record.Preprocessing
	newMap := func() coarseMap {
		width, height := how.Width/network.MapStride, how.Height/network.MapStride
		return coarseMap{width: width, height: height, values: make([]float32, width*height)}
	}
	segmentation, dest = newMap(), newMap()

	d.mu.Lock()
	defer d.mu.Unlock()
	if d.program == nil {
		return segmentation, dest, 0, ErrClosed
	}
	start := time.Now()
	for _, do := range []func() error{
		func() error { return d.program.Write(network.Image, input) },
		d.program.Run,
		func() error { return d.program.Read(network.Segmentation, segmentation.values) },
		func() error { return d.program.Read(network.DeST, dest.values) },
	} {
		if err := do(); err != nil {
			return segmentation, dest, 0, err
		}
	}
	return segmentation, dest, time.Since(start), nil
}
