package download

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// content is the file that the servers of the tests have.
var content = func() []byte {
	b := make([]byte, 300_001)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(b)
	return b
}()

// An answer is what a server does with one request.
type answer = http.HandlerFunc

// whole serves the file, with ranges and an ETag.
func whole(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"v1"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// rangeless serves the file from its beginning, whatever is asked for.
func rangeless(w http.ResponseWriter, r *http.Request) {
	r.Header.Del("Range")
	whole(w, r)
}

// cut breaks the connection off after n bytes of what serve sends.
func cut(n int, serve answer) answer {
	return func(w http.ResponseWriter, r *http.Request) {
		serve(&limited{ResponseWriter: w, left: n}, r)
		panic(http.ErrAbortHandler)
	}
}

type limited struct {
	http.ResponseWriter
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left < len(p) {
		l.ResponseWriter.Write(p[:l.left])
		l.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	l.left -= len(p)
	return l.ResponseWriter.Write(p)
}

// silent sends n bytes and then nothing until the client gives up.
func silent(n int) answer {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		w.Write(content[:n])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
}

// slow sends the file in pieces, none of which takes long.
func slow(w http.ResponseWriter, _ *http.Request) {
	for piece := range slices.Chunk(content, len(content)/9) {
		w.Write(piece)
		w.(http.Flusher).Flush()
		time.Sleep(60 * time.Millisecond)
	}
}

func status(code int, header ...string) answer {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// endless sends more than the file, without saying how much.
func endless(w http.ResponseWriter, _ *http.Request) {
	w.(http.Flusher).Flush()
	w.Write(content)
	w.Write(content)
}

func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, "<html>log in first</html>")
}

// A server gives its answers one after the other, the last one for good, and notes
// what it was asked for.
type server struct {
	*httptest.Server
	mu      sync.Mutex
	answers []answer
	asked   []string
}

func serve(t *testing.T, answers ...answer) *server {
	s := &server{answers: answers}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		next := s.answers[0]
		if len(s.answers) > 1 {
			s.answers = s.answers[1:]
		}
		s.asked = append(s.asked, strings.TrimSpace(r.Header.Get("Range")+" "+r.Header.Get("If-Range")))
		s.mu.Unlock()
		next(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (s *server) file() File {
	return File{URL: s.URL + "/file", Digest: digestOf(content), Size: int64(len(content))}
}

// quick are options under which no attempt waits long for the next. A machine that is
// busy must not look like a silent server.
func quick() Options {
	return Options{stall: 10 * time.Second, pause: time.Millisecond, longest: 5 * time.Millisecond}
}

// impatient are options under which a silent server is given up soon.
func impatient() Options {
	o := quick()
	o.stall = 400 * time.Millisecond
	return o
}

func TestGet(t *testing.T) {
	half := content[:150_000]
	other := slices.Concat([]byte("no"), half[2:])
	for _, test := range []struct {
		name    string
		answers []answer
		there   []byte // of an earlier call
		version string // that was noted for it
		asked   []string
	}{
		{"at once", []answer{whole}, nil, "", []string{""}},
		{"going on", []answer{whole}, half, `"v1"`, []string{`bytes=150000- "v1"`}},
		{"going on without a note", []answer{whole}, half, "", []string{"bytes=150000-"}},
		{"a new version", []answer{whole}, other, `"v0"`, []string{`bytes=150000- "v0"`}},
		{"a new version, not noticed", []answer{whole}, other, "", []string{"bytes=150000-", ""}},
		{"no ranges", []answer{rangeless}, half, `"v1"`, []string{`bytes=150000- "v1"`}},
		{"all there", []answer{status(404)}, content, "", nil},
		{"more than all there", []answer{whole}, append(content[:len(content):len(content)], 0), "", []string{""}},
		{"broken off", []answer{cut(150_000, whole), cut(1, whole), whole}, nil, "",
			[]string{"", `bytes=150000- "v1"`, `bytes=150001- "v1"`}},
		{"broken off often", []answer{
			cut(10, whole), cut(10, whole), cut(10, whole), cut(10, whole), cut(10, whole), cut(10, whole), whole}, nil, "",
			[]string{"", `bytes=10- "v1"`, `bytes=20- "v1"`, `bytes=30- "v1"`, `bytes=40- "v1"`, `bytes=50- "v1"`, `bytes=60- "v1"`}},
		{"broken off after the last byte", []answer{cut(len(content), whole)}, nil, "", []string{""}},
		{"silent", []answer{silent(150_000), whole}, nil, "", []string{"", "bytes=150000-"}},
		{"slow", []answer{slow}, nil, "", []string{""}},
		{"busy", []answer{status(503, "Retry-After", "3600"), status(429), status(500), whole}, nil, "", []string{"", "", "", ""}},
		{"no such range", []answer{status(416), whole}, half, "", []string{"bytes=150000-", ""}},
		{"another range", []answer{status(206, "Content-Range", "bytes 1-2/300001"), whole}, half, "", []string{"bytes=150000-", ""}},
		{"no range at all", []answer{status(206), whole}, half, "", []string{"bytes=150000-", ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, test.answers...)
			path := filepath.Join(t.TempDir(), "file.part")
			if test.there != nil {
				if err := os.WriteFile(path, test.there, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			if test.version != "" {
				if err := writeNote(notePath(path), note{s.file().URL, test.version}); err != nil {
					t.Fatal(err)
				}
			}
			var last int64
			o := quick()
			if test.name == "silent" || test.name == "slow" {
				o = impatient()
			}
			o.Progress = func(done int64) { last = done }
			if err := Get(t.Context(), s.file(), path, o); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if !slices.Equal(s.asked, test.asked) {
				t.Errorf("asked for %q, want %q", s.asked, test.asked)
			}
			if last != int64(len(content)) && test.asked != nil {
				t.Errorf("the progress ends with %d bytes", last)
			}
			if err := Remove(path); err != nil {
				t.Error(err)
			}
			if left, _ := os.ReadDir(filepath.Dir(path)); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

func TestGetFails(t *testing.T) {
	for _, test := range []struct {
		name     string
		answer   answer
		change   func(*File)
		want     error
		text     string
		requests int
		kept     int64 // bytes
	}{
		{"not there", status(404), nil, ErrRefused, "404 Not Found", 1, 0},
		{"forbidden", status(403), nil, ErrRefused, "403 Forbidden", 1, 0},
		{"never there", status(503), nil, ErrRefused, "503 Service Unavailable", attempts, 0},
		{"a web page", page, nil, ErrRefused, "it sends a web page", 1, 0},
		{"a smaller file", whole, func(f *File) { f.Size++ }, ErrRefused, "it has one of 300001 bytes, not 300002", 1, 0},
		{"a larger file", endless, nil, ErrRefused, "more than the 300001 bytes", 1, -1},
		{"another file", whole, func(f *File) { f.Digest = digestOf(nil) }, ErrDigest, digestOf(content), 1, 0},
		{"always broken off", cut(10, rangeless), nil, ErrBroken, "after 10 of 300001 bytes: unexpected EOF", attempts, 10},
		{"always silent", silent(10), nil, ErrBroken, "after 10 of 300001 bytes: the server fell silent", attempts, 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, test.answer)
			path := filepath.Join(t.TempDir(), "file.part")
			f := s.file()
			if test.change != nil {
				test.change(&f)
			}
			retries := 0
			o := quick()
			if test.name == "always silent" {
				o = impatient()
			}
			o.Retry = func(error, time.Duration) { retries++ }
			err := Get(t.Context(), f, path, o)
			if !errors.Is(err, test.want) || !strings.HasPrefix(err.Error(), f.URL+": ") || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v, want %q", err, test.text)
			}
			if len(s.asked) != test.requests || retries != test.requests-1 {
				t.Errorf("%d requests, %d retries, want %d requests", len(s.asked), retries, test.requests)
			}
			info, err := os.Stat(path)
			switch {
			case test.kept == 0:
				if left, _ := os.ReadDir(filepath.Dir(path)); len(left) > 0 {
					t.Errorf("left over: %v", left)
				}
			case err != nil || test.kept >= 0 && info.Size() != test.kept || info.Size() > f.Size:
				t.Errorf("%v, %v, want %d bytes", info, err, test.kept)
			}
		})
	}
}

// TestGetAnotherSize checks that a part of a larger file is refused.
func TestGetAnotherSize(t *testing.T) {
	s := serve(t, status(206, "Content-Range", "bytes 10-300001/300002"))
	path := filepath.Join(t.TempDir(), "file.part")
	if err := os.WriteFile(path, content[:10], 0o666); err != nil {
		t.Fatal(err)
	}
	err := Get(t.Context(), s.file(), path, quick())
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "it has one of 300002 bytes, not 300001") || len(s.asked) != 1 {
		t.Errorf("%d requests, %v", len(s.asked), err)
	}
}

func TestGetUnreachable(t *testing.T) {
	s := serve(t, whole)
	s.Close()
	path := filepath.Join(t.TempDir(), "file.part")
	if err := Get(t.Context(), s.file(), path, quick()); !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
	f := s.file()
	f.URL = strings.Replace(f.URL, "http://", "https://user:secret@", 1)
	if err := Get(t.Context(), f, path, quick()); !errors.Is(err, ErrUnreachable) || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

// TestGetUntrusted checks that a certificate nobody vouches for is no matter of
// patience.
func TestGetUntrusted(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(whole))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer s.Close()
	o := quick()
	o.Retry = func(err error, _ time.Duration) { t.Errorf("tried again: %v", err) }
	f := File{URL: s.URL, Digest: digestOf(content), Size: int64(len(content))}
	err := Get(t.Context(), f, filepath.Join(t.TempDir(), "file.part"), o)
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "certificate") {
		t.Error(err)
	}
}

// TestGetInterrupted checks that what is there stays when the context ends, also
// while nothing comes or between attempts, and that the next call goes on from it.
func TestGetInterrupted(t *testing.T) {
	cause := errors.New("enough")
	for name, first := range map[string]answer{"silent": silent(150_000), "broken off": cut(150_000, whole)} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, first, whole)
			path := filepath.Join(t.TempDir(), "file.part")
			ctx, cancel := context.WithCancelCause(t.Context())
			o := quick()
			o.stall, o.pause, o.longest = time.Hour, time.Hour, time.Hour
			o.Progress = func(done int64) {
				if name == "silent" && done == 150_000 {
					cancel(cause)
				}
			}
			o.Retry = func(error, time.Duration) { cancel(cause) }
			if err := Get(ctx, s.file(), path, o); err != cause {
				t.Error(err)
			}
			if info, err := os.Stat(path); err != nil || info.Size() != 150_000 {
				t.Errorf("%v, %v", info, err)
			}
			if err := Get(t.Context(), s.file(), path, quick()); err != nil {
				t.Error(err)
			}
			if asked := s.asked[len(s.asked)-1]; !strings.HasPrefix(asked, "bytes=150000-") {
				t.Errorf("asked for %q", asked)
			}
		})
	}
}

