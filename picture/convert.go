package picture

import (
	"image"
	"image/color"
)

// FromImage returns a copy of img as 8-bit colour, by the rules of [Decode]:
// alpha is dropped, not composited, and 16-bit values keep their upper 8.
func FromImage(img image.Image) *RGB {
	return convert(img, false)
}

// convert is FromImage with a choice of scale for images of luma and chroma:
// JPEG uses the full range of a byte, video (and with it WebP) does not.
func convert(img image.Image, video bool) *RGB {
	bounds := img.Bounds()
	p := NewRGB(bounds.Dx(), bounds.Dy())
	if len(p.Pix) == 0 {
		return p
	}
	switch m := img.(type) {
	case *image.Gray:
		for y := range p.Height {
			grayRow(p.row(y), m.Pix[y*m.Stride:], 1)
		}
	case *image.Gray16: // big endian: the first byte is the upper one
		for y := range p.Height {
			grayRow(p.row(y), m.Pix[y*m.Stride:], 2)
		}
	case *image.NRGBA:
		for y := range p.Height {
			colourRow(p.row(y), m.Pix[y*m.Stride:], 4, 1)
		}
	case *image.NRGBA64:
		for y := range p.Height {
			colourRow(p.row(y), m.Pix[y*m.Stride:], 8, 2)
		}
	case *image.RGBA:
		if !m.Opaque() {
			convertAny(p, img)
			break
		}
		for y := range p.Height {
			colourRow(p.row(y), m.Pix[y*m.Stride:], 4, 1)
		}
	case *image.RGBA64:
		if !m.Opaque() {
			convertAny(p, img)
			break
		}
		for y := range p.Height {
			colourRow(p.row(y), m.Pix[y*m.Stride:], 8, 2)
		}
	case *image.Paletted:
		convertPaletted(p, m)
	case *image.CMYK:
		convertCMYK(p, m)
	case *image.YCbCr:
		convertYCbCr(p, m, video)
	case *image.NYCbCrA:
		convertYCbCr(p, &m.YCbCr, video)
	default:
		convertAny(p, img)
	}
	return p
}

// convertGray reduces img to one channel.
func convertGray(img image.Image, video bool) *Gray {
	step := 1
	var pix []uint8
	var stride int
	switch m := img.(type) {
	case *image.Gray:
		pix, stride = m.Pix, m.Stride
	case *image.Gray16:
		pix, stride, step = m.Pix, m.Stride, 2
	default:
		return convert(img, video).gray()
	}
	g := NewGray(img.Bounds().Dx(), img.Bounds().Dy())
	for y := range g.Height {
		row := g.Pix[y*g.Width : (y+1)*g.Width]
		for x := range row {
			row[x] = pix[y*stride+x*step]
		}
	}
	return g
}

// gray returns the luma of the picture, rounded as Pillow rounds it: the weights
// are those of ITU-R BT.601 in units of 2⁻¹⁶.
func (p *RGB) gray() *Gray {
	g := NewGray(p.Width, p.Height)
	for i := range g.Pix {
		q := p.Pix[3*i : 3*i+3 : 3*i+3]
		g.Pix[i] = uint8((19595*uint32(q[0]) + 38470*uint32(q[1]) + 7471*uint32(q[2]) + 1<<15) >> 16)
	}
	return g
}

// row returns row y of the picture.
func (p *RGB) row(y int) []uint8 {
	return p.Pix[3*p.Width*y : 3*p.Width*(y+1)]
}

// grayRow repeats the first of every step bytes three times.
func grayRow(dst, src []uint8, step int) {
	for i, j := 0, 0; i+3 <= len(dst); i, j = i+3, j+step {
		v := src[j]
		dst[i], dst[i+1], dst[i+2] = v, v, v
	}
}

// colourRow copies three channels of pixels of pixelSize bytes, of which each
// channel takes channelSize with its upper byte first.
func colourRow(dst, src []uint8, pixelSize, channelSize int) {
	for i, j := 0, 0; i+3 <= len(dst); i, j = i+3, j+pixelSize {
		dst[i], dst[i+1], dst[i+2] = src[j], src[j+channelSize], src[j+2*channelSize]
	}
}

// convertAny takes the slow way that every image allows. Premultiplied colours
// are divided by their alpha.
func convertAny(p *RGB, img image.Image) {
	bounds := img.Bounds()
	for y := range p.Height {
		row := p.row(y)
		for x := range p.Width {
			c := color.NRGBAModel.Convert(img.At(bounds.Min.X+x, bounds.Min.Y+y)).(color.NRGBA)
			row[3*x], row[3*x+1], row[3*x+2] = c.R, c.G, c.B
		}
	}
}

func convertPaletted(p *RGB, m *image.Paletted) {
	var table [256][3]uint8 // an index beyond the palette shows black
	for i, c := range m.Palette[:min(len(m.Palette), len(table))] {
		n := color.NRGBAModel.Convert(c).(color.NRGBA)
		table[i] = [3]uint8{n.R, n.G, n.B}
	}
	for y := range p.Height {
		row, src := p.row(y), m.Pix[y*m.Stride:]
		for x := range p.Width {
			copy(row[3*x:3*x+3], table[src[x]][:])
		}
	}
}

// convertCMYK scales what black leaves of white by each ink, dividing by 255 with
// rounding in integers, as Pillow does.
func convertCMYK(p *RGB, m *image.CMYK) {
	for y := range p.Height {
		row, src := p.row(y), m.Pix[y*m.Stride:]
		for x := range p.Width {
			ink := src[4*x : 4*x+4 : 4*x+4]
			white := 255 - uint32(ink[3])
			for c := range 3 {
				t := uint32(ink[c])*white + 128
				row[3*x+c] = uint8(white - (t+t>>8)>>8)
			}
		}
	}
}

// convertYCbCr goes from luma and chroma to colour by ITU-R BT.601 in fixed
// point. Subsampled chroma is repeated, not interpolated.
func convertYCbCr(p *RGB, m *image.YCbCr, video bool) {
	// Units of 2⁻¹⁶. Full range, as in JFIF: R = Y + 1.402 Cr', and so on with
	// chroma less 128. Video: luma spans 219 levels from 16, chroma 224.
	luma, black := int32(1<<16), int32(0)
	redCr, greenCb, greenCr, blueCb := int32(91881), int32(-22554), int32(-46802), int32(116130)
	if video {
		luma, black = 76309, 16
		redCr, greenCb, greenCr, blueCb = 104597, -25675, -53279, 132201
	}
	var shift int // one chroma value serves 2^shift pixels of a row
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420:
		shift = 1
	case image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410:
		shift = 2
	}
	left := m.Rect.Min.X
	for y := range p.Height {
		row := p.row(y)
		lumaRow := m.Y[y*m.YStride:][:p.Width]
		chroma := m.COffset(left, m.Rect.Min.Y+y) - left>>shift
		for x, l := range lumaRow {
			i := chroma + (left+x)>>shift
			cb, cr := int32(m.Cb[i])-128, int32(m.Cr[i])-128
			base := (int32(l)-black)*luma + 1<<15
			q := row[3*x : 3*x+3 : 3*x+3]
			q[0] = clip8((base + redCr*cr) >> 16)
			q[1] = clip8((base + greenCb*cb + greenCr*cr) >> 16)
			q[2] = clip8((base + blueCb*cb) >> 16)
		}
	}
}

// clip8 limits v to 0…255.
func clip8(v int32) uint8 {
	return uint8(max(0, min(v, 255)))
}
