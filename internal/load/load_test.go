package load

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/destseg/destseg/serve/api"
)

// TestPhases runs phases of known outcome in made-up time.
func TestPhases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Three clients, each of whose requests takes 100 ms, 10 of them overhead.
		closed := Phase{Clients: 3, Length: 2 * time.Second, Send: func(context.Context) (*api.Inspection, error) {
			time.Sleep(100 * time.Millisecond)
			return &api.Inspection{Timings: api.Timings{Networks: 60, Decode: 20, Queue: 10}}, nil
		}}.Run(t.Context())
		if closed.Sent != 60 || closed.Answered != 60 || closed.Rate != 30 || closed.Latency != (Quantiles{100, 100, 100, 100}) || closed.Overhead.Median != 10 {
			t.Errorf("%+v", closed)
		}

		// A service that is done with 10 requests a second and refuses what comes meanwhile.
		var busy atomic.Bool
		paced := Phase{Rate: 40, Clients: 1000, Length: 10 * time.Second, Send: func(context.Context) (*api.Inspection, error) {
			if !busy.CompareAndSwap(false, true) {
				return nil, &api.Problem{Status: 429}
			}
			time.Sleep(99 * time.Millisecond)
			busy.Store(false)
			return &api.Inspection{}, nil
		}}.Run(t.Context())
		if paced.Sent != 400 || paced.Answered != 100 || paced.Refused != 300 || paced.Failed+paced.Unsent != 0 {
			t.Errorf("%+v", paced)
		}

		// One that answers nobody, so that two are under way for ever.
		ctx, cancel := context.WithTimeout(t.Context(), 5050*time.Millisecond)
		defer cancel()
		stuck := Phase{Rate: 10, Clients: 2, Length: time.Hour, Send: func(ctx context.Context) (*api.Inspection, error) {
			<-ctx.Done()
			return nil, errors.New("gone")
		}}.Run(ctx)
		if stuck.Sent != 2 || stuck.Failed != 2 || stuck.Unsent < 40 || stuck.Failure != "gone" {
			t.Errorf("%+v", stuck)
		}
	})
}
