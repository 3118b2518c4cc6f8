package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strconv"

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
	o := predictOptions{format: "jsonl"}
	command := &cobra.Command{
		Use:   "predict DETECTOR PICTURE…",
		Short: "Judges pictures",
		Long: `predict inspects pictures, given as files, folders (with those below them) or
patterns, and prints one line for each as soon as it is done: its score, the
threshold, the verdict (OK, or NG for not good), the size, where the anomaly map
is highest, and the milliseconds that the networks took.

Pictures that cannot be read are listed at the end; the others are done all the
same, and the exit status is 1. The format may change until version 1.0.`,
		Example: `  destseg predict parts.safetensors incoming
  destseg predict parts.safetensors 'shift-2/*.jpg' --format csv -o shift-2.csv --overlays marked`,
		Args: arguments("DETECTOR", "PICTURE…"),
		RunE: func(command *cobra.Command, args []string) error {
			return o.run(command.Context(), c, args[0], args[1:])
		},
	}
	f := command.Flags()
	f.SortFlags = false
	choiceFlag(f, &o.format, "format", "KIND", "of the lines: jsonl or csv", "jsonl", "csv")
	f.StringVarP(&o.output, "output", "o", "", "`FILE` to write instead of the standard output;\nit appears when all is done")
	f.StringVar(&o.overlays, "overlays", "", "`DIR` for the pictures with the anomaly map painted over them")
	f.StringVar(&o.masks, "masks", "", "`DIR` for masks, white where the map is above the pixel threshold")
	optionalFlag(f, &o.threshold, "threshold", "scores above it are NG (default: the detector's)")
	optionalFlag(f, &o.pixelThreshold, "pixel-threshold", "for the masks (default: the detector's)")
	computingFlags(f, &o.computing)
	return command
}

func (o predictOptions) run(ctx context.Context, c *console, detector string, args []string) error {
	paths, err := dataset.Expand(args)
	if err != nil {
		return err
	}
	d, err := o.open(detector)
	if err != nil {
		return err
	}
	defer d.Close()
	if t := d.Record().Threshold; t != nil {
		if o.threshold == nil {
			o.threshold = &t.Image
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
	if err := errors.Join(outputFolder(o.overlays), outputFolder(o.masks)); err != nil {
		return err
	}
	out, err := c.openResult(o.output)
	if err != nil {
		return err
	}
	defer out.discard()

	var m *meter // lines on the terminal show enough
	if o.output != "" && o.output != "-" || !c.seen {
		m = c.meter("picture", len(paths))
		defer m.close()
	}
	bad, err := o.predict(ctx, d, paths, o.lines(out), m)
	if err != nil {
		return err
	}
	if err := out.finish(); err != nil {
		return err
	}
	return unreadable(bad)
}

// A prediction is one line of results.
type prediction struct {
	Path         string   `json:"path"`
	Score        float64  `json:"score"`
	Threshold    *float64 `json:"threshold"`         // null: there is none
	Verdict      string   `json:"verdict,omitempty"` // OK, or NG for a score above the threshold
	Width        int      `json:"width"`
	Height       int      `json:"height"`
	Peak         peak     `json:"peak"`
	Milliseconds float64  `json:"milliseconds"` // that the networks took
	Overlay      string   `json:"overlay,omitempty"`
	Mask         string   `json:"mask,omitempty"`
}

// A peak is where the anomaly map is highest, in pixels of the picture from its
// upper left corner.
type peak struct {
	X     int     `json:"x"`
	Y     int     `json:"y"`
	Value float32 `json:"value"`
}

// lines returns the function that writes a prediction in the format asked for.
func (o predictOptions) lines(w io.Writer) func(prediction) error {
	if o.format == "jsonl" {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		return func(p prediction) error { return encoder.Encode(p) }
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
				"peak_x", "peak_y", "peak_value", "milliseconds", "overlay", "mask"); err != nil {
				return err
			}
		}
		threshold := ""
		if p.Threshold != nil {
			threshold = formatFloat(*p.Threshold)
		}
		return row(p.Path, formatFloat(p.Score), threshold, p.Verdict, strconv.Itoa(p.Width), strconv.Itoa(p.Height),
			strconv.Itoa(p.Peak.X), strconv.Itoa(p.Peak.Y), strconv.FormatFloat(float64(p.Peak.Value), 'g', -1, 32),
			formatFloat(p.Milliseconds), p.Overlay, p.Mask)
	}
}

