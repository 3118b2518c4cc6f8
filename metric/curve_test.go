package metric

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestCurveText(t *testing.T) {
	for _, test := range []struct {
		curve Curve
		text  string
		again Curve
	}{
		{nil, "", nil},
		{Curve{{0, 1}}, "0,1", Curve{{0, 1}}},
		{Curve{{0, 0}, {1. / 3, 0.5}, {1e-9, 1}}, "0,0 0.3333,0.5 0,1", Curve{{0, 0}, {0.3333, 0.5}, {0, 1}}},
	} {
		text, err := test.curve.MarshalText()
		if err != nil || string(text) != test.text {
			t.Errorf("%v: %q, %v", test.curve, text, err)
		}
		var again Curve
		if err := again.UnmarshalText(text); err != nil || !slices.Equal(again, test.again) {
			t.Errorf("%q: %v, %v", text, again, err)
		}
	}
	for _, wrong := range []string{"1", "1,", ",1", "1,2", "-1,0", "NaN,0", "0,0,0", "0;0", strings.Repeat("0,0 ", maxCurve+1)} {
		c := Curve{{1, 1}}
		if err := c.UnmarshalText([]byte(wrong)); !errors.Is(err, ErrCurve) || len(c) != 1 {
			t.Errorf("%.20q: %v, %v", wrong, c, err)
		}
	}
}

func FuzzCurve(f *testing.F) {
	f.Add("0,0 0.25,0.75 1,1")
	f.Fuzz(func(t *testing.T, text string) {
		var c, again Curve
		if err := c.UnmarshalText([]byte(text)); err != nil {
			return
		}
		written, err := c.MarshalText()
		if err != nil || again.UnmarshalText(written) != nil || len(again) != len(c) {
			t.Errorf("%q becomes %q, %v", text, written, err)
		}
	})
}
