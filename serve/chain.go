package serve

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"
)

// chain puts before a handler what every request passes: it gets a name, is counted and
// logged, must come from no other site, and has a body of limited size and time.
func (s *Server) chain(h http.Handler) http.Handler {
	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		plainProblem(http.StatusForbidden, "a browser sends this from another site").write(w, r)
	}))
	return s.observed(s.recovered(s.limited(sameOrigin.Handler(h))))
}

type requestKey struct{}

// requestID returns the name of a request, "" outside one.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// observed names a request, and counts and logs how it was answered. The request has a share
// of the memory for answers.
func (s *Server) observed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		id := rand.Text()
		w.Header().Set("X-Request-Id", id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		ctx, release := s.service.sharing(context.WithValue(r.Context(), requestKey{}, id))
		defer release()
		r = r.WithContext(ctx)
		answer := &answer{ResponseWriter: w, status: http.StatusOK}
		defer func() { // also where the answer was broken off
			s.metrics.answered(r.Pattern, answer.status)
			level := slog.LevelDebug
			if answer.status >= http.StatusInternalServerError {
				level = slog.LevelWarn
			}
			s.config.Log.Log(r.Context(), level, "request", "id", id, "from", r.RemoteAddr, "method", r.Method, "path", r.URL.Path,
				"status", answer.status, "bytes", answer.bytes, "milliseconds", milliseconds(time.Since(start)))
		}()
		h.ServeHTTP(answer, r)
	})
}

// An answer remembers what was answered.
type answer struct {
	http.ResponseWriter
	status int
	begun  bool
	bytes  int64
}

func (a *answer) WriteHeader(status int) {
	if !a.begun {
		a.status = status
		a.begun = status >= http.StatusOK
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	a.begun = true
	n, err := a.ResponseWriter.Write(p)
	a.bytes += int64(n)
	return n, err
}

// Unwrap is for [http.ResponseController].
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// recovered keeps a fault in one request from ending the others.
func (s *Server) recovered(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			fault := recover()
			if fault == nil {
				return
			}
			if fault == http.ErrAbortHandler {
				panic(fault)
			}
			s.config.Log.Error("a request made the program panic", "id", requestID(r.Context()), "fault", fault, "stack", string(debug.Stack()))
			if a, ok := w.(*answer); ok && !a.begun {
				plainProblem(http.StatusInternalServerError, "the service failed; its log says why").write(w, r)
			}
		}()
		h.ServeHTTP(w, r)
	})
}

// limited bounds the size of a body and the time in which it arrives, and turns away
// what a browser sends here because another site's name leads to this machine: a
// service that asks for no token would answer it.
func (s *Server) limited(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		withBody := r.Body != nil && r.Body != http.NoBody
		if withBody {
			// First of all, since what is refused is received to its end too, within bounds.
			// It fails for connections of tests alone.
			control.SetReadDeadline(time.Now().Add(s.config.Limits.Receive))
		}
		switch {
		case !s.config.AnyHost && s.config.Tokens.Empty() && reachedByLoopback(r) && !namesLoopback(r.Host):
			plainProblem(http.StatusMisdirectedRequest, "without tokens the service answers to localhost only, unless it is started with --anyone").write(w, r)
			return
		case r.ContentLength > s.config.Limits.Body:
			w.Header().Set("Connection", "close") // rather than receive what nobody reads
			problemOf(&http.MaxBytesError{Limit: s.config.Limits.Body}).write(w, r)
			return
		case withBody:
			r.Body = &timedBody{ReadCloser: http.MaxBytesReader(w, r.Body, s.config.Limits.Body), control: control}
		}
		h.ServeHTTP(w, r)
	})
}

// A timedBody lifts the deadline once all has arrived, since a deadline that passes
// afterwards would look as if the client had gone.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// reachedByLoopback reports whether a request came to an address of this machine alone.
func reachedByLoopback(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && local.IP.IsLoopback()
}

// namesLoopback reports whether the host of a request is this machine.
func namesLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if len(host) > 1 && host[0] == '[' {
		host = host[1 : len(host)-1]
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
