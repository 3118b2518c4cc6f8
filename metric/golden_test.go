package metric

import (
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/destseg/destseg/weights"
)

// vectors are the contents of one of the metrics-*.safetensors files.
type vectors struct {
	n, height, width int
	scores           []float32
	masks            []uint8
	want             map[string]string
}

func readVectors(t *testing.T, name string) vectors {
	t.Helper()
	f, err := weights.Open(filepath.Join("..", "testdata", "golden", name))
	if err != nil {
		t.Fatal(err)
	}
	scores := f.Tensors["scores"]
	v := vectors{masks: f.Tensors["masks"].Data, want: f.Metadata}
	if v.scores, err = scores.Float32s(); err != nil {
		t.Fatal(err)
	}
	v.n, v.height, v.width = scores.Shape[0], scores.Shape[1], scores.Shape[2]
	return v
}

func (v vectors) samples() []Sample {
	var samples []Sample
	size := v.width * v.height
	for i := range v.n {
		m, mask := v.scores[i*size:(i+1)*size], v.masks[i*size:(i+1)*size]
		samples = append(samples, Sample{
			Score:     TopMean(m, 100),
			Defective: slices.Max(mask) > 0,
			Width:     v.width,
			Height:    v.height,
			Map:       m,
			Mask:      mask,
		})
	}
	return samples
}

func TestGolden(t *testing.T) {
	for _, name := range []string{"metrics-continuous.safetensors", "metrics-ties.safetensors"} {
		t.Run(name, func(t *testing.T) {
			v := readVectors(t, name)
			r := evaluate(t, v.samples()).Result()
			got := map[string]float64{"instances": float64(r.Instances)}
			for _, f := range r.Figures() {
				got[f.Key] = *f.Value
			}
			if len(got) != len(v.want) {
				t.Errorf("%d figures, vectors have %d", len(got), len(v.want))
			}
			for key, text := range v.want {
				want, err := strconv.ParseFloat(text, 64)
				if err != nil {
					t.Fatal(err)
				}
				g, ok := got[key]
				if !ok || !(math.Abs(g-want) <= 1e-9) {
					t.Errorf("%s = %v (present: %v), want %v", key, g, ok, want)
				}
				t.Logf("%-18s %.17g, off by %.1e", key, g, g-want)
			}
		})
	}
}
