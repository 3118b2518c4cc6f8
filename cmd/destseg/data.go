package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/synth"
)

// layoutFlag defines the flag for the layout of a data set; *to stays "" for "auto".
func layoutFlag(f *pflag.FlagSet, to *string) {
	var names []string
	for _, l := range dataset.Layouts() {
		names = append(names, l.Name)
	}
	parse := func(s string) (string, error) {
		if s == "auto" {
			return "", nil
		}
		if !slices.Contains(names, s) {
			return "", fmt.Errorf("expected %s", oneOf(append(names, "auto")))
		}
		return s, nil
	}
	print := func(s string) string { return cmp.Or(s, "auto") }
	half := (len(names) + 1) / 2
	f.Var(value[string]{to, "NAME", parse, print}, "layout", fmt.Sprintf("of the folders of DATA: %s,\n%s, or auto: told by their names",
		strings.Join(names[:half], ", "), strings.Join(names[half:], ", ")))
}

// openSet lists a data set in a layout, recognised if it is "", and passes on its
// warnings.
func (c *console) openSet(root, layout string) (*dataset.Set, error) {
	set, err := dataset.OpenAs(root, layout)
	if errors.Is(err, dataset.ErrCategories) {
		err = fmt.Errorf("%w (train and eval take all of them with --all)", err)
	}
	if err != nil {
		return nil, err
	}
	for _, warning := range set.Warnings {
		c.note("warning: %s", printable(warning))
	}
	return set, nil
}

// testFiles lists the files that measuring on a set reads.
func testFiles(set *dataset.Set) []string {
	var files []string
	for _, s := range set.Test {
		masks, _ := s.MaskFiles() // what can't be listed is told when it is measured
		files = append(append(files, s.Path), masks...)
	}
	return files
}

// goodPictures returns the paths of the pictures to learn from, at least one.
func goodPictures(set *dataset.Set) ([]string, error) {
	if len(set.Train) == 0 {
		return nil, fmt.Errorf("%s: no good pictures to learn from; put them under train/good", set.Root)
	}
	paths := make([]string, len(set.Train))
	for i, sample := range set.Train {
		paths[i] = sample.Path
	}
	return paths, nil
}

// synthesis says how anomalies are made.
type synthesis struct {
	seed       uint64
	rotation   *synth.Rotation // nil: that of the category
	minOpacity float64
	textures   string // folder; empty for procedural ones
}

func usualSynthesis() synthesis {
	return synthesis{minOpacity: synth.PublishedMinOpacity}
}

func (s *synthesis) flags(f *pflag.FlagSet) {
	seedFlag(f, &s.seed)
	rotationFlag(f, &s.rotation)
	fractionFlag(f, &s.minOpacity, "min-opacity", "least opacity of what is blended in, above 0 and up to 1")
	f.StringVar(&s.textures, "textures", s.textures,
		"`DIR` of pictures to blend in, such as the Describable Textures\nDataset (default: textures that the program draws)")
}

// rotationOf returns the rotation for a category.
func (s synthesis) rotationOf(category string) synth.Rotation {
	if s.rotation != nil {
		return *s.rotation
	}
	return synth.RotationOf(category)
}

// textureMemory is how many bytes of textures are kept.
const textureMemory = 1 << 30

// openTextures lists the texture folder; nil if there is none.
func (s synthesis) openTextures(memory int) (synth.Textures, error) {
	if s.textures == "" {
		return nil, nil
	}
	if info, err := os.Stat(s.textures); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s: is a file; name the folder that holds the textures", s.textures)
	}
	folder, err := synth.OpenFolder(s.textures, memory)
	if err != nil {
		return nil, err
	}
	return folder, nil
}
