package destseg

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/metric"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/picture"
)

// curvePoints is the resolution of the curves of an [Evaluation].
const curvePoints = 512

// An Evaluation says how well a detector finds the defects of a test set: by the
// segmentation map, which the detector judges by, and by the DeST map.
type Evaluation struct {
	Segmentation metric.Result `json:"segmentation"`
	DeST         metric.Result `json:"dest"`
	Defects      []DefectType  `json:"defects"` // by name

	Engine    string   `json:"engine"`
	Precision string   `json:"precision"`
	Pictures  int      `json:"pictures"` // measured
	Seconds   float64  `json:"seconds"`  // wall-clock time for all of them, with reading and what each does
	Protocol  []string `json:"protocol"` // sentences, see [Evaluate]; each figure adds its own

	Failed []FailedPicture `json:"failed,omitempty"` // left out of every figure
	Scores []PictureScore  `json:"scores,omitempty"` // of the others, in the order of the set

	// Warnings tells, in sentences for people, what looks like a mistake in the set.
	Warnings []string `json:"warnings,omitempty"`

	SegmentationCurves metric.Curves `json:"segmentation_curves,omitzero"`
	DeSTCurves         metric.Curves `json:"dest_curves,omitzero"`
}

// A DefectType tells how well one kind of defect is told from good pictures.
type DefectType struct {
	Name      string   `json:"name"`
	Pictures  int      `json:"pictures"`
	AUROC     *float64 `json:"image_auroc"` // against all good pictures; nil without these
	DeSTAUROC *float64 `json:"dest_image_auroc"`
}

// A FailedPicture could not be measured.
type FailedPicture struct {
	Path  string `json:"path"`
	Error string `json:"error"`
}

// A PictureScore holds the image scores of one test picture.
type PictureScore struct {
	Path      string  `json:"path"`
	Defect    string  `json:"defect"` // [dataset.Good], or the kind of defect
	Defective bool    `json:"defective"`
	Score     float64 `json:"score"`
	DeSTScore float64 `json:"dest_score"`
}

// A Row is one figure of an [Evaluation] by both maps, for tables.
type Row struct {
	Key          string   `json:"key"`
	Name         string   `json:"name"`
	Protocol     string   `json:"protocol"`
	Segmentation *float64 `json:"segmentation"`      // nil where not defined
	DeST         *float64 `json:"dest"`              // nil where not defined
	Missing      string   `json:"missing,omitempty"` // why they are nil
}

// Rows returns the figures of both maps side by side, in the order of
// [metric.Result.Figures].
func (e Evaluation) Rows() []Row {
	dest := e.DeST.Figures()
	var rows []Row
	for i, f := range e.Segmentation.Figures() {
		rows = append(rows, Row{f.Key, f.Name, f.Protocol, f.Value, dest[i].Value, f.Missing})
	}
	return rows
}

// Evaluate measures a detector on the test pictures of a set, by the protocol of
// the published code.
//
//   - Pixel figures are taken at network scale, which is 256×256 as published,
//     whatever the size of pictures and masks: maps are resized to it bilinear,
//     masks by Pillow's BILINEAR and marked where they are at least one half
//     white. A figure at the masks' own size would be another one.
//   - The image score is the mean of the 100 largest values of the map at network
//     scale. Outside the ROI, if there is one, maps are 0.
//   - A picture counts as defective if its mask, at its own size, marks any
//     pixel; without a mask its folder decides. The published code looks at the
//     resized mask, on which a tiny defect can vanish.
//
// Defective pictures without a mask count for the image figures alone, and the
// pixel figures say how many these are.
//
// While one picture is inspected the next are read. Pictures that can't be
// measured, or whose mask can't be read, are listed in Failed and the rest is
// measured. each, if it is not nil, is called from Evaluate's goroutine with each
// picture in the order of the set, failed ones included.
//
// If ctx ends, so does Evaluate, and the error is its cause. A set of whose test pictures none could be
// measured gives an error wrapping [ErrNoPictures].
func Evaluate(ctx context.Context, d *Detector, set *dataset.Set, each func(TestedPicture)) (Evaluation, error) {
	if len(set.Test) == 0 {
		return Evaluation{}, noTest(set)
	}
	start := time.Now()
	m := newMeasurement(d, set)
	done := 0
	for t := range ahead(ctx, set.Test, func(s dataset.Sample) labelled { return d.inspectSample(ctx, s) }) {
		m.add(&t)
		done++
		if each != nil {
			each(t.TestedPicture)
		}
	}
	if done < len(set.Test) {
		return Evaluation{}, context.Cause(ctx)
	}
	if len(m.scores) == 0 {
		return Evaluation{}, fmt.Errorf("%w: %s: of %d test pictures none could be measured; the first: %s",
			ErrNoPictures, set.Root, len(set.Test), m.failed[0].Error)
	}
	return m.evaluation(d, start), nil
}

