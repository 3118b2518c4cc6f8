package report

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/calibrate"
	"github.com/destseg/destseg/internal/look"
	"github.com/destseg/destseg/metric"
)

// A page holds what the layout puts on the page, in words.
type page struct {
	Style template.CSS

	Category, Detector, Data string
	Created                  string // when the page was made
	Version                  string

	Cards     []card
	Warnings  []string
	Failed    []string
	Threshold [][2]string
	At        string // the image threshold; "" if there is none
	Histogram template.HTML
	Lists     []list
	Kinds     []kind
	Verdicts  bool // whether there is a threshold
	Figures   []row
	Plots     []figure
	Measured  [][2]string
	Protocol  []string
	Facts     [][2]string
	Scores    []score
}

// A card is a number that sums the evaluation up.
type card struct{ Name, Value, Note string }

// A figure is a plot with its title.
type figure struct {
	Title string
	Plot  template.HTML
	Dot   bool // whether the verdicts are marked in it
}

// A list shows pictures of one kind of mistake.
type list struct {
	Title, Note string
	Pictures    []shown
}

// A shown picture is an exhibit in words.
type shown struct {
	Path, Kind, Size       string
	Score, Margin, Verdict string // the latter two "" without a threshold
	Plain, Painted         template.URL
	Width, Height          int  // of the copy
	Unmarked               bool // whether it is defective and not known where
	Regions                []area
	More                   int // regions that are not listed
}

// An area tells of a region.
type area struct {
	Area, Width, Height, X, Y int
	Peak, Mean                string
}

// A row is one figure of both maps.
type row struct{ Name, Protocol, Segmentation, DeST string }

// A kind sums up the pictures of one kind of defect, or the good ones.
type kind struct {
	Name               string
	Good               bool
	Pictures           int
	Rejected, Range    string
	Segmentation, DeST string // image AUROC
}

// A score is that of one picture.
type score struct{ Path, Kind, Score, Margin, Verdict string }

func (r Report) page() (page, error) {
	e, t := r.Evaluation, r.Record.Threshold
	p := page{
		Style: template.CSS(look.Style + styleText), Category: clean(r.Record.Category), Detector: clean(r.Detector), Data: clean(r.Data),
		Created: time.Now().Format("2006-01-02 15:04 MST"), Version: destseg.Version(),
		Threshold: cleanRows(r.Threshold), Verdicts: t != nil, Facts: cleanRows(r.Facts), Measured: cleanRows(r.measured()),
		Cards: r.cards(), Kinds: r.kinds(), Figures: r.figures(), Scores: r.scores(),
	}
	if t != nil {
		p.At = fmt.Sprintf("%.4f", t.Image)
	}
	for _, f := range e.Failed {
		p.Failed = append(p.Failed, clean(f.Error))
	}
	for _, warning := range slices.Concat(r.Warnings, r.Set.Warnings, e.Warnings) {
		p.Warnings = append(p.Warnings, clean(warning))
	}
	for _, line := range e.Protocol {
		p.Protocol = append(p.Protocol, clean(line))
	}
	var err error
	if p.Histogram, err = histogram(e.Scores, t); err != nil {
		return page{}, err
	}
	if p.Plots, err = r.plots(); err != nil {
		return page{}, err
	}
	p.Lists, err = r.lists()
	return p, err
}

// clean makes a text from outside fit for a page: bytes that are no text and control
// characters become a sign of their own.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}

func cleanRows(rows [][2]string) [][2]string {
	cleaned := make([][2]string, len(rows))
	for i, row := range rows {
		cleaned[i] = [2]string{clean(row[0]), clean(row[1])}
	}
	return cleaned
}

// name returns the path of a picture below the folder of the set.
func (r Report) name(path string) string {
	if below, err := filepath.Rel(r.Set.Root, path); err == nil {
		path = below
	}
	return clean(filepath.ToSlash(path))
}

// undefined stands for numbers that are not defined.
const undefined = "–"

func number(v *float64) string {
	if v == nil {
		return undefined
	}
	return fmt.Sprintf("%.4f", *v)
}

// percent writes a share of a number.
func percent(n, of int) string {
	if of == 0 {
		return undefined
	}
	return fmt.Sprintf("%.1f\u00a0%%", 100*float64(n)/float64(of))
}

func (r Report) cards() []card {
	e := r.Evaluation
	var cards []card
	if t := r.Record.Threshold; t != nil {
		v := destseg.CountVerdicts(e.Scores, t.Image)
		add := func(name string, n, of int) {
			if of > 0 {
				cards = append(cards, card{name, fmt.Sprintf("%d of %d", n, of),
					fmt.Sprintf("%s; of all such pictures at most %.1f\u00a0%%, with %g\u00a0%% confidence",
						percent(n, of), 100*calibrate.AtMost(n, of), 100*calibrate.Confidence)})
			}
		}
		add("good pictures rejected", v.FalseAlarms, v.Good)
		add("defective pictures missed", v.Missed, v.Defective)
	}
	for _, f := range e.Segmentation.Figures() {
		switch f.Key {
		case "image_auroc", "pixel_ap", "aupro":
			if f.Value != nil {
				cards = append(cards, card{f.Name, fmt.Sprintf("%.4f", *f.Value), "segmentation map"})
			}
		}
	}
	return cards
}

