package serve

import (
	"context"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/client"
	"github.com/destseg/destseg/internal/detectortest"
	"github.com/destseg/destseg/internal/load"
	"github.com/destseg/destseg/serve/api"
	"github.com/destseg/destseg/serve/host"
)

// TestOverload sends four times as much as can be done: all is answered or refused, and
// what it took is given back. The networks are replaced by sleep, since how fast these
// are depends on what else the machine does.
func TestOverload(t *testing.T) {
	const took = 20 * time.Millisecond // a picture
	kept := new(recorder)
	r := start(t, host.Options{Queue: 4, Options: []destseg.Option{destseg.WithEngine(detectortest.Stub{Took: took})}}, Config{Recorder: kept})
	connections := &http.Transport{MaxIdleConnsPerHost: 100}
	c, err := client.New(r.url, client.WithPatience(0), client.WithHTTPClient(&http.Client{Transport: connections}))
	if err != nil {
		t.Fatal(err)
	}
	data := pngOf(t, noise(1, 200, 150))
	send := func(ctx context.Context) (*api.Inspection, error) {
		return c.Inspect(ctx, client.Request{Detector: "flange", Picture: data})
	}
	first := load.Phase{Send: send, Clients: 3, Length: 500 * time.Millisecond}.Run(t.Context())
	if first.Answered == 0 || first.Failed+first.Refused > 0 {
		t.Fatalf("%+v", first)
	}
	goroutines, heap := runtime.NumGoroutine(), heapInUse()

	most := load.Phase{Send: send, Rate: 4 / took.Seconds(), Clients: 100, Length: 1500 * time.Millisecond}.Run(t.Context())
	if most.Failed != 0 || most.Refused == 0 || most.Answered == 0 {
		t.Errorf("%+v", most)
	}
	kept.mu.Lock()
	if len(kept.kept) != first.Answered+most.Answered {
		t.Errorf("%d kept, %d answered", len(kept.kept), first.Answered+most.Answered)
	}
	kept.kept = nil
	kept.mu.Unlock()
	if s := r.host.Stats(); s.Waiting+s.Working != 0 {
		t.Errorf("%+v after all is done", s)
	}
	connections.CloseIdleConnections()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if now := runtime.NumGoroutine(); now > goroutines {
		t.Errorf("%d goroutines, %d before", now, goroutines)
	}
	// The log, and buffers that lie ready.
	if now := heapInUse(); now > heap+8<<20 {
		t.Errorf("%d bytes in use, %d before", now, heap)
	}
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestBatches checks that pictures which come together get the results of each alone.
func TestBatches(t *testing.T) {
	if testing.Short() {
		t.Skip("the host's and the detector's tests have batches too")
	}
	alone := start(t, host.Options{Queue: 20}, Config{})
	together := start(t, host.Options{Queue: 20, Batch: 4, Wait: time.Second}, Config{})
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			data := pngOf(t, noise(uint64(i), 50, 60))
			if a, b := alone.inspect(t, "", data).Score, together.inspect(t, "", data).Score; a != b {
				t.Errorf("score %v alone, %v together", a, b)
			}
		})
	}
	all.Wait()
}
