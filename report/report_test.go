package report

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image/jpeg"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/metric"
	"github.com/destseg/destseg/picture"
)

// drawn is the report of a made-up evaluation: good pictures that score 0.1, 0.2, …
// and as many defective ones that score 0.15, 0.25, …
func drawn(t *testing.T, n int, threshold *destseg.Threshold) Report {
	t.Helper()
	r := Report{
		Detector: "x<i>.safetensors", Data: "set", Set: &dataset.Set{Root: "set", Layout: "mvtec"},
		Record: destseg.Record{Category: "a & b", Threshold: threshold},
		Facts:  [][2]string{{"recipe", "1000+4000 steps"}}, Threshold: [][2]string{{"threshold", "by hand"}},
		Warnings: []string{"\x1b[31mbeware"}, PeakMemory: "1 MiB",
	}
	r.Gallery = new(Gallery)
	var segmentation, dest metric.Evaluator
	for i := range n {
		for _, defective := range []bool{false, true} {
			kind, score := dataset.Good, 0.1*float64(i+1)
			if defective {
				kind, score = "dent<br>", score+0.05
			}
			s := dataset.Sample{Path: filepath.Join("set", "test", kind, fmt.Sprintf("%03d.png", i)), Defect: kind, Anomalous: defective}
			width, height := 640, 8
			in := destseg.Inspection{Score: score, Width: width, Height: height}
			if threshold != nil {
				in.Threshold, in.HasThreshold, in.Anomalous = threshold.Image, true, score > threshold.Image
			}
			p := picture.NewRGB(width, height)
			e := exhibit{path: s.Path, kind: kind, score: score, margin: in.Margin(), rejected: in.Anomalous, width: width, height: height, plain: small(p), painted: small(p)}
			r.Gallery.hang(defective, score, func() exhibit { return e })
			for _, evaluator := range []*metric.Evaluator{&segmentation, &dest} {
				sample := metric.Sample{Score: score, Defective: defective, Width: 2, Height: 1, Map: []float32{float32(score), 0}, Mask: []uint8{0, 0}}
				if defective {
					sample.Mask[0] = 1
				}
				if err := evaluator.Add(sample); err != nil {
					t.Fatal(err)
				}
			}
			r.Evaluation.Scores = append(r.Evaluation.Scores, destseg.PictureScore{Path: s.Path, Defect: kind, Defective: defective, Score: score, DeSTScore: score})
		}
	}
	e := &r.Evaluation
	e.Segmentation, e.DeST = segmentation.Result(), dest.Result()
	e.SegmentationCurves, e.DeSTCurves = segmentation.Curves(64), dest.Curves(64)
	e.Pictures, e.Protocol = 2*n, []string{"as published"}
	e.Failed = []destseg.FailedPicture{{Path: "bad.png", Error: "bad.png: <script>alert(1)</script>"}}
	auroc := 0.75
	e.Defects = []destseg.DefectType{{Name: "dent<br>", Pictures: n, AUROC: &auroc}}
	return r
}

