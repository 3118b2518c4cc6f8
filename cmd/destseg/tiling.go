package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/picture"
)

// tiling says in what pieces large pictures are seen, as far as it is said.
type tiling struct {
	tile    *int // pixels of the picture across; 0: whole pictures
	overlap *int
}

func (t *tiling) flags(f *pflag.FlagSet, usage string) {
	count := func(most int) func(string) (int, error) {
		return func(s string) (int, error) {
			n, err := strconv.Atoi(s)
			if err != nil || n < 0 || n > most {
				return 0, fmt.Errorf("expected a number of pixels up to %d", most)
			}
			return n, nil
		}
	}
	optionalFlag(f, &t.tile, "N", "tile", usage, count(destseg.MaxTile))
	optionalFlag(f, &t.overlap, "N", "overlap", "pixels by which tiles overlap (default: a quarter of a tile)", count(destseg.MaxTile/2))
}

// check refuses flags that contradict each other, or the fit that holds without them.
func (t tiling) check(fit picture.Fit) error {
	switch tiles := fit == picture.Tiles; {
	case t.tile != nil && *t.tile > 0 && fit == picture.Pad:
		return wrongUsage("--tile does not go with padding: tiles keep the shape as it is")
	case t.overlap == nil:
	case t.tile == nil && !tiles || t.tile != nil && *t.tile == 0:
		return wrongUsage("--overlap without tiles; --tile sets their size")
	case t.tile != nil && *t.overlap > *t.tile/2:
		return wrongUsage("--overlap %d is more than half of a tile of %d pixels", *t.overlap, *t.tile)
	}
	return nil
}

// change changes how a detector sees pictures.
func (t tiling) change(r *destseg.Record) {
	p := &r.Preprocessing
	switch {
	case t.tile != nil && *t.tile > 0:
		p.Fit, p.Tile, p.Overlap = picture.Tiles, *t.tile, *t.tile/4
	case t.tile != nil && p.Fit == picture.Tiles:
		p.Fit, p.Tile, p.Overlap = picture.Stretch, 0, 0
	}
	if t.overlap != nil {
		p.Overlap = *t.overlap
	}
}

// open opens a detector that sees pictures so and is changed otherwise too. before is
// how it saw them.
func (t tiling) open(how computing, path string, change func(*destseg.Record)) (d *destseg.Detector, before destseg.Preprocessing, err error) {
	if err := t.check(picture.Tiles); err != nil { // whatever the detector is
		return nil, before, err
	}
	d, err = how.open(path, destseg.WithRecord(func(r *destseg.Record) {
		before = r.Preprocessing
		change(r)
		t.change(r)
	}))
	if err != nil {
		return nil, before, err
	}
	if err := t.check(before.Fit); err != nil {
		d.Close()
		return nil, before, err
	}
	return d, before, nil
}

func fitFlag(f *pflag.FlagSet, to *picture.Fit) {
	parse := func(s string) (picture.Fit, error) {
		for _, fit := range []picture.Fit{picture.Stretch, picture.Pad} {
			if s == fit.String() {
				return fit, nil
			}
		}
		return 0, errors.New("expected stretch or pad")
	}
	f.Var(value[picture.Fit]{to, "KIND", parse, picture.Fit.String}, "fit",
		"of pictures of another shape: stretch them, or pad: keep their shape")
}

// fitRow tells in a list how a detector sees pictures.
func fitRow(p destseg.Preprocessing) [2]string {
	text := pixels(size{p.Width, p.Height})
	switch p.Fit {
	case picture.Pad:
		text += ", pictures keep their shape"
	case picture.Tiles:
		text += fmt.Sprintf(", tiles of %d pixels across that overlap by %d", p.Tile, p.Overlap)
		if scale := float64(p.Width) / float64(p.Tile); math.Abs(scale-1) > 1e-9 {
			text += fmt.Sprintf(", at %.3g of their size", scale)
		}
	}
	return [2]string{"network size", text}
}
