package watch

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/destseg/destseg/internal/wholefile"
)

// An outbox holds events until they are acknowledged, each in a file of its own under the
// name of its ID, so that a process that was killed delivers them when it starts again.
// An event is prepared before the journal knows that its picture is done with, and
// released after it, so that one that is made again was never sent. What nobody
// acknowledges in time goes to a folder of its own.
type outbox struct {
	Webhook
	log           *slog.Logger
	client        *http.Client
	waiting, dead string // folders
	tries         *prometheus.CounterVec

	count atomic.Int64  // of events that wait
	wake  chan struct{} // there are released ones

	mu       sync.Mutex
	released []*event // since deliver took the last
}

// An event waits for its delivery.
type event struct {
	id       string
	created  time.Time
	due      time.Time // not to be sent before; at first when it was created
	failures int
}

// A queue is a heap of events, with the one that is due first on top.
type queue []*event

func (q queue) Len() int           { return len(q) }
func (q queue) Less(a, b int) bool { return q[a].due.Before(q[b].due) }
func (q queue) Swap(a, b int)      { q[a], q[b] = q[b], q[a] }
func (q *queue) Push(e any)        { *q = append(*q, e.(*event)) }

func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}

const (
	eventEnding    = ".json"
	preparedEnding = ".prepared"
	deliveries     = 4 // at a time
	giveUp         = 3 * 24 * time.Hour
	firstBackoff   = time.Second
	longestBackoff = 5 * time.Minute
)

