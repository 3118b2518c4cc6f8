// Package detectortest makes detectors that work and know nothing, for tests of what is
// built around detectors.
package detectortest

import (
	"math/rand/v2"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/internal/golden"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/train"
)

// Size is that of pictures as the networks see them, across and down, in pixels.
const Size = 32

// Record is that of a detector of this package, with 0.5 for thresholds.
func Record() destseg.Record {
	return destseg.Record{
		Program: "test", Category: "flange",
		Preprocessing: destseg.StandardPreprocessing(Size, Size), Recipe: train.Published("flange"),
		Teacher:  destseg.TeacherRecord{Name: "builtin", Digest: "0123456789abcdef"},
		Pictures: destseg.PicturesRecord{Count: 12, Digest: "fedcba9876543210"}, Textures: "procedural",
		Engine: "plain", Precision: "fp32", Seconds: 90,
		Threshold: &destseg.Threshold{Image: 0.5, Pixel: 0.5, Source: "made up"},
	}
}

func values() map[string][]float32 {
	drawn := map[string][]float32{}
	for _, t := range network.Tensors() {
		drawn[t.Name] = golden.Draw(t.Name, t.Shape)
	}
	return drawn
}

// Write writes a detector with weights drawn at random, always the same. The file has
// 134 MiB: a test that needs several links them.
func Write(path string) error { return destseg.Save(path, Record(), values()) }

// Inspect returns a picture of noise and what a detector says about it whose record was
// changed.
func Inspect(width, height int, change func(*destseg.Record)) (*picture.RGB, *destseg.Inspection, error) {
	r := Record()
	change(&r)
	d, err := destseg.New(r, values())
	if err != nil {
		return nil, nil, err
	}
	defer d.Close()
	p := picture.NewRGB(width, height)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range p.Pix {
		p.Pix[i] = uint8(random.Uint32())
	}
	in, err := d.InspectRGB(p)
	return p, in, err
}
