package onnx

import (
	"errors"
	"fmt"
	"io"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/quantize"
)

// Names of a model's inputs and outputs; the package comment describes them.
const (
	Image   = "image"
	Picture = "picture"

	AnomalyMap = "anomaly_map"
	Score      = "score"
	DeSTMap    = "dest_map"
)

// RecordKey is where a model's metadata hold the detector's record.
const RecordKey = "destseg"

var (
	// ErrROI is wrapped by the error for a detector with an ROI, which a model can't
	// have.
	ErrROI = errors.New("the detector has an ROI, which an ONNX model can't have")
	// ErrTiles is wrapped by the error for a model with preprocessing of a detector
	// that sees tiles.
	ErrTiles = errors.New("the detector sees pictures in tiles, which an ONNX model can't cut")
	// ErrRange is wrapped by the error for weights beyond a precision's range.
	ErrRange = errors.New("weights out of range")
)

// A Precision is what the networks compute in, where the consumer of a model does as it
// says.
type Precision int

const (
	Float32 Precision = iota // "fp32"
	Float16                  // "fp16": see the package comment
	Int8                     // "int8": see there
)

var precisionNames = [...]string{"fp32", "fp16", "int8"}

// String returns the name that ParsePrecision reads.
func (p Precision) String() string {
	if p < 0 || int(p) >= len(precisionNames) {
		return fmt.Sprintf("Precision(%d)", int(p))
	}
	return precisionNames[p]
}

// ParsePrecision reads "fp32", "fp16" or "int8".
func ParsePrecision(s string) (Precision, error) {
	for i, name := range precisionNames {
		if s == name {
			return Precision(i), nil
		}
	}
	return 0, fmt.Errorf("precision %q; ONNX models have fp32, fp16 or int8", s)
}

// Options of a model. The zero value means float32, normalised pictures of the
// network's size, and the outputs [AnomalyMap] and [Score].
type Options struct {
	Precision Precision
	// DynamicSize lets the caller choose the height and width of [Image]. With
	// Preprocessing the size of a picture is free in any case, and that of the
	// networks fixed.
	DynamicSize bool
	// Preprocessing makes [Picture] the input in place of [Image].
	Preprocessing bool
	// DeST adds the output [DeSTMap].
	DeST bool
	// WithoutROI leaves out the detector's ROI: map and score are those of the whole
	// picture.
	WithoutROI bool
}

// Write writes a detector as an ONNX model; record and values are as [destseg.Read]
// returns them, and values that it checks are not checked again.
//
// Errors wrap [ErrROI], [ErrTiles], [destseg.ErrNotQuantized], [ErrRange] or [destseg.ErrRecord], or come from w.
func Write(w io.Writer, r destseg.Record, values map[string][]float32, o Options) error {
	m, err := build(r, values, o)
	if err != nil {
		return err
	}
	encoded := m.encode()
	return encoded.writeTo(w)
}

func build(r destseg.Record, values map[string][]float32, o Options) (*model, error) {
	how := r.Preprocessing
	switch {
	case r.Regions.ROI != nil && !o.WithoutROI:
		return nil, ErrROI
	case how.Fit == picture.Tiles && o.Preprocessing:
		return nil, ErrTiles
	}
	record, err := r.JSON()
	if err != nil {
		return nil, err
	}
	g, err := network.Inference(network.Size{Batch: 1, Height: how.Height, Width: how.Width}, false)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", destseg.ErrRecord, err)
	}
	if o.Precision == Int8 {
		if r.Quantization == nil {
			return nil, destseg.ErrNotQuantized
		}
		if g, err = quantize.Graph(g, r.Quantization.Steps); err != nil {
			return nil, fmt.Errorf("%w: %w", destseg.ErrRecord, err)
		}
	}
	m := newModel()
	m.version, m.metadata = destseg.Version(), [][2]string{{RecordKey, record}}
	m.doc = fmt.Sprintf("DeSTSeg detector %q: finds what differs from good pictures. The metadata hold its record.", r.Category)
	for _, name := range []string{Image, Picture, AnomalyMap, Score, DeSTMap} {
		m.name(name) // taken
	}
	l := &lowering{model: m, half: o.Precision == Float16, tensor: func(name string, v []float32) error {
		copy(v, values[name])
		return nil
	}}
	var f frame
	if o.Preprocessing {
		f = m.prepared(how)
	} else {
		f = m.bare(how, o.DynamicSize)
	}
	l.picture, l.sizes = f.image, f.sizes
	segmentation, dest := output(g, network.Segmentation), output(g, network.DeST)
	outputs := []graph.Value{segmentation}
	if o.DeST {
		outputs = append(outputs, dest)
	}
	if err := l.lower(g, outputs); err != nil {
		return nil, err
	}
	m.outputs = append(m.outputs,
		port{f.enlarge(AnomalyMap, l.values[segmentation].name), float32s, f.mapDims, "N×1×H×W: the anomaly map at the size of the input, in [0,1]"},
		port{f.score(l.values[segmentation].name), float32s, []any{batch}, "N: the mean of the 100 largest values of the map at network scale"},
	)
	if o.DeST {
		m.outputs = append(m.outputs, port{f.enlarge(DeSTMap, l.values[dest].name), float32s, f.mapDims, "N×1×H×W: the product of the cosine distances of teacher and student"})
	}
	return m, nil
}

// output finds an output of the networks.
func output(g *graph.Graph, name string) graph.Value {
	for _, o := range g.Outputs {
		if o.Name == name {
			return o.Value
		}
	}
	panic("onnx: the inference has no output " + name)
}
