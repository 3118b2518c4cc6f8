package metric

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/destseg/destseg/region"
)

func evaluate(t testing.TB, samples []Sample) *Evaluator {
	t.Helper()
	var e Evaluator
	for _, s := range samples {
		if err := e.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	return &e
}

// randomSamples draws pictures with scores from few or many levels, both signs
// included, and masks of any density.
func randomSamples(r *rand.Rand, n, width, height, levels int) []Sample {
	samples := make([]Sample, n)
	density := r.Float64()
	for i := range samples {
		s := Sample{
			Score:  float64(r.IntN(levels)) / float64(levels),
			Width:  width,
			Height: height,
			Map:    make([]float32, width*height),
			Mask:   make([]uint8, width*height),
		}
		for p := range s.Map {
			if i%3 != 0 && r.Float64() < density {
				s.Mask[p] = uint8(1 + r.IntN(255))
				s.Defective = true
			}
			s.Map[p] = float32(r.IntN(levels)-levels/3)/float32(levels) + 0.2*float32(min(s.Mask[p], 1))
		}
		samples[i] = s
	}
	return samples
}

func sameResult(t *testing.T, got, want Result) {
	t.Helper()
	g, w := got.Figures(), want.Figures()
	for i := range w {
		a, b := g[i].Value, w[i].Value
		if (a == nil) != (b == nil) || a != nil && !(math.Abs(*a-*b) <= 1e-12) {
			t.Errorf("%v, want %v", g[i], w[i])
		}
	}
	got.ImageAUROC, got.ImageAP, got.PixelAUROC, got.PixelAP = want.ImageAUROC, want.ImageAP, want.PixelAUROC, want.PixelAP
	got.PixelF1, got.PixelF1Threshold, got.AUPRO, got.IAP, got.IAP90 = want.PixelF1, want.PixelF1Threshold, want.AUPRO, want.IAP, want.IAP90
	if got != want {
		t.Errorf("counts: %+v, want %+v", got, want)
	}
}

func TestAgainstTwin(t *testing.T) {
	for _, c := range []struct{ n, width, height, levels int }{
		{1, 1, 1, 2}, {2, 1, 1, 2}, {3, 1, 7, 3}, {3, 9, 1, 3}, {4, 5, 3, 1}, {4, 5, 3, 2}, {5, 7, 11, 4},
		{6, 13, 8, 5}, {7, 9, 9, 1000}, {8, 11, 6, 1 << 20}, {30, 3, 4, 6},
	} {
		t.Run(fmt.Sprintf("%d of %d×%d, %d levels", c.n, c.width, c.height, c.levels), func(t *testing.T) {
			for seed := range uint64(8) {
				samples := randomSamples(rand.New(rand.NewPCG(seed, 1)), c.n, c.width, c.height, c.levels)
				sameResult(t, evaluate(t, samples).Result(), twin(samples))
			}
		})
	}
}

// A strictly rising change of all scores changes no figure but the threshold;
// nor does the order of the pictures.
func TestInvariance(t *testing.T) {
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 2))
		samples := randomSamples(r, 9, 17, 12, 1+r.IntN(300))
		want := evaluate(t, samples).Result()

		rank := map[float32]uint32{}
		var distinct []float32
		for _, s := range samples {
			distinct = append(distinct, s.Map...)
		}
		slices.Sort(distinct)
		distinct = slices.Compact(distinct)
		for i, v := range distinct {
			rank[v] = uint32(i)
		}
		lowest, highest := keyOf(-math.MaxFloat32), keyOf(math.MaxFloat32)
		spread := (highest - lowest) / uint32(len(distinct))
		for name, rise := range map[string]func(float32) float32{
			"halved": func(v float32) float32 { return v / 2 },
			"packed": func(v float32) float32 { return scoreOf(keyOf(0.75) + rank[v]) },
			"spread": func(v float32) float32 { return scoreOf(lowest + spread*rank[v]) },
		} {
			changed := slices.Clone(samples)
			for i := range changed {
				changed[i].Score = math.Exp(changed[i].Score)
				changed[i].Map = slices.Clone(changed[i].Map)
				for p, v := range changed[i].Map {
					changed[i].Map[p] = rise(v)
				}
			}
			got := evaluate(t, changed).Result()
			if got.PixelF1Threshold != nil {
				if at := rise(float32(*want.PixelF1Threshold)); *got.PixelF1Threshold != float64(at) {
					t.Errorf("%s: threshold %v, want %v", name, *got.PixelF1Threshold, at)
				}
				got.PixelF1Threshold = want.PixelF1Threshold
			}
			sameResult(t, got, want)
		}

		r.Shuffle(len(samples), func(i, j int) { samples[i], samples[j] = samples[j], samples[i] })
		sameResult(t, evaluate(t, samples).Result(), want)
	}
}

