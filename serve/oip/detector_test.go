package oip

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/picture"
)

// fileTensor is picture files as a detector's input.
func fileTensor(files ...[]byte) Tensor {
	t := Tensor{Name: InputImage, Datatype: Bytes, Shape: []int64{int64(len(files))}}
	for _, file := range files {
		t.Data = appendElement(t.Data, file)
	}
	return t
}

// stub are detectors that answer at once, with the digest and error that a picture's height
// stands for.
type stub struct {
	uncertain    bool // they have no thresholds
	broken       bool
	digests      map[int]string
	errors       map[int]error
	now, highest *atomic.Int32 // pictures inspected at a time
}

func (s stub) Index(context.Context) ([]Status, error) {
	return []Status{{Name: "nut", Ready: true}, {Name: "screw", Ready: !s.broken, Reason: "its file is cut short"}}, nil
}

func (s stub) HasThreshold(context.Context, string) (bool, error) { return !s.uncertain, nil }

func (s stub) Inspect(_ context.Context, _ string, p Picture) (*Inspected, error) {
	if s.now != nil {
		s.highest.Store(max(s.highest.Load(), s.now.Add(1)))
		time.Sleep(time.Millisecond)
		s.now.Add(-1)
	}
	if p.Pixels == nil {
		var err error
		if p.Pixels, err = picture.Decode(bytes.NewReader(p.File), picture.WithMaxPixels(1<<20)); err != nil {
			return nil, err
		}
	}
	width, height := p.Pixels.Width, p.Pixels.Height
	i := &destseg.Inspection{Score: float64(width) / 100, HasThreshold: !s.uncertain, Width: width, Height: height}
	return &Inspected{i, nil, s.digests[height]}, s.errors[height]
}

