package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/internal/digest"
	"github.com/destseg/destseg/serve/api"
)

// A slot is where a detector of one name comes and goes. Its fields are guarded by the
// host's mu.
type slot struct {
	name    string
	current *loaded       // nil: none is in memory
	size    int64         // bytes that the last one took; 0: none was loaded
	loading chan struct{} // closed when the load under way ends; nil: none is

	failure error // of the last load; nil: none
	failed  stamp // what could not be loaded
	retry   time.Time
}

// retryAfter is when a file that could not be used is tried again although it looks the
// same, unless it is to blame itself.
const retryAfter = 10 * time.Second

// fails reports whether a file is known to be unusable, and whether it is due for another
// try. The host's mu is held.
func (s *slot) fails(found stamp) (failed, due bool) {
	failed = s.failure != nil && s.failed.same(found)
	return failed, failed && !lasting(s.failure) && !time.Now().Before(s.retry)
}

// errMemory says that a detector does not fit into the memory for all of them.
var errMemory = errors.New("it takes more memory than detectors may have here")

// A loaded detector is in memory. Its last three fields are guarded by the host's mu.
type loaded struct {
	detector *destseg.Detector
	record   destseg.Record
	ref      api.DetectorRef
	stamp    stamp

	users   int
	retired bool   // it closes when nobody uses it
	used    uint64 // by the host's clock
}

// borrow returns the detector of a name for use, reads it if need be, and waits for that
// no longer than ctx allows.
func (h *Host) borrow(ctx context.Context, name string) (*loaded, error) {
	for {
		found, err := h.find(name)
		l, loading, err := h.look(name, found, err)
		if loading == nil {
			return l, err
		}
		select {
		case <-loading:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// look returns the detector of a file that was found, for use, or why there is none, or
// what to wait for.
func (h *Host) look(name string, found stamp, err error) (*loaded, chan struct{}, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.slots[name]
	switch {
	case h.closed:
		return nil, nil, ErrClosed
	case errors.Is(err, ErrUnknown) && s != nil:
		h.retire(s) // its file was removed
		if s.loading == nil {
			delete(h.slots, name)
		}
		fallthrough
	case err != nil:
		return nil, nil, fmt.Errorf("%w: %q", err, name)
	case s == nil:
		s = &slot{name: name}
		h.slots[name] = s
	}
	failed, due := s.fails(found)
	usable := s.current != nil && (failed || s.current.stamp.same(found))
	if s.loading == nil && (due || !failed && !usable) {
		s.loading = make(chan struct{})
		go h.load(s, found)
	}
	switch {
	case usable: // while a file that failed is tried again, too
		h.clock++
		h.users++
		s.current.users++
		s.current.used = h.clock
		return s.current, nil, nil
	case s.loading != nil:
		return nil, s.loading, nil
	}
	return nil, nil, s.failure
}

// giveBack ends the use of a detector.
func (h *Host) giveBack(l *loaded) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l.users--
	h.users--
	if l.retired && l.users == 0 {
		h.bury(l)
	}
	if h.users == 0 {
		h.idle.Broadcast()
	}
}

// retire takes a detector out of use. Those who use it finish. mu is held.
func (h *Host) retire(s *slot) {
	l := s.current
	if l == nil {
		return
	}
	s.current, l.retired = nil, true
	if l.users == 0 {
		h.bury(l)
	}
}

// bury frees the memory of a detector that nobody uses. mu is held.
func (h *Host) bury(l *loaded) {
	h.stats.Loaded--
	h.stats.Memory -= l.detector.Memory()
	if err := l.detector.Close(); err != nil {
		h.log.Error("closing a detector", "detector", l.ref.Name, "error", err)
	}
}

// load reads a detector into its slot, in place of what is there. If that fails, what is
// there stays.
func (h *Host) load(s *slot, found stamp) {
	h.loads.Lock()
	defer h.loads.Unlock()
	start := time.Now()
	h.mu.Lock()
	if h.closed {
		close(s.loading)
		h.mu.Unlock()
		return
	}
	h.mu.Unlock()
	l, err := h.open(s, found)

	h.mu.Lock()
	defer h.mu.Unlock()
	defer close(s.loading)
	s.loading = nil // close has evaluated it
	if err != nil {
		h.stats.Failures++
		s.failure, s.failed, s.retry = err, found, time.Now().Add(retryAfter)
		h.log.Error("a detector can't be used", "detector", s.name, "error", err, "kept", s.current != nil)
		return
	}
	h.retire(s)
	s.current, s.size, s.failure = l, l.detector.Memory(), nil
	h.clock++
	l.used = h.clock
	h.stats.Loads++
	h.stats.Loaded++
	h.stats.Memory += l.detector.Memory()
	h.evict(s, 0)
	h.log.Info("detector loaded", "detector", s.name, "digest", l.ref.Digest, "bytes", l.detector.Memory(),
		slog.Duration("took", time.Since(start)))
}

// open reads and compiles a detector for a slot. The digest is that of what was read: if
// the file changes meanwhile, it is read again.
func (h *Host) open(s *slot, found stamp) (*loaded, error) {
	const tries = 3
	for range tries {
		_, err := destseg.ReadRecord(found.path)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnusable, err)
		}
		sum, err := digest.File(found.path)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnusable, err)
		}
		h.makeRoom(s, found) // once it is a detector and can be read to its end
		d, err := destseg.Open(found.path, h.options.Options...)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnusable, err)
		}
		now, err := stampOf(found.path)
		if err == nil && now.same(found) {
			if limit := h.options.Memory; limit > 0 && d.Memory() > limit {
				err = fmt.Errorf("%w: %w: %s takes %d MiB and the limit is %d MiB; raise it", ErrUnusable, errMemory, s.name, d.Memory()>>20, limit>>20)
				return nil, errors.Join(err, d.Close())
			}
			return &loaded{detector: d, record: d.Record(), ref: api.DetectorRef{Name: s.name, Digest: sum.String()}, stamp: found}, nil
		}
		if err := errors.Join(err, d.Close()); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnusable, err)
		}
		found = now
	}
	return nil, fmt.Errorf("%w: %s changes all the time; replace it in one step, by renaming", ErrUnusable, found.path)
}

// makeRoom lets others go before a detector is compiled. What it takes is known afterwards:
// about as much as its file in fp32, and less in bf16.
func (h *Host) makeRoom(s *slot, found stamp) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.evict(s, cmp.Or(s.size, found.size))
}

// evict lets detectors go, the least recently used first, until there is room for more
// bytes. The one of the slot stays. mu is held.
func (h *Host) evict(keep *slot, more int64) {
	for h.options.Memory > 0 && h.inUse()+more > h.options.Memory {
		var oldest *slot
		for _, s := range h.slots {
			if s != keep && s.current != nil && (oldest == nil || s.current.used < oldest.current.used) {
				oldest = s
			}
		}
		if oldest == nil {
			return
		}
		h.stats.Evicted++
		h.log.Info("detector leaves for want of memory", "detector", oldest.name, "bytes", oldest.current.detector.Memory())
		h.retire(oldest)
	}
}

// inUse returns how many bytes the detectors take that have not retired. mu is held.
func (h *Host) inUse() int64 {
	total := int64(0)
	for _, s := range h.slots {
		if s.current != nil {
			total += s.current.detector.Memory()
		}
	}
	return total
}
