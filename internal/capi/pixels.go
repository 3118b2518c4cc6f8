//go:build cgo

package capi

import (
	"fmt"

	"github.com/destseg/destseg/picture"
)

// A layout is how the pixels of a picture lie in memory.
type layout struct {
	width, height int
	stride        int // bytes from row to row; 0: no gap
	step          int // bytes of a pixel
	channels      [3]int
}

// size checks a layout and returns how many bytes it takes, from the first pixel to the
// last. Arithmetic is in 64 bits, where no product of its checked factors overflows.
func (l *layout) size() (int64, error) {
	if l.width < 1 || l.height < 1 {
		return 0, fmt.Errorf("%w: a picture of %d×%d pixels", errArgument, l.width, l.height)
	}
	if l.width > picture.DefaultMaxPixels/l.height {
		return 0, fmt.Errorf("%w: %w: %d×%d pixels, at most %d", errArgument, picture.ErrTooLarge, l.width, l.height, picture.DefaultMaxPixels)
	}
	row := l.width * l.step
	if l.stride == 0 {
		l.stride = row
	}
	const maxStride = 1 << 32
	if l.stride < row || l.stride > maxStride {
		return 0, fmt.Errorf("%w: a stride of %d bytes, a row has %d", errArgument, l.stride, row)
	}
	return int64(l.height-1)*int64(l.stride) + int64(row), nil
}

// rgb copies a picture of a checked layout.
func (l *layout) rgb(pixels []byte) *picture.RGB {
	p := picture.NewRGB(l.width, l.height)
	to := p.Pix
	for y := range l.height {
		for from := pixels[y*l.stride:][:l.width*l.step]; len(from) > 0; from, to = from[l.step:], to[3:] {
			to[0], to[1], to[2] = from[l.channels[0]], from[l.channels[1]], from[l.channels[2]]
		}
	}
	return p
}
