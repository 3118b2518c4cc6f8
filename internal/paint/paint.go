// Package paint shows on a picture what a detector found and what is true, the same
// way wherever the program does so.
package paint

import (
	"github.com/destseg/destseg"
	"github.com/destseg/destseg/picture"
)

// Colours of outlines: what is true, and what a detector found.
var (
	TruthColour  = [3]uint8{0, 230, 255}
	RegionColour = [3]uint8{80, 255, 90}
)

// Opacity is that of the paint where a map is highest.
const Opacity = 0.7

// A Brush paints maps over pictures: nothing below Low, and with [Opacity] from High on.
type Brush struct{ Low, High float32 }

// BrushOf returns the brush with a detector's scale. Without a threshold it is most of
// what a map can be.
func BrushOf(r destseg.Record) Brush {
	if r.Threshold == nil {
		return Brush{0.1, 1}
	}
	low, high := r.Threshold.HeatScale()
	return Brush{low, high}
}

// Paint returns an inspected picture with its map painted over it and its regions
// outlined. The picture may be a smaller copy of the one inspected.
func (b Brush) Paint(p *picture.RGB, in *destseg.Inspection) *picture.RGB {
	painted := picture.Overlay(p, in.Map(p.Width, p.Height), b.Low, b.High, Opacity)
	_, mask := in.Regions()
	return picture.Outline(painted, fitted(mask, p), RegionColour)
}

// OutlineTruth returns a picture with the contours of what its mask marks; a nil
// mask marks nothing.
func OutlineTruth(p *picture.RGB, mask *picture.Gray) *picture.RGB {
	if mask == nil {
		return p
	}
	return picture.Outline(p, fitted(mask.Binary(), p), TruthColour)
}

// fitted brings a mask to a picture's size. On a smaller one a pixel is marked if
// any part of it is, lest small marks vanish.
func fitted(mask *picture.Gray, p *picture.RGB) *picture.Gray {
	switch {
	case mask.Width == p.Width && mask.Height == p.Height:
		return mask
	case mask.Width > p.Width && mask.Height > p.Height:
		return mask.Resize(p.Width, p.Height)
	}
	return mask.ResizeNearest(p.Width, p.Height)
}
