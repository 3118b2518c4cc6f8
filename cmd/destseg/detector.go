package main

import (
	"fmt"
	"os"

	"github.com/destseg/destseg"
)

// open opens a detector to run it as the flags say.
func (o computing) open(path string) (*destseg.Detector, error) {
	e, err := destseg.NewEngine(o.engine)
	if err != nil {
		return nil, err
	}
	return destseg.Open(path, destseg.WithEngine(e), destseg.WithPrecision(o.precision), destseg.WithThreads(o.threads))
}

// thresholdRows tells of a threshold in a list.
func thresholdRows(t *destseg.Threshold) [][2]string {
	if t == nil {
		return [][2]string{{"threshold", "none"}}
	}
	return [][2]string{
		{"threshold", fmt.Sprintf("%.4f for pictures, %.4f for pixels", t.Image, t.Pixel)},
		{"", t.Source},
	}
}

// fileSize returns the size of a file, in brackets after its name.
func fileSize(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return " (" + formatBytes(info.Size()) + ")"
}
