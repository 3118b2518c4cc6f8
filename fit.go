package destseg

import (
	"fmt"
	"image"
	"math"
	"slices"
	"time"

	"github.com/destseg/destseg/metric"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/picture"
)

// check says what is wrong with how pictures come before the networks.
func (p Preprocessing) check() error {
	if err := (network.Size{Batch: 1, Height: p.Height, Width: p.Width}).Check(); err != nil {
		return err
	}
	if p.Width > MaxPixels/p.Height {
		return fmt.Errorf("network size %d×%d has more than %d pixels", p.Width, p.Height, MaxPixels)
	}
	if p.Resize != PillowBilinear {
		return fmt.Errorf("resize %q; known is %q", p.Resize, PillowBilinear)
	}
	if p.Fit > picture.Tiles {
		return fmt.Errorf("unknown fit %d", p.Fit)
	}
	if p.Fit == picture.Tiles && (p.Tile < 1 || p.Tile > MaxTile || p.Overlap < 0 || p.Overlap > p.Tile/2) {
		return fmt.Errorf("tiles of %d pixels that overlap by %d; a tile has 1 to %d, and half of them may overlap", p.Tile, p.Overlap, MaxTile)
	}
	if most := MaxEnlarged; p.Fit == picture.Tiles && p.Tile < p.Width/most {
		return fmt.Errorf("tiles of %d pixels for a network that sees %d; they are enlarged %d times at most", p.Tile, p.Width, most)
	}
	for c := range 3 {
		// Negated, so that NaN fails; the bounds keep normalised values finite.
		if mean, std := p.Mean[c], p.Std[c]; !(math.Abs(float64(mean)) <= 1e3) || !(std >= 1e-3 && std <= 1e3) {
			return fmt.Errorf("mean %v and std %v of channel %d; they are on the scale of [0,1]", mean, std, c)
		}
	}
	return nil
}

// scaled returns the size at which the networks see a picture.
func (p Preprocessing) scaled(width, height int) (int, int) {
	return p.Fit.Scaled(width, height, p.Width, p.Height, p.Tile)
}

// overlap returns by how many pixels at network scale windows overlap at least, a
// multiple of a map's stride.
func (p Preprocessing) overlap() int {
	if p.Fit != picture.Tiles {
		return 0
	}
	cells := math.Round(float64(p.Overlap) * float64(p.Width) / float64(p.Tile*network.MapStride))
	return network.MapStride * int(cells)
}

// windows places windows of size pixels along a side of n, so that they overlap and
// cover it: multiples of the map's stride, of which the last may go beyond the end by
// less than one.
func windows(n, size, overlap int) []int {
	at := []int{0}
	for at[len(at)-1]+size < n {
		last := (n - size + network.MapStride - 1) / network.MapStride * network.MapStride
		at = append(at, min(at[len(at)-1]+size-overlap, last))
	}
	return at
}

// ramps returns the weights, cell by cell, with which windows along a side enter the
// map: less and less towards a neighbour, over the cells of the overlap.
func ramps(windows []int, size, overlap int) [][]float32 {
	all := make([][]float32, len(windows))
	cells, fade := size/network.MapStride, overlap/network.MapStride
	for i := range all {
		all[i] = make([]float32, cells)
		for c := range cells {
			weight := float32(1)
			if i > 0 && c < fade {
				weight = (float32(c) + 0.5) / float32(fade)
			}
			if rest := cells - 1 - c; i < len(windows)-1 && rest < fade {
				weight *= (float32(rest) + 0.5) / float32(fade)
			}
			all[i][c] = weight
		}
	}
	return all
}