// Enough pixels to turn lists into counts, with a background that saturates.
func TestCountedPages(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	const width, height, n = 512, 300, 4
	var samples []Sample
	for i := range n {
		s := Sample{Width: width, Height: height, Defective: true, Score: float64(i)}
		for p := range width * height {
			v := 0.5 + float32(r.IntN(3000))*0x1p-24
			if p%7 == 0 {
				v = 0
			}
			s.Map = append(s.Map, v)
			s.Mask = append(s.Mask, uint8(p/2000%2))
		}
		samples = append(samples, s)
	}
	e := evaluate(t, samples)
	for name, table := range map[string]*scoreTable{"background": &e.background, "defect": &e.defect} {
		if p := table.at(keyOf(0.5)); p.count == nil {
			t.Errorf("%s is still a list of %d; draw more pixels", name, len(p.low))
		}
	}
	type sums struct {
		background, defect uint64
		overlap            float64
	}
	want := map[float32]sums{}
	for _, s := range samples {
		labels, count := region.Label(s.Mask, width, height)
		size := make([]float64, count+1)
		for _, l := range labels {
			size[l]++
		}
		for p, v := range s.Map {
			w := want[v]
			if l := labels[p]; l == 0 {
				w.background++
			} else {
				w.defect++
				w.overlap += 1 / size[l]
			}
			want[v] = w
		}
	}
	last := float32(math.Inf(1))
	steps := 0
	for s := range descend(&e.background, &e.defect) {
		w := want[s.score]
		if s.background != w.background || s.defect != w.defect || math.Abs(s.overlap-w.overlap) > 1e-12 {
			t.Fatalf("score %v: %+v, want %+v", s.score, s, w)
		}
		if s.score >= last {
			t.Fatalf("score %v after %v", s.score, last)
		}
		last = s.score
		steps++
	}
	if steps != len(want) {
		t.Errorf("%d distinct scores, want %d", steps, len(want))
	}
}

// A count that passes 2³² loses nothing.
func TestCarry(t *testing.T) {
	var background, defect scoreTable
	scores := make([]float32, listLimit)
	background.addBackground(scores, nil)
	p := background.at(keyOf(0))
	p.count[uint16(keyOf(0))] = math.MaxUint32
	background.addBackground(scores[:1], nil)
	for s := range descend(&background, &defect) {
		if s.background != 1<<32 {
			t.Errorf("count %d at the carry, want 2³²", s.background)
		}
	}
	background.addBackground(scores[:5], nil)
	for s := range descend(&background, &defect) {
		if s.background != 1<<32+5 {
			t.Errorf("count %d after the carry, want 2³² + 5", s.background)
		}
	}
}

