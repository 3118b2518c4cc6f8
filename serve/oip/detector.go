package oip

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/region"
)

// Names of a detector's tensors; see the package's comment.
const (
	InputImage       = "image"
	OutputScore      = "score"
	OutputThreshold  = "threshold"
	OutputAnomalous  = "anomalous"
	OutputAnomalyMap = "anomaly_map"
	OutputRegions    = "regions"
)

// platform is the protocol's project_format of a detector.
const platform = "destseg_safetensors"

// Detectors runs detectors by name. Errors wrap [ErrNotFound] for a name that there is no
// detector of, [ErrUnavailable] for a detector that can't be used, [destseg.ErrPicture] or
// those of package picture for what is wrong with a picture, or are a [*BusyError].
type Detectors interface {
	// Index returns all detectors in a fixed order. Versions are left empty.
	Index(ctx context.Context) ([]Status, error)
	// HasThreshold reports whether a detector has a threshold, and with it verdicts.
	HasThreshold(ctx context.Context, name string) (bool, error)
	// Inspect reads a picture, if it is a file, and inspects it.
	Inspect(ctx context.Context, name string, p Picture) (*Inspected, error)
}

// A Picture is given by its pixels or as a file of any kind that package picture reads.
type Picture struct {
	Pixels *picture.RGB // nil: a file
	File   []byte
	// Source is the request's ID, with the picture's number in brackets if there are
	// several; empty without an ID.
	Source string
}

// Inspected is what a detector says about a picture.
type Inspected struct {
	*destseg.Inspection
	Regions []region.Region
	Digest  string // of the detector's file, SHA-256 in hexadecimal
}

// onlyVersion is that of every detector: its file as it is now. It is what clients ask for
// that must name a version; which file judged tells the response's parameter "digest".
const onlyVersion = "1"

// Limits bound what a request to a detector may ask for. Zero values stand for defaults.
type Limits struct {
	// MaxPictures is the largest batch; 0 is 64.
	MaxPictures int
	// MaxPixels is the most that a picture given as pixels may have; 0 is
	// [picture.DefaultMaxPixels]. Files are bounded where they are read.
	MaxPixels int
	// MaxMapBytes bounds the anomaly maps of a response, in FP32; 0 is 256 MiB.
	MaxMapBytes int
	// Concurrent is how many pictures of a request are handed to the detector at a time,
	// so that they make a batch without filling the queue; 0 is 8.
	Concurrent int
}

func (l *Limits) fill() {
	for _, d := range []struct {
		limit *int
		value int
	}{
		{&l.MaxPictures, 64}, {&l.MaxPixels, picture.DefaultMaxPixels}, {&l.MaxMapBytes, 256 << 20}, {&l.Concurrent, 8},
	} {
		if *d.limit < 1 {
			*d.limit = d.value
		}
	}
}

// NewModels returns detectors as models of the protocol.
func NewModels(d Detectors, l Limits) Models {
	l.fill()
	return &detectors{d, l}
}

// detectors are [Detectors] as [Models].
type detectors struct {
	Detectors
	limits Limits
}

func (m *detectors) Ready(ctx context.Context) error {
	all, err := m.Index(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		if !s.Ready {
			return fmt.Errorf("%w: detector %q: %s", ErrUnavailable, s.Name, s.Reason)
		}
	}
	return nil
}

func (m *detectors) Index(ctx context.Context) ([]Status, error) {
	all, err := m.Detectors.Index(ctx)
	for i := range all {
		all[i].Version = onlyVersion
	}
	return all, err
}

// checkVersion refuses every version but the one.
func checkVersion(name, version string) error {
	if version != "" && version != onlyVersion {
		return fmt.Errorf("%w: detector %q has no version %q, only %q", ErrNotFound, name, version, onlyVersion)
	}
	return nil
}

// outputs returns what a detector says about pictures, in the order in which it does.
func outputs(hasThreshold bool) []TensorMetadata {
	all := []TensorMetadata{{OutputScore, FP64, []int64{-1}}}
	if hasThreshold {
		all = append(all, TensorMetadata{OutputThreshold, FP64, []int64{1}}, TensorMetadata{OutputAnomalous, Bool, []int64{-1}})
	}
	all = append(all, TensorMetadata{OutputAnomalyMap, FP32, []int64{-1, -1, -1}})
	if hasThreshold {
		all = append(all, TensorMetadata{OutputRegions, Bytes, []int64{-1}})
	}
	return all
}

func (m *detectors) Metadata(ctx context.Context, name, version string) (*Metadata, error) {
	if err := checkVersion(name, version); err != nil {
		return nil, err
	}
	hasThreshold, err := m.HasThreshold(ctx, name)
	if err != nil {
		return nil, err
	}
	return &Metadata{
		Name: name, Versions: []string{onlyVersion}, Platform: platform,
		Inputs: []TensorMetadata{{InputImage, Uint8, []int64{-1, -1, -1, 3}}}, Outputs: outputs(hasThreshold),
	}, nil
}

