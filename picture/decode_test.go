package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

func encodePNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func encodeJPEG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// webpPixel is a lossless WebP of one pixel: each of its five prefix codes has one
// symbol, so the pixel itself takes no bits.
func webpPixel(red, green, blue uint8) []byte {
	var bits []byte
	n := 0
	put := func(v uint32, count int) {
		for range count {
			if n%8 == 0 {
				bits = append(bits, 0)
			}
			bits[n/8] |= byte(v&1) << (n % 8)
			v >>= 1
			n++
		}
	}
	put(0x2f, 8)      // signature
	put(0, 14+14)     // width and height, less 1
	put(0, 1+3)       // no alpha, version 0
	put(0, 1+1+1)     // no transform, no colour cache, one group of codes
	const one = 0b101 // a simple code, of one symbol, of 8 bits
	for _, symbol := range []uint8{green, red, blue, 255} {
		put(one, 3)
		put(uint32(symbol), 8)
	}
	put(0b001, 3) // distances: a simple code, of one symbol, of 1 bit
	put(0, 1)
	put(0, 64) // the decoder reads ahead
	file := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(12+len(bits)+len(bits)%2))
	file = append(file, "WEBPVP8L"...)
	file = append(binary.LittleEndian.AppendUint32(file, uint32(len(bits))), bits...)
	return append(file, make([]byte, len(bits)%2)...)
}

func TestDecodeKeepsLosslessPictures(t *testing.T) {
	p := randomRGB(1, 5, 3)
	var bmpFile, tiffFile bytes.Buffer
	if err := bmp.Encode(&bmpFile, p.Image()); err != nil {
		t.Fatal(err)
	}
	if err := tiff.Encode(&tiffFile, p.Image(), nil); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string][]byte{"png": encodePNG(t, p.Image()), "bmp": bmpFile.Bytes(), "tiff": tiffFile.Bytes()} {
		got, err := DecodeBytes(file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.Width != 5 || got.Height != 3 {
			t.Errorf("%s: %d×%d", name, got.Width, got.Height)
		}
		compare(t, got.Pix, p.Pix)
	}
}

func TestConvert(t *testing.T) {
	at := image.Rect(3, 4, 5, 5) // pixels need not begin at zero
	fill := func(img interface {
		image.Image
		Set(x, y int, c color.Color)
	}, left, right color.Color) image.Image {
		img.Set(3, 4, left)
		img.Set(4, 4, right)
		return img
	}
	palette := color.Palette{color.NRGBA{9, 8, 7, 255}, color.NRGBA{100, 50, 25, 0}}
	tests := []struct {
		name  string
		img   image.Image
		want  []uint8
		wantL []uint8
	}{
		{"grey", fill(image.NewGray(at), color.Gray{7}, color.Gray{200}), []uint8{7, 7, 7, 200, 200, 200}, []uint8{7, 200}},
		{"grey 16", fill(image.NewGray16(at), color.Gray16{0x07ff}, color.Gray16{0xc8ff}), []uint8{7, 7, 7, 200, 200, 200}, []uint8{7, 200}},
		{"alpha dropped", fill(image.NewNRGBA(at), color.NRGBA{255, 0, 0, 0}, color.NRGBA{0, 255, 0, 9}), []uint8{255, 0, 0, 0, 255, 0}, []uint8{76, 150}},
		{"alpha 16", fill(image.NewNRGBA64(at), color.NRGBA64{0x01ff, 0x02ff, 0x03ff, 1}, color.NRGBA64{0xff00, 0, 0, 0xffff}), []uint8{1, 2, 3, 255, 0, 0}, []uint8{2, 76}},
		{"premultiplied", fill(image.NewRGBA(at), color.RGBA{100, 50, 0, 100}, color.RGBA{1, 2, 3, 255}), []uint8{255, 127, 0, 1, 2, 3}, []uint8{151, 2}},
		{"premultiplied 16", fill(image.NewRGBA64(at), color.RGBA64{0x8000, 0, 0, 0x8000}, color.RGBA64{0x1fff, 0x2fff, 0x3fff, 0xffff}), []uint8{255, 0, 0, 0x1f, 0x2f, 0x3f}, []uint8{76, 44}},
		{"opaque", fill(image.NewRGBA(at), color.RGBA{10, 20, 30, 255}, color.RGBA{1, 2, 3, 255}), []uint8{10, 20, 30, 1, 2, 3}, []uint8{18, 2}},
		{"palette", fill(image.NewPaletted(at, palette), palette[0], palette[1]), []uint8{9, 8, 7, 100, 50, 25}, []uint8{8, 62}},
		{"cmyk", fill(image.NewCMYK(at), color.CMYK{0, 255, 128, 0}, color.CMYK{10, 20, 30, 40}), []uint8{255, 0, 127, 207, 198, 190}, []uint8{91, 200}},
		{"unknown type", fill(image.NewAlpha(at), color.Alpha{0}, color.Alpha{255}), []uint8{0, 0, 0, 255, 255, 255}, []uint8{0, 255}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.name == "palette" {
				test.img.(*image.Paletted).Pix[1] = 1 // Set ignores hidden colours
			}
			compare(t, FromImage(test.img).Pix, test.want)
			compare(t, convertGray(test.img, false).Pix, test.wantL)
		})
	}
}