// evaluation is what a measurement of a detector comes to, begun at start.
func (m *measurement) evaluation(d *Detector, start time.Time) Evaluation {
	return Evaluation{
		Segmentation: m.segmentation.Result(),
		DeST:         m.dest.Result(),
		Defects:      defectTypes(m.scores),
		Engine:       d.EngineName(),
		Precision:    d.Precision().String(),
		Pictures:     len(m.scores),
		Protocol:     m.protocol(),
		Failed:       m.failed,
		Scores:       m.scores,
		Warnings:     m.warnings,

		SegmentationCurves: m.segmentation.Curves(curvePoints),
		DeSTCurves:         m.dest.Curves(curvePoints),

		Seconds: time.Since(start).Seconds(),
	}
}

// A TestedPicture is a picture of a test set as [Evaluate] has seen it.
type TestedPicture struct {
	Sample     dataset.Sample
	Picture    *picture.RGB  // nil if it was not read
	Mask       *picture.Gray // at its own size; nil if there is none
	Inspection *Inspection   // nil if it was not inspected
	Defective  bool          // as [PictureScore] has it
	Err        error         // why it was not measured; names the file
}

// A labelled picture is a tested one with its truth.
type labelled struct {
	TestedPicture
	width, height int     // network scale
	truth         []uint8 // at that size, 1 where defective; nil if there is none
}

func (d *Detector) inspectSample(ctx context.Context, s dataset.Sample) labelled {
	t := labelled{TestedPicture: TestedPicture{Sample: s, Defective: s.Anomalous}}
	if s.Mask != "" {
		if t.Mask, t.Err = s.OpenMask(); t.Err != nil {
			return t
		}
	}
	f := d.inspectFile(ctx, s.Path)
	t.Picture, t.Inspection, t.Err = f.Picture, f.Inspection, f.Err
	if t.Inspection == nil {
		return t
	}
	t.width, t.height = t.Inspection.scaledWidth, t.Inspection.scaledHeight
	if t.Mask != nil {
		t.truth, t.Defective = truth(t.Mask, t.width, t.height)
	}
	return t
}

// truth brings a mask to another size, 1 where it marks a defect there, and tells
// whether it marks any pixel at its own size.
func truth(mask *picture.Gray, width, height int) (resized []uint8, defective bool) {
	marked := func(v uint8) bool { return v > 127 }
	if !slices.ContainsFunc(mask.Pix, marked) {
		mask = mask.Binary() // small labels count as white
	}
	defective = slices.ContainsFunc(mask.Pix, marked)
	if mask.Width != width || mask.Height != height {
		mask = mask.Resize(width, height)
	}
	resized = make([]uint8, len(mask.Pix))
	for i, v := range mask.Pix {
		if marked(v) {
			resized[i] = 1
		}
	}
	return resized, defective
}

// greyShare tells how much of a mask is neither black nor white, from 0 to 1.
func greyShare(mask *picture.Gray) float64 {
	const nearly = 10 // lossy formats stray from black and white
	grey := 0
	for _, v := range mask.Pix {
		if v > nearly && v < 255-nearly {
			grey++
		}
	}
	return float64(grey) / float64(len(mask.Pix))
}

// A measurement gathers the pictures of an evaluation.
type measurement struct {
	record             Record
	layout             []string // protocol of the set
	segmentation, dest metric.Evaluator
	scores             []PictureScore
	failed             []FailedPicture
	warnings           []string
	blank              int // pictures of a defect whose mask marks nothing
}

func newMeasurement(d *Detector, set *dataset.Set) *measurement {
	return &measurement{record: d.record, layout: set.Protocol}
}

func (m *measurement) add(t *labelled) {
	if t.Err == nil {
		t.Err = m.addSamples(t)
	}
	if t.Err != nil {
		m.failed = append(m.failed, FailedPicture{t.Sample.Path, t.Err.Error()})
		return
	}
	if t.Sample.Anomalous && !t.Defective {
		m.blank++
	}
	const tooGrey = 0.05 // softened contours stay below
	if t.Mask != nil {
		if share := greyShare(t.Mask); share > tooGrey {
			m.warnings = append(m.warnings, fmt.Sprintf("%s: %.0f %% of the mask is neither black nor white; is it a mask? "+
				"Defective is what is at least half white", t.Sample.Mask, 100*share))
		}
	}
}

