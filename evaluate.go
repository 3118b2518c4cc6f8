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
	Seconds   float64  `json:"seconds"`  // wall-clock time for all of them, reading included
	Protocol  []string `json:"protocol"` // sentences, see [Evaluate]; each figure adds its own

	Failed []FailedPicture `json:"failed,omitempty"` // left out of every figure
	Scores []PictureScore  `json:"scores,omitempty"` // of the others, in the order of the set

	SegmentationCurves metric.Curves `json:"-"`
	DeSTCurves         metric.Curves `json:"-"`
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
//   - Pixel figures are taken at network size (256×256 as published), whatever
//     the size of pictures and masks: maps are resized to it bilinear, masks by
//     Pillow's BILINEAR and marked where they are at least one half white. A
//     figure at the masks' own size would be another one.
//   - The image score is the mean of the 100 largest values of the map at network
//     size.
//   - A picture counts as defective if its mask, at its own size, marks any
//     pixel; without a mask its folder decides. The published code looks at the
//     resized mask, on which a tiny defect can vanish.
//
// While one picture is inspected the next are read. Pictures that can't be
// measured, or whose mask can't be read, are listed in Failed and the rest is
// measured. progress, if it is not nil, is called from Evaluate's goroutine after
// each picture, failed ones included.
//
// If ctx ends, the error is its cause. A set of whose test pictures none could be
// measured gives an error wrapping [ErrNoPictures].
func Evaluate(ctx context.Context, d *Detector, set *dataset.Set, progress func(done, total int)) (Evaluation, error) {
	if len(set.Test) == 0 {
		return Evaluation{}, fmt.Errorf("%w: %s has no test pictures; put them into test/good and test/DEFECT", ErrNoPictures, set.Root)
	}
	start := time.Now()
	m := measurement{width: d.record.Preprocessing.Width, height: d.record.Preprocessing.Height}
	done := 0
	for t := range ahead(set.Test, func(s dataset.Sample) testPicture { return d.inspectSample(ctx, s) }) {
		if err := context.Cause(ctx); err != nil {
			return Evaluation{}, err
		}
		m.add(t)
		done++
		if progress != nil {
			progress(done, len(set.Test))
		}
	}
	if len(m.scores) == 0 {
		return Evaluation{}, fmt.Errorf("%w: %s: of %d test pictures none could be measured; the first: %s",
			ErrNoPictures, set.Root, len(set.Test), m.failed[0].Error)
	}
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

		SegmentationCurves: m.segmentation.Curves(curvePoints),
		DeSTCurves:         m.dest.Curves(curvePoints),

		Seconds: time.Since(start).Seconds(),
	}, nil
}

// A testPicture is an inspected picture of a test set with its truth.
type testPicture struct {
	sample     dataset.Sample
	inspection *Inspection
	defective  bool
	mask       []uint8 // at network size, 1 where defective; nil if there is none
	err        error   // names the file
}

func (d *Detector) inspectSample(ctx context.Context, s dataset.Sample) testPicture {
	t := testPicture{sample: s, defective: s.Anomalous}
	if s.Mask != "" {
		mask, err := picture.OpenGray(s.Mask)
		if err != nil {
			t.err = err
			return t
		}
		t.mask, t.defective = truth(mask, d.record.Preprocessing.Width, d.record.Preprocessing.Height)
	}
	f := d.inspectFile(ctx, s.Path)
	t.inspection, t.err = f.Inspection, f.Err
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

// A measurement gathers the pictures of an evaluation.
type measurement struct {
	width, height      int // network size
	segmentation, dest metric.Evaluator
	scores             []PictureScore
	failed             []FailedPicture
	blank              int // pictures of a defect whose mask marks nothing
}

func (m *measurement) add(t testPicture) {
	err := t.err
	if err == nil {
		err = m.addSamples(t)
	}
	if err != nil {
		m.failed = append(m.failed, FailedPicture{t.sample.Path, err.Error()})
		return
	}
	if t.sample.Anomalous && !t.defective {
		m.blank++
	}
	m.scores = append(m.scores, PictureScore{
		Path: t.sample.Path, Defect: t.sample.Defect, Defective: t.defective,
		Score: t.inspection.Score, DeSTScore: t.inspection.DeSTScore,
	})
}

func (m *measurement) addSamples(t testPicture) error {
	s := metric.Sample{
		Score: t.inspection.Score, Map: t.inspection.Map(m.width, m.height),
		Defective: t.defective, Width: m.width, Height: m.height, Mask: t.mask,
	}
	if err := m.segmentation.Add(s); err != nil {
		return err
	}
	// A map that the first evaluator took can't fail here but for numbers that
	// are not finite, and those Inspect refuses.
	s.Score, s.Map = t.inspection.DeSTScore, t.inspection.DeSTMap(m.width, m.height)
	return m.dest.Add(s)
}

func (m *measurement) protocol() []string {
	lines := []string{
		fmt.Sprintf("pictures resized to %d×%d by Pillow's BILINEAR; maps resized bilinear from %d×%d to %d×%d",
			m.width, m.height, m.width/network.MapStride, m.height/network.MapStride, m.width, m.height),
		fmt.Sprintf("pixel figures at %d×%d, masks resized to it by Pillow's BILINEAR and marked from one half on, as in the published code",
			m.width, m.height),
		fmt.Sprintf("image score: mean of the %d largest values of the map at %d×%d", scorePixels, m.width, m.height),
		"image label: defective if the mask marks any pixel at its own size, without a mask by its folder (the published code takes the resized mask)",
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
