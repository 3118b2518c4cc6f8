package destseg

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/network"
)

// A runner takes normalised pictures through the networks: one, or a whole batch of
// those that wait.
type runner struct {
	precision engine.Precision
	memory    int64 // bytes that the programs hold
	batch     int
	wait      time.Duration
	lock      sync.Locker

	// Used by loop alone.
	single, full engine.Program // for 1 picture and for batch of them; full is nil if that is the same
	input        []float32      // of full
	outputs      []float32      // one of either program's

	mu      sync.Mutex
	waiting []*run // in the order of their arrival
	closing bool

	arrived chan struct{} // wakes loop after a change of waiting or closing
	ended   chan error    // the outcome of closing the programs
}

// A run is one picture's way through the networks.
type run struct {
	input              []float32 // 3×Height×Width
	segmentation, dest coarseMap
	runTimes
	together int // pictures in the run

	arrived time.Time
	err     error
	done    sync.WaitGroup
}

// runTimes are how long a run took, from writing the input to having the maps, and how
// long it was waited for.
type runTimes struct{ elapsed, waited time.Duration }

// newRun prepares a run for a normalised picture.
func (d *Detector) newRun(input []float32) *run {
	width, height := d.record.Preprocessing.Width/network.MapStride, d.record.Preprocessing.Height/network.MapStride
	return &run{input: input, segmentation: newCoarseMap(width, height), dest: newCoarseMap(width, height)}
}

// startRunner has the networks compiled for one picture of width×height, and for as many
// as may go through them together, and waits for runs until it is closed.
func startRunner(o options, width, height int, compile func(batch int) (engine.Program, error)) (*runner, error) {
	r := &runner{
		batch: max(o.batch, 1), wait: o.wait, lock: o.lock,
		arrived: make(chan struct{}, 1), ended: make(chan error, 1),
	}
	if r.lock == nil {
		r.lock = new(sync.Mutex)
	}
	build := func(batch int) (engine.Program, error) {
		p, err := compile(batch)
		if err == nil {
			r.precision = p.Precision()
			r.memory += p.Memory()
		}
		return p, err
	}
	var err error
	if r.single, err = build(1); err != nil {
		return nil, err
	}
	if r.batch > 1 {
		if r.full, err = build(r.batch); err != nil {
			return nil, errors.Join(err, r.single.Close())
		}
		r.input = make([]float32, r.batch*3*width*height)
	}
	r.outputs = make([]float32, r.batch*width*height/(network.MapStride*network.MapStride))
	go r.loop()
	return r, nil
}

// do waits until all runs are done and returns the first error.
func (r *runner) do(runs ...*run) error {
	r.mu.Lock()
	if r.closing {
		r.mu.Unlock()
		return ErrClosed
	}
	now := time.Now()
	for _, one := range runs {
		one.arrived = now
		one.done.Add(1)
	}
	r.waiting = append(r.waiting, runs...)
	r.mu.Unlock()
	r.wake()

	var first error
	for _, one := range runs {
		one.done.Wait()
		if first == nil {
			first = one.err
		}
	}
	return first
}

func (r *runner) wake() {
	select {
	case r.arrived <- struct{}{}:
	default: // it will look anyway
	}
}

// loop executes runs until the runner is closed.
func (r *runner) loop() {
	for {
		runs, patience, closing := r.next()
		switch {
		case closing:
			r.ended <- r.end(runs)
			return
		case len(runs) > 0:
			r.execute(runs)
		case patience > 0:
			timer := time.NewTimer(patience)
			select {
			case <-r.arrived:
			case <-timer.C:
			}
			timer.Stop()
		default:
			<-r.arrived
		}
	}
}

// next takes the runs to execute now: a full batch if there is one, else the oldest run
// once it has waited long enough. If there is none yet, patience says for how long; 0
// is for ever. When the runner closes, next returns all runs that wait.
func (r *runner) next() (runs []*run, patience time.Duration, closing bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	count := 0
	switch {
	case r.closing:
		count, closing = len(r.waiting), true
	case len(r.waiting) == 0:
		return nil, 0, false
	case len(r.waiting) >= r.batch:
		count = r.batch
	default:
		if patience = r.wait - time.Since(r.waiting[0].arrived); patience > 0 {
			return nil, patience, false
		}
		count = 1
	}
	runs = slices.Clone(r.waiting[:count])
	r.waiting = slices.Delete(r.waiting, 0, count)
	return runs, 0, closing
}

// execute takes 1 picture or a full batch through the networks.
func (r *runner) execute(runs []*run) {
	r.lock.Lock()
	start := time.Now()
	err := r.compute(runs)
	elapsed := time.Since(start)
	r.lock.Unlock()
	for _, one := range runs {
		one.err, one.together = err, len(runs)
		one.elapsed, one.waited = elapsed, start.Sub(one.arrived)
		one.done.Done()
	}
}

func (r *runner) compute(runs []*run) error {
	program, input := r.single, runs[0].input
	if len(runs) > 1 {
		program, input = r.full, r.input
		for i, one := range runs {
			copy(input[i*len(one.input):], one.input)
		}
	}
	if err := program.Write(network.Image, input); err != nil {
		return err
	}
	if err := program.Run(); err != nil {
		return err
	}
	outputs := r.outputs[:len(runs)*len(runs[0].dest.values)]
	for name, of := range map[string]func(*run) []float32{
		network.Segmentation: func(one *run) []float32 { return one.segmentation.values },
		network.DeST:         func(one *run) []float32 { return one.dest.values },
	} {
		if err := program.Read(name, outputs); err != nil {
			return err
		}
		for i, one := range runs {
			copy(of(one), outputs[i*len(of(one)):])
		}
	}
	return nil
}

// end refuses what waits and frees the programs.
func (r *runner) end(waiting []*run) error {
	for _, one := range waiting {
		one.err = ErrClosed
		one.done.Done()
	}
	err := r.single.Close()
	if r.full != nil {
		err = errors.Join(err, r.full.Close())
	}
	return err
}

// close waits for the run under way and frees the programs, the first time.
func (r *runner) close() error {
	r.mu.Lock()
	again := r.closing
	r.closing = true
	r.mu.Unlock()
	if again {
		return nil
	}
	r.wake()
	return <-r.ended
}
