package history

import (
	"context"
	"time"
)

const (
	tidyEvery = time.Minute
	// tidyAtOnce is how many results one transaction removes, so that others need not
	// wait long.
	tidyAtOnce = 100
)

// tidyNowAndThen keeps the history within its limits until ctx ends.
func (h *History) tidyNowAndThen(ctx context.Context) {
	defer close(h.done)
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-h.grown:
		}
		if _, err := h.Tidy(ctx); err != nil && ctx.Err() == nil {
			h.options.Log.Warn("the history could not be kept within its limits", "file", h.path, "error", err)
		}
	}
}

// grow notes that bytes were added, and has the history tidied when they are many: until
// the next minute is over a fast line adds more than the limit.
func (h *History) grow(bytes int) {
	if h.options.Bytes <= 0 || h.added.Add(int64(bytes)) < h.options.Bytes/8 {
		return
	}
	h.added.Store(0)
	select {
	case h.grown <- struct{}{}:
	default: // it is told already
	}
}

// Tidy removes the oldest results until none is older and the file no larger than the
// limits say, marked or not, and returns how many. The last result is never removed for
// its size.
func (h *History) Tidy(ctx context.Context) (removed int, err error) {
	if h.options.Age > 0 {
		before := time.Now().Add(-h.options.Age).UnixMicro()
		for {
			n, err := h.remove(ctx, "SELECT number FROM result WHERE time < ? ORDER BY time LIMIT ?", before, tidyAtOnce)
			removed += n
			if err != nil {
				return removed, err
			}
			if n < tidyAtOnce {
				break
			}
		}
	}
	for h.options.Bytes > 0 {
		used, total, results, err := h.sizes(ctx)
		if err != nil {
			return removed, err
		}
		if used <= h.options.Bytes {
			if total > used {
				return removed, h.shrink(ctx)
			}
			return removed, nil
		}
		// Half of what is too much by the mean size, since sizes differ.
		n := min(max(int64(results)*(used-h.options.Bytes)/used/2, 1), tidyAtOnce, int64(results)-1)
		if n < 1 {
			return removed, h.shrink(ctx)
		}
		gone, err := h.remove(ctx, "SELECT number FROM result ORDER BY number LIMIT ?", n)
		removed += gone
		if err != nil {
			return removed, err
		}
	}
	if removed > 0 {
		return removed, h.shrink(ctx)
	}
	return removed, nil
}

// remove removes the results that a query selects.
func (h *History) remove(ctx context.Context, query string, args ...any) (int, error) {
	gone, err := h.write.ExecContext(ctx, "DELETE FROM result WHERE number IN ("+query+")", args...)
	if err != nil {
		return 0, told(err)
	}
	n, err := gone.RowsAffected()
	return int(n), err
}

// sizes returns how many bytes of the file are used, how many it has, and how many
// results are in it.
func (h *History) sizes(ctx context.Context) (used, total int64, results int, err error) {
	err = h.read.QueryRowContext(ctx, `SELECT (page_count - freelist_count) * page_size, page_count * page_size,
		(SELECT count(*) FROM result) FROM pragma_page_count, pragma_freelist_count, pragma_page_size`).Scan(&used, &total, &results)
	return used, total, results, told(err)
}

// shrink gives pages that nothing is on any more back to the disk.
func (h *History) shrink(ctx context.Context) error {
	rows, err := h.write.QueryContext(ctx, "PRAGMA incremental_vacuum")
	if err != nil {
		return told(err)
	}
	for rows.Next() { // every step frees a page
	}
	return told(rows.Close())
}