func TestKeys(t *testing.T) {
	inOrder := []float32{
		-math.MaxFloat32, -1, -math.SmallestNonzeroFloat32, 0, math.SmallestNonzeroFloat32, 0x1p-126,
		0.5, math.Nextafter32(0.5, 1), 1, math.MaxFloat32,
	}
	for i, v := range inOrder {
		if got := scoreOf(keyOf(v)); got != v {
			t.Errorf("%v comes back as %v", v, got)
		}
		if i > 0 && keyOf(inOrder[i-1]) >= keyOf(v) {
			t.Errorf("key of %v not below that of %v", inOrder[i-1], v)
		}
	}
	if keyOf(float32(math.Copysign(0, -1))) != keyOf(0) {
		t.Error("−0 and 0 differ")
	}
}

func TestNotDefined(t *testing.T) {
	good := Sample{Score: 0.1, Width: 2, Height: 1, Map: []float32{0.1, 0.2}}
	bad := Sample{Score: 0.9, Width: 2, Height: 1, Map: []float32{0.8, 0.3}, Mask: []uint8{1, 0}, Defective: true}
	full, vanished, unknown, noMap := bad, bad, bad, Sample{Score: 0.2}
	full.Mask = []uint8{1, 1}
	vanished.Mask = []uint8{0, 0}
	unknown.Mask = nil

	for _, c := range []struct {
		name    string
		samples []Sample
		missing map[string]string // by key; "*" for every figure not named
	}{
		{"none", nil, map[string]string{"*": "no pictures"}},
		{"good only", []Sample{good, good}, map[string]string{"*": "no defective pictures"}},
		{"bad only", []Sample{bad}, map[string]string{"image_auroc": "no good pictures"}},
		{"both", []Sample{good, bad}, nil},
		{"all defect", []Sample{full}, map[string]string{
			"image_auroc": "no good pictures", "pixel_auroc": "no background pixels", "aupro": "no background pixels"}},
		{"vanished", []Sample{good, vanished}, map[string]string{
			"image_auroc": "", "image_ap": "", "*": "no defect pixels in the masks"}},
		{"one unknown", []Sample{good, bad, unknown}, nil},
		{"one without map", []Sample{noMap, bad}, nil},
		{"only unknown", []Sample{good, unknown}, map[string]string{"image_auroc": "", "image_ap": "",
			"*": "no defect pixels in the masks; 1 of 2 pictures left out, for want of a map or a mask"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := evaluate(t, c.samples)
			r := e.Result()
			for _, f := range r.Figures() {
				want, ok := c.missing[f.Key]
				if !ok {
					want = c.missing["*"]
				}
				if f.Missing != want || (f.Value == nil) != (want != "") {
					t.Errorf("%v (missing %q), want missing %q", f, f.Missing, want)
				}
				if f.Protocol == "" || f.Name == "" {
					t.Errorf("%s without name or protocol", f.Key)
				}
			}
			data, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			var back Result
			if err := json.Unmarshal(data, &back); err != nil {
				t.Fatal(err)
			}
			sameResult(t, back, r)

			// The JSON keys of Result are those of its figures.
			var fields map[string]*float64
			if err := json.Unmarshal(data, &fields); err != nil {
				t.Fatal(err)
			}
			for _, f := range r.Figures() {
				v, ok := fields[f.Key]
				if !ok || (v == nil) != (f.Value == nil) || v != nil && *v != *f.Value {
					t.Errorf("%s in JSON: %v, present %v", f.Key, v, ok)
				}
			}

			if got := e.IAPAt(90); (got == nil) != (r.IAP90 == nil) {
				t.Errorf("IAPAt(90) = %v, in the result %v", got, r.IAP90)
			}

			curves := e.Curves(10)
			for name, pair := range map[string]struct {
				curve []Point
				value *float64
			}{
				"image ROC": {curves.ImageROC, r.ImageAUROC}, "image PR": {curves.ImagePR, r.ImageAP},
				"pixel ROC": {curves.PixelROC, r.PixelAUROC}, "pixel PR": {curves.PixelPR, r.PixelAP},
				"PRO": {curves.PRO, r.AUPRO}, "IAP": {curves.IAP, r.IAP},
			} {
				if (len(pair.curve) == 0) != (pair.value == nil) {
					t.Errorf("%s: %d points, figure %v", name, len(pair.curve), pair.value)
				}
			}
		})
	}
}

