package destseg

import (
	"context"

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
	digests, err := digest.Files(context.Background(), paths)
	if err != nil {
		return PicturesRecord{}, err
	}
	return PicturesRecord{Count: len(paths), Digest: digest.Set(digests).String()}, nil
}
