package oip

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strconv"
)

// Options say how a server speaks the protocol. Zero values are useful.
type Options struct {
	Name, Version string // of the server, for its metadata
	// MaxRequestBytes bounds the body of a request, and a message of gRPC; 0 is 64 MiB.
	MaxRequestBytes int
	// Room waits until the answer to a request may take so many bytes; nil: it always may.
	Room func(ctx context.Context, bytes int64) error
	// Log gets what clients are not told; nil: no log.
	Log *slog.Logger
}

func (o Options) maxRequestBytes() int {
	if o.MaxRequestBytes > 0 {
		return o.MaxRequestBytes
	}
	return 64 << 20
}

// room returns what makes room for outputs of a request's answer, in which each byte of one
// takes as many as factor says.
func (o Options) room(ctx context.Context, factor func(output string) int64) func(output string, bytes int64) error {
	return func(output string, bytes int64) error {
		if o.Room == nil {
			return nil
		}
		return o.Room(ctx, factor(output)*bytes)
	}
}

func (o Options) log() *slog.Logger {
	if o.Log != nil {
		return o.Log
	}
	return slog.New(slog.DiscardHandler)
}

// headerLength is the header that tells the length of the JSON object before binary data.
const headerLength = "Inference-Header-Content-Length"

// NewHandler returns the protocol over HTTP. It answers under /v2, every error with the
// protocol's error object.
func NewHandler(m Models, o Options) http.Handler {
	s := &rest{models: m, options: o}
	mux := http.NewServeMux()
	for _, r := range []struct {
		method, path string
		serve        func(w http.ResponseWriter, r *http.Request) error
	}{
		{http.MethodGet, "/v2", s.metadata},
		{http.MethodGet, "/v2/{$}", s.metadata},
		{http.MethodGet, "/v2/health/live", s.live},
		{http.MethodGet, "/v2/health/ready", s.ready},
		{http.MethodGet, "/v2/models/{model}", s.modelMetadata},
		{http.MethodGet, "/v2/models/{model}/ready", s.modelReady},
		{http.MethodPost, "/v2/models/{model}/infer", s.infer},
		{http.MethodGet, "/v2/models/{model}/versions/{version}", s.modelMetadata},
		{http.MethodGet, "/v2/models/{model}/versions/{version}/ready", s.modelReady},
		{http.MethodPost, "/v2/models/{model}/versions/{version}/infer", s.infer},
		{http.MethodPost, "/v2/repository/index", s.index},
	} {
		mux.HandleFunc(r.path, func(w http.ResponseWriter, req *http.Request) {
			if req.Method != r.method && (r.method != http.MethodGet || req.Method != http.MethodHead) {
				w.Header().Set("Allow", r.method)
				WriteError(w, http.StatusMethodNotAllowed, fmt.Sprintf("%s takes %s", req.URL.Path, r.method))
				return
			}
			req.Body = http.MaxBytesReader(w, req.Body, int64(o.maxRequestBytes()))
			if err := r.serve(w, req); err != nil {
				s.fail(w, req, err)
			}
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		WriteError(w, http.StatusNotFound, fmt.Sprintf("%s is no endpoint of the protocol", req.URL.Path))
	})
	return mux
}

// rest answers the protocol's requests over HTTP. An error that a handler returns is
// answered for it; it must not have written anything then.
type rest struct {
	models  Models
	options Options
}

// extensions are those of the protocol that are spoken in full.
func extensions() []string { return []string{"binary_tensor_data"} }

func (s *rest) metadata(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, map[string]any{"name": s.options.Name, "version": s.options.Version, "extensions": extensions()})
}

func (s *rest) live(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, map[string]bool{"live": true})
}

// ready answers with both names for what it says: the protocol's text has "live" here, and
// KServe's server and client "ready". Which model is not ready tells the index, since names
// are not for everyone who may ask for health.
func (s *rest) ready(w http.ResponseWriter, r *http.Request) error {
	status, ready := http.StatusOK, true
	if s.models.Ready(r.Context()) != nil {
		status, ready = http.StatusServiceUnavailable, false
	}
	return writeJSON(w, status, map[string]bool{"live": true, "ready": ready})
}

