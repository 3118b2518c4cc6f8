package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/internal/paint"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/serve"
	"github.com/destseg/destseg/serve/api"
)

type predictOptions struct {
	format, output        string
	overlays, masks, maps string // folders; empty for none
	mapFormat             picture.MapFormat
	server, token         string // URL and file; empty for a detector here
	use
	computing
}

func newPredict(c *console) *cobra.Command {
	var o predictOptions
	command := &cobra.Command{
		Use:     "predict DETECTOR PICTURE…",
		Aliases: []string{"inspect"},
		Short:   "Judges pictures",
		Long: `predict inspects pictures, given as files, folders (with those below them) or
patterns, and prints one line for each as soon as it is done: its score, the
threshold, the verdict (OK, or NG for not good), by how much the score exceeds the
threshold, the size, where the anomaly map is highest, the regions where it is above
the pixel threshold, and the milliseconds that the networks took.

The score decides alone; regions tell where. Each has its area and place in pixels of
the picture, its highest and mean value, and a polygon: its border, then its holes.
What is not said by flags is as the detector has it.

Pictures that cannot be read get a line with their error and are listed at the
end; the others are done all the same, and the exit status is 1. The format may
change until version 1.0.

Transparency is ignored: the colour stored under transparent pixels is judged.

With --server, a service that destseg serve has started judges, and DETECTOR is the
name of one of its detectors, which are used as they are. Milliseconds are then those
of its networks. A token that it needs stands in the variable ` + tokenVariable + `,
or in a file.`,
		Example: `  destseg predict parts.safetensors incoming
  destseg predict parts incoming --server http://line3:8080
  destseg predict parts.safetensors 'shift-2/*.jpg' --format csv -o shift-2.csv --overlays marked`,
		Args: arguments("DETECTOR", "PICTURE…"),
		RunE: func(command *cobra.Command, args []string) error {
			if o.maps == "" && command.Flags().Changed("map-format") {
				return wrongUsage("--map-format goes with --maps")
			}
			if err := o.checkServer(command.Flags()); err != nil {
				return err
			}
			return o.run(command.Context(), c, args[0], args[1:])
		},
	}
	f := command.Flags()
	f.SortFlags = false
	choiceFlag(f, &o.format, "format", "KIND", "of the lines: jsonl or csv (default: as the output is called, else jsonl)", "jsonl", "csv")
	f.StringVarP(&o.output, "output", "o", "", "`FILE` to write instead of the standard output;\nit appears when all is done")
	f.StringVar(&o.overlays, "overlays", "", "`DIR` for the pictures with the anomaly map painted over them,\nregions outlined")
	f.StringVar(&o.masks, "masks", "", "`DIR` for masks, white in the regions")
	f.StringVar(&o.maps, "maps", "", "`DIR` for the anomaly maps themselves")
	mapFormatFlag(f, &o.mapFormat)
	serverFlags(f, &o.server, &o.token)
	o.use.flags(f)
	inspectingFlags(f, &o.computing)
	return command
}

func mapFormatFlag(f *pflag.FlagSet, to *picture.MapFormat) {
	f.Var(value[picture.MapFormat]{to, "KIND", picture.ParseMapFormat, picture.MapFormat.String}, "map-format",
		"of the maps: png16 (0 to 65535 for 0 to 1), tiff or npy (float32)")
}

func (o predictOptions) run(ctx context.Context, c *console, detector string, args []string) error {
	var err error
	if o.format, err = o.lineFormat(); err != nil {
		return err
	}
	if err := errors.Join(outsideInputs(o.overlays, args), outsideInputs(o.masks, args), outsideInputs(o.maps, args)); err != nil {
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
	inputs := append(paths, o.roi)
	if o.server == "" {
		inputs = append(inputs, detector)
	}
	if err := keepInputs(outputs(o.output, files), inputs); err != nil {
		return err
	}
	judge, done, err := o.open(ctx, c, detector)
	if err != nil {
		return err
	}
	defer done()
	if err := errors.Join(outputFolder(o.overlays), outputFolder(o.masks), outputFolder(o.maps)); err != nil {
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
			p.Path, p.Overlay, p.Mask, p.Map = printable(p.Path), printable(p.Overlay), printable(p.Mask), printable(p.Map)
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
	unread, unwritten, err := o.predict(ctx, judge, paths, files, write, m)
	if err != nil {
		return err
	}
	if err := out.finish(); err != nil {
		return err
	}
	return incomplete(append(bad, unread...), unwritten)
}

// open opens the detector, here or on a server. When nothing is judged any more, done
// is called.
func (o predictOptions) open(ctx context.Context, c *console, detector string) (judge judging, done func(), err error) {
	if o.server != "" {
		judge, err = o.there(ctx, detector)
		return judge, func() {}, err
	}
	d, _, err := o.use.open(c, o.computing, detector)
	if err != nil {
		return nil, nil, err
	}
	if o.masks != "" && d.Record().Threshold == nil {
		d.Close()
		return nil, nil, wrongUsage("--masks needs --pixel-threshold, since %s has no threshold of its own", detector)
	}
	return o.here(d), func() { d.Close() }, nil
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

// pictureFiles are the files made from one picture; "" for none.
type pictureFiles struct{ overlay, mask, values string }

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
		if o.maps != "" {
			files[i].values = filepath.Join(o.maps, name+"_map"+o.mapFormat.Extension())
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
		all = append(all, f.overlay, f.mask, f.values)
	}
	return all
}

// A prediction is one line of results.
type prediction struct {
	Path string `json:"path"`
	api.Judgement
	Overlay string `json:"overlay,omitempty"`
	Mask    string `json:"mask,omitempty"`
	Map     string `json:"map,omitempty"`
	Error   string `json:"error,omitempty"` // why there is nothing but the path, if so
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
			if err := row(columns...); err != nil {
				return err
			}
		}
		return row(p.cells()...)
	}
}

