package destseg

import (
	"errors"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/internal/golden"
	"github.com/destseg/destseg/metric"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/train"
	"github.com/destseg/destseg/weights"
)

// drawn holds the weights of the golden vectors. Nobody changes them.
var drawn = sync.OnceValue(func() map[string][]float32 {
	values := map[string][]float32{}
	for _, t := range network.Tensors() {
		values[t.Name] = golden.Draw(t.Name, t.Shape)
	}
	return values
})

// drawnFile is drawn as [Save] lays it out, without a record.
var drawnFile = sync.OnceValue(func() *weights.File {
	f := &weights.File{Tensors: map[string]weights.Tensor{}}
	for _, t := range network.Tensors() {
		f.Tensors[t.Name] = weights.FromFloat32(t.Shape, drawn()[t.Name])
	}
	return f
})

func testRecord(width, height int) Record {
	return Record{
		Category: "screw", Preprocessing: StandardPreprocessing(width, height), Recipe: train.Published("screw"),
		Teacher:  TeacherRecord{Name: "builtin", Digest: "01ab"},
		Pictures: PicturesRecord{Count: 3, Digest: "23cd"}, Textures: "procedural", Engine: "none", Precision: "fp32", Seconds: 1.5,
	}
}

func newDetector(t testing.TB, r Record) *Detector {
	t.Helper()
	d, err := New(r, drawn(), WithPrecision(engine.Float32))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// side is that of the shared detector's pictures, as small as the plain engine, which is
// slow, would have it.
const side = 32

// shared is a detector for all tests that leave it as it is.
var shared = sync.OnceValues(func() (*Detector, error) {
	return New(testRecord(side, side), drawn(), WithPrecision(engine.Float32))
})

func sharedDetector(t testing.TB) *Detector {
	t.Helper()
	d, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// noise is a picture of random values.
func noise(seed uint64, width, height int) *picture.RGB {
	random := rand.New(rand.NewPCG(seed, 1))
	p := picture.NewRGB(width, height)
	for i := range p.Pix {
		p.Pix[i] = uint8(random.Uint32())
	}
	return p
}

// TestGoldenForward runs the pictures of a forward vector one by one.
func TestGoldenForward(t *testing.T) {
	const name, limit = "forward-64x64", 3 * 6e-7 // three times what PyTorch's float32 strays
	f, err := weights.Open(filepath.Join("testdata", "golden", name+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	var size [3]int
	for i, key := range []string{"batch", "height", "width"} {
		if size[i], err = strconv.Atoi(f.Metadata[key]); err != nil {
			t.Fatal(err)
		}
	}
	batch, height, width := size[0], size[1], size[2]
	want := func(name string) []float64 {
		v, err := f.Tensors[name].Float64s()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	close := func(what string, got []float32, want []float64) {
		t.Helper()
		var difference, norm float64
		for i := range want {
			difference += (float64(got[i]) - want[i]) * (float64(got[i]) - want[i])
			norm += want[i] * want[i]
		}
		if e := math.Sqrt(difference / norm); !(e <= limit) {
			t.Errorf("%s: relative error %.2g, limit %.2g", what, e, limit)
		}
	}
	pictures := golden.DrawPictures(name, network.Size{Batch: batch, Height: height, Width: width}).Corrupted
	d := newDetector(t, testRecord(width, height))
	pixels, mapPixels := height*width, height*width/(network.MapStride*network.MapStride)
	for b := range batch {
		run := d.newRun(pictures[b*3*pixels:][:3*pixels])
		if err := d.runner.do(run); err != nil {
			t.Fatal(err)
		}
		for _, m := range []struct {
			name string
			got  coarseMap
		}{{network.Segmentation, run.segmentation}, {network.DeST, run.dest}} {
			close(m.name, m.got.values, want(m.name)[b*mapPixels:][:mapPixels])
			score := metric.TopMean(m.got.resize(width, height), scorePixels)
			close("score of "+m.name, []float32{float32(score)}, want("score." + m.name)[b:][:1])
		}
	}
}

func TestInspect(t *testing.T) {
	r := testRecord(96, 64)
	d := newDetector(t, r)
	p := noise(1, 150, 70)
	got, err := d.InspectRGB(p)
	if err != nil {
		t.Fatal(err)
	}
	if got.Width != 150 || got.Height != 70 || got.HasThreshold || got.Anomalous {
		t.Errorf("size %d×%d, threshold %v, anomalous %v", got.Width, got.Height, got.HasThreshold, got.Anomalous)
	}

	input := make([]float32, 3*96*64)
	p.Resize(96, 64).Normalize(input, r.Preprocessing.Mean, r.Preprocessing.Std)
	run := d.newRun(input)
	if err := d.runner.do(run); err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct {
		coarse coarseMap
		score  float64
		at     func(width, height int) []float32
	}{{run.segmentation, got.Score, got.Map}, {run.dest, got.DeSTScore(), got.DeSTMap}} {
		if m.coarse.width != 24 || m.coarse.height != 16 {
			t.Errorf("map of %d×%d", m.coarse.width, m.coarse.height)
		}
		want := make([]float32, 150*70)
		picture.ResizeMap(m.coarse.values, 24, 16, 150, 70, want)
		if !slices.Equal(m.at(150, 70), want) {
			t.Error("the map differs from the networks' map, resized once")
		}
		if want := metric.TopMean(m.coarse.resize(96, 64), 100); m.score != want {
			t.Errorf("score %v, want %v", m.score, want)
		}
	}

	fromImage, err := d.Inspect(p.Image())
	if err != nil {
		t.Fatal(err)
	}
	if fromImage.Score != got.Score {
		t.Errorf("score %v from an image, %v from its pixels", fromImage.Score, got.Score)
	}
}

func TestInspectThreshold(t *testing.T) {
	p := noise(1, 64, 64)
	plain, err := sharedDetector(t).InspectRGB(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		threshold float64
		want      bool
	}{{plain.Score, false}, {math.Nextafter(plain.Score, 0), true}} {
		r := testRecord(side, side)
		r.Threshold = &Threshold{Image: c.threshold}
		d := newDetector(t, r)
		r.Threshold.Image = 0 // the detector's own must not follow
		got, err := d.InspectRGB(p)
		if err != nil {
			t.Fatal(err)
		}
		if got.Threshold != c.threshold || !got.HasThreshold || got.Anomalous != c.want {
			t.Errorf("score %v, threshold %v: %+v", plain.Score, c.threshold, got)
		}
	}
}

func TestPeak(t *testing.T) {
	in, err := newDetector(t, testRecord(96, 64)).InspectRGB(noise(1, 96, 64)) // at network size
	if err != nil {
		t.Fatal(err)
	}
	at, values := in.Peak(), in.Map(96, 64)
	if at.Value != slices.Max(values) || values[at.Y*96+at.X] != at.Value {
		t.Errorf("peak %+v, the map reaches %v and is %v there", at, slices.Max(values), values[at.Y*96+at.X])
	}
}

func TestOpenRefusesPrecision(t *testing.T) {
	if _, err := New(testRecord(64, 64), drawn(), WithPrecision(77)); !errors.Is(err, engine.ErrUnsupported) {
		t.Error(err)
	}
}

func TestInspectRefuses(t *testing.T) {
	d := newDetector(t, testRecord(64, 64))
	for name, p := range map[string]*picture.RGB{
		"empty": {}, "flat": {Width: 5}, "negative": {Width: -1, Height: -1, Pix: make([]byte, 3)},
		"short": {Width: 2, Height: 2, Pix: make([]byte, 11)},
	} {
		if _, err := d.InspectRGB(p); !errors.Is(err, ErrPicture) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := d.Inspect(image.NewRGBA(image.Rectangle{})); !errors.Is(err, ErrPicture) {
		t.Errorf("empty image: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Inspect(image.NewUniform(color.Black)); !errors.Is(err, picture.ErrTooLarge) {
		t.Errorf("endless image: %v", err)
	}
	if _, err := d.InspectRGB(noise(1, 64, 64)); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestInspectConcurrently(t *testing.T) {
	d := sharedDetector(t)
	const pictures = 6
	var want [pictures]*Inspection
	for i := range want {
		var err error
		if want[i], err = d.InspectRGB(noise(uint64(i), 70+i, 64)); err != nil {
			t.Fatal(err)
		}
	}
	var wait sync.WaitGroup
	for i := range want {
		wait.Go(func() {
			for range 3 {
				got, err := d.InspectRGB(noise(uint64(i), 70+i, 64))
				if err != nil {
					t.Error(err)
					continue
				}
				got.Elapsed, got.Waited = want[i].Elapsed, want[i].Waited
				if !reflect.DeepEqual(got, want[i]) {
					t.Errorf("picture %d: score %v, alone %v", i, got.Score, want[i].Score)
				}
			}
		})
	}
	wait.Wait()
}

func TestNewRefuses(t *testing.T) {
	nan := float32(math.NaN())
	change := func(name string, v []float32) map[string][]float32 {
		values := map[string][]float32{}
		for k := range drawn() {
			values[k] = drawn()[k]
		}
		if values[name] = v; v == nil {
			delete(values, name)
		}
		return values
	}
	const name = "segmentation_net.head.4.bias"
	variance := slices.Repeat([]float32{1}, 64)
	variance[5] = -1
	small := testRecord(64, 60)
	for _, c := range []struct {
		what   string
		record Record
		values map[string][]float32
		want   error
		text   string
	}{
		{"size", small, drawn(), ErrRecord, "64×60"},
		{"missing", testRecord(64, 64), change(name, nil), ErrTensors, name},
		{"length", testRecord(64, 64), change(name, []float32{1, 2}), ErrTensors, name},
		{"NaN", testRecord(64, 64), change(name, []float32{nan}), ErrTensors, name},
		{"variance", testRecord(64, 64), change("teacher_net.encoder.bn1.running_var", variance), ErrTensors, "running_var"},
	} {
		d, err := New(c.record, c.values)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.what, err)
		}
		if err == nil {
			d.Close()
		}
	}
}

func TestNewEngine(t *testing.T) {
	for name, want := range map[string]string{"plain": "plain", "auto": "", "onednn": "oneDNN"} {
		e, err := NewEngine(name)
		if errors.Is(err, engine.ErrUnavailable) && name == "onednn" {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !strings.HasPrefix(e.Name(), want) {
			t.Errorf("%s: got %s", name, e.Name())
		}
	}
	if _, err := NewEngine("abacus"); err == nil || !strings.Contains(err.Error(), "auto, onednn and plain") {
		t.Errorf("unknown engine: %v", err)
	}
}

func BenchmarkInspect(b *testing.B) {
	d, err := New(testRecord(256, 256), drawn())
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	p := noise(1, 900, 900)
	for b.Loop() {
		if _, err := d.InspectRGB(p); err != nil {
			b.Fatal(err)
		}
	}
}
