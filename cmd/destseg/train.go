package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/internal/memory"
	"github.com/destseg/destseg/teacher"
	"github.com/destseg/destseg/train"
)

type trainOptions struct {
	output, category string
	steps            steps
	batch            int
	size             size
	teacher          string // "builtin" or a file
	checkpoint       string // empty: beside the output
	every            int
	fresh            bool
	loaders          int
	cache            int64
	synthesis
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
		cache:     2 << 30,
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
them or a data set in the layout of MVTec AD (its train/good is used).

Ctrl-C finishes the step and writes a checkpoint; the same command continues from
there. A second Ctrl-C quits at once, and the last regular checkpoint is what
remains.`,
		Example: `  destseg train parts/good -o parts.safetensors
  destseg train mvtec_ad/bottle -o bottle.safetensors --textures dtd/images --steps 1000+4000`,
		Args: arguments("DATA"),
		RunE: func(command *cobra.Command, args []string) error {
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
	f.StringVarP(&o.output, "output", "o", o.output, "detector `FILE` to write")
	f.StringVar(&o.category, "category", "", "`NAME` of what the pictures show (default: that of the folder)")
	stepsFlag(f, &o.steps)
	countFlag(f, &o.batch, 1, "batch", "pictures a step")
	sizeFlag(f, &o.size)
	f.StringVar(&o.teacher, "teacher", o.teacher, "ResNet-18 to learn from: builtin, or a safetensors or PyTorch `FILE`")
	o.synthesis.flags(f)
	f.StringVar(&o.checkpoint, "checkpoint", "", "`FILE` to continue from and to write on the way\n(default: the output with .checkpoint)")
	countFlag(f, &o.every, 1, "every", "steps between checkpoints")
	f.BoolVar(&o.fresh, "fresh", false, "remove the checkpoint and begin anew")
	countFlag(f, &o.loaders, 0, "loaders", "goroutines that prepare pictures, 0 for one a processor")
	bytesFlag(f, &o.cache, "cache", "memory for decoded pictures")
	computingFlags(f, &o.computing)
	return command
}

// recipe returns what to train, for a category.
func (o trainOptions) recipe(category string) train.Recipe {
	r := train.Published(category)
	r.Width, r.Height, r.Batch = o.size.width, o.size.height, o.batch
	r.StudentSteps, r.SegmentationSteps = o.steps.student, o.steps.segmentation
	r.Seed, r.Rotation, r.MinOpacity = o.seed, o.rotationOf(category), o.minOpacity
	return r
}

// run trains on the good pictures of a data set and writes the detector. It
// returns a summary for the user.
func (o trainOptions) run(ctx context.Context, c *console, data string) (summary [][2]string, err error) {
	set, err := c.openSet(data)
	if err != nil {
		return nil, err
	}
	good, err := goodPictures(set)
	if err != nil {
		return nil, err
	}
	if o.category == "" {
		o.category = set.Category
	}
	if o.output, err = outputFile(o.output); err != nil {
		return nil, err
	}
	if o.checkpoint, err = o.checkpointFile(c); err != nil {
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
	c.note("%s: %s at %s, %v steps of %d on %s", o.category, formatCount(len(good), "good picture"), pixels(o.size), o.steps, o.batch, e.Name())
	const few = 10
	if len(good) < few {
		c.note("warning: so few pictures hardly show how good parts vary; some dozens are usual")
	}
	times := stageTimes{start: time.Now()}
	result, err := o.learn(ctx, c, &times, train.Config{
		Engine: e, Options: engine.Options{Precision: o.precision, Threads: o.threads},
		Recipe: recipe, Teacher: t.Weights, Good: good, Textures: textures,
		Pictures: dataset.NewCache(recipe.Width, recipe.Height, o.cache),
		Loaders:  o.loaders, Checkpoint: o.checkpoint, Every: o.every,
	})
	if err != nil {
		return nil, err
	}

	record := destseg.Record{
		Category:      o.category,
		Preprocessing: destseg.StandardPreprocessing(recipe.Width, recipe.Height),
		Recipe:        recipe,
		Teacher:       destseg.TeacherRecord{Name: t.Name, Digest: t.Digest},
		Textures:      texturesName(o.textures),
		Engine:        e.Name(),
		Seconds:       result.Elapsed.Seconds(),
	}
	if err := o.finish(ctx, c, e, &record, result, good); err != nil {
		return nil, err
	}
	os.Remove(o.checkpoint) // it has served
	return o.summary(record, result, times), nil
}

// checkpointFile returns where the checkpoint goes, and removes the one that is
// there if it is not wanted.
func (o trainOptions) checkpointFile(c *console) (string, error) {
	path := o.checkpoint
	if path == "" {
		path = o.output + ".checkpoint"
	}
	path, err := outputFile(path)
	if err != nil {
		return "", err
	}
	if path == o.output {
		return "", wrongUsage("--checkpoint and --output name the same file, %s", path)
	}
	if o.fresh {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	} else if _, err := os.Stat(path); err == nil {
		c.note("continuing from %s; --fresh would begin anew", path)
	}
	return path, nil
}

// stageTimes measures the stages of a run.
type stageTimes struct{ start, studentDone time.Time }

// learn runs the training and shows how it goes.
func (o trainOptions) learn(ctx context.Context, c *console, times *stageTimes, config train.Config) (train.Result, error) {
	var m *meter
	stage := 0
	warned := false
	config.Progress = func(p train.Progress) {
		if p.Stage != stage {
			if m != nil {
				m.close()
			}
			stage = p.Stage
			m = c.meter([...]string{"student", "segmentation"}[stage-1], p.Steps)
		}
		loss := p.Cosine
		if stage == 1 {
			times.studentDone = time.Now()
		} else {
			loss = p.Focal + p.L1
		}
		details := []string{fmt.Sprintf("loss %.4f", loss)}
		if p.Speed > 0 {
			details = append(details, fmt.Sprintf("%.3g pictures/s", p.Speed), formatTime(p.Remaining)+" left")
		}
		m.update(p.Step, details...)
		if p.Checkpoint != nil && !warned {
			m.note("warning: no checkpoint written, the training goes on: %s", explain(p.Checkpoint))
		}
		warned = p.Checkpoint != nil
	}
	result, err := train.Run(ctx, config)
	if m != nil {
		m.close()
	}
	if errors.Is(err, train.ErrInterrupted) && errors.Is(err, context.Cause(ctx)) { // else the checkpoint failed
		return result, o.interrupted()
	}
	return result, err
}

// interrupted is the error of a run that the user ended and whose checkpoint is
// there.
func (o trainOptions) interrupted() error {
	return fmt.Errorf("%w; the same command continues from %s", errInterrupted, o.checkpoint)
}

// finish sets the threshold and writes the detector.
func (o trainOptions) finish(ctx context.Context, c *console, e engine.Engine, record *destseg.Record, result train.Result, good []string) error {
	var err error
	if record.Pictures, err = destseg.DigestPictures(good); err != nil {
		return err
	}
	d, err := destseg.New(*record, result.Weights,
		destseg.WithEngine(e), destseg.WithPrecision(o.precision), destseg.WithThreads(o.threads))
	if err != nil {
		return err
	}
	defer d.Close()
	record.Precision = d.Precision().String()
	m := c.meter("threshold: picture", len(good))
	defer m.close()
	threshold, err := destseg.ProvisionalThreshold(ctx, d, good, func(done, _ int) { m.update(done) })
	if ctx.Err() != nil {
		return o.interrupted()
	}
	if err != nil {
		return err
	}
	record.Threshold = &threshold
	return destseg.Save(o.output, *record, result.Weights)
}

// summary tells what a training came to.
func (o trainOptions) summary(r destseg.Record, result train.Result, times stageTimes) [][2]string {
	elapsed := formatTime(result.Elapsed)
	if !times.studentDone.IsZero() { // else a checkpoint brought that stage
		student := times.studentDone.Sub(times.start)
		elapsed += fmt.Sprintf(": student %s, segmentation %s", formatTime(student), formatTime(result.Elapsed-student))
	}
	rows := [][2]string{
		{"detector", o.output + fileSize(o.output)},
		{"trained on", fmt.Sprintf("%s of %s, %s, %v steps of %d", formatCount(r.Pictures.Count, "good picture"), r.Category, pixels(o.size), o.steps, o.batch)},
		{"computed by", r.Engine + " in " + r.Precision},
		{"time", elapsed},
		{"waiting", fmt.Sprintf("%.1f %% of the time for pictures", 100*result.Waited.Seconds()/result.Elapsed.Seconds())},
	}
	if peak := memory.Peak(); peak > 0 {
		rows = append(rows, [2]string{"memory", formatBytes(peak) + " at most"})
	}
	return append(rows, thresholdRows(r.Threshold)...)
}

// texturesName names what is blended in, for the record.
func texturesName(folder string) string {
	if folder == "" {
		return "procedural"
	}
	return filepath.Base(filepath.Clean(folder))
}
