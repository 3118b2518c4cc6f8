package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/demoset"
	"github.com/destseg/destseg/internal/memory"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/train"
)

type demoOptions struct {
	folder   string
	kind     demoset.Kind
	pictures int // good ones to train on
	trainOptions
}

func newDemo(c *console) *cobra.Command {
	o := demoOptions{folder: "destseg-demo", kind: demoset.Machined, pictures: 100, trainOptions: usualTraining()}
	o.force = true // the folder is its own
	o.steps = steps{250, 500}
	o.batch = 8
	o.size = size{128, 128}
	command := &cobra.Command{
		Use:   "demo",
		Short: "Shows everything on a made-up product, without any data",
		Long: `demo draws pictures of a made-up product, good ones and ones with scratches,
dents and other defects, trains a small detector on the good ones, measures it,
and paints what it found. That takes some minutes.

All of it goes into one folder: the data set, the detector, a picture with every
kind of defect and what was found (sheet.png), and one for each test picture.`,
		Example: `  destseg demo
  destseg demo --kind woven -o cloth`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			outliveReaders()
			return o.run(command.Context(), c)
		},
	}
	f := command.Flags()
	f.SortFlags = false
	f.StringVarP(&o.folder, "output", "o", o.folder, "`DIR` to put everything into")
	kindFlag(f, &o.kind)
	countFlag(f, &o.pictures, 1, 100_000, "pictures", "good pictures to train on")
	stepsFlag(f, &o.steps)
	countFlag(f, &o.batch, 1, train.MaxBatch, "batch", "pictures a step")
	sizeFlag(f, &o.size)
	seedFlag(f, &o.seed)
	freshFlag(f, &o.fresh)
	trainingFlags(f, &o.computing)
	return command
}

func kindFlag(f *pflag.FlagSet, to *demoset.Kind) {
	var names []string
	for _, kind := range demoset.Kinds() {
		names = append(names, kind.String())
	}
	parse := func(s string) (demoset.Kind, error) {
		for _, kind := range demoset.Kinds() {
			if s == kind.String() {
				return kind, nil
			}
		}
		return 0, fmt.Errorf("expected %s", oneOf(names))
	}
	f.Var(value[demoset.Kind]{to, "KIND", parse, demoset.Kind.String}, "kind", "of product: "+oneOf(names))
}

func (o demoOptions) run(ctx context.Context, c *console) error {
	data := filepath.Join(o.folder, o.kind.String())
	marked := filepath.Join(o.folder, "marked")
	_, err := os.Stat(o.folder)
	made := errors.Is(err, fs.ErrNotExist)
	for _, folder := range []string{data, marked} {
		if err := outputFolder(folder); err != nil {
			return err
		}
	}
	if err := o.draw(ctx, c, data); err != nil {
		if made { // so all in it was drawn just now
			os.RemoveAll(o.folder)
		}
		return err
	}
	o.output = data + ".safetensors"
	summary, err := o.trainOptions.run(ctx, c, data)
	if err != nil {
		return err
	}
	fmt.Fprint(c.out, formatList(summary), "\n")

	set, err := dataset.Open(data)
	if err != nil {
		return err
	}
	d, err := o.computing.open(o.output)
	if err != nil {
		return err
	}
	defer d.Close()
	painter, examples := newPainter(marked, set.Test), newSheet(set.Test)
	evaluation, err := evaluate(ctx, c, d, set, func(t destseg.TestedPicture) {
		painter.add(t)
		examples.add(t)
	})
	if err != nil {
		return err
	}
	fmt.Fprint(c.out, formatEvaluation(evaluation, d.Record().Threshold, memory.Peak()), "\n")
	if err := incomplete(reasons(evaluation.Failed), painter.unwritten); err != nil {
		return err
	}
	sheet := filepath.Join(o.folder, "sheet.png")
	if err := picture.WritePNG(sheet, examples.image()); err != nil {
		return err
	}
	fmt.Fprint(c.out, formatList([][2]string{
		{"look at", sheet + " (picture, what was found, what is true)"},
		{"", marked + string(os.PathSeparator)},
		{"next", fmt.Sprintf("destseg predict %s %s", o.output, filepath.Join(data, "test"))},
	}))
	return nil
}

// draw makes the data set.
func (o demoOptions) draw(ctx context.Context, c *console, folder string) error {
	counts := demoset.Counts{Train: o.pictures, TestGood: max(o.pictures/5, 1), Defect: max(o.pictures/20, 1)}
	total := counts.Train + counts.TestGood + counts.Defect*len(o.kind.Defects())
	m := c.meter("drawing: picture", total)
	defer m.close()
	err := demoset.Write(ctx, folder, o.kind, counts, demoset.DefaultSize, o.seed, func(done, _ int) { m.update(done) })
	if ctx.Err() != nil {
		return errInterrupted
	}
	return err
}
