//go:build cgo

package capi

import (
	"errors"
	"runtime/cgo"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestHandles(t *testing.T) {
	r := &result{}
	h := uintptr(cgo.NewHandle(r))
	if got, err := get[*result](h); got != r || err != nil {
		t.Errorf("got %p, %v", got, err)
	}
	for name, wrong := range map[string]error{
		"none":         second(get[*result](0)),
		"made up":      second(get[*result](h + 1000)),
		"another kind": second(get[*layout](h)),
		"taken so":     second(take[*layout](h)),
	} {
		if !errors.Is(wrong, errHandle) {
			t.Errorf("%s: %v", name, wrong)
		}
	}
	if err := second(get[*result](0)); !strings.Contains(err.Error(), "0 is no result") {
		t.Error(err)
	}

	var taken atomic.Int32
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			switch _, err := take[*result](h); {
			case err == nil:
				taken.Add(1)
			case !errors.Is(err, errHandle):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if taken.Load() != 1 {
		t.Errorf("%d took the same handle", taken.Load())
	}
	if _, err := get[*result](h); !errors.Is(err, errHandle) {
		t.Errorf("a handle that was taken: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }
