package api

import "fmt"

// ProblemType is the media type of a [Problem].
const ProblemType = "application/problem+json"

// Kinds of problems, the Type of a [Problem]: URI references that need not lead
// anywhere. Where none fits, Type is empty, which stands for about:blank, and the status
// says all.
const (
	UnknownDetector = "urn:destseg:unknown-detector"  // 404
	BadDetector     = "urn:destseg:unusable-detector" // 503: its file cannot be used
	BadPicture      = "urn:destseg:unusable-picture"  // 422: not a picture, damaged, or nothing of it counts
	TooLarge        = "urn:destseg:too-large"         // 413: bytes, or pixels
	TooSlow         = "urn:destseg:too-slow"          // 408: the body did not arrive in time; 422: decoding took too long; 503, with Retry-After: no turn in time
	QueueFull       = "urn:destseg:queue-full"        // 429, with Retry-After
	ShuttingDown    = "urn:destseg:shutting-down"     // 503, with Retry-After
)

// A Problem says why a request failed, after RFC 9457. It is an error.
type Problem struct {
	Type     string   `json:"type,omitempty" doc:"Kind of problem, a URI; absent where the status says all"`
	Title    string   `json:"title" doc:"The kind in words"`
	Status   int      `json:"status" doc:"HTTP status"`
	Detail   string   `json:"detail,omitempty" doc:"What is wrong and what to do"`
	Instance string   `json:"instance,omitempty" doc:"The request, as in the logs"`
	Errors   []Reason `json:"errors,omitempty" doc:"Parameters that are wrong"`
}

// A Reason is what is wrong with one part of a request.
type Reason struct {
	Message  string `json:"message"`
	Location string `json:"location,omitempty" doc:"As in query.detector"`
	Value    any    `json:"value,omitempty"`
}

// Error returns the problem in a line.
func (p *Problem) Error() string {
	text := p.Title
	if p.Detail != "" {
		text = p.Detail
	}
	for _, r := range p.Errors {
		text += fmt.Sprintf("; %s: %s", r.Location, r.Message)
	}
	return text
}
