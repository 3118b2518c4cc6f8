package destseg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/destseg/destseg/calibrate"
	"github.com/destseg/destseg/metric"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/synth"
)

// ErrNoPictures is wrapped by the error for a list of pictures that is empty or
// of which none could be inspected.
var ErrNoPictures = errors.New("no pictures to inspect")

// An Objective is what a threshold is chosen for.
type Objective uint8

const (
	MaxFalseAlarms Objective = iota // "fpr": to reject no more than a share of the good pictures
	BestF1                          // "f1": to tell labelled pictures with the best F1
	MinRecall                       // "recall": to reject a share of the labelled defective pictures
)

// String returns "fpr", "f1" or "recall".
func (o Objective) String() string {
	switch o {
	case MaxFalseAlarms:
		return "fpr"
	case BestF1:
		return "f1"
	case MinRecall:
		return "recall"
	}
	return fmt.Sprintf("Objective(%d)", uint8(o))
}

// MarshalText returns the name, for JSON and flags.
func (o Objective) MarshalText() ([]byte, error) {
	if o > MinRecall {
		return nil, fmt.Errorf("unknown objective %d", uint8(o))
	}
	return []byte(o.String()), nil
}

// UnmarshalText reads a name that String returns.
func (o *Objective) UnmarshalText(text []byte) error {
	for known := MaxFalseAlarms; known <= MinRecall; known++ {
		if string(text) == known.String() {
			*o = known
			return nil
		}
	}
	return fmt.Errorf("unknown objective %q: it is fpr, f1 or recall", text)
}

// CalibrationPictures are what a threshold is chosen by.
type CalibrationPictures struct {
	Good      []string // paths of good pictures, at least one
	Defective []string // paths of defective ones; the objectives f1 and recall need some
	// Trained says that the detector was trained on the good pictures.
	Trained bool
	// Synthetic is how many synthetic anomalies are made on the good pictures, by the
	// settings of Synthesis, of which Width and Height don't matter. 0: none.
	Synthetic int
	Synthesis synth.Settings
}

// Calibrate inspects pictures and returns the threshold that serves an objective;
// target is the share of false alarms or the recall to reach.
//
// The image threshold is chosen by the pictures' scores and the pixel threshold, in
// the same way, by the largest values of their maps at network scale: with
// [MaxFalseAlarms] so large a share of good pictures is expected to have any pixel
// above it. It is the higher one of the two, so that a picture just above the image
// threshold may have no pixel above the other. How thresholds are chosen and what they
// promise stands in package calibrate.
//
// Pictures that can't be read are returned as failed and left out. If ctx ends, the
// error is its cause; if no good picture could be read, or no defective one where one
// is needed, it wraps [ErrNoPictures]. progress, if it is not nil, is called after each
// picture.
func Calibrate(ctx context.Context, d *Detector, p CalibrationPictures, o Objective, target float64, progress func(done, total int)) (t Threshold, failed []FailedPicture, err error) {
	if o != BestF1 && !(target > 0 && target <= 1 && (target < 1 || o == MinRecall)) {
		return t, nil, fmt.Errorf("objective %v with a target of %v; it is a share above 0", o, target)
	}
	c := calibration{detector: d, total: len(p.Good) + len(p.Defective) + p.Synthetic, progress: progress}
	good, err := c.inspect(ctx, p.Good)
	if err != nil {
		return t, nil, err
	}
	defective, err := c.inspect(ctx, p.Defective)
	if err != nil {
		return t, nil, err
	}
	if len(good.scores) == 0 {
		return t, c.failed, c.none("good")
	}
	if len(defective.scores) == 0 && o != MaxFalseAlarms {
		return t, c.failed, c.none("defective")
	}

	k := &Calibration{Objective: o, Target: target, Trained: p.Trained}
	switch o {
	case MaxFalseAlarms:
		t.Image, k.Modelled = calibrate.FalseAlarms(good.scores, target)
		t.Pixel, _ = calibrate.FalseAlarms(good.peaks, target)
	case BestF1:
		k.Target = 0
		t.Image, t.Pixel = calibrate.F1(good.scores, defective.scores), calibrate.F1(good.peaks, defective.peaks)
	case MinRecall:
		t.Image, t.Pixel = calibrate.Recall(good.scores, defective.scores, target), calibrate.Recall(good.peaks, defective.peaks, target)
	}
	// Rounding in the resize may exceed a value of 1.
	t.Image, t.Pixel = min(t.Image, 1), min(t.Pixel, 1)
	t.Heat = new(heatScale(min(median(good.peaks), 1), t.Pixel))

	if k.Good, err = digestPictures(ctx, good.paths); err != nil {
		return t, c.failed, err
	}
	rejected := calibrate.Above(good.scores, t.Image)
	k.FalseAlarms = Share{rejected, len(good.scores), calibrate.AtMost(rejected, len(good.scores))}
	if len(defective.scores) > 0 {
		k.Caught = caught(defective.scores, t.Image)
	}
	if p.Synthetic > 0 {
		var anomalies []float64
		err := c.synthesise(ctx, good.paths, p.Synthesis, p.Synthetic, func(s metric.Sample) error {
			anomalies = append(anomalies, s.Score)
			return nil
		})
		if err != nil {
			return t, c.failed, err
		}
		if len(anomalies) > 0 {
			k.Synthetic = caught(anomalies, t.Image)
		}
	}
	t.Calibration = k
	t.Source = k.sentence()
	return t, c.failed, nil
}

