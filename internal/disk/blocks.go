//go:build linux || darwin

package disk

import "math"

// bytesOf multiplies, up to the largest number there is: some file systems claim to
// have no end.
func bytesOf(blocks, size uint64) int64 {
	if size > 0 && blocks > math.MaxInt64/size {
		return math.MaxInt64
	}
	return int64(blocks * size)
}
