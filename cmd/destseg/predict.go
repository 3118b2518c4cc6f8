package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/picture"
)

type predictOptions struct {
	format, output            string
	overlays, masks           string // folders; empty for none
	threshold, pixelThreshold *float64
	computing
}

func newPredict(c *console) *cobra.Command {
	var o predictOptions
	command := &cobra.Command{
		Use:   "predict DETECTOR PICTURE…",
		Short: "Judges pictures",
		Long: `predict inspects pictures, given as files, folders (with those below them) or
patterns, and prints one line for each as soon as it is done: its score, the
threshold, the verdict (OK, or NG for not good), the size, where the anomaly map
is highest, and the milliseconds that the networks took.

Pictures that cannot be read get a line with their error and are listed at the
end; the others are done all the same, and the exit status is 1. The format may
change until version 1.0.

Transparency is ignored: the colour stored under transparent pixels is judged.`,
		Example: `  destseg predict parts.safetensors incoming
  destseg predict parts.safetensors 'shift-2/*.jpg' --format csv -o shift-2.csv --overlays marked`,
		Args: arguments("DETECTOR", "PICTURE…"),
		RunE: func(command *cobra.Command, args []string) error {
			return o.run(command.Context(), c, args[0], args[1:])
		},
	}
	f := command.Flags()
	f.SortFlags = false
	choiceFlag(f, &o.format, "format", "KIND", "of the lines: jsonl or csv (default: as the output is called, else jsonl)", "jsonl", "csv")
	f.StringVarP(&o.output, "output", "o", "", "`FILE` to write instead of the standard output;\nit appears when all is done")
	f.StringVar(&o.overlays, "overlays", "", "`DIR` for the pictures with the anomaly map painted over them")
	f.StringVar(&o.masks, "masks", "", "`DIR` for masks, white where the map is above the pixel threshold")
	thresholdFlag(f, &o.threshold, "threshold", "from 0 to 1; scores above it are NG (default: the detector's)")
	thresholdFlag(f, &o.pixelThreshold, "pixel-threshold", "from 0 to 1; for the masks (default: the detector's)")
	computingFlags(f, &o.computing)
	return command
}

func (o predictOptions) run(ctx context.Context, c *console, detector string, args []string) error {
	var err error
	if o.format, err = o.lineFormat(); err != nil {
		return err
	}
	if err := errors.Join(outsideInputs(o.overlays, args), outsideInputs(o.masks, args)); err != nil {
		return err
	}
	paths, failures := dataset.Expand(args)
	bad := make([]error, len(failures))
	for i, f := range failures {
		bad[i] = f.Err
	}
	if len(paths) == 0 {
		return listed(bad)
	}
	files := o.files(paths)
	if err := keepInputs(outputs(o.output, files), append(paths, detector)); err != nil {
		return err
	}
	d, err := o.open(detector)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := o.setThresholds(c, detector, d.Record().Threshold); err != nil {
		return err
	}
	if err := errors.Join(outputFolder(o.overlays), outputFolder(o.masks)); err != nil {
		return err
	}
	out, err := c.openResult(o.output)
	if err != nil {
		return err
	}
	defer out.discard()
	terminal := c.seen && (o.output == "" || o.output == "-")
	write := o.lines(out)
	if terminal {
		asIs := write
		write = func(p prediction) error {
			p.Path, p.Overlay, p.Mask = printable(p.Path), printable(p.Overlay), printable(p.Mask)
			return asIs(p)
		}
	}
	for _, f := range failures {
		if err := write(prediction{Path: f.Path, Error: told(f.Err)}); err != nil {
			return err
		}
	}

	var m *meter // lines on the terminal show enough
	if !terminal {
		m = c.meter("picture", len(paths))
		defer m.close()
	}
	unread, unwritten, err := o.predict(ctx, d, paths, files, write, m)
	if err != nil {
		return err
	}
	if err := out.finish(); err != nil {
		return err
	}
	return incomplete(append(bad, unread...), unwritten)
}

