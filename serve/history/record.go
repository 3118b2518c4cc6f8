package history

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/jpeg"
	"strings"
	"unicode"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/internal/paint"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/serve/api"
)

// Sizes of the pictures that are kept: the longer side in pixels, at most.
const (
	CopySide      = 1600
	ThumbnailSide = 256
)

const (
	copyQuality      = 90 // of JPEG
	thumbnailQuality = 80
	maxText          = 1000 // bytes of a source or a note
)

// Record keeps an inspection: the answer as it is sent, but for the pictures in it, and a
// copy of the picture. When it returns nil they survive the end of the program. Another
// one of the same ID is an error.
func (h *History) Record(ctx context.Context, in *api.Inspection, p *picture.RGB, result *destseg.Inspection) error {
	if in.ID == "" {
		return errors.New("history: an inspection without an ID")
	}
	// All that takes long comes first, since only one result can be written at a time.
	a := *in
	a.Overlay, a.Mask, a.Map = nil, nil, nil
	a.Source = text(a.Source)
	answer, err := json.Marshal(a)
	if err != nil {
		return err
	}
	inspection, err := result.MarshalBinary()
	if err != nil {
		return err
	}
	p = within(p, CopySide)
	copied, err := encode(p, copyQuality)
	if err != nil {
		return err
	}
	thumbnail, err := encode(painted(p, result), thumbnailQuality)
	if err != nil {
		return err
	}
	area := 0
	for _, found := range a.Regions {
		area += found.Area
	}

	tx, err := h.write.BeginTx(ctx, nil)
	if err != nil {
		return h.failed(err)
	}
	defer tx.Rollback() // after a commit it does nothing
	added, err := tx.ExecContext(ctx, `INSERT INTO result
		(id, time, detector, digest, source, width, height, score, threshold, verdict, regions, area, milliseconds)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		a.ID, a.Time.UnixMicro(), a.Detector.Name, a.Detector.Digest, a.Source, a.Width, a.Height, a.Score, a.Threshold, a.Verdict,
		len(a.Regions), area, a.Milliseconds)
	if err != nil {
		return h.failed(err)
	}
	number, err := added.LastInsertId()
	if err != nil {
		return h.failed(err)
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO picture (number, thumbnail, answer, inspection, copy) VALUES (?, ?, ?, ?, ?)",
		number, thumbnail, string(answer), inspection, copied); err != nil {
		return h.failed(err)
	}
	if err := tx.Commit(); err != nil {
		return h.failed(err)
	}
	h.grow(len(thumbnail) + len(answer) + len(inspection) + len(copied))
	return nil
}

// failed says of an error which history it comes from.
func (h *History) failed(err error) error {
	name := h.path
	if h.InMemory() {
		name = "the history in memory"
	}
	return fmt.Errorf("%s: %w", name, told(err))
}

// painted returns a thumbnail of a picture with its map painted over it.
func painted(p *picture.RGB, in *destseg.Inspection) *picture.RGB {
	return paint.Heat(within(p, ThumbnailSide), in)
}

// within returns a picture whose longer side is no longer than side.
func within(p *picture.RGB, side int) *picture.RGB {
	longer := max(p.Width, p.Height)
	if longer <= side {
		return p
	}
	scaled := func(n int) int { return max(1, (n*side+longer/2)/longer) }
	return p.Resize(scaled(p.Width), scaled(p.Height))
}

func encode(p *picture.RGB, quality int) ([]byte, error) {
	var b bytes.Buffer
	err := jpeg.Encode(&b, p.Image(), &jpeg.Options{Quality: quality})
	return b.Bytes(), err
}

// text makes a text from outside fit to be kept: no control characters but line
// breaks, and not too long.
func text(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}
