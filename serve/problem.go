package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/serve/api"
	"github.com/destseg/destseg/serve/host"
	"github.com/destseg/destseg/serve/oip"
)

// A problem is what a client reads about an error.
type problem struct {
	api.Problem
	retry time.Duration // after which the request may succeed; 0: nothing is known
	cause error         // for the log
}

func newProblem(status int, kind, title, detail string) *problem {
	return &problem{Problem: api.Problem{Type: kind, Title: title, Status: status, Detail: detail}}
}

// plainProblem is one whose status says all.
func plainProblem(status int, detail string) *problem {
	return newProblem(status, "", http.StatusText(status), detail)
}

// GetStatus, GetHeaders and ContentType make a problem huma's.
func (p *problem) GetStatus() int { return p.Status }

func (p *problem) GetHeaders() http.Header {
	if p.retry == 0 {
		return nil
	}
	return http.Header{"Retry-After": {strconv.Itoa(int(math.Ceil(p.retry.Seconds())))}}
}

func (p *problem) ContentType(string) string { return api.ProblemType }

// Unwrap returns what the client does not read.
func (p *problem) Unwrap() error { return p.cause }

// write answers a request with the problem, or with what the inference protocol has for one.
func (p *problem) write(w http.ResponseWriter, r *http.Request) {
	p.Instance = requestID(r.Context())
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	if asksInference(r) {
		oip.WriteError(w, p.Status, p.Detail)
		return
	}
	w.Header().Set("Content-Type", api.ProblemType)
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p.Problem) // what can't be sent can't be reported either
}

// ProblemOf tells a client about an error of [Service.Inspect] or [host.Host]. What the
// client has nothing to do with is left to the log.
func ProblemOf(err error) *api.Problem { return &problemOf(err).Problem }

func problemOf(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	p = classify(err)
	p.cause = err
	return p
}

func classify(err error) *problem {
	var busy *host.BusyError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &busy):
		p := newProblem(http.StatusTooManyRequests, api.QueueFull, "The queue is full", busy.Error())
		p.retry = busy.RetryAfter
		return p
	case errors.Is(err, host.ErrClosed), errors.Is(err, destseg.ErrClosed):
		p := newProblem(http.StatusServiceUnavailable, api.ShuttingDown, "The service is shutting down", "send the picture again when it is back")
		p.retry = time.Second
		return p
	case errors.Is(err, host.ErrUnknown):
		return newProblem(http.StatusNotFound, api.UnknownDetector, "No such detector", err.Error()+"; /v1/detectors lists those that there are")
	case errors.Is(err, host.ErrUnusable), errors.Is(err, destseg.ErrTensors):
		return newProblem(http.StatusServiceUnavailable, api.BadDetector, "The detector can't be used", "its card and the service's log say why")
	case errors.As(err, &tooLarge):
		return newProblem(http.StatusRequestEntityTooLarge, api.TooLarge, "The request is too large", fmt.Sprintf("a body has at most %d bytes", tooLarge.Limit))
	case errors.Is(err, picture.ErrTooLarge):
		return newProblem(http.StatusRequestEntityTooLarge, api.TooLarge, "The picture is too large", err.Error())
	case errors.Is(err, errDecodeTime):
		return newProblem(http.StatusUnprocessableEntity, api.TooSlow, "Decoding takes too long", err.Error())
	case errors.Is(err, picture.ErrFormat), errors.Is(err, picture.ErrDamaged), errors.Is(err, destseg.ErrPicture):
		return newProblem(http.StatusUnprocessableEntity, api.BadPicture, "The picture can't be used", err.Error())
	case errors.Is(err, os.ErrDeadlineExceeded):
		return newProblem(http.StatusRequestTimeout, api.TooSlow, "The request arrives too slowly", "send the picture faster, or a smaller one")
	case errors.Is(err, errAnswerTime):
		p := newProblem(http.StatusServiceUnavailable, api.TooSlow, "No answer in time", err.Error())
		p.retry = time.Second
		return p
	case errors.Is(err, context.Canceled):
		return plainProblem(http.StatusBadRequest, "the client has gone away")
	}
	return plainProblem(http.StatusInternalServerError, "the service failed; its log says why")
}

// validationProblem is how huma's findings about a request's parameters reach the
// client.
func validationProblem(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
	p := plainProblem(status, message)
	if ctx != nil {
		p.Instance = requestID(ctx.Context())
	}
	for _, err := range errs {
		var one *problem
		if errors.As(err, &one) {
			return one
		}
		var detail huma.ErrorDetailer
		if errors.As(err, &detail) {
			d := detail.ErrorDetail()
			p.Errors = append(p.Errors, api.Reason{Message: d.Message, Location: d.Location, Value: d.Value})
		} else if status >= http.StatusInternalServerError {
			p.Detail, p.cause = "the service failed; its log says why", err
		} else if err != nil {
			p.Errors = append(p.Errors, api.Reason{Message: err.Error()})
		}
	}
	return p
}

// huma has no other place for the form of its errors; this is the only one that the
// program wants.
func init() {
	huma.NewErrorWithContext = validationProblem
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return validationProblem(nil, status, message, errs...)
	}
}
