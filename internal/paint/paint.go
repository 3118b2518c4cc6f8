// Package paint shows on a picture what a detector found and what is true, the same
// way wherever the program does so.
package paint

import (
	"slices"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/region"
)

// Colours of outlines: what is true, and what a detector found.
var (
	TruthColour  = [3]uint8{0, 230, 255}
	RegionColour = [3]uint8{80, 255, 90}
)

// Opacity is that of the paint where a map is highest.
const Opacity = 0.7

// Heat returns an inspected picture with its map painted over it, on the scale of
// [destseg.Inspection.HeatScale]. The picture may be a smaller copy of the one inspected.
func Heat(p *picture.RGB, in *destseg.Inspection) *picture.RGB {
	low, high := in.HeatScale()
	return picture.Overlay(p, in.Map(p.Width, p.Height), low, high, Opacity)
}

// Found is [Heat] with the regions outlined, of which mask is that of
// [destseg.Inspection.Regions], or a circle around the peak of an anomalous picture
// without regions.
func Found(p *picture.RGB, in *destseg.Inspection, mask *picture.Gray) *picture.RGB {
	painted := Heat(p, in)
	if in.Anomalous && !slices.Contains(mask.Pix, 255) {
		mask = around(in.Peak(), in.Width, in.Height)
	}
	return picture.Outline(painted, fitted(mask, p), RegionColour)
}

// around marks a disc with a tenth of the shorter side as its diameter.
func around(peak region.Peak, width, height int) *picture.Gray {
	mask := picture.NewGray(width, height)
	radius := max(2, min(width, height)/20)
	for y := max(0, peak.Y-radius); y < min(height, peak.Y+radius+1); y++ {
		for x := max(0, peak.X-radius); x < min(width, peak.X+radius+1); x++ {
			if dx, dy := x-peak.X, y-peak.Y; dx*dx+dy*dy <= radius*radius {
				mask.Pix[y*width+x] = 255
			}
		}
	}
	return mask
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
