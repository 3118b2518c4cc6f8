package watch

import (
	"cmp"
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

	mu     sync.Mutex
	events map[string]*event // by ID
	wake   chan struct{}
}

// An event waits for its delivery. All but the first two belong to [outbox.deliver].
type event struct {
	id       string
	created  time.Time
	due      time.Time
	failures int // by its own fault
	busy     bool
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
		events: map[string]*event{}, wake: make(chan struct{}, 1),
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
		o.events[id] = &event{id: id, created: info.ModTime()}
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
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events[id] = &event{id: id, created: time.Now()}
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return nil
}

// deliver sends events until ctx ends, and waits for the answers to those that are sent.
//
// A receiver that does not answer or is in trouble is asked again after a while by one
// event alone, so that it is not overrun when it comes back. An event that it alone
// refuses holds up no other.
func (o *outbox) deliver(ctx context.Context) {
	type sent struct {
		e   *event
		err error
	}
	var (
		answers = make(chan sent)
		flying  = 0
		trouble = 0       // failures of the receiver in a row
		pause   time.Time // until then it is left alone
	)
	for {
		now := time.Now()
		limit := deliveries
		if trouble > 0 {
			limit = 1
		}
		wait := time.Hour
		if ctx.Err() == nil {
			for _, e := range o.inOrder() {
				if flying >= limit {
					break // until an answer comes
				}
				if at := later(e.due, pause); at.After(now) {
					wait = min(wait, at.Sub(now))
					continue
				}
				e.busy = true
				flying++
				go func() {
					// Not ctx, since an event that is received but not acknowledged comes twice.
					answers <- sent{e, o.send(context.WithoutCancel(ctx), e.id)}
				}()
			}
		} else if flying == 0 {
			return
		}
		timer := time.NewTimer(wait)
		ended := ctx.Done()
		if ctx.Err() != nil {
			ended = nil
		}
		select {
		case s := <-answers:
			flying--
			s.e.busy = false
			no := (*answer)(nil)
			switch {
			case s.err == nil:
				if trouble > 0 {
					o.log.Info("the webhook takes events again")
				}
				trouble = 0
				o.tries.WithLabelValues("acknowledged").Inc()
				o.remove(s.e)
			case !errors.As(s.err, &no) || no.rejected():
				if no != nil {
					trouble = 0
				}
				s.e.due = time.Now().Add(backoff(o.first, o.longest, s.e.failures))
				s.e.failures++
				o.tries.WithLabelValues("refused").Inc()
				o.log.Warn("the webhook refused an event; it is sent again", "event", s.e.id, "answer", s.err)
				o.bury(s.e)
			default:
				pause = time.Now().Add(max(backoff(o.first, o.longest, trouble), no.after))
				trouble++
				o.tries.WithLabelValues("failed").Inc()
				if trouble == 1 {
					o.log.Warn("the webhook takes no events; they wait in the outbox", "answer", s.err)
				}
				for _, e := range o.inOrder() {
					o.bury(e)
				}
			}
		case <-o.wake:
		case <-timer.C:
		case <-ended:
		}
		timer.Stop()
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// inOrder lists the events that are not being sent, the oldest first.
func (o *outbox) inOrder() []*event {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []*event
	for _, e := range o.events {
		if !e.busy {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *event) int {
		return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.id, b.id))
	})
	return list
}

// count returns how many events wait.
func (o *outbox) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.events)
}

// send sends an event once. An error is an [answer] or one of the file.
func (o *outbox) send(ctx context.Context, id string) error {
	body, err := os.ReadFile(o.file(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // somebody has taken it away
	}
	if err != nil {
		return err
	}
	return o.post(ctx, o.client, id, body)
}

// remove forgets an event that was acknowledged.
func (o *outbox) remove(e *event) {
	if err := os.Remove(o.file(e.id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		o.log.Error("an event was delivered and could not be removed; it will be sent again after a start", "event", e.id, "error", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.events, e.id)
}

// bury puts an event away if it is too old.
func (o *outbox) bury(e *event) {
	if time.Since(e.created) < o.GiveUp {
		return
	}
	to := filepath.Join(o.dead, e.id+eventEnding)
	if err := os.Rename(o.file(e.id), to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		o.log.Error("an undeliverable event could not be put away", "event", e.id, "error", err)
		return
	}
	o.tries.WithLabelValues("given up").Inc()
	o.log.Error("an event could not be delivered in time and was put away", "event", e.id, "file", to)
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.events, e.id)
}
