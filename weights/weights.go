// Package weights reads and writes the tensors of a network.
//
// Safetensors files are read and written. PyTorch files (.pth, .pt) are read in both of their formats, without running
// anything in them: their pickles are interpreted by a small machine that knows how to rebuild tensors and containers
// and nothing else. Every length in a file is checked against the bytes that are there before memory is taken for it. What
// a PyTorch file may say over and over in few bytes is limited by itself: compressed entries and views to 16 MiB and 16
// times the file's size together, the pickle by the number of its steps, which keeps it below 1 GB.
//
// A file is opened by [Open], which looks at the content and not at the name. [File.Match] then picks the tensors a
// network wants and says in one error everything that is missing or has another shape.
package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strings"
)

// What can be wrong with a file. Errors of this package wrap one of these, or the error of the operating system.
var (
	// ErrUnrecognised: the bytes are neither safetensors nor PyTorch.
	ErrUnrecognised = errors.New("not a safetensors or PyTorch file")

	// ErrDamaged: the file is cut short, contradicts itself, or claims sizes that its bytes cannot hold.
	ErrDamaged = errors.New("file is damaged or cut short")

	// ErrUnsupported: the file is sound but holds something this package does not read, such as a pickled class.
	ErrUnsupported = errors.New("not supported")

	// ErrMismatch: the file lacks tensors that are wanted, or has them in other shapes. See [Mismatch].
	ErrMismatch = errors.New("tensors do not match")
)

// File is what a weight file holds.
type File struct {
	// Tensors by name. Tensors that share memory in a PyTorch file may share Data here, so treat Data as read-only.
	Tensors map[string]Tensor

	// Metadata is the free text of a safetensors file, by key; nil where there is none.
	Metadata map[string]string
}

// Open reads the safetensors or PyTorch file at path, recognised by its content. Every error names the path and, unless
// it came from the operating system, wraps [ErrUnrecognised], [ErrDamaged] or [ErrUnsupported].
func Open(path string) (*File, error) {
	file, size, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	f, err := read(file, size)
	if err != nil {
		return nil, fmt.Errorf("weights: %s: %w", path, err)
	}
	return f, nil
}

func openFile(path string) (file *os.File, size int64, err error) {
	file, err = os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("weights: %w", err)
	}
	info, err := file.Stat()
	switch {
	case err != nil:
		err = fmt.Errorf("weights: %w", err)
	case info.IsDir():
		err = fmt.Errorf("weights: %w", &fs.PathError{Op: "open", Path: path, Err: errors.New("is a folder; name the file in it")})
	default:
		return file, info.Size(), nil
	}
	file.Close()
	return nil, 0, err
}

// read picks the format by the first bytes.
func read(r io.ReaderAt, size int64) (*File, error) {
	// 512 bytes are one tar header, the longest mark looked for.
	head, err := readRange(r, 0, min(size, 512))
	if err != nil {
		return nil, err
	}
	text := bytes.ToLower(bytes.TrimLeft(head, " \t\r\n"))
	switch {
	case looksLikeSafetensors(head): // first, for the length of its header may look like the mark of a pickle
		return ReadSafetensors(r, size)
	case looksLikeTorch(head):
		return ReadTorch(r, size)
	case len(head) >= 262 && string(head[257:262]) == "ustar":
		return nil, fmt.Errorf("%w: this is a tar archive, as PyTorch wrote before 2017; "+
			"take a newer download, or load and save it again with PyTorch", ErrUnsupported)
	case bytes.HasPrefix(text, []byte("version https://git-lfs")):
		return nil, fmt.Errorf("%w: this is a Git LFS pointer; fetch the real file with git lfs pull", ErrUnrecognised)
	case bytes.HasPrefix(text, []byte("<!doctype")), bytes.HasPrefix(text, []byte("<html")):
		return nil, fmt.Errorf("%w: this is a web page; the download was redirected, repeat it", ErrUnrecognised)
	case size == 0:
		return nil, fmt.Errorf("%w: the file is empty", ErrUnrecognised)
	}
	return nil, fmt.Errorf("%w: it begins with % x", ErrUnrecognised, head[:min(len(head), 8)])
}

// looksLikeSafetensors tells by the first bytes of a file.
func looksLikeSafetensors(head []byte) bool { return len(head) > 8 && head[8] == '{' }

// readRange reads n bytes at off. The last byte is asked for first, so that a wrong size costs no memory.
func readRange(r io.ReaderAt, off, n int64) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	if n < 0 || n > math.MaxInt || off < 0 || off > math.MaxInt64-n {
		return nil, fmt.Errorf("%w: %d bytes at %d", ErrDamaged, n, off)
	}
	var last [1]byte
	if err := readAt(r, last[:], off+n-1); err != nil {
		return nil, err
	}
	b := make([]byte, n)
	if err := readAt(r, b, off); err != nil {
		return nil, err
	}
	return b, nil
}

// readAt fills b from off.
func readAt(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it ends before byte %d", ErrDamaged, off+int64(len(b)))
	}
	return err
}

// readUint64 reads the little-endian number at off.
func readUint64(r io.ReaderAt, off int64) (uint64, error) {
	var b [8]byte
	if err := readAt(r, b[:], off); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}

// quote makes a name from a file fit for a message.
func quote(name string) string {
	const longest = 100
	if len(name) > longest {
		name = name[:longest] + "…"
	}
	return fmt.Sprintf("%q", name)
}

// shapeText writes a shape as 64×3×7×7.
func shapeText(shape []int) string {
	if len(shape) == 0 {
		return "scalar"
	}
	var b strings.Builder
	for i, d := range shape {
		if i == 8 {
			return b.String() + "×…"
		}
		if i > 0 {
			b.WriteString("×")
		}
		fmt.Fprint(&b, d)
	}
	return b.String()
}
