package picture

import (
	"fmt"
	"math"
)

// A Fit says how pictures of any size come before networks that see one size.
type Fit uint8

const (
	Stretch Fit = iota // "stretch": resized to the networks' size, whatever their shape
	Pad                // "pad": resized to fit in, with their shape kept; the rest is filled
	Tiles              // "tiles": seen in pieces, at one scale, with their shape kept
)

// String returns "stretch", "pad" or "tiles".
func (f Fit) String() string {
	switch f {
	case Stretch:
		return "stretch"
	case Pad:
		return "pad"
	case Tiles:
		return "tiles"
	}
	return fmt.Sprintf("Fit(%d)", uint8(f))
}

// MarshalText returns the name, for JSON and flags.
func (f Fit) MarshalText() ([]byte, error) {
	if f > Tiles {
		return nil, fmt.Errorf("picture: unknown fit %d", uint8(f))
	}
	return []byte(f.String()), nil
}

// UnmarshalText reads a name that String returns.
func (f *Fit) UnmarshalText(text []byte) error {
	for known := Stretch; known <= Tiles; known++ {
		if string(text) == known.String() {
			*f = known
			return nil
		}
	}
	return fmt.Errorf("picture: unknown fit %q: it is stretch, pad or tiles", text)
}

// Scaled returns the size to which a picture of width×height pixels is resized for
// networks that see pictures of netWidth×netHeight: for [Stretch] that size, for
// [Pad] the largest of the picture's shape in it, and for [Tiles] that at which a piece
// of tile pixels across becomes as wide as the networks see. No side is less than 1.
func (f Fit) Scaled(width, height, netWidth, netHeight, tile int) (int, int) {
	scale := 0.0
	switch f {
	case Stretch:
		return netWidth, netHeight
	case Pad:
		scale = min(float64(netWidth)/float64(width), float64(netHeight)/float64(height))
	case Tiles:
		scale = float64(netWidth) / float64(tile)
	}
	side := func(n int) int { return max(1, int(math.Round(scale*float64(n)))) }
	return side(width), side(height)
}