// TestConvertYCbCr holds the fixed point against the formula in floating point, at
// every subsampling and from odd corners.
func TestConvertYCbCr(t *testing.T) {
	ratios := []image.YCbCrSubsampleRatio{
		image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420,
		image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410,
	}
	for _, ratio := range ratios {
		whole := image.NewYCbCr(image.Rect(0, 0, 13, 11), ratio)
		for i, plane := range [][]uint8{whole.Y, whole.Cb, whole.Cr} {
			copy(plane, randomRGB(uint64(i), 20, 20).Pix)
		}
		m := whole.SubImage(image.Rect(3, 5, 12, 10)).(*image.YCbCr)
		for _, video := range []bool{false, true} {
			p := convert(m, video)
			for y := range p.Height {
				for x := range p.Width {
					c := m.YCbCrAt(3+x, 5+y)
					l, b, r := float64(c.Y), float64(c.Cb)-128, float64(c.Cr)-128
					if video {
						l, b, r = (l-16)*255/219, b*255/224, r*255/224
					}
					want := [3]float64{l + 1.402*r, l - 0.344136*b - 0.714136*r, l + 1.772*b}
					for k, v := range want {
						v = max(0, min(v, 255))
						if got := float64(p.row(y)[3*x+k]); got < v-0.51 || got > v+0.51 {
							t.Fatalf("%v, video %v: %v became %v, want %v", ratio, video, c, got, v)
						}
					}
				}
			}
		}
	}
}

func TestDecodeWebP(t *testing.T) {
	p, err := Decode(bytes.NewReader(webpPixel(200, 100, 50)))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, p.Pix, []uint8{200, 100, 50})
}