func TestDetectorRefuses(t *testing.T) {
	small, wide := encodePNG(t, noisePictures(1, 3, 4)[0]), encodePNG(t, noisePictures(1, 3, 5)[0])
	tall := encodePNG(t, noisePictures(1, 1025, 1024)[0])
	failure := errors.New("the engine is broken")
	for _, c := range []struct {
		name      string
		input     Tensor
		outputs   []Output
		uncertain bool // the detector has no threshold
		is        error
		want      string
	}{
		{name: "another input", input: Tensor{Name: "img", Datatype: Uint8, Shape: []int64{1, 1, 1, 3}, Data: make([]byte, 3)}, is: ErrInvalid, want: `one input, "image"`},
		{name: "three dimensions", input: Tensor{Name: InputImage, Datatype: Uint8, Shape: []int64{1, 1, 3}, Data: make([]byte, 3)}, is: ErrInvalid, want: "UINT8 [1 1 3], not UINT8"},
		{name: "planes first", input: Tensor{Name: InputImage, Datatype: Uint8, Shape: []int64{1, 3, 4, 4}, Data: make([]byte, 48)}, is: ErrInvalid, want: "not UINT8 [pictures, height, width, 3]"},
		{name: "floats", input: Tensor{Name: InputImage, Datatype: FP32, Shape: []int64{1, 1, 1, 3}, Data: make([]byte, 12)}, is: ErrInvalid, want: "FP32"},
		{name: "files in two dimensions", input: Tensor{Name: InputImage, Datatype: Bytes, Shape: []int64{1, 1}, Data: appendElement(nil, small)}, is: ErrInvalid, want: "BYTES [1 1]"},
		{name: "no pictures", input: Tensor{Name: InputImage, Datatype: Uint8, Shape: []int64{0, 1, 1, 3}}, is: ErrInvalid, want: "is empty"},
		{name: "no pixels", input: Tensor{Name: InputImage, Datatype: Uint8, Shape: []int64{1, 0, 1, 3}}, is: ErrInvalid, want: "is empty"},
		{name: "no files", input: fileTensor(), is: ErrInvalid, want: "is empty"},
		{name: "too many", input: noiseTensor(5, 1, 1), is: ErrTooLarge, want: "5 pictures in a request; at most 4"},
		{name: "too many pixels", input: noiseTensor(1, 20, 11), is: ErrTooLarge, want: "11×20 pixels; at most 200"},
		{name: "no picture", input: fileTensor(small, []byte("hello")), is: ErrInvalid, want: "picture 1: "},
		{name: "an empty file", input: fileTensor(nil), is: ErrInvalid, want: "picture 0: "},
		{name: "a damaged file", input: fileTensor(small[:len(small)-20]), is: ErrInvalid, want: "damaged"},
		{name: "a large file", input: fileTensor(tall), is: ErrTooLarge, want: "1024×1025"},
		{name: "bad base64", input: fileTensor([]byte(base64.StdEncoding.EncodeToString(small)[:41])), is: ErrInvalid, want: "base64"},
		{name: "sizes", input: fileTensor(small, wide), is: ErrInvalid, want: "4×3 and of 5×3"},
		{name: "width alone", input: noiseTensor(1, 3, 4), outputs: []Output{{OutputAnomalyMap, Parameters{"width": int64(3)}}}, is: ErrInvalid, want: "go together"},
		{name: "no size", input: noiseTensor(1, 3, 4), outputs: []Output{{OutputAnomalyMap, Parameters{"width": int64(3), "height": int64(0)}}}, is: ErrInvalid, want: "no size"},
		{name: "not numbers", input: noiseTensor(1, 3, 4), outputs: []Output{{OutputAnomalyMap, Parameters{"width": "3", "height": "3"}}}, is: ErrInvalid, want: "whole number"},
		{name: "a large map", input: noiseTensor(1, 3, 4), outputs: []Output{{OutputAnomalyMap, Parameters{"width": int64(math.MaxInt64), "height": int64(math.MaxInt64)}}}, is: ErrTooLarge, want: "more than 1000 bytes"},
		{name: "large maps", input: noiseTensor(2, 3, 42), is: ErrTooLarge, want: "2 maps of 42×3"},
		{name: "an unknown output", input: noiseTensor(1, 3, 4), outputs: []Output{{Name: "label"}}, is: ErrInvalid, want: `no output "label"`},
		{name: "no threshold", input: noiseTensor(1, 3, 4), outputs: []Output{{Name: OutputAnomalous}}, uncertain: true, is: ErrInvalid, want: "calibrate"},
		{name: "no regions", input: noiseTensor(1, 3, 4), outputs: []Output{{Name: OutputRegions}}, uncertain: true, is: ErrInvalid, want: "calibrate"},
		{name: "the engine", input: noiseTensor(1, 7, 4), is: failure, want: "the engine is broken"},
		{name: "the picture", input: noiseTensor(1, 8, 4), is: ErrInvalid, want: "unusable picture"},
		{name: "replaced", input: fileTensor(small, encodePNG(t, noisePictures(1, 4, 4)[0])), is: ErrUnavailable, want: "replaced during the request"},
	} {
		s := stub{
			uncertain: c.uncertain, digests: map[int]string{4: "w"},
			errors: map[int]error{7: failure, 8: fmt.Errorf("%w: nothing is left of it", destseg.ErrPicture)},
		}
		m := NewModels(s, Limits{MaxPictures: 4, MaxPixels: 200, MaxMapBytes: 1000})
		if err := c.input.check(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		_, err := m.Infer(t.Context(), &Request{Model: "screw", Inputs: []Tensor{c.input}, Outputs: c.outputs})
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
}

// TestDetectorWithoutThreshold has neither verdicts nor regions, in metadata and answers.
func TestDetectorWithoutThreshold(t *testing.T) {
	m := NewModels(stub{uncertain: true}, Limits{})
	metadata, err := m.Metadata(t.Context(), "screw", "")
	if err != nil || len(metadata.Outputs) != 2 || metadata.Outputs[0].Name != OutputScore || metadata.Outputs[1].Name != OutputAnomalyMap {
		t.Errorf("%+v, %v", metadata, err)
	}
	response, err := m.Infer(t.Context(), &Request{Model: "screw", Inputs: []Tensor{noiseTensor(2, 3, 50)}, Outputs: []Output{{Name: OutputScore}}})
	if err != nil {
		t.Fatal(err)
	}
	half := binary.LittleEndian.AppendUint64(nil, math.Float64bits(0.5))
	if got := response.Outputs[0].Data; !bytes.Equal(got, append(half, half...)) {
		t.Errorf("scores %v", got)
	}
}

// TestDetectorsReady is the protocol's: one that is not ready makes the server not ready.
func TestDetectorsReady(t *testing.T) {
	if err := NewModels(stub{}, Limits{}).Ready(t.Context()); err != nil {
		t.Error(err)
	}
	err := NewModels(stub{broken: true}, Limits{}).Ready(t.Context())
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), `"screw": its file is cut short`) {
		t.Error(err)
	}
}

