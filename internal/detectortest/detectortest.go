// Package detectortest makes detectors that work and know nothing, for tests of what is
// built around detectors.
package detectortest

import (
	"github.com/destseg/destseg"
	"github.com/destseg/destseg/internal/golden"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/train"
)

// Size is that of pictures as the networks see them, across and down, in pixels.
const Size = 32

// Write writes a detector with weights drawn at random, always the same, and 0.5 for
// thresholds. The file has 134 MiB: a test that needs several links them.
func Write(path string) error {
	values := map[string][]float32{}
	for _, t := range network.Tensors() {
		values[t.Name] = golden.Draw(t.Name, t.Shape)
	}
	return destseg.Save(path, destseg.Record{
		Program: "test", Category: "flange",
		Preprocessing: destseg.StandardPreprocessing(Size, Size), Recipe: train.Published("flange"),
		Teacher:  destseg.TeacherRecord{Name: "builtin", Digest: "0123456789abcdef"},
		Pictures: destseg.PicturesRecord{Count: 12, Digest: "fedcba9876543210"}, Textures: "procedural",
		Engine: "plain", Precision: "fp32", Seconds: 90,
		Threshold: &destseg.Threshold{Image: 0.5, Pixel: 0.5, Source: "made up"},
	}, values)
}