func (m *detectors) Infer(ctx context.Context, r *Request) (*Response, error) {
	if err := checkVersion(r.Model, r.Version); err != nil {
		return nil, err
	}
	if _, err := choose(outputs(true), r.Outputs); err != nil {
		return nil, err
	}
	pictures, err := m.pictures(r)
	if err != nil {
		return nil, err
	}
	found, err := m.inspect(ctx, r.Model, pictures)
	if err != nil {
		return nil, err
	}
	wanted, err := choose(outputs(found[0].HasThreshold), r.Outputs)
	if err != nil {
		return nil, err
	}
	response := &Response{Model: r.Model, Version: onlyVersion, Parameters: Parameters{"digest": found[0].Digest}}
	for _, out := range wanted {
		t, err := m.output(ctx, r, out, found)
		if err != nil {
			return nil, err
		}
		response.Outputs = append(response.Outputs, t)
	}
	return response, nil
}

// choose returns the outputs to make: those that are asked for, or all that there are.
func choose(has []TensorMetadata, asked []Output) ([]Output, error) {
	if len(asked) == 0 {
		for _, t := range has {
			asked = append(asked, Output{Name: t.Name})
		}
		return asked, nil
	}
	for _, out := range asked {
		switch {
		case slices.ContainsFunc(has, func(t TensorMetadata) bool { return t.Name == out.Name }):
		case out.Name == OutputThreshold || out.Name == OutputAnomalous || out.Name == OutputRegions:
			return nil, fmt.Errorf("%w: output %q needs a threshold, and the detector has none; calibrate it", ErrInvalid, out.Name)
		default:
			return nil, fmt.Errorf("%w: no output %q", ErrInvalid, out.Name)
		}
	}
	return asked, nil
}

// pictures returns the pictures of a request. They share its memory.
func (m *detectors) pictures(r *Request) ([]Picture, error) {
	if len(r.Inputs) != 1 || r.Inputs[0].Name != InputImage {
		return nil, fmt.Errorf("%w: a detector has one input, %q", ErrInvalid, InputImage)
	}
	t := &r.Inputs[0]
	files := t.Datatype == Bytes && len(t.Shape) == 1
	pixels := t.Datatype == Uint8 && len(t.Shape) == 4 && t.Shape[3] == 3
	if !files && !pixels {
		return nil, fmt.Errorf("%w: input %q is %s %v, not UINT8 [pictures, height, width, 3] or BYTES [pictures] with picture files",
			ErrInvalid, t.Name, t.Datatype, t.Shape)
	}
	n := t.Shape[0]
	switch {
	case len(t.Data) == 0:
		return nil, fmt.Errorf("%w: input %q is empty", ErrInvalid, t.Name)
	case n > int64(m.limits.MaxPictures):
		return nil, fmt.Errorf("%w: %d pictures in a request; at most %d are taken", ErrTooLarge, n, m.limits.MaxPictures)
	}
	var all []Picture
	add := func(p Picture) {
		if p.Source = r.ID; n > 1 && r.ID != "" {
			p.Source = fmt.Sprintf("%s[%d]", r.ID, len(all))
		}
		all = append(all, p)
	}
	if files {
		for file := range t.Elements() {
			add(Picture{File: file})
		}
		return all, nil
	}
	height, width := int(t.Shape[1]), int(t.Shape[2])
	if width > m.limits.MaxPixels/height {
		return nil, fmt.Errorf("%w: pictures of %d×%d pixels; at most %d are taken", ErrTooLarge, width, height, m.limits.MaxPixels)
	}
	for pix := range slices.Chunk(t.Data, 3*width*height) {
		add(Picture{Pixels: &picture.RGB{Width: width, Height: height, Pix: pix}})
	}
	return all, nil
}

