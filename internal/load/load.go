// Package load sends requests at a pace and tells what became of them.
package load

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/destseg/destseg/serve/api"
)

// A Phase is a stretch of load.
type Phase struct {
	// Send sends one request and waits for the answer.
	Send func(context.Context) (*api.Inspection, error)
	// Rate is how many requests are sent in a second, whatever becomes of them; 0: each
	// of the clients sends the next one when it has the answer to the last.
	Rate    float64
	Clients int // with a rate, the most requests under way; what comes on top is not sent
	Length  time.Duration
}

// A Result tells what became of the requests of a phase. Times are in milliseconds.
type Result struct {
	Seconds  float64 `json:"seconds"`
	Sent     int     `json:"sent"`
	Unsent   int     `json:"unsent"`   // since too many were under way
	Answered int     `json:"answered"` // with an inspection
	Refused  int     `json:"refused"`  // with status 429
	Failed   int     `json:"failed"`   // any other way
	Failure  string  `json:"failure,omitempty"`
	// Rate is how many inspections were answered in a second.
	Rate float64 `json:"rate"`
	// Latency is from sending a request to having the inspection.
	Latency Quantiles `json:"latency"`
	// Overhead is what of that neither the networks nor the decoder took, nor waiting for
	// the networks of others.
	Overhead Quantiles `json:"overhead"`
}

// Quantiles are of times in milliseconds.
type Quantiles struct {
	Median float64 `json:"median"`
	P95    float64 `json:"p95"`
	P99    float64 `json:"p99"`
	Most   float64 `json:"most"`
}

// Run executes a phase and waits for all answers. When ctx ends, no more is sent.
func (p Phase) Run(ctx context.Context) Result {
	c := collector{}
	start := time.Now()
	if p.Rate > 0 {
		p.paced(ctx, &c)
	} else {
		p.closed(ctx, &c)
	}
	return c.result(time.Since(start))
}

// closed lets each client wait for its answers.
func (p Phase) closed(ctx context.Context, c *collector) {
	end := time.Now().Add(p.Length)
	var all sync.WaitGroup
	for range p.Clients {
		all.Go(func() {
			for ctx.Err() == nil && time.Now().Before(end) {
				c.send(ctx, p.Send)
			}
		})
	}
	all.Wait()
}

// paced sends at the rate.
func (p Phase) paced(ctx context.Context, c *collector) {
	var all sync.WaitGroup
	defer all.Wait()
	places := make(chan struct{}, p.Clients)
	start := time.Now()
	for i := 0; ; i++ {
		due := time.Duration(float64(i) / p.Rate * float64(time.Second))
		if due >= p.Length {
			return
		}
		select {
		case <-time.After(due - time.Since(start)):
		case <-ctx.Done():
			return
		}
		select {
		case places <- struct{}{}:
			all.Go(func() {
				c.send(ctx, p.Send)
				<-places
			})
		default:
			c.mu.Lock()
			c.sum.Unsent++
			c.mu.Unlock()
		}
	}
}

// A collector adds up.
type collector struct {
	mu                sync.Mutex
	sum               Result
	latency, overhead []float64
}

func (c *collector) send(ctx context.Context, send func(context.Context) (*api.Inspection, error)) {
	start := time.Now()
	in, err := send(ctx)
	took := float64(time.Since(start).Microseconds()) / 1000
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum.Sent++
	var p *api.Problem
	switch {
	case err == nil:
		c.sum.Answered++
		c.latency = append(c.latency, took)
		t := in.Timings
		c.overhead = append(c.overhead, took-t.Networks-t.Decode-t.Queue-t.Load)
	case errors.As(err, &p) && p.Status == http.StatusTooManyRequests:
		c.sum.Refused++
	default:
		c.sum.Failed++
		c.sum.Failure = err.Error()
	}
}

func (c *collector) result(took time.Duration) Result {
	r := c.sum
	r.Seconds = took.Seconds()
	r.Rate = float64(r.Answered) / r.Seconds
	r.Latency, r.Overhead = quantiles(c.latency), quantiles(c.overhead)
	return r
}

func quantiles(v []float64) Quantiles {
	if len(v) == 0 {
		return Quantiles{}
	}
	slices.Sort(v)
	at := func(q float64) float64 { return v[min(int(q*float64(len(v))), len(v)-1)] }
	return Quantiles{Median: at(0.5), P95: at(0.95), P99: at(0.99), Most: v[len(v)-1]}
}
