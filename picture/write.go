package picture

import (
	"image"
	"image/jpeg"
	"image/png"
	"io"

	"github.com/destseg/destseg/internal/wholefile"
)

// WritePNG writes img, such as [RGB.Image], to a PNG file. The file appears at
// path whole or not at all: it is written beside it under a temporary name and
// renamed. A file that was there is replaced. Errors name the file.
func WritePNG(path string, img image.Image) error {
	return wholefile.Write(path, func(w io.Writer) error { return png.Encode(w, img) })
}

// WriteJPEG is [WritePNG] for a JPEG file of the given quality, 1 to 100.
func WriteJPEG(path string, img image.Image, quality int) error {
	return wholefile.Write(path, func(w io.Writer) error {
		return jpeg.Encode(w, img, &jpeg.Options{Quality: quality})
	})
}
