package main

import (
	"context"
	"image"
	"image/color"
	"image/draw"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/picture"
)

// Layout of a sheet of findings, in pixels.
const (
	sheetMargin = 24 // around everything and between the two columns
	sheetGap    = 6  // between the pictures of a row, and between rows
)

// writeSheet writes a picture with examples from the test samples, in two columns:
// the picture, what was found, and what is true.
func writeSheet(ctx context.Context, d *destseg.Detector, samples []dataset.Sample, path string) error {
	examples := examplesOf(samples)
	paths := make([]string, len(examples))
	for i, s := range examples {
		paths[i] = s.Path
	}
	var rows [][3]*picture.RGB
	for file := range d.InspectFiles(ctx, paths) {
		if ctx.Err() != nil {
			return errInterrupted
		}
		if file.Err != nil {
			return file.Err
		}
		truth, err := outlineTruth(file.Picture, examples[len(rows)])
		if err != nil {
			return err
		}
		rows = append(rows, [3]*picture.RGB{file.Picture, overlay(file), truth})
	}
	return picture.WritePNG(path, layOut(rows))
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

// layOut places rows of pictures, all of one size, in two columns.
func layOut(rows [][3]*picture.RGB) image.Image {
	width, height := rows[0][0].Width, rows[0][0].Height
	columnWidth, rowHeight := 3*width+2*sheetGap, height+sheetGap
	const columns = 2
	lines := (len(rows) + columns - 1) / columns
	sheet := image.NewRGBA(image.Rect(0, 0,
		columns*(columnWidth+sheetMargin)+sheetMargin,
		lines*rowHeight-sheetGap+2*sheetMargin))
	draw.Draw(sheet, sheet.Bounds(), image.NewUniform(color.Gray{Y: 236}), image.Point{}, draw.Src)
	for i, row := range rows {
		for k, p := range row {
			at := image.Pt(
				sheetMargin+i%columns*(columnWidth+sheetMargin)+k*(width+sheetGap),
				sheetMargin+i/columns*rowHeight)
			draw.Draw(sheet, image.Rectangle{at, at.Add(image.Pt(width, height))}, p.Image(), image.Point{}, draw.Src)
		}
	}
	return sheet
}
