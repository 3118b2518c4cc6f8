package metric

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
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
	data, err := os.ReadFile(filepath.Join("..", "testdata", "golden", name))
	if err != nil {
		t.Fatal(err)
	}
	size := binary.LittleEndian.Uint64(data)
	var header map[string]json.RawMessage
	if err := json.Unmarshal(data[8:8+size], &header); err != nil {
		t.Fatal(err)
	}
	data = data[8+size:]
	tensor := func(name string) ([]byte, []int) {
		var info struct {
			Shape   []int  `json:"shape"`
			Offsets [2]int `json:"data_offsets"`
		}
		if err := json.Unmarshal(header[name], &info); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return data[info.Offsets[0]:info.Offsets[1]], info.Shape
	}
	raw, shape := tensor("scores")
	masks, _ := tensor("masks")
	v := vectors{n: shape[0], height: shape[1], width: shape[2], masks: masks}
	for i := 0; i < len(raw); i += 4 {
		v.scores = append(v.scores, math.Float32frombits(binary.LittleEndian.Uint32(raw[i:])))
	}
	if err := json.Unmarshal(header["__metadata__"], &v.want); err != nil {
		t.Fatal(err)
	}
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
