package history

import (
	"context"
	"encoding/csv"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// csvHeader names the columns of [History.WriteCSV].
var csvHeader = []string{
	"id", "time", "detector", "digest", "source", "width", "height", "score", "threshold", "margin", "verdict",
	"regions", "area", "milliseconds", "mark", "note", "marked",
}

// csvAtOnce is how many results are read at a time, so that a slow reader of the table
// keeps nobody waiting.
const csvAtOnce = 1000

// WriteCSV writes the results that a filter takes, the newest first, one line each
// after a line of names. Times are RFC 3339 in UTC. Texts that a spreadsheet would take
// for a formula begin with an apostrophe.
func (h *History) WriteCSV(ctx context.Context, w io.Writer, f Filter) error {
	where, args, err := f.where()
	if err != nil {
		return err
	}
	out := csv.NewWriter(w)
	if err := out.Write(csvHeader); err != nil {
		return err
	}
	for below := int64(math.MaxInt64); ; {
		entries, err := h.entries(ctx, where+" AND number < ? ORDER BY number DESC LIMIT ?", append(slices.Clone(args), below, csvAtOnce)...)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := out.Write(e.csv()); err != nil {
				return err
			}
			below = e.number
		}
		if len(entries) < csvAtOnce {
			break
		}
	}
	out.Flush()
	return out.Error()
}

// csv returns the fields of csvHeader.
func (e Entry) csv() []string {
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	threshold, margin, marked := "", "", ""
	if e.Threshold != nil {
		threshold, margin = number(*e.Threshold), number(e.Score-*e.Threshold)
	}
	if !e.Mark.Time.IsZero() {
		marked = e.Mark.Time.UTC().Format(time.RFC3339Nano)
	}
	return []string{
		e.ID, e.Time.UTC().Format(time.RFC3339Nano), plain(e.Detector), e.Digest, plain(e.Source), strconv.Itoa(e.Width), strconv.Itoa(e.Height),
		number(e.Score), threshold, margin, e.Verdict, strconv.Itoa(e.Regions), strconv.Itoa(e.Area), number(e.Milliseconds),
		string(e.Mark.Opinion), plain(e.Mark.Note), marked,
	}
}

// plain keeps spreadsheets from computing what a text says.
func plain(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
