package weights

import (
	"fmt"
	"io"
	"math"
)

const (
	// torchMagic is 0x1950a86a20f9469cfc6c, the first pickle of a file in the legacy format.
	torchMagic long = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"

	torchProtocol int64 = 1001
)

// readTorchLegacy reads the format before the zip one: pickles of a magic number, a version, facts about the machine,
// the content, and the list of storage keys; then, key by key, the storages: a length (8 bytes) and the elements.
func readTorchLegacy(r io.ReaderAt, size int64) (*File, error) {
	src := newSource(r, size)
	magic, _, err := unpickle(src)
	if err != nil {
		return nil, err
	}
	if magic != torchMagic {
		return nil, fmt.Errorf("%w: it is a pickle, but not one of torch.save", ErrUnrecognised)
	}
	version, _, err := unpickle(src)
	if err != nil {
		return nil, err
	}
	if version != torchProtocol {
		return nil, fmt.Errorf("%w: a version of the legacy format other than %d", ErrUnsupported, torchProtocol)
	}
	machine, _, err := unpickle(src)
	if err != nil {
		return nil, err
	}
	if facts, ok := machine.(*dict); !ok || facts.items["little_endian"] != true {
		return nil, fmt.Errorf("%w: written on a big-endian machine; save it on a little-endian one", ErrUnsupported)
	}
	root, storages, err := unpickle(src)
	if err != nil {
		return nil, err
	}
	keys, _, err := unpickle(src)
	if err != nil {
		return nil, err
	}
	places, err := locate(r, src.used, size, keys, storages)
	if err != nil {
		return nil, err
	}
	return collect(root, func(s *storage) ([]byte, error) {
		at, ok := places[s]
		if !ok {
			return nil, fmt.Errorf("%w: storage %s is missing", ErrDamaged, quote(s.key))
		}
		return readRange(r, at, s.length*int64(s.dtype.size()))
	}, newAllowance(size))
}

// locate finds where the elements of each storage begin. The storages of the list follow one another from at on.
func locate(r io.ReaderAt, at, size int64, keys any, storages map[string]*storage) (map[*storage]int64, error) {
	order, ok := keys.(*array)
	if !ok {
		return nil, fmt.Errorf("%w: a %s where the list of storages is expected", ErrDamaged, kindOf(keys))
	}
	places := make(map[*storage]int64, len(storages))
	for _, item := range order.items {
		key, _ := item.(string)
		s, ok := storages[key]
		if !ok {
			return nil, fmt.Errorf("%w: the list of storages names %s, no tensor does", ErrDamaged, quote(key))
		}
		if _, twice := places[s]; twice {
			return nil, fmt.Errorf("%w: storage %s is listed twice", ErrDamaged, quote(key))
		}
		length, err := readUint64(r, at)
		if err != nil {
			return nil, fmt.Errorf("storage %s: %w", quote(key), err)
		}
		if length > math.MaxInt64 || int64(length) != s.length {
			return nil, fmt.Errorf("%w: storage %s has %d elements, %d are announced", ErrDamaged, quote(key), length, s.length)
		}
		at += 8
		width := int64(s.dtype.size())
		if s.length > (size-at)/width {
			return nil, fmt.Errorf("%w: storage %s of %d elements exceeds the file", ErrDamaged, quote(key), s.length)
		}
		places[s] = at
		at += s.length * width
	}
	return places, nil
}
