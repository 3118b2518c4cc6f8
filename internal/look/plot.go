package look

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/destseg/destseg/metric"
)

// Plots are drawn in colours that stand for those of the style sheet, which follow
// the reader's choice of light or dark.
var (
	inkColour    = color.RGBA{0x0a, 0x0b, 1, 255}
	lineColour   = color.RGBA{0x0a, 0x0b, 2, 255}
	firstColour  = color.RGBA{0x0a, 0x0b, 3, 255}
	secondColour = color.RGBA{0x0a, 0x0b, 4, 255}
	// GoodColour and DefectiveColour are those of the bars of [Scores].
	GoodColour      = color.RGBA{0x0a, 0x0b, 5, 255}
	DefectiveColour = color.RGBA{0x0a, 0x0b, 6, 255}

	themed = strings.NewReplacer(
		"#0A0B01", "var(--muted)", "#0A0B02", "var(--line)", "#0A0B03", "var(--first)",
		"#0A0B04", "var(--second)", "#0A0B05", "var(--good-bar)", "#0A0B06", "var(--defective-bar)")
)

// Size of a plot. The page scales it; letters look right where a point becomes a
// pixel or one and a half.
const (
	plotWidth  vg.Length = 360
	plotHeight vg.Length = 250
)

// newPlot returns an empty plot in the style of the page.
func newPlot(x, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	letters := font.Font{Typeface: "Liberation", Variant: "Sans", Size: 10}
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font, axis.Label.TextStyle.Color = letters, inkColour
		axis.Label.Padding = 4
		axis.Tick.Label.Font, axis.Tick.Label.Color = letters, inkColour
		axis.Tick.Length, axis.Tick.LineStyle.Color = 3, lineColour
		axis.LineStyle.Color = lineColour
		axis.Padding = 0
	}
	p.X.Label.Text, p.Y.Label.Text = x, y
	p.X.Tick.Label.YAlign = text.YTop
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = lineColour, lineColour
	p.Add(grid)
	return p
}

// svg returns a plot for a page; the label tells what it shows to who can't see it.
func svg(p *plot.Plot, label string) (template.HTML, error) {
	canvas := vgsvg.New(plotWidth, plotHeight)
	// Room for the half of a tick's label that hangs over.
	p.Draw(draw.Crop(draw.New(canvas), 2, -12, 2, -8))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return "", err
	}
	// The page has its own opening tag, without the size in points.
	_, drawing, ok := strings.Cut(b.String(), "<svg")
	if ok {
		_, drawing, ok = strings.Cut(drawing, ">")
	}
	if !ok {
		return "", errors.New("report: the plot is no SVG")
	}
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`,
		int(plotWidth), int(plotHeight), template.HTMLEscapeString(label)) + themed.Replace(attributes(drawing))), nil
}

var (
	inlineStyle = regexp.MustCompile(`(?:^|\s)style="([^"]*)"`)
	declaration = regexp.MustCompile(`\s*([a-z-]+)\s*:\s*([^;]+);?`)
)

// attributes writes styles as attributes of their own, since a page whose policy allows
// no inline styles shows none.
func attributes(drawing string) string {
	return inlineStyle.ReplaceAllStringFunc(drawing, func(style string) string {
		declarations := inlineStyle.FindStringSubmatch(style)[1]
		return " " + strings.TrimSpace(declaration.ReplaceAllString(declarations, `$1="$2" `))
	})
}

// scoreTicks are those of an axis from one twentieth to another, at most 8.
func scoreTicks(low, high float64) plot.ConstantTicks {
	from, to := int(math.Round(20*low)), int(math.Round(20*high))
	step := 1
	for (to-from)/step > 7 {
		step *= 2 // 0.05, 0.1, 0.2
	}
	var ticks plot.ConstantTicks
	for i := (from + step - 1) / step * step; i <= to; i += step {
		ticks = append(ticks, plot.Tick{Value: float64(i) / 20, Label: strconv.FormatFloat(float64(i)/20, 'f', -1, 64)})
	}
	return ticks
}

// percentTicks are those of an axis from 0 to a number of percent, at most 6.
func percentTicks(most float64) plot.ConstantTicks {
	step := 20.0
	for _, finer := range []float64{10, 5, 2, 1, 0.5, 0.2, 0.1} {
		if most/finer > 5 {
			break
		}
		step = finer
	}
	var ticks plot.ConstantTicks
	for i := 0; float64(i)*step <= most; i++ {
		ticks = append(ticks, plot.Tick{Value: float64(i) * step, Label: strconv.FormatFloat(float64(i)*step, 'g', 3, 64)})
	}
	return ticks
}

// fifths are the ticks of an axis from 0 to 1.
func fifths() plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for i := range 6 {
		ticks = append(ticks, plot.Tick{Value: float64(i) / 5, Label: fmt.Sprintf("%.1f", float64(i)/5)})
	}
	return ticks
}

