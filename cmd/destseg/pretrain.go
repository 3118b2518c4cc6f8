package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/internal/disk"
	"github.com/destseg/destseg/internal/memory"
	"github.com/destseg/destseg/teacher/pretrain"
)

type pretrainOptions struct {
	resumption
	phases       []pretrain.Phase // nil: as usual for steps
	steps, batch int
	weights      []float64 // of the sets; nil: by their numbers of pictures
	rate, decay  float64
	average      float64
	every        int
	force        bool
	loaders      int
	cache        int64
	seed         uint64
	computing
}

func newPretrain(c *console) *cobra.Command {
	usual := pretrain.Usual(0)
	o := pretrainOptions{
		resumption: resumption{output: "teacher.safetensors"}, steps: 20000, batch: usual.Batch, rate: usual.Rate, decay: usual.WeightDecay,
		average: usual.Average, every: 1000, cache: 4 << 30,
	}
	command := &cobra.Command{
		Use:   "pretrain SET…",
		Short: "Trains a teacher from labelled pictures",
		Long: `pretrain trains a ResNet-18 by classification, for a teacher where none can be
downloaded. Each SET is a folder or a zip file with pictures in train/CLASS/ and
val/CLASS/, or in CLASS/ alone, of which every twentieth is then held back for
validation. The classes of all sets are learned together.

20,000 steps take some hours on two cores. Ctrl-C finishes the step and writes a
checkpoint; the same command continues from there.`,
		Example: `  destseg teacher pretrain objects.zip textures/ --weights 100,28 -o teacher.safetensors
  destseg train parts/good --teacher teacher.safetensors`,
		Args: arguments("SET…"),
		RunE: func(command *cobra.Command, args []string) error {
			if o.phases != nil && command.Flags().Changed("steps") {
				return wrongUsage("--steps and --phases contradict each other; --phases tells the steps of each size")
			}
			outliveReaders()
			return o.run(command.Context(), c, args)
		},
	}
	f := command.Flags()
	f.SortFlags = false
	f.StringVarP(&o.output, "output", "o", o.output, "teacher `FILE` to write")
	countFlag(f, &o.steps, 1, maxPretrainSteps, "steps", "steps of training")
	phasesFlag(f, &o.phases)
	countFlag(f, &o.batch, 1, 4096, "batch", "crops a step")
	weightsFlag(f, &o.weights)
	numberFlag(f, &o.rate, 0, 100, "rate", "highest learning rate")
	numberFlag(f, &o.decay, 0, 1, "weight-decay", "on weights")
	numberFlag(f, &o.average, 0, 0.999999, "average", "decay of the weights' moving average a step, 0 for none")
	seedFlag(f, &o.seed)
	f.StringVar(&o.checkpoint, "checkpoint", "", "`FILE` to continue from and to write on the way\n(default: the output with .checkpoint)")
	countFlag(f, &o.every, 1, maxPretrainSteps, "every", "steps between checkpoints with validation")
	freshFlag(f, &o.fresh)
	f.BoolVar(&o.force, "force", false, "replace the file that is there")
	countFlag(f, &o.loaders, 0, maxWorkers, "loaders", "goroutines that prepare crops, 0 for one a processor")
	bytesFlag(f, &o.cache, "cache", "memory for decoded pictures")
	trainingFlags(f, &o.computing)
	return command
}

const maxPretrainSteps = 1 << 30

