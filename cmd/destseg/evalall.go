package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/dataset"
)

// runAll measures the detectors in a folder on the categories under root and prints
// the table of all.
func (o evalOptions) runAll(ctx context.Context, c *console, folder, root string) error {
	sets, err := dataset.Categories(root, o.layout)
	if err != nil {
		return err
	}
	var t tally
	found, err := detectorsIn(c, &t, folder)
	if err != nil {
		return err
	}
	jobs := assign(c, &t, sets, found, folder)
	open := func(detector string) (*destseg.Detector, error) {
		d, _, err := o.use.open(c, o.computing, detector)
		return d, err
	}
	runs, err := measureAll(ctx, c, open, &t, o.layout, jobs)
	if err != nil {
		return err
	}
	return o.overview.conclude(c, &t, root, sets, runs)
}

// assign brings categories and detectors together, by the name of the category. It
// tallies categories without a detector, and detectors that have a category and a
// seed in common.
func assign(c *console, t *tally, sets []string, found []job, folder string) []job {
	slices.SortStableFunc(found, func(a, b job) int { return cmp.Compare(a.seed, b.seed) })
	var jobs []job
	used := map[string]bool{} // categories
	for _, data := range sets {
		category := categoryName(data)
		used[category] = true
		first := len(jobs)
		for _, j := range found {
			if j.category != category {
				continue
			}
			if last := len(jobs) - 1; last >= first && jobs[last].seed == j.seed {
				t.failed = append(t.failed, fmt.Errorf("%v: %s is left out, since %s has the same category and seed; move one of them away",
					j, printable(j.detector), printable(jobs[last].detector)))
				continue
			}
			j.data = data
			jobs = append(jobs, j)
		}
		if len(jobs) == first {
			t.failed = append(t.failed, fmt.Errorf("%s: no detector of it in %s", printable(category), printable(folder)))
		}
	}
	var idle []string
	for _, j := range found {
		if !used[j.category] {
			idle = append(idle, j.detector)
		}
	}
	if len(idle) > 0 {
		c.note("warning: detectors of categories that are not there: %s", strings.Join(idle, ", "))
	}
	return jobs
}
