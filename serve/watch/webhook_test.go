package watch

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/destseg/destseg/serve/api"
)

// TestSign checks the example of the Standard Webhooks libraries' tests.
func TestSign(t *testing.T) {
	secret, err := ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
	if err != nil {
		t.Fatal(err)
	}
	h := Webhook{Secret: secret}
	got := h.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestParseSecret(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"correct horse battery", "correct horse battery"},
		{"  0123456789abcdef\r\n", "0123456789abcdef"},
		{"whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef")), "0123456789abcdef"},
		{"whsec_" + base64.StdEncoding.EncodeToString([]byte("short")), ""},
		{"whsec_no base64 at all!", ""},
		{"short", ""},
		{"", ""},
	} {
		got, err := ParseSecret(test.text)
		if (err != nil) != (test.want == "") || err == nil && string(got) != test.want {
			t.Errorf("%q: %q, %v; want %q", test.text, got, err, test.want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-3": 0, "soon": 0, "99999999": 24 * time.Hour,
		"Fri, 01 May 2026 12:01:00 GMT": time.Minute, "Fri, 01 May 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

func TestBackoff(t *testing.T) {
	for failures, want := range map[int]time.Duration{0: 1, 1: 2, 5: 32, 6: 60, 40: 60, 100: 60} {
		for range 100 {
			if got := backoff(time.Second, time.Minute, failures); got > want*time.Second || got < want*time.Second/2-1 {
				t.Fatalf("after %d failures %v, want %v s at most", failures, got, want)
			}
		}
	}
	if got := backoff(time.Minute, time.Second, 0); got > time.Second {
		t.Errorf("%v", got)
	}
}

// A receiver of webhooks checks signatures and answers as it is told.
type receiver struct {
	t      *testing.T
	secret []byte
	// answer returns the status for the nth request, from 0, for an event; 0 breaks off.
	answer func(id string, n int) int

	mu     sync.Mutex
	seen   map[string]int // requests by event
	bodies map[string]string
	acked  map[string]int
	sum    int
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		r.t.Error(err)
	}
	id, timestamp := request.Header.Get("webhook-id"), request.Header.Get("webhook-timestamp")
	mac := hmac.New(sha256.New, r.secret)
	mac.Write([]byte(id + "." + timestamp + "." + string(body)))
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); request.Header.Get("webhook-signature") != want {
		r.t.Errorf("signature %s, want %s", request.Header.Get("webhook-signature"), want)
	}
	if at, err := strconv.ParseInt(timestamp, 10, 64); err != nil || time.Since(time.Unix(at, 0)).Abs() > time.Minute {
		r.t.Errorf("timestamp %q", timestamp)
	}
	if request.Method != http.MethodPost || request.Header.Get("Content-Type") != "application/json" {
		r.t.Errorf("%s of %s", request.Method, request.Header.Get("Content-Type"))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen, r.bodies, r.acked = map[string]int{}, map[string]string{}, map[string]int{}
	}
	if before, ok := r.bodies[id]; ok && before != string(body) {
		r.t.Errorf("event %s was %s and is %s", id, before, body)
	}
	r.bodies[id] = string(body)
	status := r.answer(id, r.seen[id])
	r.seen[id]++
	r.sum++
	switch {
	case status == 0:
		panic(http.ErrAbortHandler)
	case status == http.StatusFound:
		w.Header().Set("Location", "/elsewhere")
	case status < 300:
		r.acked[id]++
	}
	w.WriteHeader(status)
}

func (r *receiver) counts() (acked, requests int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.acked), r.sum
}

func (r *receiver) serve() *httptest.Server {
	server := httptest.NewServer(r)
	r.t.Cleanup(server.Close)
	return server
}

var testSecret = []byte("0123456789abcdef0123456789abcdef")

func testWebhook(url string) *Webhook {
	return &Webhook{URL: url, Secret: testSecret, first: 5 * time.Millisecond, longest: 40 * time.Millisecond}
}

