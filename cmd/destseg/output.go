package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/destseg/destseg/internal/wholefile"
)

// outputFile checks, before any work, that a file can be written at path: its
// folder is there and takes files, and what bears the name is no folder or
// device. It returns the path to write, past symbolic links, so that replacing
// the file does not replace a link.
func outputFile(path string) (string, error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return "", fmt.Errorf("%s: is a folder; name a file in it", path)
	case err == nil && !info.Mode().IsRegular():
		return "", fmt.Errorf("%s: is no ordinary file; name another one", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	return path, takesFiles(filepath.Dir(path))
}

// newFile checks, before any work, that a command that reads inputs can write a file at
// path, and vacates the place. It returns the path to write.
func newFile(path string, force bool, inputs ...string) (string, error) {
	path, err := outputFile(path)
	if err != nil {
		return "", err
	}
	if err := keepInputs([]string{path}, inputs); err != nil {
		return "", err
	}
	return path, vacate(path, force)
}

// vacate checks that there is no file at path, unless it is to be replaced, and removes
// what a killed program has left beside it.
func vacate(path string, force bool) error {
	if _, err := os.Stat(path); err == nil && !force {
		return fmt.Errorf("%s: there is a file already; --force replaces it, --output names another one", path)
	}
	return wholefile.RemoveLeftovers(path)
}

// outputFolder makes a folder and those above it, as far as they are missing,
// and checks that it takes files. No path stands for no folder.
func outputFolder(path string) error {
	if path == "" {
		return nil
	}
	if err := os.MkdirAll(path, 0o777); err != nil {
		return err
	}
	return takesFiles(path)
}

// keepInputs refuses outputs that would take the place of an input. The outputs ""
// and "-" are no files.
func keepInputs(outputs, inputs []string) error {
	read := make(map[string]bool, len(inputs))
	for _, path := range inputs {
		read[realPath(path)] = true
	}
	for _, path := range outputs {
		if path != "" && path != "-" && read[realPath(path)] {
			return wrongUsage("%s is read by this command and would be replaced; name another output", path)
		}
	}
	return nil
}

// sameFile reports whether two paths name the same file, which need not be there.
func sameFile(a, b string) bool {
	first, err1 := os.Stat(a)
	second, err2 := os.Stat(b)
	if err1 == nil && err2 == nil {
		return os.SameFile(first, second)
	}
	return err1 != nil && err2 != nil && realPath(a) == realPath(b)
}

// realPath returns the absolute path of a file past symbolic links; if it is not
// there, past those on the way to its folder.
func realPath(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return absolute(target)
	}
	folder, name := filepath.Split(path)
	if target, err := filepath.EvalSymlinks(filepath.Clean(folder)); err == nil {
		folder = target
	}
	return filepath.Join(absolute(folder), name)
}

// absolute returns the absolute path, or the path as it is if the working folder is
// gone.
func absolute(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		return whole
	}
	return path
}

// outsideInputs refuses a folder for results that lies in a folder of pictures,
// given by its name or a pattern: what is written there would be judged next time.
func outsideInputs(folder string, args []string) error {
	if folder == "" {
		return nil
	}
	for _, arg := range args {
		matches, _ := filepath.Glob(arg) // a bad pattern has been told
		for _, path := range append(matches, arg) {
			if info, err := os.Stat(path); err == nil && info.IsDir() && within(absolute(path), absolute(folder)) {
				return wrongUsage("%s lies in %s, so that the next run would judge what this one writes; name a folder outside", folder, path)
			}
		}
	}
	return nil
}

// takesFiles tries whether files can be made in a folder.
func takesFiles(folder string) error {
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: no such folder; make it first", folder)
	}
	probe, err := wholefile.Create(filepath.Join(folder, "probe"))
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return fmt.Errorf("%s: no file can be made there: %w", folder, err)
	}
	probe.Discard()
	return nil
}

// A result is where a command's results go: the standard output, or a file that
// appears under its name when it is complete. Its errors name it.
type result struct {
	io.Writer
	whole  *wholefile.File // nil unless it is an ordinary file
	device *os.File        // nil unless it is a file of another kind
}

// openResult opens the file at path, or the standard output if it is "" or "-".
// What is no ordinary file, such as a pipe, is written directly.
func (c *console) openResult(path string) (*result, error) {
	if path == "" || path == "-" {
		return &result{Writer: c.out}, nil
	}
	if info, err := os.Stat(path); err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		device, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return nil, err
		}
		return &result{Writer: device, device: device}, nil
	}
	path, err := outputFile(path)
	if err != nil {
		return nil, err
	}
	file, err := wholefile.Create(path)
	if err != nil {
		return nil, err
	}
	return &result{Writer: file, whole: file}, nil
}

// finish completes the file.
func (r *result) finish() error {
	switch {
	case r.whole != nil:
		return r.whole.Commit()
	case r.device != nil:
		return r.device.Close()
	}
	return nil
}

// discard removes a file that finish has not completed.
func (r *result) discard() {
	switch {
	case r.whole != nil:
		r.whole.Discard()
	case r.device != nil:
		r.device.Close() // a second close does nothing
	}
}
