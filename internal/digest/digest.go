// Package digest identifies files by what they hold, whatever their names.
package digest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"slices"
)

// A Digest is a SHA-256.
type Digest [sha256.Size]byte

// String returns the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// File digests the content of a file. Errors are those of the file system.
func File(path string) (Digest, error) {
	file, err := os.Open(path)
	if err != nil {
		return Digest{}, err
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return Digest{}, err
	}
	return Digest(h.Sum(nil)), nil
}

// Files digests each of the files, in their order. If ctx ends, the error is its
// cause.
func Files(ctx context.Context, paths []string) ([]Digest, error) {
	list := make([]Digest, len(paths))
	for i, path := range paths {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var err error
		if list[i], err = File(path); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// List digests the digests joined, so that their order counts.
func List(list []Digest) Digest {
	h := sha256.New()
	for _, d := range list {
		h.Write(d[:])
	}
	return Digest(h.Sum(nil))
}

// Set digests the digests sorted and joined, so that their order does not count.
func Set(list []Digest) Digest {
	return List(slices.SortedFunc(slices.Values(list), func(a, b Digest) int { return bytes.Compare(a[:], b[:]) }))
}
