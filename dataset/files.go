package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// folder is what one folder holds, sorted by name; hidden entries left out.
type folder struct {
	path     string
	folders  []string
	pictures []string
	foreign  []string // pictures in formats that are not read
}

// readFolder lists the folder at path.
func readFolder(path string) (folder, error) {
	f := folder{path: path}
	entries, err := os.ReadDir(path)
	if err != nil {
		return f, err
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		kind := kindOf(name)
		if entry.Type().IsRegular() && kind == other {
			continue // spares the look at the file
		}
		info, err := os.Stat(filepath.Join(path, name)) // follows links
		switch {
		case err != nil && kind == other:
			// A dangling link that is no picture concerns nobody.
		case err != nil:
			return f, err
		case info.IsDir():
			f.folders = append(f.folders, name)
		case !info.Mode().IsRegular():
		case kind == readable:
			f.pictures = append(f.pictures, name)
		case kind == foreign:
			f.foreign = append(f.foreign, name)
		}
	}
	return f, nil
}

// index finds a folder by its name, exactly or else regardless of case; −1 if
// there is none.
func (f folder) index(name string) int {
	if i := slices.Index(f.folders, name); i >= 0 {
		return i
	}
	return slices.IndexFunc(f.folders, func(s string) bool { return strings.EqualFold(s, name) })
}

// has reports whether there is a folder of that name, regardless of case.
func (f folder) has(name string) bool { return f.index(name) >= 0 }

// join returns the path of the folder of that name, which must be there.
func (f folder) join(name string) string {
	return filepath.Join(f.path, f.folders[f.index(name)])
}

// foldersExcept lists the folders of other names than these, regardless of case.
func (f folder) foldersExcept(names ...string) []string {
	var others []string
	for _, name := range f.folders {
		if !slices.ContainsFunc(names, func(s string) bool { return strings.EqualFold(s, name) }) {
			others = append(others, name)
		}
	}
	return others
}

// kind tells files apart by their extension.
type kind int

const (
	other    kind = iota
	readable      // a picture of package picture
	foreign       // a picture all the same
)

func kindOf(name string) kind {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp":
		return readable
	case ".gif", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".dng", ".raw":
		return foreign
	}
	return other
}

// deepest is how far folders may nest; links that lead back end there.
const deepest = 32

// walk lists the pictures in the folder at path and in the folders below it, sorted
// by path: those that can be read, and those in other formats.
func walk(path string) (pictures, foreign []string, err error) {
	var visit func(path string, depth int) error
	visit = func(path string, depth int) error {
		if depth > deepest {
			return fmt.Errorf("%s: folders nest more than %d deep; does a link lead back to an outer one?", path, deepest)
		}
		f, err := readFolder(path)
		if err != nil {
			return err
		}
		for _, name := range f.pictures {
			pictures = append(pictures, filepath.Join(path, name))
		}
		for _, name := range f.foreign {
			foreign = append(foreign, filepath.Join(path, name))
		}
		for _, name := range f.folders {
			if err := visit(filepath.Join(path, name), depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	err = visit(path, 0)
	slices.Sort(pictures)
	slices.Sort(foreign)
	return pictures, foreign, err
}