func (r Report) figures() []row {
	var rows []row
	for _, f := range r.Evaluation.Rows() {
		protocol := f.Protocol
		if f.Missing != "" {
			protocol = "not defined: " + f.Missing
		}
		rows = append(rows, row{f.Name, protocol, number(f.Segmentation), number(f.DeST)})
	}
	return rows
}

// kinds sums up the good pictures and then each kind of defect.
func (r Report) kinds() []kind {
	groups := map[string][]destseg.PictureScore{}
	var good []destseg.PictureScore
	for _, s := range r.Evaluation.Scores {
		if s.Defective {
			groups[s.Defect] = append(groups[s.Defect], s)
		} else {
			good = append(good, s)
		}
	}
	sum := func(name string, scores []destseg.PictureScore) kind {
		k := kind{Name: clean(name), Pictures: len(scores), Segmentation: undefined, DeST: undefined}
		low, high := math.Inf(1), math.Inf(-1)
		for _, s := range scores {
			low, high = min(low, s.Score), max(high, s.Score)
		}
		k.Range = fmt.Sprintf("%.4f – %.4f", low, high)
		if t := r.Record.Threshold; t != nil {
			v := destseg.CountVerdicts(scores, t.Image)
			n := v.FalseAlarms + v.Defective - v.Missed
			k.Rejected = fmt.Sprintf("%d (%s)", n, percent(n, len(scores)))
		}
		return k
	}
	var kinds []kind
	if len(good) > 0 {
		k := sum("good", good)
		k.Good = true
		kinds = append(kinds, k)
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		k := sum(name, groups[name])
		for _, d := range r.Evaluation.Defects {
			if d.Name == name {
				k.Segmentation, k.DeST = number(d.AUROC), number(d.DeSTAUROC)
			}
		}
		kinds = append(kinds, k)
	}
	return kinds
}

// scores lists all pictures, the highest score first.
func (r Report) scores() []score {
	sorted := slices.SortedStableFunc(slices.Values(r.Evaluation.Scores), func(a, b destseg.PictureScore) int {
		return cmp.Compare(b.Score, a.Score)
	})
	all := make([]score, len(sorted))
	for i, s := range sorted {
		all[i] = score{Path: r.name(s.Path), Kind: clean(s.Defect), Score: fmt.Sprintf("%.4f", s.Score)}
		if t := r.Record.Threshold; t != nil {
			all[i].Margin, all[i].Verdict = verdict(s.Score-t.Image, s.Score > t.Image)
		}
	}
	return all
}

// verdict words a verdict.
func verdict(margin float64, rejected bool) (by, what string) {
	what = "OK"
	if rejected {
		what = "NG"
	}
	return strings.Replace(fmt.Sprintf("%+.4f", margin), "-", "−", 1), what
}

// measured tells of the data set and of how it was measured.
func (r Report) measured() [][2]string {
	e := r.Evaluation
	s := e.Segmentation
	rows := [][2]string{
		{"data set", fmt.Sprintf("%s, layout %s", r.Data, r.Set.Layout)},
		{"test pictures", fmt.Sprintf("%d, of them %d good and %d defective", s.Pictures, s.Pictures-s.DefectivePictures, s.DefectivePictures)},
	}
	if n := len(e.Failed); n > 0 {
		rows = append(rows, [2]string{"not measured", fmt.Sprint(n)})
	}
	rows = append(rows, [2]string{"defects", fmt.Sprintf("instances: %d; %d of %d pixels", s.Instances, s.DefectPixels, s.Pixels)})
	if s.BlindPictures > 0 {
		rows = append(rows, [2]string{"without masks", fmt.Sprintf("%d, in no pixel figure", s.BlindPictures)})
	}
	rows = append(rows, [2]string{"computed by", fmt.Sprintf("%s in %s", e.Engine, e.Precision)},
		[2]string{"time", fmt.Sprintf("%.1f s, %.1f ms a picture, all included", e.Seconds, 1000*e.Seconds/float64(max(e.Pictures, 1)))})
	if r.PeakMemory != "" {
		rows = append(rows, [2]string{"memory", "at most " + r.PeakMemory})
	}
	return rows
}

