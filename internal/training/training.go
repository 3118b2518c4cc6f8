// Package training runs the steps of a training, whatever it is that learns: it
// compiles the graph of a step, has batches prepared beside the engine, writes
// checkpoints and continues from them, averages weights, and tells how it goes.
package training

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/internal/wholefile"
)

var (
	// ErrInterrupted is wrapped by the error of a run that its context ended.
	ErrInterrupted = errors.New("training: interrupted")
	// ErrDiverged is wrapped by the error of a run whose loss is no number any more.
	ErrDiverged = errors.New("training: the loss is not a number")
)

// Tensors are values by name, row-major, with the shapes known elsewhere.
type Tensors map[string][]float32

// A Stage is a number of steps of one graph.
type Stage struct {
	Graph *graph.Graph // of one step, with its updates
	Steps int

	// Inputs names the graph's inputs that Fill prepares. Fill is called by one
	// goroutine, for each step in turn, some steps ahead of the engine.
	Inputs []string
	Fill   func(inputs Tensors, step int) error
	// Scalars gives the other inputs, such as learning rates, for a step.
	Scalars func(step int) map[string]float64

	// Settle lets the averages, if the run keeps any, take the place of what they
	// average when the stage is over.
	Settle bool

	Losses []string // outputs of the graph, scalars
	Cost   float64  // of a step, in a unit that all stages share, for the estimate of the time left
}

// Config says what to run.
type Config struct {
	Engine  engine.Engine
	Options engine.Options
	Stages  []Stage

	State Tensors        // what all variables start with, but for momentum, which starts at zero
	Kept  map[string]int // sizes of the tensors of State that a checkpoint holds, by name

	// Average is the decay of the moving average of the kept tensors, per step; 0
	// keeps none. See [AverageOf].
	Average float64

	Checkpoint string   // file to continue from and to write; empty: none
	Kind       Kind     // of the checkpoint
	Identity   Identity // of the run
	Fresh      bool     // begin anew and replace the checkpoint that is there by the first one written
	Every      int      // steps between checkpoints, at least 1
	Keep       int      // earlier checkpoints to keep beside the last one, under its name with .1, .2, … (the oldest)

	Start time.Time // when the run began, for its times

	// Begin is called once before the first step, Progress after each step. At
	// a checkpoint, and after the last step of a stage, Rest is called before
	// Progress with the state reached, which it must not keep; an error ends the
	// run. All run on Run's goroutine and may be nil.
	Begin, Progress func(Progress)
	Rest            func(ctx context.Context, state Tensors) error
}

// Progress tells how a run goes.
type Progress struct {
	Stage, Step int                // Step steps of stage number Stage, from 0 on, are done
	Losses      map[string]float64 // of the step, before its update
	Speed       float64            // steps a second in this stage, without the first one; 0 until known
	Remaining   time.Duration      // estimate for all stages; 0 until known
	Waited      time.Duration      // spent by the engine on waiting for batches so far
	Checkpoint  error              // what kept the last checkpoint from being written, if anything; the run goes on
}

// Result is what a run leaves behind.
type Result struct {
	State      Tensors // with the averages, if any
	Times      Times
	Checkpoint error // what kept the last checkpoint from being written; nil: it holds the finished training
}

// Times are wall-clock times of a run and of those that it continues.
type Times struct {
	Elapsed time.Duration   `json:"elapsed_ns"`
	Stages  []time.Duration `json:"stages_ns"` // of Elapsed, until the end of each stage that is over
	Waited  time.Duration   `json:"waited_ns"` // of Elapsed, spent by the engine on waiting for batches
}

type runner struct {
	Config
	times     Times     // up to mark
	mark      time.Time // when times was last brought up to date
	saveError error
}

// Run takes all steps of all stages. It continues from the checkpoint if there is
// one that fits; one that does not is [ErrUnusable]. When ctx ends, it finishes the
// step, writes the checkpoint and returns [ErrInterrupted].
func Run(ctx context.Context, c Config) (Result, error) {
	r := &runner{Config: c, mark: c.Start}
	at, err := r.resume()
	if err != nil {
		return Result{}, err
	}
	if r.Begin != nil {
		r.Begin(Progress{Stage: at.Stage, Step: at.Step})
	}
	for number := at.Stage; number < len(r.Stages); number++ {
		first := 0
		if number == at.Stage {
			first = at.Step
		}
		if err := r.stage(ctx, number, first); err != nil {
			return Result{}, err
		}
		if r.Stages[number].Settle {
			r.settle()
		}
		r.tick()
		if len(r.times.Stages) == number {
			r.times.Stages = append(r.times.Stages, r.times.Elapsed)
		}
	}
	return Result{State: r.State, Times: r.times, Checkpoint: r.saveError}, nil
}

// tick brings the time up to date.
func (r *runner) tick() {
	now := time.Now()
	r.times.Elapsed += now.Sub(r.mark)
	r.mark = now
}

