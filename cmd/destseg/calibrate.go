package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/synth"
)

// A goal is what good pictures alone set a threshold for.
type goal struct {
	falseAlarms float64 // share of good pictures that may be rejected
	synthetic   int     // synthetic anomalies to estimate with what is caught
}

func usualGoal() goal { return goal{falseAlarms: 0.01, synthetic: 100} }

func (g *goal) flags(f *pflag.FlagSet) {
	shareFlag(f, &g.falseAlarms, "target-fpr", "share of good pictures that may be rejected, as in 0.01 or 1%", false)
	countFlag(f, &g.synthetic, 0, 100_000, "synthetic", "synthetic anomalies to estimate with what is caught")
}

type calibrateOptions struct {
	output    string // empty: the detector itself
	objective destseg.Objective
	recall    float64
	textures  string
	layout    string
	goal
	regionSettings
	tiling
	computing
}

func newCalibrate(c *console) *cobra.Command {
	o := calibrateOptions{recall: 0.95, goal: usualGoal()}
	command := &cobra.Command{
		Use:   "calibrate DETECTOR DATA",
		Short: "Chooses a detector's thresholds by new pictures",
		Long: `calibrate inspects pictures that DETECTOR was not trained on, chooses its
thresholds by them, and writes both into its record, with what they promise. The
weights stay as they are.

DATA is a folder of good pictures, or a data set with test pictures, of which these
are taken. With good pictures alone the thresholds are those at which a share of
them would be rejected (--target-fpr). If DATA is the folder that the detector was
trained on, the pictures that training held back are taken.

With labelled defects there is a choice: --objective f1 tells these pictures best,
--objective recall catches a share of these defects (--target-recall). What a test
set chose a threshold by should not be measured on that same set.

The ROI, the other settings for regions and the tiles are written into the record as
well.`,
		Example: `  destseg calibrate parts.safetensors parts/good-of-may --target-fpr 0.5%
  destseg calibrate bottle.safetensors mvtec_ad/bottle --objective recall --target-recall 98% -o strict.safetensors`,
		Args: arguments("DETECTOR", "DATA"),
		RunE: func(command *cobra.Command, args []string) error {
			if err := needObjective(command.Flags(), o.objective); err != nil {
				return err
			}
			return o.run(command.Context(), c, args[0], args[1])
		},
	}
	f := command.Flags()
	f.SortFlags = false
	f.StringVarP(&o.output, "output", "o", "", "detector `FILE` to write (default: DETECTOR itself)")
	objectiveFlag(f, &o.objective)
	o.goal.flags(f)
	shareFlag(f, &o.recall, "target-recall", "share of the labelled defects to catch, for --objective recall", true)
	f.StringVar(&o.textures, "textures", "", "`DIR` of pictures for the synthetic anomalies\n(default: textures that the program draws)")
	o.regionSettings.flags(f)
	layoutFlag(f, &o.layout)
	o.tiling.flags(f, "pixels across of the tiles in which pictures are seen from now on,\n0 for whole ones (default: as the detector has it)")
	inspectingFlags(f, &o.computing)
	return command
}

func objectiveFlag(f *pflag.FlagSet, to *destseg.Objective) {
	parse := func(s string) (destseg.Objective, error) {
		var o destseg.Objective
		if o.UnmarshalText([]byte(s)) != nil {
			return o, errors.New("expected fpr, f1 or recall")
		}
		return o, nil
	}
	f.Var(value[destseg.Objective]{to, "KIND", parse, destseg.Objective.String}, "objective",
		"fpr: few false alarms; f1: the best F1; recall: defects caught")
}

// needObjective refuses the target of another objective.
func needObjective(f *pflag.FlagSet, o destseg.Objective) error {
	for _, of := range []destseg.Objective{destseg.MaxFalseAlarms, destseg.MinRecall} {
		name := fmt.Sprintf("target-%v", of)
		if o != of && f.Changed(name) {
			return wrongUsage("--%s goes with --objective %v, not %v", name, of, o)
		}
	}
	return nil
}

