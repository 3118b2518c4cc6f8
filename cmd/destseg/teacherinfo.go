package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/destseg/destseg/teacher"
	"github.com/destseg/destseg/teacher/pretrain"
	"github.com/destseg/destseg/weights"
)

type teacherInfoOptions struct {
	json   bool
	source teacher.Source
}

func newTeacherInfo(c *console, imagenet teacher.Source) *cobra.Command {
	o := teacherInfoOptions{source: imagenet}
	command := &cobra.Command{
		Use:   "info [TEACHER…]",
		Short: "Tells what teachers hold, and whether a file fits as one",
		Long: `info tells of teachers, given as to train --teacher: builtin, imagenet, or a file
of weights. Of a file that does not fit it names what is missing, has another
shape, or belongs to another network. Without a name it tells of builtin and
imagenet.`,
		Example: `  destseg teacher info
  destseg teacher info checkpoint.pth`,
		RunE: func(_ *cobra.Command, args []string) error {
			return o.run(c, args)
		},
	}
	command.Flags().BoolVar(&o.json, "json", false, "print JSON; its format may change until version 1.0")
	return command
}

func (o teacherInfoOptions) run(c *console, specs []string) error {
	listing := len(specs) == 0 // what there is, not what must be there
	if listing {
		specs = []string{teacher.Builtin, teacher.ImageNet}
	}
	var list []teacher.Description
	var absent error
	var failed []error
	for _, spec := range specs {
		d, err := o.describe(spec)
		if listing && errors.Is(err, teacher.ErrNotFetched) {
			absent = err
			continue
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		list = append(list, d)
	}
	if o.json && len(list) > 0 {
		if err := writeJSON(c.out, struct {
			Note     string                `json:"note"`
			Teachers []teacher.Description `json:"teachers"`
		}{formatNote, list}); err != nil {
			return err
		}
		return errors.Join(failed...)
	}
	for i, d := range list {
		if i > 0 {
			fmt.Fprintln(c.out)
		}
		fmt.Fprint(c.out, formatList(o.rows(d)))
	}
	if absent != nil {
		c.note("%s", explain(absent))
	}
	return errors.Join(failed...)
}

func (o teacherInfoOptions) describe(spec string) (teacher.Description, error) {
	if spec != teacher.ImageNet {
		return teacher.Describe(spec)
	}
	cache, err := teacher.UserCache(o.source)
	if err != nil {
		return teacher.Description{}, err
	}
	return cache.Describe()
}

func (o teacherInfoOptions) rows(d teacher.Description) [][2]string {
	place := "inside the program"
	if d.Path != "" {
		place = d.Path
	}
	rows := [][2]string{
		{"teacher", d.Name},
		{"file", fmt.Sprintf("%s (%s)", place, formatBytes(d.Bytes))},
		{"digest", d.Digest},
	}
	if d.Digest == o.source.Digest {
		rows = append(rows, [2]string{"", "that of " + o.source.URL})
	}
	if d.Origin != nil && d.Origin.Digest != d.Digest {
		text := fmt.Sprintf("%s, digest %.12s, as the file says", d.Origin.Name, d.Origin.Digest)
		if d.Edited {
			text += ", but its values have changed since"
		}
		rows = append(rows, [2]string{"made from", text})
	}
	rows = append(rows, pretrainedRows(d)...)
	rows = append(rows, [2]string{"holds", formatTensors(d.File)})
	if d.Teacher.Count > 0 && (d.Teacher.Count < d.File.Count || d.Prefix != "") {
		used := formatTensors(d.Teacher)
		if d.Prefix != "" {
			used += fmt.Sprintf(", under the prefix %s", d.Prefix)
		}
		rows = append(rows, [2]string{"used", used})
	}
	if text := formatUnused(d); text != "" {
		rows = append(rows, [2]string{"not used", text})
	}
	rows = append(rows, [2]string{"fits", formatFit(d)})
	if d.Teacher.Count == 0 {
		return rows
	}
	rows = append(rows, labelled("missing", firstNames(d.Missing))...)
	var misshapen []string
	for _, m := range d.Misshapen {
		misshapen = append(misshapen, m.String())
	}
	rows = append(rows, labelled("misshapen", firstNames(misshapen))...)
	return append(rows, labelled("foreign", firstNames(d.Foreign))...)
}

// pretrainedRows tells how a teacher was trained, if its file says so.
func pretrainedRows(d teacher.Description) [][2]string {
	if d.Pretraining == nil {
		return nil
	}
	r, err := pretrain.ParseRecord(d.Pretraining)
	if err != nil {
		return [][2]string{{"trained", err.Error()}}
	}
	var sizes []string
	for _, p := range r.Recipe.Phases {
		sizes = append(sizes, strconv.Itoa(p.Size))
	}
	rows := [][2]string{{"trained", fmt.Sprintf("%s of %s at %s pixels, in %s",
		formatCount(r.Recipe.Steps(), "step"), formatCount(r.Recipe.Batch, "crop"), strings.Join(sizes, ", "), r.Precision)}}
	var sets []string
	for _, s := range r.Sets {
		sets = append(sets, fmt.Sprintf("%s: %s of %d classes, %s in each step",
			s.Name, formatCount(s.Pictures, "picture"), len(s.Classes), formatCount(s.Crops, "crop")))
	}
	rows = append(rows, labelled("on", sets)...)
	return append(rows, labelled("accuracy", accuracies(r.Validation))...)
}

// formatFit tells whether a teacher can be used, and in short why not.
func formatFit(d teacher.Description) string {
	if d.Fits {
		return "yes"
	}
	if d.Teacher.Count == 0 {
		return "no: it has no tensor of a ResNet-18"
	}
	var counts []string
	for _, kind := range []struct {
		n    int
		what string
	}{{len(d.Missing), "missing"}, {len(d.Misshapen), "of another shape"}, {len(d.Foreign), "of another network, or a deeper one"}} {
		if kind.n > 0 {
			counts = append(counts, fmt.Sprintf("%s %s", formatCount(kind.n, "tensor"), kind.what))
		}
	}
	if counts == nil {
		return "no: " + d.Problem
	}
	return "no: " + strings.Join(counts, ", ")
}

// formatTensors counts tensors and tells their types.
func formatTensors(t teacher.Tensors) string {
	text := fmt.Sprintf("%s, %s", formatCount(t.Count, "tensor"), formatCount(t.Parameters, "number"))
	var types []string
	for _, kind := range slices.Sorted(maps.Keys(t.Types)) {
		name := formatType(kind)
		if len(t.Types) > 1 {
			name = fmt.Sprintf("%d %s", t.Types[kind], name)
		}
		types = append(types, name)
	}
	if types == nil {
		return text
	}
	return text + ": " + strings.Join(types, ", ")
}

// formatType names a type of numbers as the flags for precision do.
func formatType(kind weights.DType) string {
	switch kind {
	case weights.F64, weights.F32, weights.F16:
		return "fp" + string(kind[1:])
	}
	return strings.ToLower(string(kind))
}

// formatUnused counts the tensors that a teacher leaves out by the part of the network
// that they belong to.
func formatUnused(d teacher.Description) string {
	const counters = "num_batches_tracked"
	counts := map[string]int{}
	for _, name := range d.Unused {
		if slices.Contains(d.Foreign, name) {
			continue
		}
		bare, _ := strings.CutPrefix(name, d.Prefix)
		part, _, _ := strings.Cut(bare, ".")
		if strings.HasSuffix(bare, "."+counters) {
			part = counters
		}
		counts[part]++
	}
	const most = 12
	var parts []string
	for _, part := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s (%d)", part, counts[part]))
	}
	if len(parts) > most {
		parts = append(parts[:most], fmt.Sprintf("%d more", len(parts)-most))
	}
	return strings.Join(parts, ", ")
}

// firstNames is the names that a list shows, the first ones of many.
func firstNames(names []string) []string {
	const most = 20
	if len(names) <= most {
		return names
	}
	rest := fmt.Sprintf("and %d more; --json names all", len(names)-most)
	return append(slices.Clone(names[:most]), rest)
}
