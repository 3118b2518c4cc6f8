package destseg

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/destseg/destseg/calibrate"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/region"
	"github.com/destseg/destseg/synth"
)

// inspected returns the scores and the largest map values of picture files.
func inspected(t *testing.T, d *Detector, paths []string) (scores, peaks []float64) {
	t.Helper()
	for f := range d.InspectFiles(t.Context(), paths) {
		if f.Err != nil {
			t.Fatal(f.Err)
		}
		scores = append(scores, f.Inspection.Score)
		peaks = append(peaks, float64(slices.Max(f.Inspection.Map(side, side))))
	}
	return scores, peaks
}

func TestCalibrate(t *testing.T) {
	set := writeSet(t)
	d := sharedDetector(t)
	var good, defective []string
	for _, s := range append(set.Train, set.Test...) {
		if s.Anomalous {
			defective = append(defective, s.Path)
		} else {
			good = append(good, s.Path)
		}
	}
	goodScores, goodPeaks := inspected(t, d, good)
	scores, peaks := inspected(t, d, defective)
	synthesis := synth.Settings{MinOpacity: 0.5, Seed: 5}
	for _, c := range []struct {
		name      string
		pictures  CalibrationPictures
		objective Objective
		target    float64
		image     float64
		pixel     float64
		says      string
	}{
		{"order", CalibrationPictures{Good: good}, MaxFalseAlarms, 0.4,
			slices.Sorted(slices.Values(goodScores))[2], slices.Sorted(slices.Values(goodPeaks))[2], "40 % false alarms by the scores of 4 good pictures; with 95 % confidence fewer than 75.1 %"},
		{"model", CalibrationPictures{Good: good, Synthetic: 7, Synthesis: synthesis}, MaxFalseAlarms, 0.01, -1, -1, "1 % false alarms by a model of the tail of 4 good pictures, too few to tell; with 95 % confidence fewer than 52.7 %"},
		{"known", CalibrationPictures{Good: good[:1], Defective: defective, Trained: true}, MaxFalseAlarms, 0.01, goodScores[0], goodPeaks[0], "provisional: by 1 good picture that it was trained on"},
		{"two", CalibrationPictures{Good: good[:2]}, MaxFalseAlarms, 0.01, max(goodScores[0], goodScores[1]), max(goodPeaks[0], goodPeaks[1]), "the largest score of 2 good pictures, too few for 1 % false alarms; with 95 % confidence fewer than 77.6 %"},
		{"F1", CalibrationPictures{Good: good, Defective: defective}, BestF1, 0, calibrate.F1(goodScores, scores), calibrate.F1(goodPeaks, peaks), fmt.Sprintf("best F1 on 4 good pictures and 4 defective ones, chosen on these same pictures; %d of 4 good pictures are rejected", calibrate.Above(goodScores, calibrate.F1(goodScores, scores)))},
		{"recall", CalibrationPictures{Good: good, Defective: defective}, MinRecall, 0.75, calibrate.Recall(goodScores, scores, 0.75), calibrate.Recall(goodPeaks, peaks, 0.75), "recall of 75 % on 4 defective pictures"},
	} {
		if testing.Short() && c.objective == MaxFalseAlarms && !c.pictures.Trained {
			continue // the plain engine takes seconds for each
		}
		total := len(c.pictures.Good) + len(c.pictures.Defective) + c.pictures.Synthetic
		done := 0
		got, failed, err := Calibrate(context.Background(), d, c.pictures, c.objective, c.target, func(n, of int) {
			if done++; n != done || of != total {
				t.Errorf("%s: %d of %d done", c.name, n, of)
			}
		})
		if err != nil || len(failed) > 0 {
			t.Fatal(c.name, err, failed)
		}
		k := got.Calibration
		if c.image < 0 {
			c.image, _ = calibrate.FalseAlarms(goodScores, 0.01)
			c.pixel, _ = calibrate.FalseAlarms(goodPeaks, 0.01)
			if !k.Modelled || got.Image <= slices.Max(goodScores) {
				t.Errorf("%s: %+v", c.name, k)
			}
		}
		if got.Image != c.image || got.Pixel != c.pixel || !strings.Contains(got.Source, c.says) {
			t.Errorf("%s: %+v, want %v and %v", c.name, got, c.image, c.pixel)
		}
		if done != total || k.Objective != c.objective || k.Trained != c.pictures.Trained || got.Provisional() != k.Trained {
			t.Errorf("%s: %d of %d done, %+v", c.name, done, total, k)
		}
		want, err := DigestPictures(c.pictures.Good)
		if err != nil || k.Good != want {
			t.Errorf("%s: pictures %+v, want %+v, %v", c.name, k.Good, want, err)
		}
		if above := calibrate.Above(goodScores[:len(c.pictures.Good)], got.Image); k.FalseAlarms != (Share{above, want.Count, calibrate.AtMost(above, want.Count)}) {
			t.Errorf("%s: false alarms %+v", c.name, k.FalseAlarms)
		}
		if (k.Caught != nil) != (c.pictures.Defective != nil) || k.Caught != nil && k.Caught.Count != calibrate.Above(scores, got.Image) {
			t.Errorf("%s: caught %+v", c.name, k.Caught)
		}
		if (k.Synthetic != nil) != (c.pictures.Synthetic > 0) || k.Synthetic != nil && (k.Synthetic.Of < 4 || k.Synthetic.Of > 7) {
			t.Errorf("%s: synthetic %+v", c.name, k.Synthetic)
		}
		if low, high := got.HeatScale(); !(low < float32(got.Pixel) && float32(got.Pixel) <= high && high <= 1) {
			t.Errorf("%s: heat from %v to %v about %v", c.name, low, high, got.Pixel)
		}
		if err := got.check(); err != nil {
			t.Error(err)
		}
	}
}