// TestProxy checks that nothing goes around the proxy of the environment, which
// net/http reads once in a process.
func TestProxy(t *testing.T) {
	transport := newClient().Transport.(*http.Transport)
	if fmt.Sprintf("%p", transport.Proxy) != fmt.Sprintf("%p", http.ProxyFromEnvironment) {
		t.Error("not http.ProxyFromEnvironment")
	}
}

func TestContentRange(t *testing.T) {
	for text, want := range map[string][2]int64{
		"bytes 5-9/10": {5, 10}, "bytes 0-0/1": {0, 1}, "bytes 5-9/*": {5, -1},
		"bytes 0-9223372036854775806/9223372036854775807": {0, 9223372036854775807},
	} {
		if first, total, ok := parseContentRange(text); !ok || first != want[0] || total != want[1] {
			t.Errorf("%q: %d, %d, %v", text, first, total, ok)
		}
	}
	for _, text := range []string{"", "bytes", "bytes */10", "bytes 9-5/10", "bytes 5-9/9", "bytes -5-9/10", "bytes +5-9/10", "bytes 5-9/", "bytes 5-9",
		"bytes 5-99999999999999999999/*", "items 5-9/10"} {
		if _, _, ok := parseContentRange(text); ok {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "soon": 0, "7": 7 * time.Second, "Thu, 02 Jan 2025 03:04:15 GMT": 10 * time.Second, "99999999999999": 1 << 30 * time.Second,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestNoteOf(t *testing.T) {
	for _, test := range []struct{ etag, modified, want string }{
		{`"a"`, "Thu, 02 Jan 2025 03:04:15 GMT", `"a"`},
		{`W/"a"`, "Thu, 02 Jan 2025 03:04:15 GMT", "Thu, 02 Jan 2025 03:04:15 GMT"},
		{"", "", ""},
	} {
		h := http.Header{"Etag": {test.etag}, "Last-Modified": {test.modified}}
		if got := noteOf("http://x", h); got != (note{"http://x", test.want}) {
			t.Errorf("%+v: %+v", test, got)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	f.Add("bytes 5-9/10")
	f.Add("bytes 5-9/*")
	f.Fuzz(func(t *testing.T, text string) {
		first, total, ok := parseContentRange(text)
		if ok && (first < 0 || total >= 0 && first >= total) {
			t.Errorf("%q: byte %d of %d", text, first, total)
		}
	})
}

func FuzzNote(f *testing.F) {
	f.Add([]byte(`{"url":"http://x/y","version":"\"v1\""}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		request, err := http.NewRequest(http.MethodGet, "http://x", nil)
		if err != nil {
			t.Fatal(err)
		}
		// What goes into a header must not end it.
		request.Header.Set("If-Range", parseNote(text).Version)
		var b bytes.Buffer
		if err := request.Write(&b); err == nil && strings.Count(b.String(), "\r\n") != 5 {
			t.Errorf("%q", b.String())
		}
	})
}