// TestBlindPictures checks that pictures without a mask count for the image figures
// alone, and that the others say so.
func TestBlindPictures(t *testing.T) {
	good := Sample{Score: 0.1, Width: 2, Height: 1, Map: []float32{0.1, 0.2}}
	bad := Sample{Score: 0.9, Width: 2, Height: 1, Map: []float32{0.8, 0.3}, Mask: []uint8{1, 0}, Defective: true}
	unknown := Sample{Score: 0.05, Width: 2, Height: 1, Map: []float32{0.9, 0.9}, Defective: true}
	without := evaluate(t, []Sample{good, bad}).Result().Figures()
	r := evaluate(t, []Sample{good, unknown, bad}).Result()
	if r.BlindPictures != 1 || *r.ImageAUROC != 0.5 {
		t.Errorf("%d blind pictures, image AUROC %v", r.BlindPictures, *r.ImageAUROC)
	}
	for i, f := range r.Figures() {
		image := strings.HasPrefix(f.Key, "image_")
		if !image && *f.Value != *without[i].Value {
			t.Errorf("%v, without the blind picture %v", f, without[i])
		}
		if image == strings.Contains(f.Protocol, "1 of 3 pictures left out, for want of a map or a mask") {
			t.Errorf("%s: %s", f.Key, f.Protocol)
		}
	}
}

