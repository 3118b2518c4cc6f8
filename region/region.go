package region

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// A Region is a connected area of a map, in pixels of that map.
type Region struct {
	Area    int     `json:"area"` // number of pixels
	Box     Box     `json:"box"`  // the smallest that holds it
	Peak    Peak    `json:"peak"`
	Mean    float64 `json:"mean"` // of the map's values in it
	Polygon Polygon `json:"polygon"`
}

// A Box is a rectangle of pixels.
type Box struct {
	X      int `json:"x"` // of its leftmost column
	Y      int `json:"y"` // of its uppermost row
	Width  int `json:"width"`
	Height int `json:"height"`
}

// A Peak is where a map is highest, of several places the first one, row by row.
type Peak struct {
	X     int     `json:"x"`
	Y     int     `json:"y"`
	Value float32 `json:"value"`
}

// Settings say what counts as a region. The zero value takes every pixel above the
// threshold.
type Settings struct {
	// Open and Close are radii of discs in pixels, 0 for neither, at most
	// [MaxRadius]. Opening takes away what no disc fits into, such as specks and
	// thin lines; closing, which comes after it, joins what is closer than a disc
	// and fills small holes.
	Open  float64 `json:"open,omitempty"`
	Close float64 `json:"close,omitempty"`
	// MinArea is the least number of pixels of a region.
	MinArea int `json:"min_area,omitempty"`
	// ROI is the part of the picture that counts; nil is all of it.
	ROI *ROI `json:"roi,omitempty"`
}

// MaxRadius is the largest radius of a disc, in pixels.
const MaxRadius = 1000

// ErrSettings is wrapped by the error for settings that make no sense.
var ErrSettings = errors.New("region: unusable settings")

// Check says what is wrong with the settings, if anything is; the error wraps
// [ErrSettings].
func (s Settings) Check() error {
	for _, radius := range []float64{s.Open, s.Close} {
		if !(radius >= 0 && radius <= MaxRadius) { // negated, so that NaN fails
			return fmt.Errorf("%w: a disc of radius %v; it lies between 0 and %d pixels", ErrSettings, radius, MaxRadius)
		}
	}
	if s.MinArea < 0 {
		return fmt.Errorf("%w: a least area of %d pixels", ErrSettings, s.MinArea)
	}
	if s.ROI != nil {
		return s.ROI.Check()
	}
	return nil
}

// Find returns the regions of a map of height×width values (rows from the top),
// the highest peak first, and a mask of the map's shape, 1 in the regions and 0
// elsewhere. A pixel is taken if its value is above the threshold and it lies in the
// ROI; then the mask is opened, closed, cut to the ROI again, and small regions go.
// The settings must be sound. It panics if the map does not have that many values.
func Find(values []float32, width, height int, threshold float64, s Settings) ([]Region, []uint8) {
	checkShape(len(values), width, height)
	mask := make([]uint8, len(values))
	roi := s.ROI.Mask(width, height)
	for i, v := range values {
		if float64(v) > threshold && (roi == nil || roi[i] != 0) {
			mask[i] = 1
		}
	}
	if s.Open > 0 {
		mask = opened(mask, width, height, s.Open)
	}
	if s.Close > 0 {
		mask = closed(mask, width, height, s.Close)
		for i := range roi {
			mask[i] &= roi[i]
		}
	}
	labels, count := Label(mask, width, height)
	regions := measure(values, labels, width, count)

	kept := func(label int32) bool { return regions[label-1].Area >= s.MinArea }
	for i, label := range labels {
		if label != 0 && !kept(label) {
			labels[i], mask[i] = 0, 0
		}
	}
	for label, rings := range borders(labels, width, height, count) {
		for _, ring := range rings {
			regions[label].Polygon = append(regions[label].Polygon, simplify(ring))
		}
	}
	regions = slices.DeleteFunc(regions, func(r Region) bool { return r.Area < s.MinArea })
	slices.SortStableFunc(regions, func(a, b Region) int { return cmp.Compare(b.Peak.Value, a.Peak.Value) })
	return regions, mask
}

// measure finds all of regions 1 to count but their polygons.
func measure(values []float32, labels []int32, width, count int) []Region {
	regions := make([]Region, count)
	right, bottom := make([]int, count), make([]int, count)
	for i, label := range labels {
		if label == 0 {
			continue
		}
		x, y, v := i%width, i/width, values[i]
		r := &regions[label-1]
		if r.Area == 0 {
			r.Box.X, r.Box.Y, r.Peak = x, y, Peak{x, y, v}
		}
		if v > r.Peak.Value {
			r.Peak = Peak{x, y, v}
		}
		r.Box.X = min(r.Box.X, x)
		right[label-1], bottom[label-1] = max(right[label-1], x), y
		r.Area++
		r.Mean += float64(v)
	}
	for k := range regions {
		r := &regions[k]
		r.Box.Width, r.Box.Height = right[k]-r.Box.X+1, bottom[k]-r.Box.Y+1
		r.Mean /= float64(r.Area)
	}
	return regions
}
