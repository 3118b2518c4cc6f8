package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/destseg/destseg"
)

// An overview is all that --all comes to.
type overview struct {
	data     string
	runs     []measuredRun // at least one
	maps     []string      // to tell of
	expected int           // categories, measured or not
	failed   []string      // what else was to be done
}

// overviewOptions say how an overview is written.
type overviewOptions struct {
	format string // text, csv, json or latex
	maps   string // segmentation, dest or both
}

func overviewFlags(f *pflag.FlagSet, to *overviewOptions) {
	*to = overviewOptions{format: "text", maps: segmentationMap}
	choiceFlag(f, &to.format, "format", "NAME", "of the table of --all: text, csv, json or latex", "text", "csv", "json", "latex")
	choiceFlag(f, &to.maps, "map", "NAME", "in the table of --all: segmentation, dest or both", segmentationMap, destMap, bothMaps)
}

// write writes an overview of the runs.
func (o overviewOptions) write(w io.Writer, r overview) error {
	r.maps = []string{o.maps}
	if o.maps == bothMaps {
		r.maps = []string{segmentationMap, destMap}
	}
	switch o.format {
	case "csv":
		return r.writeCSV(w)
	case "json":
		return writeJSON(w, r.document())
	case "latex":
		_, err := io.WriteString(w, r.latex())
		return err
	}
	_, err := io.WriteString(w, r.text())
	return err
}

// title names a map in a heading.
func title(of string) string {
	if of == destMap {
		return "DeST map"
	}
	return "segmentation map"
}

// deviationNote explains what stands behind ±.
const deviationNote = "±: sample standard deviation over the seeds; for the mean, of the mean of all categories, over the seeds that each of them has"

// meanLabel names the row of the mean, and how many categories are missing in it.
func (r overview) meanLabel(s summary) string {
	if len(s.Rows) < r.expected {
		return fmt.Sprintf("mean (%d of %d)", len(s.Rows), r.expected)
	}
	return "mean"
}

// severalSeeds reports whether a category has more than one.
func (s summary) severalSeeds() bool {
	return slices.ContainsFunc(s.Rows, func(r summaryRow) bool { return len(r.Seeds) > 1 })
}

// percent writes a figure as papers do.
func (c summaryCell) percent(plusMinus string) string {
	switch {
	case c.Mean == nil:
		return "–"
	case c.Deviation == nil:
		return fmt.Sprintf("%.1f", 100**c.Mean)
	}
	return fmt.Sprintf("%.1f%s%.1f", 100**c.Mean, plusMinus, 100**c.Deviation)
}

func (r overview) text() string {
	var b strings.Builder
	several := false
	for _, of := range r.maps {
		s := summarize(r.runs, of)
		several = several || s.severalSeeds()
		head := []string{"percent", "seeds"}
		for _, f := range s.Figures {
			head = append(head, f.Name)
		}
		table := [][]string{head}
		add := func(label, seeds string, cells []summaryCell) {
			row := []string{label, seeds}
			for _, c := range cells {
				row = append(row, c.percent(" ± "))
			}
			table = append(table, row)
		}
		for _, row := range s.Rows {
			add(row.Category, strconv.Itoa(len(row.Seeds)), row.Cells)
		}
		add(r.meanLabel(s), "", s.Mean)
		if !s.severalSeeds() {
			for i, row := range table {
				table[i] = slices.Delete(row, 1, 2)
			}
		}
		fmt.Fprintf(&b, "%s, %s\n\n%s\n", printable(r.data), title(of), formatTable(table))
	}
	if several {
		b.WriteString(deviationNote + "\n\n")
	}
	b.WriteString("measured by this protocol\n")
	for _, line := range sharedProtocol(r.runs) {
		fmt.Fprintf(&b, "  %s\n", printable(line))
	}
	return b.String()
}

