package region

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

// An ROI is the part of a picture that counts (region of interest): a pixel does if
// its centre lies in one of the polygons of Include, or Include is empty, and in
// none of Exclude.
type ROI struct {
	// Width and Height are the size of the picture that the polygons were drawn
	// on; for one of another size they are scaled, see [ROI.Fits]. 0 and 0: they are the same
	// pixels of every picture, whatever its size.
	Width   int       `json:"width,omitempty"`
	Height  int       `json:"height,omitempty"`
	Include []Polygon `json:"include,omitempty"`
	Exclude []Polygon `json:"exclude,omitempty"`
}

// Largest ROI, so that a detector stays quick to open.
const (
	MaxPoints = 1 << 16 // of all polygons
	maxSide   = 1 << 20 // of the picture, in pixels
)

// ErrROI is wrapped by the error for an ROI that can't be read or makes no sense.
var ErrROI = errors.New("region: unusable ROI")

// ParseROI reads an ROI in JSON, with the keys of [ROI] and no others. The error
// wraps [ErrROI].
func ParseROI(text []byte) (*ROI, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	r := new(ROI)
	if err := decoder.Decode(r); err != nil {
		return nil, fmt.Errorf("%w: %w; expected {\"width\": 900, \"height\": 900, \"include\": [[[[x, y], …]]]}", ErrROI, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows its end", ErrROI)
	}
	return r, r.Check()
}

// MaskROI returns the ROI of the pixels of a mask that are not 0. The error wraps
// [ErrROI]: there is none, or their borders have more than [MaxPoints] corners.
func MaskROI(mask []uint8, width, height int) (*ROI, error) {
	labels, count := Label(mask, width, height)
	r := &ROI{Width: width, Height: height}
	for _, rings := range borders(labels, width, height, count) {
		r.Include = append(r.Include, rings)
	}
	if count == 0 {
		return nil, fmt.Errorf("%w: the mask marks nothing; white is what counts", ErrROI)
	}
	return r, r.Check()
}

// Check says what is wrong with the ROI, if anything is; the error wraps [ErrROI].
func (r *ROI) Check() error {
	if r.Width < 0 || r.Height < 0 || (r.Width == 0) != (r.Height == 0) || max(r.Width, r.Height) > maxSide {
		return fmt.Errorf("%w: drawn on a picture of %d×%d pixels; give its width and height, or neither", ErrROI, r.Width, r.Height)
	}
	if len(r.Include)+len(r.Exclude) == 0 {
		return fmt.Errorf("%w: there are no polygons; give some to include or exclude", ErrROI)
	}
	points := 0
	for _, polygons := range [][]Polygon{r.Include, r.Exclude} {
		for _, p := range polygons {
			if len(p) == 0 {
				return fmt.Errorf("%w: a polygon without a border", ErrROI)
			}
			for _, ring := range p {
				if len(ring) < 3 {
					return fmt.Errorf("%w: a border of %d points; it takes 3", ErrROI, len(ring))
				}
				points += len(ring)
				for _, at := range ring {
					if !(max(math.Abs(at[0]), math.Abs(at[1])) <= maxSide) { // negated, so that NaN fails
						return fmt.Errorf("%w: a point at %v, %v; coordinates are in pixels", ErrROI, at[0], at[1])
					}
				}
			}
		}
	}
	if points > MaxPoints {
		return fmt.Errorf("%w: borders with %d corners; at most %d are possible, smooth them", ErrROI, points, MaxPoints)
	}
	return nil
}

// Fits reports whether a picture has the shape, within a hundredth, of the one that the
// ROI was drawn on, so that it lies on the same parts of both.
func (r *ROI) Fits(width, height int) bool {
	if r == nil || r.Width == 0 {
		return true
	}
	return math.Abs(float64(width)*float64(r.Height)/(float64(height)*float64(r.Width))-1) <= 0.01
}

// Mask returns the ROI of a picture as height×width values, 1 where a pixel counts
// and 0 elsewhere. It is nil for no ROI, since all pixels count.
func (r *ROI) Mask(width, height int) []uint8 { return r.MaskOf(width, height, width, height) }

// MaskOf is [ROI.Mask] of a picture of pictureWidth×pictureHeight pixels, resized to
// width×height.
func (r *ROI) MaskOf(pictureWidth, pictureHeight, width, height int) []uint8 {
	if r == nil {
		return nil
	}
	drawnWidth, drawnHeight := r.Width, r.Height
	if drawnWidth == 0 {
		drawnWidth, drawnHeight = pictureWidth, pictureHeight
	}
	scaleX, scaleY := float64(width)/float64(drawnWidth), float64(height)/float64(drawnHeight)
	mask := make([]uint8, width*height)
	for _, p := range r.Include {
		p.fill(mask, width, height, scaleX, scaleY, 1)
	}
	if len(r.Include) == 0 {
		for i := range mask {
			mask[i] = 1
		}
	}
	for _, p := range r.Exclude {
		p.fill(mask, width, height, scaleX, scaleY, 0)
	}
	return mask
}
