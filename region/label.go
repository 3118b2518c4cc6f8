package region

// Label numbers the 8-connected components of a mask of height×width pixels,
// rows from the top, where any value but 0 belongs to a component. labels has the
// shape of the mask: 0 where the mask is 0, else the component's number from 1 to
// count, in the order in which a row-by-row scan meets them. It panics if the mask
// does not have that many pixels, of which there may be up to 2³¹−1.
func Label(mask []uint8, width, height int) (labels []int32, count int) {
	checkShape(len(mask), width, height)
	labels = make([]int32, len(mask))
	// parent[l] is an older label of the same component, or l itself.
	// Label 0 stays the background.
	parent := []int32{0}
	for y := range height {
		row := mask[y*width : (y+1)*width]
		cur := labels[y*width : (y+1)*width]
		if y == 0 {
			for x, m := range row {
				switch {
				case m == 0:
				case x > 0 && cur[x-1] != 0:
					cur[x] = cur[x-1]
				default:
					cur[x] = int32(len(parent))
					parent = append(parent, cur[x])
				}
			}
			continue
		}
		up := labels[(y-1)*width : y*width]
		for x, m := range row {
			if m == 0 {
				continue
			}
			// The pixel above touches every other neighbour seen so far, so it
			// alone decides where it is set. Otherwise only the upper right one
			// may bring together two components.
			if up[x] != 0 {
				cur[x] = up[x]
				continue
			}
			var left, right int32
			if x > 0 {
				left = up[x-1]
				if left == 0 {
					left = cur[x-1]
				}
			}
			if x+1 < width {
				right = up[x+1]
			}
			switch {
			case left != 0 && right != 0:
				cur[x] = join(parent, left, right)
			case left != 0:
				cur[x] = left
			case right != 0:
				cur[x] = right
			default:
				cur[x] = int32(len(parent))
				parent = append(parent, cur[x])
			}
		}
	}

	// A parent is never newer than its child, so one pass in order of age turns
	// the forest into final numbers.
	for l := 1; l < len(parent); l++ {
		if int(parent[l]) == l {
			count++
			parent[l] = int32(count)
		} else {
			parent[l] = parent[parent[l]]
		}
	}
	for i, l := range labels {
		if l != 0 {
			labels[i] = parent[l]
		}
	}
	return labels, count
}

// join makes the older of the roots of a and b the root of both and returns it.
func join(parent []int32, a, b int32) int32 {
	a, b = root(parent, a), root(parent, b)
	if a > b {
		a, b = b, a
	}
	parent[b] = a
	return a
}

// root follows the parents of l, halving the path for the next one.
func root(parent []int32, l int32) int32 {
	for parent[l] != l {
		parent[l] = parent[parent[l]]
		l = parent[l]
	}
	return l
}
