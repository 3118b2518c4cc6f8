package dataset

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func isVisA(top folder) bool {
	images := top.sub("Data").sub("Images")
	return images.has("Normal") || images.has("Anomaly")
}

// addVisA takes the pictures that the data set's table split_csv/1cls.csv lists for
// the category.
func (s *Set) addVisA(top folder) error {
	path := filepath.Join(top.path, "..", "split_csv", "1cls.csv")
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w: it is missing, and it tells which pictures of %s are for training; VisA comes with it", path, ErrLayout, top.path)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	rows, err := readVisA(f, s.Category)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(rows) == 0 {
		return fmt.Errorf("%s: %w: it lists no pictures of %q; the folder of a category keeps its name", path, ErrLayout, s.Category)
	}
	var absent, unmasked []string
	for _, row := range rows {
		sample := Sample{Path: filepath.Join(top.path, row.image), Defect: Good}
		if _, err := os.Stat(sample.Path); errors.Is(err, fs.ErrNotExist) {
			absent = append(absent, sample.Path)
			continue
		}
		if row.anomalous {
			sample.Defect, sample.Anomalous = "anomaly", true
			if row.mask == "" {
				unmasked = append(unmasked, sample.Path)
			} else {
				sample.Mask, sample.Labels = filepath.Join(top.path, row.mask), true
			}
		}
		if row.train {
			s.Train = append(s.Train, sample)
		} else {
			s.Test = append(s.Test, sample)
		}
	}
	if len(absent) > 0 {
		s.warn("%s of %s missing, so that figures are not those of VisA: %s", count(len(absent), "picture"), path, some(absent))
	}
	s.warnUnmasked(unmasked)
	slices.SortFunc(s.Train, byPath)
	slices.SortFunc(s.Test, byPath)
	s.Protocol = append(s.Protocol, "split: split_csv/1cls.csv of VisA", "masks: any value but 0 marks a defect")
	return nil
}

// A visaRow is a picture in the table of VisA, with paths below its category.
type visaRow struct {
	train       bool
	anomalous   bool
	image, mask string
}

// readVisA reads the rows of a category. Its errors name the line and wrap
// [ErrLayout].
func readVisA(r io.Reader, category string) ([]visaRow, error) {
	table := csv.NewReader(r)
	table.FieldsPerRecord = 5
	table.ReuseRecord = true
	head, err := table.Read()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLayout, err)
	}
	if want := []string{"object", "split", "label", "image", "mask"}; !slices.Equal(head, want) {
		return nil, fmt.Errorf("%w: expected the columns %s, found %q", ErrLayout, strings.Join(want, ", "), head)
	}
	var rows []visaRow
	for {
		record, err := table.Read()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrLayout, err)
		}
		if record[0] != category {
			continue
		}
		line, _ := table.FieldPos(0)
		row := visaRow{train: record[1] == "train", anomalous: record[2] != "normal"}
		if !row.train && record[1] != "test" || row.train && row.anomalous {
			return nil, fmt.Errorf("%w: line %d: split %q with label %q; expected normal ones in train, and test", ErrLayout, line, record[1], record[2])
		}
		if row.image, err = below(category, record[3]); err == nil && record[4] != "" {
			row.mask, err = below(category, record[4])
		}
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrLayout, line, err)
		}
		rows = append(rows, row)
	}
}

// below returns the rest of a slashed path that begins with the name of a folder and
// leads nowhere out of it.
func below(name, path string) (string, error) {
	rest, found := strings.CutPrefix(path, name+"/")
	if rest = filepath.FromSlash(rest); !found || !filepath.IsLocal(rest) {
		return "", fmt.Errorf("%q is no path below %s", path, name)
	}
	return rest, nil
}
