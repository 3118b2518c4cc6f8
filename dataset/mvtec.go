package dataset

import (
	"fmt"
	"slices"
	"strings"
)

// truthFolder holds the masks in most layouts.
const truthFolder = "ground_truth"

func isMVTec(top folder) bool { return top.has("train") || top.has("test") }

// addMVTec takes the folders train, test and ground_truth.
func (s *Set) addMVTec(top folder) error { return s.addTrainTest(top, Good, s.readMasks) }

// addTrainTest takes the folders train, test and ground_truth, whose good pictures
// lie in folders of that name and whose masks are listed by a function.
func (s *Set) addTrainTest(top folder, good string, read maskReader) error {
	if top.has("train") {
		if err := s.addTrain(top.join("train"), good); err != nil {
			return err
		}
	}
	if !top.has("test") {
		return nil
	}
	test, err := readFolder(top.join("test"))
	if err != nil {
		return err
	}
	truth, err := top.optional(truthFolder)
	if err != nil {
		return err
	}
	unmasked, err := s.addTest(test, truth, good, read)
	s.warnUnmasked(unmasked)
	return err
}

// A maskReader lists the masks of a kind of defect in ground_truth.
type maskReader func(truth folder, kind string) (masks, error)

// addTrain takes the good pictures of train, or train itself if it has no folders.
func (s *Set) addTrain(path, good string) error {
	train, err := readFolder(path)
	if err != nil {
		return err
	}
	switch {
	case train.has(good):
		if others := train.foldersExcept(good); len(others) > 0 {
			s.warn("%s: only the folder %s is used for training, not %s", path, good, some(others))
		}
		if len(train.pictures) > 0 {
			s.warn("%s: %s beside the folder %s left out", path, count(len(train.pictures), "picture"), good)
		}
		path = train.join(good)
	case len(train.folders) > 0:
		return fmt.Errorf("%s: %w: expected the folder %s, found %s", path, ErrLayout, good, some(train.folders))
	}
	s.Train, err = s.good(path)
	return err
}

// addValidation takes validation/good, if it is there.
func (s *Set) addValidation(top folder) error {
	validation := top.sub("validation")
	if !validation.has(Good) {
		return nil
	}
	var err error
	s.Validation, err = s.good(validation.join(Good))
	return err
}

// addTest takes every folder of test but ground_truth as one kind of defect, and
// finds the masks. It returns the defective pictures without one.
func (s *Set) addTest(test, truth folder, good string, read maskReader) (unmasked []string, err error) {
	if len(test.pictures) > 0 {
		s.warn("%s: %s left out, since only folders (%s, or the kind of defect) tell good from defective",
			test.path, count(len(test.pictures), "picture"), good)
	}
	kinds := test.foldersExcept(truthFolder)
	for _, kind := range kinds {
		if strings.EqualFold(kind, good) {
			samples, err := s.good(test.join(kind))
			if err != nil {
				return nil, err
			}
			s.Test = append(s.Test, samples...)
			continue
		}
		pictures, err := s.pictures(test.join(kind))
		if err != nil {
			return nil, err
		}
		masks, err := read(truth, kind)
		if err != nil {
			return nil, err
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
	if idle := truth.foldersExcept(append(kinds, good)...); len(idle) > 0 {
		s.warn("%s: masks without pictures in test: %s", truth.path, some(idle))
	}
	slices.SortFunc(s.Test, byPath)
	return unmasked, nil
}

func (s *Set) warnUnmasked(unmasked []string) {
	if len(unmasked) > 0 {
		s.warn("%s without a mask under ground_truth, which pixel metrics leave out: %s",
			count(len(unmasked), "defective picture"), some(unmasked))
	}
}
