package main

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/metric"
)

// madeUpRuns measures three categories: one at two seeds, one at three, and one
// without masks.
func madeUpRuns() []measuredRun {
	run := func(category string, seed uint64, auroc, ap float64, masks bool) measuredRun {
		r := metric.Result{Pictures: 2, DefectivePictures: 1, ImageAUROC: &auroc, ImageAP: new(ap), DefectPixels: 1}
		if masks {
			r.PixelAUROC, r.PixelF1Threshold = new(auroc/2), new(0.25)
		}
		return measuredRun{category, category + ".safetensors", seed, destseg.Evaluation{
			Segmentation: r, DeST: metric.Result{ImageAUROC: new(auroc / 4)}, Protocol: []string{"shared", "of " + category},
		}}
	}
	return []measuredRun{
		run("cut_&_dry", 0, 0.5, 1, true), run("cut_&_dry", 1, 0.7, 1, true),
		run("bolt", 0, 0.9, 1, true), run("bolt", 1, 0.8, 1, true), run("bolt", 5, 1, 1, true),
	}
}

func TestSummarize(t *testing.T) {
	runs := madeUpRuns()
	s := summarize(runs, segmentationMap)
	near := func(what string, got *float64, want float64) {
		t.Helper()
		if got == nil || math.Abs(*got-want) > 1e-12 {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	if len(s.Rows) != 2 || s.Rows[0].Category != "bolt" || s.Figures[0].Key != "image_auroc" || len(s.Figures) != 8 {
		t.Fatalf("%+v", s)
	}
	near("bolt", s.Rows[0].Cells[0].Mean, 0.9)
	near("bolt's deviation", s.Rows[0].Cells[0].Deviation, 0.1)
	near("cut", s.Rows[1].Cells[0].Mean, 0.6)
	near("cut's deviation", s.Rows[1].Cells[0].Deviation, math.Sqrt(0.02))
	near("mean", s.Mean[0].Mean, 0.75)
	// Seeds 0 and 1, which both have, give means of 0.7 and 0.75.
	near("mean's deviation", s.Mean[0].Deviation, 0.025*math.Sqrt2)
	near("mean of pixel AUROC", s.Mean[2].Mean, 0.375)
	near("DeST", summarize(runs, destMap).Rows[0].Cells[0].Mean, 0.225)
	if c := s.Rows[0].Cells[7]; c.Mean != nil || c.Deviation != nil {
		t.Errorf("IAP@90, which no run has: %+v", c)
	}

	blind := madeUpRuns()[:1]
	blind[0].category, blind[0].evaluation.Segmentation.PixelAUROC = "ant", nil
	s = summarize(append(blind, runs...), segmentationMap)
	if s.Rows[0].Category != "ant" || s.Mean[2].Mean != nil || s.Mean[0].Deviation != nil {
		t.Errorf("with a category that lacks masks and has one seed: %+v", s)
	}
	near("mean of three", s.Mean[0].Mean, (0.5+0.9+0.6)/3)
}

func TestReportFormats(t *testing.T) {
	r := overview{data: "root", runs: madeUpRuns(), expected: 3, failed: []string{"ant: broken"}}
	for _, test := range []struct {
		format, maps string
		want         []string
	}{
		{"text", segmentationMap, []string{
			"root, segmentation map\n\npercent        seeds  image AUROC ",
			"\nbolt               3  90.0 ± 10.0  100.0 ± 0.0   45.0 ± 5.0         –",
			"\ncut_&_dry          2  60.0 ± 14.1 ", "\nmean (2 of 3)          75.0 ± 3.5 ",
			"\n  image AUROC: all test pictures ranked", "\n  shared\n", "\n  cut_&_dry: of cut_&_dry\n", "sample standard deviation",
		}},
		{"csv", bothMaps, []string{
			"map,category,categories,seeds,image_auroc,image_auroc_deviation,image_ap,",
			"\nsegmentation,bolt,1,3,0.9,0.09999999999999998,1,0,0.45,0.04999999999999999,,,",
			"\nsegmentation,mean,2,2,0.75,", "\ndest,cut_&_dry,1,2,0.15,",
		}},
		{"latex", segmentationMap, []string{
			`\begin{tabular}{lrrrrrrrr}`, `category & image AUROC & `, `& IAP@90 \\`, `bolt & $90.0 \pm 10.0$ & $100.0 \pm 0.0$ & $45.0 \pm 5.0$ & -- & `,
			`cut\_\&\_dry & $60.0 \pm 14.1$`, `mean (2 of 3) & $75.0 \pm 3.5$`, `\bottomrule`,
		}},
		{"json", destMap, []string{`"map": "dest"`, `"seeds": [`, `"mean": 0.225,`, `"categories": 3,`, `"ant: broken"`, `"protocol": [`}},
	} {
		var b bytes.Buffer
		if err := (overviewOptions{format: test.format, maps: test.maps}).write(&b, r); err != nil {
			t.Fatal(err)
		}
		for _, want := range test.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s lacks %q:\n%s", test.format, want, b.String())
			}
		}
	}
	// One seed needs no deviations.
	var b bytes.Buffer
	if err := (overviewOptions{format: "text", maps: segmentationMap}).write(&b, overview{data: "root", runs: madeUpRuns()[:1], expected: 1}); err != nil {
		t.Fatal(err)
	}
	if text := b.String(); strings.Contains(text, "±") || strings.Contains(text, "seeds") || !strings.Contains(text, "\nmean              50.0 ") {
		t.Errorf("of a single seed:\n%s", text)
	}
}
