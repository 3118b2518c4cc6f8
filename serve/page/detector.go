package page

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/internal/look"
	"github.com/destseg/destseg/serve/api"
	"github.com/destseg/destseg/serve/history"
)

// detectors is the list of detectors.
func (p *Page) detectors(r *http.Request) (made, error) {
	cards, err := p.Detectors.Cards()
	if err != nil {
		return made{}, err
	}
	return p.render("detectors", frame{Title: "Detectors", Here: "detectors"}, cards)
}

// A cardView is the page of a detector.
type cardView struct {
	api.Card
	Numbers   []number
	Threshold [][2]string // labels and texts
	Made      [][2]string
	Figures   []destseg.Row
	Protocol  []string
	Defects   []destseg.DefectType
	Plots     []plot

	// What the history knows of it.
	Recent    int // how many of its latest results are drawn
	OK, NG    int // of these
	Histogram template.HTML
	Tally     history.Tally
	Marked    int
}

// A number sums something up.
type number struct{ Name, Value, Note string }

// A plot has a title.
type plot struct {
	Title string
	Plot  template.HTML
}

// recentResults is how many scores the page of a detector draws.
const recentResults = 1000

// detector is the page of one.
func (p *Page) detector(r *http.Request) (made, error) {
	name := r.PathValue("name")
	card, err := p.Detectors.Card(name)
	if err != nil {
		return made{}, err
	}
	v := cardView{Card: card}
	if len(card.Record) > 0 {
		var record destseg.Record
		if err := json.Unmarshal(card.Record, &record); err != nil {
			return made{}, err
		}
		if err := p.describe(&v, record); err != nil {
			return made{}, err
		}
	}
	if err := p.lookBack(r, &v); err != nil {
		return made{}, err
	}
	return p.render("detector", frame{Title: name, Here: "detectors"}, v)
}

// describe tells what is in a detector's record.
func (p *Page) describe(v *cardView, record destseg.Record) error {
	v.Made, v.Threshold = p.Facts(record)
	v.Numbers = append(v.Numbers, number{"trained on", group(record.Pictures.Count), "good pictures"})
	if t := record.Threshold; t != nil {
		note := "pictures above it are rejected"
		if t.Provisional() {
			note = "provisional: it promises no rate of false alarms"
		}
		v.Numbers = append(v.Numbers, number{"image threshold", score(t.Image), note}, number{"pixel threshold", score(t.Pixel), "regions are above it"})
		if k := t.Calibration; k != nil && !k.Trained {
			share := func(name string, s *destseg.Share, limit string) {
				if s != nil {
					v.Numbers = append(v.Numbers, number{name, fmt.Sprintf("%d of %d", s.Count, s.Of),
						fmt.Sprintf("of all such pictures %s %.1f\u00a0%%, with 95\u00a0%% confidence", limit, 100*s.Bound)})
				}
			}
			share("good pictures rejected", &k.FalseAlarms, "at most")
			share("labelled defects caught", k.Caught, "at least")
			share("synthetic defects caught", k.Synthetic, "at least")
		}
	}
	m := record.Metrics
	if m == nil {
		return nil
	}
	v.Figures, v.Protocol, v.Defects = m.Rows(), m.Protocol, m.Defects
	for _, f := range v.Figures {
		switch f.Key {
		case "image_auroc", "pixel_ap", "aupro":
			if f.Segmentation != nil {
				v.Numbers = append(v.Numbers, number{f.Name, score(f.Segmentation), count(m.Pictures, "test picture")})
			}
		}
	}
	a, b := m.SegmentationCurves, m.DeSTCurves
	for _, drawn := range []struct {
		title string
		draw  func() (template.HTML, error)
	}{
		{"Pictures: ROC", func() (template.HTML, error) { return look.ROC("image", a.ImageROC, b.ImageROC, nil) }},
		{"Pictures: precision and recall", func() (template.HTML, error) { return look.PR("image", a.ImagePR, b.ImagePR, nil) }},
		{"Pixels: ROC", func() (template.HTML, error) { return look.ROC("pixel", a.PixelROC, b.PixelROC, nil) }},
		{"Pixels: precision and recall", func() (template.HTML, error) { return look.PR("pixel", a.PixelPR, b.PixelPR, nil) }},
	} {
		svg, err := drawn.draw()
		if err != nil {
			return err
		}
		if svg != "" {
			v.Plots = append(v.Plots, plot{drawn.title, svg})
		}
	}
	return nil
}

// lookBack tells what a detector's latest results were.
func (p *Page) lookBack(r *http.Request, v *cardView) error {
	recent, err := p.History.List(r.Context(), history.Filter{Detector: v.Name}, "", recentResults)
	if err != nil {
		return err
	}
	if v.Recent = len(recent.Entries); v.Recent == 0 {
		return nil
	}
	calm, alarming := look.Group{Colour: look.GoodColour, Of: v.Recent}, look.Group{Colour: look.DefectiveColour, Of: v.Recent}
	for _, e := range recent.Entries {
		switch e.Verdict {
		case api.NG:
			alarming.Scores = append(alarming.Scores, e.Score)
		default:
			calm.Scores = append(calm.Scores, e.Score)
		}
	}
	v.OK, v.NG = len(calm.Scores), len(alarming.Scores)
	if v.Histogram, err = look.Scores("Histogram of the scores of the latest results", v.Card.Threshold, calm, alarming); err != nil {
		return err
	}
	if v.Tally, err = p.History.Tally(r.Context(), v.Name); err != nil {
		return err
	}
	v.Marked = v.Tally.Right + v.Tally.FalseAlarms + v.Tally.Missed
	return nil
}