func written(t *testing.T, r Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPage checks that a page holds all it should, whole and for itself.
func TestPage(t *testing.T) {
	page := written(t, drawn(t, 9, &destseg.Threshold{Image: 0.42, Pixel: 0.5}))
	for _, want := range []string{
		mark, "a &amp; b", "x&lt;i&gt;.safetensors", "dent&lt;br&gt;", "&lt;script&gt;alert", "1000&#43;4000 steps", "by hand", "�[31mbeware", "1 MiB", "as published",
		"5 of 9", "3 of 9", // 0.5 to 0.9 are rejected; 0.15, 0.25, 0.35 missed
		">False alarms<", "All 5, the worst first.", ">Misses<", "All 3, the worst first.",
		"test/good/008.png", "margin &#43;0.4800", "margin −0.2700", "6 (66.7\u00a0%)", "0.1000 – 0.9000", "0.7500", "threshold 0.4200",
		"prefers-color-scheme: dark", "18 scores",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, unwanted := range []string{"<script", "http://", "https://", "<link", "ZgotmplZ", "\x1b", "%!", "dent<br>", "#0A0B"} {
		if strings.Contains(strings.ReplaceAll(page, `xmlns="http://www.w3.org/2000/svg"`, ""), unwanted) {
			t.Errorf("the page has %q", unwanted)
		}
	}
	if n := strings.Count(page, "<svg "); n != 5 {
		t.Errorf("%d plots, want a histogram and four curves", n)
	}
	pictures := regexp.MustCompile(`src="([^"]*)"`).FindAllStringSubmatch(page, -1)
	if len(pictures) != 2*(5+3) {
		t.Errorf("%d pictures", len(pictures))
	}
	for _, p := range pictures {
		code, ok := strings.CutPrefix(strings.ReplaceAll(p[1], "&#43;", "+"), "data:image/jpeg;base64,")
		if !ok {
			t.Fatalf("the picture %.40q is not in the page", p[1])
		}
		content, err := base64.StdEncoding.DecodeString(code)
		if err != nil {
			t.Fatal(err)
		}
		if decoded, err := jpeg.Decode(bytes.NewReader(content)); err != nil || decoded.Bounds().Dx() != longerSide || decoded.Bounds().Dy() != 6 {
			t.Fatalf("a picture is no JPEG of the size shown (%v)", err)
		}
	}
	balanced(t, page)
}

// balanced checks that every element is closed, in order.
func balanced(t *testing.T, page string) {
	t.Helper()
	var open []string
	void := map[string]bool{"meta": true, "br": true, "img": true}
	for _, tag := range regexp.MustCompile(`<(/?)([a-z0-9]+)([^>]*)>`).FindAllStringSubmatch(page, -1) {
		switch {
		case void[tag[2]] || strings.HasSuffix(tag[3], "/"):
		case tag[1] == "":
			open = append(open, tag[2])
		case len(open) == 0 || open[len(open)-1] != tag[2]:
			t.Fatalf("</%s> closes %v", tag[2], open)
		default:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("left open: %v", open)
	}
}

// TestPageCorners checks pages without a threshold, mistakes or defects.
func TestPageCorners(t *testing.T) {
	page := written(t, drawn(t, 9, nil)) // no threshold: no verdicts
	if strings.Contains(page, "rejected") || strings.Contains(page, "margin ") || !strings.Contains(page, "Good pictures with the highest scores") {
		t.Error("verdicts without a threshold")
	}
	balanced(t, page)

	r := drawn(t, 20, &destseg.Threshold{Image: 0})
	for _, want := range []string{"The worst 8 of 20.", "No defective picture is missed. These come nearest."} {
		if !strings.Contains(written(t, r), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for i, e := range r.Gallery.good {
		if want := 0.1 * float64(20-i); e.score != want {
			t.Errorf("picture %d scores %v, want %v", i, e.score, want)
		}
	}
	for i, e := range r.Gallery.defective {
		if want := 0.1*float64(i+1) + 0.05; e.score != want {
			t.Errorf("picture %d scores %v, want %v", i, e.score, want)
		}
	}

	// Good pictures alone define no curve.
	r = drawn(t, 1, nil)
	r.Evaluation.Scores = r.Evaluation.Scores[:1]
	r.Evaluation.SegmentationCurves, r.Evaluation.DeSTCurves = metric.Curves{}, metric.Curves{}
	r.Gallery.defective = nil
	page = written(t, r)
	if strings.Count(page, "<svg ") != 1 || strings.Contains(page, "Curves") {
		t.Error("curves of nothing")
	}
	balanced(t, page)
}

func TestReplaceable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.html")
	check := func(want bool) {
		t.Helper()
		if got, err := Replaceable(path); err != nil || got != want {
			t.Errorf("%v, %v", got, err)
		}
	}
	check(true)
	if err := os.WriteFile(path, []byte("<!DOCTYPE html>"), 0o666); err != nil {
		t.Fatal(err)
	}
	check(false)
	if err := drawn(t, 2, nil).WriteFile(path); err != nil {
		t.Fatal(err)
	}
	check(true)
	if _, err := Replaceable(filepath.Dir(path)); err == nil {
		t.Error("a folder is a page")
	}
}
