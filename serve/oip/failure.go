package oip

import (
	"context"
	"errors"
	"net/http"
	"os"
	"time"

	"google.golang.org/grpc/codes"
)

// failure is an error as clients are told it.
type failure struct {
	status     int        // of HTTP
	code       codes.Code // of gRPC
	text       string
	retryAfter time.Duration // if the client may come back
	internal   bool          // text is not all that is known, and the log has the rest
}

// failureOf returns how clients are told an error.
func failureOf(err error) failure {
	var busy *BusyError
	var tooLong *http.MaxBytesError
	text := err.Error()
	switch {
	case errors.As(err, &busy):
		return failure{status: http.StatusTooManyRequests, code: codes.ResourceExhausted, text: text, retryAfter: busy.RetryAfter}
	case errors.Is(err, ErrNotFound):
		return failure{status: http.StatusNotFound, code: codes.NotFound, text: text}
	case errors.As(err, &tooLong), errors.Is(err, ErrTooLarge):
		return failure{status: http.StatusRequestEntityTooLarge, code: codes.InvalidArgument, text: text}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return failure{status: http.StatusRequestTimeout, code: codes.DeadlineExceeded, text: "the request arrives too slowly"}
	case errors.Is(err, ErrInvalid):
		return failure{status: http.StatusBadRequest, code: codes.InvalidArgument, text: text}
	case errors.Is(err, ErrUnavailable):
		return failure{status: http.StatusServiceUnavailable, code: codes.Unavailable, text: text}
	case errors.Is(err, context.DeadlineExceeded):
		return failure{status: http.StatusGatewayTimeout, code: codes.DeadlineExceeded, text: "it took too long"}
	case errors.Is(err, context.Canceled):
		return failure{status: http.StatusServiceUnavailable, code: codes.Canceled, text: "the request was given up"}
	}
	return failure{status: http.StatusInternalServerError, code: codes.Internal, text: "the server failed; its log tells why", internal: true}
}