// openOutbox finds the events that have not been delivered; done says of which the
// journal knows.
func openOutbox(state string, h Webhook, done map[string]bool, log *slog.Logger) (*outbox, error) {
	if err := h.Check(); err != nil {
		return nil, err
	}
	h.GiveUp = cmp.Or(h.GiveUp, giveUp)
	h.first, h.longest = cmp.Or(h.first, firstBackoff), cmp.Or(h.longest, longestBackoff)
	client := &http.Client{}
	if h.Client != nil {
		client.Transport, client.Jar = h.Client.Transport, h.Client.Jar
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	o := &outbox{
		Webhook: h, log: log, client: client,
		waiting: filepath.Join(state, "outbox"), dead: filepath.Join(state, "dead"),
		wake: make(chan struct{}, 1),
	}
	if err := errors.Join(os.MkdirAll(o.waiting, 0o777), os.MkdirAll(o.dead, 0o777)); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(o.waiting)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if _, ok := wholefile.Target(e.Name()); ok {
			os.Remove(filepath.Join(o.waiting, e.Name())) // half-written; its picture is not done with
			continue
		}
		if id, ok := strings.CutSuffix(e.Name(), preparedEnding); ok && done[id] {
			if err := o.release(id); err != nil {
				return nil, err
			}
			continue
		}
		id, ok := strings.CutSuffix(e.Name(), eventEnding)
		if !ok {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		created := info.ModTime()
		if now := time.Now(); created.After(now) { // by the clock of a file server
			created = now
		}
		o.add(id, created)
	}
	return o, nil
}

func (o *outbox) file(id string) string { return filepath.Join(o.waiting, id+eventEnding) }

// prepare writes the event of a result; when it returns, that is on the disk.
func (o *outbox) prepare(r Result) error {
	kind := "picture.inspected"
	if r.Error != "" {
		kind = "picture.failed"
	}
	body, err := json.Marshal(struct {
		Type      string    `json:"type"`
		Timestamp time.Time `json:"timestamp"`
		Data      Result    `json:"data"`
	}{kind, time.Now().UTC(), r})
	if err != nil {
		return err
	}
	return wholefile.Write(filepath.Join(o.waiting, r.ID+preparedEnding), func(w io.Writer) error {
		_, err := w.Write(body)
		return err
	})
}

// release lets a prepared event be sent. If there is none, it was released before.
func (o *outbox) release(id string) error {
	if err := os.Rename(filepath.Join(o.waiting, id+preparedEnding), o.file(id)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	o.add(id, time.Now())
	return nil
}

// add hands an event to deliver.
func (o *outbox) add(id string, created time.Time) {
	o.mu.Lock()
	o.released = append(o.released, &event{id: id, created: created, due: created})
	o.mu.Unlock()
	o.count.Add(1)
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take returns the events that were added since it was called last.
func (o *outbox) take() []*event {
	o.mu.Lock()
	defer o.mu.Unlock()
	taken := o.released
	o.released = nil
	return taken
}

// A delivery is what [outbox.deliver] knows.
type delivery struct {
	*outbox
	queue   queue
	flying  int // events that are being sent
	answers chan sent
	trouble int       // events in a row that failed by the receiver's trouble
	pause   time.Time // until then the receiver is left alone
}

// A sent event has its answer.
type sent struct {
	*event
	err error // nil: acknowledged
}

// deliver sends events until ctx ends, and waits for the answers to those that are sent.
//
// An event that was not acknowledged waits for a time of its own, and holds up no other.
// A receiver that does not answer or is in trouble is left alone for a pause and then
// asked by one event alone, another one, so that it is not overrun when it comes back.
// That it may be the trouble of one event shows only by others: the pause grows with the
// events that fail, and not with their tries.
func (o *outbox) deliver(ctx context.Context) {
	d := delivery{outbox: o, answers: make(chan sent)}
	for {
		for _, e := range o.take() {
			heap.Push(&d.queue, e)
		}
		wait, ended := time.Hour, ctx.Done()
		switch {
		case ctx.Err() == nil:
			wait = d.start(ctx)
		case d.flying == 0:
			return
		default:
			ended = nil
		}
		timer := time.NewTimer(wait)
		select {
		case s := <-d.answers:
			d.flying--
			d.settle(s)
		case <-o.wake:
		case <-timer.C:
		case <-ended:
		}
		timer.Stop()
	}
}

// start sends the events that are due, as many as may be sent at a time, and returns
// after how long there is more to do if nothing happens.
func (d *delivery) start(ctx context.Context) time.Duration {
	now := time.Now()
	if pause := d.pause.Sub(now); pause > 0 {
		return pause
	}
	limit := deliveries
	if d.trouble > 0 {
		limit = 1
	}
	for d.flying < limit && len(d.queue) > 0 {
		if wait := d.queue[0].due.Sub(now); wait > 0 {
			return wait
		}
		e := heap.Pop(&d.queue).(*event)
		d.flying++
		go func() {
			// Not ctx, since an event that is received but not acknowledged comes twice.
			d.answers <- sent{e, d.send(context.WithoutCancel(ctx), e.id)}
		}()
	}
	return time.Hour
}

// settle decides what becomes of an event that was sent.
func (d *delivery) settle(s sent) {
	var no *answer
	answered := errors.As(s.err, &no) // else the event's file can't be read
	if well := s.err == nil || answered && no.rejected(); well && d.trouble > 0 {
		d.log.Info("the webhook takes events again")
		d.trouble = 0
	}
	if errors.Is(s.err, errGone) {
		d.remove(s.event)
		return
	}
	if s.err == nil {
		d.tries.WithLabelValues("acknowledged").Inc()
		d.remove(s.event)
		return
	}
	now, least := time.Now(), time.Duration(0)
	if answered {
		least = no.after
	}
	s.due = now.Add(max(backoff(d.first, d.longest, s.failures), least))
	s.failures++
	if !answered || no.rejected() {
		d.tries.WithLabelValues("refused").Inc()
		d.log.Warn("the webhook refused an event; it is sent again", "event", s.id, "answer", s.err)
	} else {
		d.tries.WithLabelValues("failed").Inc()
		if d.trouble == 0 {
			d.log.Warn("the webhook takes no events; they wait in the outbox", "event", s.id, "answer", s.err)
		}
		if d.trouble == 0 || s.failures == 1 {
			d.trouble++
		}
		if pause := now.Add(max(backoff(d.first, d.longest, d.trouble-1), least)); pause.After(d.pause) {
			d.pause = pause
		}
		d.queue = slices.DeleteFunc(d.queue, d.bury)
		heap.Init(&d.queue)
	}
	if !d.bury(s.event) {
		heap.Push(&d.queue, s.event)
	}
}

// send sends an event once. An error is an [answer], one of the file, or errGone if somebody
// has taken the file away.
func (o *outbox) send(ctx context.Context, id string) error {
	body, err := os.ReadFile(o.file(id))
	if errors.Is(err, fs.ErrNotExist) {
		return errGone
	}
	if err != nil {
		return err
	}
	return o.post(ctx, o.client, id, body)
}

// remove forgets an event that was acknowledged, or taken away.
func (o *outbox) remove(e *event) {
	if err := os.Remove(o.file(e.id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		o.log.Error("an event was delivered and could not be removed; it will be sent again after a start", "event", e.id, "error", err)
	}
	o.count.Add(-1)
}

// bury puts an event away if it is too old, and reports whether it has done so.
func (o *outbox) bury(e *event) bool {
	if time.Since(e.created) < o.GiveUp {
		return false
	}
	to := filepath.Join(o.dead, e.id+eventEnding)
	if err := os.Rename(o.file(e.id), to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		o.log.Error("an undeliverable event could not be put away", "event", e.id, "error", err)
		return false
	}
	o.tries.WithLabelValues("given up").Inc()
	o.log.Error("an event could not be delivered in time and was put away", "event", e.id, "file", to)
	o.count.Add(-1)
	return true
}
