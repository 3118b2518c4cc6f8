package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/internal/disk"
	"github.com/destseg/destseg/internal/memory"
	"github.com/destseg/destseg/internal/wholefile"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/teacher"
	"github.com/destseg/destseg/train"
)

type trainOptions struct {
	category, layout string
	steps            steps
	batch            int
	size             size
	fit              picture.Fit
	tiling
	teacher string // a name, or a file
	resumption
	every, kept int    // steps between checkpoints; earlier ones to keep
	schedule    string // of the rates
	warmup      int
	average     float64
	log         string            // folder, empty for none
	flags       map[string]string // all of them, for the log
	force       bool
	all         bool
	seeds       []uint64 // with all; nil: seed alone
	overview    overviewOptions
	loaders     int
	cache       int64
	holdout     holdout
	synthesis
	goal
	regionSettings
	computing
}

func usualTraining() trainOptions {
	r := train.Published("")
	return trainOptions{
		steps:     steps{r.StudentSteps, r.SegmentationSteps},
		batch:     r.Batch,
		size:      size{r.Width, r.Height},
		teacher:   teacher.Builtin,
		every:     100,
		schedule:  r.Schedule.String(),
		cache:     2 << 30,
		holdout:   holdout{auto: true},
		goal:      usualGoal(),
		synthesis: usualSynthesis(),
	}
}

func newTrain(c *console) *cobra.Command {
	o := usualTraining()
	o.output = "detector.safetensors"
	command := &cobra.Command{
		Use:   "train DATA",
		Short: "Learns from good pictures and writes a detector",
		Long: `train makes a detector from the good pictures of DATA, which is a plain folder of
them or a data set, of which the good pictures for training are used.

The usual settings are those of the paper and take 6 to 7 hours on two cores;
--steps 200+400 takes about 40 minutes. The progress tells the time left.

Some of the pictures are held back from training: their scores set the thresholds,
for as many false alarms as --target-fpr allows, and tell what that promises.
Results that papers report are trained on all pictures: --holdout 0.

Ctrl-C finishes the step and writes a checkpoint; the same command continues from
there. A second Ctrl-C quits at once, and the last regular checkpoint is what
remains.

With --all, DATA holds several categories. A detector is trained for each, into a
folder (--output), and all are measured on their test pictures, which gives the
table that papers print. What fails is listed at the end and does not keep the
others from being trained. The same command goes on with what is missing: a
detector of the same recipe and seed, of the same pictures, textures and teacher,
is not trained again.`,
		Example: `  destseg train parts/good -o parts.safetensors --steps 200+400
  destseg train mvtec_ad/bottle -o bottle.safetensors --textures dtd/images --steps 1000+4000
  destseg train --all mvtec_ad -o detectors --textures dtd/images --seeds 0,1,2 --format latex`,
		Args: arguments("DATA"),
		RunE: func(command *cobra.Command, args []string) error {
			err := needAll(command.Flags(), o.all, []string{"seeds", "format", "map"}, []string{"category", "checkpoint"})
			if err != nil {
				return err
			}
			outliveReaders()
			o.flags = flagValues(command.Flags())
			if o.all {
				if o.seeds != nil && command.Flags().Changed("seed") {
					return wrongUsage("--seed and --seeds contradict each other")
				}
				if !command.Flags().Changed("output") {
					o.output = "detectors"
				}
				return o.runAll(command.Context(), c, args[0])
			}
			summary, err := o.run(command.Context(), c, args[0])
			if err != nil {
				return err
			}
			fmt.Fprint(c.out, formatList(append(summary,
				[2]string{"next", fmt.Sprintf("destseg predict %s PICTURES --overlays marked", o.output)})))
			return nil
		},
	}
	f := command.Flags()
	f.SortFlags = false
	f.StringVarP(&o.output, "output", "o", o.output, "detector `FILE` to write; with --all the folder of the detectors,\n\"detectors\" if it is left out")
	f.BoolVar(&o.all, "all", false, "train a detector for every category under DATA")
	seedsFlag(f, &o.seeds)
	overviewFlags(f, &o.overview)
	f.StringVar(&o.category, "category", "", "`NAME` of what the pictures show (default: that of the folder)")
	layoutFlag(f, &o.layout)
	stepsFlag(f, &o.steps)
	countFlag(f, &o.batch, 1, train.MaxBatch, "batch", "pictures a step")
	sizeFlag(f, &o.size)
	fitFlag(f, &o.fit)
	o.tiling.flags(f, "pixels across of the tiles in which large pictures are learned and seen,\n0 for whole pictures (default 0)")
	f.StringVar(&o.teacher, "teacher", o.teacher, "ResNet-18 to learn from: builtin, imagenet (see destseg teacher fetch),\nor a safetensors or PyTorch `FILE`")
	o.synthesis.flags(f)
	holdoutFlag(f, &o.holdout)
	o.goal.flags(f)
	o.regionSettings.flags(f)
	f.StringVar(&o.checkpoint, "checkpoint", "", "`FILE` to continue from and to write on the way\n(default: the output with .checkpoint)")
	countFlag(f, &o.every, 1, train.MaxSteps, "every", "steps between checkpoints")
	countFlag(f, &o.kept, 0, 1000, "keep", "earlier checkpoints to keep, as FILE.1, FILE.2, …, until the\ntraining is done")
	choiceFlag(f, &o.schedule, "schedule", "KIND", "of the learning rates: constant, as published, or cosine, to 0\nat the end of each stage", train.Constant.String(), train.Cosine.String())
	countFlag(f, &o.warmup, 0, train.MaxSteps, "warmup", "steps of each stage in which the rates grow")
	numberFlag(f, &o.average, 0, 0.999999, "average", "decay a step of a moving average of the weights, which then\nmakes the detector; 0 for none")
	f.StringVar(&o.log, "log", "", "`DIR` for curves and maps, which TensorBoard shows, and run.json,\nby which the training can be repeated")
	freshFlag(f, &o.fresh)
	f.BoolVar(&o.force, "force", false, "replace the detector that is there")
	countFlag(f, &o.loaders, 0, maxWorkers, "loaders", "goroutines that prepare pictures, 0 for one a processor")
	bytesFlag(f, &o.cache, "cache", "memory for decoded pictures")
	trainingFlags(f, &o.computing)
	return command
}