// inspect inspects all pictures with one and the same file of the detector.
func (m *detectors) inspect(ctx context.Context, name string, pictures []Picture) ([]*Inspected, error) {
	found := make([]*Inspected, len(pictures))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(m.limits.Concurrent)
	// Of a request that began to be inspected, pictures wait where others are refused, or
	// a batch would be refused and done in part again and again.
	var inside, done atomic.Int32
	for i, p := range pictures {
		group.Go(func() (err error) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if p.Pixels == nil && isBase64(p.File) {
				if p.File, err = decodeBase64(p.File); err != nil {
					return fmt.Errorf("%w: picture %d: %w", ErrInvalid, i, err)
				}
			}
			for {
				inside.Add(1)
				found[i], err = m.Inspect(ctx, name, p)
				inside.Add(-1)
				if err == nil {
					done.Add(1)
					return nil
				}
				if busy := (*BusyError)(nil); !errors.As(err, &busy) || !pause(ctx) || inside.Load()+done.Load() == 0 {
					return pictureError(i, err)
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, i := range found {
		if i.Digest != found[0].Digest {
			return nil, fmt.Errorf("%w: detector %q was replaced during the request; send it again", ErrUnavailable, name)
		}
	}
	return found, nil
}

// pause waits a moment for places to be left, and reports whether ctx goes on.
func pause(ctx context.Context) bool {
	const moment = 50 * time.Millisecond
	select {
	case <-time.After(moment):
		return true
	case <-ctx.Done():
		return false
	}
}

// decodeBase64 returns the file that a text stands for.
func decodeBase64(text []byte) ([]byte, error) {
	file := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(file, text)
	return file[:n], err
}

// isBase64 tells text in base64 from a picture's file by its beginning. Every kind of
// picture has bytes there that base64 lacks: those of PNG, JPEG and TIFF belong to their
// signatures, BMP has zeros, and WebP a length of which the last byte is one of base64 only
// beyond 700 MB.
func isBase64(file []byte) bool {
	const head = 12
	if len(file) < head {
		return false
	}
	for _, b := range file[:head] {
		if (b < 'A' || b > 'Z') && (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '+' && b != '/' {
			return false
		}
	}
	return true
}

// pictureError names the picture in an error that is its fault.
func pictureError(i int, err error) error {
	switch {
	case errors.Is(err, ErrInvalid), errors.Is(err, ErrTooLarge):
		return fmt.Errorf("picture %d: %w", i, err)
	case errors.Is(err, picture.ErrTooLarge):
		return fmt.Errorf("%w: picture %d: %w", ErrTooLarge, i, err)
	case errors.Is(err, destseg.ErrPicture), errors.Is(err, picture.ErrFormat), errors.Is(err, picture.ErrDamaged):
		return fmt.Errorf("%w: picture %d: %w", ErrInvalid, i, err)
	}
	return err
}

// output makes an output.
func (m *detectors) output(ctx context.Context, r *Request, out Output, found []*Inspected) (Tensor, error) {
	little := binary.LittleEndian
	t := Tensor{Name: out.Name, Datatype: FP64, Shape: []int64{int64(len(found))}}
	switch out.Name {
	case OutputThreshold:
		t.Shape = []int64{1}
		t.Data = little.AppendUint64(t.Data, math.Float64bits(found[0].Threshold))
	case OutputScore:
		for _, i := range found {
			t.Data = little.AppendUint64(t.Data, math.Float64bits(i.Score))
		}
	case OutputAnomalous:
		t.Datatype = Bool
		for _, i := range found {
			anomalous := byte(0)
			if i.Anomalous {
				anomalous = 1
			}
			t.Data = append(t.Data, anomalous)
		}
	case OutputRegions:
		t.Datatype = Bytes
		for _, i := range found {
			text, err := json.Marshal(append([]region.Region{}, i.Regions...)) // [] for none
			if err != nil {
				return t, err
			}
			t.Data = appendElement(t.Data, text)
		}
	case OutputAnomalyMap:
		width, height, err := m.mapSize(out.Parameters, found)
		if err != nil {
			return t, fmt.Errorf("output %q: %w", out.Name, err)
		}
		t.Datatype, t.Shape = FP32, append(t.Shape, int64(height), int64(width))
		size := 4 * len(found) * height * width
		if r.Room != nil {
			if err := r.Room(out.Name, int64(size)); err != nil {
				return t, err
			}
		}
		t.Data = make([]byte, 0, size)
		for _, i := range found {
			if err := ctx.Err(); err != nil {
				return t, err
			}
			for _, v := range i.Map(width, height) {
				t.Data = little.AppendUint32(t.Data, math.Float32bits(v))
			}
		}
	}
	return t, nil
}

// mapSize returns the size of the anomaly maps: what the parameters width and height say, or
// that of the pictures.
func (m *detectors) mapSize(p Parameters, found []*Inspected) (width, height int, err error) {
	wide, hasWidth, err := p.Int("width")
	if err != nil {
		return 0, 0, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	high, hasHeight, err := p.Int("height")
	switch {
	case err != nil:
		return 0, 0, fmt.Errorf("%w: %w", ErrInvalid, err)
	case hasWidth != hasHeight:
		return 0, 0, fmt.Errorf("%w: parameters width and height go together", ErrInvalid)
	case hasWidth && (wide < 1 || high < 1):
		return 0, 0, fmt.Errorf("%w: width %d and height %d are no size", ErrInvalid, wide, high)
	case !hasWidth:
		wide, high = int64(found[0].Width), int64(found[0].Height)
		for _, i := range found {
			if i.Width != int(wide) || i.Height != int(high) {
				return 0, 0, fmt.Errorf("%w: pictures of %d×%d and of %d×%d pixels have no maps of one size; give the output parameters width and height, or name the outputs without it",
					ErrInvalid, wide, high, i.Width, i.Height)
			}
		}
	}
	if limit := int64(m.limits.MaxMapBytes / 4 / len(found)); wide > limit/high {
		return 0, 0, fmt.Errorf("%w: %d maps of %d×%d are more than %d bytes; give the output parameters width and height, or name the outputs without it",
			ErrTooLarge, len(found), wide, high, m.limits.MaxMapBytes)
	}
	return int(wide), int(high), nil
}
