//go:build linux || darwin

package disk

import (
	"math"
	"testing"
)

func TestBytesOf(t *testing.T) {
	for _, test := range []struct {
		blocks, size uint64
		want         int64
	}{
		{0, 4096, 0},
		{3, 4096, 12288},
		{3, 0, 0},
		{math.MaxUint64, 4096, math.MaxInt64},
		{1 << 51, 4096, math.MaxInt64},
	} {
		if got := bytesOf(test.blocks, test.size); got != test.want {
			t.Errorf("%d blocks of %d: %d bytes, want %d", test.blocks, test.size, got, test.want)
		}
	}
}
