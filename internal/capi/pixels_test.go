//go:build cgo

package capi

import (
	"errors"
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/destseg/destseg/picture"
)

func TestLayout(t *testing.T) {
	for _, test := range []struct {
		name string
		layout
		want int64 // 0: refused
	}{
		{"no gaps", layout{width: 5, height: 3, step: 3}, 45},
		{"a stride", layout{width: 5, height: 3, stride: 20, step: 3}, 55},
		{"one row", layout{width: 5, height: 1, stride: 1000, step: 1}, 5},
		{"the largest", layout{width: picture.DefaultMaxPixels, height: 1, step: 4}, 4 * picture.DefaultMaxPixels},
		{"too large", layout{width: picture.DefaultMaxPixels, height: 2, step: 1}, 0},
		{"nothing", layout{width: 0, height: 2, step: 1}, 0},
		{"less than nothing", layout{width: -5, height: -3, step: 1}, 0},
		{"a short stride", layout{width: 5, height: 3, stride: 14, step: 3}, 0},
		{"an endless stride", layout{width: 5, height: 3, stride: math.MaxInt, step: 3}, 0},
	} {
		got, err := test.size()
		if got != test.want || (err != nil) != (test.want == 0) || err != nil && !errors.Is(err, errArgument) {
			t.Errorf("%s: %d, %v; want %d", test.name, got, err, test.want)
		}
	}
	// Against image.NRGBA, which has strides and channels of its own.
	img := image.NewNRGBA(image.Rect(0, 0, 9, 5))
	for i := range img.Pix {
		img.Pix[i] = uint8(rand.Uint32())
	}
	part := img.SubImage(image.Rect(2, 1, 7, 5)).(*image.NRGBA)
	l := layout{width: 5, height: 4, stride: part.Stride, step: 4, channels: [3]int{0, 1, 2}}
	size, err := l.size()
	if err != nil || size != 3*9*4+5*4 {
		t.Errorf("size %d, %v", size, err)
	}
	if got, want := l.rgb(part.Pix), picture.FromImage(part); !slices.Equal(got.Pix, want.Pix) {
		t.Errorf("pixels %v, want %v", got.Pix, want.Pix)
	}
}
