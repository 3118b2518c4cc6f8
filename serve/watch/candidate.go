package watch

import (
	"cmp"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/destseg/destseg/dataset"
)

// A version tells one content of a file from another.
type version struct {
	Size     int64 `json:"size"`
	Modified int64 `json:"modified"` // nanoseconds since 1970
}

func versionOf(info os.FileInfo) version {
	return version{info.Size(), info.ModTime().UnixNano()}
}

// A file is a picture's file as a look at the folder found it.
type file struct {
	path string // below Dir, with slashes
	version
}

// A candidate is a picture that is not done with. It belongs to the loop of
// [Watcher.run], or while busy to a worker.
type candidate struct {
	file
	since time.Time // when this version was first seen, or last written to
	next  time.Time // when to try it
	tries int       // that failed
	busy  bool      // ready, or with a worker

	ended outcome // of the worker's try
}

// An outcome is what came of a try.
type outcome int

const (
	finished outcome = iota // it is done with, or gone
	changed                 // while it was read
	damaged                 // it can't be decoded, perhaps not yet
	failed                  // for a reason that lies elsewhere
)

// observe takes note of a file. touched says that something was just written to it,
// even if its version does not show it.
func (w *Watcher) observe(f file, touched bool) {
	now := time.Now()
	c := w.candidates[f.path]
	if e, ok := w.journal.get(f); ok && e.done && e.to == "" && c == nil {
		return
	}
	switch {
	case c == nil:
		w.candidates[f.path] = &candidate{file: f, since: now, next: now.Add(w.config.Settle)}
	case c.busy: // who reads it sees that it changes
	case touched || c.version != f.version:
		c.version, c.since, c.next, c.tries = f.version, now, now.Add(w.config.Settle), 0
	}
}

// look takes note of the file at a path below Dir that something happened to.
func (w *Watcher) look(path string) {
	info, err := os.Lstat(filepath.Join(w.config.Dir, filepath.FromSlash(path)))
	if err == nil && info.Mode().IsRegular() {
		w.observe(file{path, versionOf(info)}, true)
	}
}

// promote makes candidates ready whose time has come, the oldest first.
func (w *Watcher) promote(now time.Time) {
	before := len(w.ready)
	for _, c := range w.candidates {
		if !c.busy && !now.Before(c.next) {
			c.busy = true
			w.ready = append(w.ready, c)
		}
	}
	slices.SortFunc(w.ready[before:], func(a, b *candidate) int {
		return cmp.Or(cmp.Compare(a.Modified, b.Modified), cmp.Compare(a.path, b.path))
	})
}

// settle decides what becomes of a candidate that a worker has tried.
func (w *Watcher) settle(c *candidate) {
	c.busy = false
	const longest = 30 * time.Second
	switch c.ended {
	case finished:
		delete(w.candidates, c.path)
	case changed:
		delete(w.candidates, c.path)
		w.look(c.path)
	case damaged:
		c.next = time.Now().Add(backoff(w.config.Settle, w.config.Patience/4, c.tries))
		c.tries++
	case failed:
		c.next = time.Now().Add(backoff(w.config.Settle, longest, c.tries))
		c.tries++
	}
}

// backoff returns how long to wait after so many failures and one more: from first,
// twice as long each time, up to longest, and up to a half less by chance, so that
// what failed together is not tried together.
func backoff(first, longest time.Duration, failures int) time.Duration {
	d := longest
	if failures < 32 && first<<failures < longest && first<<failures > 0 {
		d = first << failures
	}
	return d - rand.N(d/2+1)
}

// isPicture reports whether a file may be a picture, by its name.
func isPicture(name string) bool { return name[0] != '.' && dataset.IsPicture(name) }
