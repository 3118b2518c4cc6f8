package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/picture"
)

var (
	errChanged = errors.New("the file is not what it was when it was found")
	errGone    = errors.New("the file is gone")
)

// inspect tries a candidate and leaves the outcome in it. Only Inspect itself listens to
// ctx: what is begun after it is finished.
func (w *Watcher) inspect(ctx context.Context, c *candidate) {
	log := w.log.With("picture", c.path)
	e, _ := w.journal.get(c.file)
	if id, ok := w.known(c.file); ok && !e.done {
		e = entry{file: c.file, id: id, done: true}
	}
	if e.done {
		c.ended = finished
		if err := w.retry(e); err != nil {
			log.Error("the picture is inspected and could not be put away; trying again", "to", e.to, "error", err)
			c.ended = failed
		}
		return
	}
	e, r, err := w.judge(ctx, c)
	last := time.Since(c.since) >= w.config.Patience
	switch {
	case errors.Is(err, errGone):
		c.ended = finished
		return
	case errors.Is(err, errChanged):
		c.ended = changed
		return
	case err != nil && ctx.Err() != nil: // the next start tries it
		c.ended = failed
		return
	case errors.Is(err, destseg.ErrPicture) && !last:
		log.Debug("not a whole picture yet", "error", err)
		c.ended = damaged
		return
	case errors.Is(err, destseg.ErrPicture):
		r.Error = err.Error()
	case err != nil:
		log.Warn("the picture could not be inspected; trying again", "error", err)
		c.ended = failed
		return
	}
	if err := w.finish(e, &r); err != nil {
		log.Error("the result could not be kept; trying again", "error", err)
		c.ended = failed
		return
	}
	w.metrics.pictures.WithLabelValues(r.folder()).Inc()
	if r.Error != "" {
		log.Warn("the picture can't be inspected", "id", r.ID, "error", r.Error)
	} else {
		log.Debug("done", "id", r.ID, "verdict", r.Verdict, "score", r.Score)
	}
	c.ended = finished
}

// judge reads a picture and has it inspected. The result and its entry are there even with
// an error that is the picture's.
func (w *Watcher) judge(ctx context.Context, c *candidate) (entry, Result, error) {
	data, unread := w.read(c.file)
	if unread != nil && !errors.Is(unread, destseg.ErrPicture) {
		return entry{}, Result{}, unread
	}
	e, err := w.journal.begin(c.file)
	if err != nil {
		return entry{}, Result{}, err
	}
	r := Result{
		ID: e.id, Time: c.since.UTC(), Source: c.path, Picture: c.path,
		Bytes: c.Size, Modified: time.Unix(0, c.version.Modified).UTC(),
	}
	if unread != nil {
		return e, r, unread
	}
	r.Inspection, err = w.config.Inspect(ctx, Picture{ID: e.id, Path: c.path, Data: data, Arrival: c.since})
	return e, r, err
}

// read returns the content of a picture as it was found.
func (w *Watcher) read(f file) ([]byte, error) {
	if f.Size > w.config.MaxBytes {
		return nil, fmt.Errorf("%w: %w: %d bytes, at most %d are read", destseg.ErrPicture, picture.ErrTooLarge, f.Size, w.config.MaxBytes)
	}
	in, err := os.Open(filepath.Join(w.config.Dir, filepath.FromSlash(f.path)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errGone
	}
	if err != nil {
		return nil, err
	}
	defer in.Close()
	same := func() error {
		info, err := in.Stat()
		if err == nil && (versionOf(info) != f.version || !info.Mode().IsRegular()) {
			err = errChanged
		}
		return err
	}
	if err := same(); err != nil {
		return nil, err
	}
	data := make([]byte, f.Size)
	if _, err := io.ReadFull(in, data); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errChanged
	} else if err != nil {
		return nil, err
	}
	return data, same()
}

// finish does what is to be done with a result, in the order of the package comment.
func (w *Watcher) finish(e entry, r *Result) error {
	w.finishing.Lock()
	defer w.finishing.Unlock()
	if w.config.Move {
		var err error
		if e.to, err = w.free(r.folder()+"/"+e.path, e.id); err != nil {
			return err
		}
		r.Picture = e.to
	}
	if w.outbox != nil {
		if err := w.outbox.prepare(*r); err != nil {
			return err
		}
	}
	if w.config.Results {
		if err := r.write(filepath.Join(w.config.Dir, filepath.FromSlash(r.Picture))); err != nil {
			return err
		}
	}
	return w.done(e)
}

// retry is done for a picture that could not be put away before.
func (w *Watcher) retry(e entry) error {
	w.finishing.Lock()
	defer w.finishing.Unlock()
	return w.done(e)
}

// done notes that a picture is done with, and does what was to wait for that.
func (w *Watcher) done(e entry) error {
	if err := w.journal.end(e); err != nil {
		return err
	}
	if w.outbox != nil {
		if err := w.outbox.release(e.id); err != nil {
			return err
		}
	}
	return w.move(e)
}
