package picture

import (
	"bufio"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
)

// WritePNG writes img, such as [RGB.Image], to a PNG file. The file appears at
// path whole or not at all: it is written beside it under a temporary name and
// renamed. A file that was there is replaced. Errors name the file.
func WritePNG(path string, img image.Image) error {
	return writeWhole(path, func(w io.Writer) error { return png.Encode(w, img) })
}

// WriteJPEG is [WritePNG] for a JPEG file of the given quality, 1 to 100.
func WriteJPEG(path string, img image.Image, quality int) error {
	return writeWhole(path, func(w io.Writer) error {
		return jpeg.Encode(w, img, &jpeg.Options{Quality: quality})
	})
}

// writeWhole makes what encode writes the content of the file at path, in one
// step.
func writeWhole(path string, encode func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".writing-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close() // harmless if closed already
			os.Remove(f.Name())
			err = fmt.Errorf("writing %s: %w", path, err)
		}
	}()
	w := bufio.NewWriter(f)
	if err := encode(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	// Temporary files are private; a picture is for whoever may read the folder.
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
