//go:build cgo

package capi

import (
	"fmt"
	"runtime/cgo"
	"strings"
)

// get returns what a handle stands for. A number that was never given out, is closed or
// stands for something else is [errHandle].
func get[T any](handle uintptr) (value T, err error) {
	defer stale[T](handle, &err)
	return cgo.Handle(handle).Value().(T), nil
}

// take is get, and the handle stands for nothing afterwards. Of several who take the
// same one at a time, one gets it.
func take[T any](handle uintptr) (value T, err error) {
	if value, err = get[T](handle); err != nil {
		return value, err
	}
	defer stale[T](handle, &err)
	cgo.Handle(handle).Delete()
	return value, nil
}

// stale turns the panic of [cgo.Handle] or of a type assertion into an error.
func stale[T any](handle uintptr, err *error) {
	if recover() != nil {
		kind := strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", *new(T)), "*"))
		kind = kind[strings.LastIndexByte(kind, '.')+1:]
		*err = fmt.Errorf("%w: %d is no %s, or no longer", errHandle, handle, kind)
	}
}
