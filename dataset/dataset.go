// Package dataset finds the pictures of a data set: it turns folders into sorted
// lists of samples, expands command-line arguments into pictures, and keeps decoded
// pictures in memory.
//
// # Layouts
//
// [Layouts] lists how the folders of a data set may be arranged. [Open] recognises
// the layout by the names of folders and files, [OpenAs] is told it. A set is one
// category, the pictures of one kind of object or surface; [Categories] lists those
// of a root that holds several.
//
// The layout "mvtec", that of MVTec AD (Bergmann et al., CVPR 2019) and MPDD (Jezek
// et al., ICUMT 2021), has pictures for training and testing and masks that mark the
// defects:
//
//	ROOT/train/good/*            good pictures
//	ROOT/test/good/*             good pictures
//	ROOT/test/KIND/*             pictures with that kind of defect
//	ROOT/ground_truth/KIND/*     masks: NAME_mask.png or NAME.png for the picture NAME
//
// Either of train and test may be missing. "mvtec2", MVTec AD 2 (Heckler-Kram et al.,
// 2025), differs in this; its test_private and test_private_mixed come without labels
// and are not part of the set:
//
//	ROOT/validation/good/*                  good pictures
//	ROOT/test_public/good/*                 good pictures
//	ROOT/test_public/bad/*                  defective pictures
//	ROOT/test_public/ground_truth/bad/*     masks: NAME_mask.png
//
// "loco", MVTec LOCO AD (Bergmann et al., IJCV 2022), differs from "mvtec" in this:
//
//	ROOT/validation/good/*                  good pictures
//	ROOT/ground_truth/KIND/NAME/*           masks of the picture NAME, one or several
//
// The masks of a picture are united. In their own metric (sPRO) each has a share that
// suffices, which the file defects_config.json tells; that metric is not computed.
//
// "btad", BTAD (Mishra et al., ISIE 2021), has ok for good and ko for defective
// pictures:
//
//	ROOT/train/ok/*, ROOT/test/ok/*, ROOT/test/ko/*
//	ROOT/ground_truth/ko/*       masks: NAME.png or, in category 03, NAME.bmp
//
// "visa", VisA (Zou et al., ECCV 2022), has its split in a table beside the
// categories, of which split_csv/1cls.csv is read: only good pictures in training.
//
//	ROOT/Data/Images/{Normal,Anomaly}/*, ROOT/Data/Masks/Anomaly/*
//	ROOT/../split_csv/1cls.csv   with the columns object, split, label, image, mask
//
// "kolektor", KolektorSDD (Tabernik et al., JIM 2020), has a folder for each item,
// and only the masks, of which every picture has one, tell good from defective. Its
// folds are made for training with defects, so there is a rule instead: all
// defective pictures are for testing, and the good ones of every fifth item, so that
// no good part is in both lists.
//
//	ROOT/kosNN/PartN.jpg, ROOT/kosNN/PartN_label.bmp
//
// "kolektor2", KolektorSDD2 (Božič et al., Computers in Industry 2021), has its split
// in folders; defective pictures in train are left out.
//
//	ROOT/train/NNNNN.png, ROOT/train/NNNNN_GT.png, ROOT/test/…
//
// "folders" is what one makes by hand: good pictures and a folder for each kind of
// defect, masks where there are some. There is no split, so that every fifth good
// picture, and at least one of several, is for testing:
//
//	ROOT/good/*                  good pictures
//	ROOT/KIND/*                  pictures with that kind of defect
//	ROOT/ground_truth/KIND/*     masks: NAME_mask.png or NAME.png for the picture NAME
//
// "plain" is any other folder: good pictures, all of them for training.
//
// # Files
//
// Below the folders named here pictures may lie in further folders, and links are
// followed, but not back to a folder that they lie in. Pictures are told by their
// extension, in capitals or not: .png, .jpg, .jpeg, .bmp, .tif, .tiff, .webp. Other
// files, and those whose name begins with a dot, are passed over. The extension of a
// mask need not be that of its picture.
package dataset

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Reasons why a data set was not opened; test for them with [errors.Is].
var (
	// ErrEmpty says that there are no pictures where some were expected.
	ErrEmpty = errors.New("no pictures found (.png, .jpg, .jpeg, .bmp, .tif, .tiff, .webp)")
	// ErrLayout says that the folders do not make up a data set.
	ErrLayout = errors.New("the layout is not recognised")
	// ErrCategories says that a folder holds several data sets.
	ErrCategories = errors.New("it holds several categories")
)