func (r Report) plots() ([]figure, error) {
	segmentation, dest := r.Evaluation.SegmentationCurves, r.Evaluation.DeSTCurves
	var atROC, atPR *metric.Point
	if t := r.Record.Threshold; t != nil {
		atROC, atPR = operating(destseg.CountVerdicts(r.Evaluation.Scores, t.Image))
	}
	var plots []figure
	for _, f := range []struct {
		title, what string
		draw        func(string, []metric.Point, []metric.Point, *metric.Point) (template.HTML, error)
		a, b        []metric.Point
		dot         *metric.Point
	}{
		{"Pictures: ROC", "image", look.ROC, segmentation.ImageROC, dest.ImageROC, atROC},
		{"Pictures: precision and recall", "image", look.PR, segmentation.ImagePR, dest.ImagePR, atPR},
		{"Pixels: ROC", "pixel", look.ROC, segmentation.PixelROC, dest.PixelROC, nil},
		{"Pixels: precision and recall", "pixel", look.PR, segmentation.PixelPR, dest.PixelPR, nil},
	} {
		drawn, err := f.draw(f.what, f.a, f.b, f.dot)
		if err != nil {
			return nil, err
		}
		if drawn != "" {
			plots = append(plots, figure{f.title, drawn, f.dot != nil})
		}
	}
	return plots, nil
}

// histogram draws how the scores of good and of defective pictures lie, each as shares
// of their own number, since there may be many more of the one.
func histogram(scores []destseg.PictureScore, threshold *destseg.Threshold) (template.HTML, error) {
	good, defective := look.Group{Colour: look.GoodColour}, look.Group{Colour: look.DefectiveColour}
	for _, s := range scores {
		group := &good
		if s.Defective {
			group = &defective
		}
		group.Scores = append(group.Scores, s.Score)
		group.Of++
	}
	var at *float64
	if threshold != nil {
		at = &threshold.Image
	}
	return look.Scores("Histogram of the image scores of good and defective pictures", at, good, defective)
}

// operating returns where the verdicts lie on the image curves; nil if they don't.
func operating(v destseg.Verdicts) (roc, pr *metric.Point) {
	if v.Good == 0 || v.Defective == 0 {
		return nil, nil
	}
	caught := float64(v.Defective - v.Missed)
	recall := caught / float64(v.Defective)
	roc = &metric.Point{X: float64(v.FalseAlarms) / float64(v.Good), Y: recall}
	if rejected := caught + float64(v.FalseAlarms); rejected > 0 {
		pr = &metric.Point{X: recall, Y: caught / rejected}
	}
	return roc, pr
}

// lists shows the worst mistakes or, where there are none, what comes nearest.
func (r Report) lists() ([]list, error) {
	var v destseg.Verdicts
	t := r.Record.Threshold
	if t != nil {
		v = destseg.CountVerdicts(r.Evaluation.Scores, t.Image)
	}
	var lists []list
	for _, side := range []struct {
		exhibits []exhibit
		mistakes int

		title, nearby string
		none          string
	}{
		{r.Gallery.good, v.FalseAlarms, "False alarms", "Good pictures with the highest scores", "No good picture is rejected. These come nearest."},
		{r.Gallery.defective, v.Missed, "Misses", "Defective pictures with the lowest scores", "No defective picture is missed. These come nearest."},
	} {
		l := list{Title: side.nearby}
		chosen := side.exhibits[:min(mostNear, len(side.exhibits))]
		switch {
		case len(chosen) == 0:
			continue
		case t != nil && side.mistakes == 0:
			l.Note = side.none
		case t != nil:
			chosen = side.exhibits[:min(side.mistakes, len(side.exhibits))]
			l.Title = side.title
			l.Note = fmt.Sprintf("All %d, the worst first.", side.mistakes)
			if len(chosen) < side.mistakes {
				l.Note = fmt.Sprintf("The worst %d of %d.", len(chosen), side.mistakes)
			} else if side.mistakes == 1 {
				l.Note = "The only one."
			}
		}
		for _, e := range chosen {
			s, err := r.shown(e)
			if err != nil {
				return nil, err
			}
			l.Pictures = append(l.Pictures, s)
		}
		lists = append(lists, l)
	}
	return lists, nil
}

const mostRegions = 10 // that are listed of a picture

func (r Report) shown(e exhibit) (shown, error) {
	s := shown{
		Path: r.name(e.path), Kind: clean(e.kind), Size: fmt.Sprintf("%d×%d", e.width, e.height),
		Score: fmt.Sprintf("%.4f", e.score), Unmarked: e.unmarked, Width: e.plain.Width, Height: e.plain.Height,
	}
	if r.Record.Threshold != nil {
		s.Margin, s.Verdict = verdict(e.margin, e.rejected)
	}
	for _, region := range e.regions[:min(mostRegions, len(e.regions))] {
		s.Regions = append(s.Regions, area{region.Area, region.Box.Width, region.Box.Height, region.Box.X, region.Box.Y,
			fmt.Sprintf("%.4f", region.Peak.Value), fmt.Sprintf("%.4f", region.Mean)})
	}
	s.More = len(e.regions) - len(s.Regions)
	var err error
	if s.Plain, err = embedded(e.plain); err != nil {
		return shown{}, err
	}
	s.Painted, err = embedded(e.painted)
	return s, err
}