func TestOpenErrors(t *testing.T) {
	folder := t.TempDir()
	whole := encodePNG(t, randomRGB(1, 40, 40).Image())
	wholeJPEG := encodeJPEG(t, randomRGB(1, 40, 40).Image())
	huge := bytes.Clone(whole)
	binary.BigEndian.PutUint32(huge[16:], 100000)
	binary.BigEndian.PutUint32(huge[20:], 100000)
	fixCRC(huge[12:33])
	tests := []struct {
		name string
		file []byte
		want error
		say  string
	}{
		{"text.jpg", []byte("hello, this is no picture"), ErrFormat, "PNG, JPEG, BMP, TIFF, WebP"},
		{"bm.bmp", []byte("BMW is a car maker from Munich"), ErrFormat, "PNG, JPEG, BMP, TIFF, WebP"},
		{"empty.png", nil, ErrDamaged, "empty"},
		{"short.png", whole[:len(whole)/2], ErrDamaged, "copy or export it again"},
		{"header.png", whole[:20], ErrDamaged, "PNG"},
		{"short.jpg", wholeJPEG[:len(wholeJPEG)/2], ErrDamaged, "JPEG"},
		{"magic.jpg", wholeJPEG[:3], ErrDamaged, "JPEG"},
		{"huge.png", huge, ErrTooLarge, "100000×100000"},
	}
	for _, test := range tests {
		path := filepath.Join(folder, test.name)
		if err := os.WriteFile(path, test.file, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{second(Open(path)), second(OpenGray(path))} {
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.say) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v", test.name, err)
			}
		}
	}
	if err := second(Open(filepath.Join(folder, "absent.png"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
	if err := second(Open(folder)); err == nil || strings.Count(err.Error(), folder) != 1 {
		t.Errorf("folder: %v", err)
	}
	if err := second(Open(os.DevNull)); err == nil || !strings.Contains(err.Error(), "no ordinary file") {
		t.Errorf("a device: %v", err)
	}
	small := filepath.Join(folder, "fine.png")
	if err := os.WriteFile(small, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := second(Open(small, WithMaxPixels(1599))); !errors.Is(err, ErrTooLarge) {
		t.Errorf("1600 pixels under a limit of 1599: %v", err)
	}
	if err := second(Open(small, WithMaxPixels(1600))); err != nil {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }

// fixCRC renews the checksum of a PNG chunk from its type to its end.
func fixCRC(chunk []byte) {
	crc := ^uint32(0)
	for _, b := range chunk[:len(chunk)-4] {
		crc ^= uint32(b)
		for range 8 {
			crc = crc>>1 ^ 0xedb88320*(crc&1)
		}
	}
	binary.BigEndian.PutUint32(chunk[len(chunk)-4:], ^crc)
}

func TestReaderErrorIsPassedOn(t *testing.T) {
	whole := encodePNG(t, randomRGB(1, 8, 8).Image())
	broken := errors.New("line cut")
	for _, n := range []int{0, 5, 30} {
		r := io.MultiReader(bytes.NewReader(whole[:n]), errReader{broken})
		if _, err := Decode(r); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

// TestWithContext ends the context while a decoder reads.
func TestWithContext(t *testing.T) {
	gone := errors.New("nobody waits any more")
	img := randomRGB(1, 300, 300).Image()
	var inBMP, inTIFF bytes.Buffer
	if err := errors.Join(bmp.Encode(&inBMP, img), tiff.Encode(&inTIFF, img, nil)); err != nil {
		t.Fatal(err)
	}
	for kind, file := range map[string][]byte{
		"PNG": encodePNG(t, img), "JPEG": encodeJPEG(t, img), "BMP": inBMP.Bytes(), "TIFF": inTIFF.Bytes(), "WebP": webpPixel(1, 2, 3),
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		if _, err := Decode(bytes.NewReader(file), WithContext(ctx)); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		cancel(gone)
		if _, err := Decode(bytes.NewReader(file), WithContext(ctx)); err != gone {
			t.Errorf("%s: %v after the context has ended", kind, err)
		}
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestGuardTurnsPanicsIntoErrors(t *testing.T) {
	err := guard(codec{name: "X"}, func() error { panic("index out of range") })
	if !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}

// exifSegment is an APP1 segment that asks for an orientation.
func exifSegment(order binary.AppendByteOrder, orientation uint16) []byte {
	block := []byte("II*\x00")
	if order == binary.AppendByteOrder(binary.BigEndian) {
		block = []byte("MM\x00*")
	}
	block = order.AppendUint32(block, 8)
	block = order.AppendUint16(block, 2)
	block = append(block, make([]byte, 12)...) // an entry of no interest
	block = order.AppendUint16(block, 0x0112)
	block = order.AppendUint16(block, 3)
	block = order.AppendUint32(block, 1)
	block = order.AppendUint16(block, orientation)
	block = append(block, 0, 0, 0, 0, 0, 0)
	segment := []byte{0xff, 0xe1, 0, byte(2 + 6 + len(block))}
	return append(append(segment, "Exif\x00\x00"...), block...)
}

func withSegment(jpegFile, segment []byte) []byte {
	out := bytes.Clone(jpegFile[:2])
	return append(append(out, segment...), jpegFile[2:]...)
}

func TestOrientation(t *testing.T) {
	// Every 8×8 block is of one colour, so that JPEG keeps them apart:
	//   A B
	//   C D
	//   E F
	const a, b, c, d, e, f = 10, 60, 110, 160, 200, 250
	img := image.NewGray(image.Rect(0, 0, 16, 24))
	for i := range img.Pix {
		img.Pix[i] = []uint8{a, b, c, d, e, f}[i/16/8*2+i%16/8]
	}
	file := encodeJPEG(t, img)
	want := [][]uint8{
		{}, // orientations count from 1
		{a, b, c, d, e, f},
		{b, a, d, c, f, e},
		{f, e, d, c, b, a},
		{e, f, c, d, a, b},
		{a, c, e, b, d, f},
		{e, c, a, f, d, b},
		{f, d, b, e, c, a},
		{b, d, f, a, c, e},
	}
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		for o := 1; o <= 8; o++ {
			turned := withSegment(file, exifSegment(order, uint16(o)))
			columns, rows := 2, 3
			if o >= 5 {
				columns, rows = 3, 2
			}
			g, err := DecodeGray(bytes.NewReader(turned))
			if err != nil {
				t.Fatal(err)
			}
			if g.Width != 8*columns || g.Height != 8*rows {
				t.Fatalf("orientation %d: %d×%d", o, g.Width, g.Height)
			}
			p, err := Decode(bytes.NewReader(turned))
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range want[o] {
				at := (i/columns*8+4)*g.Width + i%columns*8 + 4
				if diff := int(g.Pix[at]) - int(v); diff < -2 || diff > 2 {
					t.Errorf("orientation %d, block %d: %d, want %d", o, i, g.Pix[at], v)
				}
				if p.Pix[3*at] != g.Pix[at] {
					t.Errorf("orientation %d: colour and grey differ", o)
				}
			}
		}
	}
	for _, bad := range []uint16{0, 9, 65535} {
		if got := exifOrientation(withSegment(file, exifSegment(binary.LittleEndian, bad))); got != 1 {
			t.Errorf("orientation %d was taken for %d", bad, got)
		}
	}
	full := withSegment(file, exifSegment(binary.BigEndian, 6))
	for n := range 60 {
		if got := exifOrientation(full[:n]); got != 1 && got != 6 {
			t.Errorf("cut to %d bytes: %d", n, got)
		}
	}
}

func FuzzExifOrientation(f *testing.F) {
	img := encodeJPEG(f, image.NewGray(image.Rect(0, 0, 8, 8)))
	f.Add(img)
	f.Add(withSegment(img, exifSegment(binary.LittleEndian, 6)))
	f.Add(withSegment(img, exifSegment(binary.BigEndian, 3)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if o := exifOrientation(data); o < 1 || o > 8 {
			t.Errorf("orientation %d", o)
		}
	})
}

func FuzzDecode(f *testing.F) {
	p := randomRGB(1, 9, 7)
	f.Add(encodePNG(f, p.Image()))
	f.Add(encodePNG(f, image.NewPaletted(image.Rect(0, 0, 9, 7), color.Palette{color.Black, color.White})))
	f.Add(encodeJPEG(f, p.Image()))
	f.Add(withSegment(encodeJPEG(f, p.Image()), exifSegment(binary.BigEndian, 8)))
	var buf bytes.Buffer
	if err := bmp.Encode(&buf, p.Image()); err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Clone(buf.Bytes()))
	buf.Reset()
	if err := tiff.Encode(&buf, p.Image(), &tiff.Options{Compression: tiff.Deflate, Predictor: true}); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Add(webpPixel(200, 100, 50))
	f.Fuzz(func(t *testing.T, data []byte) {
		const most = 1 << 16
		p, err := Decode(bytes.NewReader(data), WithMaxPixels(most))
		again, againErr := DecodeBytes(data, WithMaxPixels(most))
		if !reflect.DeepEqual(p, again) || (err == nil) != (againErr == nil) || err != nil && err.Error() != againErr.Error() {
			t.Errorf("from a stream %v, from memory %v", err, againErr)
		}
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrTooLarge) {
				t.Errorf("an error of no known kind: %v", err)
			}
			return
		}
		if p.Width < 1 || p.Height < 1 || p.Width*p.Height > most || len(p.Pix) != 3*p.Width*p.Height {
			t.Errorf("%d×%d with %d bytes", p.Width, p.Height, len(p.Pix))
		}
	})
}

func BenchmarkDecodePNG900(b *testing.B) {
	file := encodePNG(b, drawn("bench", 900, 900).Image())
	for b.Loop() {
		if _, err := Decode(bytes.NewReader(file)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeJPEG900(b *testing.B) {
	file := encodeJPEG(b, drawn("bench", 900, 900).Image())
	for b.Loop() {
		if _, err := Decode(bytes.NewReader(file)); err != nil {
			b.Fatal(err)
		}
	}
}
