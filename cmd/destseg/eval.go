package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/internal/memory"
	"github.com/destseg/destseg/internal/paint"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/report"
)

type evalOptions struct {
	json     string // file, "-" for the standard output, empty for none
	overlays string // folder; empty for none
	report   string // folder; empty for none
	layout   string
	keep     bool // in the detector
	all      bool
	overview overviewOptions
	use
	computing
}

func newEval(c *console) *cobra.Command {
	var o evalOptions
	command := &cobra.Command{
		Use:   "eval DETECTOR DATA",
		Short: "Measures a detector on a test set",
		Long: `eval inspects the test pictures of DATA, which is a data set with good and defective
ones, and prints the figures of the field for the segmentation map, which is what
a detector judges by, and for the DeST map (student and teacher alone), with the
protocol of each.

Pictures that cannot be read are left out and listed at the end; the exit status
is 1 then.

With --all, DETECTOR is a folder of detectors and DATA holds several categories.
Each detector is measured on the category that its record names; detectors of one
category with different seeds give mean ± deviation. What fails is listed at the
end and does not keep the others from being measured.`,
		Example: `  destseg eval bottle.safetensors mvtec_ad/bottle
  destseg eval bottle.safetensors mvtec_ad/bottle --json bottle.json --overlays marked
  destseg eval bottle.safetensors mvtec_ad/bottle --report bottle
  destseg eval --all detectors mvtec_ad --format csv --map both`,
		Args: arguments("DETECTOR", "DATA"),
		RunE: func(command *cobra.Command, args []string) error {
			err := needAll(command.Flags(), o.all, []string{"format", "map"}, []string{"json", "overlays", "report", "keep"})
			switch {
			case err != nil:
				return err
			case o.all:
				return o.runAll(command.Context(), c, args[0], args[1])
			}
			return o.run(command.Context(), c, args[0], args[1])
		},
	}
	f := command.Flags()
	f.SortFlags = false
	f.StringVar(&o.json, "json", "", "`FILE` for all figures and scores as JSON, - for the standard output\nin place of the table; the format may change until version 1.0")
	f.StringVar(&o.overlays, "overlays", "", "`DIR` for the test pictures with the map painted over them,\nregions and the truth outlined")
	f.StringVar(&o.report, "report", "", "`DIR` for a page with all of it, index.html, to be read in a browser")
	f.BoolVar(&o.keep, "keep", false, "keep the figures and curves in the detector, where info and the page of\nserve show them")
	f.BoolVar(&o.all, "all", false, "measure the detectors of every category under DATA")
	overviewFlags(f, &o.overview)
	layoutFlag(f, &o.layout)
	o.use.flags(f)
	inspectingFlags(f, &o.computing)
	return command
}

func (o evalOptions) run(ctx context.Context, c *console, detector, data string) error {
	set, err := c.openSet(data, o.layout)
	if err != nil {
		return err
	}
	if len(set.Test) == 0 {
		return fmt.Errorf("%s: no test pictures; put good ones into test/good, defective ones into test/KIND and their masks into ground_truth/KIND", data)
	}
	page, err := reportFile(o.report)
	if err != nil {
		return err
	}
	d, warning, err := o.use.open(c, o.computing, detector)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := errors.Join(outputFolder(o.overlays), outputFolder(o.report)); err != nil {
		return err
	}
	if o.keep {
		if err := asItsFile(d, detector); err != nil {
			return err
		}
	}
	marked := newPainter(o.overlays, set.Test)
	if err := keepInputs(append([]string{o.json, page}, marked.files...), append(testFiles(set), detector)); err != nil {
		return err
	}
	out, err := c.openResult(o.json)
	if err != nil {
		return err
	}
	defer out.discard()

	gallery := new(report.Gallery)
	evaluation, err := evaluate(ctx, c, d, set, func(t destseg.TestedPicture) {
		marked.add(t)
		if page != "" {
			gallery.Add(t)
		}
	})
	if err != nil {
		return err
	}
	if page != "" {
		if err := writeReport(page, report.Report{
			Detector: detector, Data: data, Set: set, Record: d.Record(), Evaluation: evaluation, Gallery: gallery,
		}, warning); err != nil {
			return err
		}
	}
	if o.json != "-" {
		fmt.Fprintf(c.out, "%s on %s\n%s", detector, data, formatEvaluation(evaluation, d.Record().Threshold, memory.Peak()))
	}
	if o.json != "" {
		if err := writeJSON(out, evaluationDocument(detector, data, evaluation)); err != nil {
			return err
		}
		if err := out.finish(); err != nil {
			return err
		}
	}
	if err := incomplete(reasons(evaluation.Failed), marked.unwritten); err != nil || !o.keep {
		return err
	}
	return destseg.Update(detector, func(r *destseg.Record) error {
		r.Metrics = &evaluation
		return nil
	})
}

// asItsFile refuses to keep figures of a detector that was told to see otherwise than its
// file says.
func asItsFile(d *destseg.Detector, path string) error {
	kept, err := destseg.ReadRecord(path)
	if err != nil {
		return err
	}
	if used := d.Record(); used.Preprocessing != kept.Preprocessing || !reflect.DeepEqual(used.Regions, kept.Regions) {
		return wrongUsage("--keep goes with the detector as it is; give these settings to destseg calibrate first")
	}
	return nil
}

