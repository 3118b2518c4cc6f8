package dataset

import (
	"fmt"
	"io/fs"
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
	foreign  []string  // pictures in formats that are not read
	failures []Failure // pictures that can't be looked at, by path
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
			f.failures = append(f.failures, Failure{filepath.Join(path, name), err})
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

// optional lists the folder of that name; an absent one is empty.
func (f folder) optional(name string) (folder, error) {
	if !f.has(name) {
		return folder{path: filepath.Join(f.path, name)}, nil
	}
	return readFolder(f.join(name))
}

// sub is optional for a look: what can't be read is empty.
func (f folder) sub(name string) folder {
	inner, err := f.optional(name)
	if err != nil {
		return folder{path: inner.path}
	}
	return inner
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

// IsPicture reports whether a file's name has the extension of a picture that is
// read.
func IsPicture(name string) bool { return kindOf(name) == readable }

func kindOf(name string) kind {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp":
		return readable
	case ".gif", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".dng", ".raw":
		return foreign
	}
	return other
}

// deepest is how far folders may nest.
const deepest = 32

// A tree is what the folders below one hold, sorted by path.
type tree struct {
	pictures []string
	foreign  []string // in formats that are not read
	failures []Failure
}

// walk lists the pictures in the folder at path and in the folders below it. A
// folder that lies outside itself, as a link back makes it, is not entered again.
func walk(path string) tree {
	var t tree
	t.visit(path, outerFolders(path), 0)
	slices.Sort(t.pictures)
	slices.Sort(t.foreign)
	return t
}

// visit takes one folder; way holds the folders that it lies in.
func (t *tree) visit(path string, way []fs.FileInfo, depth int) {
	fail := func(err error) { t.failures = append(t.failures, Failure{path, err}) }
	info, err := os.Stat(path)
	if err != nil {
		fail(err)
		return
	}
	if slices.ContainsFunc(way, func(outer fs.FileInfo) bool { return os.SameFile(outer, info) }) {
		return
	}
	if depth > deepest {
		fail(fmt.Errorf("%s: folders nest more than %d deep", path, deepest))
		return
	}
	f, err := readFolder(path)
	if err != nil {
		fail(err)
		return
	}
	for _, name := range f.pictures {
		t.pictures = append(t.pictures, filepath.Join(path, name))
	}
	for _, name := range f.foreign {
		t.foreign = append(t.foreign, filepath.Join(path, name))
	}
	t.failures = append(t.failures, f.failures...)
	way = append(way, info)
	for _, name := range f.folders {
		t.visit(filepath.Join(path, name), way, depth+1)
	}
}

// outerFolders describes the folders that the one at path lies in, links resolved.
func outerFolders(path string) []fs.FileInfo {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return nil // visit finds the reason too
	}
	var outer []fs.FileInfo
	for {
		parent := filepath.Dir(real)
		if parent == real {
			return outer
		}
		if info, err := os.Stat(parent); err == nil {
			outer = append(outer, info)
		}
		real = parent
	}
}
