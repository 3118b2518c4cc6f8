// Package client talks to an inspection service, as "destseg serve" starts it.
//
//	c, err := client.New("https://line3.example:8443", client.WithToken(token))
//	…
//	in, err := c.Inspect(ctx, client.Request{Detector: "flange", Picture: data})
//	if err != nil {
//		return err // a *api.Problem if the service said why
//	}
//	fmt.Println(in.Verdict, in.Score)
//
// A service that is busy says when to ask again, and the client does so.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/destseg/destseg/serve/api"
)

// A Client talks to one service. It is safe for concurrent use.
type Client struct {
	base     *url.URL
	token    string
	http     *http.Client
	patience time.Duration
}

// An Option changes how a client talks.
type Option func(*Client)

// WithToken sends a token with each request.
func WithToken(token string) Option { return func(c *Client) { c.token = token } }

// WithHTTPClient sends requests by h, which may know certificates and proxies. Without
// it, it is [http.DefaultClient].
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// WithPatience says for how long a request that the service was too busy for, or that
// did not reach it, is sent again. Without it, it is a minute; 0 sends each once.
func WithPatience(d time.Duration) Option { return func(c *Client) { c.patience = d } }

// New returns a client of the service at a URL such as http://localhost:8080.
func New(base string, options ...Option) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is no address of a service; expected one such as http://localhost:8080", base)
	}
	c := &Client{base: u, http: http.DefaultClient, patience: time.Minute}
	for _, set := range options {
		set(c)
	}
	return c, nil
}

// A Request is a picture and what is asked about it.
type Request struct {
	Detector string
	Picture  []byte // PNG, JPEG, BMP, TIFF or WebP
	Source   string // what you call it, for the service's log and history; may be empty

	Overlay, Mask bool   // to be answered with
	Map           string // format of the map to be answered with: png16, tiff or npy; empty for none
}

// Inspect lets a detector inspect a picture. Errors are those of all methods: a
// [*api.Problem] if the service answered with one, the cause of the context's end, or
// why the service could not be reached.
func (c *Client) Inspect(ctx context.Context, r Request) (*api.Inspection, error) {
	query := url.Values{"detector": {r.Detector}}
	for name, value := range map[string]string{"source": r.Source, "map": r.Map} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, asked := range map[string]bool{"overlay": r.Overlay, "mask": r.Mask} {
		if asked {
			query.Set(name, "true")
		}
	}
	picture := r.Picture
	if picture == nil {
		picture = []byte{}
	}
	return call[api.Inspection](ctx, c, http.MethodPost, query, picture, "v1", "inspect")
}

// Detectors lists the detectors of the service, without their records.
func (c *Client) Detectors(ctx context.Context) ([]api.Card, error) {
	list, err := call[api.Detectors](ctx, c, http.MethodGet, nil, nil, "v1", "detectors")
	if err != nil {
		return nil, err
	}
	return list.Detectors, nil
}

// Detector tells all about one detector.
func (c *Client) Detector(ctx context.Context, name string) (*api.Card, error) {
	return call[api.Card](ctx, c, http.MethodGet, nil, nil, "v1", "detectors", name)
}

// Load has the service read a detector before the first picture comes. It takes the
// right of an administrator.
func (c *Client) Load(ctx context.Context, name string) (*api.Card, error) {
	return call[api.Card](ctx, c, http.MethodPost, nil, []byte{}, "v1", "detectors", name, "load")
}

// Unload has the service free a detector's memory until the next picture for it comes.
// It takes the right of an administrator.
func (c *Client) Unload(ctx context.Context, name string) (*api.Card, error) {
	return call[api.Card](ctx, c, http.MethodPost, nil, []byte{}, "v1", "detectors", name, "unload")
}

// Ready returns why the service takes no pictures; nil: it does. It asks once.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.send(ctx, http.MethodGet, c.base.JoinPath("readyz"), nil)
	return err
}

// call sends a request to a path, its parts unescaped, again as long as patience lasts,
// and reads the answer. A nil body is none.
func call[T any](ctx context.Context, c *Client, method string, query url.Values, body []byte, path ...string) (*T, error) {
	for i, part := range path {
		path[i] = url.PathEscape(part)
	}
	to := c.base.JoinPath(path...)
	to.RawQuery = query.Encode()
	text, err := c.sendAgain(ctx, method, to, body)
	if err != nil {
		return nil, err
	}
	answer := new(T)
	if err := json.Unmarshal(text, answer); err != nil {
		return nil, fmt.Errorf("%s answers something else than an inspection service: %w", to.Host, err)
	}
	return answer, nil
}

func (c *Client) sendAgain(ctx context.Context, method string, to *url.URL, body []byte) ([]byte, error) {
	until := time.Now().Add(c.patience)
	for try := 0; ; try++ {
		text, err := c.send(ctx, method, to, body)
		wait, worthwhile := pause(err, try)
		if err == nil || !worthwhile || time.Now().Add(wait).After(until) {
			return text, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// A tooBusy service asks to come again.
type tooBusy struct {
	*api.Problem
	after time.Duration
}

func (b *tooBusy) Unwrap() error { return b.Problem }

// pause returns how long to wait after an error, and whether sending again may help. A
// picture that the service refused or never saw can be sent again without being
// inspected twice.
func pause(err error, try int) (wait time.Duration, worthwhile bool) {
	const longest = 10 * time.Second
	var busy *tooBusy
	var network *net.OpError
	switch {
	case errors.As(err, &busy):
		wait = busy.after
	case errors.As(err, &network) && network.Op == "dial":
		wait = min(time.Second/4<<min(try, 10), longest)
	default:
		return 0, false
	}
	// A little more for some, lest all that were refused come back together.
	return wait + rand.N(wait/4+1), true
}

// maxAnswer is the largest answer that is read, in bytes.
const maxAnswer = 1 << 30

// send sends a request once and returns the body of its answer.
func (c *Client) send(ctx context.Context, method string, to *url.URL, body []byte) ([]byte, error) {
	var from io.Reader
	if body != nil {
		from = bytes.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, method, to.String(), from)
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/octet-stream")
	}
	request.Header.Set("Accept", "application/json, "+api.ProblemType)
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("the answer of %s broke off: %w", to.Host, err)
	}
	if response.StatusCode == http.StatusOK {
		return text, nil
	}
	p := problemOf(response, text)
	after, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err == nil && after >= 0 && (p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable) {
		return nil, &tooBusy{p, time.Duration(after) * time.Second}
	}
	return nil, p
}

// problemOf reads the problem of an answer, or makes one of what a proxy in between has
// answered.
func problemOf(response *http.Response, text []byte) *api.Problem {
	p := new(api.Problem)
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if kind != api.ProblemType || json.Unmarshal(text, p) != nil {
		p = new(api.Problem)
		if kind == "text/plain" {
			p.Detail = strings.TrimSpace(string(text[:min(len(text), 200)]))
		}
	}
	p.Status = response.StatusCode
	if p.Title == "" {
		p.Title = http.StatusText(p.Status)
	}
	return p
}
