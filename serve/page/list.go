package page

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/destseg/destseg/serve/history"
)

// pageSize is how many results a page of the history shows.
const pageSize = 48

// A listView is a page of the history.
type listView struct {
	Entries   []listed
	Total     string // how many results there are on all pages, in words
	Filtered  bool
	Filter    url.Values
	Detectors []string // that results are of
	Zone      string   // of the times

	Newer, Older string // links; "" where there is nothing
	CSV          string // link
}

// A listed result is one of a list.
type listed struct {
	history.Entry
	Link    string
	Opinion string
}

// readFilter reads the filter of an address, and returns it as an address has it.
func readFilter(q url.Values) (history.Filter, url.Values, error) {
	f := history.Filter{Detector: q.Get("detector"), Verdict: q.Get("verdict"), Mark: q.Get("mark"), Source: q.Get("source")}
	kept := url.Values{}
	for _, name := range []string{"detector", "verdict", "mark", "source", "from", "to"} {
		if v := q.Get(name); v != "" {
			kept.Set(name, v)
		}
	}
	for name, to := range map[string]*time.Time{"from": &f.From, "to": &f.To} {
		text := q.Get(name)
		if text == "" {
			continue
		}
		day, err := time.ParseInLocation(time.DateOnly, text, time.Local)
		if err != nil {
			return f, nil, fmt.Errorf("%w: %q is no day; write it as 2026-01-31", history.ErrFilter, text)
		}
		if name == "to" {
			day = day.AddDate(0, 0, 1) // that day is wanted, too
		}
		*to = day
	}
	return f, kept, nil
}

// list is the history.
func (p *Page) list(r *http.Request) (made, error) {
	q := r.URL.Query()
	filter, kept, err := readFilter(q)
	if err != nil {
		return made{}, err
	}
	found, err := p.History.List(r.Context(), filter, history.Cursor(q.Get("at")), pageSize)
	if err != nil {
		return made{}, err
	}
	names, err := p.History.Detectors(r.Context())
	if err != nil {
		return made{}, err
	}
	if filter.Detector != "" && !slices.Contains(names, filter.Detector) {
		names = append(names, filter.Detector)
	}
	zone, _ := time.Now().Zone()
	v := listView{
		Total: count(found.Count, "result"), Filtered: len(kept) > 0, Filter: kept, Detectors: names, Zone: zone,
		CSV: address("/history.csv", kept),
	}
	if found.Count == history.MostCounted {
		v.Total = group(found.Count) + " results or more"
	}
	for _, e := range found.Entries {
		v.Entries = append(v.Entries, listed{e, address("/history/"+url.PathEscape(e.ID), kept), opinion(e)})
	}
	to := func(at history.Cursor) string {
		if at == "" {
			return ""
		}
		query := url.Values{"at": {string(at)}}
		for name, values := range kept {
			query[name] = values
		}
		return address("/history", query)
	}
	v.Newer, v.Older = to(found.Newer), to(found.Older)
	return p.render("list", frame{Title: "History", Here: "history"}, v)
}

// address joins a path and a query.
func address(path string, query url.Values) string {
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

// csv is the history as a table.
func (p *Page) csv(w http.ResponseWriter, r *http.Request) error {
	filter, _, err := readFilter(r.URL.Query())
	if err != nil {
		return err
	}
	// A wrong filter is told before the table begins.
	if _, err := p.History.List(r.Context(), filter, "", 1); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="destseg-history-`+time.Now().Format("20060102-150405")+`.csv"`)
	if err := p.History.WriteCSV(r.Context(), lasting{w}, filter); err != nil {
		p.Log.Warn("a table of the history was not written to its end", "error", err)
		panic(http.ErrAbortHandler) // so that what was written is not taken for all
	}
	return nil
}

// A lasting answer may take as long as it gets on: each part has a time of its own.
type lasting struct{ http.ResponseWriter }

// partTime is for a part to be taken.
const partTime = time.Minute

func (l lasting) Write(part []byte) (int, error) {
	// Where there are no deadlines, as in tests, there is none to move.
	http.NewResponseController(l.ResponseWriter).SetWriteDeadline(time.Now().Add(partTime))
	return l.ResponseWriter.Write(part)
}
