// Package serve is the inspection service: detectors behind HTTP, for production lines,
// browsers and programs.
//
// A picture's way: [Server] receives it, [Service] gives it a place in the queue of a
// [host.Host], decodes it when its turn comes, lets the detector inspect it and tells
// the [Recorder]; then it is answered. What a client does wrong it reads in a problem
// document (RFC 9457).
package serve

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/serve/host"
)

// Config is what a server is made of. Host and Limits are needed.
type Config struct {
	Host     *host.Host
	Limits   Limits
	Tokens   Tokens       // none: everyone may do everything
	AnyHost  bool         // without tokens too, requests by loopback may ask for any host
	Recorder Recorder     // nil: no history
	Log      *slog.Logger // nil: no log
}

// A Server answers HTTP requests. It is safe for concurrent use.
type Server struct {
	config  Config
	service *Service
	metrics *metrics
	mux     *http.ServeMux
	handler http.Handler // mux and what every request passes before it
	bodies  *semaphore.Weighted
	ending  atomic.Bool // it is shutting down
}

// New makes a server with the routes of version 1, health and metrics.
func New(c Config) *Server {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	m := newMetrics(c.Host)
	s := &Server{
		config: c,
		service: &Service{
			host: c.Host, limits: c.Limits, answers: semaphore.NewWeighted(c.Limits.Answers), recorder: c.Recorder, metrics: m, log: c.Log,
		},
		metrics: m, mux: http.NewServeMux(), bodies: semaphore.NewWeighted(max(c.Limits.Bodies, c.Limits.Body)),
	}
	s.Handle("GET /healthz", Anyone, http.HandlerFunc(healthy))
	s.Handle("GET /readyz", Anyone, http.HandlerFunc(s.ready))
	s.Handle("GET /metrics", Read, m.handler())
	s.describe()
	s.describeInference()
	s.mux.HandleFunc("/", s.unknown)
	s.handler = s.chain(s.mux)
	return s
}

// Service returns what inspects, for handlers of other protocols.
func (s *Server) Service() *Service { return s.service }

// Metrics takes further metrics.
func (s *Server) Metrics() prometheus.Registerer { return s.metrics.registry }

// Handle adds a route, a pattern of [http.ServeMux], for those who have a right. Bodies
// of requests are limited in size and time as all are.
func (s *Server) Handle(pattern string, right Right, h http.Handler) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if p := s.config.Tokens.authorize(r, right); p != nil {
			deny(w, r, p)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// describe adds the routes of version 1 and their description.
func (s *Server) describe() {
	config := huma.DefaultConfig("destseg inspection service", destseg.Version())
	config.Info.Description = "Finds defects in pictures. Errors are problem documents (RFC 9457)."
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		securityScheme: {Type: "http", Scheme: "bearer", Description: "Needed where the service was started with tokens."},
	}
	// The description is served here, for a browser's page of it would come from elsewhere.
	config.OpenAPIPath, config.DocsPath, config.SchemasPath, config.CreateHooks = "", "", "", nil
	v1 := humago.New(s.mux, config)
	s.describeInspect(v1)
	s.describeDetectors(v1)

	text, err := json.Marshal(v1.OpenAPI())
	if err != nil {
		panic(err) // it is made of the types above alone
	}
	s.Handle("GET /openapi.json", Anyone, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		w.Write(text)
	}))
}

// securityScheme is what the description calls tokens.
const securityScheme = "token"

// operation completes one that needs a right.
func (s *Server) operation(right Right, o huma.Operation) huma.Operation {
	o.Security = []map[string][]string{{securityScheme: {}}, {}}
	o.Middlewares = huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		if p := s.config.Tokens.authorize(r, right); p != nil {
			deny(w, r, p)
			return
		}
		next(ctx)
	}}
	o.Errors = append(o.Errors, http.StatusUnauthorized, http.StatusForbidden)
	return o
}

// Allows reports whether a request has a right.
func (s *Server) Allows(r *http.Request, right Right) bool {
	return s.config.Tokens.authorize(r, right) == nil
}

// fail is problem for huma.
func (s *Server) fail(ctx context.Context, err error) error { return s.problem(ctx, err) }

// problem tells a client about an error, and the log if it is the service's fault.
func (s *Server) problem(ctx context.Context, err error) *problem {
	p := problemOf(err)
	p.Instance = requestID(ctx)
	if p.Status >= http.StatusInternalServerError && p.retry == 0 {
		s.config.Log.Error("request failed", "id", p.Instance, "error", err)
	}
	return p
}

// deny refuses a request for its token, and says how to send the one that is lacking.
func deny(w http.ResponseWriter, r *http.Request, p *problem) {
	if p.Status == http.StatusUnauthorized {
		w.Header().Add("WWW-Authenticate", `Bearer realm="destseg"`)
		w.Header().Add("WWW-Authenticate", `Basic realm="destseg: any name, and a token as the password", charset="UTF-8"`)
	}
	p.write(w, r)
}

func healthy(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

// ready tells whether pictures are taken, which is over once the service shuts down.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if s.ending.Load() {
		problemOf(host.ErrClosed).write(w, r)
		return
	}
	if _, err := s.config.Host.Names(); err != nil {
		s.config.Log.Error("detectors can't be listed", "error", err)
		plainProblem(http.StatusServiceUnavailable, "the detectors can't be listed; the service's log says why").write(w, r)
		return
	}
	fmt.Fprintln(w, "ok")
}

// unknown answers requests without a route.
func (s *Server) unknown(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := s.mux.Handler(other); pattern != "/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		w.Header()["Allow"] = allowed
		plainProblem(http.StatusMethodNotAllowed, fmt.Sprintf("%s does not go here; %s does", r.Method, strings.Join(allowed, " or "))).write(w, r)
		return
	}
	plainProblem(http.StatusNotFound, "there is nothing here; /openapi.json describes what there is").write(w, r)
}

// Times of connections. Those of bodies are among the limits.
const (
	headerTime = 10 * time.Second // for a request's header to arrive
	idleTime   = 2 * time.Minute  // between two requests
	writeTime  = time.Minute      // for an answer to be taken, once it is there
)

// Serve answers requests until the context ends. Then it takes no new ones, finishes
// those that it has within the grace, and closes the listener. Without secure it is plain
// HTTP.
func (s *Server) Serve(ctx context.Context, l net.Listener, secure *tls.Config, grace time.Duration) error {
	server := &http.Server{
		Handler: s, TLSConfig: secure,
		ReadHeaderTimeout: min(headerTime, s.config.Limits.Receive), IdleTimeout: idleTime,
		WriteTimeout:   s.config.Limits.Receive + s.config.Limits.Answer + writeTime,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(s.config.Log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() {
		if secure != nil {
			ended <- server.ServeTLS(l, "", "")
			return
		}
		ended <- server.Serve(l)
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	s.ending.Store(true)
	s.config.Log.Info("shutting down; requests under way are finished")
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(finish); err != nil {
		return errors.Join(fmt.Errorf("requests were not finished within %v: %w", grace, err), server.Close())
	}
	return nil
}
