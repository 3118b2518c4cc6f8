package history

import (
	"context"
	"slices"
	"strconv"
	"time"
)

// An Entry is a result in a list.
type Entry struct {
	ID            string
	Time          time.Time
	Detector      string // its name
	Digest        string // of the detector's file
	Source        string // what the client called the picture
	Width, Height int    // of the picture
	Score         float64
	Threshold     *float64 // nil: the detector has none
	Verdict       string   // [api.OK], [api.NG], or "" without a threshold
	Regions, Area int      // how many there are, and how many pixels they have
	Milliseconds  float64  // that the networks took
	Mark          Mark
	number        int64
}

// A List is a part of the results, the newest first.
type List struct {
	Entries []Entry
	// Newer and Older lead to the parts before and after this one; "" where there is
	// none.
	Newer, Older Cursor
	// Count is how many results there are in all parts together, or [MostCounted] if
	// there are more.
	Count int
}

// MostCounted is up to where results are counted.
const MostCounted = 10_000

// List returns up to limit results from a place on. Results that come in meanwhile
// move nothing: a cursor leads to the same results as long as they are kept. Errors
// wrap [ErrFilter] or come from the database.
func (h *History) List(ctx context.Context, f Filter, at Cursor, limit int) (List, error) {
	where, args, err := f.where()
	if err != nil {
		return List{}, err
	}
	direction, number, err := at.parse()
	if err != nil {
		return List{}, err
	}
	condition, order := " AND number < ?", " ORDER BY number DESC"
	if direction == newer {
		condition, order = " AND number > ?", " ORDER BY number"
	}
	// One more than asked for tells whether it goes on.
	entries, err := h.entries(ctx, where+condition+order+" LIMIT ?", append(slices.Clone(args), number, limit+1)...)
	if err != nil {
		return List{}, err
	}
	more := len(entries) > limit
	entries = entries[:min(len(entries), limit)]
	if direction == newer {
		slices.Reverse(entries)
	}
	l := List{Entries: entries}
	if n := len(entries); n > 0 {
		if direction == newer || more {
			l.Older = Cursor(older + "." + strconv.FormatInt(entries[n-1].number, 36))
		}
		if direction == older && at != "" || direction == newer && more {
			l.Newer = Cursor(newer + "." + strconv.FormatInt(entries[0].number, 36))
		}
	}
	err = h.read.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM result WHERE "+where+" LIMIT ?)",
		append(slices.Clone(args), MostCounted)...).Scan(&l.Count)
	if err != nil {
		return List{}, h.failed(err)
	}
	return l, nil
}

const columns = `number, id, time, detector, digest, source, width, height, score, threshold, verdict, regions, area, milliseconds,
	coalesce(mark, ''), note, coalesce(marked, 0)`

// entries reads the results of a condition.
func (h *History) entries(ctx context.Context, condition string, args ...any) ([]Entry, error) {
	rows, err := h.read.QueryContext(ctx, "SELECT "+columns+" FROM result WHERE "+condition, args...)
	if err != nil {
		return nil, h.failed(err)
	}
	defer rows.Close()
	var entries []Entry
	for rows.Next() {
		var e Entry
		var at, marked int64
		if err := rows.Scan(&e.number, &e.ID, &at, &e.Detector, &e.Digest, &e.Source, &e.Width, &e.Height, &e.Score, &e.Threshold,
			&e.Verdict, &e.Regions, &e.Area, &e.Milliseconds, &e.Mark.Opinion, &e.Mark.Note, &marked); err != nil {
			return nil, h.failed(err)
		}
		e.Time = time.UnixMicro(at)
		if e.Mark.Opinion != Unmarked {
			e.Mark.Time = time.UnixMicro(marked)
		}
		entries = append(entries, e)
	}
	if err := rows.Err(); err != nil {
		return nil, h.failed(err)
	}
	return entries, nil
}
