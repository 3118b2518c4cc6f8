// Package wholefile writes files that appear whole or not at all: the bytes go to a
// temporary name in the same folder, are forced to the disk and then take the file's
// name, so that there is the old file or the new one, never a part.
package wholefile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
)

// Write exchanges the file at path for what write writes. Errors are
// [fs.PathError] that name path, also if they come from write; nothing is left over
// then.
func Write(path string, write func(io.Writer) error) error {
	f, err := Create(path)
	if err != nil {
		return err
	}
	defer f.Discard()
	buffered := bufio.NewWriterSize(f, 1<<20)
	if err := write(buffered); err != nil {
		return f.named(err)
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return f.Commit()
}

// A File is being written under a temporary name.
type File struct {
	path string
	file *os.File // nil once committed or discarded
}

// Create begins a file that is to appear at path. Errors of this function and of
// the methods are [fs.PathError] that name path.
func Create(path string) (*File, error) {
	f := &File{path: path}
	// Not os.CreateTemp, which would make the file unreadable to others against the
	// user's umask.
	file, err := os.OpenFile(fmt.Sprintf("%s.%016x.tmp", path, rand.Uint64()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, f.named(err)
	}
	f.file = file
	return f, nil
}

// Name returns the temporary name, for what can only be told a name to write to.
func (f *File) Name() string { return f.file.Name() }

// Write implements [io.Writer].
func (f *File) Write(p []byte) (int, error) {
	n, err := f.file.Write(p)
	return n, f.named(err)
}

// Commit gives the file its name. On failure nothing is left over.
func (f *File) Commit() error {
	defer f.Discard()
	if err := f.file.Sync(); err != nil {
		return f.named(err)
	}
	if err := f.file.Close(); err != nil {
		return f.named(err)
	}
	if err := os.Rename(f.file.Name(), f.path); err != nil {
		return f.named(err)
	}
	f.file = nil
	// The new name survives a power cut once the folder is on the disk. Not every
	// system can do that, and the file is whole either way.
	if folder, err := os.Open(filepath.Dir(f.path)); err == nil {
		folder.Sync()
		folder.Close()
	}
	return nil
}

// Discard removes what was written, unless it was committed.
func (f *File) Discard() {
	if f.file == nil {
		return
	}
	f.file.Close() // a second close does nothing
	os.Remove(f.file.Name())
	f.file = nil
}

// named gives an error the file's own name in place of the temporary one.
func (f *File) named(err error) error {
	if err == nil {
		return nil
	}
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		err = e.Err
	}
	if e := (*os.LinkError)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return &fs.PathError{Op: "write", Path: f.path, Err: err}
}

var temporary = regexp.MustCompile(`^(.+)\.[0-9a-f]{16}\.tmp$`)

// Target returns the file that was being written under a temporary name, which a
// program that was killed may have left over; ok is false for other names.
func Target(name string) (path string, ok bool) {
	m := temporary.FindStringSubmatch(name)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// RemoveLeftovers removes what programs that were killed while they wrote path have
// left beside it. No other program may be writing it.
func RemoveLeftovers(path string) error {
	folder, name := filepath.Split(path)
	entries, err := os.ReadDir(filepath.Clean(folder))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if target, ok := Target(entry.Name()); !ok || target != name {
			continue
		}
		if err := os.Remove(filepath.Join(folder, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}
