package download

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A retryable error may be gone the next time.
type retryable struct {
	err   error
	after time.Duration // that the server wants to be left alone
}

func (r *retryable) Error() string { return r.err.Error() }
func (r *retryable) Unwrap() error { return r.err }

var errStalled = errors.New("the server fell silent")

// attempt makes one request, for what is missing, and takes what comes.
func (t *transfer) attempt(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL, nil)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", t.shown, ErrUnreachable, plain(err))
	}
	request.Header.Set("Accept-Encoding", "identity")
	if t.done > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", t.done))
		if t.note.URL == t.shown && t.note.Version != "" { // another server words it differently
			request.Header.Set("If-Range", t.note.Version)
		}
	}
	response, err := t.client.Do(request)
	if err != nil {
		return t.unreachable(err)
	}
	defer response.Body.Close()
	if err := t.accept(response); err != nil {
		return err
	}
	err = t.copy(response.Body, cancel)
	if context.Cause(ctx) == errStalled {
		err = errStalled
	}
	switch {
	case errors.Is(err, errLonger):
		return t.refused("it sends more than the %d bytes of the file", t.Size)
	case errors.As(err, new(*writeError)):
		return err
	case t.done == t.Size:
		return nil // however the connection ended
	case err == nil:
		err = io.ErrUnexpectedEOF
	}
	return &retryable{err: fmt.Errorf("%s: %w after %d of %d bytes: %w", t.shown, ErrBroken, t.done, t.Size, plain(err))}
}

// accept judges the head of a response. After it, the body continues what is there.
func (t *transfer) accept(r *http.Response) error {
	switch r.StatusCode {
	case http.StatusOK:
		// The whole file: nothing was there, it has changed, or the server knows no ranges.
		if kind := r.Header.Get("Content-Type"); strings.HasPrefix(kind, "text/html") {
			return t.refused("it sends a web page, such as networks have that ask for a login first")
		}
		if r.ContentLength >= 0 && r.ContentLength != t.Size {
			return t.refused("it has one of %d bytes, not %d", r.ContentLength, t.Size)
		}
		if err := t.restart(); err != nil {
			return err
		}
		t.note = noteOf(t.shown, r.Header)
		return writeNote(notePath(t.path), t.note)
	case http.StatusPartialContent:
		first, total, ok := parseContentRange(r.Header.Get("Content-Range"))
		if ok && total >= 0 && total != t.Size {
			return t.refused("it has one of %d bytes, not %d", total, t.Size)
		}
		if ok && first == t.done {
			return nil
		}
		fallthrough // not the part that was asked for
	case http.StatusRequestedRangeNotSatisfiable:
		if err := t.restart(); err != nil {
			return err
		}
		return &retryable{err: t.refused("%s, Content-Range %.100q", r.Status, r.Header.Get("Content-Range"))}
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return &retryable{t.refused("%.100s", r.Status), retryAfter(r.Header.Get("Retry-After"), time.Now())}
	}
	return t.refused("%.100s", r.Status)
}

var errLonger = errors.New("longer than the file")

// A writeError is one of the disk's, not of the net's.
type writeError struct{ err error }

func (w *writeError) Error() string { return w.err.Error() }
func (w *writeError) Unwrap() error { return w.err }

// copy appends the body to what is there. A silence that is too long cancels it.
func (t *transfer) copy(body io.Reader, cancel context.CancelCauseFunc) error {
	silence := time.AfterFunc(t.stall, func() { cancel(errStalled) })
	defer silence.Stop()
	buffer := make([]byte, 64<<10)
	for {
		n, err := body.Read(buffer)
		if int64(n) > t.Size-t.done {
			return errLonger
		}
		if n > 0 {
			silence.Reset(t.stall)
			if _, err := t.file.WriteAt(buffer[:n], t.done); err != nil {
				return &writeError{err}
			}
			t.done += int64(n)
			if t.Progress != nil {
				t.Progress(t.done)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (t *transfer) refused(format string, args ...any) error {
	return fmt.Errorf("%s: %w: %s", t.shown, ErrRefused, fmt.Sprintf(format, args...))
}

// unreachable is the error of a request without a response.
func (t *transfer) unreachable(err error) error {
	named := fmt.Errorf("%s: %w: %w", t.shown, ErrUnreachable, plain(err))
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	if errors.As(err, &name) && name.IsNotFound || errors.As(err, &certificate) || errors.As(err, &record) {
		return named // another attempt would be as vain
	}
	return &retryable{err: named}
}

// plain takes off the URL that net/http puts before an error.
func plain(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// redacted is a URL without its password.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Redacted()
}

// parseContentRange reads "bytes 5-9/10" as first = 5, total = 10; total is -1 for "*".
func parseContentRange(text string) (first, total int64, ok bool) {
	rest, ok := strings.CutPrefix(text, "bytes ")
	span, size, ok2 := strings.Cut(rest, "/")
	from, to, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, false
	}
	first, ok = parseCount(from)
	last, ok2 := parseCount(to)
	if !ok || !ok2 || last < first {
		return 0, 0, false
	}
	if size == "*" {
		return first, -1, true
	}
	total, ok = parseCount(size)
	return first, total, ok && last < total
}

// parseCount reads digits alone.
func parseCount(text string) (int64, bool) {
	n, err := strconv.ParseUint(text, 10, 63)
	return int64(n), err == nil
}

// retryAfter reads the header of that name: seconds, or a date.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, ok := parseCount(text); ok {
		const many = 1 << 30 // still a duration
		return time.Duration(min(seconds, many)) * time.Second
	}
	if date, err := http.ParseTime(text); err == nil {
		return date.Sub(now)
	}
	return 0
}
