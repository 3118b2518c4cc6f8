package metric

import (
	"fmt"
	"math"
)

// checkShape reports whether n values fill width×height pixels.
func checkShape(what string, n, width, height int) error {
	switch {
	case width < 1 || height < 1:
		return fmt.Errorf("%w: size %d×%d; give a width and a height of at least 1", ErrSample, width, height)
	case n > math.MaxInt32:
		return fmt.Errorf("%w: %s of %d pixels; at most %d are supported", ErrSample, what, n, math.MaxInt32)
	case width > n || height > n || int64(width)*int64(height) != int64(n):
		// Both sides are below 2³¹ here, so the product cannot overflow.
		return fmt.Errorf("%w: %s of %d values for %d×%d pixels; give one value per pixel", ErrSample, what, n, width, height)
	}
	return nil
}
