package history

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/destseg/destseg/serve/api"
)

// A Filter says which results are asked for; the zero value takes all.
type Filter struct {
	Detector string    // its name
	Verdict  string    // [api.OK], [api.NG], or "none" for no verdict
	Mark     string    // "right", "wrong", "marked" for either, or "none"
	Source   string    // is part of what the client called the picture; A to Z like a to z
	From, To time.Time // not earlier; earlier
}

// ErrFilter is wrapped by the error for a filter or a cursor that makes no sense.
var ErrFilter = errors.New("unusable filter")

// where returns the filter as a condition of SQL with its arguments.
func (f Filter) where() (string, []any, error) {
	conditions, args := []string{"1"}, []any(nil)
	add := func(condition string, arg ...any) {
		conditions, args = append(conditions, condition), append(args, arg...)
	}
	if f.Detector != "" {
		add("detector = ?", f.Detector)
	}
	switch f.Verdict {
	case "":
	case api.OK, api.NG:
		add("verdict = ?", f.Verdict)
	case "none":
		add("verdict = ''")
	default:
		return "", nil, fmt.Errorf("%w: verdict %q; known are OK, NG and none", ErrFilter, f.Verdict)
	}
	switch f.Mark {
	case "":
	case string(Right), string(Wrong):
		add("mark = ?", f.Mark)
	case "marked":
		add("mark IS NOT NULL")
	case "none":
		add("mark IS NULL")
	default:
		return "", nil, fmt.Errorf("%w: mark %q; known are right, wrong, marked and none", ErrFilter, f.Mark)
	}
	if len(f.Source) > maxText {
		return "", nil, fmt.Errorf("%w: a source of %d bytes; none has more than %d", ErrFilter, len(f.Source), maxText)
	}
	if f.Source != "" {
		add(`source LIKE ? ESCAPE '\'`, "%"+strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(f.Source)+"%")
	}
	if !f.From.IsZero() {
		add("time >= ?", f.From.UnixMicro())
	}
	if !f.To.IsZero() {
		add("time < ?", f.To.UnixMicro())
	}
	return strings.Join(conditions, " AND "), args, nil
}

// A Cursor is a place in a list between two results, from which to go on: "" is its
// newest end.
type Cursor string

const older, newer = "older", "newer" // than the result whose number follows

// parse returns the direction and the number.
func (c Cursor) parse() (direction string, number int64, err error) {
	if c == "" {
		return older, 1<<63 - 1, nil
	}
	direction, digits, _ := strings.Cut(string(c), ".")
	number, err = strconv.ParseInt(digits, 36, 64)
	if err != nil || direction != older && direction != newer {
		return "", 0, fmt.Errorf("%w: no such place in the list: %q", ErrFilter, string(c))
	}
	return direction, number, nil
}
