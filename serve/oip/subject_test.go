package oip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/onednn"
	"github.com/destseg/destseg/internal/golden"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/train"
)

// A subject is what the conformance tests ask: models, one of which takes the input.
type subject struct {
	models         Models
	model, version string
	input          Tensor
}

// subjects are models of every data type and, where it does not take long, those of a real
// detector.
func subjects(t *testing.T) map[string]subject {
	all := map[string]subject{
		"echo": {echo{}, "echo", "3", Tensor{
			Name: "input0", Datatype: Uint32, Shape: []int64{2, 2}, Data: []byte{1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0},
		}},
	}
	if _, err := onednn.New(); err == nil || !testing.Short() {
		all["detector"] = subject{NewModels(screws{realDetector(t)}, Limits{}), "screw", "1", noiseTensor(2, 24, 40)}
	}
	return all
}

// echo is a model whose outputs are its inputs, and others that fail in all ways.
type echo struct{}

func (echo) Ready(context.Context) error { return fmt.Errorf("%w: model %q", ErrUnavailable, "away") }

func (echo) Index(context.Context) ([]Status, error) {
	return []Status{{"away", "", false, "its file is gone"}, {"echo", "3", true, ""}}, nil
}

func (echo) Metadata(_ context.Context, model, version string) (*Metadata, error) {
	if model != "echo" || version != "" && version != "3" {
		return nil, fmt.Errorf("%w: model %q, version %q", ErrNotFound, model, version)
	}
	return &Metadata{
		Name: model, Versions: []string{"3"}, Platform: "test_echo",
		Inputs:  []TensorMetadata{{"input0", Uint32, []int64{-1, 2}}},
		Outputs: []TensorMetadata{{"input0", Uint32, []int64{-1, 2}}},
	}, nil
}

func (e echo) Infer(ctx context.Context, r *Request) (*Response, error) {
	switch r.Model {
	case "busy":
		return nil, &BusyError{RetryAfter: 1500 * time.Millisecond}
	case "away":
		return nil, fmt.Errorf("%w: its file is gone", ErrUnavailable)
	case "large":
		return nil, fmt.Errorf("%w: a picture", ErrTooLarge)
	case "broken":
		return nil, errors.New("/secret/path is broken")
	case "slow":
		<-ctx.Done()
		return nil, ctx.Err()
	case "panics":
		panic("on purpose")
	}
	if _, err := e.Metadata(ctx, r.Model, r.Version); err != nil {
		return nil, err
	}
	response := &Response{Model: r.Model, Version: "3", Parameters: Parameters{"inputs": int64(len(r.Inputs))}}
	wanted := r.Outputs
	if len(wanted) == 0 {
		for _, in := range r.Inputs {
			wanted = append(wanted, Output{Name: in.Name})
		}
	}
	for _, out := range wanted {
		i := slices.IndexFunc(r.Inputs, func(t Tensor) bool { return t.Name == out.Name })
		if i < 0 {
			return nil, fmt.Errorf("%w: no output %q", ErrInvalid, out.Name)
		}
		t := r.Inputs[i]
		t.Parameters = nil
		response.Outputs = append(response.Outputs, t)
	}
	return response, nil
}

// realDetector is a detector of 32×32 with drawn weights, for all tests. Its threshold lies
// so that the two pictures of noiseTensor differ in verdict.
func realDetector(t testing.TB) *destseg.Detector {
	t.Helper()
	d, err := openDetector()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var openDetector = sync.OnceValues(func() (*destseg.Detector, error) {
	values := map[string][]float32{}
	for _, t := range network.Tensors() {
		values[t.Name] = golden.Draw(t.Name, t.Shape)
	}
	r := destseg.Record{
		Category: "screw", Preprocessing: destseg.StandardPreprocessing(32, 32), Recipe: train.Published("screw"),
		Teacher:  destseg.TeacherRecord{Name: "builtin", Digest: "01ab"},
		Pictures: destseg.PicturesRecord{Count: 3, Digest: "23cd"}, Textures: "procedural", Engine: "none", Precision: "fp32", Seconds: 1.5,
	}
	d, err := destseg.New(r, values, destseg.WithPrecision(engine.Float32))
	if err != nil {
		return nil, err
	}
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range noisePictures(2, 24, 40) {
		i, err := d.InspectRGB(p)
		if err != nil {
			return nil, err
		}
		low, high = min(low, i.Score), max(high, i.Score)
	}
	if err := d.Close(); err != nil {
		return nil, err
	}
	r.Threshold = &destseg.Threshold{Image: (low + high) / 2, Pixel: (low + high) / 2, Source: "test"}
	return destseg.New(r, values, destseg.WithPrecision(engine.Float32))
})

const screwsDigest = "0123abcd"

// screws are [Detectors] of one, "screw".
type screws struct{ detector *destseg.Detector }

func (screws) Index(context.Context) ([]Status, error) {
	return []Status{{Name: "screw", Ready: true}}, nil
}

func (s screws) HasThreshold(_ context.Context, name string) (bool, error) {
	if name != "screw" {
		return false, fmt.Errorf("%w: no detector %q", ErrNotFound, name)
	}
	return s.detector.Record().Threshold != nil, nil
}

func (s screws) Inspect(ctx context.Context, name string, p Picture) (*Inspected, error) {
	if _, err := s.HasThreshold(ctx, name); err != nil {
		return nil, err
	}
	if p.Pixels == nil {
		var err error
		if p.Pixels, err = picture.Decode(bytes.NewReader(p.File), picture.WithMaxPixels(1<<20)); err != nil {
			return nil, err
		}
	}
	i, err := s.detector.InspectRGB(p.Pixels)
	if err != nil {
		return nil, err
	}
	regions, _ := i.Regions()
	return &Inspected{i, regions, screwsDigest}, nil
}

// noisePictures are pictures of random values.
func noisePictures(n, height, width int) []*picture.RGB {
	r := rand.New(rand.NewPCG(uint64(height), uint64(width)))
	all := make([]*picture.RGB, n)
	for i := range all {
		all[i] = picture.NewRGB(width, height)
		for k := range all[i].Pix {
			all[i].Pix[k] = uint8(r.UintN(256))
		}
	}
	return all
}

// noiseTensor is noisePictures as a detector's input.
func noiseTensor(n, height, width int) Tensor {
	t := Tensor{Name: InputImage, Datatype: Uint8, Shape: []int64{int64(n), int64(height), int64(width), 3}}
	for _, p := range noisePictures(n, height, width) {
		t.Data = append(t.Data, p.Pix...)
	}
	return t
}

// encodePNG returns a picture's file.
func encodePNG(t testing.TB, p *picture.RGB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, p.Image()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
