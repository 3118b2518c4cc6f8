package watch

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/destseg/destseg/internal/wholefile"
	"github.com/destseg/destseg/serve/api"
)

// ResultEnding is added to a picture's name for that of its result.
const ResultEnding = ".destseg.json"

// A Result is what came of a picture: the fields of an inspection, or an error.
type Result struct {
	ID       string    `json:"id"`
	Time     time.Time `json:"time"`     // when the picture was first seen as it is
	Source   string    `json:"source"`   // where it was: the path below the folder, with slashes
	Picture  string    `json:"picture"`  // where it is now
	Bytes    int64     `json:"bytes"`    // size of the picture's file
	Modified time.Time `json:"modified"` // when the file was changed last
	Error    string    `json:"error,omitempty"`
	*api.Inspection
}

// Folders for pictures that are moved.
const (
	okFolder       = "ok"
	ngFolder       = "ng"
	unjudgedFolder = "unjudged"
	errorFolder    = "error"
)

// folder returns where a picture with that result belongs.
func (r Result) folder() string {
	switch {
	case r.Inspection == nil:
		return errorFolder
	case r.Verdict == api.OK:
		return okFolder
	case r.Verdict == api.NG:
		return ngFolder
	}
	return unjudgedFolder
}

// write writes a result beside its picture.
func (r Result) write(picture string) error {
	if err := os.MkdirAll(filepath.Dir(picture), 0o777); err != nil {
		return err
	}
	return wholefile.Write(picture+ResultEnding, func(to io.Writer) error {
		encoder := json.NewEncoder(to)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(r)
	})
}

// known returns the ID of a picture's result that lies beside it, whoever put both there:
// a process whose journal is lost, or one that moved them.
func (w *Watcher) known(f file) (id string, ok bool) {
	r, err := readResult(filepath.Join(w.config.Dir, filepath.FromSlash(f.path)))
	return r.ID, err == nil && r.Picture == f.path && version{r.Bytes, r.Modified.UnixNano()} == f.version && isID(r.ID)
}

// readResult reads what lies beside a picture.
func readResult(picture string) (Result, error) {
	var r Result
	text, err := os.ReadFile(picture + ResultEnding)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	return r, err
}

// free returns a path below Dir at which there is neither a picture nor the result of
// another one than that of the ID: below itself, or with a number.
func (w *Watcher) free(below, id string) (string, error) {
	ending := path.Ext(below)
	stem := strings.TrimSuffix(below, ending)
	for i := 2; ; i++ {
		taken, err := w.taken(below, id)
		if err != nil {
			return "", err
		}
		if !taken {
			return below, nil
		}
		below = stem + "-" + strconv.Itoa(i) + ending
	}
}

func (w *Watcher) taken(below, id string) (bool, error) {
	picture := filepath.Join(w.config.Dir, filepath.FromSlash(below))
	if _, err := os.Lstat(picture); !errors.Is(err, fs.ErrNotExist) {
		return true, err
	}
	r, err := readResult(picture)
	return !errors.Is(err, fs.ErrNotExist) && (err != nil || r.ID != id), nil
}

// move brings a picture that is done with to its place, if it has one, and lets the
// journal forget it. One that was replaced since stays for the next inspection.
func (w *Watcher) move(e entry) error {
	if e.to == "" {
		return nil
	}
	from := filepath.Join(w.config.Dir, filepath.FromSlash(e.path))
	if info, err := os.Lstat(from); err != nil || versionOf(info) != e.version {
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			w.journal.drop(e.path)
			return nil
		}
		return err
	}
	// Somebody else may have put a file there since.
	to, err := w.free(e.to, e.id)
	if err != nil {
		return err
	}
	path := filepath.Join(w.config.Dir, filepath.FromSlash(to))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	err = os.Rename(from, path)
	if errors.Is(err, syscall.EXDEV) { // a part of the folder is on another file system
		err = carry(from, path)
	}
	if err != nil {
		return err
	}
	w.journal.drop(e.path)
	return nil
}

// carry moves a file as a copy of the same age.
func carry(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := wholefile.Write(to, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	}); err != nil {
		return err
	}
	if err := os.Chtimes(to, time.Time{}, info.ModTime()); err != nil {
		return err
	}
	return os.Remove(from)
}
