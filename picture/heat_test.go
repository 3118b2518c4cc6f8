package picture

import (
	"image"
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestNormalize(t *testing.T) {
	p := &RGB{2, 1, []uint8{0, 128, 255, 10, 20, 30}}
	mean, std := ImageNet()
	dst := make([]float32, 6)
	p.Normalize(dst, mean, std)
	for i, v := range []uint8{0, 10, 128, 20, 255, 30} {
		c := i / 2
		want := (float64(v)/255 - float64(mean[c])) / float64(std[c])
		if math.Abs(float64(dst[i])-want) > 1e-6 {
			t.Errorf("value %d: %v, want %v", i, dst[i], want)
		}
	}
}

// TestHeatColoursAreEven checks what the scale promises: lightness (CIE L*) rises
// at every step, and no step is much larger than another.
func TestHeatColoursAreEven(t *testing.T) {
	colours := heatColours()
	lightness := func(c [3]uint8) float64 {
		linear := func(v uint8) float64 {
			u := float64(v) / 255
			if u <= 0.04045 {
				return u / 12.92
			}
			return math.Pow((u+0.055)/1.055, 2.4)
		}
		y := 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
		if y < 216.0/24389 {
			return y * 24389 / 27
		}
		return 116*math.Cbrt(y) - 16
	}
	for i := 8; i < 256; i += 8 {
		step := lightness(colours[i]) - lightness(colours[i-8])
		if step < 0.5 || step > 6 {
			t.Errorf("lightness moves by %.2f from colour %d to %d", step, i-8, i)
		}
	}
	if dark, light := lightness(colours[0]), lightness(colours[255]); dark > 10 || light < 90 {
		t.Errorf("lightness goes from %.0f to %.0f", dark, light)
	}
}

func TestColorize(t *testing.T) {
	nan := float32(math.NaN())
	inf := float32(math.Inf(1))
	p := Colorize([]float32{nan, -inf, 1, 2, 3, 4, inf, 4}, 4, 2, 2, 4)
	colours := heatColours()
	for i, want := range []int{0, 0, 0, 0, 128, 255, 255, 255} {
		compare(t, p.Pix[3*i:3*i+3], colours[want][:])
	}
	flat := Colorize([]float32{1, 2}, 2, 1, 1, 1) // an empty scale is a threshold
	compare(t, flat.Pix[:3], colours[0][:])
	compare(t, flat.Pix[3:], colours[255][:])
}

func TestOverlay(t *testing.T) {
	p := randomRGB(1, 2, 2)
	got := Overlay(p, []float32{0, 1, 5, 3}, 1, 5, 1)
	colours := heatColours()
	compare(t, got.Pix[:6], p.Pix[:6]) // calm
	compare(t, got.Pix[6:9], colours[255][:])
	for c := range 3 {
		want := (float64(p.Pix[9+c]) + float64(colours[128][c])) / 2
		if math.Abs(float64(got.Pix[9+c])-want) > 1 {
			t.Errorf("half painted: %d, want %v", got.Pix[9+c], want)
		}
	}
	compare(t, Overlay(p, []float32{9, 9, 9, 9}, 1, 5, 0).Pix, p.Pix)
}

func TestOutline(t *testing.T) {
	for _, c := range []struct{ mask, want string }{
		// The mask runs on beyond the upper border, so there is no line there.
		{"" +
			".XXXX." +
			".XXXX." +
			".XXXX." +
			".XXXX." +
			"......",
			"" +
				"#....#" +
				"#....#" +
				"#....#" +
				"#....#" +
				"######"},
		// Pieces between which two lines would run into each other are one.
		{"" +
			"......" +
			".X..X." +
			".X..X." +
			"......" +
			"......",
			"" +
				"######" +
				"#....#" +
				"#....#" +
				"######" +
				"......"},
	} {
		p, mask := NewRGB(6, 5), NewGray(6, 5)
		for i, v := range c.mask {
			if v == 'X' {
				mask.Pix[i] = 1
			}
		}
		got := Outline(p, mask, [3]uint8{255, 0, 0})
		for i, v := range c.want {
			if red := got.Pix[3*i] == 255; red != (v == '#') {
				t.Errorf("pixel %d,%d: drawn %v", i%6, i/6, red)
			}
		}
	}
}

// TestOutlineWidth checks that large pictures have a wider line.
func TestOutlineWidth(t *testing.T) {
	p, mask := NewRGB(300, 256), NewGray(300, 256)
	mask.Pix[100*300+150] = 255
	drawn := 0
	for i, v := range Outline(p, mask, [3]uint8{9, 9, 9}).Pix {
		if v != 0 && i%3 == 0 {
			drawn++
		}
	}
	if want := 5*5 - 1; drawn != want { // two pixels to all sides of one
		t.Errorf("%d pixels are drawn, want %d", drawn, want)
	}
}

func TestWriteWholeFiles(t *testing.T) {
	folder := t.TempDir()
	p := randomRGB(1, 30, 20)
	path := filepath.Join(folder, "a.png")
	for range 2 { // the second replaces the first
		if err := WritePNG(path, p.Image()); err != nil {
			t.Fatal(err)
		}
	}
	back, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, back.Pix, p.Pix)
	if err := WriteJPEG(filepath.Join(folder, "a.jpg"), p.Image(), 90); err != nil {
		t.Fatal(err)
	}
	g := &Gray{2, 1, []uint8{3, 250}}
	if err := WritePNG(filepath.Join(folder, "g.png"), g.Image()); err != nil {
		t.Fatal(err)
	}
	gBack, err := OpenGray(filepath.Join(folder, "g.png"))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, gBack.Pix, g.Pix)

	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 3 {
		t.Errorf("%d files, want 3: %v", len(entries), entries)
	}
	if err := WritePNG(filepath.Join(folder, "no", "a.png"), image.NewGray(image.Rect(0, 0, 1, 1))); err == nil {
		t.Error("wrote into a folder that does not exist")
	}
}