func TestCalibrateRefuses(t *testing.T) {
	set := writeSet(t)
	d := sharedDetector(t)
	good := []string{set.Train[0].Path, set.Train[1].Path}
	for _, c := range []struct {
		pictures  CalibrationPictures
		objective Objective
		target    float64
		want      error
	}{
		{CalibrationPictures{}, MaxFalseAlarms, 0.1, ErrNoPictures},
		{CalibrationPictures{Good: []string{"gone.png"}}, MaxFalseAlarms, 0.1, ErrNoPictures},
		{CalibrationPictures{Good: good}, BestF1, 0, ErrNoPictures},
		{CalibrationPictures{Good: good}, MinRecall, 0.5, ErrNoPictures},
		{CalibrationPictures{Good: good}, MaxFalseAlarms, 0, nil},
		{CalibrationPictures{Good: good}, MaxFalseAlarms, 1, nil},
		{CalibrationPictures{Good: good}, MaxFalseAlarms, math.NaN(), nil},
	} {
		if _, _, err := Calibrate(t.Context(), d, c.pictures, c.objective, c.target, nil); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	got, failed, err := Calibrate(t.Context(), d, CalibrationPictures{Good: append([]string{"gone.png"}, good...)}, MaxFalseAlarms, 0.1, nil)
	if err != nil || got.Calibration.Good.Count != 2 || len(failed) != 1 || failed[0].Path != "gone.png" {
		t.Errorf("%+v, %v, %v", got, failed, err)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	if _, _, err := Calibrate(ctx, d, CalibrationPictures{Good: good}, MaxFalseAlarms, 0.1, func(int, int) { cancel(cause) }); !errors.Is(err, cause) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestHoldout(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for i := range 12 {
		path := filepath.Join(dir, string(rune('a'+i))+".png")
		if err := picture.WritePNG(path, noise(uint64(i), 9, 9).Image()); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	train, held, err := Holdout(t.Context(), paths, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(held) != 4 || !slices.IsSorted(train) || !slices.IsSorted(held) || !reflect.DeepEqual(slices.Sorted(slices.Values(slices.Concat(train, held))), paths) {
		t.Errorf("%v and %v", train, held)
	}
	backwards := slices.Clone(paths)
	slices.Reverse(backwards)
	_, again, err := Holdout(t.Context(), backwards, 4, 1)
	if slices.Sort(again); err != nil || !slices.Equal(again, held) {
		t.Errorf("in another order %v, %v", again, err)
	}
	if _, other, err := Holdout(t.Context(), paths, 4, 2); err != nil || slices.Equal(other, held) {
		t.Errorf("by another seed %v, %v", other, err)
	}
	if all, none, err := Holdout(t.Context(), []string{"gone.png"}, 0, 1); err != nil || len(all) != 1 || none != nil {
		t.Errorf("none held back: %v, %v, %v", all, none, err)
	}
	for _, count := range []int{-1, 12, 13} {
		if _, _, err := Holdout(t.Context(), paths, count, 1); err == nil {
			t.Errorf("%d of 12 held back", count)
		}
	}
	if _, _, err := Holdout(t.Context(), []string{"gone.png", "lost.png"}, 1, 1); err == nil {
		t.Error("files that are gone")
	}
}

// TestROI checks that nothing outside the ROI counts.
func TestROI(t *testing.T) {
	p := noise(3, 100, 80)
	roi := &region.ROI{Width: 50, Height: 40, Include: []region.Polygon{{{{10, 5}, {40, 5}, {40, 30}, {10, 30}}}}}
	open := func(change func(*Record)) *Detector {
		d, err := New(testRecord(64, 64), drawn(), WithRecord(change))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		return d
	}
	all, err := open(func(*Record) {}).InspectRGB(p)
	if err != nil {
		t.Fatal(err)
	}
	values := all.Map(64, 64)
	var inside []float32
	for i, in := range roi.MaskOf(100, 80, 64, 64) {
		if in != 0 {
			inside = append(inside, values[i])
		}
	}
	threshold := float64(slices.Sorted(slices.Values(inside))[len(inside)/2])
	d := open(func(r *Record) {
		r.Regions = region.Settings{ROI: roi, MinArea: 2}
		r.Threshold = &Threshold{Image: threshold, Pixel: threshold}
	})
	in, err := d.InspectRGB(p)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(inside)
	want := 0.0
	for _, v := range inside[len(inside)-100:] {
		want += float64(v) / 100
	}
	if math.Abs(in.Score-want) > 1e-9 || !in.Anomalous || in.Verdict() != "NG" || in.Margin() != in.Score-threshold {
		t.Errorf("score %v, want %v: %+v", in.Score, want, in)
	}
	full, mask := all.Map(100, 80), roi.Mask(100, 80)
	for i, v := range in.Map(100, 80) {
		if want := full[i] * float32(mask[i]); v != want {
			t.Fatalf("the map is %v, want %v, at %d", v, want, i)
		}
	}
	if at := in.Peak(); mask[at.Y*100+at.X] == 0 || at.Value != inside[len(inside)-1] {
		t.Errorf("peak %+v", at)
	}
	regions, found := in.Regions()
	wantRegions, wantMask := region.Find(full, 100, 80, threshold, region.Settings{ROI: roi, MinArea: 2})
	if len(regions) == 0 || !reflect.DeepEqual(regions, wantRegions) {
		t.Errorf("regions %+v, want %+v", regions, wantRegions)
	}
	for i, m := range wantMask {
		if found.Pix[i] != 255*m {
			t.Fatal("the mask differs")
		}
	}
	if regions, mask := all.Regions(); regions != nil || slices.Contains(mask.Pix, 255) || all.Verdict() != "" {
		t.Errorf("without a threshold: %v, %q", regions, all.Verdict())
	}
	beside := open(func(r *Record) {
		r.Regions.ROI = &region.ROI{Include: []region.Polygon{{{{200, 200}, {300, 200}, {300, 300}}}}}
	})
	if _, err := beside.InspectRGB(p); !errors.Is(err, ErrPicture) || !strings.Contains(err.Error(), "the ROI leaves nothing") {
		t.Errorf("an ROI beside the picture: %v", err)
	}
	if _, err := New(testRecord(64, 64), drawn(), WithRecord(func(r *Record) { r.Regions.MinArea = -1 })); !errors.Is(err, ErrRecord) {
		t.Errorf("a change for the worse: %v", err)
	}
}
