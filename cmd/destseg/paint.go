package main

import (
	"github.com/destseg/destseg"
	"github.com/destseg/destseg/picture"
)

// Colours of outlines: what is true, and what a detector found.
var (
	truthColour  = [3]uint8{0, 230, 255}
	regionColour = [3]uint8{80, 255, 90}
)

// A brush paints maps over pictures: nothing below low, and paintOpacity from high on.
type brush struct{ low, high float32 }

const paintOpacity = 0.7

// brushOf returns the brush with a detector's scale. Without a threshold it is most of
// what a map can be.
func brushOf(r destseg.Record) brush {
	if r.Threshold == nil {
		return brush{0.1, 1}
	}
	low, high := r.Threshold.HeatScale()
	return brush{low, high}
}

// paint returns an inspected picture with its map painted over it and its regions
// outlined.
func (b brush) paint(p *picture.RGB, in *destseg.Inspection) *picture.RGB {
	painted := picture.Overlay(p, in.Map(in.Width, in.Height), b.low, b.high, paintOpacity)
	_, mask := in.Regions()
	return picture.Outline(painted, mask, regionColour)
}

// outlineTruth returns a picture with the contours of what its mask marks; a nil
// mask marks nothing.
func outlineTruth(p *picture.RGB, mask *picture.Gray) *picture.RGB {
	if mask == nil {
		return p
	}
	return picture.Outline(p, mask.Binary().ResizeNearest(p.Width, p.Height), truthColour)
}
