//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/destseg/destseg/client"
	"github.com/destseg/destseg/serve/api"
)

// expecting sends the bodies of requests when they are asked for: what was asked for was
// accepted.
type expecting struct{ *http.Transport }

func (e expecting) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Expect", "100-continue")
	return e.Transport.RoundTrip(r)
}

// whenAccepted returns a context for a request of an [expecting] client that calls accept
// when the service asks for the body.
func whenAccepted(ctx context.Context, accept func()) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got100Continue: accept})
}

// TestServeSIGTERM ends the service under load. What it had accepted is answered, by a
// whole inspection, and the exit status is 0.
//
// A request that was sent is not always accepted: the connection may be one that the
// service is closing, or that nobody took from the system's queue. Net/http promises
// that a request that it has begun to read is answered.
func TestServeSIGTERM(t *testing.T) {
	program := exec.Command(os.Args[0], "serve", detectorFile(t), "--listen=127.0.0.1:0")
	program.Env = append(os.Environ(), asProgram+"=1")
	log, err := program.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	lines, url := bufio.NewScanner(log), ""
	for url == "" && lines.Scan() {
		_, url, _ = strings.Cut(lines.Text(), "Listening on ")
	}
	patient := &http.Client{Transport: expecting{&http.Transport{ExpectContinueTimeout: time.Minute}}}
	c, err := client.New(url, client.WithPatience(0), client.WithHTTPClient(patient))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dataSet(t), "test", "good", "000.png"))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	answered := make(chan struct{}, 1000)
	for range 4 {
		all.Go(func() {
			for {
				var accepted atomic.Bool
				in, err := c.Inspect(whenAccepted(t.Context(), func() { accepted.Store(true) }), client.Request{Detector: "flange", Picture: data})
				var problem *api.Problem
				switch {
				case errors.As(err, &problem) && problem.Status == http.StatusServiceUnavailable:
					return // it says that it ends
				case err != nil && (problem != nil || accepted.Load()):
					t.Errorf("accepted: %v; %v", accepted.Load(), err)
					return
				case err != nil:
					return // nobody is there any more
				}
				if in.Verdict == "" || in.ID == "" {
					t.Errorf("half an answer: %+v", in)
				}
				select {
				case answered <- struct{}{}:
				default:
				}
			}
		})
	}
	// One whose body comes when the service has begun to end.
	body, rest := io.Pipe()
	held := make(chan struct{})
	accept := sync.OnceFunc(func() { close(held) })
	all.Go(func() {
		defer accept() // if it comes to nothing
		request, err := http.NewRequestWithContext(whenAccepted(t.Context(), accept), http.MethodPost, url+"/v1/inspect?detector=flange", body)
		if err != nil {
			t.Error(err)
			return
		}
		response, err := patient.Do(request)
		if err != nil {
			t.Errorf("an accepted request was cut off: %v", err)
			return
		}
		defer response.Body.Close()
		var in api.Inspection
		if err := json.NewDecoder(response.Body).Decode(&in); err != nil || response.StatusCode != http.StatusOK || in.Verdict == "" {
			t.Errorf("status %d, %+v, %v", response.StatusCode, in, err)
		}
	})
	<-held
	for range 10 {
		<-answered
	}
	if err := program.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ending := false
	for !ending && lines.Scan() {
		ending = strings.Contains(lines.Text(), "shutting down")
	}
	rest.Write(data)
	rest.Close()
	after := ""
	for lines.Scan() {
		after += lines.Text() + "\n"
	}
	all.Wait()
	if err := program.Wait(); err != nil || !ending {
		t.Errorf("%v:\n%s", err, after)
	}
}