func (s *rest) modelReady(w http.ResponseWriter, r *http.Request) error {
	model, err := status(r.Context(), s.models, r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return err
	}
	if !model.Ready {
		return writeJSON(w, http.StatusServiceUnavailable, map[string]any{"name": model.Name, "ready": false, "error": model.Reason})
	}
	return writeJSON(w, http.StatusOK, map[string]any{"name": model.Name, "ready": true})
}

func (s *rest) modelMetadata(w http.ResponseWriter, r *http.Request) error {
	m, err := s.models.Metadata(r.Context(), r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, m)
}

func (s *rest) index(w http.ResponseWriter, r *http.Request) error {
	var request struct {
		Ready bool `json:"ready"`
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return unread(err)
	}
	if len(body) > 0 { // Triton's client sends none where it wants all
		if err := json.Unmarshal(body, &request); err != nil {
			return fmt.Errorf("%w: the request is no JSON object of the protocol: %w", ErrInvalid, err)
		}
	}
	all, err := s.models.Index(r.Context())
	if err != nil {
		return err
	}
	type entry struct {
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
		State   string `json:"state"`
		Reason  string `json:"reason"`
	}
	entries := []entry{}
	for _, m := range all {
		if m.Ready || !request.Ready {
			entries = append(entries, entry{m.Name, m.Version, m.state(), m.Reason})
		}
	}
	return writeJSON(w, http.StatusOK, entries)
}

func (s *rest) infer(w http.ResponseWriter, r *http.Request) error {
	if c := r.Header.Get("Content-Encoding"); c != "" && c != "identity" {
		WriteError(w, http.StatusUnsupportedMediaType, fmt.Sprintf("Content-Encoding %q is not read; send the body as it is", c))
		return nil
	}
	if limit := s.options.maxRequestBytes(); r.ContentLength > int64(limit) {
		return fmt.Errorf("%w: a body of %d bytes; at most %d are read", ErrTooLarge, r.ContentLength, limit)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return unread(err)
	}
	length := len(body)
	if h := r.Header.Get(headerLength); h != "" {
		// A number that is too large for an int is larger than the body, too.
		if length, err = strconv.Atoi(h); errors.Is(err, strconv.ErrSyntax) {
			return fmt.Errorf("%w: header %s is %q, no number of bytes", ErrInvalid, headerLength, h)
		}
	}
	request, err := parseRequest(body, length)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	inBinary, err := binaryOutputs(request)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	request.Model, request.Version = r.PathValue("model"), r.PathValue("version")
	request.Room = s.options.room(r.Context(), func(output string) int64 {
		if inBinary(output) {
			return 1
		}
		return 5 // as text a number of four bytes takes up to 13, in a buffer that grows
	})
	response, err := s.models.Infer(r.Context(), request)
	if err != nil {
		return err
	}
	object, after, err := formatResponse(response, request.ID, inBinary)
	if err != nil {
		return err
	}
	total := len(object)
	for _, data := range after {
		total += len(data)
	}
	w.Header().Set("Content-Type", "application/json")
	if after != nil {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set(headerLength, strconv.Itoa(len(object)))
	}
	w.Header().Set("Content-Length", strconv.Itoa(total))
	for _, part := range append([][]byte{object}, after...) {
		if _, err := w.Write(part); err != nil {
			return nil // the client is gone
		}
	}
	return nil
}

// unread is the error for a body that could not be read.
func unread(err error) error {
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		return fmt.Errorf("%w: a body of more than %d bytes", ErrTooLarge, tooLong.Limit)
	}
	return fmt.Errorf("%w: the body broke off: %w", ErrInvalid, err)
}

// fail answers with an error.
func (s *rest) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := failureOf(err)
	if f.internal {
		s.options.log().ErrorContext(r.Context(), "inference protocol", "path", r.URL.Path, "error", err)
	}
	if f.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.retryAfter.Seconds()))))
	}
	WriteError(w, f.status, f.text)
}

// WriteError answers with the protocol's error object, for what stands before its handler.
func WriteError(w http.ResponseWriter, status int, text string) {
	// What can be marshalled is no reason for an error, nor is a client that is gone.
	_ = writeJSON(w, status, map[string]string{"error": text})
}

// writeJSON writes a JSON object with its length. The error is that of marshalling.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) // a client that is gone needs no answer
	return nil
}
