package synth

import (
	"fmt"
	"math/rand/v2"

	"github.com/destseg/destseg/picture"
)

// Rotation says how a good picture may be turned before it is corrupted: as far as
// the turned picture is still a good one of its category.
type Rotation uint8

// The rotations of the published code.
const (
	NoRotation     Rotation = iota // "none": the position is part of being good
	SlightRotation                 // "slight": by up to 5° either way
	FullRotation                   // "full": by a multiple of 90°, then by up to 5°
)

// maxTilt is the slight rotation's largest angle, in degrees.
const maxTilt = 5

// rotationFill is the grey of corners that rotation lays bare. It is a function
// because an array cannot be a constant.
func rotationFill() [3]uint8 { return [3]uint8{114, 114, 114} }

// RotationOf returns the published rotation for a category of MVTec AD. Pictures of
// any other category are not rotated.
func RotationOf(category string) Rotation {
	switch category {
	case "wood", "zipper", "cable":
		return SlightRotation
	case "bottle", "grid", "hazelnut", "leather", "tile", "carpet", "screw":
		return FullRotation
	}
	return NoRotation
}

// String returns "none", "slight" or "full".
func (r Rotation) String() string {
	switch r {
	case NoRotation:
		return "none"
	case SlightRotation:
		return "slight"
	case FullRotation:
		return "full"
	}
	return fmt.Sprintf("Rotation(%d)", uint8(r))
}

// MarshalText returns the name, for JSON and flags.
func (r Rotation) MarshalText() ([]byte, error) {
	if r > FullRotation {
		return nil, fmt.Errorf("synth: unknown rotation %d", uint8(r))
	}
	return []byte(r.String()), nil
}

// UnmarshalText reads a name that String returns.
func (r *Rotation) UnmarshalText(text []byte) error {
	for known := NoRotation; known <= FullRotation; known++ {
		if string(text) == known.String() {
			*r = known
			return nil
		}
	}
	return fmt.Errorf("synth: unknown rotation %q: it is none, slight or full", text)
}

// apply returns the picture turned at random, or the picture itself. The two turns
// of the full rotation are made one after the other, as published: the second one
// alone resamples a square picture.
func (r Rotation) apply(p *picture.RGB, rng *rand.Rand) *picture.RGB {
	if r == FullRotation {
		if quarters := rng.IntN(4); quarters != 0 {
			p = p.Rotate(float64(90*quarters), rotationFill())
		}
	}
	if r != NoRotation {
		p = p.Rotate(maxTilt*(2*rng.Float64()-1), rotationFill())
	}
	return p
}
