package weights

import (
	"fmt"
	"os"
)

// A Reader gives the tensors of a file one by one, so that they need not be in memory all at once. PyTorch files are
// read whole nevertheless. It may be used by one goroutine at a time.
type Reader struct {
	// Metadata is the free text of a safetensors file, by key; nil where there is none.
	Metadata map[string]string

	path   string
	file   *os.File
	index  index
	whole  *File // in place of the index
	buffer []byte
}

// OpenReader opens the file at path. Its errors are those of [Open]. The caller closes the reader.
func OpenReader(path string) (*Reader, error) {
	file, size, err := openFile(path)
	if err != nil {
		return nil, err
	}
	r := &Reader{path: path, file: file}
	head, err := readRange(file, 0, min(size, 9))
	if err == nil {
		if looksLikeSafetensors(head) {
			r.index, err = readIndex(file, size)
			r.Metadata = r.index.metadata
		} else if r.whole, err = read(file, size); err == nil {
			r.Metadata = r.whole.Metadata
		}
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("weights: %s: %w", path, err)
	}
	return r, nil
}

// Close closes the file.
func (r *Reader) Close() error { return r.file.Close() }

// Has reports whether the file has a tensor of that name.
func (r *Reader) Has(name string) bool {
	_, indexed := r.index.places[name]
	if r.whole != nil {
		_, indexed = r.whole.Tensors[name]
	}
	return indexed
}

// Match checks that the file has all tensors in want, by name, in their shapes. The error, a [Mismatch], does
// not name the file.
func (r *Reader) Match(want map[string][]int) error {
	held := map[string][]int{}
	if r.whole != nil {
		for name, t := range r.whole.Tensors {
			held[name] = t.Shape
		}
	}
	for name, p := range r.index.places {
		held[name] = p.Shape
	}
	return match(held, want, "")
}

// Float32s fills v with the values of a tensor, as [Tensor.Float32s] gives them. The error wraps [ErrMismatch] if the
// file has no tensor of that name with as many elements.
func (r *Reader) Float32s(name string, v []float32) error {
	if err := r.float32s(name, v); err != nil {
		return fmt.Errorf("weights: %s: tensor %s: %w", r.path, quote(name), err)
	}
	return nil
}

func (r *Reader) float32s(name string, v []float32) error {
	if r.whole != nil {
		t, ok := r.whole.Tensors[name]
		if n, _ := elements(t.Shape); !ok || n != len(v) {
			return fmt.Errorf("%w: it is missing, or has not %d elements", ErrMismatch, len(v))
		}
		values, err := t.Float32s()
		copy(v, values)
		return err
	}
	p, ok := r.index.places[name]
	if n, _ := elements(p.Shape); !ok || n != len(v) {
		return fmt.Errorf("%w: it is missing, or has not %d elements", ErrMismatch, len(v))
	}
	const piece = 1 << 16 // elements read at a time
	width := p.DType.size()
	if r.buffer == nil {
		r.buffer = make([]byte, 8*piece)
	}
	for at := 0; at < len(v); at += piece {
		n := min(piece, len(v)-at)
		data := r.buffer[:n*width]
		if err := readAt(r.file, data, r.index.begin+p.Offsets[0]+int64(at*width)); err != nil {
			return err
		}
		if err := (Tensor{Shape: []int{n}, DType: p.DType, Data: data}).fill(v[at:][:n]); err != nil {
			return err
		}
	}
	return nil
}