func freshFlag(f *pflag.FlagSet, to *bool) {
	f.BoolVar(to, "fresh", false, "begin anew in place of the checkpoint that is there")
}

// recipe returns what to train, for a category.
func (o trainOptions) recipe(category string) train.Recipe {
	r := train.Published(category)
	r.Width, r.Height, r.Batch = o.size.width, o.size.height, o.batch
	r.StudentSteps, r.SegmentationSteps = o.steps.student, o.steps.segmentation
	r.Seed, r.Rotation, r.MinOpacity = o.seed, o.rotationOf(category), o.minOpacity
	r.Warmup, r.Average = o.warmup, o.average
	if o.schedule == train.Cosine.String() {
		r.Schedule = train.Cosine
	}
	r.Fit = o.fit
	if o.tile != nil && *o.tile > 0 {
		r.Fit, r.Tile = picture.Tiles, *o.tile
	}
	return r
}

// run trains on the good pictures of a data set and writes the detector. It
// returns a summary for the user.
func (o trainOptions) run(ctx context.Context, c *console, data string) (summary [][2]string, err error) {
	set, err := c.openSet(data, o.layout)
	if err != nil {
		return nil, err
	}
	if err := o.tiling.check(o.fit); err != nil {
		return nil, err
	}
	settings, err := o.regionSettings.change()
	if err != nil {
		return nil, err
	}
	good, held, err := o.divide(ctx, set)
	if err != nil {
		return nil, interrupted(ctx, err)
	}
	if err := readable(ctx, held); err != nil {
		return nil, err
	}
	if o.category == "" {
		o.category = set.Category
	}
	if err := o.place(); err != nil {
		return nil, err
	}
	if err := o.mayReplace(); err != nil {
		return nil, err
	}
	for _, path := range []string{o.output, o.checkpoint} { // they take up room
		if err := wholefile.RemoveLeftovers(path); err != nil {
			return nil, err
		}
	}
	if err := o.checkRoom(disk.Free); err != nil {
		return nil, err
	}
	t, err := teacher.Load(o.teacher)
	if err != nil {
		return nil, err
	}
	textures, err := o.openTextures(textureMemory)
	if err != nil {
		return nil, err
	}
	e, err := destseg.NewEngine(o.engine)
	if err != nil {
		return nil, err
	}

	recipe := o.recipe(o.category)
	o.expect(c, len(good), len(held))
	log, err := newRunLog(o.log, good, runDocument{
		Note: formatNote, Program: destseg.Version(), Flags: o.flags, Data: data, Category: o.category,
		HeldBack: len(held), Textures: texturesName(o.textures),
		Teacher: destseg.TeacherRecord{Name: t.Name, Digest: t.Digest}, Recipe: recipe,
		Engine: e.Name(), Precision: o.precision.String(), Threads: o.threads, Machine: thisMachine(),
		Started: time.Now().UTC(), Detector: o.output,
	})
	if err != nil {
		return nil, err
	}
	defer log.close()
	c.note("reading %s", formatCount(len(good), "picture"))
	result, course, err := o.learn(ctx, c, log, train.Config{
		Engine: e, Options: engine.Options{Precision: o.precision, Threads: o.threads},
		Recipe: recipe, Teacher: t.Weights, Good: good, Textures: textures,
		Pictures: dataset.NewCache(recipe.Prepare, o.cache),
		Loaders:  o.loaders, Checkpoint: o.checkpoint, Fresh: o.fresh, Every: o.every, Keep: o.kept,
	})
	if err != nil {
		return nil, err
	}
	log.finish(result.Elapsed.Seconds(), course.loss())
	if log.failed != nil {
		c.note("warning: the log in %s is not complete: %s", o.log, explain(log.failed))
	}

	record := destseg.Record{
		Category:      o.category,
		Preprocessing: destseg.StandardPreprocessing(recipe.Width, recipe.Height),
		Recipe:        recipe,
		Teacher:       destseg.TeacherRecord{Name: t.Name, Digest: t.Digest},
		Pictures:      destseg.PicturesRecord{Count: len(good), Digest: result.Pictures},
		Textures:      texturesName(o.textures),
		Engine:        e.Name(),
		Seconds:       result.Elapsed.Seconds(),
	}
	record.Preprocessing.Fit = recipe.Fit
	o.tiling.change(&record)
	settings(&record)
	pictures := destseg.CalibrationPictures{Good: held, Synthetic: o.synthetic, Synthesis: synthesisOf(record, textures)}
	if len(held) == 0 {
		pictures.Good, pictures.Trained = good, true
	}
	if err := o.finish(ctx, c, e, &record, result, pictures); err != nil {
		return nil, o.unwritten(err, result.Checkpoint, func(path string) error { return destseg.Save(path, record, result.Weights) })
	}
	os.Remove(o.checkpoint) // it has served
	for n := 1; n <= o.kept; n++ {
		os.Remove(train.EarlierCheckpoint(o.checkpoint, n))
	}
	return o.summary(record, result, course), nil
}

