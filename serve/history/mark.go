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
// The error is [ErrNotFound] or comes from the database.
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
