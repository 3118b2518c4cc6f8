package metric

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

// TopMean returns the mean of the k largest values, or of all where there are
// no more than k: the image score of DeSTSeg with k = 100. It takes O(n)
// expected time and O(k) memory, and leaves values as they are.
//
// It returns NaN for no values, for k < 1 and where a value is NaN.
func TopMean(values []float32, k int) float64 {
	k = min(k, len(values))
	if k < 1 {
		return math.NaN()
	}
	// Candidates gather in a buffer of 2k; each time it is full the lower half
	// goes and the bar rises, so that soon most values need one comparison.
	full := min(2*k, len(values))
	top := slices.Clone(values[:full])
	for _, v := range top {
		if v != v {
			return math.NaN()
		}
	}
	selectLargest(top, k)
	bar := top[k-1]
	top = top[:k]
	for _, v := range values[full:] {
		if v <= bar {
			continue
		}
		if v != v {
			return math.NaN()
		}
		top = append(top, v)
		if len(top) == full {
			selectLargest(top, k)
			bar = top[k-1]
			top = top[:k]
		}
	}
	selectLargest(top, k)
	var sum float64
	for _, v := range top[:k] {
		sum += float64(v)
	}
	return sum / float64(k)
}

// selectLargest reorders v so that v[:k] holds its k largest values and v[k-1]
// the least of those, 1 ≤ k ≤ len(v). v holds no NaN.
func selectLargest[T cmp.Ordered](v []T, k int) {
	nth := k - 1
	lo, hi := 0, len(v)-1
	// Quickselect halves on average; where it keeps failing to, sort.
	for rounds := 2 * bits.Len(uint(len(v))); lo < hi; rounds-- {
		if rounds == 0 {
			slices.SortFunc(v[lo:hi+1], func(a, b T) int { return cmp.Compare(b, a) })
			return
		}
		pivot := median(v[lo], v[lo+(hi-lo)/2], v[hi])
		i, j := lo, hi
		for i <= j {
			for v[i] > pivot {
				i++
			}
			for v[j] < pivot {
				j--
			}
			if i <= j {
				v[i], v[j] = v[j], v[i]
				i++
				j--
			}
		}
		switch { // v[lo:j+1] ≥ pivot, v[j+1:i] = pivot, v[i:hi+1] ≤ pivot
		case nth <= j:
			hi = j
		case nth >= i:
			lo = i
		default:
			return
		}
	}
}

// median returns the middle one of three values.
func median[T cmp.Ordered](a, b, c T) T {
	return max(min(a, b), min(max(a, b), c))
}