// divide returns the good pictures to learn from, and those that are held back.
func (o trainOptions) divide(ctx context.Context, set *dataset.Set) (good, held []string, err error) {
	good, err = goodPictures(set)
	if err != nil {
		return nil, nil, err
	}
	all := len(good)
	if n := o.holdout.of(all); n >= all {
		return nil, nil, wrongUsage("--holdout %v leaves none of %s to train on", o.holdout, formatCount(all, "picture"))
	}
	return destseg.Holdout(ctx, good, o.holdout.of(all), o.seed)
}

// mayReplace refuses to write the detector in place of a file that the user would
// miss.
func (o trainOptions) mayReplace() error {
	_, _, err := destseg.Read(o.output)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil && !errors.Is(err, destseg.ErrRecord) && !errors.Is(err, destseg.ErrNewer) && !errors.Is(err, destseg.ErrTensors):
		return fmt.Errorf("%s: there is a file that is no detector; name another one with --output", o.output)
	case o.force:
		return nil
	}
	if _, err := os.Stat(o.checkpoint); err == nil && !o.fresh {
		return nil // what is continued was allowed before
	}
	return fmt.Errorf("%s: there is a detector already; --force replaces it, --output names another file", o.output)
}

// readable reads pictures that are needed when training is over, as training does with
// its own before it begins.
func readable(ctx context.Context, paths []string) error {
	var bad []error
	for _, path := range paths {
		if ctx.Err() != nil {
			return errInterrupted
		}
		if _, err := picture.Open(path); err != nil {
			bad = append(bad, err)
		}
	}
	return incomplete(bad, nil)
}

// expect tells what so few pictures can come to.
func (o trainOptions) expect(c *console, trained, held int) {
	const least, few = 5, 20
	switch {
	case trained < least:
		c.note("warning: %s to learn from; good parts that differ from it in anything will be taken for defective. Give %d at least, some dozens are usual",
			formatCount(trained, "good picture"), least)
	case trained < few:
		c.note("%s to learn from: expect defects that stand out to be found, and false alarms at whatever varies among good parts "+
			"and these do not show (light, position, grain). Some dozens are usual", formatCount(trained, "good picture"))
	}
	switch {
	case held == 0:
		c.note("no pictures are held back, so that the thresholds will come from pictures which the detector knows, and promise nothing; " +
			"destseg calibrate chooses them by new ones later, --holdout holds some back now")
	default:
		c.note("%s held back for the thresholds", formatCount(held, "picture"))
	}
}

// A course tells what a training went through.
type course struct {
	reached string    // the last step
	losses  [2]string // last ones of the stages; empty for one that a checkpoint brought
}

