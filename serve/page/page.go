// Package page is the service's page for the browser: pictures are dropped on it, what
// was found is shown over them, and results are looked up and marked in the history.
//
// Everything is rendered here; one script adds what a browser can't do without: taking
// pictures and moving the sliders. Pages load nothing from elsewhere.
package page

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"strings"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/internal/look"
	"github.com/destseg/destseg/serve/api"
	"github.com/destseg/destseg/serve/history"
)

// Detectors are those of the service.
type Detectors interface {
	// Cards tells about all detectors, by name, without their records.
	Cards() ([]api.Card, error)
	// Card tells all about one.
	Card(name string) (api.Card, error)
}

// Options are what a page is made of.
type Options struct {
	Detectors Detectors
	// Unknown reports whether an error of Detectors says that there is none of that name.
	Unknown func(error) bool
	// Inspect answers POST requests with a picture as their body, and the names of a
	// detector and of the picture in the query as detector and source, with an
	// [api.Inspection] that is in the history by then, or an [api.Problem].
	Inspect http.Handler
	History *history.History
	// Facts tells in labels and texts how a detector was made, and of its threshold.
	Facts func(destseg.Record) (made, threshold [][2]string)
	// MayMark reports whether a request may mark results.
	MayMark func(*http.Request) bool
	Log     *slog.Logger // nil: no log
}

// A Page answers requests of browsers. It is safe for concurrent use.
type Page struct {
	Options
	templates map[string]*template.Template // by name
	assets    map[string]asset              // by path
	style     string                        // path of the style sheet
	script    string                        // path of the script
	turns     chan struct{}                 // of those who compute with a map
}

// A Route is a pattern of [http.ServeMux] and what answers there.
type Route struct {
	Pattern string
	Marks   bool // whether it changes marks
	Handler http.Handler
}

//go:embed templates
var templateFiles embed.FS

//go:embed assets
var assetFiles embed.FS

// New makes the page.
func New(o Options) (*Page, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Page{Options: o, templates: map[string]*template.Template{}, turns: make(chan struct{}, mostTurns)}
	if err := p.loadAssets(); err != nil {
		return nil, err
	}
	// What several pages have in common, and what each adds to it.
	shared, err := template.New("").Funcs(functions).ParseFS(templateFiles, "templates/shared/*.html")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		own, err := shared.Clone()
		if err != nil {
			return nil, err
		}
		if p.templates[strings.TrimSuffix(path.Base(name), ".html")], err = own.ParseFS(templateFiles, name); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Routes returns what the page answers.
func (p *Page) Routes() []Route {
	return []Route{
		{"GET /{$}", false, p.answer(whole(p.inspect))},
		{"POST /inspect", false, p.Inspect},
		{"GET /history", false, p.answer(whole(p.list))},
		{"GET /history.csv", false, p.answer(p.csv)},
		{"GET /history/{id}", false, p.answer(whole(p.inTurn(p.result)))},
		{"GET /history/{id}/viewer", false, p.answer(whole(p.inTurn(p.viewer)))},
		{"GET /history/{id}/found", false, p.answer(whole(p.inTurn(p.found)))},
		{"GET /history/{id}/picture.jpg", false, p.answer(whole(p.picture))},
		{"GET /history/{id}/thumbnail.jpg", false, p.answer(whole(p.thumbnail))},
		{"GET /history/{id}/heat.png", false, p.answer(whole(p.inTurn(p.heat)))},
		{"POST /history/{id}/mark", true, p.answer(p.mark)},
		{"GET /detectors", false, p.answer(whole(p.detectors))},
		{"GET /detectors/{name}", false, p.answer(whole(p.detector))},
		{"GET /assets/{file}", false, http.HandlerFunc(p.asset)},
	}
}

// policy lets a page load and send nothing but what is served here. Blobs are the
// pictures that a browser shows before it has sent them.
const policy = "default-src 'none'; img-src 'self' blob:; style-src 'self'; script-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// answer makes a handler of a function whose error becomes a page of its own.
func (p *Page) answer(f func(w http.ResponseWriter, r *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
		if err := f(w, r); err != nil {
			p.fail(w, r, err)
		}
	})
}

// made is an answer that is ready to be sent.
type made struct {
	kind    string // media type
	content []byte
	lasting bool // it never changes, so that the browser may keep it
}

