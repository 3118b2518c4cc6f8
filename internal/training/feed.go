package training

import (
	"context"
	"sync"
	"time"
)

const ahead = 2 // batches prepared before they are wanted

// A Feed prepares the batches of a stage beside the engine, a few ahead of it.
type Feed struct {
	free  chan Tensors
	ready chan prepared

	cancel context.CancelFunc
	done   sync.WaitGroup
	waited time.Duration
}

type prepared struct {
	inputs Tensors
	err    error
}

// Feed starts to prepare the steps of a stage from first on. Stop it.
func (s Stage) Feed(ctx context.Context, first int) *Feed {
	ctx, cancel := context.WithCancel(ctx)
	f := &Feed{free: make(chan Tensors, ahead+1), ready: make(chan prepared, ahead), cancel: cancel}
	for range ahead + 1 {
		inputs := Tensors{}
		for _, name := range s.Inputs {
			node, _ := s.Graph.Tensor(name)
			inputs[name] = make([]float32, node.Shapes[0].Size())
		}
		f.free <- inputs
	}
	f.done.Go(func() {
		for step := first; step < s.Steps; step++ {
			select {
			case inputs := <-f.free:
				err := s.Fill(inputs, step)
				select {
				case f.ready <- prepared{inputs, err}:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return f
}

// Next waits for a batch, which Recycle gives back. When ctx ends first, the
// error is its cause.
func (f *Feed) Next(ctx context.Context) (Tensors, error) {
	start := time.Now()
	defer func() { f.waited += time.Since(start) }()
	select {
	case p := <-f.ready:
		return p.inputs, p.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Waited is the time spent in Next.
func (f *Feed) Waited() time.Duration { return f.waited }

// Recycle gives a batch back that is no longer needed.
func (f *Feed) Recycle(inputs Tensors) { f.free <- inputs }

// Stop ends the preparation and waits for its goroutine.
func (f *Feed) Stop() {
	f.cancel()
	f.done.Wait()
}