func phasesFlag(f *pflag.FlagSet, to *[]pretrain.Phase) {
	parse := func(s string) ([]pretrain.Phase, error) {
		var phases []pretrain.Phase
		for _, part := range strings.Split(s, ",") {
			size, steps, _ := strings.Cut(part, ":")
			p := pretrain.Phase{}
			var err1, err2 error
			p.Size, err1 = strconv.Atoi(size)
			p.Steps, err2 = strconv.Atoi(steps)
			if err1 != nil || err2 != nil || p.Size < sizeStep || p.Size%sizeStep != 0 || p.Steps < 1 || p.Steps > maxPretrainSteps {
				return nil, fmt.Errorf("expected sizes, multiples of %d, and their steps, as in 64:10000,128:5000", sizeStep)
			}
			phases = append(phases, p)
		}
		return phases, nil
	}
	print := func(phases []pretrain.Phase) string {
		var list []string
		for _, p := range phases {
			list = append(list, fmt.Sprintf("%d:%d", p.Size, p.Steps))
		}
		return strings.Join(list, ",")
	}
	f.Var(value[[]pretrain.Phase]{to, "LIST", parse, print}, "phases",
		"sizes of the crops and their steps, as in 64:9000,128:1000, in place\nof --steps, of which half are at 64 pixels, three tenths at 96, the rest at 128")
}

func weightsFlag(f *pflag.FlagSet, to *[]float64) {
	parse := func(s string) ([]float64, error) {
		var weights []float64
		for _, part := range strings.Split(s, ",") {
			w, err := strconv.ParseFloat(part, 64)
			if err != nil || !(w > 0 && w <= 1e6) {
				return nil, errors.New("expected a number above 0 for each set, as in 100,28")
			}
			weights = append(weights, w)
		}
		return weights, nil
	}
	print := func(weights []float64) string {
		return strings.ReplaceAll(strings.Trim(fmt.Sprint(weights), "[]"), " ", ",")
	}
	f.Var(value[[]float64]{to, "LIST", parse, print}, "weights", "shares of the sets in each batch (default: by their numbers of pictures)")
}

// numberFlag defines a flag for a number from least to most.
func numberFlag(f *pflag.FlagSet, to *float64, least, most float64, name, usage string) {
	parse := func(s string) (float64, error) {
		x, err := strconv.ParseFloat(s, 64)
		if err != nil || !(x >= least && x <= most) {
			return 0, fmt.Errorf("expected a number from %v to %v", least, most)
		}
		return x, nil
	}
	print := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	f.Var(value[float64]{to, "X", parse, print}, name, usage)
}

func (o pretrainOptions) recipe() pretrain.Recipe {
	r := pretrain.Usual(o.steps)
	if o.phases != nil {
		r.Phases = o.phases
		r.Warmup = pretrain.Usual(r.Steps()).Warmup
	}
	r.Batch, r.Rate, r.WeightDecay, r.Average, r.Seed = o.batch, o.rate, o.decay, o.average, o.seed
	return r
}

func (o pretrainOptions) run(ctx context.Context, c *console, paths []string) error {
	if o.weights != nil && len(o.weights) != len(paths) {
		return wrongUsage("%d weights for %s", len(o.weights), formatCount(len(paths), "set"))
	}
	if err := o.place(); err != nil {
		return err
	}
	if err := keepInputs([]string{o.checkpoint, o.output}, paths); err != nil {
		return err
	}
	if err := vacate(o.output, o.force); err != nil {
		return err
	}
	e, err := destseg.NewEngine(o.engine)
	if err != nil {
		return err
	}
	sources, err := o.sources(paths)
	if err != nil {
		return err
	}
	defer func() {
		for _, s := range sources {
			s.Close()
		}
	}()
	config := pretrain.Config{
		Engine: e, Options: engine.Options{Precision: o.precision, Threads: o.threads}, Recipe: o.recipe(), Sources: sources,
		Cache: o.cache, Loaders: o.loaders, Checkpoint: o.checkpoint, Fresh: o.fresh, Every: o.every,
	}
	checkpoint, teacher, err := config.FileSizes()
	if err != nil {
		return err
	}
	if err := o.roomFor(checkpoint, 1, teacher, disk.Free); err != nil {
		return err
	}
	result, err := o.learn(ctx, c, config)
	if err != nil {
		return err
	}
	result.Record.Program, result.Record.Created = destseg.Version(), time.Now().UTC().Truncate(time.Second)
	if err := pretrain.Save(o.output, result); err != nil {
		return o.unwritten(err, result.Checkpoint, func(path string) error { return pretrain.Save(path, result) })
	}
	os.Remove(o.checkpoint) // it has served
	fmt.Fprint(c.out, formatList(o.summary(result)))
	return nil
}

