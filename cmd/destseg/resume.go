package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/destseg/destseg/internal/training"
)

// checkpointEnding makes the name of a checkpoint of that of the output.
const checkpointEnding = ".checkpoint"

// A resumption is where a training writes, and goes on after an interruption.
type resumption struct {
	output     string
	checkpoint string // empty: beside the output
	fresh      bool
}

// place checks the paths of the output and of the checkpoint, and gives the
// checkpoint its usual one.
func (r *resumption) place() (err error) {
	if r.output, err = outputFile(r.output); err != nil {
		return err
	}
	if r.checkpoint == "" {
		r.checkpoint = r.output + checkpointEnding
	}
	if r.checkpoint, err = outputFile(r.checkpoint); err != nil {
		return err
	}
	if sameFile(r.checkpoint, r.output) {
		return wrongUsage("--checkpoint and --output name the same file, %s", r.output)
	}
	return nil
}

// again names the command that goes on from the checkpoint of this run.
func (r resumption) again() string {
	if r.fresh {
		return "the same command without --fresh" // which would begin anew once more
	}
	return "the same command"
}

// ended puts the error of a training into the user's words. reached is the step that it
// came to, empty if it took none or does not tell.
func (r resumption) ended(ctx context.Context, err error, reached string) error {
	switch {
	case errors.Is(err, training.ErrInterrupted) && errors.Is(err, context.Cause(ctx)): // else the checkpoint failed
		err = errInterrupted
		if reached != "" {
			err = fmt.Errorf("%w at %s", err, reached)
		}
		if r.fresh && reached == "" {
			break // a checkpoint that is there is the one to be replaced
		}
		if _, missing := os.Stat(r.checkpoint); missing == nil {
			err = fmt.Errorf("%w; %s continues from %s", err, r.again(), r.checkpoint)
		}
	case errors.Is(err, training.ErrUnusable):
		err = fmt.Errorf("%w (--fresh)", err)
	}
	return err
}

// unwritten is the error of a training that is over and whose result could not be written: it
// tells where the result is. lost is what kept the last checkpoint from being written; save
// writes the result elsewhere.
func (r resumption) unwritten(err, lost error, save func(path string) error) error {
	if lost == nil {
		return fmt.Errorf("%w; the training is done and kept: %s goes on from %s", err, r.again(), r.checkpoint)
	}
	folder, lost := os.MkdirTemp("", "destseg-*")
	path := filepath.Join(folder, filepath.Base(r.output))
	if lost == nil {
		lost = save(path)
	}
	if lost != nil {
		return fmt.Errorf("%w\nand there is no room for the trained weights elsewhere: %w", err, lost)
	}
	return fmt.Errorf("%w; what was trained is in %s: move it to where you want it", err, path)
}

// A stepMeter shows how far a training has come.
type stepMeter struct {
	*meter      // nil before the first step
	warned bool // that the last checkpoint could not be written
}

// step reports that a step is done, with what it came to and the speed in units a
// second. What is not known yet is 0.
func (m *stepMeter) step(done int, remaining time.Duration, came string, speed float64, unit string, checkpoint error) {
	var details []string
	if remaining > 0 { // first, because a narrow terminal cuts the end off
		details = append(details, formatTime(remaining)+" left")
	}
	details = append(details, came)
	if speed > 0 {
		details = append(details, fmt.Sprintf("%.3g %s/s", speed, unit))
	}
	m.update(done, details...)
	if checkpoint != nil && !m.warned {
		m.note("warning: no checkpoint written, the training goes on: %s", explain(checkpoint))
	}
	m.warned = checkpoint != nil
}

// begin ends the meter there is, if any, and begins another.
func (m *stepMeter) begin(c *console, what string, total int) {
	m.end()
	m.meter = c.meter(what, total)
}

// end takes the bar off the terminal, if there is one.
func (m *stepMeter) end() {
	if m.meter != nil {
		m.close()
	}
}
