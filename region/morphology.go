package region

import "math"

// opened takes away what no disc of the radius fits into. Beyond its borders the mask
// goes on, so that nothing is taken away for lying at one.
func opened(mask []uint8, width, height int, radius float64) []uint8 {
	return dilate(erode(mask, width, height, radius), width, height, radius)
}

// closed returns the mask with the pixels set that no disc of the radius reaches
// without touching a set one. Beyond the borders of the mask nothing is set.
func closed(mask []uint8, width, height int, radius float64) []uint8 {
	margin := int(math.Ceil(radius)) // as far as dilation spreads
	wide, high := width+2*margin, height+2*margin
	grown := make([]uint8, wide*high)
	for y := range height {
		copy(grown[(y+margin)*wide+margin:], mask[y*width:(y+1)*width])
	}
	grown = erode(dilate(grown, wide, high, radius), wide, high, radius)
	out := make([]uint8, len(mask))
	for y := range height {
		copy(out[y*width:(y+1)*width], grown[(y+margin)*wide+margin:])
	}
	return out
}

// dilate returns the mask, 0 or 1, with every pixel set whose centre lies within
// radius of that of a set pixel. Nothing is set outside the mask.
func dilate(mask []uint8, width, height int, radius float64) []uint8 {
	// A set pixel dy rows away reaches as far across as the disc is wide there.
	reach := make([]int, int(radius)+1)
	for dy := range reach {
		reach[dy] = int(math.Sqrt(radius*radius - float64(dy*dy)))
	}
	distance := columnDistances(mask, width, height, len(reach))
	out := make([]uint8, len(mask))
	starts := make([]int32, width+1) // spans that begin at a column, less those that ended before it
	for y := range height {
		clear(starts)
		row := distance[y*width : (y+1)*width]
		for x, dy := range row {
			if int(dy) < len(reach) {
				starts[max(x-reach[dy], 0)]++
				starts[min(x+reach[dy]+1, width)]--
			}
		}
		var spans int32
		for x := range width {
			if spans += starts[x]; spans > 0 {
				out[y*width+x] = 1
			}
		}
	}
	return out
}

// erode returns the mask, 0 or 1, with the pixels cleared whose centre lies within
// radius of that of a pixel that is not set. What lies outside clears nothing.
func erode(mask []uint8, width, height int, radius float64) []uint8 {
	rest := make([]uint8, len(mask))
	for i, m := range mask {
		rest[i] = 1 - m
	}
	grown := dilate(rest, width, height, radius)
	for i, m := range grown {
		grown[i] = 1 - m
	}
	return grown
}

// columnDistances returns for every pixel how many rows away the nearest set pixel
// of its column is, at most far.
func columnDistances(mask []uint8, width, height, far int) []uint16 {
	distance := make([]uint16, len(mask))
	for i, m := range mask {
		switch {
		case m != 0:
		case i < width:
			distance[i] = uint16(far)
		default:
			distance[i] = min(distance[i-width]+1, uint16(far))
		}
	}
	for i := len(mask) - width - 1; i >= 0; i-- {
		distance[i] = min(distance[i], distance[i+width]+1)
	}
	return distance
}
