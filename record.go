package destseg

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/region"
	"github.com/destseg/destseg/train"
)

// FormatVersion is the version of the record that this package writes. It reads
// this one and earlier ones.
//
// Format 2 has what a program for format 1 would pass over and judge otherwise:
// Preprocessing.Fit and Regions.
const FormatVersion = 2

// PillowBilinear is the only way of resizing that detectors have: that of
// [picture.RGB.Resize].
const PillowBilinear = "pillow-bilinear"

// MaxPixels is the largest network size, in pixels, that a detector may have.
// At that size inspecting takes some gigabytes.
const MaxPixels = 2048 * 2048

// MaxTile is the largest tile, in pixels of the picture across.
const MaxTile = 1 << 16

// MaxEnlarged is how many times the pixels of a tile may be enlarged.
const MaxEnlarged = 4

// MaxText is the largest length, in bytes, of a text in a record.
const MaxText = 1000

var (
	// ErrNotDetector is wrapped by the error for a weight file without a record, or
	// for a file that is no weight file.
	ErrNotDetector = errors.New("not a detector")
	// ErrNewer is wrapped by the error for a detector in a format that a later
	// version of this package introduced.
	ErrNewer = errors.New("made by a newer version of destseg")
	// ErrRecord is wrapped by the error for a record that can't be read or asks
	// for something impossible.
	ErrRecord = errors.New("unusable detector record")
	// ErrTensors is wrapped by the error for weights that lack tensors, have them
	// in another shape, or hold values that are no finite numbers.
	ErrTensors = errors.New("unusable weights")
)

// A Record tells everything about a detector that its weights don't.
type Record struct {
	Format   int       `json:"format"`   // version of this record; set by [Save]
	Program  string    `json:"program"`  // version of the program that trained it; [Save] fills in its own
	Created  time.Time `json:"created"`  // RFC 3339 in JSON; [Save] fills in the time
	Category string    `json:"category"` // what the pictures show, as the user calls it

	Preprocessing Preprocessing  `json:"preprocessing"`
	Recipe        train.Recipe   `json:"recipe"`
	Teacher       TeacherRecord  `json:"teacher"`
	Pictures      PicturesRecord `json:"pictures"`         // good pictures that it was trained on
	Textures      string         `json:"textures"`         // what was blended in: a folder's name, or "procedural"
	Engine        string         `json:"engine"`           // that trained it, with its version
	Precision     string         `json:"precision"`        // of the training
	Seconds       float64        `json:"training_seconds"` // wall-clock time

	Imported *ImportRecord `json:"imported,omitempty"` // nil: trained by this program

	Threshold *Threshold      `json:"threshold,omitempty"` // nil: none set
	Regions   region.Settings `json:"regions"`
	Metrics   *Evaluation     `json:"metrics,omitempty"` // nil: not measured; saved without what names files

	Quantization *Quantization `json:"quantization,omitempty"` // nil: not quantized
}

// TeacherRecord names the teacher that a detector was trained with. The
// teacher's weights are in the detector.
type TeacherRecord struct {
	Name   string `json:"name"`   // builtin, imagenet, or a file's without its folder
	Digest string `json:"digest"` // SHA-256, hexadecimal, of the file that it was published in
}

// Preprocessing says what happens to an 8-bit RGB picture before the networks
// see it: it is resized, cut or filled up to Width×Height, both multiples of 32, and
// every value v of channel c becomes (v/255 − Mean[c]) / Std[c].
//
// With [picture.Stretch] it is resized to that size. With [picture.Pad] it is resized to
// the largest size of its own shape that fits in, and its right and lower border repeat
// in what is left. With [picture.Tiles] it is resized so that Tile of its pixels become
// Width, and seen in windows of the networks' size that overlap by Overlap of its pixels
// or more; in the overlap their maps pass linearly into each other. What lies outside
// the picture enters no map and no score.
type Preprocessing struct {
	Width   int         `json:"width"`
	Height  int         `json:"height"`
	Resize  string      `json:"resize"` // [PillowBilinear]
	Fit     picture.Fit `json:"fit"`
	Tile    int         `json:"tile,omitempty"`    // for tiles
	Overlap int         `json:"overlap,omitempty"` // for tiles, at most half of Tile
	Mean    [3]float32  `json:"mean"`
	Std     [3]float32  `json:"std"`
}

