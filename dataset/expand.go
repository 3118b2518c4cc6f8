package dataset

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrForeign says that a file is a picture by its extension, in a format that is
// not read.
var ErrForeign = errors.New("pictures in this format are not read; save it as PNG")

// A Failure is a path that led to no picture.
type Failure struct {
	Path string
	Err  error // names the path
}

// Expand turns the arguments of a command into a sorted list of picture files, each
// once. An argument is
//
//   - a file, taken whatever its extension,
//   - a folder, of which all pictures are taken, those in further folders too, or
//   - a pattern of [filepath.Match], for shells that leave patterns alone; what it
//     matches is taken like a folder's content.
//
// A path that leads to no picture does not keep the others from being taken: an
// argument ([fs.ErrNotExist], [ErrEmpty], [filepath.ErrBadPattern]), or what lies in
// a folder and can't be read, such as a link to nowhere or a picture in another
// format ([ErrForeign]).
func Expand(args []string) (pictures []string, failures []Failure) {
	var e expansion
	for _, arg := range args {
		e.add(arg)
	}
	slices.Sort(e.pictures)
	slices.SortStableFunc(e.failures, func(a, b Failure) int { return strings.Compare(a.Path, b.Path) })
	return slices.Compact(e.pictures),
		slices.CompactFunc(e.failures, func(a, b Failure) bool { return a.Path == b.Path })
}

// An expansion gathers what arguments lead to.
type expansion struct {
	pictures []string
	failures []Failure
}

func (e *expansion) fail(path string, err error) {
	e.failures = append(e.failures, Failure{path, err})
}

func (e *expansion) add(arg string) {
	before := len(e.pictures) + len(e.failures)
	// A file may be called like a pattern, so files come first.
	info, err := os.Stat(arg)
	switch pattern := strings.ContainsAny(arg, `*?[`); {
	case err == nil && info.IsDir():
		e.addFolder(arg)
	case err == nil && !info.Mode().IsRegular():
		e.fail(arg, fmt.Errorf("%s: is no ordinary file", arg))
	case err == nil:
		e.pictures = append(e.pictures, filepath.Clean(arg))
	case pattern:
		matches, err := filepath.Glob(arg)
		if err != nil {
			e.fail(arg, fmt.Errorf("%s: %w", arg, err))
		}
		for _, path := range matches {
			e.addMatch(path)
		}
	default:
		e.fail(arg, err)
	}
	if len(e.pictures)+len(e.failures) == before {
		e.fail(arg, fmt.Errorf("%s: %w", arg, ErrEmpty))
	}
}

// addMatch takes what a pattern has matched, as far as it is a picture or a folder.
func (e *expansion) addMatch(path string) {
	info, err := os.Stat(path)
	switch kind := kindOf(path); {
	case err == nil && info.IsDir():
		e.addFolder(path)
	case kind == other || strings.HasPrefix(filepath.Base(path), "."):
	case err != nil:
		e.fail(path, err)
	case !info.Mode().IsRegular():
	case kind == foreign:
		e.fail(path, foreignError(path))
	default:
		e.pictures = append(e.pictures, filepath.Clean(path))
	}
}

func (e *expansion) addFolder(path string) {
	found := walk(filepath.Clean(path))
	e.pictures = append(e.pictures, found.pictures...)
	for _, path := range found.foreign {
		e.fail(path, foreignError(path))
	}
	e.failures = append(e.failures, found.failures...)
}

func foreignError(path string) error { return fmt.Errorf("%s: %w", path, ErrForeign) }