// evaluate measures a detector, shows how it goes and hands every picture on.
func evaluate(ctx context.Context, c *console, d *destseg.Detector, set *dataset.Set, each func(destseg.TestedPicture)) (destseg.Evaluation, error) {
	m := c.meter("measuring: picture", len(set.Test))
	defer m.close()
	done := 0
	evaluation, err := destseg.Evaluate(ctx, d, set, func(t destseg.TestedPicture) {
		each(t)
		done++
		m.update(done)
	})
	if ctx.Err() != nil {
		return evaluation, errInterrupted
	}
	for _, warning := range evaluation.Warnings {
		m.note("warning: %s", printable(warning))
	}
	return evaluation, err
}

// evaluationDocument is what eval writes as JSON.
func evaluationDocument(detector, data string, e destseg.Evaluation) any {
	return struct {
		Note       string             `json:"note"`
		Detector   string             `json:"detector"`
		Data       string             `json:"data"`
		Figures    []destseg.Row      `json:"figures"`
		PeakMemory int64              `json:"peak_memory_bytes"` // 0: not known
		Evaluation destseg.Evaluation `json:"evaluation"`
	}{formatNote, detector, data, e.Rows(), memory.Peak(), e}
}

// formatEvaluation writes an evaluation as tables, with the mistakes at a
// threshold unless it is nil, and the peak memory in bytes unless it is 0.
func formatEvaluation(e destseg.Evaluation, t *destseg.Threshold, memory int64) string {
	var b strings.Builder
	s := e.Segmentation
	fmt.Fprintf(&b, "%s, %d of them defective, %s of defects, %s\n\n",
		formatCount(s.Pictures, "picture"), s.DefectivePictures, formatCount(s.Instances, "instance"), formatCount(s.Pixels, "pixel"))

	figure := func(v *float64) string {
		if v == nil {
			return "–"
		}
		return fmt.Sprintf("%.4f", *v)
	}
	table := [][]string{{"", "segmentation", "DeST"}}
	var protocols [][2]string
	for _, row := range e.Rows() {
		table = append(table, []string{row.Name, figure(row.Segmentation), figure(row.DeST)})
		protocol := row.Protocol
		if row.Missing != "" {
			protocol = "not defined: " + row.Missing
		}
		protocols = append(protocols, [2]string{"  " + row.Name, protocol})
	}
	if len(e.Defects) > 0 {
		table = append(table, []string{"image AUROC by kind"})
		for _, kind := range e.Defects {
			table = append(table, []string{"  " + kind.Name, figure(kind.AUROC), figure(kind.DeSTAUROC), formatCount(kind.Pictures, "picture")})
		}
	}
	b.WriteString(formatTable(table) + "\n")
	if t != nil && len(e.Scores) > 0 {
		b.WriteString(formatVerdicts(e.Scores, *t))
	}
	elapsed := time.Duration(e.Seconds * float64(time.Second))
	fmt.Fprintf(&b, "%s in %s, %s, %.1f ms a picture, all included", printable(e.Engine), printable(e.Precision), formatTime(elapsed), 1000*e.Seconds/float64(max(e.Pictures, 1)))
	if memory > 0 {
		b.WriteString(", at most " + formatBytes(memory))
	}
	b.WriteString("\n\nmeasured by this protocol\n" + formatList(protocols))
	for _, line := range e.Protocol {
		fmt.Fprintf(&b, "  %s\n", printable(line))
	}
	return b.String()
}

// formatVerdicts counts the mistakes at a threshold.
func formatVerdicts(scores []destseg.PictureScore, t destseg.Threshold) string {
	v := destseg.CountVerdicts(scores, t.Image)
	return fmt.Sprintf("at the threshold %.4f, %d of %d good pictures are rejected and %d of %d defective ones missed\n",
		t.Image, v.FalseAlarms, v.Good, v.Missed, v.Defective)
}

// A painter writes test pictures with their map painted over them and their defects
// outlined.
type painter struct {
	files     []string // for the pictures that are still to come; none without a folder
	unwritten []error
}

// newPainter returns a painter into a folder, or one that does nothing if it is "".
func newPainter(folder string, samples []dataset.Sample) *painter {
	p := new(painter)
	if folder == "" {
		return p
	}
	paths := make([]string, len(samples))
	for i, s := range samples {
		paths[i] = s.Path
	}
	for _, name := range outputNames(paths) {
		p.files = append(p.files, filepath.Join(folder, name+overlayEnding))
	}
	return p
}

// add takes the next picture.
func (p *painter) add(t destseg.TestedPicture) {
	if len(p.files) == 0 {
		return
	}
	file := p.files[0]
	p.files = p.files[1:]
	if t.Inspection == nil {
		return
	}
	_, mask := t.Inspection.Regions()
	painted := paint.OutlineTruth(paint.Found(t.Picture, t.Inspection, mask), t.Mask)
	if err := picture.WritePNG(file, painted.Image()); err != nil {
		p.unwritten = append(p.unwritten, err)
	}
}
