package synth

import (
	"errors"

	"github.com/destseg/destseg/picture"
)

// Layout of a contact sheet, in pixels.
const (
	sheetMargin = 24 // around everything and between the columns
	sheetGap    = 8  // between the pictures of a sample, and between rows
	sheetPaper  = 236
)

// Sheet returns a contact sheet of samples 0 to n−1 for a person to judge, in two
// columns if there are more than three: of every sample the clean picture, the
// corrupted one and the mask. The good pictures, of the settings' size, take turns.
func (g *Generator) Sheet(good []*picture.RGB, n int) (*picture.RGB, error) {
	if n <= 0 || len(good) == 0 {
		return nil, errors.New("synth: a contact sheet needs a good picture and a sample")
	}
	w, h := g.settings.Width, g.settings.Height
	columns := 1
	if n > 3 {
		columns = 2
	}
	rows := (n + columns - 1) / columns
	sampleWidth := 3*w + 2*sheetGap
	sheet := picture.NewRGB(
		columns*(sampleWidth+sheetMargin)+sheetMargin,
		rows*(h+sheetGap)-sheetGap+2*sheetMargin)
	for i := range sheet.Pix {
		sheet.Pix[i] = sheetPaper
	}

	sc := g.scratch.Get().(*scratch)
	defer g.scratch.Put(sc)
	for i := range n {
		if err := g.draw(sc, uint64(i), good[i%len(good)]); err != nil {
			return nil, err
		}
		x := sheetMargin + i%columns*(sampleWidth+sheetMargin)
		y := sheetMargin + i/columns*(h+sheetGap)
		place(sheet, sc.clean, x, y)
		place(sheet, g.corrupted(sc), x+w+sheetGap, y)
		mask := picture.NewRGB(w, h)
		for k, m := range sc.mask.mask {
			v := 255 * m
			mask.Pix[3*k], mask.Pix[3*k+1], mask.Pix[3*k+2] = v, v, v
		}
		place(sheet, mask, x+2*(w+sheetGap), y)
	}
	return sheet, nil
}

// corrupted returns the sample in the making as a picture, rounded to bytes.
func (g *Generator) corrupted(sc *scratch) *picture.RGB {
	p := picture.NewRGB(sc.clean.Width, sc.clean.Height)
	copy(p.Pix, sc.clean.Pix)
	for i, m := range sc.mask.mask {
		if m == 0 {
			continue
		}
		for k := 3 * i; k < 3*i+3; k++ {
			blended := (1-sc.opacity)*float32(p.Pix[k]) + sc.opacity*float32(sc.texture.Pix[k])
			p.Pix[k] = uint8(blended + 0.5)
		}
	}
	return p
}

// place copies a picture to where its upper left corner shall be.
func place(sheet, p *picture.RGB, x, y int) {
	for row := range p.Height {
		copy(sheet.Pix[3*((y+row)*sheet.Width+x):], p.Pix[3*row*p.Width:3*(row+1)*p.Width])
	}
}
