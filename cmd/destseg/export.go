package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/internal/wholefile"
	"github.com/destseg/destseg/onnx"
	"github.com/destseg/destseg/picture"
)

// Formats of export.
const (
	formatONNX      = "onnx"
	formatStateDict = "torch-state-dict"
)

type exportOptions struct {
	format, output string
	force          bool
	onnx.Options
}

func newExport(c *console) *cobra.Command {
	o := exportOptions{format: formatONNX}
	command := &cobra.Command{
		Use:   "export DETECTOR",
		Short: "Writes a detector for other programs: ONNX, PyTorch",
		Long: `export writes a detector in a format that other programs read.

onnx is a model for ONNX Runtime, OpenVINO, TensorRT and others (opset 17). It takes
any number of normalised pictures of the network's size, or with --dynamic-size of
any size in multiples of 32, or with --with-preprocessing RGB bytes of any size,
which it resizes and normalises as destseg does. It gives the map at the size of its
input (anomaly_map) and the image score (score), with --dest the DeST map (dest_map).
Its metadata hold the detector's record, with the thresholds, under the key destseg.

torch-state-dict is the networks' tensors alone, as safetensors under the names of
the published PyTorch model, whose load_state_dict takes them.`,
		Example: `  destseg export parts.safetensors -o parts.onnx
  destseg export parts.safetensors -o parts.onnx --precision fp16 --with-preprocessing
  destseg export parts.safetensors --format torch-state-dict -o state.safetensors`,
		Args: arguments("DETECTOR"),
		RunE: func(command *cobra.Command, args []string) error {
			if err := o.check(command.Flags()); err != nil {
				return err
			}
			return o.run(c, args[0])
		},
	}
	f := command.Flags()
	f.SortFlags = false
	f.StringVarP(&o.output, "output", "o", "", "`FILE` to write")
	choiceFlag(f, &o.format, "format", "KIND", "onnx or torch-state-dict", formatONNX, formatStateDict)
	parse := func(s string) (onnx.Precision, error) {
		p, err := onnx.ParsePrecision(s)
		if err != nil {
			err = errors.New("expected fp32, fp16 or int8")
		}
		return p, err
	}
	f.Var(value[onnx.Precision]{&o.Precision, "KIND", parse, onnx.Precision.String}, "precision",
		"of the ONNX model: fp32, fp16 (weights and most activations), or int8\n(QDQ nodes) for a detector that was quantized; inputs and outputs are\nfp32 in any case")
	f.BoolVar(&o.Preprocessing, "with-preprocessing", false, "take RGB bytes of any size in place of normalised pictures")
	f.BoolVar(&o.DynamicSize, "dynamic-size", false, "take normalised pictures of any size in multiples of 32")
	f.BoolVar(&o.DeST, "dest", false, "give the DeST map as well")
	f.BoolVar(&o.WithoutROI, "without-roi", false, "leave the detector's ROI out, which a model can't have")
	f.BoolVar(&o.force, "force", false, "replace the output that is there")
	return command
}

// check refuses flags that contradict each other or would change nothing.
func (o exportOptions) check(f *pflag.FlagSet) error {
	if o.output == "" {
		return wrongUsage("--output is missing")
	}
	if o.Preprocessing && o.DynamicSize {
		return wrongUsage("--dynamic-size and --with-preprocessing contradict each other: pictures of any size are resized to the network's")
	}
	if o.format == formatStateDict {
		for _, name := range []string{"precision", "with-preprocessing", "dynamic-size", "dest", "without-roi"} {
			if f.Changed(name) {
				return wrongUsage("--%s goes with --format onnx", name)
			}
		}
	}
	return nil
}

func (o exportOptions) run(c *console, path string) error {
	var err error
	if o.output, err = newFile(o.output, o.force, path); err != nil {
		return err
	}
	record, values, err := destseg.Read(path)
	if err != nil {
		return err
	}
	var rows [][2]string
	if o.format == formatStateDict {
		err = destseg.SaveStateDict(o.output, values)
	} else if err = o.writeModel(path, record, values); err == nil {
		rows = o.modelRows(c, record)
	}
	if err != nil {
		return err
	}
	fmt.Fprint(c.out, formatList(append([][2]string{{o.format, o.output + fileSize(o.output)}, {"detector", path}}, rows...)))
	return nil
}

func (o exportOptions) writeModel(path string, record destseg.Record, values map[string][]float32) error {
	err := wholefile.Write(o.output, func(w io.Writer) error { return onnx.Write(w, record, values, o.Options) })
	switch {
	case errors.Is(err, onnx.ErrROI):
		return fmt.Errorf("%s: %w; --without-roi leaves it out, so that map and score are those of the whole picture", path, onnx.ErrROI)
	case errors.Is(err, destseg.ErrNotQuantized):
		return fmt.Errorf("%s: %w; destseg quantize %s GOOD_PICTURES does that", path, destseg.ErrNotQuantized, path)
	case errors.Is(err, onnx.ErrTiles):
		return fmt.Errorf("%s: %w; without --with-preprocessing the model sees one tile at a time", path, onnx.ErrTiles)
	}
	return err
}

// modelRows tells what the model takes and gives, and warns of what is left to its user.
func (o exportOptions) modelRows(c *console, record destseg.Record) [][2]string {
	how := record.Preprocessing
	input := fmt.Sprintf("%s: N×3×%d×%d, normalised, fp32", onnx.Image, how.Height, how.Width)
	switch {
	case o.Preprocessing:
		input = onnx.Picture + ": N×H×W×3, RGB in uint8"
	case o.DynamicSize:
		input = onnx.Image + ": N×3×H×W, normalised, fp32, multiples of 32"
	}
	size := "H×W"
	if !o.Preprocessing && !o.DynamicSize {
		size = fmt.Sprintf("%d×%d", how.Height, how.Width)
	}
	rows := [][2]string{
		{"computes in", o.Precision.String()},
		{"input", input},
		{"outputs", fmt.Sprintf("%s: N×1×%s; %s: N", onnx.AnomalyMap, size, onnx.Score)},
	}
	if o.DeST {
		rows = append(rows, [2]string{"", fmt.Sprintf("%s: N×1×%s", onnx.DeSTMap, size)})
	}
	switch {
	case how.Fit == picture.Tiles:
		c.note("warning: the detector sees pictures in tiles of %d pixels; the model sees one tile, and cutting pictures up and joining the maps is left to its user", how.Tile)
	case how.Fit == picture.Pad && !o.Preprocessing:
		c.note("warning: the detector keeps the shape of pictures and fills them up; that is left to the model's user, or --with-preprocessing does it")
	}
	if record.Regions.ROI != nil && o.WithoutROI {
		c.note("warning: the model has no ROI; its map and score are those of the whole picture, unlike the detector's")
	}
	return append(rows, [2]string{"thresholds", thresholdText(record.Threshold)})
}

func thresholdText(t *destseg.Threshold) string {
	if t == nil {
		return "none: destseg calibrate chooses some"
	}
	return fmt.Sprintf("%.4f for score, %.4f for anomaly_map", t.Image, t.Pixel)
}
