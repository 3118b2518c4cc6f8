// Package host keeps detectors at hand by name and takes pictures to them.
//
// Detectors are files. One is read when the first picture for it comes, leaves when
// memory is needed for another one that was used later, and is read anew when its file
// is replaced; pictures on their way are finished by the one that they came to.
//
// All detectors share the processors: their networks run one after the other. A picture
// takes a place among a limited number, waits for its turn in the order of arrival, and
// is refused at once if all places are taken, so that neither memory nor waiting grow
// with what clients send.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/serve/api"
)

// Reasons why a picture is not inspected; test for them with [errors.Is].
var (
	// ErrUnknown says that there is no detector of that name.
	ErrUnknown = errors.New("no such detector")
	// ErrUnusable says that a detector's file can't be used. The error around it says
	// why, and names the file.
	ErrUnusable = errors.New("the detector can't be used")
	// ErrClosed says that the host is shutting down.
	ErrClosed = errors.New("the service is shutting down")
)

// A BusyError says that all places are taken.
type BusyError struct {
	// RetryAfter is when a place may be free, at least a second.
	RetryAfter time.Duration
}

// Error implements error.
func (e *BusyError) Error() string {
	return fmt.Sprintf("all places are taken; try again in %v", e.RetryAfter)
}

// Options of a host.
type Options struct {
	// Sources are folders of detectors, *.safetensors, and detectors' files. A detector
	// is called as its file, without the ending.
	Sources []string
	// Memory is how many bytes detectors may take; 0 is no limit.
	Memory int64
	// Queue is how many pictures may wait besides those at work.
	Queue int
	// Batch and Wait are as for [destseg.WithBatch].
	Batch int
	Wait  time.Duration
	// Options open detectors.
	Options []destseg.Option
	// Log hears of detectors that come and go; nil: nobody does.
	Log *slog.Logger
}

// A Host keeps detectors and takes pictures to them. It is safe for concurrent use.
type Host struct {
	options Options
	log     *slog.Logger
	sources []source
	queue   *queue

	loads sync.Mutex // held while a detector is read: one at a time

	mu       sync.Mutex
	slots    map[string]*slot   // of detectors that were asked for, by name
	glimpses map[string]glimpse // of detectors' files, by name
	closed   bool
	idle     sync.Cond // the last user of a detector has gone
	users    int       // of all detectors
	clock    uint64    // counts uses
	stats    Stats
}

// New makes a host. Errors are those of sources that aren't there, and of two files with
// one name.
func New(o Options) (*Host, error) {
	sources, err := openSources(o.Sources)
	if err != nil {
		return nil, err
	}
	h := &Host{options: o, log: o.Log, sources: sources, slots: map[string]*slot{}, glimpses: map[string]glimpse{}}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.idle.L = &h.mu
	// So many pictures are decoded at a time that batches fill while others are
	// prepared and evaluated.
	h.queue = newQueue(2*max(o.Batch, 1)-1+runtime.GOMAXPROCS(0), max(o.Queue, 0))
	turns := new(sync.Mutex)
	h.options.Options = append(append([]destseg.Option{}, o.Options...), destseg.WithBatch(o.Batch, o.Wait), destseg.WithLock(turns))
	return h, nil
}

// A Result is what a detector said about a picture.
type Result struct {
	*destseg.Inspection
	Detector api.DetectorRef
	Load     time.Duration // waiting for the detector to be read
	Prepare  time.Duration // preparing the picture before the run and evaluating the map after it
}

// Inspect takes a place and a turn for a picture, and lets the detector of that name
// inspect it. Errors wrap [ErrUnknown], [ErrUnusable], [ErrClosed], a [BusyError], or
// are those of [destseg.Detector.InspectRGB] or the cause of the context's end.
func (h *Host) Inspect(ctx context.Context, name string, p *picture.RGB) (*Result, error) {
	place, err := h.Enter()
	if err != nil {
		return nil, err
	}
	defer place.Leave()
	if err := place.Begin(ctx); err != nil {
		return nil, err
	}
	return place.Inspect(ctx, name, p)
}

// Stats tell how busy a host is.
type Stats struct {
	Waiting  int   // pictures that have a place and no turn
	Working  int   // pictures that have a turn
	Places   int   // for both
	Loaded   int   // detectors in memory
	Memory   int64 // bytes that these take
	Loads    int   // detectors read since the start
	Evicted  int   // of these, those that left for want of memory
	Failures int   // files that could not be used
}

// Stats returns how busy the host is.
func (h *Host) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.stats
	s.Waiting, s.Working, s.Places = h.queue.counts()
	return s
}

// Close lets nobody in any more, waits until all places are left, and closes the
// detectors. It may be called again.
func (h *Host) Close() error {
	h.queue.close()
	h.loads.Lock() // a load under way ends first
	defer h.loads.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for name, s := range h.slots {
		h.retire(s)
		delete(h.slots, name)
	}
	for h.users > 0 {
		h.idle.Wait()
	}
	return nil
}
