// Package tensorboard writes event files, which TensorBoard draws curves and
// pictures from.
package tensorboard

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// A Writer appends events to a file of its own. What an event says is in the file
// when the call returns. It is used by one goroutine at a time.
type Writer struct{ file *os.File }

// Create begins a file in a folder, which is made if it is not there. Several files
// of a folder are one run.
func Create(folder string) (*Writer, error) {
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return nil, err
	}
	now := time.Now()
	for n := 0; ; n++ { // two runs may begin in the same second
		path := filepath.Join(folder, fmt.Sprintf("events.out.tfevents.%010d.destseg.%d", now.Unix(), n))
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
		if os.IsExist(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		w := &Writer{f}
		if err := w.event(now, 0, protowire.AppendString(protowire.AppendTag(nil, eventVersion, protowire.BytesType), "brain.Event:2")); err != nil {
			f.Close()
			os.Remove(path)
			return nil, err
		}
		return w, nil
	}
}

// Field numbers of the messages Event, Summary, Summary.Value and Summary.Image, by
// TensorFlow's event.proto and summary.proto.
const (
	eventWallTime = 1
	eventStep     = 2
	eventVersion  = 3
	eventSummary  = 5

	summaryValue = 1

	valueTag    = 1
	valueSimple = 2
	valueImage  = 4

	imageHeight     = 1
	imageWidth      = 2
	imageColorspace = 3 // 3: RGB
	imageEncoded    = 4
)

// Scalar adds a point to the curve of a tag.
func (w *Writer) Scalar(step int, tag string, v float64) error {
	b := protowire.AppendTag(nil, valueSimple, protowire.Fixed32Type)
	return w.value(step, tag, protowire.AppendFixed32(b, math.Float32bits(float32(v))))
}

// Image adds a picture to those of a tag.
func (w *Writer) Image(step int, tag string, img image.Image) error {
	var encoded bytes.Buffer
	if err := png.Encode(&encoded, img); err != nil {
		return err
	}
	var b []byte
	for _, field := range []struct {
		number protowire.Number
		value  int
	}{{imageHeight, img.Bounds().Dy()}, {imageWidth, img.Bounds().Dx()}, {imageColorspace, 3}} {
		b = protowire.AppendVarint(protowire.AppendTag(b, field.number, protowire.VarintType), uint64(field.value))
	}
	b = protowire.AppendBytes(protowire.AppendTag(b, imageEncoded, protowire.BytesType), encoded.Bytes())
	return w.value(step, tag, protowire.AppendBytes(protowire.AppendTag(nil, valueImage, protowire.BytesType), b))
}

// value writes an event with a summary of one value.
func (w *Writer) value(step int, tag string, content []byte) error {
	v := protowire.AppendString(protowire.AppendTag(nil, valueTag, protowire.BytesType), tag)
	summary := protowire.AppendBytes(protowire.AppendTag(nil, summaryValue, protowire.BytesType), append(v, content...))
	return w.event(time.Now(), step, protowire.AppendBytes(protowire.AppendTag(nil, eventSummary, protowire.BytesType), summary))
}

func (w *Writer) event(at time.Time, step int, what []byte) error {
	b := protowire.AppendTag(nil, eventWallTime, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(float64(at.UnixNano())/1e9))
	b = protowire.AppendTag(b, eventStep, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(step))
	_, err := w.file.Write(record(append(b, what...)))
	return err
}

// record frames an event: its length, the length's checksum, the event, its
// checksum.
func record(data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(b, checksum(b))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, checksum(data))
}

// checksum is CRC-32C, masked as in TensorFlow's record_writer.h.
func checksum(data []byte) uint32 {
	c := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
	return (c>>15 | c<<17) + 0xa282ead8
}

// Close closes the file.
func (w *Writer) Close() error { return w.file.Close() }
