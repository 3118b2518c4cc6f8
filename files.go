package destseg

import (
	"context"
	"fmt"
	"iter"
	"runtime"

	"github.com/destseg/destseg/picture"
)

// An InspectedFile is one result of [Detector.InspectFiles].
type InspectedFile struct {
	Path       string
	Picture    *picture.RGB // nil if the file could not be read
	Inspection *Inspection  // nil if Err is set
	Err        error        // names the file; wraps ErrPicture if it is to blame
}

// InspectFiles inspects picture files and yields one result for each, in their
// order. While one is inspected, the next are read. A file that can't be read or
// inspected is a result with an error, and the others follow; the error wraps
// [ErrPicture], with the reason of [picture.Open], or is another one of
// [Detector.Inspect]. When ctx ends, so does the sequence, even while a file is
// waited for, with a result whose error is the cause.
func (d *Detector) InspectFiles(ctx context.Context, paths []string) iter.Seq[InspectedFile] {
	return func(yield func(InspectedFile) bool) {
		done := 0
		for f := range ahead(ctx, paths, func(path string) InspectedFile { return d.inspectFile(ctx, path) }) {
			if !yield(f) {
				return
			}
			done++
		}
		if done < len(paths) {
			yield(InspectedFile{Path: paths[done], Err: context.Cause(ctx)})
		}
	}
}

func (d *Detector) inspectFile(ctx context.Context, path string) InspectedFile {
	f := InspectedFile{Path: path}
	if f.Err = context.Cause(ctx); f.Err != nil {
		return f
	}
	p, err := picture.Open(path)
	if err != nil {
		f.Err = marked{err, ErrPicture}
		return f
	}
	f.Picture = p
	if f.Inspection, f.Err = d.InspectRGB(f.Picture); f.Err != nil {
		f.Err = fmt.Errorf("%s: %w", path, f.Err)
	}
	return f
}

// A marked error is one more kind of error than its text says.
type marked struct {
	error
	kind error
}

func (m marked) Is(target error) bool { return target == m.kind }
func (m marked) Unwrap() error        { return m.error }

// ahead yields f of every item in order and computes the next ones meanwhile, one
// for each processor, so that memory stays bounded. It stops when ctx ends, without
// waiting for f.
func ahead[T, R any](ctx context.Context, items []T, f func(T) R) iter.Seq[R] {
	return func(yield func(R) bool) {
		pending := make(chan chan R, runtime.GOMAXPROCS(0))
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			defer close(pending)
			for _, item := range items {
				result := make(chan R, 1) // never blocks its sender, even if nobody receives
				select {
				case pending <- result:
				case <-stop:
					return
				}
				go func() { result <- f(item) }()
			}
		}()
		for result := range pending {
			select {
			case r := <-result:
				if ctx.Err() != nil || !yield(r) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}
