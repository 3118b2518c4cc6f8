package picture

import (
	"fmt"
	"math"
)

// ResizeMap writes a map of height×width values (rows from the top) at the size
// toHeight×toWidth to dst: bilinear, pixel centres at halves, and no filter when
// shrinking. This is PyTorch's interpolate(mode="bilinear", align_corners=False),
// by which the method brings an anomaly map to the size of its picture. It panics
// if a map is empty or shorter than its size says. src and dst must not overlap.
func ResizeMap(src []float32, width, height, toWidth, toHeight int, dst []float32) {
	ResizeMapPart(src, width, height, float64(width), float64(height), toWidth, toHeight, dst)
}

// ResizeMapPart is [ResizeMap] for the upper left part of a map, partHeight×partWidth
// values, which need not be whole numbers. Values that lie outside of it entirely have
// no influence. It panics if the part is empty or larger than the map.
func ResizeMapPart(src []float32, width, height int, partWidth, partHeight float64, toWidth, toHeight int, dst []float32) {
	if width < 1 || height < 1 || toWidth < 1 || toHeight < 1 {
		panic(fmt.Sprintf("picture: resize of an empty map: %d×%d to %d×%d", width, height, toWidth, toHeight))
	}
	if !(partWidth > 0 && partHeight > 0 && partWidth <= float64(width) && partHeight <= float64(height)) {
		panic(fmt.Sprintf("picture: resize of %v×%v of a map of %d×%d", partWidth, partHeight, width, height))
	}
	src, dst = src[:width*height], dst[:toWidth*toHeight]
	columns, rows := between(partWidth, toWidth), between(partHeight, toHeight)

	// Each source row is stretched once: the two that the last output row lay
	// between are kept.
	upper, lower := make([]float32, toWidth), make([]float32, toWidth)
	upperRow, lowerRow := -1, -1
	for y, r := range rows {
		if r.first == lowerRow {
			upper, lower = lower, upper
			upperRow, lowerRow = lowerRow, upperRow
		}
		if r.first != upperRow {
			stretch(upper, src[r.first*width:(r.first+1)*width], columns)
			upperRow = r.first
		}
		if r.second != lowerRow {
			stretch(lower, src[r.second*width:(r.second+1)*width], columns)
			lowerRow = r.second
		}
		out := dst[y*toWidth : (y+1)*toWidth]
		for x := range out {
			out[x] = r.atFirst*upper[x] + r.atSecond*lower[x]
		}
	}
}

// place is a position between two neighbours, with the weight of each.
type place struct {
	first, second     int
	atFirst, atSecond float32
}

// between places the centres of m positions among the first n, which may end within
// one.
func between(n float64, m int) []place {
	places := make([]place, m)
	scale := n / float64(m)
	last := int(math.Ceil(n)) - 1
	for i := range places {
		at := max((float64(i)+0.5)*scale-0.5, 0)
		first := min(int(at), last)
		fraction := float32(at - float64(first))
		places[i] = place{first, min(first+1, last), 1 - fraction, fraction}
	}
	return places
}

// stretch writes row at the places of columns.
func stretch(dst, row []float32, columns []place) {
	dst = dst[:len(columns)]
	for x := range columns {
		c := &columns[x]
		dst[x] = c.atFirst*row[c.first] + c.atSecond*row[c.second]
	}
}
