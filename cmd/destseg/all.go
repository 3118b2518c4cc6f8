package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/dataset"
)

// needAll refuses flags that mean something only with --all, and others with it.
func needAll(f *pflag.FlagSet, all bool, with, without []string) error {
	wrong, format := with, "--%s goes with --all"
	if all {
		wrong, format = without, "--%s is for one category and does not go with --all"
	}
	for _, name := range wrong {
		if f.Changed(name) {
			return wrongUsage(format, name)
		}
	}
	return nil
}

// A job is a category and a seed, and the file of the detector that belongs to them.
type job struct {
	data     string // folder of the category
	category string
	seed     uint64
	detector string
}

func (j job) String() string { return fmt.Sprintf("%s, seed %d", j.category, j.seed) }

// categoryName returns the name of the category in a folder.
func categoryName(data string) string { return filepath.Base(absolute(data)) }

// A tally gathers what failed while the rest went on.
type tally struct {
	failed []error // in words for the user
}

// add notes that a job failed.
func (t *tally) add(j job, err error) {
	t.failed = append(t.failed, fmt.Errorf("%v: %s", j, explain(err)))
}

// lines lists what failed, for people.
func (t *tally) lines() []string {
	var lines []string
	for _, err := range t.failed {
		lines = append(lines, err.Error())
	}
	return lines
}

// err lists what failed; nil if nothing did.
func (t *tally) err() error {
	if len(t.failed) == 0 {
		return nil
	}
	return fmt.Errorf("not everything could be done:\n%w", errors.Join(t.failed...))
}

// measureAll measures detectors on their categories. The jobs of a category follow
// each other. Those that fail, or that leave pictures out, are tallied.
func measureAll(ctx context.Context, c *console, open func(detector string) (*destseg.Detector, error), t *tally, layout string, jobs []job) ([]measuredRun, error) {
	var runs []measuredRun
	var set *dataset.Set
	for i, j := range jobs {
		if ctx.Err() != nil {
			return nil, errInterrupted
		}
		c.note("measuring %d of %d: %v", i+1, len(jobs), j)
		var err error
		if set == nil || set.Root != j.data {
			set, err = c.openSet(j.data, layout)
		}
		var e destseg.Evaluation
		if err == nil {
			e, err = measure(ctx, c, open, j.detector, set)
		}
		if ctx.Err() != nil {
			return nil, errInterrupted
		}
		if err != nil {
			t.add(j, err)
			continue
		}
		runs = append(runs, measuredRun{j.category, j.detector, j.seed, e})
		for _, f := range e.Failed {
			t.failed = append(t.failed, fmt.Errorf("%v: left out: %s", j, told(errors.New(f.Error))))
		}
	}
	return runs, nil
}

// measure measures one detector.
func measure(ctx context.Context, c *console, open func(string) (*destseg.Detector, error), detector string, set *dataset.Set) (destseg.Evaluation, error) {
	d, err := open(detector)
	if err != nil {
		return destseg.Evaluation{}, err
	}
	defer d.Close()
	return evaluate(ctx, c, d, set, func(destseg.TestedPicture) {})
}

// detectorsIn finds the detectors in a folder by what their records say. Files that
// are none are passed over with a warning; damaged ones are tallied.
func detectorsIn(c *console, t *tally, folder string) (found []job, err error) {
	if info, err := os.Stat(folder); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s: is a file; with --all, name the folder of the detectors", folder)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		if entry.IsDir() || filepath.Ext(path) != detectorEnding {
			continue
		}
		record, err := destseg.ReadRecord(path)
		switch {
		case errors.Is(err, destseg.ErrNotDetector):
			c.note("warning: %s is no detector and left out", path)
		case err != nil:
			t.failed = append(t.failed, errors.New(told(err)))
		default:
			found = append(found, job{category: record.Category, seed: record.Recipe.Seed, detector: path})
		}
	}
	return found, nil
}

// detectorEnding is that of detectors in a folder of them.
const detectorEnding = ".safetensors"

// detectorName is the name of the detector of a category and a seed.
func detectorName(category string, seed uint64) string {
	return fmt.Sprintf("%s-seed%d%s", category, seed, detectorEnding)
}

// conclude prints the table of what was measured, and returns what failed.
func (o overviewOptions) conclude(c *console, t *tally, root string, sets []string, runs []measuredRun) error {
	if len(runs) > 0 {
		r := overview{data: root, runs: runs, expected: len(sets), failed: t.lines()}
		if err := o.write(c.out, r); err != nil {
			return err
		}
	}
	return t.err()
}