// loss tells the last ones.
func (c course) loss() string {
	var list []string
	for i, loss := range c.losses {
		if loss != "" {
			list = append(list, fmt.Sprintf("%s of the %s", loss, networkOf(i+1)))
		}
	}
	return strings.Join(list, ", ")
}

// networkOf names the network that a stage trains.
func networkOf(stage int) string { return [...]string{"student", "segmentation network"}[stage-1] }

// learn runs the training and shows how it goes.
func (o trainOptions) learn(ctx context.Context, c *console, log *runLog, config train.Config) (train.Result, course, error) {
	config.Begin = func(p train.Progress) {
		rotation := config.Recipe.Rotation.String()
		if o.rotation == nil {
			rotation += " (auto)"
		}
		c.note("%s: %s at %s, rotation %s, %v steps of %d on %s", o.category, formatCount(len(config.Good), "good picture"),
			pixels(o.size), rotation, o.steps, o.batch, config.Engine.Name())
		if p.Stage > 1 || p.Step > 0 {
			c.note("continuing from %s after step %d of %d of the %s; --fresh would begin anew", o.checkpoint, p.Step, p.Steps, networkOf(p.Stage))
		}
	}
	var m stepMeter
	var course course
	stage := 0
	if log.events != nil {
		config.Look = log.look
	}
	config.Progress = func(p train.Progress) {
		log.progress(p)
		if p.Stage != stage {
			stage = p.Stage
			m.begin(c, [...]string{"student", "segmentation"}[stage-1], p.Steps)
		}
		loss := p.Cosine
		if stage == 2 {
			loss = p.Focal + p.L1
		}
		course.losses[stage-1] = fmt.Sprintf("%.4f", loss)
		course.reached = fmt.Sprintf("step %d of %d of the %s, loss %.4f", p.Step, p.Steps, networkOf(stage), loss)
		m.step(p.Step, p.Remaining, fmt.Sprintf("loss %.4f", loss), p.Speed, "pictures", p.Checkpoint)
	}
	result, err := train.Run(ctx, config)
	m.end()
	return result, course, o.ended(ctx, err, course.reached)
}

// finish chooses the thresholds and writes the detector.
func (o trainOptions) finish(ctx context.Context, c *console, e engine.Engine, record *destseg.Record, result train.Result, pictures destseg.CalibrationPictures) error {
	d, err := destseg.New(*record, result.Weights,
		destseg.WithEngine(e), destseg.WithPrecision(o.precision), destseg.WithThreads(o.threads))
	if err != nil {
		return err
	}
	defer d.Close()
	record.Precision = d.Precision().String()
	threshold, failed, err := calibrated(ctx, c, d, pictures, destseg.MaxFalseAlarms, o.falseAlarms)
	if err != nil {
		return err
	}
	for _, err := range failed { // in the meantime: all could be read when training began
		c.note("warning: %s", told(err))
	}
	record.Threshold = &threshold
	return destseg.Save(o.output, *record, result.Weights)
}

// summary tells what a training came to.
func (o trainOptions) summary(r destseg.Record, result train.Result, course course) [][2]string {
	elapsed := fmt.Sprintf("%s: student %s, segmentation %s",
		formatTime(result.Elapsed), formatTime(result.Student), formatTime(result.Elapsed-result.Student))
	rows := [][2]string{
		{"detector", o.output + fileSize(o.output)},
		{"trained on", fmt.Sprintf("%s of %s, %s, %v steps of %d", formatCount(r.Pictures.Count, "good picture"), r.Category, pixels(o.size), o.steps, o.batch)},
		{"computed by", r.Engine + " in " + r.Precision},
		{"time", elapsed},
		{"waiting", fmt.Sprintf("%.1f %% of the time for pictures", 100*result.Waited.Seconds()/result.Elapsed.Seconds())},
	}
	if loss := course.loss(); loss != "" { // else the checkpoint brought all steps
		rows = append(rows, [2]string{"last loss", loss})
	}
	if peak := memory.Peak(); peak > 0 {
		rows = append(rows, [2]string{"memory", formatBytes(peak) + " at most"})
	}
	return append(append(rows, thresholdRows(r.Threshold)...), settingsRows(r.Regions)...)
}

// texturesName names what is blended in, for the record: the folder with the one
// above it, since many are called images.
func texturesName(folder string) string {
	if folder == "" {
		return "procedural"
	}
	if absolute, err := filepath.Abs(folder); err == nil {
		folder = absolute
	}
	return filepath.ToSlash(filepath.Join(filepath.Base(filepath.Dir(folder)), filepath.Base(folder)))
}
