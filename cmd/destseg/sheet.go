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

// writeSheet writes a picture with one example of every kind among the test
// samples, in two columns: the picture, what was found, and what is true.
func writeSheet(ctx context.Context, d *destseg.Detector, samples []dataset.Sample, path string) error {
	var examples []dataset.Sample
	var paths []string
	shown := make(map[string]bool)
	for _, s := range samples {
		if !shown[s.Defect] {
			shown[s.Defect] = true
			examples = append(examples, s)
			paths = append(paths, s.Path)
		}
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
