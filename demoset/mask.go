package demoset

// closeGaps closes the n×n mask by a square of gap+1 pixels (a dilation followed by an erosion): what is marked stays
// marked, and unmarked gaps up to gap pixels wide between marked pixels fill.
func closeGaps(mask []uint8, n, gap int) {
	if gap < 1 {
		return
	}
	before := gap / 2
	after := gap - before
	// A margin lets what is marked grow beyond the picture's border and come back.
	m := n + 2*gap
	plane := make([]uint8, m*m)
	for y := range n {
		copy(plane[(y+gap)*m+gap:], mask[y*n:(y+1)*n])
	}
	line, tmp := make([]uint8, m), make([]uint8, m)
	sweep := func(back, ahead int, want uint8) {
		for y := range m {
			spread(plane[y*m:(y+1)*m], tmp, back, ahead, want)
		}
		for x := range m {
			for y := range m {
				line[y] = plane[y*m+x]
			}
			spread(line, tmp, back, ahead, want)
			for y := range m {
				plane[y*m+x] = line[y]
			}
		}
	}
	sweep(before, after, 255)
	sweep(after, before, 0)
	for y := range n {
		copy(mask[y*n:(y+1)*n], plane[(y+gap)*m+gap:])
	}
}

// spread gives the value want to the back elements before and the ahead elements after each that has it.
// The lengths of line and tmp are equal.
func spread(line, tmp []uint8, back, ahead int, want uint8) {
	copy(tmp, line)
	for i, v := range tmp {
		if v != want {
			continue
		}
		for j := max(i-back, 0); j <= min(i+ahead, len(line)-1); j++ {
			line[j] = want
		}
	}
}