// median returns the middle one of some values, the lower one of two.
func median(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[(len(values)-1)/2]
}

func caught(scores []float64, threshold float64) *Share {
	above := calibrate.Above(scores, threshold)
	return &Share{above, len(scores), calibrate.AtLeast(above, len(scores))}
}

// sentence tells where a threshold comes from.
func (k *Calibration) sentence() string {
	of := fmt.Sprintf("%d good pictures", k.Good.Count)
	if k.Good.Count == 1 {
		of = "1 good picture"
	}
	if k.Trained {
		return fmt.Sprintf(provisional+"by %s that it was trained on, which promises no rate of false alarms", of)
	}
	onThese := fmt.Sprintf("chosen on these same pictures; %d of %s are rejected", k.FalseAlarms.Count, of)
	promise := fmt.Sprintf("with 95 %% confidence fewer than %s of good pictures are rejected", percent(k.FalseAlarms.Bound))
	switch k.Objective {
	case BestF1:
		return fmt.Sprintf("best F1 on %s and %d defective ones, %s", of, k.Caught.Of, onThese)
	case MinRecall:
		return fmt.Sprintf("recall of %s on %d defective pictures, %s", percent(k.Target), k.Caught.Of, onThese)
	}
	switch {
	case k.Modelled:
		return fmt.Sprintf("%s false alarms by a model of the tail of %s, too few to tell; %s", percent(k.Target), of, promise)
	case k.Target*float64(k.Good.Count+1) < 1:
		return fmt.Sprintf("the largest score of %s, too few for %s false alarms; %s", of, percent(k.Target), promise)
	}
	return fmt.Sprintf("%s false alarms by the scores of %s; %s", percent(k.Target), of, promise)
}

// percent writes a share with three digits or fewer.
func percent(share float64) string { return strconv.FormatFloat(100*share, 'g', 3, 64) + " %" }

// A calibration is under way.
type calibration struct {
	detector    *Detector
	failed      []FailedPicture
	done, total int
	progress    func(done, total int)
}

// judgedPictures are what became of a list of pictures.
type judgedPictures struct {
	paths         []string
	scores, peaks []float64 // image scores; largest values of the maps
}