// write sends the answer. What is not taken can't be reported either.
func (m made) write(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", m.kind)
	if m.lasting {
		w.Header().Set("Cache-Control", "private, max-age=604800, immutable")
	}
	w.WriteHeader(status)
	w.Write(m.content)
}

// A maker makes the answer to a request.
type maker func(r *http.Request) (made, error)

// whole answers with what a maker makes, once it has made all of it.
func whole(f maker) func(w http.ResponseWriter, r *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		m, err := f(r)
		if err == nil {
			m.write(w, http.StatusOK)
		}
		return err
	}
}

// mostTurns is how many requests may compute with a map at a time: those of large
// pictures take much memory, and inspections need the processors.
const mostTurns = 2

// inTurn lets a maker wait for its turn, which is over before the answer is sent: a client
// that does not take it holds nobody up.
func (p *Page) inTurn(f maker) maker {
	return func(r *http.Request) (made, error) {
		select {
		case p.turns <- struct{}{}:
		case <-r.Context().Done():
			return made{}, r.Context().Err()
		}
		defer func() { <-p.turns }()
		return f(r)
	}
}

// A failure is an error that says how it is to be answered.
type failure struct {
	status int
	text   string
}

func (f failure) Error() string { return f.text }

// fail answers with a page that tells of an error.
func (p *Page) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := failure{http.StatusInternalServerError, "The service failed. Its log says why."}
	switch {
	case errors.As(err, &f):
	case errors.Is(err, history.ErrNotFound):
		f = failure{http.StatusNotFound, "There is no such result. It may have been removed from the history by its age or the history's size."}
	case errors.Is(err, history.ErrFilter):
		f = failure{http.StatusBadRequest, err.Error()}
	case errors.Is(err, context.Canceled): // nobody reads it
		f = failure{http.StatusBadRequest, "The browser did not wait for the page."}
	case p.Unknown(err):
		f = failure{http.StatusNotFound, "There is no such detector. It may have been removed."}
	default:
		p.Log.Error("a page could not be made", "path", r.URL.Path, "error", err)
	}
	w.Header().Del("Content-Disposition")
	m, err := p.render("error", frame{Title: http.StatusText(f.status)}, f.text)
	if err != nil {
		http.Error(w, f.text, f.status)
		return
	}
	m.write(w, f.status)
}

// A frame is what all pages have around their content.
type frame struct {
	Title         string
	Here          string // which entry of the navigation it belongs to
	Style, Script string
	Version       string
	InMemory      bool // whether the history ends with the program
	Content       any
}

// render makes a page.
func (p *Page) render(name string, f frame, content any) (made, error) {
	f.Style, f.Script, f.Version, f.InMemory, f.Content = p.style, p.script, destseg.Version(), p.History.InMemory(), content
	return p.execute(name, "frame.html", f)
}

// execute makes a page, or a part of it, from a template.
func (p *Page) execute(page, name string, data any) (made, error) {
	var b bytes.Buffer
	if err := p.templates[page].ExecuteTemplate(&b, name, data); err != nil {
		return made{}, fmt.Errorf("%s: %w", name, err)
	}
	return made{kind: "text/html; charset=utf-8", content: b.Bytes()}, nil
}

// An asset is a file that pages load.
type asset struct {
	kind    string // media type
	content []byte
}

// loadAssets names files by their content, so that browsers may keep them for ever.
func (p *Page) loadAssets() error {
	p.assets = map[string]asset{}
	for name, kind := range map[string]string{"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"} {
		content, err := assetFiles.ReadFile("assets/" + name)
		if err != nil {
			return err
		}
		called := name
		switch name {
		case "page.css":
			content = append([]byte(look.Style), content...)
			called = hashed(name, content)
			p.style = "/assets/" + called
		case "page.js":
			called = hashed(name, content)
			p.script = "/assets/" + called
		}
		p.assets[called] = asset{kind, content}
	}
	scale, err := heatScale()
	if err != nil {
		return err
	}
	p.assets["heat.png"] = asset{"image/png", scale}
	return nil
}

func hashed(name string, content []byte) string {
	digest := sha256.Sum256(content)
	ending := path.Ext(name)
	return strings.TrimSuffix(name, ending) + "." + hex.EncodeToString(digest[:8]) + ending
}

func (p *Page) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	a, ok := p.assets[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	if strings.Count(name, ".") == 2 {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		w.Header().Set("Cache-Control", "public, max-age=86400")
	}
	w.Write(a.content)
}
