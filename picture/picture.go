// Package picture reads, resizes, rotates and normalises the pictures a
// detector looks at, and paints what it found: heat maps, overlays, outlines.
//
// # Agreement with Pillow
//
// The method was trained on pictures prepared by Pillow, and its results move
// with the preparation. [RGB.Resize] and [RGB.Rotate] therefore do Pillow's own
// arithmetic, fixed point and rounding included, and agree with it to the grey
// level. Decoding of lossless pictures agrees too. JPEG and lossy WebP differ by a
// few grey levels at sharp coloured edges, because chroma is repeated here where
// Pillow's libraries interpolate it; JPEG's inverse transform rounds differently.
//
// # Memory
//
// Pictures are plain bytes, rows without padding, and every function leaves its
// inputs alone. All of them may be called concurrently, as long as nobody writes
// to a picture that is being read.
package picture

import (
	"fmt"
	"image"
)

// RGB is an 8-bit colour picture.
type RGB struct {
	Width, Height int
	// Pix holds Height×Width×3 values: rows from the top, pixels from the left,
	// red, green, blue, without padding.
	Pix []uint8
}

// Gray is an 8-bit picture of one channel, such as a mask.
type Gray struct {
	Width, Height int
	// Pix holds Height×Width values, rows from the top, without padding.
	Pix []uint8
}

// NewRGB returns a black picture. Width and height must not be negative.
func NewRGB(width, height int) *RGB {
	return &RGB{Width: width, Height: height, Pix: make([]uint8, 3*width*height)}
}

// NewGray returns a picture of zeros. Width and height must not be negative.
func NewGray(width, height int) *Gray {
	return &Gray{Width: width, Height: height, Pix: make([]uint8, width*height)}
}

// Crop returns a copy of the width×height pixels whose upper left corner is at
// (x, y). It panics if they don't lie within the picture.
func (p *RGB) Crop(x, y, width, height int) *RGB {
	if x < 0 || y < 0 || width < 0 || height < 0 || width > p.Width-x || height > p.Height-y {
		panic(fmt.Sprintf("picture: crop of %d×%d at (%d, %d) of a picture of %d×%d", width, height, x, y, p.Width, p.Height))
	}
	crop := NewRGB(width, height)
	for row := range height {
		copy(crop.Pix[3*row*width:][:3*width], p.Pix[3*((y+row)*p.Width+x):])
	}
	return crop
}

// ImageNet returns the mean and the standard deviation of the three channels, on
// the scale [0,1], by which pictures are normalised before the teacher sees them:
// those of ImageNet, on which it was trained.
func ImageNet() (mean, std [3]float32) {
	return [3]float32{0.485, 0.456, 0.406}, [3]float32{0.229, 0.224, 0.225}
}

// Normalize writes (v/255 − mean)/std of every value v to dst as three planes of
// Height×Width (red, green, blue). It panics if dst is shorter than the picture.
func (p *RGB) Normalize(dst []float32, mean, std [3]float32) {
	n := p.Width * p.Height
	pix := p.Pix[:3*n]
	red, green, blue := dst[:n], dst[n:2*n], dst[2*n:3*n]
	// A value has 256 possibilities, so the divisions are done once each.
	var table [3][256]float32
	for c := range table {
		for v := range table[c] {
			table[c][v] = (float32(v)/255 - mean[c]) / std[c]
		}
	}
	for i := range red {
		q := pix[3*i : 3*i+3 : 3*i+3]
		red[i] = table[0][q[0]]
		green[i] = table[1][q[1]]
		blue[i] = table[2][q[2]]
	}
}

// Image returns a copy of the picture for encoders and other users of the
// standard library.
func (p *RGB) Image() image.Image {
	img := image.NewRGBA(image.Rect(0, 0, p.Width, p.Height))
	for i := 0; i < p.Width*p.Height; i++ {
		s, d := p.Pix[3*i:3*i+3:3*i+3], img.Pix[4*i:4*i+4:4*i+4]
		d[0], d[1], d[2], d[3] = s[0], s[1], s[2], 255
	}
	return img
}

// Image returns a copy of the picture for encoders and other users of the
// standard library.
func (g *Gray) Image() image.Image {
	img := image.NewGray(image.Rect(0, 0, g.Width, g.Height))
	copy(img.Pix, g.Pix)
	return img
}
