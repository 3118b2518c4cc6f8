package weights

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// WriteFile writes f to path as safetensors. The bytes go to a temporary name in the same folder, are forced to the
// disk and then take the name, so that path holds the old file or the new one whole, never a part. On failure the
// temporary file is removed and the error names path.
func WriteFile(path string, f *File) error {
	err := replace(path, func(w io.Writer) error { return WriteSafetensors(w, f) })
	if err != nil {
		return fmt.Errorf("weights: write %s: %w", path, err)
	}
	return nil
}

// replace exchanges the file at path for what write writes, all or nothing.
func replace(path string, write func(io.Writer) error) (err error) {
	// Not os.CreateTemp, which would make the file unreadable to others against the user's umask.
	temporary := fmt.Sprintf("%s.%016x.tmp", path, rand.Uint64())
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return cause(err)
	}
	defer func() {
		if err != nil {
			file.Close() // a second close does nothing
			os.Remove(temporary)
			err = cause(err)
		}
	}()
	buffered := bufio.NewWriterSize(file, 1<<20)
	if err := write(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	// The new name survives a power cut once the folder is on the disk. Not every system can do that, and the file is
	// whole either way.
	if folder, err := os.Open(filepath.Dir(path)); err == nil {
		folder.Sync()
		folder.Close()
	}
	return nil
}

// cause drops the operation and the temporary name that package os puts before an error.
func cause(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	if e := (*os.LinkError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}