// waiting names the files in a folder of the state.
func waiting(t *testing.T, dir, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, ".destseg", folder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestWebhook sends events to a receiver that fails at first.
func TestWebhook(t *testing.T) {
	for name, answer := range map[string]func(id string, n int) int{
		"well":     func(string, int) int { return 204 },
		"down":     func(_ string, n int) int { return []int{500, 503, 200}[min(n, 2)] },
		"busy":     func(_ string, n int) int { return []int{429, 200}[min(n, 1)] },
		"picky":    func(_ string, n int) int { return []int{400, 404, 410, 200}[min(n, 3)] },
		"redirect": func(_ string, n int) int { return []int{302, 307, 202}[min(n, 2)] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := &receiver{t: t, secret: testSecret, answer: answer}
			dir := t.TempDir()
			put(t, dir, "good.png", drawing(t, good))
			put(t, dir, "bad.png", drawing(t, bad))
			put(t, dir, "text.png", []byte("no picture"))
			var c colourist
			metrics := prometheus.NewRegistry()
			r := watch(t, Config{Dir: dir, Inspect: c.inspect, Move: true, Webhook: testWebhook(receiver.serve().URL), Metrics: metrics})
			eventually(t, "all events are acknowledged", func() bool {
				acked, _ := receiver.counts()
				return acked == 3 && len(waiting(t, dir, "outbox")) == 0
			})
			counted := `# HELP destseg_watch_pictures_total Pictures of the watched folder that are done with: ok, ng, unjudged or error.
# TYPE destseg_watch_pictures_total counter
destseg_watch_pictures_total{outcome="error"} 1
destseg_watch_pictures_total{outcome="ng"} 1
destseg_watch_pictures_total{outcome="ok"} 1
# HELP destseg_watch_waiting Pictures of the watched folder that are not done with.
# TYPE destseg_watch_waiting gauge
destseg_watch_waiting 0
# HELP destseg_webhook_waiting Events that nobody has acknowledged yet.
# TYPE destseg_webhook_waiting gauge
destseg_webhook_waiting 0
`
			// Not at once: a look through the folder may have found what was being moved.
			eventually(t, "all is counted", func() bool {
				err := testutil.GatherAndCompare(metrics, strings.NewReader(counted), "destseg_watch_pictures_total", "destseg_watch_waiting", "destseg_webhook_waiting")
				return err == nil
			})
			r.stop()
			got := map[string]string{}
			for id, body := range receiver.bodies {
				var e struct {
					Type      string
					Timestamp time.Time
					Data      Result
				}
				if err := json.Unmarshal([]byte(body), &e); err != nil {
					t.Fatal(err)
				}
				if e.Data.ID != id || e.Timestamp.IsZero() || receiver.acked[id] != 1 {
					t.Errorf("event %s, acknowledged %d times: %s", id, receiver.acked[id], body)
				}
				verdict := ""
				if e.Data.Inspection != nil {
					verdict = e.Data.Verdict
				}
				got[e.Data.Picture] = e.Type + " " + verdict
			}
			want := map[string]string{
				"ok/good.png": "picture.inspected " + api.OK, "ng/bad.png": "picture.inspected " + api.NG, "error/text.png": "picture.failed ",
			}
			for path, kind := range want {
				if got[path] != kind {
					t.Errorf("%s: %q, want %q", path, got[path], kind)
				}
			}
			if len(waiting(t, dir, "dead")) != 0 {
				t.Error("an event was put away")
			}
		})
	}
}

// TestWebhookHeldUp checks that an event that alone is not taken, for whatever reason,
// holds up no other, and that a receiver that is down is not asked by every event.
func TestWebhookHeldUp(t *testing.T) {
	for name, status := range map[string]int{"refused": 400, "fails": 500, "breaks off": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var poison string
			down := true
			receiver := &receiver{t: t, secret: testSecret}
			receiver.answer = func(id string, n int) int {
				if poison == "" {
					poison = id
				}
				switch {
				case down:
					return 503
				case id == poison:
					return status
				}
				return 200
			}
			dir := t.TempDir()
			const pictures = 20
			for i := range pictures {
				put(t, dir, strconv.Itoa(i)+".png", drawing(t, good))
			}
			var c colourist
			r := watch(t, Config{Dir: dir, Inspect: c.inspect, Webhook: testWebhook(receiver.serve().URL)})
			eventually(t, "all pictures are inspected", func() bool { return len(waiting(t, dir, "outbox")) == pictures })
			before := time.Now()
			_, first := receiver.counts()
			time.Sleep(300 * time.Millisecond)
			_, then := receiver.counts()
			// At most one for each shortest pause of 20 ms.
			if most := int(time.Since(before)/(20*time.Millisecond)) + 5; then-first > most {
				t.Errorf("%d requests to a receiver that is down, want %d at most", then-first, most)
			}
			receiver.mu.Lock()
			down = false
			receiver.mu.Unlock()
			eventually(t, "all others are acknowledged", func() bool {
				acked, _ := receiver.counts()
				return acked == pictures-1
			})
			receiver.mu.Lock()
			poison = "none"
			receiver.mu.Unlock()
			eventually(t, "it is acknowledged too", func() bool {
				acked, _ := receiver.counts()
				return acked == pictures
			})
			r.stop()
		})
	}
}

