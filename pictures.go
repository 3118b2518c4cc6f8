package destseg

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"slices"
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
	digests := make([][]byte, 0, len(paths))
	for _, path := range paths {
		digest, err := digestFile(path)
		if err != nil {
			return PicturesRecord{}, err
		}
		digests = append(digests, digest)
	}
	slices.SortFunc(digests, bytes.Compare)
	total := sha256.Sum256(bytes.Join(digests, nil))
	return PicturesRecord{Count: len(paths), Digest: hex.EncodeToString(total[:])}, nil
}

func digestFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}