// resume brings the state to where the checkpoint left it.
func (r *runner) resume() (position, error) {
	if r.Checkpoint == "" {
		return position{}, nil
	}
	if err := wholefile.RemoveLeftovers(r.Checkpoint); err != nil {
		return position{}, fmt.Errorf("checkpoint: %w", err)
	}
	if r.Fresh {
		f, err := r.Kind.open(r.Checkpoint) // nothing else is replaced
		if f != nil {
			f.Close()
		}
		return position{}, err
	}
	at, saved, err := r.load()
	if err != nil {
		return position{}, err
	}
	for name, v := range saved {
		r.State[name] = v
	}
	r.times = at.Times
	return at, nil
}

// stage runs the steps of a stage from first on.
func (r *runner) stage(ctx context.Context, number, first int) error {
	s := r.Stages[number]
	if first >= s.Steps {
		return nil
	}
	options := r.Options
	options.Constants = func(name string, v []float32) error {
		copy(v, r.State[name])
		return nil
	}
	program, err := r.Engine.Compile(s.Graph, options)
	if err != nil {
		return err
	}
	defer program.Close()
	if err := r.send(program, s); err != nil {
		return err
	}
	feed := s.Feed(ctx, first)
	defer feed.Stop()

	average := r.averager(program, number)
	var clock clock
	waited := r.times.Waited
	for step := first; step < s.Steps; step++ {
		batch, err := feed.Next(ctx)
		r.times.Waited = waited + feed.Waited()
		if ctx.Err() != nil {
			return r.interrupt(ctx, program, number, step)
		}
		if err != nil { // a file that could be read before the first step
			if lost := r.save(program, number, step); lost != nil {
				return fmt.Errorf("%w\nand the checkpoint could not be written: %w", err, lost)
			}
			return err
		}
		losses, err := r.step(program, number, step, batch)
		if err != nil {
			return err
		}
		feed.Recycle(batch)
		if err := average.after(step); err != nil {
			return err
		}
		if (step+1)%r.Every == 0 || step+1 == s.Steps {
			r.saveError = r.save(program, number, step+1)
			if r.Rest != nil {
				if err := r.Rest(ctx, r.State); err != nil && ctx.Err() == nil {
					return err
				}
			}
		}
		clock.tick()
		if r.Progress != nil {
			r.Progress(Progress{
				Stage: number, Step: step + 1, Losses: losses, Speed: clock.speed(), Remaining: r.remaining(number, step+1, clock.speed()),
				Waited: r.times.Waited, Checkpoint: r.saveError,
			})
		}
	}
	return r.receive(program, s)
}

func (r *runner) step(program engine.Program, number, step int, batch Tensors) (map[string]float64, error) {
	s := r.Stages[number]
	for name, v := range batch {
		if err := program.Write(name, v); err != nil {
			return nil, err
		}
	}
	if s.Scalars != nil {
		for name, v := range s.Scalars(step) {
			if err := program.Write(name, []float32{float32(v)}); err != nil {
				return nil, err
			}
		}
	}
	if err := program.Run(); err != nil {
		return nil, err
	}
	losses := map[string]float64{}
	for _, name := range s.Losses {
		var v [1]float32
		if err := program.Read(name, v[:]); err != nil {
			return nil, err
		}
		losses[name] = float64(v[0])
		if math.IsNaN(losses[name]) || math.IsInf(losses[name], 0) {
			return nil, fmt.Errorf("%w at step %d of stage %d", ErrDiverged, step+1, number+1)
		}
	}
	return losses, nil
}

// send gives the program what it will change.
func (r *runner) send(program engine.Program, s Stage) error {
	for _, u := range s.Graph.Updates {
		name := u.Variable.Name
		if r.State[name] == nil { // momentum, at the start
			continue
		}
		if err := program.Write(name, r.State[name]); err != nil {
			return err
		}
	}
	return nil
}

// receive takes what the program has changed into the state.
func (r *runner) receive(program engine.Program, s Stage) error {
	for _, u := range s.Graph.Updates {
		name := u.Variable.Name
		v := r.State[name]
		if size := u.Variable.Shapes[0].Size(); len(v) != size {
			v = make([]float32, size)
		}
		if err := program.Read(name, v); err != nil {
			return err
		}
		r.State[name] = v
	}
	return nil
}

func (r *runner) interrupt(ctx context.Context, program engine.Program, number, step int) error {
	if r.Checkpoint != "" {
		if err := r.save(program, number, step); err != nil {
			return fmt.Errorf("%w, and the checkpoint could not be written: %w", ErrInterrupted, err)
		}
	}
	return fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
}

// remaining estimates the time until all stages are done, 0 if the speed is unknown.
func (r *runner) remaining(number, step int, speed float64) time.Duration {
	if speed == 0 {
		return 0
	}
	steps := float64(r.Stages[number].Steps - step)
	for _, later := range r.Stages[number+1:] {
		steps += float64(later.Steps) * later.Cost / r.Stages[number].Cost
	}
	return time.Duration(steps / speed * float64(time.Second))
}

// A clock measures steps, but for the first, which warms up caches.
type clock struct {
	start time.Time
	ticks int
}

func (c *clock) tick() {
	if c.start.IsZero() {
		c.start = time.Now()
		return
	}
	c.ticks++
}

// speed is in steps a second, 0 while unknown.
func (c *clock) speed() float64 {
	if c.ticks == 0 {
		return 0
	}
	return float64(c.ticks) / time.Since(c.start).Seconds()
}
