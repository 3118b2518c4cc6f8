package picture

import "fmt"

// Window returns the width×height pixels from column x and row y on. Beyond the right
// and lower border the picture goes on as it ends there. It panics unless x and y lie
// in the picture.
func (p *RGB) Window(x, y, width, height int) *RGB {
	if x < 0 || y < 0 || x >= p.Width || y >= p.Height {
		panic(fmt.Sprintf("picture: a window from %d, %d on in a picture of %d×%d", x, y, p.Width, p.Height))
	}
	out := NewRGB(width, height)
	inside := min(width, p.Width-x)
	for row := range height {
		dst := out.row(row)
		src := p.row(min(y+row, p.Height-1))[3*x:]
		copy(dst, src[:3*inside])
		for at := 3 * inside; at < len(dst); at += 3 {
			copy(dst[at:at+3], src[3*inside-3:3*inside])
		}
	}
	return out
}
