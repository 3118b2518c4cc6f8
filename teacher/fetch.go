package teacher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/destseg/destseg/internal/disk"
	"github.com/destseg/destseg/internal/download"
	"github.com/destseg/destseg/internal/wholefile"
	"github.com/destseg/destseg/network"
)

// What can go wrong on the way. See [Cache.Fetch].
var (
	// ErrUnreachable: no server answered. There may be no network, or a proxy missing.
	ErrUnreachable = download.ErrUnreachable
	// ErrRefused: a server answered, but not with the file.
	ErrRefused = download.ErrRefused
	// ErrBroken: the file came in part. The next call goes on from there.
	ErrBroken = download.ErrBroken
)

// Fetching says how to fetch. All of it may be left out.
type Fetching struct {
	URL      string                  // of a mirror, in place of the source's
	Fresh    bool                    // forget what an interrupted download has left
	Progress func(done, total int64) // in bytes
	// Retry is told that an attempt failed and the next one follows after wait; 0 if
	// that begins with the first byte, because what an interrupted download had left
	// does not belong to the file.
	Retry func(err error, wait time.Duration)
}

// Fetch downloads the source's file, checks its digest and puts the teacher into the
// cache, in place of what is there. The proxy comes from the environment, as
// [net/http.ProxyFromEnvironment] says. What fails for the moment is tried again. What
// came of an interrupted download stays in [Cache.Partial], from where the next one
// goes on. Two at a time do no harm, but may make each other fail.
//
// If ctx ends, the error is its cause. Others name the URL or the file, and wrap
// [ErrUnreachable], [ErrRefused], [ErrBroken], [ErrOther] or [ErrUnsuitable], or come
// from the file system.
func (c Cache) Fetch(ctx context.Context, f Fetching) error {
	if err := os.MkdirAll(c.Folder, 0o777); err != nil {
		return err
	}
	partial := c.Partial()
	if f.Fresh {
		if err := download.Remove(partial); err != nil {
			return err
		}
	}
	if err := wholefile.RemoveLeftovers(c.Path()); err != nil { // they take up room
		return err
	}
	if err := c.checkRoom(disk.Free); err != nil {
		return err
	}
	file := download.File{URL: c.Source.URL, Digest: c.Source.Digest, Size: c.Source.Size}
	if f.URL != "" {
		file.URL = f.URL
	}
	o := download.Options{Retry: f.Retry}
	if f.Progress != nil {
		o.Progress = func(done int64) { f.Progress(done, file.Size) }
	}
	if err := download.Get(ctx, file, partial, o); err != nil {
		return err
	}
	if err := c.Import(partial); err != nil {
		if _, missing := os.Stat(partial); errors.Is(missing, fs.ErrNotExist) {
			if _, absent := c.Load(); absent == nil {
				return nil // another call was done with it first
			}
		}
		return err
	}
	return download.Remove(partial)
}

// Partial is the file that takes up a download.
func (c Cache) Partial() string { return filepath.Join(c.Folder, c.Source.File()+".part") }

// checkRoom refuses a download that does not fit on the disk, as far as free, which is
// disk.Free, tells.
func (c Cache) checkRoom(free func(folder string) (bytes int64, fileSystem uint64, ok bool)) error {
	need := c.Source.Size
	for _, t := range network.Tensors() {
		if t.Part() == network.TeacherPart {
			need += 4 * int64(t.Shape.Size()) // float32
		}
	}
	if info, err := os.Stat(c.Partial()); err == nil {
		need -= min(info.Size(), c.Source.Size)
	}
	if left, _, ok := free(c.Folder); ok && left < need {
		const mebi = 1 << 20
		return fmt.Errorf("%s: the disk has %d MiB left, and the download needs %d MiB there; make room", c.Folder, left/mebi, (need+mebi-1)/mebi)
	}
	return nil
}
