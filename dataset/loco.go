package dataset

import (
	"os"
	"path/filepath"
	"slices"
)

// isLOCO looks for the two kinds of anomalies, or for the table of their values that
// each category comes with.
func isLOCO(top folder) bool {
	if !isMVTec(top) {
		return false
	}
	test := top.sub("test")
	if test.has("logical_anomalies") || test.has("structural_anomalies") {
		return true
	}
	_, err := os.Stat(filepath.Join(top.path, "defects_config.json"))
	return err == nil
}

// addLOCO takes the folders train, validation, test and ground_truth, where each
// picture has a folder of masks. The values of a mask tell the kind of anomaly
// (defects_config.json), so that any but 0 marks one.
func (s *Set) addLOCO(top folder) error {
	if err := s.addTrainTest(top, Good, s.readMaskFolders); err != nil {
		return err
	}
	for i := range s.Test {
		s.Test[i].Labels = s.Test[i].Mask != ""
	}
	if slices.ContainsFunc(s.Test, func(t Sample) bool { return t.Labels }) {
		s.Protocol = append(s.Protocol, "masks: all of a picture united, any value but 0 marks a defect; "+
			"the metric of MVTec LOCO AD itself, sPRO, is another one and not computed")
	}
	return s.addValidation(top)
}
