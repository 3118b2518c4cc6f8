package weights

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// archive is a PyTorch file in the zip format: NAME/data.pkl describes the tensors, NAME/data/KEY holds the bytes of a
// storage, NAME/byteorder says "little" or "big" in newer files.
type archive struct {
	entries map[string]*zip.File
	memory  *allowance
}

func readTorchZip(r io.ReaderAt, size int64) (*File, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, zipError("archive", err)
	}
	a := &archive{entries: make(map[string]*zip.File, len(z.File)), memory: newAllowance(size)}
	prefix, found := "", false
	for _, entry := range z.File {
		if _, twice := a.entries[entry.Name]; twice {
			return nil, fmt.Errorf("%w: zip entry %s occurs twice", ErrDamaged, quote(entry.Name))
		}
		a.entries[entry.Name] = entry
		folder, file, _ := strings.Cut(entry.Name, "/")
		if file == "data.pkl" {
			if found {
				return nil, fmt.Errorf("%w: the zip archive has several data.pkl", ErrDamaged)
			}
			prefix, found = folder+"/", true
		}
	}
	if !found {
		return nil, fmt.Errorf("%w: a zip archive without data.pkl", ErrUnrecognised)
	}
	if a.entries[prefix+"constants.pkl"] != nil {
		return nil, fmt.Errorf("%w: a TorchScript program; %s", ErrUnsupported, saveStateDict)
	}
	if a.entries[prefix+"byteorder"] != nil {
		order, err := a.read(prefix + "byteorder")
		if err != nil {
			return nil, err
		}
		if string(order) != "little" {
			return nil, fmt.Errorf("%w: byte order %s; save it on a little-endian machine", ErrUnsupported, quote(string(order)))
		}
	}
	pickle, err := a.read(prefix + "data.pkl")
	if err != nil {
		return nil, err
	}
	root, _, err := unpickle(newSource(bytes.NewReader(pickle), int64(len(pickle))))
	if err != nil {
		return nil, err
	}
	return collect(root, func(s *storage) ([]byte, error) {
		data, err := a.read(prefix + "data/" + s.key)
		if err != nil {
			return nil, err
		}
		if width := s.dtype.size(); len(data)%width != 0 || int64(len(data)/width) != s.length {
			return nil, fmt.Errorf("%w: storage %s has %d bytes for %d elements of %s",
				ErrDamaged, quote(s.key), len(data), s.length, s.dtype)
		}
		return data, nil
	}, a.memory)
}

// read returns the content of an entry. PyTorch stores its entries as they are; compressed ones come from repacking.
func (a *archive) read(name string) ([]byte, error) {
	entry, ok := a.entries[name]
	if !ok {
		return nil, fmt.Errorf("%w: zip entry %s is missing", ErrDamaged, quote(name))
	}
	claimed := entry.UncompressedSize64
	// Deflate shrinks no further than 258 bytes into 2 bits.
	const bestRatio = 1032
	if claimed > entry.CompressedSize64 && (entry.Method == zip.Store || claimed/bestRatio > entry.CompressedSize64) {
		return nil, fmt.Errorf("%w: zip entry %s claims %d bytes and has %d", ErrDamaged, quote(name), claimed, entry.CompressedSize64)
	}
	if claimed > math.MaxInt {
		return nil, fmt.Errorf("%w: zip entry %s claims %d bytes", ErrDamaged, quote(name), claimed)
	}
	if err := a.memory.take(int64(claimed)); err != nil {
		return nil, fmt.Errorf("zip entry %s: %w", quote(name), err)
	}
	content, err := entry.Open()
	if err != nil {
		return nil, zipError("entry "+quote(name), err)
	}
	defer content.Close()
	data := make([]byte, claimed)
	if _, err := io.ReadFull(content, data); err != nil {
		return nil, zipError("entry "+quote(name), err)
	}
	// The checksum is compared where the content ends, which is here.
	if n, err := content.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		return nil, zipError("entry "+quote(name), err)
	}
	return data, nil
}

// zipError sorts what package zip finds wrong from errors of the reader beneath it.
func zipError(what string, err error) error {
	switch {
	case errors.Is(err, zip.ErrAlgorithm):
		return fmt.Errorf("%w: zip %s is neither stored nor deflated", ErrUnsupported, what)
	case errors.Is(err, zip.ErrFormat):
		return fmt.Errorf("%w: zip %s is not valid; repeat the download", ErrDamaged, what)
	case errors.Is(err, zip.ErrChecksum):
		return fmt.Errorf("%w: zip %s fails its checksum; repeat the download", ErrDamaged, what)
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: zip %s has another length than it claims", ErrDamaged, what)
	}
	return fmt.Errorf("zip %s: %w", what, err)
}
