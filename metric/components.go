package metric

import (
	"fmt"
	"math"
)

// Components labels the 8-connected components of a mask of height×width
// pixels in row-major order, where any value but 0 belongs to a component.
// labels has the shape of the mask: 0 where the mask is 0, else the component's
// number from 1 to count, in the order in which a row-by-row scan meets them.
//
// A mask whose length is not width·height, or an empty one, gives an error
// wrapping [ErrSample].
func Components(mask []uint8, width, height int) (labels []int32, count int, err error) {
	if err := checkShape("mask", len(mask), width, height); err != nil {
		return nil, 0, err
	}
	labels = make([]int32, len(mask))
	// parent[l] is an older label of the same component, or l itself.
	// Label 0 stays the background.
	parent := []int32{0}
	for y := range height {
		row := mask[y*width : (y+1)*width]
		cur := labels[y*width : (y+1)*width]
		if y == 0 {
			for x, m := range row {
				switch {
				case m == 0:
				case x > 0 && cur[x-1] != 0:
					cur[x] = cur[x-1]
				default:
					cur[x] = int32(len(parent))
					parent = append(parent, cur[x])
				}
			}
			continue
		}
		up := labels[(y-1)*width : y*width]
		for x, m := range row {
			if m == 0 {
				continue
			}
			// The pixel above touches every other neighbour seen so far, so it
			// alone decides where it is set. Otherwise only the upper right one
			// may bring together two components.
			if up[x] != 0 {
				cur[x] = up[x]
				continue
			}
			var left, right int32
			if x > 0 {
				left = up[x-1]
				if left == 0 {
					left = cur[x-1]
				}
			}
			if x+1 < width {
				right = up[x+1]
			}
			switch {
			case left != 0 && right != 0:
				cur[x] = join(parent, left, right)
			case left != 0:
				cur[x] = left
			case right != 0:
				cur[x] = right
			default:
				cur[x] = int32(len(parent))
				parent = append(parent, cur[x])
			}
		}
	}

	// A parent is never newer than its child, so one pass in order of age turns
	// the forest into final numbers.
	for l := 1; l < len(parent); l++ {
		if int(parent[l]) == l {
			count++
			parent[l] = int32(count)
		} else {
			parent[l] = parent[parent[l]]
		}
	}
	for i, l := range labels {
		if l != 0 {
			labels[i] = parent[l]
		}
	}
	return labels, count, nil
}

// join makes the older of the roots of a and b the root of both and returns it.
func join(parent []int32, a, b int32) int32 {
	a, b = root(parent, a), root(parent, b)
	if a > b {
		a, b = b, a
	}
	parent[b] = a
	return a
}

// root follows the parents of l, halving the path for the next one.
func root(parent []int32, l int32) int32 {
	for parent[l] != l {
		parent[l] = parent[parent[l]]
		l = parent[l]
	}
	return l
}

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