// lineFormat returns the format of the lines, by default the one that the output's
// name promises.
func (o predictOptions) lineFormat() (string, error) {
	promised := ""
	switch strings.ToLower(filepath.Ext(o.output)) {
	case ".csv":
		promised = "csv"
	case ".jsonl", ".ndjson", ".json":
		promised = "jsonl"
	}
	switch {
	case o.format != "" && promised != "" && o.format != promised:
		return "", wrongUsage("--format %s contradicts the name %s; leave one of them out", o.format, o.output)
	case o.format != "":
		return o.format, nil
	case promised != "":
		return promised, nil
	}
	return "jsonl", nil
}

// setThresholds takes the detector's thresholds where none are given, and warns of
// what they are worth.
func (o *predictOptions) setThresholds(c *console, detector string, t *destseg.Threshold) error {
	if t != nil {
		if o.threshold == nil {
			o.threshold = &t.Image
			if t.Provisional() {
				c.note("warning: the threshold %.4f of %s is provisional, the largest score of its own training pictures; "+
					"defects that score less pass as OK; --threshold sets another", t.Image, detector)
			}
		}
		if o.pixelThreshold == nil {
			o.pixelThreshold = &t.Pixel
		}
	}
	if o.masks != "" && o.pixelThreshold == nil {
		return wrongUsage("--masks needs --pixel-threshold, since %s has no threshold of its own", detector)
	}
	if o.threshold == nil {
		c.note("warning: %s has no threshold, so there are scores and no verdicts; --threshold sets one", detector)
	}
	return nil
}

// pictureFiles are the files made from one picture; "" for none.
type pictureFiles struct{ overlay, mask string }

// files names the files to be made from each picture.
func (o predictOptions) files(paths []string) []pictureFiles {
	files := make([]pictureFiles, len(paths))
	for i, name := range outputNames(paths) {
		if o.overlays != "" {
			files[i].overlay = filepath.Join(o.overlays, name+overlayEnding)
		}
		if o.masks != "" {
			files[i].mask = filepath.Join(o.masks, name+"_mask.png")
		}
	}
	return files
}

// overlayEnding ends the names of pictures with their map painted over them.
const overlayEnding = "_overlay.png"

// outputs lists the files that predict writes; "" among them is none.
func outputs(results string, files []pictureFiles) []string {
	all := []string{results}
	for _, f := range files {
		all = append(all, f.overlay, f.mask)
	}
	return all
}

// A prediction is one line of results.
type prediction struct {
	Path         string       `json:"path"`
	Score        float64      `json:"score"`
	Threshold    *float64     `json:"threshold"`         // null: there is none
	Verdict      string       `json:"verdict,omitempty"` // OK, or NG for a score above the threshold
	Width        int          `json:"width"`
	Height       int          `json:"height"`
	Peak         destseg.Peak `json:"peak"`
	Milliseconds float64      `json:"milliseconds"` // that the networks took
	Overlay      string       `json:"overlay,omitempty"`
	Mask         string       `json:"mask,omitempty"`
	Error        string       `json:"error,omitempty"` // why there is nothing but the path, if so
}

// lines returns the function that writes a prediction in the format asked for.
func (o predictOptions) lines(w io.Writer) func(prediction) error {
	if o.format == "jsonl" {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		return func(p prediction) error {
			if p.Error != "" {
				return encoder.Encode(struct {
					Path  string `json:"path"`
					Error string `json:"error"`
				}{p.Path, p.Error})
			}
			return encoder.Encode(p)
		}
	}
	table := csv.NewWriter(w)
	row := func(cells ...string) error {
		err := table.Write(cells)
		table.Flush()
		return errors.Join(err, table.Error())
	}
	begun := false
	return func(p prediction) error {
		if !begun {
			begun = true
			if err := row("path", "score", "threshold", "verdict", "width", "height",
				"peak_x", "peak_y", "peak_value", "milliseconds", "overlay", "mask", "error"); err != nil {
				return err
			}
		}
		if p.Error != "" {
			return row(p.Path, "", "", "", "", "", "", "", "", "", "", "", p.Error)
		}
		threshold := ""
		if p.Threshold != nil {
			threshold = formatFloat(*p.Threshold)
		}
		return row(p.Path, formatFloat(p.Score), threshold, p.Verdict, strconv.Itoa(p.Width), strconv.Itoa(p.Height),
			strconv.Itoa(p.Peak.X), strconv.Itoa(p.Peak.Y), strconv.FormatFloat(float64(p.Peak.Value), 'g', -1, 32),
			formatFloat(p.Milliseconds), p.Overlay, p.Mask, "")
	}
}

