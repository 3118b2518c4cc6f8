package watch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/destseg/destseg/internal/wholefile"
)

// A journal knows which pictures are done with. It is a file of one JSON object a line,
// to which lines are added; of several about one path the last one holds.
type journal struct {
	path string

	mu      sync.Mutex
	entries map[string]entry
	missing map[string]time.Time // since when pictures of entries have not been found
	lines   int                  // in the file, about
}

// An entry says that a version of a picture is done with.
type entry struct {
	Path string `json:"path"` // below Dir, with slashes
	version
	ID string `json:"id"`           // of its result
	To string `json:"to,omitempty"` // where it is to be moved: below Dir, with slashes
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
// are passed over: their pictures are not done with.
func parseJournal(text []byte) map[string]entry {
	entries := map[string]entry{}
	for line := range bytes.Lines(text) {
		var e entry
		if json.Unmarshal(line, &e) == nil && filepath.IsLocal(filepath.FromSlash(e.Path)) &&
			(e.To == "" || filepath.IsLocal(filepath.FromSlash(e.To))) {
			entries[e.Path] = e
		}
	}
	return entries
}

// ids lists the results of all that is done with.
func (j *journal) ids() map[string]bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	ids := make(map[string]bool, len(j.entries))
	for _, e := range j.entries {
		ids[e.ID] = true
	}
	return ids
}

func (j *journal) get(path string) (entry, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e, ok := j.entries[path]
	return e, ok
}

// add notes that a picture is done with; when it returns, that is on the disk.
func (j *journal) add(e entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	const slack = 1000
	if j.lines > 2*len(j.entries)+slack {
		if err := j.rewrite(); err != nil {
			return err
		}
	}
	// It begins with a new line too, because the last one may have been cut short.
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(append(append([]byte("\n"), line...), '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	j.entries[e.Path] = e
	delete(j.missing, e.Path)
	j.lines += 2
	return nil
}

// rewrite leaves out what does not hold any more.
func (j *journal) rewrite() error {
	err := wholefile.Write(j.path, func(to io.Writer) error {
		encoder := json.NewEncoder(to)
		for _, e := range j.entries {
			if err := encoder.Encode(e); err != nil {
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

// drop forgets a picture that has been moved. The file may keep it; a picture of that
// version will not come again.
func (j *journal) drop(path string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.entries, path)
	delete(j.missing, path)
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