func formatFloat(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// A judged picture has been inspected and its files have been written.
type judged struct {
	prediction
	unread error // why it was not inspected, if so
	failed error // why its files were not written, if so
}

// predict inspects pictures and writes a line for each, in their order. It
// returns the errors of those that cannot be read.
func (o predictOptions) predict(ctx context.Context, d *destseg.Detector, paths []string,
	write func(prediction) error, m *meter) (bad []error, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	// The network goes on while files are written: the queue holds the pictures it
	// has left behind, in order.
	queue := make(chan chan judged, runtime.GOMAXPROCS(0))
	go func() {
		defer close(queue)
		names := outputNames(paths)
		i := 0
		for file := range d.InspectFiles(ctx, paths) {
			slot, name := make(chan judged, 1), names[i]
			i++
			queue <- slot
			go func() { slot <- o.judge(d, file, name) }()
		}
	}()

	done := 0
	for slot := range queue {
		j := <-slot
		switch {
		case ctx.Err() != nil:
			continue // but leave the queue empty
		case j.failed != nil:
			err = j.failed
		case j.unread != nil:
			bad = append(bad, j.unread)
		default:
			err = write(j.prediction)
		}
		if err != nil {
			stop(err)
			continue
		}
		done++
		m.update(done)
	}
	if err == nil && done < len(paths) {
		err = fmt.Errorf("%w after %d of %d pictures", errInterrupted, done, len(paths))
	}
	return bad, err
}

// judge makes the line for an inspected picture, and writes its files.
func (o predictOptions) judge(d *destseg.Detector, file destseg.InspectedFile, name string) judged {
	if file.Err != nil {
		return judged{unread: file.Err}
	}
	in := file.Inspection
	j := judged{prediction: prediction{
		Path: file.Path, Score: in.Score, Threshold: o.threshold, Width: in.Width, Height: in.Height,
		Peak:         peakOf(in, d.Record().Preprocessing),
		Milliseconds: float64(in.Elapsed.Microseconds()) / 1000,
	}}
	switch {
	case o.threshold == nil:
	case in.Score > *o.threshold:
		j.Verdict = "NG"
	default:
		j.Verdict = "OK"
	}
	if o.overlays != "" {
		j.Overlay = filepath.Join(o.overlays, name+"_overlay.png")
		j.failed = picture.WritePNG(j.Overlay, overlay(file).Image())
	}
	if o.masks != "" && j.failed == nil {
		j.Mask = filepath.Join(o.masks, name+"_mask.png")
		mask := picture.NewGray(in.Width, in.Height)
		for i, v := range in.Map(in.Width, in.Height) {
			if float64(v) > *o.pixelThreshold {
				mask.Pix[i] = 255
			}
		}
		j.failed = picture.WritePNG(j.Mask, mask.Image())
	}
	return j
}

// peakOf finds the largest value of the map at network size, where the score
// comes from, and its place in the picture.
func peakOf(in *destseg.Inspection, network destseg.Preprocessing) peak {
	values := in.Map(network.Width, network.Height)
	at := 0
	for i, v := range values {
		if v > values[at] {
			at = i
		}
	}
	x, y := at%network.Width, at/network.Width
	return peak{
		X:     (2*x + 1) * in.Width / (2 * network.Width),
		Y:     (2*y + 1) * in.Height / (2 * network.Height),
		Value: values[at],
	}
}

// How a map is painted over a picture: nothing below overlayFrom, and
// overlayOpacity at 1, the largest value of a map.
const (
	overlayFrom    = 0.1
	overlayOpacity = 0.7
)

// overlay returns an inspected picture with its map painted over it.
func overlay(file destseg.InspectedFile) *picture.RGB {
	in := file.Inspection
	return picture.Overlay(file.Picture, in.Map(in.Width, in.Height), overlayFrom, 1, overlayOpacity)
}
