//go:build cgo

package capi

/*
#include "export.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"unicode/utf8"
	"unsafe"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/weights"
)

var (
	errArgument = errors.New("wrong argument")
	errHandle   = errors.New("wrong handle")
	errInternal = errors.New("a mistake of libdestseg; please report it")
)

func missing(name string) error { return fmt.Errorf("%w: %s is NULL", errArgument, name) }

// argument marks an error as the caller's, unless the machine is to blame.
func argument(err error) error {
	if errors.Is(err, engine.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", errArgument, err)
}

// room checks that the caller has room for so many values.
func room(name string, to unsafe.Pointer, have C.size_t, need int) error {
	if to == nil {
		return missing(name)
	}
	if have < C.size_t(need) {
		return fmt.Errorf("%w: %s has room for %d, %d are needed", errArgument, name, have, need)
	}
	return nil
}

// output copies values to where the caller has room for so many of them.
func output[T any](name string, to unsafe.Pointer, have C.size_t, values []T) error {
	if err := room(name, to, have, len(values)); err != nil {
		return err
	}
	copy(unsafe.Slice((*T)(to), len(values)), values)
	return nil
}

// call runs the work of an exported function and tells its error, or its panic, as C
// understands it.
func call(e *C.destseg_error, work func() error) (status C.int32_t) {
	defer func() {
		if r := recover(); r != nil {
			status = report(e, fmt.Errorf("%w: %v\n%s", errInternal, r, debug.Stack()))
		}
	}()
	return report(e, work())
}

// report writes an error to *e, if there is one, and returns its status.
func report(e *C.destseg_error, err error) C.int32_t {
	status := statusOf(err)
	if e == nil {
		return status
	}
	e.status = status
	text := ""
	if err != nil {
		text = err.Error()
	}
	if room := len(e.message) - 1; len(text) > room {
		for room > 0 && !utf8.RuneStart(text[room]) {
			room--
		}
		text = text[:room]
	}
	n := copy(unsafe.Slice((*byte)(unsafe.Pointer(&e.message)), len(e.message)), text)
	e.message[n] = 0
	return status
}

func statusOf(err error) C.int32_t {
	is := func(kinds ...error) bool {
		for _, kind := range kinds {
			if errors.Is(err, kind) {
				return true
			}
		}
		return false
	}
	var file *fs.PathError
	switch {
	case err == nil:
		return C.DESTSEG_OK
	case is(errArgument):
		return C.DESTSEG_BAD_ARGUMENT
	case is(errHandle, destseg.ErrClosed):
		return C.DESTSEG_BAD_HANDLE
	case is(destseg.ErrPicture):
		return C.DESTSEG_BAD_PICTURE
	case is(engine.ErrUnavailable, engine.ErrUnsupported, destseg.ErrNotQuantized):
		return C.DESTSEG_UNSUPPORTED
	case is(destseg.ErrNotDetector, destseg.ErrNewer, destseg.ErrRecord, destseg.ErrTensors, weights.ErrDamaged, weights.ErrUnsupported):
		return C.DESTSEG_BAD_DETECTOR
	case errors.As(err, &file):
		return C.DESTSEG_BAD_FILE
	}
	return C.DESTSEG_INTERNAL
}
