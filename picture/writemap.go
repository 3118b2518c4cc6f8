package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"

	"github.com/destseg/destseg/internal/wholefile"
)

// A MapFormat is how the values of a map are kept in a file.
type MapFormat uint8

const (
	PNG16 MapFormat = iota // "png16": a grey picture of 16 bits, 0 for 0 and 65535 for 1; what lies beyond is cut
	TIFF                   // "tiff": an uncompressed TIFF of float32
	NPY                    // "npy": a NumPy array of float32 of height×width
)

// String returns "png16", "tiff" or "npy".
func (f MapFormat) String() string {
	switch f {
	case PNG16:
		return "png16"
	case TIFF:
		return "tiff"
	case NPY:
		return "npy"
	}
	return fmt.Sprintf("MapFormat(%d)", uint8(f))
}

// ParseMapFormat reads what [MapFormat.String] returns.
func ParseMapFormat(s string) (MapFormat, error) {
	for known := PNG16; known <= NPY; known++ {
		if s == known.String() {
			return known, nil
		}
	}
	return 0, errors.New("expected png16, tiff or npy")
}

// Extension returns how files of the format end, with the dot.
func (f MapFormat) Extension() string { return [...]string{".png", ".tiff", ".npy"}[f] }

// WriteMap writes a map of height×width values (rows from the top) to a file, which
// appears whole or not at all as by [WritePNG]. Errors name the file. It panics if values
// is shorter than the size says.
func WriteMap(path string, values []float32, width, height int, format MapFormat) error {
	return wholefile.Write(path, func(w io.Writer) error { return EncodeMap(w, values, width, height, format) })
}

// EncodeMap writes what [WriteMap] writes to a file. Errors are those of w.
func EncodeMap(w io.Writer, values []float32, width, height int, format MapFormat) error {
	values = values[:width*height]
	switch format {
	case TIFF:
		return writeTIFF(w, values, width, height)
	case NPY:
		return writeNPY(w, values, width, height)
	}
	return png.Encode(w, gray16(values, width, height))
}

// gray16 scales 0…1 to 16 bits. NaN becomes 0.
func gray16(values []float32, width, height int) *image.Gray16 {
	img := image.NewGray16(image.Rect(0, 0, width, height))
	for i, v := range values {
		level := uint16(0)
		if v > 0 {
			level = uint16(65535*min(float64(v), 1) + 0.5)
		}
		binary.BigEndian.PutUint16(img.Pix[2*i:], level)
	}
	return img
}

// writeTIFF writes a TIFF (revision 6.0, Adobe 1992) with one strip of 32-bit floats.
func writeTIFF(w io.Writer, values []float32, width, height int) error {
	const short, long = 3, 4
	entries := []struct {
		tag, kind uint16
		value     uint32
	}{
		{256, long, uint32(width)},
		{257, long, uint32(height)},
		{258, short, 32}, // bits per sample
		{259, short, 1},  // no compression
		{262, short, 1},  // black is zero
		{273, long, 0},   // offset of the strip, set below
		{277, short, 1},  // samples per pixel
		{278, long, uint32(height)},
		{279, long, uint32(4 * len(values))},
		{339, short, 3}, // IEEE floating point
	}
	const first = 8 // of the directory
	entries[5].value = uint32(first + 2 + 12*len(entries) + 4)
	var head bytes.Buffer
	put := func(v any) { binary.Write(&head, binary.LittleEndian, v) }
	head.WriteString("II*\x00")
	put(uint32(first))
	put(uint16(len(entries)))
	for _, e := range entries {
		put(e.tag)
		put(e.kind)
		put(uint32(1))
		put(e.value) // a short is left-aligned, which little endian makes the same
	}
	put(uint32(0)) // no further directory
	if _, err := w.Write(head.Bytes()); err != nil {
		return err
	}
	return writeFloats(w, values)
}

// writeNPY writes version 1.0 of NumPy's format (NEP 1).
func writeNPY(w io.Writer, values []float32, width, height int) error {
	const prefix, align = 10, 64
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", height, width)
	for (prefix+len(header)+1)%align != 0 {
		header += " "
	}
	header += "\n"
	start := binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), uint16(len(header)))
	if _, err := w.Write(append(start, header...)); err != nil {
		return err
	}
	return writeFloats(w, values)
}

// writeFloats writes values in little endian, some at a time.
func writeFloats(w io.Writer, values []float32) error {
	const some = 1 << 14
	buffer := make([]byte, 0, 4*some)
	for len(values) > 0 {
		n := min(some, len(values))
		buffer = buffer[:0]
		for _, v := range values[:n] {
			buffer = binary.LittleEndian.AppendUint32(buffer, math.Float32bits(v))
		}
		if _, err := w.Write(buffer); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}
