package page

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/url"
	"strconv"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/region"
	"github.com/destseg/destseg/serve/history"
)

// A resultView is a result as its page shows it.
type resultView struct {
	history.Entry
	Found    Found
	Peak     region.Peak
	PeakSize float64 // of the cross that marks it, in pixels of the picture

	// Low and High are the ends of the map's scale of colours.
	Low, High float32
	Opinion   string // what a mark says, in words
	MayMark   bool

	Query        string // of the list that the result was chosen from; "" or with its question mark
	Newer, Older string // IDs beside it in that list
	Known        bool   // whether its detector is still there
}

// Found are the regions above a pixel threshold.
type Found struct {
	ID        string
	Threshold float64
	Own       float64 // the detector's pixel threshold
	HasOwn    bool
	Regions   []foundRegion
	More      int // regions that are not listed
	Count     int
	Area      int     // of all, in pixels
	Share     float64 // of the picture
	Outline   string  // a path of SVG
}

type foundRegion struct {
	region.Region
	Outline string // a path of SVG
}

// mostRegions is how many regions are listed.
const mostRegions = 20

// found returns the regions of an inspection above a threshold.
func findRegions(id string, in *destseg.Inspection, threshold float64) Found {
	regions, _ := in.RegionsAbove(threshold)
	f := Found{
		ID: id, Threshold: threshold, Own: in.PixelThreshold, HasOwn: in.HasThreshold, Count: len(regions), Outline: outline(regions),
	}
	for i, r := range regions {
		f.Area += r.Area
		if i < mostRegions {
			f.Regions = append(f.Regions, foundRegion{r, border(r.Polygon)})
		}
	}
	f.More = f.Count - len(f.Regions)
	f.Share = float64(f.Area) / (float64(in.Width) * float64(in.Height))
	return f
}

// usualThreshold is where the slider of a detector without a threshold begins.
const usualThreshold = 0.5

// view collects what the page of a result shows.
func (p *Page) view(r *http.Request) (resultView, error) {
	ctx, id := r.Context(), r.PathValue("id")
	e, err := p.History.Get(ctx, id)
	if err != nil {
		return resultView{}, err
	}
	in, err := p.History.Inspection(ctx, id)
	if err != nil {
		return resultView{}, err
	}
	threshold := in.PixelThreshold
	if !in.HasThreshold {
		threshold = usualThreshold
	}
	v := resultView{Entry: e, Found: findRegions(id, in, threshold), Peak: in.Peak(), Opinion: opinion(e), MayMark: p.MayMark(r)}
	v.PeakSize = float64(max(in.Width, in.Height)) / 40
	v.Low, v.High = in.HeatScale()
	if _, err := p.Detectors.Card(e.Detector); err == nil {
		v.Known = true
	}
	filter, values, err := readFilter(r.URL.Query())
	if err != nil {
		return resultView{}, err
	}
	if len(values) > 0 {
		v.Query = "?" + values.Encode()
	}
	v.Newer, v.Older, err = p.History.Neighbours(ctx, id, filter)
	return v, err
}

// result is the page of one result.
func (p *Page) result(r *http.Request) (made, error) {
	v, err := p.view(r)
	if err != nil {
		return made{}, err
	}
	title := v.Source
	if title == "" {
		title = "Result"
	}
	return p.render("result", frame{Title: title, Here: "history"}, v)
}

// viewer is the middle of that page, for a page that shows it in place.
func (p *Page) viewer(r *http.Request) (made, error) {
	v, err := p.view(r)
	if err != nil {
		return made{}, err
	}
	return p.execute("result", "viewer.html", v)
}

