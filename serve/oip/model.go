package oip

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Models is what a server has to know of its models. Its methods may be called
// concurrently.
type Models interface {
	// Ready returns nil if every model takes requests.
	Ready(ctx context.Context) error
	// Index returns all models in a fixed order.
	Index(ctx context.Context) ([]Status, error)
	// Metadata describes a model; an empty version is the server's choice.
	Metadata(ctx context.Context, model, version string) (*Metadata, error)
	// Infer runs a model. Names of inputs are there once each, and their data are as
	// long as their data types and shapes say; whether the model has such tensors is for
	// Infer to check. It keeps nothing of the request.
	Infer(ctx context.Context, r *Request) (*Response, error)
}

// Errors of [Models] that clients are told in full; for them to tell apart, wrap these.
// Any other one is logged, and the client is told that the server failed.
var (
	// ErrNotFound says that there is no such model, or no such version of it.
	ErrNotFound = errors.New("not found")
	// ErrInvalid says that the request is wrong and will always be.
	ErrInvalid = errors.New("invalid request")
	// ErrTooLarge says that the request, or what it asks for, is more than the server takes.
	ErrTooLarge = errors.New("too large")
	// ErrUnavailable says that the model takes no requests now.
	ErrUnavailable = errors.New("unavailable")
)

// A BusyError says that there are more requests than the server can take now.
type BusyError struct {
	RetryAfter time.Duration // when it may be otherwise
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("too many requests; come back in %v", e.RetryAfter)
}

// A Status tells of a model in an index.
type Status struct {
	Name    string
	Version string // empty if none is known
	Ready   bool   // it takes requests, though it may have to be loaded first
	Reason  string // why it takes none
}

// Metadata describes a model.
type Metadata struct {
	Name     string   `json:"name"`
	Versions []string `json:"versions,omitempty"` // that a request may name
	// Platform is project_format of what runs the model.
	Platform string           `json:"platform"`
	Inputs   []TensorMetadata `json:"inputs"`
	Outputs  []TensorMetadata `json:"outputs"`
}

// TensorMetadata describes an input or an output of a model.
type TensorMetadata struct {
	Name     string   `json:"name"`
	Datatype Datatype `json:"datatype"`
	Shape    []int64  `json:"shape"` // -1 is a dimension of any size
}

// A Request asks for inference on one batch.
type Request struct {
	Model, Version string // Version may be empty: the server's choice
	ID             string
	Parameters     Parameters
	Inputs         []Tensor
	Outputs        []Output // none: all that the model has
	// Room waits until an output of so many bytes may be made, as [Options] say; nil: it
	// always may. It is to be called once, for what is large.
	Room func(output string, bytes int64) error
}

// An Output is a tensor that a [Request] asks for.
type Output struct {
	Name       string
	Parameters Parameters
}

// A Response is what a model answers. The request's ID is no part of it.
type Response struct {
	Model, Version string
	Parameters     Parameters
	Outputs        []Tensor // in the order of the request, or else of the metadata
}

// check returns an error unless r is what [Models] may expect.
func (r *Request) check() error {
	if len(r.Inputs) == 0 {
		return errors.New("no inputs")
	}
	names := map[string]bool{}
	for i := range r.Inputs {
		in := &r.Inputs[i]
		if names[in.Name] {
			return fmt.Errorf("input %q is there twice", in.Name)
		}
		names[in.Name] = true
		if err := in.check(); err != nil {
			return fmt.Errorf("input %q: %w", in.Name, err)
		}
	}
	clear(names)
	for _, out := range r.Outputs {
		if names[out.Name] {
			return fmt.Errorf("output %q is asked for twice", out.Name)
		}
		names[out.Name] = true
	}
	return nil
}

// status returns what is known of a model, by its name and, unless it is empty, version.
func status(ctx context.Context, m Models, name, version string) (Status, error) {
	all, err := m.Index(ctx)
	if err != nil {
		return Status{}, err
	}
	for _, s := range all {
		if s.Name != name {
			continue
		}
		if version != "" && version != s.Version {
			return Status{}, fmt.Errorf("%w: model %q has no version %q", ErrNotFound, name, version)
		}
		return s, nil
	}
	return Status{}, fmt.Errorf("%w: no model %q", ErrNotFound, name)
}

// state is the status in the words of Triton's index.
func (s Status) state() string {
	if s.Ready {
		return "READY"
	}
	return "UNAVAILABLE"
}
