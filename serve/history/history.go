// Package history keeps the results of inspections in a SQLite database: what was
// answered, the picture and its anomaly map, and what people say of the verdicts.
//
// # What is safe
//
// [History.Record] returns when the result is in the database's write-ahead log. From
// then on it survives the end of the program, kill -9 included. A power cut or a crash
// of the operating system may take the results of the last seconds, since the log is
// forced to the disk only now and then (synchronous=NORMAL), but leaves the database
// sound.
//
// # Files
//
// A history is one file, while it is open with two more beside it whose names end in
// -wal and -shm. They belong together. A copy in one file is made by [History.Copy], at
// any time, also by another process.
package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/destseg/destseg/internal/wholefile"
)

var (
	// ErrNotFound says that there is no result of that name, or not any more.
	ErrNotFound = errors.New("no such result in the history; it may have been removed by age or size")
	// ErrNotHistory is wrapped by the error for a file that is no history of this
	// program.
	ErrNotHistory = errors.New("not a history of destseg; name another file")
	// ErrNewer is wrapped by the error for a history that a later version of this
	// package has changed.
	ErrNewer = errors.New("changed by a newer version of destseg; update it to open this history")
)

// Options say how much is kept. The zero value keeps everything.
type Options struct {
	Age   time.Duration // 0: for ever
	Bytes int64         // of the database file; 0: as much as the disk holds
	Log   *slog.Logger  // hears of what could not be removed; nil: nobody does
}

// A History is open. Its methods may be called concurrently.
type History struct {
	path    string // "" for one in memory
	options Options
	write   *sql.DB // of one connection, since SQLite has one writer at a time
	read    *sql.DB
	added   atomic.Int64  // bytes since it was tidied for them
	grown   chan struct{} // tells that these are many
	stop    context.CancelFunc
	done    chan struct{} // closed when nothing is tidied any more
}

// Open opens the history at path, makes it if it is not there, and brings one of an
// earlier version up to date. What is beyond the limits is removed at once, then every
// minute, and whenever an eighth of the limit of bytes was added. Errors name the file; see [ErrNotHistory] and [ErrNewer].
func Open(ctx context.Context, path string, o Options) (*History, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	source := url.URL{Scheme: "file", Path: filepath.ToSlash(absolute)}
	// Before anything is changed in it.
	if err := recognise(ctx, source.String()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	h := &History{path: path, options: o}
	settings := url.Values{"_pragma": {
		"busy_timeout(10000)", // another process may be copying
		"auto_vacuum(INCREMENTAL)",
		"journal_mode(WAL)",
		"synchronous(NORMAL)",
		"foreign_keys(1)",
		fmt.Sprintf("journal_size_limit(%d)", 64<<20),
	}, "_txlock": {"immediate"}}
	source.RawQuery = settings.Encode()
	if h.write, err = sql.Open("sqlite", source.String()); err != nil {
		return nil, err
	}
	h.write.SetMaxOpenConns(1)
	if h.read, err = sql.Open("sqlite", source.String()); err != nil {
		return nil, errors.Join(err, h.write.Close())
	}
	h.read.SetMaxOpenConns(4)
	h.read.SetMaxIdleConns(4)
	if err := h.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), h.read.Close(), h.write.Close())
	}
	return h, nil
}

// checkPath says why no history can be at path, since SQLite would say no more than
// that it can't open it.
func checkPath(path string) error {
	folder := filepath.Dir(path)
	if info, err := os.Stat(folder); err != nil {
		return fmt.Errorf("%s: no history can be made there: %w", path, err)
	} else if !info.IsDir() {
		return fmt.Errorf("%s: %s is no folder", path, folder)
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no ordinary file; name one for the history", path)
	}
	return nil
}

// recognise looks whether a database is a history, or empty. It changes nothing.
func recognise(ctx context.Context, source string) error {
	db, err := sql.Open("sqlite", source+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	_, err = versionOf(ctx, db)
	return errors.Join(err, db.Close())
}

// InMemory returns an empty history that ends with the program.
func InMemory(ctx context.Context, o Options) (*History, error) {
	h := &History{options: o}
	var err error
	if h.write, err = sql.Open("sqlite", "file::memory:?_pragma=auto_vacuum(INCREMENTAL)&_pragma=foreign_keys(1)&_txlock=immediate"); err != nil {
		return nil, err
	}
	// Every connection would have a database of its own.
	h.write.SetMaxOpenConns(1)
	h.write.SetConnMaxIdleTime(0)
	h.write.SetConnMaxLifetime(0)
	h.read = h.write
	if err := h.start(ctx); err != nil {
		return nil, errors.Join(err, h.write.Close())
	}
	return h, nil
}

// start makes the database ready and begins to keep it within the limits.
func (h *History) start(ctx context.Context) error {
	if h.options.Log == nil {
		h.options.Log = slog.New(slog.DiscardHandler)
	}
	if err := migrate(ctx, h.write); err != nil {
		return err
	}
	if _, err := h.Tidy(ctx); err != nil {
		return err
	}
	tidying, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.stop, h.done, h.grown = stop, make(chan struct{}), make(chan struct{}, 1)
	go h.tidyNowAndThen(tidying)
	return nil
}

// InMemory reports whether the history ends with the program.
func (h *History) InMemory() bool { return h.path == "" }

// Close waits for what is under way and closes the history.
func (h *History) Close() error {
	h.stop()
	<-h.done
	if h.read == h.write {
		return h.write.Close()
	}
	// The last connection to close empties the log into the database.
	return errors.Join(h.read.Close(), h.write.Close())
}

// Copy writes a copy of the history as it is now to a file that is not there yet, and
// which appears whole or not at all. Results can be added meanwhile.
func (h *History) Copy(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "write", Path: path, Err: fmt.Errorf("%w; name another file", fs.ErrExist)}
	}
	// SQLite writes into an empty file, but not whole or not at all.
	f, err := wholefile.Create(path)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := h.read.ExecContext(ctx, "VACUUM INTO ?", f.Name()); err != nil {
		return fmt.Errorf("%s: %w", path, told(err))
	}
	return f.Commit()
}

// told explains errors that a person can do something about.
func told(err error) error {
	if e := (*sqlite.Error)(nil); errors.As(err, &e) {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_NOTADB:
			return fmt.Errorf("%w (%w)", ErrNotHistory, err)
		case sqlite3.SQLITE_FULL:
			return fmt.Errorf("%w; make room on its disk", err)
		case sqlite3.SQLITE_CORRUPT:
			return fmt.Errorf("%w; go on from a copy, or move the file away and begin a new history", err)
		}
	}
	return err
}