// writeCSV writes fractions of 1, in full, for programs.
func (r overview) writeCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	number := func(v *float64) string {
		if v == nil {
			return ""
		}
		return strconv.FormatFloat(*v, 'g', -1, 64)
	}
	for i, of := range r.maps {
		s := summarize(r.runs, of)
		if i == 0 {
			head := []string{"map", "category", "categories", "seeds"}
			for _, f := range s.Figures {
				head = append(head, f.Key, f.Key+"_deviation")
			}
			out.Write(head)
		}
		add := func(category string, categories, seeds int, cells []summaryCell) {
			row := []string{of, category, strconv.Itoa(categories), strconv.Itoa(seeds)}
			for _, c := range cells {
				row = append(row, number(c.Mean), number(c.Deviation))
			}
			out.Write(row)
		}
		for _, row := range s.Rows {
			add(printable(row.Category), 1, len(row.Seeds), row.Cells)
		}
		add("mean", len(s.Rows), len(sharedSeeds(s.Rows)), s.Mean)
	}
	out.Flush()
	return out.Error()
}

// latex writes tables for the package booktabs.
func (r overview) latex() string {
	var b strings.Builder
	b.WriteString("% needs \\usepackage{booktabs}; figures in percent\n")
	for _, of := range r.maps {
		s := summarize(r.runs, of)
		fmt.Fprintf(&b, "%% %s, %s\n\\begin{tabular}{l%s}\n\\toprule\ncategory", printable(r.data), title(of), strings.Repeat("r", len(s.Figures)))
		for _, f := range s.Figures {
			b.WriteString(" & " + latexText(f.Name))
		}
		b.WriteString(" \\\\\n\\midrule\n")
		add := func(label string, cells []summaryCell) {
			b.WriteString(latexText(label))
			for _, c := range cells {
				text := c.percent(` \pm `)
				if c.Mean == nil {
					text = "--"
				} else if c.Deviation != nil {
					text = "$" + text + "$"
				}
				b.WriteString(" & " + text)
			}
			b.WriteString(" \\\\\n")
		}
		for _, row := range s.Rows {
			add(row.Category, row.Cells)
		}
		b.WriteString("\\midrule\n")
		add(r.meanLabel(s), s.Mean)
		b.WriteString("\\bottomrule\n\\end{tabular}\n")
		if s.severalSeeds() {
			fmt.Fprintf(&b, "%% %s\n", deviationNote)
		}
	}
	for _, line := range sharedProtocol(r.runs) {
		fmt.Fprintf(&b, "%% %s\n", printable(line))
	}
	return b.String()
}

// latexText escapes what LaTeX takes for commands.
func latexText(s string) string {
	return strings.NewReplacer(
		`\`, `\textbackslash{}`, `~`, `\textasciitilde{}`, `^`, `\textasciicircum{}`,
		`_`, `\_`, `&`, `\&`, `%`, `\%`, `#`, `\#`, `$`, `\$`, `{`, `\{`, `}`, `\}`,
	).Replace(printable(s))
}

// document is what is written as JSON: fractions of 1.
func (r overview) document() any {
	type run struct {
		Category   string             `json:"category"`
		Seed       uint64             `json:"seed"`
		Detector   string             `json:"detector"`
		Figures    []destseg.Row      `json:"figures"`
		Evaluation destseg.Evaluation `json:"evaluation"`
	}
	document := struct {
		Note       string    `json:"note"`
		Data       string    `json:"data"`
		Categories int       `json:"categories"` // in the data, measured or not
		Protocol   []string  `json:"protocol"`
		Tables     []summary `json:"tables"`
		Runs       []run     `json:"runs"`
		Failed     []string  `json:"failed,omitempty"`
	}{Note: formatNote, Data: r.data, Categories: r.expected, Protocol: sharedProtocol(r.runs), Failed: r.failed}
	for _, of := range r.maps {
		document.Tables = append(document.Tables, summarize(r.runs, of))
	}
	for _, m := range r.runs {
		document.Runs = append(document.Runs, run{m.category, m.seed, m.detector, m.evaluation.Rows(), m.evaluation})
	}
	return document
}
