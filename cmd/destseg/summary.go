package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/destseg/destseg"
)

// A measuredRun is the evaluation of one detector of several.
type measuredRun struct {
	category, detector string
	seed               uint64
	evaluation         destseg.Evaluation
}

// A summary is what papers print of a data set with several categories: a row for
// each of them and one for their mean.
type summary struct {
	Map     string        `json:"map"`
	Figures []figureName  `json:"figures"` // the columns
	Rows    []summaryRow  `json:"categories"`
	Mean    []summaryCell `json:"mean"`
}

// A figureName heads a column.
type figureName struct {
	Key  string `json:"key"`
	Name string `json:"name"`
}

// A summaryRow holds the figures of a category, in the order of the columns.
type summaryRow struct {
	Category string        `json:"category"`
	Seeds    []uint64      `json:"seeds"`
	Cells    []summaryCell `json:"figures"`
}

// A summaryCell is a figure over several seeds.
type summaryCell struct {
	Mean      *float64 `json:"mean"`      // nil where the figure is not defined
	Deviation *float64 `json:"deviation"` // sample standard deviation; nil for less than two seeds
}

// Names of the maps, as --map takes them.
const (
	segmentationMap = "segmentation"
	destMap         = "dest"
	bothMaps        = "both"
)

// rowValue returns the figure of a map.
func rowValue(r destseg.Row, of string) *float64 {
	if of == destMap {
		return r.DeST
	}
	return r.Segmentation
}

// qualities are the rows of an evaluation that say how good a map is: all but the
// threshold of the best F1.
func qualities(e destseg.Evaluation) []destseg.Row {
	return slices.DeleteFunc(e.Rows(), func(r destseg.Row) bool { return r.Key == "pixel_f1_threshold" })
}

// summarize makes the table of a map from at least one run. Rows are sorted by
// category; a category has no two runs of one seed.
//
// The mean of the categories is that of their means over the seeds. Its deviation is
// that of the means of all categories at one seed, over the seeds that every
// category has.
func summarize(runs []measuredRun, of string) summary {
	byCategory := map[string][]measuredRun{}
	for _, r := range runs {
		byCategory[r.category] = append(byCategory[r.category], r)
	}
	s := summary{Map: of}
	for _, row := range qualities(runs[0].evaluation) {
		s.Figures = append(s.Figures, figureName{row.Key, row.Name})
	}
	for _, category := range slices.Sorted(maps.Keys(byCategory)) {
		row := summaryRow{Category: category}
		for _, r := range byCategory[category] {
			row.Seeds = append(row.Seeds, r.seed)
		}
		for column := range s.Figures {
			var values []*float64
			for _, r := range byCategory[category] {
				values = append(values, rowValue(qualities(r.evaluation)[column], of))
			}
			row.Cells = append(row.Cells, cellOf(values))
		}
		s.Rows = append(s.Rows, row)
	}
	for column := range s.Figures {
		var means []*float64
		for _, row := range s.Rows {
			means = append(means, row.Cells[column].Mean)
		}
		mean := summaryCell{Mean: cellOf(means).Mean}
		var bySeed []*float64
		for _, seed := range sharedSeeds(s.Rows) {
			var values []*float64
			for _, r := range runs {
				if r.seed == seed {
					values = append(values, rowValue(qualities(r.evaluation)[column], of))
				}
			}
			bySeed = append(bySeed, cellOf(values).Mean)
		}
		mean.Deviation = cellOf(bySeed).Deviation
		s.Mean = append(s.Mean, mean)
	}
	return s
}

// sharedSeeds lists the seeds that every row has.
func sharedSeeds(rows []summaryRow) []uint64 {
	return slices.DeleteFunc(slices.Clone(rows[0].Seeds), func(seed uint64) bool {
		return slices.ContainsFunc(rows, func(r summaryRow) bool { return !slices.Contains(r.Seeds, seed) })
	})
}

// cellOf returns mean and deviation, which a single missing value leaves undefined.
func cellOf(values []*float64) summaryCell {
	if len(values) == 0 || slices.Contains(values, nil) {
		return summaryCell{}
	}
	n, sum := float64(len(values)), 0.0
	for _, v := range values {
		sum += *v
	}
	mean := sum / n
	cell := summaryCell{Mean: &mean}
	if n < 2 {
		return cell
	}
	squares := 0.0
	for _, v := range values {
		squares += (*v - mean) * (*v - mean)
	}
	cell.Deviation = new(math.Sqrt(squares / (n - 1)))
	return cell
}

// sharedProtocol lists the sentences of the protocols of all runs: first those that
// all share, then the others with the categories they are of.
func sharedProtocol(runs []measuredRun) []string {
	var lines []string
	of := map[string][]string{} // categories by line
	for _, r := range runs {
		var own []string
		for _, row := range qualities(r.evaluation) {
			own = append(own, row.Name+": "+row.Protocol)
		}
		for _, line := range append(own, r.evaluation.Protocol...) {
			if of[line] == nil {
				lines = append(lines, line)
			}
			if !slices.Contains(of[line], r.category) {
				of[line] = append(of[line], r.category)
			}
		}
	}
	categories := map[string]bool{}
	for _, r := range runs {
		categories[r.category] = true
	}
	var shared, others []string
	for _, line := range lines {
		if len(of[line]) == len(categories) {
			shared = append(shared, line)
		} else {
			others = append(others, fmt.Sprintf("%s: %s", strings.Join(of[line], ", "), line))
		}
	}
	return append(shared, others...)
}
