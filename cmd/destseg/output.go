package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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

// takesFiles tries whether files can be made in a folder.
func takesFiles(folder string) error {
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: no such folder; make it first", folder)
	}
	probe, err := os.CreateTemp(folder, ".destseg-*")
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return fmt.Errorf("%s: no file can be made there: %w", folder, err)
	}
	probe.Close()
	return os.Remove(probe.Name())
}

// A result is where a command's results go: the standard output, or a file that
// appears under its name when it is complete. Its errors name it.
type result struct {
	to        io.Writer
	path      string   // "" for the standard output
	file      *os.File // nil for the standard output, and once closed
	temporary bool     // file bears another name than path
}

// openResult opens the file at path, or the standard output if it is "" or "-".
// What is no ordinary file, such as a pipe, is written directly.
func (c *console) openResult(path string) (*result, error) {
	if path == "" || path == "-" {
		return &result{to: c.out}, nil
	}
	if info, err := os.Stat(path); err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		device, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return nil, err
		}
		return &result{to: device, path: path, file: device}, nil
	}
	path, err := outputFile(path)
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".destseg-*")
	if err != nil {
		return nil, err
	}
	return &result{to: file, path: path, file: file, temporary: true}, nil
}

// Write implements io.Writer.
func (r *result) Write(p []byte) (int, error) {
	n, err := r.to.Write(p)
	return n, r.named(err)
}

// finish completes the file.
func (r *result) finish() error {
	if r.file == nil {
		return nil
	}
	var err error
	if r.temporary {
		err = r.file.Chmod(0o644) // temporary files are private
	}
	err = errors.Join(err, r.file.Close())
	if r.temporary {
		if err == nil {
			err = os.Rename(r.file.Name(), r.path)
		}
		if err != nil {
			os.Remove(r.file.Name())
		}
	}
	r.file = nil
	return r.named(err)
}

// discard removes a file that finish has not completed.
func (r *result) discard() {
	if r.file == nil {
		return
	}
	r.file.Close()
	if r.temporary {
		os.Remove(r.file.Name())
	}
	r.file = nil
}

// named puts the result's own name in the place of the temporary one.
func (r *result) named(err error) error {
	if err == nil || r.path == "" {
		return err
	}
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("%s: not written: %w", r.path, err)
}
