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
	Err        error        // names the file
}

// InspectFiles inspects picture files and yields one result for each, in their
// order. While one is inspected, the next are read. A file that can't be read or
// inspected is a result with an error, and the others follow. When ctx ends, so
// does the sequence, with a result whose error is the cause.
func (d *Detector) InspectFiles(ctx context.Context, paths []string) iter.Seq[InspectedFile] {
	return func(yield func(InspectedFile) bool) {
		for f := range ahead(paths, func(path string) InspectedFile { return d.inspectFile(ctx, path) }) {
			if err := context.Cause(ctx); err != nil {
				yield(InspectedFile{Path: f.Path, Err: err})
				return
			}
			if !yield(f) {
				return
			}
		}
	}
}

func (d *Detector) inspectFile(ctx context.Context, path string) InspectedFile {
	f := InspectedFile{Path: path}
	if f.Err = context.Cause(ctx); f.Err != nil {
		return f
	}
	if f.Picture, f.Err = picture.Open(path); f.Err != nil {
		return f
	}
	if f.Inspection, f.Err = d.InspectRGB(f.Picture); f.Err != nil {
		f.Err = fmt.Errorf("%s: %w", path, f.Err)
	}
	return f
}

// ahead yields f of every item in order and computes the next ones meanwhile, one
// for each processor, so that memory stays bounded.
func ahead[T, R any](items []T, f func(T) R) iter.Seq[R] {
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
			if !yield(<-result) {
				return
			}
		}
	}
}
