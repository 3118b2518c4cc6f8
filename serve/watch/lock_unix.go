//go:build unix

package watch

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A lock keeps other processes out. The system releases it when the process ends, however
// that comes about.
type lock struct{ file *os.File }

func acquire(path string) (*lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another process uses %s; end it, or name another folder for the state", path)
		}
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return &lock{f}, nil
}

func (l *lock) release() { l.file.Close() }