// columns are those of CSV; regions are summed up.
var columns = []string{"path", "score", "threshold", "margin", "verdict", "width", "height",
	"peak_x", "peak_y", "peak_value", "regions", "regions_area", "largest_region_area", "milliseconds", "overlay", "mask", "map", "error"}

// cells are what stands in the columns.
func (p prediction) cells() []string {
	cells := make([]string, len(columns))
	cells[0], cells[len(cells)-1] = p.Path, p.Error
	if p.Error != "" {
		return cells
	}
	var threshold, margin, count, whole, largest string
	if p.Threshold != nil {
		area, most := 0, 0
		for _, r := range p.Regions {
			area, most = area+r.Area, max(most, r.Area)
		}
		threshold, margin = formatFloat(*p.Threshold), formatFloat(*p.Margin)
		count, whole, largest = strconv.Itoa(len(p.Regions)), strconv.Itoa(area), strconv.Itoa(most)
	}
	copy(cells, []string{p.Path, formatFloat(p.Score), threshold, margin, p.Verdict, strconv.Itoa(p.Width), strconv.Itoa(p.Height),
		strconv.Itoa(p.Peak.X), strconv.Itoa(p.Peak.Y), strconv.FormatFloat(float64(p.Peak.Value), 'g', -1, 32),
		count, whole, largest, formatFloat(p.Milliseconds), p.Overlay, p.Mask, p.Map})
	return cells
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
func (o predictOptions) predict(ctx context.Context, judge judging, paths []string, files []pictureFiles,
	write func(prediction) error, m *meter) (unread, unwritten []error, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	// The network goes on while files are written: the queue holds the pictures it
	// has left behind, in order.
	queue := make(chan chan judged, runtime.GOMAXPROCS(0))
	go func() {
		defer close(queue)
		i := 0
		for finish := range judge(ctx, paths) {
			slot, to := make(chan judged, 1), files[i]
			i++
			queue <- slot
			go func() { slot <- finish(to) }()
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

// A judging yields for each picture, in order, what finishes its line and files. What
// comes before that is done one by one.
type judging func(ctx context.Context, paths []string) iter.Seq[func(pictureFiles) judged]

// here judges by a detector in this process.
func (o predictOptions) here(d *destseg.Detector) judging {
	return func(ctx context.Context, paths []string) iter.Seq[func(pictureFiles) judged] {
		return func(yield func(func(pictureFiles) judged) bool) {
			for file := range d.InspectFiles(ctx, paths) {
				if !yield(func(to pictureFiles) judged { return o.judge(file, to) }) {
					return
				}
			}
		}
	}
}

// judge makes the line for an inspected picture, and writes its files.
func (o predictOptions) judge(file destseg.InspectedFile, to pictureFiles) judged {
	if file.Err != nil {
		return judged{prediction: prediction{Path: file.Path, Error: told(file.Err)}, unread: file.Err}
	}
	in := file.Inspection
	judgement, mask := serve.Judge(in)
	j := judged{prediction: prediction{Path: file.Path, Judgement: judgement}}
	if to.overlay != "" {
		j.Overlay = j.wrote(to.overlay, picture.WritePNG(to.overlay, paint.Found(file.Picture, in, mask).Image()))
	}
	if to.mask != "" {
		j.Mask = j.wrote(to.mask, picture.WritePNG(to.mask, mask.Image()))
	}
	if to.values != "" {
		j.Map = j.wrote(to.values, picture.WriteMap(to.values, in.Map(in.Width, in.Height), in.Width, in.Height, o.mapFormat))
	}
	return j
}

// wrote takes note of a file made from the picture and returns its path; "" if it could
// not be written.
func (j *judged) wrote(path string, err error) string {
	if err != nil {
		j.unwritten = append(j.unwritten, err)
		return ""
	}
	return path
}
