package destseg

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/engine/onednn"
	"github.com/destseg/destseg/engine/plain"
)

// An Option changes how a detector computes.
type Option func(*options)

type options struct {
	engine engine.Engine
	change []func(*Record)
	batch  int           // pictures that may go through the networks together
	wait   time.Duration // for the others
	lock   sync.Locker   // nil: none
	engine.Options
}

// WithPrecision sets what the networks compute in. Without it, int8 is taken for a
// detector that has passed the trial of its [Quantization], else bf16, where the
// processor has it natively, else fp32.
func WithPrecision(p engine.Precision) Option { return func(o *options) { o.Precision = p } }

// WithThreads sets the number of threads of a run. Without it, or if n is not
// positive, there is one for each processor that the process may use.
func WithThreads(n int) Option { return func(o *options) { o.Threads = max(n, 0) } }

// WithEngine sets the engine. Without it, or if e is nil, it is
// NewEngine("auto").
func WithEngine(e engine.Engine) Option { return func(o *options) { o.engine = e } }

// WithBatch lets n pictures that are inspected at the same time go through the networks
// together, which is faster where one alone does not keep all processors busy, and takes
// more memory. As long as fewer than n wait, each goes by itself, at most the given time
// after it came: so long, if it is positive, it waits for others. No result depends on
// the company of a picture. Without it, or if n is less than 2, each goes by itself at
// once.
func WithBatch(n int, wait time.Duration) Option {
	return func(o *options) { o.batch, o.wait = n, wait }
}

// WithLock makes runs of the networks take turns with whatever else holds the lock, such
// as those of another detector on the same processors.
func WithLock(l sync.Locker) Option { return func(o *options) { o.lock = l } }

// WithRecord changes a detector's record for this use of it, as [Update] does in its
// file: other thresholds, an ROI, tiles. The network size can be changed too. An option
// may be given several times.
func WithRecord(change func(*Record)) Option {
	return func(o *options) { o.change = append(o.change, change) }
}

// chooseEngine sets the engine if it is not set.
func (o *options) chooseEngine() (err error) {
	if o.engine == nil {
		o.engine, err = NewEngine("auto")
	}
	return err
}

// NewEngine returns an engine by name: "onednn", "plain" (portable Go, slow),
// or "auto" for the fastest that this build has. An engine that this build or
// machine lacks gives an error wrapping [engine.ErrUnavailable].
func NewEngine(name string) (engine.Engine, error) {
	switch name {
	case "plain":
		return plain.New(), nil
	case "onednn":
		return onednn.New()
	case "auto":
		e, err := onednn.New()
		if errors.Is(err, engine.ErrUnavailable) {
			return plain.New(), nil
		}
		return e, err
	}
	return nil, fmt.Errorf("engine %q; known are auto, onednn and plain", name)
}
