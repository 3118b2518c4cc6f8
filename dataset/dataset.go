// Package dataset finds the pictures of a data set: it turns folders into sorted
// lists of samples, expands command-line arguments into pictures, and keeps decoded
// pictures in memory.
//
// # Layouts
//
// The layout of MVTec AD (Bergmann et al., CVPR 2019) has pictures for training and
// testing and masks that mark the defects:
//
//	ROOT/train/good/*            good pictures
//	ROOT/test/good/*             good pictures
//	ROOT/test/DEFECT/*           pictures with that kind of defect
//	ROOT/ground_truth/DEFECT/*   masks: NAME_mask.png or NAME.png for the picture NAME
//
// Either of train and test may be missing. Any other folder is a plain folder of
// good pictures, all of them for training.
//
// Below the folders named here pictures may lie in further folders, and links are
// followed, but not back to a folder that they lie in. Pictures are told by their extension, in capitals or not: .png, .jpg,
// .jpeg, .bmp, .tif, .tiff, .webp. Other files, and those whose name begins with a
// dot, are passed over.
package dataset

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Reasons why a data set was not opened; test for them with [errors.Is].
var (
	// ErrEmpty says that there are no pictures where some were expected.
	ErrEmpty = errors.New("no pictures found (.png, .jpg, .jpeg, .bmp, .tif, .tiff, .webp)")
	// ErrLayout says that the folders do not make up a data set.
	ErrLayout = errors.New("the layout is not recognised")
)

// Good is the [Sample.Defect] of pictures without defects, and the name of their
// folders.
const Good = "good"

// Layout says how the folders of a data set are arranged.
type Layout int

const (
	// Plain is a folder of good pictures.
	Plain Layout = iota
	// MVTec is the layout of MVTec AD: train, test and ground_truth.
	MVTec
)

// String returns the layout's name.
func (l Layout) String() string {
	switch l {
	case Plain:
		return "plain folder"
	case MVTec:
		return "MVTec AD"
	}
	return fmt.Sprintf("Layout(%d)", int(l))
}

// Sample is one picture of a data set.
type Sample struct {
	// Path is the picture's file, beginning with the root as it was given.
	Path string
	// Mask is the picture file that marks the defects, white on black; it need not
	// have the size of the picture. It is empty for good pictures, and for defective
	// ones that have none.
	Mask string
	// Defect is the kind of defect, or [Good].
	Defect string
	// Anomalous says whether the picture has a defect.
	Anomalous bool
}

// PixelTruth reports whether it is known of every pixel if it belongs to a defect:
// for good pictures, and for defective ones with a mask. Pixel metrics leave the
// others out.
func (s Sample) PixelTruth() bool {
	return !s.Anomalous || s.Mask != ""
}

// Set is a data set: the pictures of one kind of object or surface. Its lists are
// sorted by path.
type Set struct {
	// Root is the folder as it was given to [Open].
	Root string
	// Category is the base name of the root.
	Category string
	Layout   Layout
	// Train holds good pictures.
	Train []Sample
	// Test holds good and defective pictures. It is empty for plain folders.
	Test []Sample
	// Warnings tells, in sentences for people, what in the folders looks like a
	// mistake but does not keep the set from being used.
	Warnings []string
}

// Open lists the data set in the folder root. It looks at names only; whether the
// pictures can be read shows when they are. Errors name the folder, and are of the
// file system, [ErrEmpty] or [ErrLayout].
func Open(root string) (*Set, error) {
	info, err := os.Stat(root)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s: %w: it is a file; name the folder that holds the pictures", root, ErrLayout)
	}
	absolute, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	set := &Set{Root: root, Category: filepath.Base(absolute)}
	top, err := readFolder(root)
	if err != nil {
		return nil, err
	}
	if top.has("train") || top.has("test") {
		set.Layout = MVTec
		err = set.addMVTec(top)
	} else {
		err = set.addPlain(top)
	}
	if err != nil {
		return nil, err
	}
	if len(set.Train)+len(set.Test) == 0 {
		return nil, fmt.Errorf("%s: %w", root, ErrEmpty)
	}
	return set, nil
}

