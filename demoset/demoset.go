// Package demoset draws a small inspection data set, so that a detector can be trained and measured
// without a single file from outside.
//
// Two kinds of part are drawn: a machined aluminium flange under two soft boxes and a piece of woven
// cloth under a raking light. Good pictures vary as those of a production line do, in position, angle,
// light, tool marks or yarn, and grain. Every defect changes the part itself and is then seen through the
// same light: a scratch is a groove along a Bézier curve, a dent bends the surface's normals, a stain
// filters the light in a smooth blob, a missing feature is left out of the drawing. None is a blended
// texture under a noise mask, which is what training corrupts pictures with, so the figures measured on
// this set say something about defects never seen in training.
//
// A mask marks the pixels at which the defective part looks different from the same part without the
// defect, grain aside, and the narrow gaps between them, as the dark line across a dent or the threads beside a
// missing one. Everything follows from the seed; between processor architectures, whose rounding differs, a
// few pixels may differ by one step.
package demoset

import (
	"fmt"
	"image"
	"math/rand/v2"
	"slices"
)

// A Kind is a kind of part.
type Kind int

// The kinds of part.
const (
	Machined Kind = iota // turned aluminium flange with a bore and six bolt holes
	Woven                // plain weave of two yarns
)

// Kinds returns every kind.
func Kinds() []Kind { return []Kind{Machined, Woven} }

// String returns the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case Machined:
		return "machined"
	case Woven:
		return "woven"
	}
	return fmt.Sprintf("Kind(%d)", int(k))
}

// Defects returns the defects that can be drawn on this kind, None not among them.
func (k Kind) Defects() []Defect {
	switch k {
	case Machined:
		return []Defect{Scratch, Dent, Stain, MissingHole, Chip, Burr}
	case Woven:
		return []Defect{Stain, MissingThread, Misweave, Tear, ForeignFibre}
	}
	return nil
}

// A Defect is what is wrong with a part.
type Defect int

// The defects. Stain occurs on both kinds, the others on one.
const (
	None          Defect = iota // a good part
	Stain                       // oil, tarnish or ink in a smooth blob, often with a darker edge
	Scratch                     // a groove with a lit and a dark flank
	Dent                        // a dimple with a raised rim
	MissingHole                 // a bolt hole not drilled, or only spotted
	Chip                        // a piece broken off an edge
	Burr                        // a sliver left standing at the edge of a hole
	MissingThread               // a thread that is absent over part of its length
	Misweave                    // a thread that floats over or under neighbours it should cross
	Tear                        // threads torn apart around a hole
	ForeignFibre                // a fibre of another colour lying on the cloth
)

// String returns the defect's name as the data set's folders carry it; None is "good".
func (d Defect) String() string {
	switch d {
	case None:
		return "good"
	case Stain:
		return "stain"
	case Scratch:
		return "scratch"
	case Dent:
		return "dent"
	case MissingHole:
		return "missing_hole"
	case Chip:
		return "chip"
	case Burr:
		return "burr"
	case MissingThread:
		return "missing_thread"
	case Misweave:
		return "misweave"
	case Tear:
		return "tear"
	case ForeignFibre:
		return "foreign_fibre"
	}
	return fmt.Sprintf("Defect(%d)", int(d))
}

// Sizes of a picture's side in pixels.
const (
	DefaultSize = 256
	MinSize     = 64   // below it fine defects fall between the pixels
	MaxSize     = 4096 // a bound for the sake of memory
)

// Streams of random numbers within one picture. They are separate so that the same seed gives the same
// part and the same grain with and without a defect.
const (
	streamPart = iota + 1
	streamDefect
	streamGrain
)

// A part renders itself in linear light.
type part interface {
	// render draws the pixels of box.
	render(f *frame, box image.Rectangle)
	// spoil returns the part with a defect, and the smallest rectangle known to hold every change, in
	// parts of the picture's side. Severity runs from 0, subtle, to 1, obvious.
	spoil(rng *rand.Rand, defect Defect, severity float64) (part, rectangle)
	// gap is the widest unchanged gap, in parts of the picture's side, that the mask of a defect closes.
	gap() float64
}

// Draw draws one picture of size×size pixels and the mask of its defect, 255 where the defect shows and
// 0 elsewhere (all 0 for None). The same seed gives the same part in the same light with the same grain
// whatever the defect.
//
// Draw panics if the kind is unknown, if the defect is not one of the kind's, or if the size is outside
// MinSize to MaxSize.
func Draw(kind Kind, seed uint64, defect Defect, size int) (*image.RGBA, *image.Gray) {
	if err := check(kind, size); err != nil {
		panic(err)
	}
	if defect != None && !slices.Contains(kind.Defects(), defect) {
		panic(fmt.Sprintf("demoset: a %v part has no defect %v", kind, defect))
	}
	p := newPart(kind, seed)
	clean := newFrame(size)
	p.render(clean, clean.bounds())
	good := clean.develop()
	grain := stream(seed, streamGrain)
	if defect == None {
		return good.print(grain), image.NewGray(image.Rect(0, 0, size, size))
	}

	rng := stream(seed, streamDefect)
	gap := int(p.gap()*float64(size) + 0.5)
	least := max(4, size*size/2000)
	// A faint defect can fall where the light hides it. It is then drawn anew, each time stronger.
	for severity := rng.Float64(); ; severity += (1 - severity) / 3 {
		bad, where := p.spoil(rng, defect, severity)
		spoiled := clean.clone()
		bad.render(spoiled, where.pixels(size))
		picture := spoiled.develop()
		if mask, visible := difference(good, picture, gap); visible >= least {
			return picture.print(grain), mask
		}
	}
}

func newPart(kind Kind, seed uint64) part {
	rng := stream(seed, streamPart)
	if kind == Machined {
		return newFlange(rng)
	}
	return newCloth(rng)
}

func stream(seed, which uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, which)) }

// check refuses what Draw and Write cannot draw.
func check(kind Kind, size int) error {
	if kind != Machined && kind != Woven {
		return fmt.Errorf("demoset: unknown kind of part %v: choose one of %v", kind, Kinds())
	}
	if size < MinSize || size > MaxSize {
		return fmt.Errorf("demoset: picture size %d: choose one from %d to %d", size, MinSize, MaxSize)
	}
	return nil
}
