package weights

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"unicode/utf8"
)

// A safetensors file is the length of a JSON header (8 bytes, little endian), the header, and the bytes of all tensors.
// The header maps names to places; together the places must cover the rest of the file, without overlap and without
// holes, so that nothing can hide in it. (https://github.com/huggingface/safetensors, "Format".)

const (
	// maxHeader bounds what a header may cost: it has room for some 100,000 tensors. The published reader takes 100 MB.
	maxHeader = 16 << 20

	metadataKey = "__metadata__"
)

// place is an entry of the header.
type place struct {
	DType   DType   `json:"dtype"`
	Shape   []int   `json:"shape"`
	Offsets []int64 `json:"data_offsets"` // begin and end, from the end of the header
}

// ReadSafetensors reads the size bytes of r. Errors that are not r's wrap [ErrDamaged] or [ErrUnsupported].
func ReadSafetensors(r io.ReaderAt, size int64) (*File, error) {
	in, err := readIndex(r, size)
	if err != nil {
		return nil, err
	}
	data, err := readRange(r, in.begin, size-in.begin)
	if err != nil {
		return nil, err
	}
	f := &File{Tensors: make(map[string]Tensor, len(in.places)), Metadata: in.metadata}
	for name, p := range in.places {
		from, to := p.Offsets[0], p.Offsets[1]
		f.Tensors[name] = Tensor{Shape: p.Shape, DType: p.DType, Data: data[from:to:to]}
	}
	return f, nil
}

// An index is what the header of a safetensors file says.
type index struct {
	places   map[string]place
	metadata map[string]string
	begin    int64 // of the data
}

// readIndex reads and checks the header of the size bytes of r.
func readIndex(r io.ReaderAt, size int64) (index, error) {
	length, err := readUint64(r, 0)
	if err != nil {
		return index{}, err
	}
	if length > maxHeader {
		return index{}, fmt.Errorf("%w: header of %d bytes, at most %d are read", ErrDamaged, length, maxHeader)
	}
	begin := 8 + int64(length)
	if begin > size {
		return index{}, fmt.Errorf("%w: header of %d bytes in a file of %d", ErrDamaged, length, size)
	}
	header, err := readRange(r, 8, int64(length))
	if err != nil {
		return index{}, err
	}
	places, metadata, err := parseHeader(header)
	if err != nil {
		return index{}, err
	}
	return index{places, metadata, begin}, checkPlaces(places, size-begin)
}

func parseHeader(header []byte) (places map[string]place, metadata map[string]string, err error) {
	if len(header) == 0 || header[0] != '{' {
		return nil, nil, fmt.Errorf("%w: the header is not a JSON object", ErrDamaged)
	}
	places = make(map[string]place)
	dec := json.NewDecoder(bytes.NewReader(header))
	err = decodeObject(dec, func(name string) error {
		if name == metadataKey {
			metadata = make(map[string]string)
			return decodeObject(dec, func(key string) error {
				token, err := dec.Token()
				if err != nil {
					return err
				}
				text, ok := token.(string)
				if !ok {
					return fmt.Errorf("metadata %s is not text", quote(key))
				}
				metadata[key] = text
				return nil
			})
		}
		var p place
		if err := dec.Decode(&p); err != nil {
			return fmt.Errorf("tensor %s: %w", quote(name), err)
		}
		if p.Shape == nil || len(p.Offsets) != 2 {
			return fmt.Errorf("tensor %s has no shape or no data_offsets", quote(name))
		}
		places[name] = p
		return nil
	})
	if err == nil {
		if _, more := dec.Token(); more != io.EOF {
			err = errors.New("bytes follow the JSON object")
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: header: %w", ErrDamaged, err)
	}
	return places, metadata, nil
}

// decodeObject calls value for every key of the object that dec is at; value must consume what the key holds. A key that
// occurs twice is an error: two readers could take different ones.
func decodeObject(dec *json.Decoder, value func(key string) error) error {
	if token, err := dec.Token(); err != nil {
		return err
	} else if token != json.Delim('{') {
		return fmt.Errorf("%v where an object is expected", token)
	}
	seen := make(map[string]bool)
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return err
		}
		key, ok := token.(string)
		if !ok || seen[key] {
			return fmt.Errorf("key %s occurs twice", quote(fmt.Sprint(token)))
		}
		seen[key] = true
		if err := value(key); err != nil {
			return err
		}
	}
	_, err := dec.Token() // the closing brace
	return err
}

