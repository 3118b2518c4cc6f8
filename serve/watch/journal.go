package watch

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/destseg/destseg/internal/wholefile"
)

// A journal knows which pictures are in work and which are done with. It is a file of one
// JSON object a line, to which lines are added; of several about one path the last one
// holds.
type journal struct {
	path string

	mu      sync.Mutex
	entries map[string]entry     // by path
	missing map[string]time.Time // since when pictures of entries have not been found
	lines   int                  // in the file, about
}

// An entry says what is known of a picture: of one version, from when it was found until
// it is gone from its path. If it comes back after that it gets another entry, with
// another ID.
type entry struct {
	file
	id   string // of its result
	done bool   // it is done with; else it is in work
	to   string // where it is to be moved: below Dir, with slashes; "" to stay
}

// A line of the file has the path under the name of what became of the picture. Programs
// from before there was more than one name pass over the other lines, and have those
// pictures inspected.
type line struct {
	Begun string `json:"begun,omitempty"`
	Done  string `json:"path,omitempty"`
	Gone  string `json:"gone,omitempty"`
	version
	ID string `json:"id,omitempty"`
	To string `json:"to,omitempty"`
}

func (e entry) line() line {
	l := line{version: e.version, ID: e.id, To: e.to}
	if e.done {
		l.Done = e.path
	} else {
		l.Begun = e.path
	}
	return l
}

// remembered is how long the journal keeps the entry of a picture that is not found.
const remembered = time.Hour

func openJournal(path string) (*journal, error) {
	if err := wholefile.RemoveLeftovers(path); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	entries := parseJournal(text)
	return &journal{path: path, entries: entries, missing: map[string]time.Time{}, lines: bytes.Count(text, []byte("\n"))}, nil
}

// parseJournal reads the lines of a journal. Those that a killed process left incomplete
// are passed over: it had not yet done what they tell of.
func parseJournal(text []byte) map[string]entry {
	entries := map[string]entry{}
	for record := range bytes.Lines(text) {
		var l line
		if json.Unmarshal(record, &l) != nil {
			continue
		}
		if l.Gone != "" {
			delete(entries, l.Gone)
			continue
		}
		e := entry{file{cmp.Or(l.Done, l.Begun), l.version}, l.ID, l.Done != "", l.To}
		if isLocal(e.path) && isID(e.id) && (e.to == "" || isLocal(e.to)) {
			entries[e.path] = e
		}
	}
	return entries
}

func isLocal(path string) bool { return filepath.IsLocal(filepath.FromSlash(path)) }

// isID reports whether a text may name a file of the outbox.
func isID(id string) bool {
	return id != "" && len(id) <= 64 && strings.Trim(id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == ""
}

// finished lists the results of all that is done with.
func (j *journal) finished() map[string]bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	ids := make(map[string]bool, len(j.entries))
	for _, e := range j.entries {
		if e.done {
			ids[e.id] = true
		}
	}
	return ids
}

// get returns the entry of a file, if there is one of this version.
func (j *journal) get(f file) (entry, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if e := j.entries[f.path]; e.file == f {
		return e, true
	}
	return entry{}, false
}

// begin returns the entry of a file, and notes first that the picture is in work if there
// is none; when it returns, that is on the disk.
func (j *journal) begin(f file) (entry, error) {
	if e, ok := j.get(f); ok {
		return e, nil
	}
	e := entry{file: f, id: rand.Text()}
	return e, j.add(e)
}

// end notes that a picture is done with; when it returns, that is on the disk.
func (j *journal) end(e entry) error {
	e.done = true
	return j.add(e)
}

func (j *journal) add(e entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.write(e.line(), true); err != nil {
		return err
	}
	j.entries[e.path] = e
	delete(j.missing, e.path)
	return nil
}

// write adds a line to the file. mu is held.
func (j *journal) write(l line, sync bool) error {
	const slack = 1000
	if j.lines > 2*len(j.entries)+slack {
		if err := j.rewrite(); err != nil {
			return err
		}
	}
	// It begins with a new line too, because the last one may have been cut short.
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(slices.Concat([]byte("\n"), text, []byte("\n")))
	if sync {
		err = errors.Join(err, f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	j.lines += 2
	return nil
}

// rewrite leaves out what does not hold any more.
func (j *journal) rewrite() error {
	err := wholefile.Write(j.path, func(to io.Writer) error {
		encoder := json.NewEncoder(to)
		for _, e := range j.entries {
			if err := encoder.Encode(e.line()); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		j.lines = len(j.entries)
	}
	return err
}

// drop forgets a picture that is gone from its path, so that it is judged anew if it is
// put back. Should the line be lost, to a full disk or a power cut, a process that starts
// then takes a picture that is put back within [remembered] for one still to be moved.
func (j *journal) drop(path string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.entries, path)
	delete(j.missing, path)
	j.write(line{Gone: path}, false)
}

// keep forgets pictures that have not been found for long.
func (j *journal) keep(present map[string]bool, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for path := range j.entries {
		since, missing := j.missing[path]
		switch {
		case present[path]:
			delete(j.missing, path)
		case !missing:
			j.missing[path] = now
		case now.Sub(since) > remembered:
			delete(j.entries, path)
			delete(j.missing, path)
		}
	}
}