// found is the list of regions above a threshold.
func (p *Page) found(r *http.Request) (made, error) {
	text := r.URL.Query().Get("threshold")
	threshold, err := strconv.ParseFloat(text, 64)
	if err != nil || !(threshold >= 0 && threshold <= 1) { // negated, so that NaN fails
		return made{}, failure{http.StatusBadRequest, fmt.Sprintf("The threshold is a number from 0 to 1, not %q.", text)}
	}
	in, err := p.History.Inspection(r.Context(), r.PathValue("id"))
	if err != nil {
		return made{}, err
	}
	return p.execute("result", "found.html", findRegions(r.PathValue("id"), in, threshold))
}

// picture is the copy that the history keeps.
func (p *Page) picture(r *http.Request) (made, error) {
	content, err := p.History.Picture(r.Context(), r.PathValue("id"))
	if err != nil {
		return made{}, err
	}
	return made{"image/jpeg", content, true}, nil
}

func (p *Page) thumbnail(r *http.Request) (made, error) {
	content, err := p.History.Thumbnail(r.Context(), r.PathValue("id"))
	if err != nil {
		return made{}, err
	}
	return made{"image/jpeg", content, true}, nil
}

// heatSide is the longer side of a painted map, in pixels. The map is smooth, so that
// the browser can enlarge it.
const heatSide = 768

// heat is the map in colours, to be laid over the picture: clear where the scale
// begins and full where it ends.
func (p *Page) heat(r *http.Request) (made, error) {
	in, err := p.History.Inspection(r.Context(), r.PathValue("id"))
	if err != nil {
		return made{}, err
	}
	width, height := in.Width, in.Height
	if longer := max(width, height); longer > heatSide {
		width, height = max(1, width*heatSide/longer), max(1, height*heatSide/longer)
	}
	low, high := in.HeatScale()
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, heatImage(in.Map(width, height), width, height, low, high)); err != nil {
		return made{}, err
	}
	return made{"image/png", b.Bytes(), true}, nil
}

// heatImage paints a map of height×width values in 256 colours, the less opaque the
// lower.
func heatImage(values []float32, width, height int, low, high float32) image.Image {
	levels := make([]float32, 256)
	for i := range levels {
		levels[i] = float32(i) / 255
	}
	colours := picture.Colorize(levels, len(levels), 1, 0, 1)
	palette := make(color.Palette, len(levels))
	for i := range palette {
		palette[i] = color.NRGBA{colours.Pix[3*i], colours.Pix[3*i+1], colours.Pix[3*i+2], uint8(i)}
	}
	img := image.NewPaletted(image.Rect(0, 0, width, height), palette)
	for i, v := range values {
		switch {
		case v >= high:
			img.Pix[i] = 255
		case v > low:
			img.Pix[i] = uint8(255*(v-low)/(high-low) + 0.5)
		}
	}
	return img
}

// heatScale is a strip of the colours of heat maps.
func heatScale() ([]byte, error) {
	levels := make([]float32, 256)
	for i := range levels {
		levels[i] = float32(i) / 255
	}
	var b bytes.Buffer
	err := png.Encode(&b, picture.Colorize(levels, len(levels), 1, 0, 1).Image())
	return b.Bytes(), err
}

// mark keeps what a person says of a verdict.
func (p *Page) mark(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return failure{http.StatusBadRequest, "The form can't be read."}
	}
	id := r.PathValue("id")
	if _, err := p.History.Mark(r.Context(), id, history.Opinion(r.PostForm.Get("mark")), r.PostForm.Get("note")); err != nil {
		return err
	}
	if r.Header.Get("Accept") == fragment {
		e, err := p.History.Get(r.Context(), id)
		if err != nil {
			return err
		}
		m, err := p.execute("result", "mark.html", resultView{Entry: e, Opinion: opinion(e), MayMark: true})
		if err == nil {
			m.write(w, http.StatusOK)
		}
		return err
	}
	back := "/history/" + url.PathEscape(id)
	if r.URL.RawQuery != "" {
		back += "?" + r.URL.RawQuery
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
	return nil
}

// fragment is what the script accepts: a part of a page.
const fragment = "text/html-fragment"