// checkPlaces makes sure that the tensors follow one another from 0 to size and that each fills its place.
func checkPlaces(places map[string]place, size int64) error {
	names := slices.SortedFunc(maps.Keys(places), func(a, b string) int {
		p, q := places[a], places[b]
		return cmp.Or(cmp.Compare(p.Offsets[0], q.Offsets[0]), cmp.Compare(p.Offsets[1], q.Offsets[1]), cmp.Compare(a, b))
	})
	var end int64
	for _, name := range names {
		p := places[name]
		from, to := p.Offsets[0], p.Offsets[1]
		if from != end || to < from || to > size {
			return fmt.Errorf("%w: tensor %s is said to be at %d to %d, after %d of %d bytes: ranges must follow one another",
				ErrDamaged, quote(name), from, to, end, size)
		}
		end = to
		width := int64(p.DType.size())
		if width == 0 {
			return fmt.Errorf("%w: tensor %s has element type %s", ErrUnsupported, quote(name), quote(string(p.DType)))
		}
		if n, ok := elements(p.Shape); !ok || (to-from)%width != 0 || (to-from)/width != int64(n) {
			return fmt.Errorf("%w: tensor %s of shape %s and type %s has %d bytes",
				ErrDamaged, quote(name), shapeText(p.Shape), p.DType, to-from)
		}
	}
	if end != size {
		return fmt.Errorf("%w: tensors take %d bytes, %d follow the header", ErrDamaged, end, size)
	}
	return nil
}

// WriteSafetensors writes f. Equal files give equal bytes: tensors are laid out by falling element size, then by name,
// which also aligns each of them. Errors that are not w's name the tensor or metadata that cannot be written.
func WriteSafetensors(w io.Writer, f *File) error {
	header, names, err := layOut(f)
	if err != nil {
		return err
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))); err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return err
	}
	for _, name := range names {
		if _, err := w.Write(f.Tensors[name].Data); err != nil {
			return err
		}
	}
	return nil
}

// layOut returns the padded header and the names in the order of their data.
func layOut(f *File) (header []byte, names []string, err error) {
	names = slices.SortedFunc(maps.Keys(f.Tensors), func(a, b string) int {
		return cmp.Or(cmp.Compare(f.Tensors[b].DType.size(), f.Tensors[a].DType.size()), cmp.Compare(a, b))
	})
	entries := make(map[string]any, len(names)+1)
	var end int64
	for _, name := range names {
		t := f.Tensors[name]
		if err := t.check(); err != nil {
			return nil, nil, fmt.Errorf("tensor %s: %w", quote(name), err)
		}
		if name == metadataKey || !utf8.ValidString(name) {
			return nil, nil, fmt.Errorf("tensor %s: %w as a name", quote(name), ErrUnsupported)
		}
		if end > math.MaxInt64-int64(len(t.Data)) {
			return nil, nil, fmt.Errorf("tensor %s: %w: file too large", quote(name), ErrUnsupported)
		}
		from := end
		end += int64(len(t.Data))
		shape := append([]int{}, t.Shape...) // never null in JSON
		entries[name] = place{DType: t.DType, Shape: shape, Offsets: []int64{from, end}}
	}
	if len(f.Metadata) > 0 {
		for key, text := range f.Metadata {
			if !utf8.ValidString(key) || !utf8.ValidString(text) {
				return nil, nil, fmt.Errorf("metadata %s: %w: text is not UTF-8", quote(key), ErrUnsupported)
			}
		}
		entries[metadataKey] = f.Metadata
	}
	header, err = json.Marshal(entries)
	if err != nil {
		return nil, nil, err
	}
	for len(header)%8 != 0 {
		header = append(header, ' ')
	}
	if len(header) > maxHeader {
		return nil, nil, fmt.Errorf("%w: header of %d bytes, at most %d are read back", ErrUnsupported, len(header), maxHeader)
	}
	return header, names, nil
}
