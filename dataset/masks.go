package dataset

import (
	"path/filepath"
	"slices"
	"strings"
)

// masks are the masks of one kind of defect, to be found by the names of pictures.
type masks struct {
	byName map[string]string // normalised name → path
	used   map[string]bool   // by path
}

// readMasks lists the masks of a kind in ground_truth, which may be absent.
func (s *Set) readMasks(truth folder, kind string) (masks, error) {
	m := masks{byName: make(map[string]string), used: make(map[string]bool)}
	if !truth.has(kind) {
		return m, nil
	}
	base := truth.join(kind)
	paths, err := s.pictures(base)
	if err != nil {
		return m, err
	}
	for _, path := range paths {
		m.byName[nameUnder(base, path)] = path
	}
	return m, nil
}

// find returns the mask of a picture under base, or "".
func (m masks) find(base, path string) string {
	name := nameUnder(base, path)
	for _, candidate := range []string{name + "_mask", name} {
		if mask, ok := m.byName[candidate]; ok {
			m.used[mask] = true
			return mask
		}
	}
	return ""
}

// unused lists the masks that no picture had.
func (m masks) unused() []string {
	var idle []string
	for _, path := range m.byName {
		if !m.used[path] {
			idle = append(idle, path)
		}
	}
	slices.Sort(idle)
	return idle
}

// nameUnder returns path relative to base, without extension, in small letters.
func nameUnder(base, path string) string {
	name := strings.TrimPrefix(path, base)
	return strings.ToLower(strings.TrimSuffix(name, filepath.Ext(name)))
}
