package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/serve/api"
)

// Get returns a result. The error is [ErrNotFound] or comes from the database.
func (h *History) Get(ctx context.Context, id string) (Entry, error) {
	entries, err := h.entries(ctx, "id = ?", id)
	if err == nil && len(entries) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Entry{}, err
	}
	return entries[0], nil
}

// Neighbours returns the IDs of the next newer and the next older result that a filter
// takes; "" where there is none.
func (h *History) Neighbours(ctx context.Context, id string, f Filter) (newer, older string, err error) {
	where, args, err := f.where()
	if err != nil {
		return "", "", err
	}
	for _, side := range []struct {
		id    *string
		order string
	}{{&newer, "> (SELECT number FROM result WHERE id = ?) ORDER BY number"}, {&older, "< (SELECT number FROM result WHERE id = ?) ORDER BY number DESC"}} {
		err := h.read.QueryRowContext(ctx, "SELECT id FROM result WHERE "+where+" AND number "+side.order+" LIMIT 1",
			append(slices.Clone(args), id)...).Scan(side.id)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return "", "", h.failed(err)
		}
	}
	return newer, older, nil
}

// Answer returns what was sent, without pictures.
func (h *History) Answer(ctx context.Context, id string) (api.Inspection, error) {
	var answer api.Inspection
	text, err := h.part(ctx, "answer", id)
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	return answer, err
}

// Inspection returns the inspection itself, with its map.
func (h *History) Inspection(ctx context.Context, id string) (*destseg.Inspection, error) {
	content, err := h.part(ctx, "inspection", id)
	if err != nil {
		return nil, err
	}
	in := new(destseg.Inspection)
	if err := in.UnmarshalBinary(content); err != nil {
		return nil, h.failed(err)
	}
	return in, nil
}

// Picture returns a JPEG of the picture, at most [CopySide] pixels across.
func (h *History) Picture(ctx context.Context, id string) ([]byte, error) {
	return h.part(ctx, "copy", id)
}

// Thumbnail returns a JPEG of the picture with what was found painted on it, at most
// [ThumbnailSide] pixels across.
func (h *History) Thumbnail(ctx context.Context, id string) ([]byte, error) {
	return h.part(ctx, "thumbnail", id)
}

// part reads a column of what is kept of a picture.
func (h *History) part(ctx context.Context, column, id string) ([]byte, error) {
	var content []byte
	err := h.read.QueryRowContext(ctx, "SELECT "+column+" FROM picture JOIN result USING (number) WHERE id = ?", id).Scan(&content)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, ErrNotFound
	case err != nil:
		return nil, h.failed(err)
	}
	return content, nil
}

// Detectors returns the names of all detectors that there are results of, in order.
func (h *History) Detectors(ctx context.Context) ([]string, error) {
	// A step for each name; DISTINCT would go through all results.
	rows, err := h.read.QueryContext(ctx, `WITH RECURSIVE name(value) AS (
		SELECT min(detector) FROM result
		UNION ALL SELECT (SELECT min(detector) FROM result WHERE detector > value) FROM name WHERE value IS NOT NULL
	) SELECT value FROM name WHERE value IS NOT NULL`)
	if err != nil {
		return nil, h.failed(err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, h.failed(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		return nil, h.failed(err)
	}
	return names, nil
}
