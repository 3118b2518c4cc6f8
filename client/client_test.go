package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/destseg/destseg/serve/api"
)

// newClient returns a client of a handler.
func newClient(t *testing.T, h http.HandlerFunc, options ...Option) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := New(server.URL, options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestInspect(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		q := r.URL.Query()
		if r.Method != "POST" || r.URL.Path != "/v1/inspect" || string(body) != "picture" || err != nil ||
			q.Get("detector") != "a&b" || q.Get("source") != "x.png" || q.Get("overlay") != "true" || q.Has("mask") || q.Get("map") != "npy" ||
			r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("request %s %s, %q, %v", r.Method, r.URL, body, r.Header)
		}
		io.WriteString(w, `{"id":"i","score":0.75,"threshold":0.5,"verdict":"NG","overlay":"AQI=","regions":[]}`)
	}, WithToken("secret"))
	in, err := c.Inspect(t.Context(), Request{Detector: "a&b", Picture: []byte("picture"), Source: "x.png", Overlay: true, Map: "npy"})
	if err != nil {
		t.Fatal(err)
	}
	if in.ID != "i" || in.Score != 0.75 || *in.Threshold != 0.5 || in.Verdict != api.NG || string(in.Overlay) != "\x01\x02" {
		t.Errorf("%+v", in)
	}
}

func TestDetectors(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.EscapedPath() {
		case "GET /v1/detectors":
			io.WriteString(w, `{"detectors":[{"name":"a"},{"name":"b"}]}`)
		case "GET /v1/detectors/a%2Fb%20c", "POST /v1/detectors/a%2Fb%20c/load", "POST /v1/detectors/a%2Fb%20c/unload":
			io.WriteString(w, `{"name":"a/b c"}`)
		case "GET /readyz":
			io.WriteString(w, "ok")
		default:
			http.NotFound(w, r)
		}
	})
	if list, err := c.Detectors(t.Context()); err != nil || len(list) != 2 || list[1].Name != "b" {
		t.Errorf("%v, %v", list, err)
	}
	for _, get := range []func(context.Context, string) (*api.Card, error){c.Detector, c.Load, c.Unload} {
		if card, err := get(t.Context(), "a/b c"); err != nil || card.Name != "a/b c" {
			t.Errorf("%v, %v", card, err)
		}
	}
	if err := c.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestProblems checks what becomes of answers that are none.
func TestProblems(t *testing.T) {
	for name, test := range map[string]struct {
		kind, text string
		status     int
		want       string
	}{
		"problem": {api.ProblemType, `{"type":"urn:x","title":"T","detail":"a detail","status":1}`, 404, "a detail"},
		"proxy":   {"text/plain; charset=utf-8", "no upstream\n", 502, "no upstream"},
		"html":    {"text/html", "<html>", 403, "Forbidden"},
		"broken":  {api.ProblemType, "{", 500, "Internal Server Error"},
	} {
		c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", test.kind)
			w.WriteHeader(test.status)
			io.WriteString(w, test.text)
		})
		_, err := c.Detectors(t.Context())
		var p *api.Problem
		if !errors.As(err, &p) || p.Status != test.status || p.Error() != test.want {
			t.Errorf("%s: %#v", name, err)
		}
	}
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	if _, err := c.Detectors(t.Context()); err == nil || !strings.Contains(err.Error(), "something else than an inspection service") {
		t.Error(err)
	}
	for _, base := range []string{"", "localhost:8080", "ftp://x", "http://", "http://x?y=z", "http://a b"} {
		if _, err := New(base); err == nil {
			t.Errorf("%q is taken for a service", base)
		}
	}
}

// TestPatience checks that a busy service is asked again when it says, and no longer
// than patience lasts.
func TestPatience(t *testing.T) {
	var requests atomic.Int64
	busy := func(after string, times int64) http.HandlerFunc {
		requests.Store(0)
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if string(body) != "picture" {
				t.Errorf("body %q", body)
			}
			if requests.Add(1) <= times {
				w.Header().Set("Retry-After", after)
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			io.WriteString(w, `{"id":"i"}`)
		}
	}
	r := Request{Detector: "a", Picture: []byte("picture")}

	start := time.Now()
	if in, err := newClient(t, busy("1", 1)).Inspect(t.Context(), r); err != nil || in.ID != "i" || requests.Load() != 2 {
		t.Errorf("%v after %d requests, %v", in, requests.Load(), err)
	}
	if waited := time.Since(start); waited < time.Second {
		t.Errorf("asked again after %v, and not the second that was asked for", waited)
	}

	var p *api.Problem
	_, err := newClient(t, busy("3600", 1)).Inspect(t.Context(), r)
	if !errors.As(err, &p) || p.Status != http.StatusTooManyRequests || requests.Load() != 1 {
		t.Errorf("%v after %d requests", err, requests.Load())
	}
	if _, err = newClient(t, busy("0", 1), WithPatience(0)).Inspect(t.Context(), r); !errors.As(err, &p) || requests.Load() != 1 {
		t.Errorf("%v after %d requests", err, requests.Load())
	}

	// What a service may have inspected is not sent again.
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		panic(http.ErrAbortHandler)
	})
	requests.Store(0)
	if _, err := c.Inspect(t.Context(), r); err == nil || requests.Load() != 1 {
		t.Errorf("%v after %d requests", err, requests.Load())
	}

	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	c = newClient(t, busy("5", 1))
	time.AfterFunc(50*time.Millisecond, func() { cancel(gone) })
	if _, err := c.Inspect(ctx, r); err != gone {
		t.Errorf("%v, want the cause of the context's end", err)
	}
}

// TestUnreachable checks that a service that is about to start is waited for.
func TestUnreachable(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"detectors":[]}`)
	}))
	address := server.Listener.Addr().String()
	server.Listener.Close()
	c, err := New("http://"+address, WithPatience(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Detectors(t.Context()); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Error(err)
	}
	var tries atomic.Int64
	transport := &http.Transport{}
	c, err = New("http://"+address, WithHTTPClient(&http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if tries.Add(1) == 2 {
			rec := httptest.NewRecorder()
			server.Config.Handler.ServeHTTP(rec, r)
			return rec.Result(), nil
		}
		return transport.RoundTrip(r)
	})}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Detectors(t.Context()); err != nil || tries.Load() != 2 {
		t.Errorf("%v after %d tries", err, tries.Load())
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