// addPlain takes every picture under the root for a good one, unless the folders
// suggest otherwise.
func (s *Set) addPlain(top folder) error {
	var sets []string
	for _, name := range top.folders {
		sub, err := readFolder(top.join(name))
		if err != nil {
			return err
		}
		if sub.has("train") {
			sets = append(sets, name)
		}
	}
	if len(sets) > 0 {
		return fmt.Errorf("%s: %w: it holds whole data sets (%s); name one of them", top.path, ErrLayout, some(sets))
	}
	if top.has(Good) && len(top.folders) > 1 {
		return fmt.Errorf("%s: %w: expected train/good and test/KIND, found the folders %s, which would all count as good; "+
			"name the folder of good pictures, or put good ones under train/good and the others under test/KIND",
			top.path, ErrLayout, some(top.folders))
	}
	pictures, err := s.pictures(top.path)
	s.Train = goodSamples(pictures)
	return err
}

// addMVTec takes the folders train, test and ground_truth.
func (s *Set) addMVTec(top folder) error {
	if top.has("train") {
		if err := s.addTrain(top.join("train")); err != nil {
			return err
		}
	}
	if top.has("test") {
		return s.addTest(top)
	}
	return nil
}

// addTrain takes train/good, or train itself if it has no folders.
func (s *Set) addTrain(path string) error {
	train, err := readFolder(path)
	if err != nil {
		return err
	}
	switch {
	case train.has(Good):
		if others := train.foldersExcept(Good); len(others) > 0 {
			s.warn("%s: only the folder good is used for training, not %s", path, some(others))
		}
		if len(train.pictures) > 0 {
			s.warn("%s: %s beside the folder good left out", path, count(len(train.pictures), "picture"))
		}
		path = train.join(Good)
	case len(train.folders) > 0:
		return fmt.Errorf("%s: %w: expected the folder good, found %s", path, ErrLayout, some(train.folders))
	}
	pictures, err := s.pictures(path)
	s.Train = goodSamples(pictures)
	return err
}

// addTest takes every folder of test as one kind of defect, and finds the masks.
func (s *Set) addTest(top folder) error {
	test, err := readFolder(top.join("test"))
	if err != nil {
		return err
	}
	if len(test.pictures) > 0 {
		s.warn("%s: %s left out, since only folders (good, or the kind of defect) tell good from defective",
			test.path, count(len(test.pictures), "picture"))
	}
	var truth folder
	if top.has("ground_truth") {
		if truth, err = readFolder(top.join("ground_truth")); err != nil {
			return err
		}
	}
	var unmasked []string
	for _, kind := range test.folders {
		pictures, err := s.pictures(test.join(kind))
		if err != nil {
			return err
		}
		if strings.EqualFold(kind, Good) {
			s.Test = append(s.Test, goodSamples(pictures)...)
			continue
		}
		masks, err := s.readMasks(truth, kind)
		if err != nil {
			return err
		}
		for _, path := range pictures {
			mask := masks.find(test.join(kind), path)
			if mask == "" {
				unmasked = append(unmasked, path)
			}
			s.Test = append(s.Test, Sample{Path: path, Mask: mask, Defect: kind, Anomalous: true})
		}
		if idle := masks.unused(); len(idle) > 0 {
			s.warn("%s without a picture: %s", count(len(idle), "mask"), some(idle))
		}
	}
	if len(unmasked) > 0 {
		s.warn("%s without a mask under ground_truth, which pixel metrics leave out: %s",
			count(len(unmasked), "defective picture"), some(unmasked))
	}
	if kinds := truth.foldersExcept(append(test.folders, Good)...); len(kinds) > 0 {
		s.warn("%s: masks without pictures in test: %s", truth.path, some(kinds))
	}
	slices.SortFunc(s.Test, func(a, b Sample) int { return strings.Compare(a.Path, b.Path) })
	return nil
}

// pictures lists the pictures under a folder, and warns of those in formats that
// are not read.
func (s *Set) pictures(path string) ([]string, error) {
	found := walk(path)
	if len(found.foreign) > 0 {
		s.warn("%s in formats that are not read; save them as PNG: %s", count(len(found.foreign), "picture"), some(found.foreign))
	}
	var failed []error
	for _, f := range found.failures {
		failed = append(failed, f.Err)
	}
	return found.pictures, errors.Join(failed...)
}

func (s *Set) warn(format string, args ...any) {
	s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...))
}

// goodSamples makes samples of pictures without defects.
func goodSamples(paths []string) []Sample {
	samples := make([]Sample, len(paths))
	for i, path := range paths {
		samples[i] = Sample{Path: path, Defect: Good}
	}
	return samples
}

// count puts a number before a noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// some names the first few of a list.
func some(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