// delivering starts to deliver what is in an outbox.
func delivering(t *testing.T, h *Webhook) *outbox {
	t.Helper()
	o, err := openOutbox(t.TempDir(), *h, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w := &Watcher{outbox: o}
	if err := w.register(nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		o.deliver(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return o
}

// tell releases an event.
func tell(t *testing.T, o *outbox, id string) {
	t.Helper()
	// Not by prepare, which waits for the disk.
	put(t, o.waiting, id+preparedEnding, []byte("{}"))
	if err := o.release(id); err != nil {
		t.Fatal(err)
	}
}

// TestWebhookAlone checks that an event that fails again and again, with no other to show
// that the receiver is well, does not make the next one wait as long as itself.
func TestWebhookAlone(t *testing.T) {
	t.Parallel()
	receiver := &receiver{t: t, secret: testSecret, answer: func(id string, _ int) int {
		return map[string]int{"poison": 500, "other": 200}[id]
	}}
	o := delivering(t, &Webhook{URL: receiver.serve().URL, Secret: testSecret, first: 4 * time.Millisecond, longest: time.Hour})
	tell(t, o, "poison")
	const tries = 11
	eventually(t, "it is tried often", func() bool {
		_, n := receiver.counts()
		return n == tries
	})
	begun := time.Now()
	tell(t, o, "other")
	eventually(t, "the other one is acknowledged", func() bool {
		acked, _ := receiver.counts()
		return acked == 1
	})
	if took, wait := time.Since(begun), o.first<<(tries-1)/2; took > wait {
		t.Errorf("after %v; the one that failed waits for %v at least", took, wait)
	}
}

// TestWebhookGone checks that an event whose file is taken away does not count as delivered.
func TestWebhookGone(t *testing.T) {
	t.Parallel()
	o := delivering(t, &Webhook{URL: "http://127.0.0.1:1", first: time.Hour, longest: time.Hour})
	o.add("gone", time.Now())
	eventually(t, "it is forgotten", func() bool { return o.count.Load() == 0 })
	if n := testutil.ToFloat64(o.tries.WithLabelValues("acknowledged")); n != 0 {
		t.Errorf("%v are acknowledged", n)
	}
}

// TestWebhookBacklog checks that a new event costs no more where many others wait. To
// sort them for each one took 0.1 s.
func TestWebhookBacklog(t *testing.T) {
	t.Parallel()
	o := delivering(t, &Webhook{URL: "http://127.0.0.1:1", first: time.Hour, longest: time.Hour})
	tell(t, o, "first") // nobody is there
	eventually(t, "the receiver is left alone", func() bool {
		return testutil.ToFloat64(o.tries.WithLabelValues("failed")) == 1
	})
	for i := range 200_000 {
		o.add(strconv.Itoa(i), time.Now())
	}
	begun := time.Now()
	for i := range 200 {
		tell(t, o, "last"+strconv.Itoa(i))
		eventually(t, "it is taken", func() bool {
			o.mu.Lock()
			defer o.mu.Unlock()
			return len(o.released) == 0
		})
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("%v for 200 events", took)
	}
}

// TestWebhookRestart checks that events survive the process, and that what nobody takes
// is put away.
func TestWebhookRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "x.png", drawing(t, good))
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	var c colourist
	r := watch(t, Config{Dir: dir, Inspect: c.inspect, Webhook: testWebhook(closed.URL)})
	eventually(t, "the event waits", func() bool {
		return len(waiting(t, dir, "outbox")) == 1
	})
	r.stop()
	if n := len(waiting(t, dir, "outbox")); n != 1 {
		t.Fatalf("%d events wait", n)
	}
	put(t, filepath.Join(dir, ".destseg", "outbox"), "y.json.0123456789abcdef.tmp", []byte("torn")) // by a process that was killed

	receiver := &receiver{t: t, secret: testSecret, answer: func(string, int) int { return 200 }}
	r = watch(t, Config{Dir: dir, Inspect: c.inspect, Webhook: testWebhook(receiver.serve().URL)})
	eventually(t, "it is delivered", func() bool {
		acked, _ := receiver.counts()
		return acked == 1 && len(waiting(t, dir, "outbox")) == 0
	})
	r.stop()
	if c.count("x.png") != 1 {
		t.Errorf("inspected %d times", c.count("x.png"))
	}

	put(t, dir, "late.png", drawing(t, good))
	h := testWebhook(closed.URL)
	h.GiveUp = 100 * time.Millisecond
	r = watch(t, Config{Dir: dir, Inspect: c.inspect, Webhook: h})
	eventually(t, "it is put away", func() bool { return len(waiting(t, dir, "dead")) == 1 })
	r.stop()
	name := waiting(t, dir, "dead")[0]
	text, err := os.ReadFile(filepath.Join(dir, ".destseg", "dead", name))
	if err != nil || !strings.Contains(string(text), `"late.png"`) {
		t.Errorf("%s, %v", text, err)
	}
}
