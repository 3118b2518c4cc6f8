package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/serve/api"
	"github.com/destseg/destseg/serve/host"
	"github.com/destseg/destseg/serve/oip"
)

// The Open Inference Protocol has its own address for each model and its own error object,
// so that it stands beside version 1 and not in its description.

// maxConcurrent is how many pictures of one request of the protocol wait or work at a time.
const maxConcurrent = 8

// models returns the host's detectors as models of the protocol.
func (s *Server) models() oip.Models {
	return oip.NewModels(inference{s}, oip.Limits{
		MaxPixels:  int(s.config.Limits.Pixels),
		Concurrent: min(maxConcurrent, s.config.Host.Stats().Places),
	})
}

// inferenceOptions are those of both ways to speak the protocol.
func (s *Server) inferenceOptions() oip.Options {
	return oip.Options{
		Name: "destseg", Version: destseg.Version(), MaxRequestBytes: int(s.config.Limits.Body), Room: s.service.room, Log: s.config.Log,
	}
}

// describeInference adds the protocol's routes.
func (s *Server) describeInference() {
	h := oip.NewHandler(s.models(), s.inferenceOptions())
	// Probes bear no token.
	s.mux.Handle("/v2/health/", h)
	protected := func(w http.ResponseWriter, r *http.Request) {
		if p := s.config.Tokens.authorize(r, Read); p != nil {
			deny(w, r, p)
			return
		}
		release, err := s.reserve(r)
		if err != nil {
			problemOf(passOver(r, err)).write(w, r)
			return
		}
		defer release()
		ctx, cancel := context.WithTimeout(r.Context(), s.config.Limits.Receive+s.config.Limits.Answer)
		defer cancel()
		inner := r.WithContext(ctx)
		h.ServeHTTP(w, inner)
		r.Pattern = inner.Pattern // which endpoint it was, for the metrics
	}
	s.mux.HandleFunc("/v2", protected)
	s.mux.HandleFunc("/v2/", protected)
}

// asksInference reports whether a request is one of the protocol.
func asksInference(r *http.Request) bool {
	return r.URL.Path == "/v2" || strings.HasPrefix(r.URL.Path, "/v2/")
}

// NewGRPC returns the Open Inference Protocol over gRPC, for the same detectors, tokens and
// limits. It is served and stopped by itself. A nil secure is plain HTTP/2.
func (s *Server) NewGRPC(secure *tls.Config) *oip.GRPCServer {
	o := oip.GRPCOptions{
		Options: s.inferenceOptions(), Receive: s.config.Limits.Receive, Timeout: s.config.Limits.Answer,
		MaxCalls: s.config.Host.Stats().Places, MaxBytes: s.config.Limits.Bodies,
		Begin: s.service.sharing,
		Authorize: func(_ context.Context, authorization string) error {
			r := &http.Request{Header: http.Header{"Authorization": {authorization}}}
			if p := s.config.Tokens.authorize(r, Read); p != nil {
				return errors.New(p.Detail)
			}
			return nil
		},
		Observe: func(ctx context.Context, method, code string, took time.Duration) {
			s.metrics.calls.WithLabelValues(method, code).Inc()
			s.config.Log.DebugContext(ctx, "request over gRPC", "method", method, "code", code, "milliseconds", milliseconds(took))
		},
	}
	if secure != nil {
		o.TLS = credentials.NewTLS(secure)
	}
	return oip.NewGRPCServer(s.models(), o)
}

// inference takes the protocol's pictures to the service.
type inference struct{ server *Server }

func (i inference) Index(context.Context) ([]oip.Status, error) {
	if i.server.ending.Load() {
		return nil, told(host.ErrClosed)
	}
	cards, err := i.server.config.Host.Cards()
	if err != nil {
		return nil, err
	}
	all := make([]oip.Status, len(cards))
	for k, card := range cards {
		all[k] = oip.Status{Name: card.Name, Ready: card.State != api.Failed, Reason: card.Error}
	}
	return all, nil
}

func (i inference) HasThreshold(_ context.Context, name string) (bool, error) {
	card, err := i.server.config.Host.Card(name)
	if err == nil && card.State == api.Failed {
		err = fmt.Errorf("%w: %s", host.ErrUnusable, card.Error)
	}
	return card.Threshold != nil, told(err)
}

func (i inference) Inspect(ctx context.Context, name string, p oip.Picture) (*oip.Inspected, error) {
	source := p.Source
	if len(source) > maxSource {
		source = strings.ToValidUTF8(source[:maxSource], "")
	}
	in, result, err := i.server.service.Examine(ctx, Request{Detector: name, Data: p.File, Picture: p.Pixels, Source: source})
	if err != nil {
		return nil, told(err)
	}
	return &oip.Inspected{Inspection: result, Regions: in.Regions, Digest: in.Detector.Digest}, nil
}

// told puts an error into the protocol's terms. What clients are not told stays as it is.
func told(err error) error {
	if err == nil {
		return nil
	}
	p := problemOf(err)
	switch p.Status {
	case http.StatusNotFound:
		return fmt.Errorf("%w: %w", oip.ErrNotFound, err)
	case http.StatusRequestEntityTooLarge:
		return fmt.Errorf("%w: %w", oip.ErrTooLarge, err)
	case http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: %w", oip.ErrInvalid, err)
	case http.StatusTooManyRequests:
		return &oip.BusyError{RetryAfter: p.retry}
	case http.StatusServiceUnavailable: // its error names files
		return fmt.Errorf("%w: %s: %s", oip.ErrUnavailable, p.Title, p.Detail)
	}
	return err
}
