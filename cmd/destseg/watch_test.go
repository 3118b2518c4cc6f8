package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/demoset"
	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/serve/api"
	"github.com/destseg/destseg/serve/history"
	"github.com/destseg/destseg/serve/watch"
)

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// TestServeWatch drops pictures into a folder that the service watches, and looks at what
// it writes, moves and tells.
func TestServeWatch(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	events := make(chan string, 100)
	answers := make(chan int, 100)
	answers <- http.StatusServiceUnavailable // at first
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(r.Header.Get("webhook-id") + "." + r.Header.Get("webhook-timestamp") + "." + string(body)))
		if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); r.Header.Get("webhook-signature") != want {
			t.Errorf("signature %q, want %q", r.Header.Get("webhook-signature"), want)
		}
		select {
		case status := <-answers:
			w.WriteHeader(status)
		default:
			events <- string(body)
		}
	}))
	defer receiver.Close()

	dir := t.TempDir()
	secretFile := filepath.Join(t.TempDir(), "secret")
	writeFile(t, secretFile, []byte(secret+"\n"))
	detector := detectorFile(t)
	drop := func(name string, seed uint64) *picture.RGB {
		t.Helper()
		set := filepath.Join(t.TempDir(), "flange")
		if err := demoset.Write(t.Context(), set, demoset.Machined, demoset.Counts{TestGood: 1}, 64, seed, nil); err != nil {
			t.Fatal(err)
		}
		from := filepath.Join(set, "test", "good", "000.png")
		copyFile(t, from, filepath.Join(dir, name))
		p, err := picture.Open(from)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	serve := func(flags ...string) (stop func() outcome) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan outcome, 1)
		go func() {
			done <- command(ctx, append([]string{"serve", detector, "--listen=127.0.0.1:0", "--precision=fp32", "--watch", dir, "--watch-settle=50ms", "--watch-patience=200ms",
				"--webhook", receiver.URL, "--webhook-secret", secretFile}, flags...)...)
		}()
		return func() outcome {
			cancel()
			return <-done
		}
	}

	want := drop("one.png", 1)
	writeFile(t, filepath.Join(dir, "late", "broken.png"), []byte("no picture"))
	stop := serve("--watch-move")
	d, err := destseg.Open(detector, destseg.WithPrecision(engine.Float32))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	inspection, err := d.InspectRGB(want)
	if err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(dir, strings.ToLower(inspection.Verdict()), "one.png")
	var result watch.Result
	eventually(t, "the picture is moved", func() bool {
		_, err := os.Stat(moved)
		return err == nil
	})
	text, err := os.ReadFile(moved + watch.ResultEnding)
	if err == nil {
		err = json.Unmarshal(text, &result)
	}
	if err != nil || result.Score != inspection.Score || result.Verdict != inspection.Verdict() || result.Source != "one.png" || result.Detector.Name != "flange" {
		t.Errorf("%s: %v; want score %v", text, err, inspection.Score)
	}
	broken := filepath.Join(dir, "error", "late", "broken.png")
	eventually(t, "the broken one is moved", func() bool {
		_, err := os.Stat(broken)
		return err == nil
	})
	if text, err := os.ReadFile(broken + watch.ResultEnding); err != nil || !strings.Contains(string(text), `"error":"unusable picture`) {
		t.Errorf("%s, %v", text, err)
	}
	told := map[string]bool{}
	for range 2 {
		select {
		case e := <-events:
			told[e[:strings.Index(e, ",")]] = true
		case <-time.After(30 * time.Second):
			t.Fatal("no event")
		}
	}
	if !told[`{"type":"picture.inspected"`] || !told[`{"type":"picture.failed"`] {
		t.Errorf("events %v", told)
	}
	if o := stop(); o.code != 0 {
		t.Errorf("exit status %d\n%s", o.code, o.stderr)
	}

	// Again, without moving: what was done is not repeated, what comes is.
	stop = serve()
	drop("two.png", 2)
	eventually(t, "the second result", func() bool {
		_, err := os.Stat(filepath.Join(dir, "two.png"+watch.ResultEnding))
		return err == nil
	})
	if e := <-events; !strings.Contains(e, `"two.png"`) {
		t.Errorf("event %s", e)
	}
	if o := stop(); o.code != 0 {
		t.Errorf("exit status %d\n%s", o.code, o.stderr)
	}
	if len(events) > 0 {
		t.Errorf("another event: %s", <-events)
	}
	if _, err := os.Stat(filepath.Join(dir, "one.png")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestServeWatchPutBack puts a picture back after its detector was calibrated anew. It is
// judged anew too, and the history has both results, at the times when it came.
func TestServeWatchPutBack(t *testing.T) {
	dir, folder := t.TempDir(), t.TempDir()
	detector, results := filepath.Join(folder, "flange.safetensors"), filepath.Join(folder, "h.db")
	record := testRecord()
	record.Threshold.Image = 0 // every picture is defective
	if err := destseg.Save(detector, record, testWeights()); err != nil {
		t.Fatal(err)
	}
	came := time.Now()
	copyFile(t, filepath.Join(dataSet(t), "test", "good", "000.png"), filepath.Join(dir, "x.png"))
	const settle = 500 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan outcome, 1)
	go func() {
		done <- command(ctx, "serve", detector, "--listen=127.0.0.1:0", "--precision=fp32", "--watch", dir, "--watch-move", "--watch-settle", settle.String(), "--history", results)
	}()
	moved := func(path string) {
		t.Helper()
		eventually(t, path, func() bool {
			_, err := os.Stat(filepath.Join(dir, path))
			return err == nil
		})
	}
	moved("ng/x.png")
	if err := destseg.Update(detector, func(r *destseg.Record) error {
		r.Threshold.Image = 1
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	if err := os.Rename(filepath.Join(dir, "ng", "x.png"), filepath.Join(dir, "x.png")); err != nil {
		t.Fatal(err)
	}
	moved("ok/x.png")
	cancel()
	if o := <-done; o.code != 0 {
		t.Errorf("exit status %d\n%s", o.code, o.stderr)
	}

	h, err := history.Open(t.Context(), results, history.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	list, err := h.List(t.Context(), history.Filter{}, "", 10)
	if err != nil || len(list.Entries) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	second, first := list.Entries[0], list.Entries[1]
	if first.Verdict != api.NG || second.Verdict != api.OK || first.Digest == second.Digest {
		t.Errorf("%+v\n%+v", first, second)
	}
	if first.Time.Before(came) || first.Time.After(back) || second.Time.Before(back) {
		t.Errorf("at %v and %v, inspected at %v and %v", came, back, first.Time, second.Time)
	}
	for _, e := range list.Entries {
		text, err := os.ReadFile(filepath.Join(dir, strings.ToLower(e.Verdict), "x.png"+watch.ResultEnding))
		var result struct {
			ID      string
			Time    time.Time
			Timings api.Timings
		}
		if err == nil {
			err = json.Unmarshal(text, &result)
		}
		if err != nil || result.ID != e.ID || !result.Time.Truncate(time.Microsecond).Equal(e.Time) {
			t.Errorf("%s: %v; want ID %s, time %v", text, err, e.ID, e.Time)
		}
	}
}

// remembering are the answers of one inspection.
type remembering struct{ known api.Inspection }

func (r remembering) Answer(_ context.Context, id string) (api.Inspection, error) {
	if id != r.known.ID {
		return api.Inspection{}, errors.New("unknown")
	}
	return r.known, nil
}

// TestWatchedBefore checks that a picture that the history has is not inspected again:
// the program was killed before it was done with it.
func TestWatchedBefore(t *testing.T) {
	known := api.Inspection{ID: "0815", Source: "x.png", Judgement: api.Judgement{Verdict: api.NG}}
	in, err := watched(nil, remembering{known}, "flange")(t.Context(), watch.Picture{ID: "0815"})
	if err != nil || in.Verdict != api.NG || in.Source != "x.png" {
		t.Errorf("%+v, %v", in, err)
	}
}

// TestServeWatchUsage checks what is refused.
func TestServeWatchUsage(t *testing.T) {
	detector, dir := detectorFile(t), t.TempDir()
	short := filepath.Join(t.TempDir(), "short")
	writeFile(t, short, []byte("short"))
	watched := t.TempDir()
	other, err := watch.New(watch.Config{Dir: watched})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		other.Run(ended)
	}()
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"--watch-move", 2, "--watch-move goes with --watch"},
		{"--webhook http://localhost", 2, "--webhook goes with --watch"},
		{"--watch " + dir + " --webhook-secret x", 2, "--webhook-secret goes with --webhook"},
		{"--watch " + dir + " --watch-results=false", 2, "leaves nothing"},
		{"--watch " + dir + " --watch-settle 3", 2, "expected a time"},
		{"--watch " + dir + " --watch-detector screw", 1, "no such detector"},
		{"--watch " + filepath.Join(dir, "absent"), 1, "no such file"},
		{"--watch " + watched, 1, "another process"},
		{"--watch " + dir + " --webhook localhost:80", 2, "begins with http"},
		{"--watch " + dir + " --webhook http://localhost --webhook-secret " + short, 1, "short: a secret of 5 bytes"},
		{"--watch " + dir + " --webhook http://localhost --webhook-secret " + filepath.Join(dir, "absent"), 1, "no such file"},
	} {
		o := command(t.Context(), append([]string{"serve", detector, "--listen=127.0.0.1:0"}, strings.Fields(test.args)...)...)
		if o.code != test.code || !strings.Contains(o.stderr, test.want) || strings.Contains(o.stderr, "Listening") {
			t.Errorf("%s: exit status %d\n%s\nwant %d, %q", test.args, o.code, o.stderr, test.code, test.want)
		}
	}
}
