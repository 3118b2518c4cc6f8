// Package download fetches a file whose SHA-256 is known beforehand over HTTP, and
// goes on where an earlier attempt broke off.
//
// No module that is kept up does both; what is here leaves connections, redirects,
// proxies and TLS to net/http.
package download

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/destseg/destseg/internal/digest"
)

var (
	// ErrUnreachable is wrapped by the error for a server that gave no answer.
	ErrUnreachable = errors.New("no connection")
	// ErrRefused is wrapped by the error for a server that answered, but with
	// something else than the file.
	ErrRefused = errors.New("the server does not give the file")
	// ErrDigest is wrapped by the error for a file that came whole and has another
	// digest.
	ErrDigest = errors.New("it is another file")
	// ErrBroken is wrapped by the error for a transfer that broke off, again and again.
	ErrBroken = errors.New("the download broke off")
)

// A File is what to fetch.
type File struct {
	URL    string
	Digest string // SHA-256, hexadecimal
	Size   int64  // bytes; no more are taken
}

// Options may be left out.
type Options struct {
	// Progress is told how many bytes are there, now and then.
	Progress func(done int64)
	// Retry is told why an attempt failed and how long it is until the next, 0 if that
	// begins with the first byte because parts of several calls made another file.
	Retry func(err error, wait time.Duration)

	client  *http.Client  // nil for newClient's
	stall   time.Duration // longest silence of a server that is sending
	pause   time.Duration // before the second attempt; then twice as long each time
	longest time.Duration // pause, whatever the server asks for
}

// attempts is how many may fail one after the other without a byte that is new.
const attempts = 4

// newClient returns a client that takes the proxy from the environment, as
// [http.ProxyFromEnvironment] does, and waits for no server forever.
func newClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 15 * time.Second}).DialContext
	t.TLSHandshakeTimeout = 15 * time.Second
	t.ResponseHeaderTimeout = 30 * time.Second
	t.DisableCompression = true // ranges count the bytes of the file
	return &http.Client{Transport: t}
}

// Get makes the file at path whole: what is there already, from an earlier call that
// failed, is kept and what is missing fetched. Of the server's word for the version of
// the file (ETag or Last-Modified) Get keeps a note beside it, under path with .json,
// so that parts of two versions are never put together. Whatever the server says, the
// file's digest decides: where parts of several calls make a file with another one,
// the file is fetched once more from its first byte.
//
// If ctx ends, the error is its cause. Others name the URL, without a password in it,
// and wrap [ErrUnreachable], [ErrRefused], [ErrBroken] or [ErrDigest], or come from
// the file system. What was fetched stays but for ErrDigest.
func Get(ctx context.Context, f File, path string, o Options) error {
	t, err := open(f, path, o)
	if err != nil {
		return err
	}
	defer t.client.CloseIdleConnections()
	defer func() {
		t.file.Close()
		if t.done == 0 { // nothing to go on from
			Remove(path)
		}
	}()
	resumed := t.done > 0
	for {
		if err := t.fetch(ctx); err != nil {
			return err
		}
		sum, err := t.digest()
		if err != nil {
			return err
		}
		if sum.String() == f.Digest {
			break
		}
		err = fmt.Errorf("%s: %w: its SHA-256 is %s, not %s", t.shown, ErrDigest, sum, f.Digest)
		if !resumed {
			t.done = 0
			return err
		}
		resumed = false
		if o.Retry != nil {
			o.Retry(err, 0)
		}
		if err := t.restart(); err != nil {
			return err
		}
	}
	return nil
}

// Remove takes away what Get left at path, if anything.
func Remove(path string) error {
	for _, name := range []string{notePath(path), path} {
		if err := removeIfThere(name); err != nil {
			return err
		}
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// A transfer brings one file.
type transfer struct {
	File
	Options
	shown string // the URL as it may be shown
	path  string
	file  *os.File
	done  int64 // bytes that are there
	note  note  // of the version that they belong to
}

func open(f File, path string, o Options) (*transfer, error) {
	t := &transfer{File: f, Options: o, path: path, shown: redacted(f.URL)}
	if t.client == nil {
		t.client = newClient()
	}
	if t.stall == 0 {
		t.stall, t.pause, t.longest = 30*time.Second, time.Second, time.Minute
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, err
	}
	t.file, t.done = file, info.Size()
	t.note = readNote(notePath(path))
	if t.done > t.Size {
		if err := t.restart(); err != nil {
			file.Close()
			return nil, err
		}
	}
	return t, nil
}

// restart forgets what is there.
func (t *transfer) restart() error {
	t.done, t.note = 0, note{}
	if err := t.file.Truncate(0); err != nil {
		return err
	}
	return removeIfThere(notePath(t.path))
}

// fetch makes attempts until all bytes are there.
func (t *transfer) fetch(ctx context.Context) error {
	pause := t.pause
	most := t.done // that there ever was: a server without ranges begins anew each time
	for failed := 0; t.done < t.Size; {
		err := t.attempt(ctx)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if t.done > most {
			most, failed, pause = t.done, 0, t.pause
		}
		failed++
		var again *retryable
		if !errors.As(err, &again) || failed == attempts {
			return err
		}
		wait := min(max(pause, again.after), t.longest)
		if t.Retry != nil {
			t.Retry(err, wait)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
		pause *= 2
	}
	return nil
}

// digest reads what was written.
func (t *transfer) digest() (digest.Digest, error) {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(t.file, 0, t.done)); err != nil {
		return digest.Digest{}, err
	}
	return digest.Digest(h.Sum(nil)), nil
}
