package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Expand turns the arguments of a command into a sorted list of picture files, each
// once. An argument is
//
//   - a file, taken whatever its extension,
//   - a folder, of which all pictures are taken, those in further folders too, or
//   - a pattern of [filepath.Match], for shells that leave patterns alone; what it
//     matches is taken like a folder's content.
//
// The error tells of every argument that led to no picture: [fs.ErrNotExist],
// [ErrEmpty] or [filepath.ErrBadPattern]. It comes without a list.
func Expand(args []string) ([]string, error) {
	var paths []string
	var failures []error
	for _, arg := range args {
		found, err := expandOne(arg)
		if err != nil {
			failures = append(failures, err)
		}
		paths = append(paths, found...)
	}
	if len(failures) > 0 {
		return nil, errors.Join(failures...)
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

func expandOne(arg string) ([]string, error) {
	// A file may be called like a pattern, so files come first.
	info, err := os.Stat(arg)
	switch {
	case err == nil && info.IsDir():
		return picturesOf(arg, []string{arg})
	case err == nil:
		return []string{filepath.Clean(arg)}, nil
	case !errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(arg, `*?[`):
		return nil, err
	}
	matches, globErr := filepath.Glob(arg)
	if globErr != nil {
		return nil, fmt.Errorf("%s: %w", arg, globErr)
	}
	if !strings.ContainsAny(arg, `*?[`) {
		return nil, err
	}
	return picturesOf(arg, matches)
}

// picturesOf lists the pictures among paths and in the folders among them.
func picturesOf(arg string, paths []string) ([]string, error) {
	var found []string
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return nil, err
		case info.IsDir():
			pictures, _, err := walk(filepath.Clean(path))
			if err != nil {
				return nil, err
			}
			found = append(found, pictures...)
		case kindOf(path) == readable && !strings.HasPrefix(filepath.Base(path), "."):
			found = append(found, filepath.Clean(path))
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: %w", arg, ErrEmpty)
	}
	return found, nil
}
