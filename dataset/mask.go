package dataset

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/destseg/destseg/picture"
)

// OpenMask reads the mask of a sample: nil if it has none, else a picture that is
// white where there is a defect. Several masks are united; they must have one size.
// Errors name the file and are those of [picture.OpenGray] and [ErrLayout].
func (s Sample) OpenMask() (*picture.Gray, error) {
	files, err := s.MaskFiles()
	if err != nil {
		return nil, err
	}
	var whole *picture.Gray
	for _, path := range files {
		mask, err := picture.OpenGray(path)
		if err != nil {
			return nil, err
		}
		if s.Labels {
			for i, v := range mask.Pix {
				if v != 0 {
					mask.Pix[i] = 255
				}
			}
		}
		if whole == nil {
			whole = mask
			continue
		}
		if mask.Width != whole.Width || mask.Height != whole.Height {
			return nil, fmt.Errorf("%s: %w: a mask of %d×%d pixels beside one of %d×%d; masks of one picture have one size",
				path, ErrLayout, mask.Width, mask.Height, whole.Width, whole.Height)
		}
		for i, v := range mask.Pix {
			whole.Pix[i] = max(whole.Pix[i], v)
		}
	}
	return whole, nil
}

// MaskFiles lists the files that [Sample.OpenMask] reads.
func (s Sample) MaskFiles() ([]string, error) {
	if s.Mask == "" {
		return nil, nil
	}
	if kindOf(s.Mask) == readable {
		return []string{s.Mask}, nil
	}
	f, err := readFolder(s.Mask)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, name := range f.pictures {
		files = append(files, filepath.Join(s.Mask, name))
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: %w", s.Mask, ErrEmpty)
	}
	return files, nil
}

// masks are the masks of one kind of defect, to be found by the names of pictures.
type masks struct {
	byName map[string]string // normalised name → path
	used   map[string]bool   // by path
}

// readMasks lists the masks of a kind in ground_truth, which may be absent: a file
// for each picture.
func (s *Set) readMasks(truth folder, kind string) (masks, error) {
	m := masks{byName: make(map[string]string), used: make(map[string]bool)}
	if !truth.has(kind) {
		return m, nil
	}
	base := truth.join(kind)
	paths, err := s.pictures(base)
	for _, path := range paths {
		m.byName[nameUnder(base, path)] = path
	}
	return m, err
}

// readMaskFolders is readMasks where each picture has a folder of masks.
func (s *Set) readMaskFolders(truth folder, kind string) (masks, error) {
	m := masks{byName: make(map[string]string), used: make(map[string]bool)}
	if !truth.has(kind) {
		return m, nil
	}
	of, err := readFolder(truth.join(kind))
	for _, name := range of.folders {
		m.byName[string(filepath.Separator)+strings.ToLower(name)] = filepath.Join(of.path, name)
	}
	return m, err
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