// TestDetectorMapSize asks for maps of one size of pictures of two.
func TestDetectorMapSize(t *testing.T) {
	d := realDetector(t)
	m := NewModels(screws{d}, Limits{})
	pictures := append(noisePictures(1, 24, 40), noisePictures(1, 31, 17)...)
	response, err := m.Infer(t.Context(), &Request{
		Model: "screw", Inputs: []Tensor{fileTensor(encodePNG(t, pictures[0]), encodePNG(t, pictures[1]))},
		Outputs: []Output{{OutputAnomalyMap, Parameters{"width": int64(9), "height": int64(5)}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for _, p := range pictures {
		i, err := d.InspectRGB(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range i.Map(9, 5) {
			want = binary.LittleEndian.AppendUint32(want, math.Float32bits(v))
		}
	}
	if got := response.Outputs[0]; fmt.Sprint(got.Shape) != "[2 5 9]" || !bytes.Equal(got.Data, want) {
		t.Errorf("shape %v, or the values differ", got.Shape)
	}
}

// TestDetectorBusy refuses a batch of which no picture finds a place, and waits for places
// for the rest of one that was begun.
func TestDetectorBusy(t *testing.T) {
	for places, want := range map[int]bool{0: false, 1: true, 2: true} {
		q := &queue{places: make(chan struct{}, places)}
		response, err := NewModels(q, Limits{}).Infer(t.Context(), &Request{
			ID: "x", Model: "screw", Inputs: []Tensor{noiseTensor(5, 3, 4)}, Outputs: []Output{{Name: OutputScore}},
		})
		var busy *BusyError
		switch {
		case !want:
			if !errors.As(err, &busy) || busy.RetryAfter != time.Second {
				t.Errorf("%d places: %v, %v", places, response, err)
			}
		case err != nil || len(response.Outputs[0].Data) != 5*8:
			t.Errorf("%d places: %v, %v", places, response, err)
		}
		var sources []string
		q.sources.Range(func(source, _ any) bool { sources = append(sources, source.(string)); return true })
		if slices.Sort(sources); want && strings.Join(sources, " ") != "x[0] x[1] x[2] x[3] x[4]" {
			t.Errorf("sources %q", sources)
		}
	}
}

// queue is a stub with a limited number of places.
type queue struct {
	stub
	places  chan struct{}
	sources sync.Map
}

func (q *queue) Inspect(ctx context.Context, name string, p Picture) (*Inspected, error) {
	select {
	case q.places <- struct{}{}:
	default:
		return nil, fmt.Errorf("wrapped: %w", &BusyError{time.Second})
	}
	time.Sleep(5 * time.Millisecond)
	<-q.places
	q.sources.Store(p.Source, nil)
	return q.stub.Inspect(ctx, name, p)
}

// TestDetectorConcurrent counts the pictures that are inspected at a time.
func TestDetectorConcurrent(t *testing.T) {
	s := stub{now: new(atomic.Int32), highest: new(atomic.Int32)}
	m := NewModels(s, Limits{Concurrent: 3})
	if _, err := m.Infer(t.Context(), &Request{Model: "screw", Inputs: []Tensor{noiseTensor(20, 3, 4)}, Outputs: []Output{{Name: OutputScore}}}); err != nil {
		t.Fatal(err)
	}
	if n := s.highest.Load(); n < 2 || n > 3 {
		t.Errorf("%d pictures at a time, want 3", n)
	}
}

// TestBase64 tells files from text at their beginnings.
func TestBase64(t *testing.T) {
	p := noisePictures(1, 3, 4)[0]
	for name, encode := range map[string][]byte{
		"PNG":  encodePNG(t, p),
		"JPEG": []byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01"),
		"BMP":  []byte("BMaaaa\x00\x00\x00\x00aaaa"),
		"TIFF": []byte("II*\x00aaaaaaaa"),
		"WebP": []byte("RIFFaaa\x00WEBP"),
	} {
		if isBase64(encode) {
			t.Errorf("%s is taken for base64", name)
		}
		if !isBase64([]byte(base64.StdEncoding.EncodeToString(encode))) {
			t.Errorf("%s in base64 is not seen", name)
		}
	}
}
