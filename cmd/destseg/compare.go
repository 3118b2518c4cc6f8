package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/destseg/destseg"
)

type compareOptions struct {
	data, layout string
	resamples    int
	seed         uint64
	confidence   float64
	json         string // file, "-" for the standard output, empty for none
	computing
}

func newCompare(c *console) *cobra.Command {
	o := compareOptions{resamples: destseg.UsualResamples, confidence: destseg.UsualConfidence}
	command := &cobra.Command{
		Use:   "compare A B --data DATA",
		Short: "Tells how sure the difference of two detectors is",
		Long: `compare measures the detectors A and B on the same test pictures and prints, for
each figure, the difference B − A with its interval: test sets are drawn with
replacement from the pictures, the same for both detectors. A difference whose
interval leaves out 0 is beyond what the choice of pictures explains. What another
training of the same detectors would give is another question; for that, train with
several seeds (train --all --seeds).

Pictures that cannot be measured by both are left out and listed at the end; the
exit status is 1 then.`,
		Example: `  destseg compare old.safetensors new.safetensors --data mvtec_ad/bottle
  destseg compare a.safetensors b.safetensors --data parts --resamples 10000 --json -`,
		Args: arguments("A", "B"),
		RunE: func(command *cobra.Command, args []string) error {
			if o.data == "" {
				return wrongUsage("--data is missing")
			}
			return o.run(command.Context(), c, args[0], args[1])
		},
	}
	f := command.Flags()
	f.SortFlags = false
	f.StringVar(&o.data, "data", "", "data set (`DIR`) with test pictures")
	layoutFlag(f, &o.layout)
	countFlag(f, &o.resamples, 100, 1_000_000, "resamples", "test sets to draw")
	seedFlag(f, &o.seed)
	fractionFlag(f, &o.confidence, "confidence", "of each interval, below 1")
	f.StringVar(&o.json, "json", "", "`FILE` for everything as JSON, - for the standard output\nin place of the table; the format may change until version 1.0")
	inspectingFlags(f, &o.computing)
	return command
}

func (o compareOptions) run(ctx context.Context, c *console, a, b string) error {
	if o.confidence >= 1 {
		return wrongUsage("--confidence %g: an interval that is certain has no end; give less than 1, as in 0.95", o.confidence)
	}
	set, err := c.openSet(o.data, o.layout)
	if err != nil {
		return err
	}
	if err := keepInputs([]string{o.json}, append(testFiles(set), a, b)); err != nil {
		return err
	}
	first, err := o.open(a)
	if err != nil {
		return err
	}
	defer first.Close()
	second, err := o.open(b)
	if err != nil {
		return err
	}
	defer second.Close()
	out, err := c.openResult(o.json)
	if err != nil {
		return err
	}
	defer out.discard()

	inspecting := c.meter("measuring: picture", len(set.Test))
	defer inspecting.close()
	var drawing *meter
	comparison, err := destseg.Compare(ctx, first, second, set, destseg.CompareOptions{
		Resamples: o.resamples, Seed: o.seed, Confidence: o.confidence,
		Inspected: func(done, _ int) { inspecting.update(done) },
		Resampled: func(done, total int) {
			if drawing == nil {
				inspecting.close()
				drawing = c.meter("drawing test sets:", total)
			}
			drawing.update(done)
		},
	})
	if drawing != nil {
		drawing.close()
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	if err != nil {
		return err
	}
	for _, warning := range comparison.A.Warnings {
		c.note("warning: %s", printable(warning))
	}
	if o.json != "-" {
		fmt.Fprint(c.out, formatComparison(a, b, o.data, comparison))
	}
	if o.json != "" {
		document := struct {
			Note       string             `json:"note"`
			DetectorA  string             `json:"detector_a"`
			DetectorB  string             `json:"detector_b"`
			Data       string             `json:"data"`
			Comparison destseg.Comparison `json:"comparison"`
		}{formatNote, a, b, o.data, comparison}
		if err := writeJSON(out, document); err != nil {
			return err
		}
		if err := out.finish(); err != nil {
			return err
		}
	}
	return incomplete(reasons(comparison.A.Failed), nil)
}

// formatComparison writes a comparison as tables.
func formatComparison(a, b, data string, c destseg.Comparison) string {
	var out strings.Builder
	var missing []string
	s := c.A.Segmentation
	fmt.Fprintf(&out, "%s%s of %s, %d of them defective\n", formatList([][2]string{{"A", a}, {"B", b}}),
		formatCount(s.Pictures, "picture"), printable(data), s.DefectivePictures)
	for _, of := range []struct {
		title string
		list  []destseg.Difference
	}{{title(segmentationMap), c.Segmentation}, {title(destMap), c.DeST}} {
		table := [][]string{{of.title, "A", "B", "B − A", fmt.Sprintf("%g %% interval", 100*c.Confidence), ""}}
		for _, d := range of.list {
			if d.Difference == nil {
				table = append(table, []string{d.Name, "–", "–", "–", "–", "not defined"})
				missing = append(missing, fmt.Sprintf("%s by the %s: not defined: %s", d.Name, of.title, d.Missing))
				continue
			}
			table = append(table, []string{
				d.Name, fmt.Sprintf("%.4f", *d.A), fmt.Sprintf("%.4f", *d.B), signed(*d.Difference),
				interval(d), verdict(d),
			})
		}
		out.WriteString("\n" + formatTable(table))
	}
	out.WriteString("\nmeasured by this protocol\n")
	for _, line := range slices.Concat(c.Protocol, c.A.Protocol, missing) {
		fmt.Fprintf(&out, "  %s\n", printable(line))
	}
	return out.String()
}

// signed writes a difference.
func signed(v float64) string { return strings.Replace(fmt.Sprintf("%+.4f", v), "-", "−", 1) }

func interval(d destseg.Difference) string {
	if d.Low == nil {
		return "–"
	}
	return signed(*d.Low) + " to " + signed(*d.High)
}

// verdict says what the interval of a difference means.
func verdict(d destseg.Difference) string {
	switch {
	case !d.BeyondChance():
		return "not beyond chance"
	case *d.Difference > 0:
		return "B is better"
	}
	return "A is better"
}
