package destseg

import "testing"

func TestSetThresholds(t *testing.T) {
	own := Threshold{Image: 0.3, Pixel: 0.6, Source: "calibrated", Calibration: &Calibration{}}
	for _, test := range []struct {
		name         string
		own          *Threshold
		image, pixel *float64
		want         *Threshold // without its calibration
		calibrated   bool
	}{
		{name: "nothing"},
		{name: "nothing new", own: &own, want: &own, calibrated: true},
		{name: "image", own: &own, image: new(0.4), want: &Threshold{Image: 0.4, Pixel: 0.6, Source: "given"}},
		{name: "pixel", own: &own, pixel: new(0.0), want: &Threshold{Image: 0.3, Pixel: 0, Source: "calibrated"}, calibrated: true},
		{name: "image for both", image: new(0.4), want: &Threshold{Image: 0.4, Pixel: 0.4, Source: "given"}},
		{name: "pixel for both", pixel: new(0.5), want: &Threshold{Image: 0.5, Pixel: 0.5, Source: "given"}},
		{name: "both", image: new(0.4), pixel: new(0.5), want: &Threshold{Image: 0.4, Pixel: 0.5, Source: "given"}},
	} {
		r := Record{Threshold: test.own}.clone()
		r.SetThresholds(test.image, test.pixel)
		got := r.Threshold
		if got == nil || test.want == nil {
			if got != test.want {
				t.Errorf("%s: %v, want %v", test.name, got, test.want)
			}
			continue
		}
		if got.Image != test.want.Image || got.Pixel != test.want.Pixel || got.Source != test.want.Source || (got.Calibration != nil) != test.calibrated {
			t.Errorf("%s: %+v, want %+v", test.name, *got, *test.want)
		}
	}
}