// StandardPreprocessing is that of the published code at a network size.
func StandardPreprocessing(width, height int) Preprocessing {
	mean, std := picture.ImageNet()
	return Preprocessing{Width: width, Height: height, Resize: PillowBilinear, Mean: mean, Std: std}
}

// Check says what is wrong with a record, if anything is; the error wraps
// [ErrRecord]. It does not look at Format, which [Save] sets.
func (r Record) Check() error {
	if err := r.Preprocessing.check(); err != nil {
		return fmt.Errorf("%w: preprocessing: %w", ErrRecord, err)
	}
	if err := r.Regions.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if r.Threshold != nil {
		if err := r.Threshold.check(); err != nil {
			return fmt.Errorf("%w: %w", ErrRecord, err)
		}
	}
	if r.Quantization != nil {
		if err := r.Quantization.check(); err != nil {
			return fmt.Errorf("%w: %w", ErrRecord, err)
		}
	}
	for _, text := range r.texts() {
		if len(text) > MaxText {
			return fmt.Errorf("%w: a text of %d bytes, %.20q…; at most %d are kept", ErrRecord, len(text), text, MaxText)
		}
	}
	if r.Pictures.Count < 0 {
		return fmt.Errorf("%w: trained on %d pictures", ErrRecord, r.Pictures.Count)
	}
	return nil
}

// texts lists what a record says to people, who read it on a terminal.
func (r Record) texts() []string {
	texts := []string{r.Category, r.Program, r.Textures, r.Engine, r.Precision, r.Teacher.Name, r.Teacher.Digest, r.Pictures.Digest}
	if r.Imported != nil {
		texts = append(texts, r.Imported.File, r.Imported.Digest)
	}
	if r.Threshold != nil {
		texts = append(texts, r.Threshold.Source)
		if r.Threshold.Calibration != nil {
			texts = append(texts, r.Threshold.Calibration.Good.Digest)
		}
	}
	if r.Quantization != nil {
		texts = append(texts, r.Quantization.Good.Digest)
	}
	if r.Metrics != nil {
		texts = append(append(texts, r.Metrics.Engine, r.Metrics.Precision), r.Metrics.Protocol...)
		for _, kind := range r.Metrics.Defects {
			texts = append(texts, kind.Name)
		}
	}
	return texts
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// parseRecord reads and checks the JSON of a record. Keys that it doesn't know
// are passed over.
func parseRecord(text []byte) (Record, error) {
	// The version comes first: what the rest means depends on it.
	var head struct {
		Format *int `json:"format"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	switch {
	case head.Format == nil || *head.Format < 1:
		return Record{}, fmt.Errorf("%w: it has no format version", ErrRecord)
	case *head.Format > FormatVersion:
		return Record{}, fmt.Errorf("%w: format %d, this program (%s) reads up to %d; update it to open this detector",
			ErrNewer, *head.Format, Version(), FormatVersion)
	}
	var r Record
	if err := json.Unmarshal(text, &r); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return r, r.Check()
}

// JSON checks a record and returns it as a detector's file holds it. The error wraps
// [ErrRecord].
func (r Record) JSON() (string, error) {
	r.Format = FormatVersion
	if err := r.Check(); err != nil {
		return "", err
	}
	if r.Metrics != nil {
		kept := *r.Metrics
		kept.Scores, kept.Failed, kept.Warnings = nil, nil, nil // file names may be confidential
		r.Metrics = &kept
	}
	text, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return string(text), nil
}
