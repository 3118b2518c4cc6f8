package host

import (
	"context"
	"sync"
	"time"

	"github.com/destseg/destseg/picture"
)

// A queue has a limited number of places, some of which have a turn.
type queue struct {
	turns chan struct{} // a value for each picture at work; senders are served in the order of their arrival
	size  int           // places

	mu     sync.Mutex
	free   sync.Cond // no place is taken any more
	taken  int
	closed bool
	pace   time.Duration // between two pictures that leave while others wait, on the average
	last   time.Time     // when one left while others waited; zero if none did
}

func newQueue(working, waiting int) *queue {
	q := &queue{turns: make(chan struct{}, working), size: working + waiting}
	q.free.L = &q.mu
	return q
}

// A Place is that of one picture. It is used by one goroutine at a time.
type Place struct {
	host    *Host
	working bool
}

// Enter takes a place, or fails at once with a [BusyError] or [ErrClosed]. It is to be
// left.
func (h *Host) Enter() (*Place, error) {
	q := h.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.full(); err != nil {
		return nil, err
	}
	q.taken++
	return &Place{host: h}, nil
}

// Full returns the error with which [Host.Enter] would fail now.
func (h *Host) Full() error {
	h.queue.mu.Lock()
	defer h.queue.mu.Unlock()
	return h.queue.full()
}

func (q *queue) full() error {
	switch {
	case q.closed:
		return ErrClosed
	case q.taken == q.size:
		wait := (q.pace * time.Duration(q.taken-cap(q.turns))).Round(time.Second)
		return &BusyError{min(max(wait, time.Second), time.Minute)}
	}
	return nil
}

// Begin waits for a turn, or for the end of ctx, whose cause it returns. What takes
// memory or time for a picture comes after it, such as decoding.
func (p *Place) Begin(ctx context.Context) error {
	select {
	case p.host.queue.turns <- struct{}{}:
		p.working = true
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Inspect is [Host.Inspect] for a picture that has a turn.
func (p *Place) Inspect(ctx context.Context, name string, rgb *picture.RGB) (*Result, error) {
	start := time.Now()
	l, err := p.host.borrow(ctx, name)
	if err != nil {
		return nil, err
	}
	defer p.host.giveBack(l)
	loaded := time.Now()
	in, err := l.detector.InspectRGB(rgb)
	if err != nil {
		return nil, err
	}
	return &Result{
		Inspection: in, Detector: l.ref,
		Load: loaded.Sub(start), Prepare: time.Since(loaded) - in.Elapsed - in.Waited,
	}, nil
}

// Leave gives the place, and the turn if there is one, to others.
func (p *Place) Leave() {
	q := p.host.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	q.taken--
	if p.working {
		<-q.turns
		q.keepPace(time.Now())
	}
	if q.taken == 0 {
		q.free.Broadcast()
	}
}

// keepPace notes that a picture leaves.
func (q *queue) keepPace(now time.Time) {
	if q.taken <= cap(q.turns) {
		q.last = time.Time{} // nobody waited: the time tells about arrivals
		return
	}
	if !q.last.IsZero() {
		took := now.Sub(q.last)
		if q.pace == 0 {
			q.pace = took
		}
		q.pace += (took - q.pace) / 8
	}
	q.last = now
}

func (q *queue) counts() (waiting, working, places int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	working = len(q.turns)
	return max(q.taken-working, 0), working, q.size
}

// close refuses newcomers and waits until all others have left.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for q.taken > 0 {
		q.free.Wait()
	}
}
