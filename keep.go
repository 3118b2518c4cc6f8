package destseg

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/region"
)

// ErrInspection is wrapped by the error for bytes that are no inspection of
// [Inspection.MarshalBinary].
var ErrInspection = errors.New("not a kept inspection")

// keptMagic begins a kept inspection; its last byte is the version.
const keptMagic = "DSI\x01"

// A kept inspection is keptMagic and then, compressed by DEFLATE, the length of a
// JSON document (uint32), the document, and the values of both maps (float32), all in
// little endian.
type kept struct {
	Score          float64         `json:"score"`
	Threshold      *float64        `json:"threshold,omitempty"`
	PixelThreshold float64         `json:"pixel_threshold,omitempty"`
	Width          int             `json:"width"`
	Height         int             `json:"height"`
	Nanoseconds    int64           `json:"nanoseconds"`
	Waited         int64           `json:"waited,omitempty"` // in nanoseconds
	ScaledWidth    int             `json:"scaled_width"`
	ScaledHeight   int             `json:"scaled_height"`
	Heat           Scale           `json:"heat"`
	Regions        region.Settings `json:"regions"`
	Cells          [2]int          `json:"cells"` // across and down, of either map
	Span           [2]float64      `json:"span"`
}

// MarshalBinary returns all of the inspection, both maps in full precision, for
// [Inspection.UnmarshalBinary]: about 30 KiB at a network size of 256×256.
func (i *Inspection) MarshalBinary() ([]byte, error) {
	k := kept{
		Score: i.Score, PixelThreshold: i.PixelThreshold, Width: i.Width, Height: i.Height,
		Nanoseconds: int64(i.Elapsed), Waited: int64(i.Waited), ScaledWidth: i.scaledWidth, ScaledHeight: i.scaledHeight, Heat: i.heat,
		Regions: i.settings, Cells: [2]int{i.segmentation.width, i.segmentation.height},
		Span: [2]float64{i.segmentation.spanX, i.segmentation.spanY},
	}
	if i.HasThreshold {
		k.Threshold = &i.Threshold
	}
	head, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	content := binary.LittleEndian.AppendUint32(nil, uint32(len(head)))
	content = append(content, head...)
	for _, m := range []coarseMap{i.segmentation, i.dest} {
		for _, v := range m.values {
			content = binary.LittleEndian.AppendUint32(content, math.Float32bits(v))
		}
	}
	b := bytes.NewBufferString(keptMagic)
	w, err := flate.NewWriter(b, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// UnmarshalBinary restores an inspection: every method says what it said of the
// original. The error wraps [ErrInspection], and the inspection is as it was.
func (i *Inspection) UnmarshalBinary(content []byte) error {
	restored, err := restore(content)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInspection, err)
	}
	*i = *restored
	return nil
}

// maxKeptHead limits the JSON of a kept inspection, which holds an ROI of at most
// [region.MaxPoints] points.
const maxKeptHead = 8 << 20

func restore(content []byte) (*Inspection, error) {
	rest, ok := bytes.CutPrefix(content, []byte(keptMagic))
	if !ok {
		return nil, errors.New("it begins otherwise, or comes from a newer version of destseg")
	}
	r := bufio.NewReader(flate.NewReader(bytes.NewReader(rest)))
	var length uint32
	if err := binary.Read(r, binary.LittleEndian, &length); err != nil {
		return nil, err
	}
	if length > maxKeptHead {
		return nil, fmt.Errorf("a head of %d bytes", length)
	}
	head, err := io.ReadAll(io.LimitReader(r, int64(length)))
	if err != nil {
		return nil, err
	}
	var k kept
	if err := json.Unmarshal(head, &k); err != nil {
		return nil, err
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	i := &Inspection{
		Score: k.Score, PixelThreshold: k.PixelThreshold, Width: k.Width, Height: k.Height,
		Elapsed: time.Duration(k.Nanoseconds), Waited: time.Duration(k.Waited), scaledWidth: k.ScaledWidth, scaledHeight: k.ScaledHeight, heat: k.Heat, settings: k.Regions,
	}
	if k.Threshold != nil {
		i.Threshold, i.HasThreshold, i.Anomalous = *k.Threshold, true, k.Score > *k.Threshold
	}
	for _, m := range []*coarseMap{&i.segmentation, &i.dest} {
		m.width, m.height, m.spanX, m.spanY = k.Cells[0], k.Cells[1], k.Span[0], k.Span[1]
		if m.values, err = readFloats(r, m.width*m.height); err != nil {
			return nil, err
		}
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows its end")
	}
	i.findPeak(i.segmentation.resize(i.scaledWidth, i.scaledHeight), i.roi(i.scaledWidth, i.scaledHeight))
	return i, nil
}

// check says what is wrong with what was read, if anything is.
func (k kept) check() error {
	for _, size := range []struct{ width, height, most int }{
		{k.Width, k.Height, picture.MaxPixels},
		{k.ScaledWidth, k.ScaledHeight, picture.DefaultMaxPixels}, // which is refused to inspect
		{k.Cells[0], k.Cells[1], picture.DefaultMaxPixels},
	} {
		if size.width < 1 || size.height < 1 || size.width > size.most/size.height {
			return fmt.Errorf("a size of %d×%d", size.width, size.height)
		}
	}
	for axis, span := range k.Span {
		if !(span > 0 && span <= float64(k.Cells[axis])) { // negated, so that NaN fails
			return fmt.Errorf("a picture that spans %v of %d cells", span, k.Cells[axis])
		}
	}
	return k.Regions.Check()
}

// readFloats reads count values, and takes memory for no more than there are.
func readFloats(r io.Reader, count int) ([]float32, error) {
	const some = 1 << 14
	values := make([]float32, 0, min(count, some))
	buffer := make([]byte, 4*some)
	for len(values) < count {
		part := buffer[:4*min(count-len(values), some)]
		if _, err := io.ReadFull(r, part); err != nil {
			return nil, fmt.Errorf("a map is cut short: %w", err)
		}
		for ; len(part) > 0; part = part[4:] {
			values = append(values, math.Float32frombits(binary.LittleEndian.Uint32(part)))
		}
	}
	return values, nil
}
