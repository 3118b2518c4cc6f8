package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/destseg/destseg/teacher"
)

type importOptions struct {
	output string // empty: the cache
	prefix *string
	half   bool
	force  bool
	source teacher.Source
}

func newTeacherImport(c *console, imagenet teacher.Source) *cobra.Command {
	o := importOptions{source: imagenet}
	prefix := ""
	command := &cobra.Command{
		Use:   "import FILE",
		Short: "Makes a teacher of a file with a ResNet-18",
		Long: fmt.Sprintf(`import reads a ResNet-18 as torchvision and timm name its tensors, from a
safetensors or a PyTorch file (.pth), by itself or within a checkpoint, under any
prefix. It writes what a teacher needs of it, in fp32, as safetensors; of what is
missing, has another shape, or belongs to another network it tells the names.
Nothing in the file is executed.

%s as torchvision publishes it needs no --output: it becomes the
teacher imagenet, as if it had been fetched.`, imagenet.File()),
		Example: `  destseg teacher import ~/.cache/torch/hub/checkpoints/resnet18-f37072fd.pth
  destseg teacher import checkpoint.pth -o ours.safetensors
  destseg train parts/good -o parts.safetensors --teacher ours.safetensors`,
		Args: arguments("FILE"),
		RunE: func(command *cobra.Command, args []string) error {
			if command.Flags().Changed("prefix") {
				o.prefix = &prefix
			}
			rows, err := o.run(args[0])
			if err != nil {
				return err
			}
			fmt.Fprint(c.out, formatList(rows))
			return nil
		},
	}
	f := command.Flags()
	f.SortFlags = false
	f.StringVarP(&o.output, "output", "o", "", "safetensors `FILE` to write")
	f.StringVar(&prefix, "prefix", "", "`TEXT` before the names of the tensors, as in encoder_q., if FILE holds\nseveral ResNet-18 (default: found by itself)")
	f.BoolVar(&o.half, "half", false, "write convolutions in half precision, which takes half the room")
	f.BoolVar(&o.force, "force", false, "replace the output that is there")
	return command
}

// run returns a summary for the user.
func (o importOptions) run(path string) ([][2]string, error) {
	if o.output == "" {
		return o.toCache(path)
	}
	var err error
	if o.output, err = newFile(o.output, o.force, path); err != nil {
		return nil, err
	}
	var options []teacher.Option
	if o.prefix != nil {
		options = append(options, teacher.WithPrefix(*o.prefix))
	}
	t, err := teacher.Load(path, options...)
	if err != nil {
		return nil, err
	}
	save := teacher.Save
	if o.half {
		save = teacher.SaveHalf
	}
	if err := save(o.output, t); err != nil {
		return nil, err
	}
	return [][2]string{
		{"teacher", o.output + fileSize(o.output)},
		{"made from", path + fileSize(path)},
		{"", "SHA-256 " + t.Digest},
		{"next", "destseg train DATA --teacher " + o.output},
	}, nil
}

// toCache takes the file that fetch would download.
func (o importOptions) toCache(path string) ([][2]string, error) {
	if o.prefix != nil {
		return nil, wrongUsage("--prefix goes with --output")
	}
	if o.half {
		return nil, wrongUsage("--half goes with --output")
	}
	cache, err := teacher.UserCache(o.source)
	if err != nil {
		return nil, err
	}
	switch err := cache.Import(path); {
	case errors.Is(err, teacher.ErrOther) && filepath.Base(path) == o.source.File():
		return nil, fmt.Errorf("%w; bring it here once more, or name a teacher to write with --output", err)
	case errors.Is(err, teacher.ErrOther):
		return nil, wrongUsage("%s is not %s as torchvision publishes it, so --output must name the teacher to write", path, o.source.File())
	case err != nil:
		return nil, err
	}
	return cachedRows(cache), nil
}
