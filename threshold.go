package destseg

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrNoPictures is wrapped by the error for a list of pictures that is empty or
// of which none could be inspected.
var ErrNoPictures = errors.New("no pictures to inspect")

// provisional begins the source of a provisional threshold.
const provisional = "provisional: "

// ProvisionalThreshold inspects the good pictures that a detector was trained on
// and returns the largest image score and the largest value of a segmentation map
// at network size. Source says so.
//
// Such a threshold makes a detector usable at once and no more: it promises no
// rate of false alarms, since a detector knows these very pictures, and one odd
// picture among them sets it. The pixel threshold is the higher one; a picture
// just above the image threshold may have no pixel above it.
//
// Pictures that can't be read are left out. If ctx ends, the error is its cause;
// if no picture could be read, it wraps [ErrNoPictures] and the reasons. progress,
// if it is not nil, is called after each picture.
func ProvisionalThreshold(ctx context.Context, d *Detector, good []string, progress func(done, total int)) (Threshold, error) {
	t := Threshold{Image: math.Inf(-1), Pixel: math.Inf(-1)}
	how := d.record.Preprocessing
	var failed []error
	done := 0
	for f := range d.InspectFiles(ctx, good) {
		if err := context.Cause(ctx); err != nil {
			return Threshold{}, err
		}
		if f.Err != nil {
			failed = append(failed, f.Err)
		} else {
			t.Image = max(t.Image, f.Inspection.Score)
			t.Pixel = max(t.Pixel, float64(slices.Max(f.Inspection.Map(how.Width, how.Height))))
		}
		done++
		if progress != nil {
			progress(done, len(good))
		}
	}
	inspected := len(good) - len(failed)
	if inspected == 0 {
		return Threshold{}, fmt.Errorf("%w: %w", ErrNoPictures, errors.Join(failed...))
	}
	// Rounding in the resize may exceed a value of 1.
	t.Image, t.Pixel = min(t.Image, 1), min(t.Pixel, 1)
	pictures := "pictures"
	if inspected == 1 {
		pictures = "picture"
	}
	t.Source = fmt.Sprintf(provisional+"largest score of %d good training %s, which promises no rate of false alarms", inspected, pictures)
	return t, nil
}