func (o calibrateOptions) run(ctx context.Context, c *console, detector, data string) error {
	set, err := c.openSet(data, o.layout)
	if err != nil {
		return err
	}
	settings, err := o.regionSettings.change()
	if err != nil {
		return err
	}
	change := func(r *destseg.Record) {
		settings(r)
		o.tiling.change(r)
	}
	if o.output == "" {
		o.output = detector
	}
	if o.output, err = outputFile(o.output); err != nil {
		return err
	}
	var inputs []string
	for _, s := range append(set.Train, set.Test...) {
		inputs = append(inputs, s.Path)
	}
	if err := keepInputs([]string{o.output}, inputs); err != nil {
		return err
	}
	textures, err := synthesis{textures: o.textures}.openTextures(textureMemory)
	if err != nil {
		return err
	}
	d, _, err := o.tiling.open(o.computing, detector, settings)
	if err != nil {
		return err
	}
	defer d.Close()
	pictures, err := o.pictures(ctx, c, detector, set, d.Record())
	if err != nil {
		return err
	}
	pictures.Synthetic, pictures.Synthesis = o.synthetic, synthesisOf(d.Record(), textures)
	target := o.falseAlarms
	if o.objective == destseg.MinRecall {
		target = o.recall
	}
	threshold, failed, err := calibrated(ctx, c, d, pictures, o.objective, target)
	if err != nil {
		return err
	}
	if err := rewrite(detector, o.output, func(r *destseg.Record) {
		change(r)
		r.Threshold = &threshold
	}); err != nil {
		return err
	}
	rows := append([][2]string{{"detector", o.output}}, thresholdRows(&threshold)...)
	fmt.Fprint(c.out, formatList(append(rows, settingsRows(d.Record().Regions)...)))
	return incomplete(failed, nil)
}

// rewrite writes a detector with another record, to its own file or another one.
func rewrite(detector, output string, change func(*destseg.Record)) error {
	if sameFile(output, detector) {
		return destseg.Update(output, func(r *destseg.Record) error {
			change(r)
			return nil
		})
	}
	record, values, err := destseg.Read(detector)
	if err != nil {
		return err
	}
	change(&record)
	return destseg.Save(output, record, values)
}

// pictures chooses what to calibrate by: the test pictures if the set has any, else the
// good ones, of which the detector may know some.
func (o calibrateOptions) pictures(ctx context.Context, c *console, detector string, set *dataset.Set, r destseg.Record) (destseg.CalibrationPictures, error) {
	var p destseg.CalibrationPictures
	for _, s := range set.Test {
		if s.Anomalous {
			p.Defective = append(p.Defective, s.Path)
		} else {
			p.Good = append(p.Good, s.Path)
		}
	}
	if len(p.Defective) == 0 && o.objective != destseg.MaxFalseAlarms {
		return p, fmt.Errorf("%s: no labelled defects, which --objective %v needs; put them into test/KIND, beside test/good", set.Root, o.objective)
	}
	if len(p.Good) > 0 {
		return p, nil
	}
	good, err := goodPictures(set)
	if err != nil {
		return p, err
	}
	p.Good = good
	train, held, err := []string(nil), []string(nil), error(nil)
	if count := len(good) - r.Pictures.Count; count >= 0 && r.Pictures.Count > 0 {
		if train, held, err = destseg.Holdout(ctx, good, count, r.Recipe.Seed); err != nil {
			return p, interrupted(ctx, err)
		}
		known, err := destseg.DigestPictures(train)
		if err != nil {
			return p, err
		}
		p.Trained = known == r.Pictures
	}
	switch {
	case p.Trained && len(held) > 0:
		c.note("%s is what %s was trained on; the %s that training held back are taken", set.Root, detector, formatCount(len(held), "picture"))
		p.Good, p.Trained = held, false
	case p.Trained:
		c.note("warning: %s was trained on these very pictures, so that the thresholds promise nothing about others", detector)
	}
	return p, nil
}

// interrupted is the error of work that its context may have ended.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

// synthesisOf returns the settings for synthetic anomalies of the kind that a detector
// was trained with, but none of those.
func synthesisOf(r destseg.Record, textures synth.Textures) synth.Settings {
	s := synth.Settings{Seed: r.Recipe.Seed + 1, Rotation: r.Recipe.Rotation, MinOpacity: r.Recipe.MinOpacity}
	if textures != nil {
		s.Textures = textures
	}
	return s
}

// calibrated chooses thresholds and shows how it goes.
func calibrated(ctx context.Context, c *console, d *destseg.Detector, p destseg.CalibrationPictures, o destseg.Objective, target float64) (destseg.Threshold, []error, error) {
	m := c.meter("threshold: picture", len(p.Good)+len(p.Defective)+p.Synthetic)
	defer m.close()
	threshold, failed, err := destseg.Calibrate(ctx, d, p, o, target, func(done, _ int) { m.update(done) })
	return threshold, reasons(failed), interrupted(ctx, err)
}
