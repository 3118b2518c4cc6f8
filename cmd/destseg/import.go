package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/destseg/destseg"
)

type detectorImport struct {
	output, category string
	size             size
	force            bool
}

func newImport(c *console) *cobra.Command {
	o := detectorImport{output: "detector.safetensors", size: usualTraining().size}
	command := &cobra.Command{
		Use:   "import FILE",
		Short: "Makes a detector of a checkpoint of the published model",
		Long: `import reads the state dict of the published PyTorch model, as the authors'
.pckl files hold it, or as safetensors, and writes it as a detector. The tensors
stay as they are. Nothing in the file is executed.

Such a file says nothing about thresholds, so the detector has none: it gives
scores and no verdicts until destseg calibrate has chosen them by good pictures.
Nor does it say what size of pictures it was trained with; published ones are 256.`,
		Example: `  destseg import DeSTSeg_MVTec_5000_bottle_.pckl --category bottle -o bottle.safetensors
  destseg calibrate bottle.safetensors good-bottles
  destseg eval bottle.safetensors mvtec_ad/bottle`,
		Args: arguments("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			return o.run(c, args[0])
		},
	}
	f := command.Flags()
	f.SortFlags = false
	f.StringVarP(&o.output, "output", "o", o.output, "detector `FILE` to write")
	f.StringVar(&o.category, "category", "", "`NAME` of what the pictures show (default: that of FILE)")
	sizeFlag(f, &o.size)
	f.BoolVar(&o.force, "force", false, "replace the output that is there")
	return command
}

func (o detectorImport) run(c *console, path string) error {
	var err error
	if o.output, err = newFile(o.output, o.force, path); err != nil {
		return err
	}
	if o.category == "" {
		name := filepath.Base(path)
		o.category = strings.TrimSuffix(name, filepath.Ext(name))
	}
	record, values, err := destseg.Import(path, o.category, o.size.width, o.size.height)
	if err != nil {
		return err
	}
	if err := destseg.Save(o.output, record, values); err != nil {
		return err
	}
	fmt.Fprint(c.out, formatList([][2]string{
		{"detector", o.output + fileSize(o.output)},
		{"made from", path + fileSize(path)},
		{"", "SHA-256 " + record.Imported.Digest},
		fitRow(record.Preprocessing),
		{"threshold", "none yet: there are scores, and no verdicts"},
		{"next", fmt.Sprintf("destseg calibrate %s GOOD_PICTURES", o.output)},
	}))
	return nil
}
