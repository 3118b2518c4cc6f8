package dataset

import "strings"

// isPlain tells by the names of its folders that not all pictures of a folder are
// good.
func isPlain(top folder) bool {
	for _, name := range top.folders {
		switch strings.ToLower(name) {
		case "bad", "ng", "ko", "nok", "defect", "defects", "defective", "anomaly", "anomalies", "anomalous", "abnormal",
			"mask", "masks", truthFolder:
			return false
		case "ok", "normal", Good:
			if len(top.folders) > 1 { // what lies beside these is something else
				return false
			}
		}
	}
	return true
}

// addPlain takes every picture in the folder and below it for a good one.
func (s *Set) addPlain(top folder) (err error) {
	s.Train, err = s.good(top.path)
	return err
}