// Good is the [Sample.Defect] of pictures without defects, and the name of their
// folders.
const Good = "good"

// Sample is one picture of a data set.
type Sample struct {
	// Path is the picture's file, beginning with the root as it was given.
	Path string
	// Mask is what marks the defects: a picture file, or a folder of those, which are
	// united. A mask need not have the size of the picture. It is empty for good
	// pictures, and for defective ones that have none.
	Mask string
	// Labels says that the mask holds labels, of which all but 0 mark a defect,
	// instead of white on black.
	Labels bool
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
	// Category is the base name of the root; past names such as good and train, which
	// say nothing of what the pictures show, that of the folder above.
	Category string
	// Layout is the name of the set's [Layout].
	Layout string
	// Train holds good pictures.
	Train []Sample
	// Validation holds good pictures that the set puts aside, for thresholds and the
	// like; most layouts have none.
	Validation []Sample
	// Test holds good and defective pictures. It is empty for plain folders.
	Test []Sample
	// Protocol tells, in sentences for people, what figures depend on besides the
	// pictures: how they were split where no official split is, how masks are read.
	Protocol []string
	// Warnings tells, in sentences for people, what in the folders looks like a
	// mistake but does not keep the set from being used.
	Warnings []string
}

// Open lists the data set in the folder root and recognises its layout. It looks at
// names only, but for KolektorSDD and KolektorSDD2, whose masks it reads; whether
// the pictures can be read shows when they are. Errors name the folder or file, and
// are of the file system, of package picture for masks, [ErrEmpty], [ErrLayout] or
// [ErrCategories].
func Open(root string) (*Set, error) { return OpenAs(root, "") }

// OpenAs is [Open] for a layout by its name; "" recognises it. A name that is none
// gives an error wrapping [ErrLayout].
func OpenAs(root, layout string) (*Set, error) {
	top, name, err := readRoot(root)
	if err != nil {
		return nil, err
	}
	var l Layout
	if layout == "" {
		l, err = recognise(top)
	} else {
		l, err = layoutNamed(layout)
	}
	if err != nil {
		return nil, err
	}
	set := &Set{Root: root, Category: name, Layout: l.Name}
	if err := l.open(set, top); err != nil {
		return nil, err
	}
	if len(set.Train)+len(set.Test) == 0 {
		return nil, fmt.Errorf("%s: %w", root, ErrEmpty)
	}
	return set, nil
}

// readRoot lists a folder that may be a data set, and tells its name.
func readRoot(root string) (top folder, name string, err error) {
	info, err := os.Stat(root)
	if err != nil {
		return folder{}, "", err
	}
	if !info.IsDir() {
		return folder{}, "", fmt.Errorf("%s: %w: it is a file; name the folder that holds the pictures", root, ErrLayout)
	}
	absolute, err := filepath.Abs(root)
	if err != nil {
		return folder{}, "", err
	}
	top, err = readFolder(root)
	return top, categoryOf(absolute), err
}

// categoryOf names what the pictures in a folder show, by its absolute path.
func categoryOf(path string) string {
	for at := path; ; at = filepath.Dir(at) {
		switch name := filepath.Base(at); strings.ToLower(name) {
		case Good, "ok", "normal", "train":
		case string(filepath.Separator), ".":
			return filepath.Base(path)
		default:
			return name
		}
	}
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

// good lists the pictures under a folder as samples without defects.
func (s *Set) good(path string) ([]Sample, error) {
	pictures, err := s.pictures(path)
	samples := make([]Sample, len(pictures))
	for i, path := range pictures {
		samples[i] = Sample{Path: path, Defect: Good}
	}
	return samples, err
}

func (s *Set) warn(format string, args ...any) {
	s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...))
}

// byPath orders samples.
func byPath(a, b Sample) int { return strings.Compare(a.Path, b.Path) }

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