func (m *measurement) addSamples(t *labelled) error {
	segmentation, dest := t.samples()
	if err := m.segmentation.Add(segmentation); err != nil {
		return err
	}
	// A map that the first evaluator took can't fail here but for numbers that
	// are not finite, and those Inspect refuses.
	if err := m.dest.Add(dest); err != nil {
		return err
	}
	m.scores = append(m.scores, PictureScore{
		Path: t.Sample.Path, Defect: t.Sample.Defect, Defective: t.Defective, Score: segmentation.Score, DeSTScore: dest.Score,
	})
	return nil
}

// samples are what metrics need of both maps.
func (t *labelled) samples() (segmentation, dest metric.Sample) {
	segmentation = metric.Sample{
		Score: t.Inspection.Score, Map: t.Inspection.Map(t.width, t.height),
		Defective: t.Defective, Width: t.width, Height: t.height, Mask: t.truth,
	}
	dest = segmentation
	dest.Score, dest.Map = t.Inspection.DeSTScore(), t.Inspection.DeSTMap(t.width, t.height)
	return segmentation, dest
}

func (m *measurement) protocol() []string {
	how := m.record.Preprocessing
	size := fmt.Sprintf("%d×%d", how.Width, how.Height)
	resized := fmt.Sprintf("pictures resized to %s by Pillow's BILINEAR; maps resized bilinear from %d×%d to %s",
		size, how.Width/network.MapStride, how.Height/network.MapStride, size)
	switch how.Fit {
	case picture.Pad:
		size = fmt.Sprintf("the size that each picture has in %s, its shape kept", size)
		resized = fmt.Sprintf("pictures resized by Pillow's BILINEAR to %s, and filled up; maps resized bilinear to it from 1/%d", size, network.MapStride)
	case picture.Tiles:
		size = fmt.Sprintf("the size of each picture with %d pixels of it resized to %d", how.Tile, how.Width)
		resized = fmt.Sprintf("pictures resized by Pillow's BILINEAR to %s, seen in tiles of %d×%d that overlap by %d pixels of the picture; maps resized bilinear to it from 1/%d",
			size, how.Width, how.Height, how.Overlap, network.MapStride)
	}
	lines := []string{
		resized,
		fmt.Sprintf("pixel figures at %s, masks resized to it by Pillow's BILINEAR and marked from one half on, as in the published code", size),
		fmt.Sprintf("image score: mean of the %d largest values of the map at %s", scorePixels, size),
		"image label: defective if the mask marks any pixel at its own size, without a mask by its folder (the published code takes the resized mask)",
	}
	lines = append(lines, m.layout...)
	if m.record.Regions.ROI != nil {
		lines = append(lines, "outside the ROI of the detector maps are 0 and enter no score; masks are taken as they are")
	}
	if m.blank > 0 {
		lines = append(lines, fmt.Sprintf("pictures in folders of defects whose masks mark nothing, counted as good: %d", m.blank))
	}
	if len(m.failed) > 0 {
		lines = append(lines, fmt.Sprintf("pictures that could not be measured, left out: %d", len(m.failed)))
	}
	return lines
}

// defectTypes measures each kind of defect against the good pictures.
func defectTypes(scores []PictureScore) []DefectType {
	pictures := map[string]int{}
	for _, s := range scores {
		if s.Defective {
			pictures[s.Defect]++
		}
	}
	types := make([]DefectType, 0, len(pictures))
	for _, name := range slices.Sorted(maps.Keys(pictures)) {
		others := func(s PictureScore) bool { return s.Defective && s.Defect != name }
		against := slices.DeleteFunc(slices.Clone(scores), others)
		types = append(types, DefectType{
			Name: name, Pictures: pictures[name],
			AUROC:     imageAUROC(against, func(s PictureScore) float64 { return s.Score }),
			DeSTAUROC: imageAUROC(against, func(s PictureScore) float64 { return s.DeSTScore }),
		})
	}
	return types
}

func imageAUROC(scores []PictureScore, by func(PictureScore) float64) *float64 {
	var e metric.Evaluator
	for _, s := range scores {
		if err := e.Add(metric.Sample{Score: by(s), Defective: s.Defective}); err != nil {
			return nil // not reached: Inspect gives finite scores only
		}
	}
	return e.Result().ImageAUROC
}