func (c *calibration) inspect(ctx context.Context, paths []string) (judgedPictures, error) {
	var all judgedPictures
	for f := range c.detector.InspectFiles(ctx, paths) {
		if err := context.Cause(ctx); err != nil {
			return all, err
		}
		if f.Err != nil {
			c.failed = append(c.failed, FailedPicture{f.Path, f.Err.Error()})
		} else {
			all.paths = append(all.paths, f.Path)
			all.scores = append(all.scores, f.Inspection.Score)
			all.peaks = append(all.peaks, float64(f.Inspection.Peak().Value))
		}
		c.step()
	}
	return all, nil
}

func (c *calibration) step() {
	c.done++
	if c.progress != nil {
		c.progress(c.done, c.total)
	}
}

// none is the error without pictures of a kind.
func (c *calibration) none(kind string) error {
	if len(c.failed) == 0 {
		return fmt.Errorf("%w: there are no %s ones", ErrNoPictures, kind)
	}
	return fmt.Errorf("%w: no %s one could be read: %s", ErrNoPictures, kind, c.failed[0].Error)
}

// synthesise gives what a detector says about synthetic anomalies on good pictures in
// turn. Where an anomaly lies outside of the picture or of the ROI, or has no pixels, it
// is left out.
func (c *calibration) synthesise(ctx context.Context, paths []string, s synth.Settings, count int, take func(metric.Sample) error) error {
	d := c.detector
	how := d.record.Preprocessing
	s.Width, s.Height = how.Width, how.Height
	generator, err := synth.New(s)
	if err != nil {
		return err
	}
	pixels := how.Width * how.Height
	sample := synth.Sample{Corrupted: make([]float32, 3*pixels), Mask: make([]float32, pixels)}
	for first, path := range paths[:min(count, len(paths))] {
		p, err := picture.Open(path)
		if err != nil {
			return err
		}
		width, height := how.scaled(p.Width, p.Height)
		roi := d.record.Regions.ROI.MaskOf(p.Width, p.Height, width, height)
		if p.Width != width || p.Height != height {
			p = p.Resize(width, height)
		}
		for number := first; number < count; number += len(paths) {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			at := rand.New(rand.NewPCG(s.Seed, uint64(number)))
			x, y := at.IntN(max(p.Width-how.Width, 0)+1), at.IntN(max(p.Height-how.Height, 0)+1)
			if err := generator.Sample(sample, uint64(number), d.window(p, x, y)); err != nil {
				return err
			}
			inspected, err := d.inspectAnomaly(sample, roi, width, height, x, y)
			if err != nil {
				return err
			}
			if inspected.Defective {
				if err := take(inspected); err != nil {
					return err
				}
			}
			c.step()
		}
	}
	return nil
}

// inspectAnomaly inspects a sample made of the window from (x,y) on of a picture of
// width×height pixels at network scale. It is defective if its anomaly has a pixel in
// the picture and in the ROI.
func (d *Detector) inspectAnomaly(sample synth.Sample, roi []uint8, width, height, x, y int) (metric.Sample, error) {
	how := d.record.Preprocessing
	run := d.newRun(sample.Corrupted)
	if err := d.runner.do(run); err != nil {
		return metric.Sample{}, err
	}
	s := metric.Sample{Width: min(how.Width, width-x), Height: min(how.Height, height-y)}
	run.segmentation.span(s.Width, s.Height)
	s.Map = run.segmentation.resize(s.Width, s.Height)
	var part []uint8
	for row := range s.Height {
		for column := range s.Width {
			in, masked := uint8(1), uint8(0)
			if roi != nil {
				in = roi[(y+row)*width+x+column]
			}
			part = append(part, in)
			if in == 0 {
				s.Map[len(part)-1] = 0
			} else if sample.Mask[row*how.Width+column] != 0 {
				masked, s.Defective = 1, true
			}
			s.Mask = append(s.Mask, masked)
		}
	}
	s.Score = scoreOf(slices.Clone(s.Map), part)
	return s, nil
}
