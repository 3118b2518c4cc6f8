package main

import (
	"context"
	"fmt"
	"image"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/synth"
)

type synthOptions struct {
	output string
	count  int
	size   size
	layout string
	synthesis
}

func newSynth(c *console) *cobra.Command {
	o := synthOptions{output: "synth.png", count: 8, size: size{256, 256}, synthesis: usualSynthesis()}
	command := &cobra.Command{
		Use:   "synth DATA",
		Short: "Shows the synthetic anomalies that training would make",
		Long: `synth draws a contact sheet of the synthetic anomalies that training makes from
the good pictures of DATA: the clean picture, the corrupted one, and the mask.
DATA is a folder of good pictures or a data set.`,
		Example: "  destseg synth parts/good -o sheet.png --count 12",
		Args:    arguments("DATA"),
		RunE: func(command *cobra.Command, args []string) error {
			return o.run(command.Context(), c, args[0])
		},
	}
	f := command.Flags()
	f.SortFlags = false
	f.StringVarP(&o.output, "output", "o", o.output, "`FILE` to write, PNG or JPEG by its ending")
	countFlag(f, &o.count, 1, 1000, "count", "samples to draw")
	sizeFlag(f, &o.size)
	layoutFlag(f, &o.layout)
	o.synthesis.flags(f)
	return command
}

func (o synthOptions) run(ctx context.Context, c *console, data string) error {
	set, err := c.openSet(data, o.layout)
	if err != nil {
		return err
	}
	paths, err := goodPictures(set)
	if err != nil {
		return err
	}
	write, err := sheetWriter(o.output)
	if err != nil {
		return err
	}
	output, err := outputFile(o.output)
	if err != nil {
		return err
	}
	if err := keepInputs([]string{output}, paths); err != nil {
		return err
	}
	settings := synth.Settings{
		Width: o.size.width, Height: o.size.height,
		Seed: o.seed, Rotation: o.rotationOf(set.Category), MinOpacity: o.minOpacity,
	}
	if settings.Textures, err = o.openTextures(textureMemory); err != nil {
		return err
	}
	generator, err := synth.New(settings)
	if err != nil {
		return err
	}

	var good []*picture.RGB
	var bad []error
	pictures := dataset.NewCache(dataset.Resized(o.size.width, o.size.height), 0)
	for _, path := range paths {
		if len(good) == o.count || ctx.Err() != nil {
			break
		}
		p, err := pictures.Get(path)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		good = append(good, p)
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	if len(good) == 0 {
		return incomplete(bad, nil)
	}
	sheet, err := generator.Sheet(good, o.count)
	if err != nil {
		return err
	}
	if err := write(output, sheet.Image()); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s: %s, from left to right clean, corrupted and mask\n", output, formatCount(o.count, "sample"))
	return incomplete(bad, nil)
}

// sheetWriter returns how to write a picture to a file of that name.
func sheetWriter(path string) (func(path string, img image.Image) error, error) {
	switch extension := strings.ToLower(filepath.Ext(path)); extension {
	case ".png", "":
		return picture.WritePNG, nil
	case ".jpg", ".jpeg":
		const quality = 95
		return func(path string, img image.Image) error { return picture.WriteJPEG(path, img, quality) }, nil
	default:
		return nil, wrongUsage("%s: the sheet is written as .png or .jpg, not as %s", path, extension)
	}
}
