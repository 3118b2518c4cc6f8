package report

import (
	"bytes"
	"encoding/base64"
	"html/template"
	"image/jpeg"
	"slices"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/internal/paint"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/region"
)

const (
	mostShown  = 8   // pictures of each list
	mostNear   = 4   // pictures of a list without mistakes
	longerSide = 512 // of pictures shown, in pixels at most
	quality    = 88  // of their JPEG
)

// A Gallery keeps small copies of the good pictures with the highest scores and the
// defective ones with the lowest, so that memory does not grow with the set. The zero value is empty.
type Gallery struct {
	good, defective []exhibit // the worst first
}

// An exhibit is a picture with what was found on it.
type exhibit struct {
	path, kind     string
	score          float64
	margin         float64 // above the threshold, if there is one
	rejected       bool
	unmarked       bool // whether it is defective and not known where
	width, height  int  // of the picture itself
	plain, painted *picture.RGB
	regions        []region.Region
}

// Add takes the next picture of an evaluation.
func (g *Gallery) Add(t destseg.TestedPicture) {
	if t.Err == nil {
		g.hang(t.Defective, t.Inspection.Score, func() exhibit { return g.exhibit(t) })
	}
}

// hang puts a picture among the worst, if it is one of them.
func (g *Gallery) hang(defective bool, score float64, exhibit func() exhibit) {
	list, worse := &g.good, func(a, b float64) bool { return a > b }
	if defective {
		list, worse = &g.defective, func(a, b float64) bool { return a < b }
	}
	at := len(*list)
	for at > 0 && worse(score, (*list)[at-1].score) {
		at--
	}
	if at == mostShown {
		return
	}
	*list = slices.Insert(*list, at, exhibit())
	*list = (*list)[:min(len(*list), mostShown)]
}

func (g *Gallery) exhibit(t destseg.TestedPicture) exhibit {
	in := t.Inspection
	regions, mask := in.Regions()
	e := exhibit{
		path: t.Sample.Path, kind: t.Sample.Defect, score: in.Score, margin: in.Margin(), rejected: in.Anomalous,
		unmarked: t.Defective && t.Mask == nil, width: in.Width, height: in.Height, plain: small(t.Picture), regions: regions,
	}
	e.painted = paint.OutlineTruth(paint.Found(e.plain, in, mask), t.Mask)
	return e
}

// small returns a picture with its longer side no longer than shown.
func small(p *picture.RGB) *picture.RGB {
	longer := max(p.Width, p.Height)
	if longer <= longerSide {
		return p
	}
	side := func(n int) int { return max(1, (n*longerSide+longer/2)/longer) }
	return p.Resize(side(p.Width), side(p.Height))
}

// embedded returns a picture as an address that holds it.
func embedded(p *picture.RGB) (template.URL, error) {
	var b bytes.Buffer
	b.WriteString("data:image/jpeg;base64,")
	to := base64.NewEncoder(base64.StdEncoding, &b)
	if err := jpeg.Encode(to, p.Image(), &jpeg.Options{Quality: quality}); err != nil {
		return "", err
	}
	if err := to.Close(); err != nil {
		return "", err
	}
	return template.URL(b.String()), nil
}
