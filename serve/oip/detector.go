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
	// Ready returns nil if every detector can be used.
	Ready(ctx context.Context) error
	// Index returns all detectors in a fixed order.
	Index(ctx context.Context) ([]Status, error)
	// Describe reads a detector, if that was not done yet.
	Describe(ctx context.Context, name string) (Detector, error)
	// Decode reads a picture's file, within the limits of the server.
	Decode(ctx context.Context, file []byte) (*picture.RGB, error)
	// Inspect inspects a picture and returns the version that did.
	Inspect(ctx context.Context, name string, p *picture.RGB) (i *destseg.Inspection, version string, err error)
}

// A Detector is what the metadata of a model say about a detector.
type Detector struct {
	Version      string // of its file
	HasThreshold bool
}

// Limits bound what a request to a detector may ask for. Zero values stand for defaults.
type Limits struct {
	// MaxPictures is the largest batch; 0 is 64.
	MaxPictures int
	// MaxPixels is the most that a picture given as pixels may have; 0 is
	// [picture.DefaultMaxPixels]. Files are bounded by Decode.
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

// describe returns what is known of a detector if it is of the version, where one is asked for.
func (m *detectors) describe(ctx context.Context, name, version string) (Detector, error) {
	d, err := m.Describe(ctx, name)
	if err == nil && version != "" && version != d.Version {
		err = fmt.Errorf("%w: detector %q has no version %q, only %q", ErrNotFound, name, version, d.Version)
	}
	return d, err
}

func (m *detectors) Metadata(ctx context.Context, name, version string) (*Metadata, error) {
	d, err := m.describe(ctx, name, version)
	if err != nil {
		return nil, err
	}
	return &Metadata{
		Name: name, Versions: []string{d.Version}, Platform: platform,
		Inputs:  []TensorMetadata{{InputImage, Uint8, []int64{-1, -1, -1, 3}}},
		Outputs: d.outputs(),
	}, nil
}

// outputs returns what the detector says about pictures, in the order in which it does.
func (d Detector) outputs() []TensorMetadata {
	outputs := []TensorMetadata{{OutputScore, FP64, []int64{-1}}}
	if d.HasThreshold {
		outputs = append(outputs, TensorMetadata{OutputThreshold, FP64, []int64{1}}, TensorMetadata{OutputAnomalous, Bool, []int64{-1}})
	}
	outputs = append(outputs, TensorMetadata{OutputAnomalyMap, FP32, []int64{-1, -1, -1}})
	if d.HasThreshold {
		outputs = append(outputs, TensorMetadata{OutputRegions, Bytes, []int64{-1}})
	}
	return outputs
}

func (m *detectors) Infer(ctx context.Context, r *Request) (*Response, error) {
	d, err := m.describe(ctx, r.Model, r.Version)
	if err != nil {
		return nil, err
	}
	wanted, err := d.wanted(r.Outputs)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	pictures, err := m.pictures(r)
	if err != nil {
		return nil, err
	}
	found, version, err := m.inspect(ctx, r.Model, pictures)
	switch {
	case err != nil:
		return nil, err
	case r.Version != "" && version != r.Version:
		return nil, fmt.Errorf("%w: detector %q was replaced and has no version %q now", ErrNotFound, r.Model, r.Version)
	}
	response := &Response{Model: r.Model, Version: version}
	for _, out := range wanted {
		t, err := m.output(ctx, out, found)
		if err != nil {
			return nil, err
		}
		response.Outputs = append(response.Outputs, t)
	}
	return response, nil
}

// wanted returns the outputs to make.
func (d Detector) wanted(asked []Output) ([]Output, error) {
	var all []Output
	for _, t := range d.outputs() {
		all = append(all, Output{Name: t.Name})
	}
	if len(asked) == 0 {
		return all, nil
	}
	for _, out := range asked {
		has := func(o Output) bool { return o.Name == out.Name }
		switch {
		case slices.ContainsFunc(all, has):
		case (out.Name == OutputThreshold || out.Name == OutputAnomalous || out.Name == OutputRegions) && !d.HasThreshold:
			return nil, fmt.Errorf("output %q needs a threshold, and the detector has none; calibrate it", out.Name)
		default:
			return nil, fmt.Errorf("no output %q", out.Name)
		}
	}
	return asked, nil
}

// source is a picture to inspect, as pixels or as a file.
type source struct {
	pixels *picture.RGB
	file   []byte
}

// pictures returns the pictures of a request. They share its memory.
func (m *detectors) pictures(r *Request) ([]source, error) {
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
	var all []source
	if files {
		for file := range t.Elements() {
			all = append(all, source{file: file})
		}
		return all, nil
	}
	height, width := int(t.Shape[1]), int(t.Shape[2])
	if width > m.limits.MaxPixels/height {
		return nil, fmt.Errorf("%w: pictures of %d×%d pixels; at most %d are taken", ErrTooLarge, width, height, m.limits.MaxPixels)
	}
	for pix := range slices.Chunk(t.Data, 3*width*height) {
		all = append(all, source{pixels: &picture.RGB{Width: width, Height: height, Pix: pix}})
	}
	return all, nil
}

// inspect inspects all pictures by one version of the detector.
func (m *detectors) inspect(ctx context.Context, name string, pictures []source) ([]*destseg.Inspection, string, error) {
	found, versions := make([]*destseg.Inspection, len(pictures)), make([]string, len(pictures))
	var group *errgroup.Group
	group, ctx = errgroup.WithContext(ctx)
	group.SetLimit(m.limits.Concurrent)
	for i, source := range pictures {
		group.Go(func() (err error) {
			if err := ctx.Err(); err != nil {
				return err
			}
			p := source.pixels
			if p == nil {
				if p, err = m.decode(ctx, source.file); err != nil {
					return pictureError(i, err)
				}
			}
			found[i], versions[i], err = m.Inspect(ctx, name, p)
			return pictureError(i, err)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, "", err
	}
	for _, v := range versions {
		if v != versions[0] {
			return nil, "", fmt.Errorf("%w: detector %q was replaced during the request; send it again", ErrUnavailable, name)
		}
	}
	return found, versions[0], nil
}

// decode reads a file, which may be in base64.
func (m *detectors) decode(ctx context.Context, file []byte) (*picture.RGB, error) {
	if isBase64(file) {
		raw := make([]byte, base64.StdEncoding.DecodedLen(len(file)))
		n, err := base64.StdEncoding.Decode(raw, file)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		file = raw[:n]
	}
	return m.Decode(ctx, file)
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

// pictureError names the picture in an error, and whose fault it is.
func pictureError(i int, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, picture.ErrTooLarge):
		return fmt.Errorf("%w: picture %d: %w", ErrTooLarge, i, err)
	case errors.Is(err, destseg.ErrPicture), errors.Is(err, picture.ErrFormat), errors.Is(err, picture.ErrDamaged):
		return fmt.Errorf("%w: picture %d: %w", ErrInvalid, i, err)
	}
	return fmt.Errorf("picture %d: %w", i, err)
}

// output makes an output.
func (m *detectors) output(ctx context.Context, out Output, found []*destseg.Inspection) (Tensor, error) {
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
			if err := ctx.Err(); err != nil {
				return t, err
			}
			regions, _ := i.Regions()
			if regions == nil {
				regions = []region.Region{}
			}
			text, err := json.Marshal(regions)
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
		t.Data = make([]byte, 0, 4*len(found)*height*width)
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
func (m *detectors) mapSize(p Parameters, found []*destseg.Inspection) (width, height int, err error) {
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
