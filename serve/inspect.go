package serve

import (
	"context"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/destseg/destseg/serve/api"
	"github.com/destseg/destseg/serve/host"
)

// picturePart is the part of a multipart body that holds the picture.
const picturePart = "picture"

// maxSource is the largest length of what a client calls its picture, in bytes.
const maxSource = 500

// An inspectInput is a request to inspect a picture.
type inspectInput struct {
	Detector string `query:"detector" required:"true" doc:"The detector's name"`
	Source   string `query:"source" maxLength:"500" doc:"What you call the picture; it comes back in the answer and stands in logs and history. In a multipart body the file's name says it"`
	Overlay  bool   `query:"overlay" doc:"Answer with the map painted over the picture"`
	Mask     bool   `query:"mask" doc:"Answer with a mask of the regions"`
	Map      string `query:"map" enum:"png16,tiff,npy" doc:"Answer with the anomaly map itself, in this format"`

	request *http.Request
}

// Resolve implements huma.Resolver.
func (i *inspectInput) Resolve(ctx huma.Context) []error {
	i.request, _ = humago.Unwrap(ctx)
	return nil
}

type inspectOutput struct {
	Body *api.Inspection
}

func (s *Server) describeInspect(v1 huma.API) {
	binary := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	huma.Register(v1, s.operation(Read, huma.Operation{
		OperationID: "inspect", Method: http.MethodPost, Path: "/v1/inspect",
		Summary: "Inspect a picture",
		Description: "Judges a PNG, JPEG, BMP, TIFF or WebP picture. Its kind is told from its bytes, whatever the content type says. " +
			"Status 429 asks to try again after the time that Retry-After tells.",
		Errors: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge,
			http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusServiceUnavailable},
	}), func(ctx context.Context, in *inspectInput) (*inspectOutput, error) {
		answer, err := s.inspect(ctx, in)
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		return &inspectOutput{answer}, nil
	})
	// Described afterwards, lest huma read the body itself.
	v1.OpenAPI().Paths["/v1/inspect"].Post.RequestBody = &huma.RequestBody{
		Description: "The picture, as it is or as the part `" + picturePart + "` of a form.", Required: true,
		Content: map[string]*huma.MediaType{
			"image/*": binary, "application/octet-stream": binary,
			"multipart/form-data": {Schema: &huma.Schema{
				Type: huma.TypeObject, Required: []string{picturePart},
				Properties: map[string]*huma.Schema{picturePart: {Type: huma.TypeString, Format: "binary"}},
			}},
		},
	}
}

func (s *Server) inspect(ctx context.Context, in *inspectInput) (*api.Inspection, error) {
	// What will be refused anyway is not kept.
	if err := s.config.Host.Check(in.Detector); err != nil {
		return nil, passOver(in.request, err)
	}
	if err := s.config.Host.Full(); err != nil {
		return nil, passOver(in.request, err)
	}
	arrival := time.Now()
	size := in.request.ContentLength
	if size < 0 { // it is not known
		size = s.config.Limits.Body
	}
	if !s.bodies.TryAcquire(size) {
		return nil, passOver(in.request, &host.BusyError{RetryAfter: time.Second})
	}
	defer s.bodies.Release(size)
	data, name, err := receive(in.request)
	if err != nil {
		return nil, err
	}
	if in.Source == "" {
		in.Source = name
	}
	return s.service.Inspect(ctx, Request{
		Detector: in.Detector, Data: data, Source: in.Source, Overlay: in.Overlay, Mask: in.Mask, Map: in.Map,
		ID: requestID(ctx), Arrival: arrival, Read: time.Since(arrival),
	})
}

// passOver receives a body without keeping it and returns the error: many clients do not
// read an answer before they have sent everything, and find the connection broken.
func passOver(r *http.Request, err error) error {
	io.Copy(io.Discard, r.Body) // within the limits of size and time, after which the answer is sent all the same
	return err
}

// receive reads the picture of a request, and the name of its file if it is told.
func receive(r *http.Request) (data []byte, name string, err error) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if !strings.HasPrefix(kind, "multipart/") {
		data, err = read(r.Body, r.ContentLength)
		return data, "", err
	}
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, "", badBody(err)
	}
	for {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return nil, "", badBody(fmt.Errorf("the form has no part called %s", picturePart))
		}
		if err != nil {
			return nil, "", badBody(err)
		}
		if part.FormName() == picturePart {
			return receivePart(part)
		}
	}
}

func receivePart(part *multipart.Part) (data []byte, name string, err error) {
	name = part.FileName()
	if name != "" {
		name = path.Base(strings.ReplaceAll(name, `\`, "/")) // as some browsers send it
	}
	if len(name) > maxSource {
		return nil, "", badBody(fmt.Errorf("the file's name has %d bytes; at most %d are kept", len(name), maxSource))
	}
	data, err = read(part, 0)
	return data, name, err
}

// read reads a body of about so many bytes. Nobody's word is taken for many.
func read(r io.Reader, size int64) ([]byte, error) {
	const trusted = 1 << 20
	data := make([]byte, 0, min(max(size+1, 512), trusted))
	for {
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if err == io.EOF {
			return data, nil
		}
		if err != nil {
			return nil, badBody(err)
		}
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
	}
}

// badBody marks the error of a body that can't be read as the client's.
func badBody(err error) error {
	p := classify(err)
	if p.Status >= http.StatusInternalServerError {
		p = plainProblem(http.StatusBadRequest, "the request's body can't be read: "+err.Error())
	}
	p.cause = err
	return p
}