// A curve is one line of a plot.
type curve struct {
	points []metric.Point
	colour color.Color
	stairs bool // from each point up or down and then on, not straight
}

// plotCurves draws curves from 0 to 1, the last on top, and a dot unless it is nil.
func plotCurves(x, y, label string, dot *metric.Point, curves ...curve) (template.HTML, error) {
	p := newPlot(x, y)
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
	p.X.Tick.Marker, p.Y.Tick.Marker = fifths(), fifths()
	for _, c := range curves {
		xys := make(plotter.XYs, len(c.points))
		for i, point := range c.points {
			xys[i] = plotter.XY(point)
		}
		line, err := plotter.NewLine(xys)
		if err != nil {
			return "", err
		}
		line.Width, line.Color = 1.75, c.colour
		if c.stairs {
			line.StepStyle = plotter.PreStep
		}
		p.Add(line)
	}
	if dot != nil {
		dots, err := plotter.NewScatter(plotter.XYs{plotter.XY(*dot)})
		if err != nil {
			return "", err
		}
		dots.GlyphStyle = draw.GlyphStyle{Color: firstColour, Radius: 4, Shape: draw.CircleGlyph{}}
		p.Add(dots)
	}
	return svg(p, label)
}

// ROC draws a curve of each map, and a dot unless it is nil; "" if it is not defined.
func ROC(what string, segmentation, dest []metric.Point, dot *metric.Point) (template.HTML, error) {
	if len(segmentation) == 0 || len(dest) == 0 {
		return "", nil
	}
	return plotCurves("false positive rate", "recall", what+" ROC curves of both maps", dot,
		curve{points: dest, colour: secondColour}, curve{points: segmentation, colour: firstColour})
}

// PR draws a curve of each map, in the steps whose area is the AP, and a dot unless it
// is nil; "" if it is not defined.
func PR(what string, segmentation, dest []metric.Point, dot *metric.Point) (template.HTML, error) {
	if len(segmentation) == 0 || len(dest) == 0 {
		return "", nil
	}
	fromZero := func(points []metric.Point) []metric.Point {
		return slices.Insert(slices.Clone(points), 0, metric.Point{X: 0, Y: points[0].Y})
	}
	return plotCurves("recall", "precision", what+" precision-recall curves of both maps", dot,
		curve{fromZero(dest), secondColour, true}, curve{fromZero(segmentation), firstColour, true})
}

const histogramBins = 30

// A Group is the scores of one kind of picture, and the colour of their bars.
type Group struct {
	Colour color.Color
	Scores []float64
	Of     int // number of pictures that the bars are shares of
}

// Scores draws how the scores of groups lie, the later groups over the earlier, with a
// line at the threshold unless it is nil. There is at least one score.
func Scores(label string, threshold *float64, groups ...Group) (template.HTML, error) {
	p := newPlot("image score", "share of the pictures, %")
	low, high := scoreRange(threshold, groups)
	width := (high - low) / histogramBins
	for _, group := range groups {
		bins := make([]plotter.HistogramBin, histogramBins)
		for i := range bins {
			bins[i].Min, bins[i].Max = low+float64(i)*width, low+float64(i+1)*width
		}
		for _, s := range group.Scores {
			bins[min(int((s-low)/width), histogramBins-1)].Weight += 100 / float64(group.Of)
		}
		bins = slices.DeleteFunc(bins, func(b plotter.HistogramBin) bool { return b.Weight == 0 })
		if len(bins) > 0 {
			p.Add(&plotter.Histogram{Bins: bins, Width: width, FillColor: group.Colour})
		}
	}
	p.X.Min, p.X.Max, p.X.Tick.Marker = low, high, scoreTicks(low, high)
	p.Y.Min, p.Y.Max = 0, min(1.05*p.Y.Max, 100)
	p.Y.Tick.Marker = percentTicks(p.Y.Max)
	if threshold != nil {
		line, err := plotter.NewLine(plotter.XYs{{X: *threshold, Y: 0}, {X: *threshold, Y: p.Y.Max}})
		if err != nil {
			return "", err
		}
		line.Width, line.Color, line.Dashes = 1.5, inkColour, []vg.Length{4, 3}
		p.Add(line)
	}
	return svg(p, label)
}

// scoreRange returns the range of the scores and the threshold, in twentieths.
func scoreRange(threshold *float64, groups []Group) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, group := range groups {
		for _, s := range group.Scores {
			low, high = min(low, s), max(high, s)
		}
	}
	if threshold != nil {
		low, high = min(low, *threshold), max(high, *threshold)
	}
	low, high = math.Floor(20*low)/20, math.Ceil(20*high)/20
	if low == high {
		high += 0.05
	}
	return low, high
}
