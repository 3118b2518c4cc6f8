package onnx

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/internal/golden"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/region"
	"github.com/destseg/destseg/train"
)

func testRecord(width, height int) destseg.Record {
	return destseg.Record{
		Program: "test", Category: "flange",
		Preprocessing: destseg.StandardPreprocessing(width, height), Recipe: train.Published("flange"),
		Threshold: &destseg.Threshold{Image: 0.5, Pixel: 0.5, Source: "made up"},
	}
}

// drawnValues returns weights that depend on their names alone. They must not be
// changed.
var drawnValues = sync.OnceValue(func() map[string][]float32 {
	values := map[string][]float32{}
	for _, t := range network.Tensors() {
		values[t.Name] = golden.Draw(t.Name, t.Shape)
	}
	return values
})

// drawPicture draws noise over a slope.
func drawPicture(name string, width, height int) *picture.RGB {
	p := picture.NewRGB(width, height)
	for i := range p.Pix {
		x, y := i/3%width, i/3/width
		p.Pix[i] = uint8(100*x/width + 60*y/height + int(90*golden.Uniform(name, i)))
	}
	return p
}

// TestNodes checks what every consumer relies on: names are given once, before they are
// used, and constants are there for a reason.
func TestNodes(t *testing.T) {
	for name, o := range map[string]Options{
		"fp32":          {},
		"dynamic":       {DynamicSize: true, DeST: true},
		"preprocessing": {Preprocessing: true, DeST: true},
		"fp16":          {Preprocessing: true, DynamicSize: true, Precision: Float16},
		"int8":          {Precision: Int8},
	} {
		t.Run(name, func(t *testing.T) {
			record := testRecord(96, 64)
			record.Preprocessing.Fit = picture.Pad
			if o.Precision == Int8 {
				record.Quantization = drawnQuantization(t)
			}
			m, err := build(record, drawnValues(), o)
			if err != nil {
				t.Fatal(err)
			}
			known, used := map[string]bool{"": true}, map[string]bool{}
			define := func(name string) {
				if known[name] {
					t.Errorf("%q is given twice", name)
				}
				known[name] = true
			}
			for _, p := range m.inputs {
				define(p.name)
			}
			for _, c := range m.initializers {
				define(c.name)
			}
			for _, n := range m.nodes {
				for _, in := range n.in {
					if !known[in] {
						t.Errorf("%s uses %q before it is there", n.op, in)
					}
					used[in] = true
				}
				for _, out := range n.out {
					define(out)
				}
				if n.op == "BatchNormalization" {
					t.Error("a batch norm is not folded")
				}
			}
			for _, c := range m.initializers {
				if !used[c.name] {
					t.Errorf("constant %q is not used", c.name)
				}
			}
			var outputs []string
			for _, p := range m.outputs {
				outputs = append(outputs, p.name)
				if !known[p.name] {
					t.Errorf("output %q is not computed", p.name)
				}
			}
			want := []string{AnomalyMap, Score}
			if o.DeST {
				want = append(want, DeSTMap)
			}
			if !slices.Equal(outputs, want) {
				t.Errorf("outputs are %q, want %q", outputs, want)
			}
			input := Image
			if o.Preprocessing {
				input = Picture
			}
			if len(m.inputs) != 1 || m.inputs[0].name != input {
				t.Errorf("inputs are %v, want %s", m.inputs, input)
			}
		})
	}
}

// fields returns the fields of a message by number.
func fields(t *testing.T, b []byte) map[protowire.Number][][]byte {
	t.Helper()
	found := map[protowire.Number][][]byte{}
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		n = protowire.ConsumeFieldValue(number, kind, b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		content := b[:n]
		if kind == protowire.BytesType {
			content, _ = protowire.ConsumeBytes(content)
		}
		found[number] = append(found[number], content)
		b = b[n:]
	}
	return found
}

