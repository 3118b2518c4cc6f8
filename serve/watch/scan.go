package watch

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/destseg/destseg/internal/wholefile"
)

// A scanner finds pictures in the folder: it looks through it again and again, and
// listens to what the system tells.
type scanner struct {
	w       *Watcher
	changes chan string // paths below Dir of pictures that something happened to
	again   chan struct{}
	events  *fsnotify.Watcher // nil: the system tells nothing

	// Of the goroutine that looks through the folder.
	folder os.FileInfo     // Dir when it was last looked through
	silent bool            // it was said that the folder can't be looked through
	deaf   bool            // it was said that the system does not tell of all changes
	closed map[string]bool // folders of which it was said that they can't be read
}

func (w *Watcher) newScanner() *scanner {
	s := &scanner{w: w, changes: make(chan string), again: make(chan struct{}, 1), closed: map[string]bool{}}
	if w.config.deaf {
		return s
	}
	var err error
	if s.events, err = fsnotify.NewWatcher(); err != nil {
		w.log.Warn("the system does not tell of changes, so that pictures are found by looking for them", "error", err)
		s.events = nil
	}
	return s
}

func (s *scanner) close() {
	if s.events != nil {
		s.events.Close()
	}
}

// start looks through the folder and listens until ctx ends.
func (s *scanner) start(ctx context.Context) <-chan []file {
	scans := make(chan []file)
	if s.events != nil {
		go s.listen(ctx)
	}
	go func() {
		for {
			begun := time.Now()
			found, err := s.scan()
			switch {
			case err == nil:
				s.silent = false
				select {
				case scans <- found:
				case <-ctx.Done():
					return
				}
			case !s.silent:
				s.silent = true
				s.w.log.Error("the folder can't be looked through; trying again", "error", err)
			}
			// Large folders on slow shares take a tenth of the time at most.
			wait := time.NewTimer(max(s.w.config.Poll, 9*time.Since(begun)))
			select {
			case <-wait.C:
			case <-s.again:
			case <-ctx.Done():
				return
			}
			wait.Stop()
		}
	}()
	return scans
}

// scan lists the pictures in the folder and those below it.
func (s *scanner) scan() ([]file, error) {
	folder, err := os.Stat(s.w.config.Dir)
	if err != nil {
		return nil, err
	}
	present := map[string]bool{}
	var found []file
	if err := s.enter("", func(f file) {
		found = append(found, f)
		present[f.path] = true
	}); err != nil {
		return nil, err
	}
	// The folder beneath a share that is not there any more is empty; what the journal
	// knows of the share is not to be forgotten for that.
	if s.folder != nil && !os.SameFile(s.folder, folder) && len(found) == 0 {
		return nil, nil
	}
	s.folder = folder
	s.w.journal.keep(present, time.Now())
	return found, nil
}

// enter lists the pictures of one folder below Dir and of those below it. Errors are
// those of the first; what can't be read below it is logged.
func (s *scanner) enter(below string, found func(file)) error {
	folder := filepath.Join(s.w.config.Dir, filepath.FromSlash(below))
	if s.events != nil && !s.deaf {
		// Before it is read, so that nothing falls between. Folders that are watched
		// already stay so.
		if err := s.events.Add(folder); err != nil && !errors.Is(err, fsnotify.ErrClosed) && !errors.Is(err, fs.ErrNotExist) {
			s.w.log.Warn("the system does not tell of all changes; other pictures are found by looking for them", "folder", folder, "error", err)
			s.deaf = true
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		inside := path.Join(below, entry.Name())
		switch {
		case entry.IsDir():
			if s.w.isOutput(inside) {
				continue
			}
			switch err := s.enter(inside, found); {
			case err == nil:
				delete(s.closed, inside)
			case !errors.Is(err, fs.ErrNotExist) && !s.closed[inside]:
				s.closed[inside] = true
				s.w.log.Error("a folder can't be read; trying again", "folder", inside, "error", err)
			}
		case entry.Type().IsRegular() && isPicture(entry.Name()):
			if info, err := entry.Info(); err == nil {
				found(file{inside, versionOf(info)})
			}
		}
	}
	return nil
}

// isOutput reports whether a folder below Dir is none to look into.
func (w *Watcher) isOutput(below string) bool {
	switch below {
	case okFolder, ngFolder, unjudgedFolder, errorFolder:
		return w.config.Move
	}
	return path.Base(below)[0] == '.' || filepath.Join(w.config.Dir, filepath.FromSlash(below)) == w.config.State
}

// listen passes on what the system tells.
func (s *scanner) listen(ctx context.Context) {
	events := s.events
	for {
		select {
		case <-ctx.Done():
			return
		case err, ok := <-events.Errors: // such as too many events at once
			if !ok {
				return
			}
			s.w.log.Warn("changes may have been missed; looking through the folder", "error", err)
			s.lookAgain()
		case e, ok := <-events.Events:
			if !ok {
				return
			}
			if !e.Has(fsnotify.Create) && !e.Has(fsnotify.Write) {
				continue
			}
			below, err := filepath.Rel(s.w.config.Dir, e.Name)
			if err != nil || !filepath.IsLocal(below) {
				continue
			}
			below = filepath.ToSlash(below)
			if !isPicture(path.Base(below)) {
				if info, err := os.Lstat(e.Name); err == nil && info.IsDir() && !s.w.isOutput(below) {
					s.lookAgain() // into the new folder
				}
				continue
			}
			select {
			case s.changes <- below:
			case <-ctx.Done():
				return
			}
		}
	}
}

// lookAgain has the folder looked through now.
func (s *scanner) lookAgain() {
	select {
	case s.again <- struct{}{}:
	default:
	}
}

// removeLeftovers removes results that a process was writing when it was killed, before
// this one started.
func (w *Watcher) removeLeftovers(ctx context.Context, started time.Time) {
	filepath.WalkDir(w.config.Dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return ctx.Err()
		}
		target, ok := wholefile.Target(entry.Name())
		if !ok || !strings.HasSuffix(target, ResultEnding) {
			return nil
		}
		if info, err := entry.Info(); err == nil && info.ModTime().Before(started) {
			os.Remove(path)
		}
		return nil
	})
}
