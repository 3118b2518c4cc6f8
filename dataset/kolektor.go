package dataset

import (
	"path/filepath"
	"slices"
	"strings"
)

// isKolektor looks for an item with labelled pictures.
func isKolektor(top folder) bool {
	return slices.ContainsFunc(top.folders, func(name string) bool {
		return strings.HasPrefix(strings.ToLower(name), "kos") && top.sub(name).pairs("_label").found()
	})
}

// everyFifth is the share of good pictures that are for testing where a data set has
// no split: one in five.
const everyFifth = 5

// addKolektor takes the items kosNN. All defective pictures are for testing, and the
// good ones of every fifth item.
func (s *Set) addKolektor(top folder) error {
	for i, name := range top.folders {
		item, err := readFolder(filepath.Join(top.path, name))
		if err != nil {
			return err
		}
		good, defective, err := s.tellApart(item.pairs("_label"))
		if err != nil {
			return err
		}
		s.Test = append(s.Test, defective...)
		if (i+1)%everyFifth == 0 {
			s.Test = append(s.Test, good...)
		} else {
			s.Train = append(s.Train, good...)
		}
	}
	slices.SortFunc(s.Test, byPath)
	s.Protocol = append(s.Protocol,
		"split: none is official for training without defects; all defective pictures and the good ones of every fifth item are tested",
		labelProtocol)
	return nil
}

const labelProtocol = "defective is a picture whose mask has a value other than 0, as is every pixel there"
