package region

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestROI(t *testing.T) {
	roi, err := ParseROI([]byte(`{"width": 8, "height": 4,
		"include": [[[[1, 0], [7, 0], [7, 4], [1, 4]], [[3, 1], [5, 1], [5, 3], [3, 3]]], [[[0, 3], [2, 3], [2, 4], [0, 4], [0, 3]]]],
		"exclude": [[[[6, 0], [8, 0], [8, 2]]]]}`))
	if err != nil {
		t.Fatal(err)
	}
	show := func(mask []uint8, width int) string {
		var b strings.Builder
		for i, m := range mask {
			b.WriteByte(".x"[m])
			if i%width == width-1 {
				b.WriteByte('\n')
			}
		}
		return b.String()
	}
	want := ".xxxxx..\n" +
		".xx..xx.\n" +
		".xx..xx.\n" +
		"xxxxxxx.\n"
	if got := show(roi.Mask(8, 4), 8); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	// On a picture of half the size, and on a picture of another size resized to it.
	want = "xx..\nxxxx\n" // (0,0) has its centre at (1,1), on the border
	if got := show(roi.Mask(4, 2), 4); got != show(roi.MaskOf(16, 8, 4, 2), 4) {
		t.Errorf("got\n%s", got)
	}
	fixed := &ROI{Exclude: []Polygon{{{{0, 0}, {4, 0}, {4, 4}, {0, 4}}}}}
	if got := show(fixed.Mask(6, 5), 6); got != "....xx\n....xx\n....xx\n....xx\nxxxxxx\n" {
		t.Errorf("got\n%s", got)
	}
	if got := show(fixed.MaskOf(6, 6, 3, 3), 3); got != "..x\n..x\nxxx\n" {
		t.Errorf("got\n%s", got)
	}
	if (*ROI)(nil).Mask(3, 3) != nil {
		t.Error("no ROI has a mask")
	}
}

// TestMaskROI checks that a mask comes back from its borders, through JSON too.
func TestMaskROI(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 12))
	for range 20 {
		mask := make([]uint8, 23*14)
		for i := range mask {
			mask[i] = b2u(r.Float64() < 0.5)
		}
		roi, err := MaskROI(mask, 23, 14)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(roi)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseROI(text)
		if err != nil || !reflect.DeepEqual(again, roi) {
			t.Fatal(err)
		}
		if !slices.Equal(again.Mask(23, 14), mask) {
			t.Errorf("%v came back as %v", mask, again.Mask(23, 14))
		}
	}
	if _, err := MaskROI(make([]uint8, 12), 4, 3); !errors.Is(err, ErrROI) {
		t.Errorf("a blank mask: %v", err)
	}
	noise := make([]uint8, 600*600)
	for i := range noise {
		noise[i] = uint8(i+i/600) % 2
	}
	if _, err := MaskROI(noise, 600, 600); !errors.Is(err, ErrROI) || !strings.Contains(err.Error(), "at most 65536") {
		t.Errorf("a chessboard: %v", err)
	}
}

func TestFits(t *testing.T) {
	drawn := &ROI{Width: 900, Height: 600}
	for _, c := range []struct {
		roi           *ROI
		width, height int
		want          bool
	}{
		{nil, 3, 5, true}, {&ROI{}, 3, 5, true},
		{drawn, 900, 600, true}, {drawn, 450, 300, true}, {drawn, 301, 200, true}, {drawn, 1800, 1190, true},
		{drawn, 600, 900, false}, {drawn, 900, 900, false}, {drawn, 900, 620, false},
	} {
		if got := c.roi.Fits(c.width, c.height); got != c.want {
			t.Errorf("%+v on %d×%d: %v", c.roi, c.width, c.height, got)
		}
	}
}

func TestParseROIRefuses(t *testing.T) {
	for text, want := range map[string]string{
		``:                                       "EOF",
		`[]`:                                     "expected {",
		`{}`:                                     "no polygons",
		`{"inklude": []}`:                        "inklude",
		`{"include": [[]]}`:                      "without a border",
		`{"include": [[[[0,0],[1,1]]]]}`:         "a border of 2 points",
		`{"include": [[[[0,0],[1,1],[1e9,0]]]]}`: "coordinates are in pixels",
		`{"width": 5, "include": [[[[0,0],[1,1],[1,0]]]]}`:               "give its width and height, or neither",
		`{"include": [[[[0,0],[1,1],[1,0]]]]} x`:                         "something follows",
		`{"width": -5, "height": 5, "include": [[[[0,0],[1,1],[1,0]]]]}`: "of -5×5",
	} {
		if _, err := ParseROI([]byte(text)); !errors.Is(err, ErrROI) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// FuzzParseROI checks that what is accepted can be drawn and written.
func FuzzParseROI(f *testing.F) {
	f.Add([]byte(`{"width": 8, "height": 4, "include": [[[[1, 0], [7, 0], [7, 4]]]]}`))
	f.Add([]byte(`{"exclude": [[[[-1, 0], [7.5, 1e5], [7, 4]], [[0,0],[0,0],[0,0]]]]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		roi, err := ParseROI(text)
		if err != nil {
			if !errors.Is(err, ErrROI) {
				t.Error(err)
			}
			return
		}
		roi.MaskOf(50, 40, 13, 9)
		again, err := json.Marshal(roi)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParseROI(again); err != nil || !slices.Equal(back.Mask(13, 9), roi.Mask(13, 9)) {
			t.Errorf("%s came back as %s: %v", text, again, err)
		}
	})
}
