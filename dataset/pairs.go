package dataset

import (
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// pairs are the pictures in a folder whose masks lie beside them, under the same
// name with an ending.
type pairs struct {
	ending   string
	pictures []string // paths
	masks    []string // of each; "" if it has none
}

// pairs tells pictures and masks in a folder apart, by an ending in small letters
// such as "_label".
func (f folder) pairs(ending string) pairs {
	p := pairs{ending: ending}
	byName := make(map[string]string)
	var pictures []string
	for _, file := range f.pictures {
		path := filepath.Join(f.path, file)
		if name, isMask := strings.CutSuffix(nameUnder(f.path, path), ending); isMask {
			byName[name] = path
		} else {
			pictures = append(pictures, path)
		}
	}
	for _, path := range pictures {
		p.pictures = append(p.pictures, path)
		p.masks = append(p.masks, byName[nameUnder(f.path, path)])
	}
	return p
}

// found reports whether there is a pair.
func (p pairs) found() bool {
	return slices.ContainsFunc(p.masks, func(mask string) bool { return mask != "" })
}

// tellApart reads the masks and makes samples of the pictures: defective where the
// mask has a value other than 0. Pictures without a mask are left out, with a
// warning.
func (s *Set) tellApart(p pairs) (good, defective []Sample, err error) {
	marks, errs := make([]bool, len(p.masks)), make([]error, len(p.masks))
	var wait sync.WaitGroup
	turns := make(chan struct{}, runtime.GOMAXPROCS(0)) // masks in memory at a time
	for i, path := range p.masks {
		if path == "" {
			continue
		}
		turns <- struct{}{}
		wait.Go(func() {
			marks[i], errs[i] = hasMark(path)
			<-turns
		})
	}
	wait.Wait()
	var absent []string
	for i, path := range p.pictures {
		switch {
		case errs[i] != nil:
			return nil, nil, errs[i]
		case p.masks[i] == "":
			absent = append(absent, path)
		case marks[i]:
			defective = append(defective, Sample{Path: path, Mask: p.masks[i], Labels: true, Defect: "defect", Anomalous: true})
		default:
			good = append(good, Sample{Path: path, Defect: Good})
		}
	}
	if len(absent) > 0 {
		s.warn("%s left out, since only a mask (NAME%s) tells good from defective: %s", count(len(absent), "picture"), p.ending, some(absent))
	}
	return good, defective, nil
}

// hasMark reads a mask and reports whether it has a value other than 0.
func hasMark(path string) (bool, error) {
	mask, err := Sample{Mask: path}.OpenMask()
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(mask.Pix, func(v uint8) bool { return v != 0 }), nil
}

// merge makes one list of two, sorted by path.
func merge(a, b []Sample) []Sample {
	return slices.SortedFunc(slices.Values(slices.Concat(a, b)), byPath)
}