func TestFigureString(t *testing.T) {
	figures := Result{Pictures: 3, DefectivePictures: 1, DefectPixels: 5, ImageAUROC: new(0.98765)}.Figures()
	if got, want := figures[0].String(), "image AUROC 0.9877"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := figures[6].String(), "AUPRO not defined: no background pixels"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestInvalidSamples(t *testing.T) {
	ok := Sample{Score: 1, Width: 2, Height: 2, Map: []float32{0, 1, 2, 3}, Mask: []uint8{0, 0, 0, 1}, Defective: true}
	var e Evaluator
	if err := e.Add(ok); err != nil {
		t.Fatal(err)
	}
	before := e.Result()
	for name, spoil := range map[string]func(*Sample){
		"score NaN":        func(s *Sample) { s.Score = math.NaN() },
		"score infinite":   func(s *Sample) { s.Score = math.Inf(1) },
		"map NaN":          func(s *Sample) { s.Map = []float32{0, 1, float32(math.NaN()), 3} },
		"map infinite":     func(s *Sample) { s.Map = []float32{0, 1, 2, float32(math.Inf(-1))} },
		"map short":        func(s *Sample) { s.Map = s.Map[:3] },
		"map empty":        func(s *Sample) { s.Map, s.Width, s.Height = []float32{}, 0, 0 },
		"size negative":    func(s *Sample) { s.Width, s.Height = -2, -2 },
		"size huge":        func(s *Sample) { s.Width, s.Height = math.MaxInt, math.MaxInt },
		"size wraps":       func(s *Sample) { s.Width, s.Height = 1<<62+1, 4 },
		"mask short":       func(s *Sample) { s.Mask = s.Mask[:3] },
		"mask long":        func(s *Sample) { s.Mask = make([]uint8, 5) },
		"mask without map": func(s *Sample) { s.Map = nil },
		"good with defect": func(s *Sample) { s.Defective = false },
	} {
		s := ok
		spoil(&s)
		if err := e.Add(s); !errors.Is(err, ErrSample) {
			t.Errorf("%s: error %v, want ErrSample", name, err)
		} else {
			t.Log(err)
		}
	}
	sameResult(t, e.Result(), before)
}

func TestIAPAt(t *testing.T) {
	samples := randomSamples(rand.New(rand.NewPCG(4, 4)), 12, 16, 16, 50)
	for i := range samples { // thin the masks out to get instances
		for p := range samples[i].Mask {
			if p%3 != 0 || p/16%2 != 0 {
				samples[i].Mask[p] = 0
			}
		}
	}
	e := evaluate(t, samples)
	if got, want := *e.IAPAt(90), *e.Result().IAP90; got != want {
		t.Errorf("IAP@90 = %v, in the result %v", got, want)
	}
	curve := e.Curves(10_000).IAP
	n := e.Result().Instances
	if len(curve) != n || n < 30 {
		t.Fatalf("%d points for %d instances", len(curve), n)
	}
	for percent := 1; percent <= 100; percent++ {
		i := 0
		for (i+1)*100 < percent*n {
			i++
		}
		if got := *e.IAPAt(percent); got != curve[i].Y {
			t.Errorf("IAP@%d = %v, want %v", percent, got, curve[i].Y)
		}
	}
	for _, percent := range []int{-1, 0, 101} {
		if e.IAPAt(percent) != nil {
			t.Errorf("IAP@%d is defined", percent)
		}
	}
}

func TestCurves(t *testing.T) {
	samples := randomSamples(rand.New(rand.NewPCG(5, 5)), 40, 31, 23, 1<<20)
	e := evaluate(t, samples)
	r := e.Result()
	for _, n := range []int{0, 4, 50, 2000} {
		c := e.Curves(n)
		for name, points := range map[string][]Point{
			"image ROC": c.ImageROC, "image PR": c.ImagePR, "pixel ROC": c.PixelROC,
			"pixel PR": c.PixelPR, "PRO": c.PRO, "IAP": c.IAP,
		} {
			if len(points) > max(n, 4) || len(points) < 2 {
				t.Errorf("%s: %d points, asked for %d", name, len(points), n)
			}
			for i, p := range points {
				if !(p.X >= 0 && p.X <= 1 && p.Y >= 0 && p.Y <= 1) || i > 0 && p.X < points[i-1].X {
					t.Errorf("%s: point %d of %d is %v", name, i, len(points), p)
				}
			}
			if last := points[len(points)-1]; last.X != 1 {
				t.Errorf("%s ends at %v", name, last)
			}
		}
		if n == 2000 {
			if got := trapezoid(c.PixelROC); math.Abs(got-*r.PixelAUROC) > 1e-3 {
				t.Errorf("area of the pixel ROC %v, AUROC %v", got, *r.PixelAUROC)
			}
			if got := trapezoid(c.PixelPR); math.Abs(got-*r.PixelAP) > 1e-3 {
				t.Errorf("area of the pixel PR %v, AP %v", got, *r.PixelAP)
			}
		}
	}
}

func trapezoid(points []Point) (area float64) {
	for i := 1; i < len(points); i++ {
		area += (points[i].X - points[i-1].X) * (points[i].Y + points[i-1].Y) / 2
	}
	return area
}

// FuzzTwin draws a small test set from the bytes: few levels, so many ties.
func FuzzTwin(f *testing.F) {
	f.Add([]byte("a few scores, and masks in the eighth bit"), uint8(3))
	f.Add([]byte{0x80, 0, 1, 0x81, 0xff, 0x7f, 2, 2, 0x82, 3}, uint8(1))
	f.Add([]byte{1, 1, 1, 1, 1, 1, 0x81, 0x81}, uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, width uint8) {
		data = data[:min(len(data), 120)]
		w := max(int(width%9), 1)
		size := 2 * w
		var samples []Sample
		for len(data) >= size {
			s := Sample{Width: w, Height: 2, Score: float64(data[0] & 7)}
			for _, b := range data[:size] {
				s.Map = append(s.Map, float32(int(b&0x7f)-20))
				s.Mask = append(s.Mask, b>>7)
				s.Defective = s.Defective || b>>7 != 0
			}
			samples = append(samples, s)
			data = data[size:]
		}
		sameResult(t, evaluate(t, samples).Result(), twin(samples))
	})
}