func (o pretrainOptions) sources(paths []string) ([]*pretrain.Source, error) {
	var sources []*pretrain.Source
	for i, path := range paths {
		weight := 1.0
		if o.weights != nil {
			weight = o.weights[i]
		}
		s, err := pretrain.OpenSource(path, weight)
		if err != nil {
			for _, s := range sources {
				s.Close()
			}
			return nil, err
		}
		if o.weights == nil {
			count, _ := s.Counts()
			s.Weight = float64(count)
		}
		sources = append(sources, s)
	}
	return sources, nil
}

func (o pretrainOptions) learn(ctx context.Context, c *console, config pretrain.Config) (pretrain.Result, error) {
	for _, s := range config.Sources {
		train, val := s.Counts()
		c.note("%s: %d classes, %s to learn from, %s for validation", s.Path, len(s.Classes), formatCount(train, "picture"), group(int64(val)))
	}
	var m stepMeter
	config.Reading = func(done, total int) {
		if m.meter == nil {
			m.begin(c, "reading: picture", total)
		}
		m.update(done)
	}
	done, reached := 0, ""
	config.Begin = func(p pretrain.Progress) {
		if done = p.Done; p.Done > 0 {
			c.note("continuing from %s after step %d of %d; --fresh would begin anew", o.checkpoint, p.Done, p.Steps)
		}
		m.begin(c, "pretraining", p.Steps)
	}
	config.Validating = func(seen, total int) {
		m.update(done, fmt.Sprintf("validating: picture %s of %s", group(int64(seen)), group(int64(total))))
	}
	config.Progress = func(p pretrain.Progress) {
		done, reached = p.Done, fmt.Sprintf("step %d of %d", p.Done, p.Steps)
		came := fmt.Sprintf("%d pixels, loss %.3f", config.Recipe.Phases[p.Phase].Size, p.Loss)
		m.step(p.Done, p.Remaining, came, p.Speed, "crops", p.Checkpoint)
	}
	config.Validated = func(v pretrain.Validation) {
		for _, a := range accuracies(v) {
			m.note("%s", a)
		}
	}
	result, err := pretrain.Run(ctx, config)
	m.end()
	return result, o.ended(ctx, err, reached)
}

// accuracies tells how many validation pictures of each set were told right.
func accuracies(v pretrain.Validation) []string {
	var list []string
	for _, a := range v.Sources {
		if a.Pictures == 0 {
			continue
		}
		list = append(list, fmt.Sprintf("%s: top-1 %.1f %% of %s at %d pixels (%.1f %% among the classes of all sets)",
			a.Name, 100*a.Top1, formatCount(a.Pictures, "picture"), v.Size, 100*a.Top1OfAll))
	}
	return list
}

func (o pretrainOptions) summary(result pretrain.Result) [][2]string {
	r := result.Record
	elapsed := time.Duration(r.Seconds * float64(time.Second))
	rows := [][2]string{
		{"teacher", o.output + fileSize(o.output)},
		{"computed by", r.Engine + " in " + r.Precision},
		{"time", formatTime(elapsed)},
		{"waiting", fmt.Sprintf("%.1f %% of the time for crops", 100*result.Waited.Seconds()/elapsed.Seconds())},
	}
	rows = append(rows, labelled("accuracy", accuracies(r.Validation))...)
	if peak := memory.Peak(); peak > 0 {
		rows = append(rows, [2]string{"memory", formatBytes(peak) + " at most"})
	}
	return append(rows, [2]string{"next", fmt.Sprintf("destseg train PICTURES --teacher %s", o.output)})
}