func TestWrite(t *testing.T) {
	var first, second bytes.Buffer
	record := testRecord(64, 64)
	for _, b := range []*bytes.Buffer{&first, &second} {
		if err := Write(b, record, drawnValues(), Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if sha256.Sum256(first.Bytes()) != sha256.Sum256(second.Bytes()) {
		t.Error("the same model has other bytes the second time")
	}

	model := fields(t, first.Bytes())
	if v := model[modelIRVersion]; len(v) != 1 || v[0][0] != irVersion {
		t.Errorf("IR version %v, want %d", v, irVersion)
	}
	if set := fields(t, model[modelOpset][0]); set[opsetVersion][0][0] != opset {
		t.Errorf("opset %v, want %d", set, opset)
	}
	entry := fields(t, model[modelMetadata][0])
	if key := string(entry[entryKey][0]); key != RecordKey {
		t.Errorf("metadata key %q", key)
	}
	var kept destseg.Record
	if err := json.Unmarshal(entry[entryValue][0], &kept); err != nil || kept.Category != record.Category || kept.Threshold.Image != 0.5 {
		t.Errorf("record %+v, %v", kept, err)
	}
	g := fields(t, model[modelGraph][0])
	elements := 0
	for _, b := range g[graphInitializer] {
		c := fields(t, b)
		if strings.HasSuffix(string(c[tensorName][0]), ".weight") {
			elements += len(c[tensorRaw][0]) / 4
		}
	}
	want := 0
	for _, tensor := range network.Tensors() {
		if len(tensor.Shape) == 4 {
			want += tensor.Shape.Size()
		}
	}
	if elements != want {
		t.Errorf("%d weights of convolutions, want %d", elements, want)
	}
}

// A counter counts bytes written.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func TestRefusals(t *testing.T) {
	write := func(r destseg.Record, values map[string][]float32, o Options) error {
		var w counter
		err := Write(&w, r, values, o)
		if (err == nil) != (w > 0) {
			t.Errorf("%d bytes were written: %v", w, err)
		}
		return err
	}
	masked := testRecord(64, 64)
	masked.Regions.ROI = &region.ROI{Include: []region.Polygon{{{{0, 0}, {9, 0}, {9, 9}}}}}
	if err := write(masked, drawnValues(), Options{}); !errors.Is(err, ErrROI) {
		t.Errorf("ROI: %v", err)
	}
	if err := write(masked, drawnValues(), Options{WithoutROI: true}); err != nil {
		t.Errorf("without ROI: %v", err)
	}
	if err := write(testRecord(64, 64), drawnValues(), Options{Precision: Int8}); !errors.Is(err, destseg.ErrNotQuantized) {
		t.Errorf("not quantized: %v", err)
	}
	tiled := testRecord(64, 64)
	tiled.Preprocessing.Fit, tiled.Preprocessing.Tile = picture.Tiles, 128
	if err := write(tiled, drawnValues(), Options{Preprocessing: true}); !errors.Is(err, ErrTiles) {
		t.Errorf("tiles: %v", err)
	}
	if err := write(tiled, drawnValues(), Options{}); err != nil {
		t.Errorf("one tile: %v", err)
	}
	bad := testRecord(64, 64)
	bad.Preprocessing.Width = 100
	if err := write(bad, drawnValues(), Options{}); !errors.Is(err, destseg.ErrRecord) {
		t.Errorf("size: %v", err)
	}

	const name = "student_net.decoder_layer1.0.conv1.weight"
	values := map[string][]float32{}
	for key, v := range drawnValues() {
		values[key] = v
	}
	values[name] = slices.Clone(values[name])
	values[name][7] = 1e6
	if err := write(testRecord(64, 64), values, Options{Precision: Float16}); !errors.Is(err, ErrRange) || !strings.Contains(err.Error(), name) {
		t.Errorf("range: %v", err)
	}
	if err := write(testRecord(64, 64), values, Options{}); err != nil {
		t.Errorf("the same in fp32: %v", err)
	}
}

func TestPrecisions(t *testing.T) {
	for p, name := range precisionNames {
		if got, err := ParsePrecision(name); err != nil || got != Precision(p) || got.String() != name {
			t.Errorf("%q is %v, %v", name, got, err)
		}
	}
	if _, err := ParsePrecision("bf16"); err == nil {
		t.Error("bf16 is taken")
	}
	if s := Precision(9).String(); s != "Precision(9)" {
		t.Error(s)
	}
}
