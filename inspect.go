package destseg

import (
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
	"time"

	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/region"
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
	// Score is the mean of the 100 largest values of the segmentation map at network
	// scale, within the ROI if the detector has one, in [0,1]; more is more anomalous.
	Score float64

	// Threshold is the detector's image threshold, if HasThreshold says that it
	// has one, and Anomalous whether Score is above it.
	Threshold    float64
	HasThreshold bool
	Anomalous    bool
	// PixelThreshold is what the segmentation map exceeds in regions; 0 without a
	// threshold.
	PixelThreshold float64

	// Width and Height are the picture's own size.
	Width, Height int

	// Elapsed is the wall-clock time from handing the picture to the networks to
	// having both maps. Reading and resizing the picture and waiting for another
	// run come before it; what else the processors do meanwhile, such as reading
	// the next pictures, makes it longer.
	Elapsed time.Duration
	// Waited is how long it waited for other runs, and for others to go with it.
	Waited time.Duration

	scaledWidth, scaledHeight int // at network scale
	segmentation, dest        coarseMap
	peak                      region.Peak
	settings                  region.Settings
	heat                      Scale
}

// Verdict returns "NG" (not good) for an anomalous picture and "OK" for any other. It is
// "" if the detector has no threshold.
func (i *Inspection) Verdict() string {
	switch {
	case !i.HasThreshold:
		return ""
	case i.Anomalous:
		return "NG"
	}
	return "OK"
}

// Margin returns by how much Score exceeds Threshold: positive for NG, 0 or negative
// for OK.
func (i *Inspection) Margin() float64 { return i.Score - i.Threshold }

// Map returns the segmentation map, bilinear at any size: height×width values in
// [0,1], rows from the top, 0 outside the ROI. Every call computes it anew, straight
// from the networks' map, which has a quarter of the network scale. It panics unless
// width and height are positive.
func (i *Inspection) Map(width, height int) []float32 {
	return i.inROI(i.segmentation.resize(width, height), width, height)
}

// DeSTMap is [Inspection.Map] for the product of the cosine distances of teacher
// and student at three scales, in [0,1] but for rounding.
func (i *Inspection) DeSTMap(width, height int) []float32 {
	return i.inROI(i.dest.resize(width, height), width, height)
}

// DeSTScore is what [Inspection.Score] is, for the DeST map. Every call computes it anew.
func (i *Inspection) DeSTScore() float64 {
	return scoreOf(i.dest.resize(i.scaledWidth, i.scaledHeight), i.roi(i.scaledWidth, i.scaledHeight))
}

// inROI clears what lies outside the ROI.
func (i *Inspection) inROI(values []float32, width, height int) []float32 {
	for k, in := range i.roi(width, height) {
		if in == 0 {
			values[k] = 0
		}
	}
	return values
}

// roi is the mask of what counts at a size of the map; nil is all.
func (i *Inspection) roi(width, height int) []uint8 {
	return i.settings.ROI.MaskOf(i.Width, i.Height, width, height)
}

// Peak returns the place where the segmentation map at network scale, from which the
// score comes, is highest, in pixels of the picture; of several the first one, row by
// row.
func (i *Inspection) Peak() region.Peak { return i.peak }

// findPeak looks for the peak in the segmentation map at network scale, within the ROI.
func (i *Inspection) findPeak(values []float32, roi []uint8) {
	at, highest := 0, float32(math.Inf(-1))
	for k, v := range values {
		if v > highest && (roi == nil || roi[k] != 0) {
			at, highest = k, v
		}
	}
	x, y := at%i.scaledWidth, at/i.scaledWidth
	i.peak = region.Peak{
		X:     (2*x + 1) * i.Width / (2 * i.scaledWidth),
		Y:     (2*y + 1) * i.Height / (2 * i.scaledHeight),
		Value: values[at],
	}
}

// HeatScale returns the values of a map between which heat maps are painted, those of
// [Threshold.HeatScale]. Without a threshold they span most of what a map can be.
func (i *Inspection) HeatScale() (low, high float32) {
	return float32(i.heat.Low), float32(i.heat.High)
}

// Regions returns where the segmentation map, at the picture's own size, is above the
// detector's pixel threshold, by the settings in its record: the regions, the highest
// first, and a mask of the picture, 255 in them and 0 elsewhere. They say where; the
// verdict comes from the score alone, so that a picture may be OK with a region or NG
// without one. A detector without a threshold finds none.
func (i *Inspection) Regions() ([]region.Region, *picture.Gray) {
	if !i.HasThreshold {
		return nil, picture.NewGray(i.Width, i.Height)
	}
	return i.RegionsAbove(i.PixelThreshold)
}

// RegionsAbove is [Inspection.Regions] for another pixel threshold, also if the
// detector has none.
func (i *Inspection) RegionsAbove(threshold float64) ([]region.Region, *picture.Gray) {
	mask := picture.NewGray(i.Width, i.Height)
	regions, found := region.Find(i.segmentation.resize(i.Width, i.Height), i.Width, i.Height, threshold, i.settings)
	for k, in := range found {
		mask.Pix[k] = 255 * in
	}
	return regions, mask
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
	how, settings := d.record.Preprocessing, d.record.Regions
	if roi := settings.ROI; !roi.Fits(p.Width, p.Height) {
		return nil, fmt.Errorf("%w: it has %d×%d pixels, another shape than the %d×%d that the ROI was drawn on", ErrPicture, p.Width, p.Height, roi.Width, roi.Height)
	}
	width, height := how.scaled(p.Width, p.Height)
	if width > picture.DefaultMaxPixels/height {
		return nil, fmt.Errorf("%w: %w: %d×%d, as tiles of %d pixels are seen", ErrPicture, picture.ErrTooLarge, width, height, how.Tile)
	}
	i := &Inspection{Width: p.Width, Height: p.Height, scaledWidth: width, scaledHeight: height, settings: settings, heat: Scale{0.1, 1}}
	roi := i.roi(width, height)
	if roi != nil && !slices.Contains(roi, 1) {
		return nil, fmt.Errorf("%w: the ROI leaves nothing of a picture of %d×%d pixels", ErrPicture, p.Width, p.Height)
	}
	if p.Width != width || p.Height != height {
		p = p.Resize(width, height)
	}
	var err error
	var times runTimes
	if i.segmentation, i.dest, times, err = d.inspectScaled(p); err != nil {
		return nil, err
	}
	i.Elapsed, i.Waited = times.elapsed, times.waited
	if !i.segmentation.finite() || !i.dest.finite() {
		return nil, fmt.Errorf("%w: they make maps that are no numbers; train the detector again", ErrTensors)
	}
	values := i.segmentation.resize(width, height)
	i.findPeak(values, roi)
	i.Score = scoreOf(values, roi) // which leaves them in another order
	if t := d.record.Threshold; t != nil {
		i.Threshold, i.HasThreshold, i.Anomalous = t.Image, true, i.Score > t.Image
		i.PixelThreshold = t.Pixel
		low, high := t.HeatScale()
		i.heat = Scale{float64(low), float64(high)}
	}
	return i, nil
}
