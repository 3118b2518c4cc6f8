package tensorboard

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// read takes a file apart: the checked events, each as a map from field numbers to
// what protowire makes of the last value under them.
func read(t *testing.T, path string) []map[protowire.Number]any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var events []map[protowire.Number]any
	for len(data) > 0 {
		n := int(binary.LittleEndian.Uint64(data))
		event := data[12:][:n]
		if binary.LittleEndian.Uint32(data[8:]) != checksum(data[:8]) || binary.LittleEndian.Uint32(data[12+n:]) != checksum(event) {
			t.Fatal("wrong checksum")
		}
		events = append(events, fields(t, event))
		data = data[12+n+4:]
	}
	return events
}

func fields(t *testing.T, b []byte) map[protowire.Number]any {
	t.Helper()
	m := map[protowire.Number]any{}
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		switch kind {
		case protowire.VarintType:
			m[number], n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			m[number], n = protowire.ConsumeFixed32(b)
		case protowire.Fixed64Type:
			m[number], n = protowire.ConsumeFixed64(b)
		default:
			m[number], n = protowire.ConsumeBytes(b)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
	}
	return m
}

func TestWriter(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new")
	w, err := Create(folder)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Create(folder)
	if err != nil {
		t.Fatal(err)
	}
	other.Close()
	img := image.NewRGBA(image.Rect(0, 0, 3, 2))
	img.Set(2, 1, color.White)
	if err := w.Scalar(7, "loss/focal", 0.25); err != nil {
		t.Fatal(err)
	}
	if err := w.Image(300, "maps", img); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}

	paths, err := filepath.Glob(filepath.Join(folder, "events.out.tfevents.*"))
	if err != nil || len(paths) != 2 {
		t.Fatalf("files %v, %v", paths, err)
	}
	events := read(t, w.file.Name())
	if len(events) != 3 || string(events[0][eventVersion].([]byte)) != "brain.Event:2" {
		t.Fatalf("events %v", events)
	}
	value := func(event map[protowire.Number]any) map[protowire.Number]any {
		return fields(t, fields(t, event[eventSummary].([]byte))[summaryValue].([]byte))
	}
	if at := math.Float64frombits(events[1][eventWallTime].(uint64)); at < 1.6e9 || at > 1e11 {
		t.Errorf("time %v", at)
	}
	scalar := value(events[1])
	if events[1][eventStep] != uint64(7) || string(scalar[valueTag].([]byte)) != "loss/focal" || math.Float32frombits(scalar[valueSimple].(uint32)) != 0.25 {
		t.Errorf("scalar %v", scalar)
	}
	picture := fields(t, value(events[2])[valueImage].([]byte))
	if events[2][eventStep] != uint64(300) || picture[imageWidth] != uint64(3) || picture[imageHeight] != uint64(2) {
		t.Errorf("picture %v", picture)
	}
	decoded, err := png.Decode(bytes.NewReader(picture[imageEncoded].([]byte)))
	if err != nil || decoded.Bounds() != img.Bounds() {
		t.Errorf("picture of %v, %v", decoded, err)
	}
}

// The record of an empty event in TFRecord's framing; its checksums were computed by
// the definition, bit by bit.
func TestRecord(t *testing.T) {
	slow := func(data []byte) uint32 {
		c := ^uint32(0)
		for _, b := range data {
			c ^= uint32(b)
			for range 8 {
				c = c>>1 ^ 0x82f63b78&-(c&1)
			}
		}
		c = ^c
		return (c>>15 | c<<17) + 0xa282ead8
	}
	for _, data := range [][]byte{nil, []byte("123456789"), bytes.Repeat([]byte{0}, 32)} {
		if got, want := checksum(data), slow(data); got != want {
			t.Errorf("%q: %x, want %x", data, got, want)
		}
	}
}
