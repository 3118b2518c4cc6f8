package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/destseg/destseg"
)

type quantizeOptions struct {
	output    string // empty: the detector itself
	pictures  int
	synthetic int
	textures  string
	layout    string
	computing
}

func newQuantize(c *console) *cobra.Command {
	o := quantizeOptions{pictures: 100, synthetic: 100}
	command := &cobra.Command{
		Use:   "quantize DETECTOR DATA",
		Short: "Lets a detector run in 8-bit integers",
		Long: `quantize looks at what the networks of DETECTOR compute for good pictures, chooses
the steps in which that is rounded to 8 bits, and writes these into the record. The
weights stay as they are. Then the detector runs in int8 where the processor has it,
half as fast again as in bf16.

DATA is a folder of good pictures, or a data set, of which these are taken. The ones
that the detector was trained on will do.

Before anything is written, the detector runs in int8 and in fp32 over the same
pictures and over synthetic anomalies. Where int8 finds less, the detector is left
as it is.`,
		Example: `  destseg quantize parts.safetensors parts/good
  destseg quantize bottle.safetensors mvtec_ad/bottle -o bottle-int8.safetensors`,
		Args: arguments("DETECTOR", "DATA"),
		RunE: func(command *cobra.Command, args []string) error {
			return o.run(command.Context(), c, args[0], args[1])
		},
	}
	f := command.Flags()
	f.SortFlags = false
	f.StringVarP(&o.output, "output", "o", "", "detector `FILE` to write (default: DETECTOR itself)")
	countFlag(f, &o.pictures, 1, 1_000_000, "pictures", "good pictures to look at, at most")
	countFlag(f, &o.synthetic, 0, 100_000, "synthetic", "synthetic anomalies to compare int8 with fp32 by")
	f.StringVar(&o.textures, "textures", "", "`DIR` of pictures for the synthetic anomalies\n(default: textures that the program draws)")
	layoutFlag(f, &o.layout)
	engineFlag(f, &o.computing)
	threadsFlag(f, &o.computing)
	return command
}

func (o quantizeOptions) run(ctx context.Context, c *console, detector, data string) error {
	set, err := c.openSet(data, o.layout)
	if err != nil {
		return err
	}
	good, err := goodPictures(set)
	if err != nil {
		return err
	}
	if o.output == "" {
		o.output = detector
	}
	if o.output, err = outputFile(o.output); err != nil {
		return err
	}
	if err := keepInputs([]string{o.output}, good); err != nil {
		return err
	}
	textures, err := synthesis{textures: o.textures}.openTextures(textureMemory)
	if err != nil {
		return err
	}
	record, err := destseg.ReadRecord(detector)
	if err != nil {
		return err
	}
	pictures := destseg.QuantizationPictures{
		Good: spaced(good, o.pictures), Synthetic: o.synthetic, Synthesis: synthesisOf(record, textures),
	}
	quantization, failed, err := o.quantized(ctx, c, detector, pictures)
	if err != nil {
		return err
	}
	fmt.Fprint(c.out, formatList(append([][2]string{{"detector", o.output}}, quantizationRows(&quantization)...)))
	if err := harmed(detector, quantization.Trial); err != nil {
		return errors.Join(err, incomplete(failed, nil))
	}
	err = rewrite(detector, o.output, func(r *destseg.Record) { r.Quantization = &quantization })
	if err != nil {
		return err
	}
	return incomplete(failed, nil)
}

// harmed is the error for a detector that int8 does not do for.
func harmed(detector string, t destseg.Trial) error {
	if t.Passed() {
		return nil
	}
	return fmt.Errorf("%s: in int8 it says something else than in fp32, so nothing was written; more good pictures may help, else leave it in fp32 or bf16", detector)
}

// spaced returns most items at most, from all over a list.
func spaced(list []string, most int) []string {
	if len(list) <= most {
		return list
	}
	some := make([]string, most)
	for i := range some {
		some[i] = list[i*len(list)/most]
	}
	return some
}

// quantized chooses the steps and shows how it goes.
func (o quantizeOptions) quantized(ctx context.Context, c *console, detector string, p destseg.QuantizationPictures) (destseg.Quantization, []error, error) {
	e, err := destseg.NewEngine(o.engine)
	if err != nil {
		return destseg.Quantization{}, nil, err
	}
	m := c.meter("quantizing: run", 3*len(p.Good)+2*p.Synthetic)
	defer m.close()
	q, failed, err := destseg.Quantize(ctx, detector, p, func(done, _ int) { m.update(done) },
		destseg.WithEngine(e), destseg.WithThreads(o.threads))
	return q, reasons(failed), interrupted(ctx, err)
}

// quantizationRows tells in a list how far int8 was tried.
func quantizationRows(q *destseg.Quantization) [][2]string {
	if q == nil {
		return nil
	}
	t := q.Trial
	rows := [][2]string{
		{"int8", fmt.Sprintf("by %s; scores differ from fp32's by %.4f in the mean, %.4f at most", formatCount(q.Good.Count, "good picture"), t.MeanDifference, t.LargestDifference)},
	}
	if t.Verdicts > 0 {
		change := "change"
		if t.Verdicts == 1 {
			change = "changes"
		}
		rows = append(rows, [2]string{"", fmt.Sprintf("%s of %d %s", formatCount(t.Verdicts, "verdict"), t.Good+t.Synthetic, change)})
	}
	figure := func(name string, before, after *float64) {
		if before != nil && after != nil {
			rows = append(rows, [2]string{"", fmt.Sprintf("%s of %s: %.4f, in fp32 %.4f", name, formatCount(t.Synthetic, "synthetic defect"), *after, *before)})
		}
	}
	figure("image AUROC", t.Float32.ImageAUROC, t.Int8.ImageAUROC)
	figure("pixel AP", t.Float32.PixelAP, t.Int8.PixelAP)
	return rows
}
