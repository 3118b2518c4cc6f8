package region

import "fmt"

// checkShape panics unless n values fill width×height pixels.
func checkShape(n, width, height int) {
	// Divided, lest the product overflow.
	if width < 1 || height < 1 || n%width != 0 || n/width != height {
		panic(fmt.Sprintf("region: %d values for %d×%d pixels", n, width, height))
	}
}
