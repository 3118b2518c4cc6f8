package region

// borders returns the borders of regions 1 to count of a labelled mask: of each
// first the outer one, then those of its holes. A border is the closed line along
// the pixels' edges, given by its corners: clockwise on the screen for an outer one,
// the other way round for a hole. It begins at a corner and may pass through a point
// twice.
func borders(labels []int32, width, height, count int) [][]Ring {
	found := make([][]Ring, count)
	seen := make([]bool, len(labels)) // pixels whose upper edge is part of a border found
	for i, label := range labels {
		// Every border has an upper edge of a pixel in it, since it goes round
		// something. The first one, row by row, of a region is part of the outer
		// border, and none lies to the left of it in the same line.
		if label == 0 || seen[i] || i >= width && labels[i-width] == label {
			continue
		}
		found[label-1] = append(found[label-1], trace(labels, seen, width, height, i))
	}
	return found
}

// trace follows the border that begins with the upper edge of pixel start, its
// region to the right hand.
func trace(labels []int32, seen []bool, width, height, start int) Ring {
	const right, down, left, up = 0, 1, 2, 3
	label := labels[start]
	in := func(x, y int) bool {
		return x >= 0 && y >= 0 && x < width && y < height && labels[y*width+x] == label
	}
	firstX, firstY := start%width, start/width
	x, y, towards := firstX, firstY, right
	var ring Ring
	for {
		ring = append(ring, Point{float64(x), float64(y)})
		straight := true
		for straight {
			var aheadLeft, aheadRight bool
			switch towards {
			case right:
				seen[y*width+x] = true
				x++
				aheadLeft, aheadRight = in(x, y-1), in(x, y)
			case down:
				y++
				aheadLeft, aheadRight = in(x, y), in(x-1, y)
			case left:
				x--
				aheadLeft, aheadRight = in(x-1, y), in(x-1, y-1)
			case up:
				y--
				aheadLeft, aheadRight = in(x-1, y-1), in(x, y-1)
			}
			switch {
			case aheadLeft: // also across a corner, which connects
				towards, straight = (towards+3)%4, false
			case !aheadRight:
				towards, straight = (towards+1)%4, false
			}
		}
		if x == firstX && y == firstY && towards == right {
			return ring
		}
	}
}
