package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// extension ends the names of detectors' files.
const extension = ".safetensors"

// maxName is the largest length of a detector's name in bytes.
const maxName = 128

// ValidName reports whether a text can name a detector: it is the name of a file in a
// folder and of nothing else, can be printed, and does not begin with a dot.
func ValidName(name string) bool {
	if name == "" || len(name) > maxName || name[0] == '.' || !utf8.ValidString(name) || strings.ContainsAny(name, `/\:`) {
		return false
	}
	for _, r := range name {
		if !unicode.IsGraphic(r) {
			return false
		}
	}
	return filepath.IsLocal(name + extension)
}

// A source is a folder of detectors, or one detector's file.
type source struct {
	path string
	name string // of the one detector; "" for a folder
}

// openSources tells folders and files apart.
func openSources(paths []string) ([]source, error) {
	var sources []source
	named := map[string]string{}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		s := source{path: path}
		if !info.IsDir() {
			s.name = strings.TrimSuffix(filepath.Base(path), extension)
			if !ValidName(s.name) {
				return nil, fmt.Errorf("%s: %q can't name a detector; call the file otherwise", path, s.name)
			}
			if other, ok := named[s.name]; ok {
				return nil, fmt.Errorf("%s and %s are both called %s; call one otherwise", other, path, s.name)
			}
			named[s.name] = path
		}
		sources = append(sources, s)
	}
	return sources, nil
}

// A stamp tells one content of a file from the next, without reading it.
type stamp struct {
	path     string
	size     int64
	modified time.Time
	file     os.FileInfo // for os.SameFile
}

func (s stamp) same(other stamp) bool {
	return s.file != nil && other.file != nil && s.path == other.path && s.size == other.size &&
		s.modified.Equal(other.modified) && os.SameFile(s.file, other.file)
}

// stampOf looks at a file. Errors wrap [ErrUnknown] unless there is an ordinary file.
func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return stamp{}, ErrUnknown
	}
	if err != nil {
		return stamp{}, fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	return stamp{path, info.Size(), info.ModTime(), info}, nil
}

// find returns the file of a detector as it is now: that of the first source that has
// one. Errors wrap [ErrUnknown] or [ErrUnusable].
func (h *Host) find(name string) (stamp, error) {
	if !ValidName(name) {
		return stamp{}, ErrUnknown
	}
	for _, s := range h.sources {
		path := s.path
		switch s.name {
		case "":
			path = filepath.Join(s.path, name+extension)
		case name:
		default:
			continue
		}
		if found, err := stampOf(path); !errors.Is(err, ErrUnknown) {
			return found, err
		}
	}
	return stamp{}, ErrUnknown
}

// Names returns the names of all detectors that there are, sorted. Errors are those of
// folders that can't be read.
func (h *Host) Names() ([]string, error) {
	var names []string
	for _, s := range h.sources {
		if s.name != "" {
			names = append(names, s.name)
			continue
		}
		entries, err := os.ReadDir(s.path)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if name, ok := strings.CutSuffix(e.Name(), extension); ok && ValidName(name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
