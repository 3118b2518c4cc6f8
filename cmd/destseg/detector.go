package main

import (
	"fmt"
	"math"
	"os"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/calibrate"
)

// open opens a detector to run it as the flags say.
func (o computing) open(path string, more ...destseg.Option) (*destseg.Detector, error) {
	e, err := destseg.NewEngine(o.engine)
	if err != nil {
		return nil, err
	}
	return destseg.Open(path, append(more, destseg.WithEngine(e), destseg.WithPrecision(o.precision), destseg.WithThreads(o.threads))...)
}

// thresholdRows tells of a threshold in a list.
func thresholdRows(t *destseg.Threshold) [][2]string {
	if t == nil {
		return [][2]string{{"threshold", "none"}}
	}
	rows := [][2]string{
		{"threshold", fmt.Sprintf("%.4f for pictures, %.4f for pixels", t.Image, t.Pixel)},
		{"", t.Source},
	}
	k := t.Calibration
	if k == nil {
		return rows
	}
	if k.Modelled && !k.Trained {
		rows = append(rows, [2]string{"", fmt.Sprintf("to promise %g %% with that confidence takes %d good pictures of which none is rejected", 100*k.Target, promising(k.Target))})
	}
	tell := func(s *destseg.Share, of, reserve string) {
		if s != nil {
			text := fmt.Sprintf("none of %s", formatCount(s.Of, of))
			if s.Count > 0 {
				text = fmt.Sprintf("%d of %s, with 95 %% confidence %.1f %% of such or more%s", s.Count, formatCount(s.Of, of), 100*s.Bound, reserve)
			}
			rows = append(rows, [2]string{"catches", text})
		}
	}
	tell(k.Caught, "labelled defect", "")
	tell(k.Synthetic, "synthetic defect", "; real defects may do worse")
	return rows
}

// promising returns how many good pictures, none of which is rejected, promise a rate of
// false alarms with the confidence of a calibration.
func promising(rate float64) int {
	return int(math.Ceil(math.Log(1-calibrate.Confidence) / math.Log(1-rate)))
}

// fileSize returns the size of a file, in brackets after its name.
func fileSize(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return " (" + formatBytes(info.Size()) + ")"
}