// inspectScaled takes a picture at network scale through the networks, window by
// window, and returns the maps of the whole. Where a window has no neighbour over it,
// they are that window's own.
func (d *Detector) inspectScaled(p *picture.RGB) (segmentation, dest coarseMap, times runTimes, err error) {
	how := d.record.Preprocessing
	overlap := how.overlap()
	columns, rows := windows(p.Width, how.Width, overlap), windows(p.Height, how.Height, overlap)
	if len(columns) == 1 && len(rows) == 1 {
		runs, err := d.see(p, image.Point{})
		run := runs[0]
		run.segmentation.span(p.Width, p.Height)
		run.dest.span(p.Width, p.Height)
		return run.segmentation, run.dest, run.runTimes, err
	}
	whole := func() coarseMap {
		m := newCoarseMap((columns[len(columns)-1]+how.Width)/network.MapStride, (rows[len(rows)-1]+how.Height)/network.MapStride)
		m.span(p.Width, p.Height)
		return m
	}
	segmentation, dest = whole(), whole()
	weights := make([]float32, len(segmentation.values))
	across, down := ramps(columns, how.Width, overlap), ramps(rows, how.Height, overlap)
	for first := 0; first < len(rows)*len(columns); first += d.runner.batch {
		places := make([]image.Point, min(d.runner.batch, len(rows)*len(columns)-first))
		for i := range places {
			places[i] = image.Pt(columns[(first+i)%len(columns)], rows[(first+i)/len(columns)])
		}
		runs, err := d.see(p, places...)
		if err != nil {
			return segmentation, dest, times, err
		}
		times.waited += runs[0].waited // together with the others
		for i, run := range runs {
			r, c := (first+i)/len(columns), (first+i)%len(columns)
			for k, v := range run.segmentation.values {
				weight := across[c][k%run.segmentation.width] * down[r][k/run.segmentation.width]
				at := (rows[r]/network.MapStride+k/run.segmentation.width)*segmentation.width + columns[c]/network.MapStride + k%run.segmentation.width
				segmentation.values[at] += weight * v
				dest.values[at] += weight * run.dest.values[k]
				weights[at] += weight
			}
			times.elapsed += run.elapsed / time.Duration(run.together)
		}
	}
	for i, weight := range weights {
		segmentation.values[i] /= weight
		dest.values[i] /= weight
	}
	return segmentation, dest, times, nil
}

// see takes what a picture at network scale shows from these places on through the
// networks, together.
func (d *Detector) see(p *picture.RGB, places ...image.Point) ([]*run, error) {
	runs := make([]*run, len(places))
	for i, at := range places {
		input := d.normalized(p, at)
		defer d.inputs.Put(input)
		runs[i] = d.newRun(*input)
	}
	return runs, d.runner.do(runs...)
}

// normalized returns what the networks see from a place of a picture at network scale
// on, 3×Height×Width values. They belong into d.inputs when the run is over.
func (d *Detector) normalized(p *picture.RGB, at image.Point) *[]float32 {
	how := d.record.Preprocessing
	input, ok := d.inputs.Get().(*[]float32)
	if !ok {
		input = new(make([]float32, 3*how.Width*how.Height))
	}
	d.window(p, at.X, at.Y).Normalize(*input, how.Mean, how.Std)
	return input
}

// window returns what the networks see from a place on, or the picture itself.
func (d *Detector) window(p *picture.RGB, x, y int) *picture.RGB {
	how := d.record.Preprocessing
	if p.Width == how.Width && p.Height == how.Height {
		return p
	}
	return p.Window(x, y, how.Width, how.Height)
}

// A coarseMap is a map as the networks give it, at 1/4 of network scale.
type coarseMap struct {
	width, height int // in cells
	values        []float32
	// The picture spans so many cells from the upper left corner; the others show
	// what it was filled up with.
	spanX, spanY float64
}

func newCoarseMap(width, height int) coarseMap {
	return coarseMap{
		width: width, height: height, values: make([]float32, width*height),
		spanX: float64(width), spanY: float64(height),
	}
}

// span sets the size in pixels at network scale that the picture has.
func (m *coarseMap) span(width, height int) {
	m.spanX = min(float64(width)/network.MapStride, float64(m.width))
	m.spanY = min(float64(height)/network.MapStride, float64(m.height))
}

// finite reports whether all values are numbers.
func (m coarseMap) finite() bool {
	return !slices.ContainsFunc(m.values, func(v float32) bool { return !finite(float64(v)) })
}

// resize returns the picture's part of the map at another size.
func (m coarseMap) resize(width, height int) []float32 {
	resized := make([]float32, width*height)
	picture.ResizeMapPart(m.values, m.width, m.height, m.spanX, m.spanY, width, height, resized)
	return resized
}

// scoreOf is the image score of a map at network scale: the mean of its largest values
// in the ROI, which is everywhere if it is nil.
func scoreOf(values []float32, roi []uint8) float64 {
	if roi != nil {
		inside := values[:0]
		for i, v := range values {
			if roi[i] != 0 {
				inside = append(inside, v)
			}
		}
		values = inside
	}
	return metric.TopMean(values, scorePixels)
}
