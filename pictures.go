package destseg

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/destseg/destseg/internal/digest"
)

// PicturesRecord identifies a set of picture files by their content, whatever
// their names and order.
type PicturesRecord struct {
	Count int `json:"count"`
	// Digest is the hexadecimal SHA-256 over the files' SHA-256 digests (32 bytes
	// each), sorted and joined.
	Digest string `json:"digest"`
}

// DigestPictures reads the files and identifies them.
func DigestPictures(paths []string) (PicturesRecord, error) {
	return digestPictures(context.Background(), paths)
}

// digestPictures is [DigestPictures] until ctx ends.
func digestPictures(ctx context.Context, paths []string) (PicturesRecord, error) {
	digests, err := digest.Files(ctx, paths)
	if err != nil {
		return PicturesRecord{}, err
	}
	return PicturesRecord{Count: len(paths), Digest: digest.Set(digests).String()}, nil
}

// Holdout parts count pictures from those to train on, so that a threshold can be
// chosen by pictures that the detector does not know. Which ones follows from the seed
// and from what the files hold, not from their names or order; copies of a picture go
// the same way as far as count allows. Both lists keep the order of paths.
//
// Errors are those of reading the files, ctx's cause, or tell that count leaves no
// picture to train on.
func Holdout(ctx context.Context, paths []string, count int, seed uint64) (train, held []string, err error) {
	if count < 0 || count > 0 && count >= len(paths) {
		return nil, nil, fmt.Errorf("%d of %d pictures held back; leave some to train on", count, len(paths))
	}
	if count == 0 {
		return paths, nil, nil
	}
	digests, err := digest.Files(ctx, paths)
	if err != nil {
		return nil, nil, err
	}
	type ticket struct {
		drawn digest.Digest
		index int
	}
	tickets := make([]ticket, len(paths))
	for i, d := range digests {
		tickets[i] = ticket{sha256.Sum256(append(binary.LittleEndian.AppendUint64(nil, seed), d[:]...)), i}
	}
	slices.SortFunc(tickets, func(a, b ticket) int {
		return cmp.Or(bytes.Compare(a.drawn[:], b.drawn[:]), cmp.Compare(a.index, b.index))
	})
	chosen := make([]bool, len(paths))
	for _, t := range tickets[:count] {
		chosen[t.index] = true
	}
	for i, path := range paths {
		if chosen[i] {
			held = append(held, path)
		} else {
			train = append(train, path)
		}
	}
	return train, held, nil
}
