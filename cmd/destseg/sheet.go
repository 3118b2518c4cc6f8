package main

import (
	"image"
	"image/color"
	"image/draw"
	"slices"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/internal/paint"
	"github.com/destseg/destseg/picture"
)

// Layout of a sheet of findings, in pixels.
const (
	sheetMargin = 24 // around everything and between the two columns
	sheetGap    = 6  // between the pictures of a row, and between rows
)

// A sheet shows examples of the test pictures in two columns: the picture, what was
// found, and what is true.
type sheet struct {
	examples []dataset.Sample
	rows     [][3]*picture.RGB // of the examples
}

func newSheet(samples []dataset.Sample) *sheet {
	examples := examplesOf(samples)
	return &sheet{examples, make([][3]*picture.RGB, len(examples))}
}

// add takes a picture if it is one of the examples.
func (s *sheet) add(t destseg.TestedPicture) {
	if i := slices.Index(s.examples, t.Sample); i >= 0 && t.Inspection != nil {
		_, mask := t.Inspection.Regions()
		s.rows[i] = [3]*picture.RGB{t.Picture, paint.Found(t.Picture, t.Inspection, mask), paint.OutlineTruth(t.Picture, t.Mask)}
	}
}

// examplesOf picks the first sample of every kind of defect, and the first good
// ones: as many as make the sum even, at least one.
func examplesOf(samples []dataset.Sample) []dataset.Sample {
	var examples, good []dataset.Sample
	for i, s := range samples {
		switch {
		case !s.Anomalous:
			good = append(good, s)
		case i == 0 || samples[i-1].Defect != s.Defect: // they are sorted
			examples = append(examples, s)
		}
	}
	wanted := 2 - len(examples)%2
	return append(examples, good[:min(wanted, len(good))]...)
}

// image lays out the rows. All examples have been added and have one size.
func (s *sheet) image() image.Image {
	width, height := s.rows[0][0].Width, s.rows[0][0].Height
	columnWidth, rowHeight := 3*width+2*sheetGap, height+sheetGap
	const columns = 2
	lines := (len(s.rows) + columns - 1) / columns
	whole := image.NewRGBA(image.Rect(0, 0,
		columns*(columnWidth+sheetMargin)+sheetMargin,
		lines*rowHeight-sheetGap+2*sheetMargin))
	draw.Draw(whole, whole.Bounds(), image.NewUniform(color.Gray{Y: 236}), image.Point{}, draw.Src)
	for i, row := range s.rows {
		for k, p := range row {
			at := image.Pt(
				sheetMargin+i%columns*(columnWidth+sheetMargin)+k*(width+sheetGap),
				sheetMargin+i/columns*rowHeight)
			draw.Draw(whole, image.Rectangle{at, at.Add(image.Pt(width, height))}, p.Image(), image.Point{}, draw.Src)
		}
	}
	return whole
}
