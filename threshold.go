package destseg

import (
	"fmt"
	"strings"
)

// A Threshold separates good from anomalous. Like scores and maps, its values lie
// in [0,1].
type Threshold struct {
	// Image is the largest image score of a good picture.
	Image float64 `json:"image"`
	// Pixel is the largest value of the segmentation map at a good place.
	Pixel float64 `json:"pixel"`
	// Source tells in a sentence where both come from.
	Source string `json:"source"`

	// Heat is the scale of heat maps; nil: one that follows from Pixel. See
	// [Threshold.HeatScale].
	Heat *Scale `json:"heat,omitempty"`
	// Calibration tells what the threshold can promise; nil: nothing is known.
	Calibration *Calibration `json:"calibration,omitempty"`
}

// A Scale goes from values that are as calm as can be to those that are as alarming.
type Scale struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// A Calibration tells how [Calibrate] found a threshold and what happens at it.
type Calibration struct {
	Objective Objective `json:"objective"`
	Target    float64   `json:"target,omitempty"` // the share aimed at; none for [BestF1]
	// Trained says that the detector was trained on the good pictures, knows them,
	// and promises nothing about others.
	Trained bool `json:"trained,omitempty"`
	// Modelled says that the good pictures are too few for the target, so that the
	// tail of their scores was modelled.
	Modelled bool `json:"modelled,omitempty"`

	Good PicturesRecord `json:"good"` // by whose scores
	// FalseAlarms are the good pictures that are rejected. Unless Trained, so will be
	// a share of Bound of all, or less, and about (Count+1)/(Of+1).
	FalseAlarms Share `json:"false_alarms"`
	// Caught are the labelled defective pictures that are rejected; nil: there were
	// none. A share of Bound of all, or more, will be.
	Caught *Share `json:"caught,omitempty"`
	// Synthetic are the synthetic anomalies on good pictures that are rejected; nil:
	// none were made. They are of the kind that the detector was trained with, so
	// that real defects may do worse.
	Synthetic *Share `json:"synthetic,omitempty"`
}

// A Share is how many of some pictures were counted, with a limit for the share of all
// pictures of their kind: an upper one for what is feared and a lower one for what is
// hoped for. It holds with a confidence of 95 % (Clopper and Pearson) if these pictures
// were drawn like those to come and did not themselves set the threshold, other than
// good ones by order statistics.
type Share struct {
	Count int     `json:"count"`
	Of    int     `json:"of"`
	Bound float64 `json:"bound"`
}

// provisional begins the source of a threshold by pictures trained on.
const provisional = "provisional: "

// Provisional reports whether the threshold comes from the very pictures that the
// detector was trained on, and so promises no rate of false alarms.
func (t Threshold) Provisional() bool {
	if t.Calibration != nil {
		return t.Calibration.Trained
	}
	return strings.HasPrefix(t.Source, provisional) // as format 1 has it
}

// HeatScale returns the values of a map between which heat maps are painted: nothing
// up to low, which half of all good pictures nowhere exceed, and in full from high on.
// The pixel threshold lies half way, or above that where the scale ends at 1, so that
// what is above it is plain to see, however weak or strong a detector's maps are.
func (t Threshold) HeatScale() (low, high float32) {
	if t.Heat != nil {
		return float32(t.Heat.Low), float32(t.Heat.High)
	}
	s := heatScale(t.Pixel/2, t.Pixel)
	return float32(s.Low), float32(s.High)
}

// heatScale returns the scale for what good pictures reach and the pixel threshold.
func heatScale(calm, threshold float64) Scale {
	calm = min(calm, 0.9*threshold)
	return Scale{Low: calm, High: min(2*threshold-calm, 1)}
}

// SetThresholds sets the threshold of scores and that of pixels, where they are not nil.
// If only one is given and the detector has none, it serves for both. What a calibration
// promised of another image threshold does not hold for this one and goes.
func (r *Record) SetThresholds(image, pixel *float64) {
	if image == nil && pixel == nil {
		return
	}
	if r.Threshold == nil {
		either := image
		if either == nil {
			either = pixel
		}
		r.Threshold = &Threshold{Image: *either, Pixel: *either, Source: "given"}
	}
	if image != nil {
		r.Threshold.Image, r.Threshold.Source, r.Threshold.Calibration = *image, "given", nil
	}
	if pixel != nil {
		r.Threshold.Pixel = *pixel
	}
}

// check says what is wrong with a threshold.
func (t Threshold) check() error {
	values := []float64{t.Image, t.Pixel}
	if t.Heat != nil {
		values = append(values, t.Heat.Low, t.Heat.High)
	}
	for _, v := range values {
		if !(v >= 0 && v <= 1) { // negated, so that NaN fails
			return fmt.Errorf("thresholds %v and %v on the scale of heat %v; scores and maps lie in [0,1]", t.Image, t.Pixel, t.Heat)
		}
	}
	if t.Heat != nil && t.Heat.Low > t.Heat.High {
		return fmt.Errorf("a scale of heat from %v to %v; it ascends", t.Heat.Low, t.Heat.High)
	}
	if c := t.Calibration; c != nil {
		for _, s := range []*Share{&c.FalseAlarms, c.Caught, c.Synthetic} {
			if s != nil && !(s.Count >= 0 && s.Count <= s.Of && s.Bound >= 0 && s.Bound <= 1) {
				return fmt.Errorf("calibration: %d of %d, limit %v", s.Count, s.Of, s.Bound)
			}
		}
		if !(c.Target >= 0 && c.Target <= 1) || c.Objective > MinRecall {
			return fmt.Errorf("calibration: objective %v with a target of %v", c.Objective, c.Target)
		}
	}
	return nil
}