func formatFloat(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// A judged picture has its line, and its files as far as they could be written.
type judged struct {
	prediction
	unread    error   // why it was not inspected, if so
	unwritten []error // why files are missing
}

// predict inspects pictures and writes a line for each, in their order. It
// returns the errors of pictures that cannot be read and of files made from them
// that cannot be written.
func (o predictOptions) predict(ctx context.Context, d *destseg.Detector, paths []string, files []pictureFiles,
	write func(prediction) error, m *meter) (unread, unwritten []error, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	// The network goes on while files are written: the queue holds the pictures it
	// has left behind, in order.
	queue := make(chan chan judged, runtime.GOMAXPROCS(0))
	go func() {
		defer close(queue)
		i := 0
		for file := range d.InspectFiles(ctx, paths) {
			slot, to := make(chan judged, 1), files[i]
			i++
			queue <- slot
			go func() { slot <- o.judge(file, to) }()
		}
	}()

	done := 0
	for slot := range queue {
		j := <-slot
		if ctx.Err() != nil {
			continue // but leave the queue empty
		}
		if j.unread != nil {
			unread = append(unread, j.unread)
		}
		unwritten = append(unwritten, j.unwritten...)
		if err = write(j.prediction); err != nil {
			stop(err)
			continue
		}
		done++
		m.update(done)
	}
	if err == nil && done < len(paths) {
		err = fmt.Errorf("%w after %d of %d pictures", errInterrupted, done, len(paths))
	}
	return unread, unwritten, err
}

// judge makes the line for an inspected picture, and writes its files.
func (o predictOptions) judge(file destseg.InspectedFile, to pictureFiles) judged {
	if file.Err != nil {
		return judged{prediction: prediction{Path: file.Path, Error: told(file.Err)}, unread: file.Err}
	}
	in := file.Inspection
	j := judged{prediction: prediction{
		Path: file.Path, Score: in.Score, Threshold: o.threshold, Width: in.Width, Height: in.Height,
		Peak:         in.Peak(),
		Milliseconds: float64(in.Elapsed.Microseconds()) / 1000,
	}}
	switch {
	case o.threshold == nil:
	case in.Score > *o.threshold:
		j.Verdict = "NG"
	default:
		j.Verdict = "OK"
	}
	if to.overlay != "" {
		j.Overlay = j.write(to.overlay, overlay(file.Picture, in).Image())
	}
	if to.mask != "" {
		mask := picture.NewGray(in.Width, in.Height)
		for i, v := range in.Map(in.Width, in.Height) {
			if float64(v) > *o.pixelThreshold {
				mask.Pix[i] = 255
			}
		}
		j.Mask = j.write(to.mask, mask.Image())
	}
	return j
}

// write writes a file made from the picture and returns its path; "" if it can't.
func (j *judged) write(path string, img image.Image) string {
	if err := picture.WritePNG(path, img); err != nil {
		j.unwritten = append(j.unwritten, err)
		return ""
	}
	return path
}

// How a map is painted over a picture: nothing below overlayFrom, and
// overlayOpacity at 1, the largest value of a map.
const (
	overlayFrom    = 0.1
	overlayOpacity = 0.7
)

// overlay returns an inspected picture with its map painted over it.
func overlay(p *picture.RGB, in *destseg.Inspection) *picture.RGB {
	return picture.Overlay(p, in.Map(in.Width, in.Height), overlayFrom, 1, overlayOpacity)
}
