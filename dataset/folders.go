package dataset

import "slices"

func isFolders(top folder) bool {
	return top.has(Good) && len(top.foldersExcept(Good, truthFolder)) > 0
}

// addFolders takes good for good pictures and every other folder but ground_truth
// for a kind of defect, masks or not.
func (s *Set) addFolders(top folder) error {
	truth, err := top.optional(truthFolder)
	if err != nil {
		return err
	}
	unmasked, err := s.addTest(top, truth, Good, s.readMasks)
	if err != nil {
		return err
	}
	if len(truth.folders) > 0 { // else masks were not intended
		s.warnUnmasked(unmasked)
	}
	good := slices.DeleteFunc(slices.Clone(s.Test), func(t Sample) bool { return t.Anomalous })
	s.Test = slices.DeleteFunc(s.Test, func(t Sample) bool { return !t.Anomalous })
	period := max(min(everyFifth, len(good)), 2) // one of a few is tested, a single one is not
	for i, sample := range good {
		if (i+1)%period == 0 {
			s.Test = append(s.Test, sample)
		} else {
			s.Train = append(s.Train, sample)
		}
	}
	slices.SortFunc(s.Test, byPath)
	s.Protocol = append(s.Protocol, "split: every fifth good picture by name is tested, the others are for training")
	return nil
}
