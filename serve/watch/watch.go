// Package watch inspects the pictures that appear in a folder, as cameras and other
// programs put them there.
//
// # Whole pictures
//
// A picture is taken when nothing about it has changed for a moment and it can be
// decoded; one that can't is tried again for a while before it counts as damaged. The
// system tells of changes where it can, and the folder is looked through again and again
// where it can't, as on network shares. Hidden files and folders, links, and files
// without the ending of a picture are left alone.
//
// # Once
//
// What is done with a picture is done in this order: the journal gives it an ID, it is
// inspected, the webhook's event is prepared, the result is written, the journal notes
// that it is done, the event is released, the picture is moved, and the journal notes that
// it is gone. Every step may be repeated, with the same ID for the event and the result,
// so that a program that was killed in between goes on where it was: nothing is left out,
// and what the journal knows to be done, or has its result beside it, is not inspected
// again.
//
// A picture is the same as long as its path, size and time of change are, and it stays
// there: one that was moved and is put back is another one, with another ID, since
// whoever does that wants it judged anew.
//
// # Webhooks
//
// Events are sent as the specification Standard Webhooks (version 1) says, at least once
// each: see [Webhook].
package watch

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/destseg/destseg/serve/api"
)

// Config says what is watched and what is done with it.
type Config struct {
	// Dir is the folder; those below it are watched too.
	Dir string
	// State is the folder for what has to outlive the process: the journal and events
	// that are not delivered yet. One process at a time uses it. "" is .destseg in Dir.
	State string

	// Inspect inspects one picture. An error that wraps destseg.ErrPicture is the
	// picture's fault; after any other one the picture is tried again, for as long as it
	// takes. It is called by up to Workers goroutines, and for the same picture, with the
	// same ID, again if the process was killed before the picture was done with.
	Inspect func(context.Context, Picture) (*api.Inspection, error)

	// Results says that a result is written beside each picture, under its name with
	// [ResultEnding].
	Results bool
	// Move says that pictures go, with their results, to the folders ok, ng, unjudged
	// (the detector has no threshold) and error below Dir, under the path that they had.
	// No file is replaced there: names get a number.
	Move bool
	// Webhook is told of every result, unless it is nil.
	Webhook *Webhook

	Workers  int           // pictures at a time; 0: one for each processor
	Settle   time.Duration // for which a picture must not have changed; 0: 500 ms
	Patience time.Duration // after which a picture that can't be decoded is damaged; 0: 10 s
	Poll     time.Duration // from one look through the folder to the next; 0: 2 s
	MaxBytes int64         // of a picture's file; 0: 256 MiB

	Log     *slog.Logger          // nil: no log
	Metrics prometheus.Registerer // nil: nothing is counted

	deaf bool // to what the system tells, as on a network share
}

// A Picture is a file that has been read whole.
type Picture struct {
	ID      string // the same if it is inspected again before it is done with
	Path    string // below the folder, with slashes
	Data    []byte
	Arrival time.Time // when it was first seen as it is now
}

// A Watcher watches a folder.
type Watcher struct {
	config  Config
	log     *slog.Logger
	lock    *lock
	journal *journal
	outbox  *outbox // nil: no webhook
	metrics *metrics

	candidates map[string]*candidate // by path below Dir
	ready      []*candidate          // to be inspected, in order

	finishing sync.Mutex // held while a picture is put away, so that no two get the same place
}

// New checks the folder, takes hold of the state and reads it. [Watcher.Run] lets go of
// it. Errors name the folder.
func New(c Config) (*Watcher, error) {
	w, err := open(c)
	if err != nil {
		return nil, fmt.Errorf("watching %s: %w", c.Dir, err)
	}
	return w, nil
}

func open(c Config) (*Watcher, error) {
	if c.Workers <= 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	for _, d := range []struct {
		of    *time.Duration
		usual time.Duration
	}{{&c.Settle, 500 * time.Millisecond}, {&c.Patience, 10 * time.Second}, {&c.Poll, 2 * time.Second}} {
		if *d.of <= 0 {
			*d.of = d.usual
		}
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = 256 << 20
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	var err error
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return nil, err
	}
	if _, err := os.ReadDir(c.Dir); err != nil {
		return nil, err
	}
	if c.State == "" {
		c.State = filepath.Join(c.Dir, ".destseg")
	}
	if err := os.MkdirAll(c.State, 0o777); err != nil {
		return nil, err
	}
	w := &Watcher{config: c, log: c.Log.With("watch", c.Dir), candidates: map[string]*candidate{}}
	if w.lock, err = acquire(filepath.Join(c.State, "lock")); err != nil {
		return nil, err
	}
	if w.journal, err = openJournal(filepath.Join(c.State, "journal.jsonl")); err == nil && c.Webhook != nil {
		w.outbox, err = openOutbox(c.State, *c.Webhook, w.journal.finished(), w.log)
	}
	if err == nil {
		err = w.register(c.Metrics)
	}
	if err != nil {
		w.lock.release()
		return nil, err
	}
	return w, nil
}

// Run watches until ctx ends, and finishes the pictures under way. Whatever goes wrong is
// logged and tried again. A Watcher runs once.
func (w *Watcher) Run(ctx context.Context) {
	defer w.lock.release()
	if w.outbox != nil {
		delivered := make(chan struct{})
		go func() {
			defer close(delivered)
			w.outbox.deliver(ctx)
		}()
		defer func() { <-delivered }()
	}
	w.run(ctx)
}

// run gives candidates to workers until ctx ends.
func (w *Watcher) run(ctx context.Context) {
	go w.removeLeftovers(ctx, time.Now())
	work, done := make(chan *candidate), make(chan *candidate)
	var workers sync.WaitGroup
	for range w.config.Workers {
		workers.Go(func() {
			for c := range work {
				w.inspect(ctx, c)
				done <- c
			}
		})
	}
	idle := make(chan struct{})
	s := w.newScanner()
	defer s.close()
	scans := s.start(ctx)
	tick := time.NewTicker(max(w.config.Settle/4, time.Millisecond))
	defer tick.Stop()
	w.log.Info("watching", "state", w.config.State, "workers", w.config.Workers)
	ended := ctx.Done()
	for {
		w.metrics.waiting.Store(int64(len(w.candidates)))
		var next *candidate
		var to chan *candidate // nil: there is nothing to do
		if len(w.ready) > 0 && ctx.Err() == nil {
			next, to = w.ready[0], work
		}
		select {
		case to <- next:
			w.ready = w.ready[1:]
		case c := <-done:
			w.settle(c)
		case found := <-scans:
			for _, f := range found {
				w.observe(f, false)
			}
		case path := <-s.changes:
			w.look(path)
		case <-tick.C:
			w.promote(time.Now())
		case <-ended:
			ended = nil
			close(work)
			go func() {
				workers.Wait()
				close(idle)
			}()
		case <-idle:
			return
		}
	}
}
