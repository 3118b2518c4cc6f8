package teacher

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/destseg/destseg/internal/digest"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/weights"
)

// originKey is where the metadata of a teacher's file holds its [Origin].
const originKey = "destseg.teacher"

// PretrainingKey is where the metadata of a file tells how its teacher was trained, as
// package pretrain writes it.
const PretrainingKey = "destseg.pretraining"

// An Origin says what a teacher's file was made from.
type Origin struct {
	Name   string `json:"name"`   // of the teacher that it was
	Digest string `json:"digest"` // of the file that it came from, SHA-256, hexadecimal
	Values string `json:"values"` // digest of the values, by which changes are noticed
}

// Save writes a teacher's file: safetensors in single precision under torchvision's
// names, with the teacher's name and digest as its [Origin] and how it was trained. The file appears whole
// or not at all. Errors name the file and come from the file system, or wrap
// [ErrUnsuitable] if t lacks values.
func Save(path string, t Teacher) error { return save(path, t, weights.FromFloat32) }

// SaveHalf is Save with the convolutions rounded to half precision, which takes half
// the room. The vectors of the batch norms stay as they are.
func SaveHalf(path string, t Teacher) error { return save(path, t, weights.FromFloat16) }

func save(path string, t Teacher, convolution func(shape []int, v []float32) weights.Tensor) error {
	f := &weights.File{Tensors: map[string]weights.Tensor{}}
	kept := map[string][]float32{}
	for _, tensor := range network.Tensors() {
		if tensor.Part() != network.TeacherPart {
			continue
		}
		v := t.Weights[tensor.Name]
		if size := tensor.Shape.Size(); len(v) != size {
			return fmt.Errorf("%s: %w: tensor %q has %d values, shape %v takes %d", path, ErrUnsuitable, tensor.Name, len(v), tensor.Shape, size)
		}
		encode := weights.FromFloat32
		if len(tensor.Shape) == 4 {
			encode = convolution
		}
		encoded := encode(tensor.Shape, v)
		f.Tensors[network.TeacherName(tensor.Name)] = encoded
		rounded, err := encoded.Float32s()
		if err == nil {
			err = check(tensor.Name, rounded) // half precision ends at 65504
		}
		if err != nil {
			return fmt.Errorf("%s: %w: %w", path, ErrUnsuitable, err)
		}
		kept[tensor.Name] = rounded
	}
	origin, err := json.Marshal(Origin{t.Name, t.Digest, valuesDigest(kept).String()})
	if err != nil {
		return err
	}
	f.Metadata = map[string]string{originKey: string(origin)}
	if t.Pretraining != nil {
		f.Metadata[PretrainingKey] = string(t.Pretraining)
	}
	return weights.WriteFile(path, f)
}

// originOf returns what a file says about its origin; nil if it says nothing.
func originOf(f *weights.File) (*Origin, error) {
	text, ok := f.Metadata[originKey]
	if !ok {
		return nil, nil
	}
	var o Origin
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return nil, fmt.Errorf("%w: metadata %s: %w", weights.ErrDamaged, originKey, err)
	}
	const longest = 1000 // of a text in a detector's record
	if len(o.Name) > longest || len(o.Digest) != 2*sha256.Size || len(o.Values) != 2*sha256.Size {
		return nil, fmt.Errorf("%w: metadata %s is none of this program", weights.ErrDamaged, originKey)
	}
	return &o, nil
}

// pretrainingOf returns what a file says about the training of its teacher; nil if it says
// nothing, or nothing that could be kept in another file.
func pretrainingOf(f *weights.File) json.RawMessage {
	const longest = 1 << 20
	text := f.Metadata[PretrainingKey]
	if len(text) > longest || !json.Valid([]byte(text)) {
		return nil
	}
	return json.RawMessage(text)
}

// valuesDigest digests the values of a teacher, whatever file they are in.
func valuesDigest(values map[string][]float32) digest.Digest {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintln(h, network.TeacherName(name))
		binary.Write(h, binary.LittleEndian, values[name]) // a digest takes everything
	}
	return digest.Digest(h.Sum(nil))
}
