package history

import (
	"context"
	"fmt"
	"time"
)

// A Mark is what a person says of a verdict.
type Mark struct {
	Opinion Opinion   `json:"mark,omitempty"`
	Note    string    `json:"note,omitempty"`
	Time    time.Time `json:"time,omitzero"`
}

// An Opinion is whether a verdict is right.
type Opinion string

const (
	Unmarked Opinion = ""
	Right    Opinion = "right"
	Wrong    Opinion = "wrong"
)

// Mark says of a result's verdict that it is right or wrong, with a note, in place of
// what was said before; [Unmarked] takes it back. It returns the mark as it is kept.
// The error is [ErrNotFound], wraps [ErrFilter] for another opinion, or comes from the
// database.
func (h *History) Mark(ctx context.Context, id string, opinion Opinion, note string) (Mark, error) {
	var kept Mark
	var mark, at any
	switch opinion {
	case Right, Wrong:
		kept = Mark{opinion, text(note), time.UnixMicro(time.Now().UnixMicro())}
		mark, at = string(opinion), kept.Time.UnixMicro()
	case Unmarked:
	default:
		return Mark{}, fmt.Errorf("%w: mark %q; a verdict is right or wrong", ErrFilter, string(opinion))
	}
	done, err := h.write.ExecContext(ctx, "UPDATE result SET mark = ?, note = ?, marked = ? WHERE id = ?", mark, kept.Note, at, id)
	if err != nil {
		return Mark{}, h.failed(err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return Mark{}, ErrNotFound
	}
	return kept, nil
}

// A Tally counts the marks of a detector's results.
type Tally struct {
	Right       int
	FalseAlarms int // wrong verdicts NG
	Missed      int // wrong verdicts OK
}

// Tally counts the marks of the results of a detector.
func (h *History) Tally(ctx context.Context, detector string) (Tally, error) {
	var t Tally
	err := h.read.QueryRowContext(ctx, `SELECT count(*) FILTER (WHERE mark = 'right'),
		count(*) FILTER (WHERE mark = 'wrong' AND verdict = 'NG'), count(*) FILTER (WHERE mark = 'wrong' AND verdict = 'OK')
		FROM result WHERE mark IS NOT NULL AND detector = ?`, detector).Scan(&t.Right, &t.FalseAlarms, &t.Missed)
	if err != nil {
		return Tally{}, h.failed(err)
	}
	return t, nil
}
