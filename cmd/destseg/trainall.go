package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/teacher"
)

// seedsFlag defines a flag for several seeds; *to stays nil where it is left out.
func seedsFlag(f *pflag.FlagSet, to *[]uint64) {
	parse := func(s string) ([]uint64, error) {
		var seeds []uint64
		for part := range strings.SplitSeq(s, ",") {
			n, err := strconv.ParseUint(part, 10, 64)
			if err != nil || slices.Contains(seeds, n) {
				return nil, errors.New("expected different whole numbers with commas between, as in 0,1,2")
			}
			seeds = append(seeds, n)
		}
		return seeds, nil
	}
	print := func(seeds []uint64) string {
		return strings.Trim(strings.ReplaceAll(fmt.Sprint(seeds), " ", ","), "[]")
	}
	f.Var(value[[]uint64]{to, "LIST", parse, print}, "seeds", "with --all: a detector for each of these seeds, as in 0,1,2,\nand mean ± deviation in the table")
}

// runAll trains a detector for each category under root and each seed, measures all
// of them and prints the table. Detectors that are done are not trained again, so
// that the same command goes on where it was interrupted.
func (o trainOptions) runAll(ctx context.Context, c *console, root string) error {
	sets, err := dataset.Categories(root, o.layout)
	if err != nil {
		return err
	}
	folder := o.output
	if err := outputFolder(folder); err != nil {
		return err
	}
	learned, err := teacher.Load(o.teacher)
	if err != nil {
		return err
	}
	seeds := o.seeds
	if seeds == nil {
		seeds = []uint64{o.seed}
	}
	var t tally
	var jobs []job // trained, with something to measure
	for i, data := range sets {
		for _, seed := range seeds {
			j := job{data: data, category: categoryName(data), seed: seed}
			j.detector = filepath.Join(folder, detectorName(j.category, seed))
			one := o
			one.output, one.seed = j.detector, seed
			if o.log != "" {
				one.log = filepath.Join(o.log, fmt.Sprintf("%s-seed%d", j.category, seed))
			}
			c.note("training %d of %d: %v", i*len(seeds)+slices.Index(seeds, seed)+1, len(sets)*len(seeds), j)
			tested, err := one.trainJob(ctx, c, j, learned.Digest)
			if err != nil && ctx.Err() != nil {
				return err // which tells how to go on
			}
			if err != nil {
				t.add(j, err)
				continue
			}
			if tested {
				jobs = append(jobs, j)
			}
		}
	}
	open := func(detector string) (*destseg.Detector, error) { return o.computing.open(detector) }
	runs, err := measureAll(ctx, c, open, &t, o.layout, jobs)
	if err != nil {
		return err
	}
	return o.overview.conclude(c, &t, root, sets, runs)
}

// trainJob trains a detector unless it is done, and reports whether its category has
// test pictures.
func (o trainOptions) trainJob(ctx context.Context, c *console, j job, teacherDigest string) (tested bool, err error) {
	set, err := dataset.OpenAs(j.data, o.layout)
	if err != nil {
		return false, err
	}
	done, err := o.done(ctx, set, teacherDigest)
	if err != nil {
		return false, interrupted(ctx, err)
	}
	if done {
		c.note("%s is done", j.detector)
	} else if _, err := o.run(ctx, c, j.data); err != nil {
		return false, err
	}
	if len(set.Test) == 0 {
		c.note("%s has no test pictures to measure with", j.data)
	}
	return len(set.Test) > 0, nil
}

// done reports whether the detector to train is there: one of the same recipe, seed
// included, trained on the same pictures and textures with the same teacher. Another
// detector in its place is an error, unless it may be replaced.
func (o trainOptions) done(ctx context.Context, set *dataset.Set, teacherDigest string) (bool, error) {
	record, err := destseg.ReadRecord(o.output)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	good, _, badSet := o.divide(ctx, set)
	if err != nil || badSet != nil {
		return false, nil // training tells what is wrong
	}
	pictures, err := destseg.DigestPictures(good)
	if err != nil {
		return false, err
	}
	var others []string
	for _, part := range []struct {
		same bool
		what string
	}{
		{record.Recipe == o.recipe(set.Category), "another recipe"},
		{record.Pictures == pictures, "other pictures"},
		{record.Textures == texturesName(o.textures), "other textures"},
		{record.Teacher.Digest == teacherDigest, "another teacher"},
	} {
		if !part.same {
			others = append(others, part.what)
		}
	}
	if len(others) == 0 {
		return true, nil
	}
	if _, err := os.Stat(o.output + checkpointEnding); o.force || err == nil && !o.fresh {
		return false, nil
	}
	return false, fmt.Errorf("%s: there is a detector with %s; --force replaces it, --output names another folder", o.output, strings.Join(others, ", "))
}
