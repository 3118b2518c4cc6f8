package picture

import (
	"encoding/binary"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteMap(t *testing.T) {
	const width, height = 131, 127 // more than a buffer of floats
	values := make([]float32, width*height)
	for i := range values {
		values[i] = float32(i) / (width*height - 1)
	}
	values[5], values[6] = -0.5, 1.5
	dir := t.TempDir()
	read := func(f MapFormat) []byte {
		t.Helper()
		path := filepath.Join(dir, "map"+f.Extension())
		if err := WriteMap(path, values, width, height, f); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	same := func(what string, bytes []byte) {
		t.Helper()
		if len(bytes) != 4*len(values) {
			t.Fatalf("%s: %d bytes of values", what, len(bytes))
		}
		for i, v := range values {
			if got := math.Float32frombits(binary.LittleEndian.Uint32(bytes[4*i:])); got != v {
				t.Fatalf("%s: %v at %d, want %v", what, got, i, v)
			}
		}
	}

	npy := read(NPY)
	length := int(binary.LittleEndian.Uint16(npy[8:]))
	if string(npy[:8]) != "\x93NUMPY\x01\x00" || (10+length)%64 != 0 || npy[10+length-1] != '\n' {
		t.Errorf("header %q", npy[:10+length])
	}
	if got := strings.TrimSpace(string(npy[10 : 10+length])); got != "{'descr': '<f4', 'fortran_order': False, 'shape': (127, 131), }" {
		t.Errorf("header %q", got)
	}
	same("npy", npy[10+length:])

	// As a reader of TIFF finds its way.
	tiff := read(TIFF)
	u16, u32 := binary.LittleEndian.Uint16, binary.LittleEndian.Uint32
	if string(tiff[:4]) != "II*\x00" {
		t.Errorf("TIFF begins with %q", tiff[:4])
	}
	directory := tiff[u32(tiff[4:]):]
	tags := map[uint16]uint32{}
	last := uint16(0)
	for i := range int(u16(directory)) {
		entry := directory[2+12*i:]
		tag, kind, count := u16(entry), u16(entry[2:]), u32(entry[4:])
		if tag <= last || count != 1 {
			t.Errorf("entry %d: tag %d after %d, %d values", i, tag, last, count)
		}
		last, tags[tag] = tag, u32(entry[8:])
		if kind == 3 {
			tags[tag] = uint32(u16(entry[8:]))
		}
	}
	for tag, want := range map[uint16]uint32{256: width, 257: height, 258: 32, 259: 1, 262: 1, 277: 1, 278: height, 279: 4 * width * height, 339: 3} {
		if tags[tag] != want {
			t.Errorf("tag %d is %d, want %d", tag, tags[tag], want)
		}
	}
	same("tiff", tiff[tags[273]:])

	read(PNG16)
	file, err := os.Open(filepath.Join(dir, "map.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	img, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	grey, ok := img.(*image.Gray16)
	if !ok || grey.Bounds() != image.Rect(0, 0, width, height) {
		t.Fatalf("%T of %v", img, img.Bounds())
	}
	for i, v := range values {
		want := math.Round(65535 * max(0, min(float64(v), 1)))
		if got := float64(grey.Gray16At(i%width, i/width).Y); got != want {
			t.Fatalf("%v at %d, want %v", got, i, want)
		}
	}
	if err := WriteMap(filepath.Join(dir, "none", "x"), values, width, height, NPY); err == nil {
		t.Error("written into a missing folder")
	}
}

func TestWindow(t *testing.T) {
	p := randomRGB(3, 7, 5)
	for _, at := range [][4]int{{0, 0, 7, 5}, {2, 1, 3, 3}, {5, 3, 6, 4}, {0, 0, 9, 2}, {6, 4, 1, 1}} {
		got := p.Window(at[0], at[1], at[2], at[3])
		for y := range at[3] {
			for x := range at[2] {
				from := 3 * (min(at[1]+y, 4)*7 + min(at[0]+x, 6))
				compare(t, got.Pix[3*(y*at[2]+x):][:3], p.Pix[from:from+3])
			}
		}
	}
}

func TestFitScaled(t *testing.T) {
	for _, c := range []struct {
		fit                       Fit
		width, height, w, h, tile int
		wide, high                int
	}{
		{Stretch, 900, 300, 256, 128, 0, 256, 128},
		{Pad, 900, 300, 256, 128, 0, 256, 85},
		{Pad, 300, 900, 256, 128, 0, 43, 128},
		{Pad, 10, 10, 256, 128, 0, 128, 128},
		{Pad, 100000, 10, 256, 256, 0, 256, 1},
		{Tiles, 8000, 2000, 256, 256, 256, 8000, 2000},
		{Tiles, 8000, 2000, 256, 128, 512, 4000, 1000},
		{Tiles, 100, 1, 256, 256, 1024, 25, 1},
	} {
		if wide, high := c.fit.Scaled(c.width, c.height, c.w, c.h, c.tile); wide != c.wide || high != c.high {
			t.Errorf("%+v: %d×%d", c, wide, high)
		}
	}
	for fit := Stretch; fit <= Tiles; fit++ {
		text, err := fit.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var again Fit
		if err := again.UnmarshalText(text); err != nil || again != fit {
			t.Errorf("%s became %v, %v", text, again, err)
		}
	}
	if _, err := Fit(9).MarshalText(); err == nil {
		t.Error("an unknown fit has a name")
	}
	if err := new(Fit).UnmarshalText([]byte("shrink")); err == nil {
		t.Error("shrink is a fit")
	}
}

// TestResizeMapPart compares with the whole where the part does not end.
func TestResizeMapPart(t *testing.T) {
	values := []float32{0, 1, 2, 100, 3, 4, 5, 100, 100, 100, 100, 100}
	got := make([]float32, 10*8)
	ResizeMapPart(values, 4, 3, 2.5, 2, 10, 8, got)
	whole := make([]float32, 12*8)
	ResizeMap([]float32{0, 1, 2, 3, 4, 5}, 3, 2, 12, 8, whole)
	for y := range 8 {
		for x := range 10 {
			if got, want := got[y*10+x], whole[y*12+x]; math.Abs(float64(got-want)) > 1e-6 {
				t.Errorf("%v at %d, %d, want %v", got, x, y, want)
			}
		}
	}
}
