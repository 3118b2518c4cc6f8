package destseg

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/weights"
)

// recordKey is where the metadata of a detector's file holds its record.
const recordKey = "destseg"

// Save writes a detector: the tensors of [network.Tensors], values by published
// name, and the record. The file takes its name when it is complete, so that
// path holds the old file or the new one; on failure nothing is left over.
//
// Errors name the file and wrap [ErrRecord] or [ErrTensors], or come from the
// file system.
func Save(path string, r Record, values map[string][]float32) error {
	if r.Program == "" {
		r.Program = Version()
	}
	if r.Created.IsZero() {
		r.Created = time.Now().UTC().Truncate(time.Second)
	}
	text, err := r.JSON()
	if err == nil {
		err = checkValues(values)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	f := &weights.File{Tensors: map[string]weights.Tensor{}, Metadata: map[string]string{recordKey: text}}
	for _, t := range network.Tensors() {
		f.Tensors[t.Name] = weights.FromFloat32(t.Shape, values[t.Name])
	}
	return weights.WriteFile(path, f)
}

// Read returns what [Save] wrote, checked in every respect, for those who want
// the weights themselves; [Open] is for the others.
//
// Errors name the file and wrap [ErrNotDetector], [ErrNewer], [ErrRecord],
// [ErrTensors], or an error of package weights or of the file system.
func Read(path string) (Record, map[string][]float32, error) {
	f, err := openFile(path)
	if err != nil {
		return Record{}, nil, err
	}
	defer f.Close()
	values := map[string][]float32{}
	for _, t := range network.Tensors() {
		v := make([]float32, t.Shape.Size())
		if err := f.tensor(t.Name, v); err != nil {
			return Record{}, nil, err
		}
		values[t.Name] = v
	}
	return f.record, values, nil
}

// ReadRecord returns the record of what [Save] wrote. Of the weights it looks at the
// shapes alone, so that it is quick. Errors are those of [Read].
func ReadRecord(path string) (Record, error) {
	f, err := openFile(path)
	if err != nil {
		return Record{}, err
	}
	defer f.Close()
	return f.record, nil
}

// A file is a detector's file, open, with its record and the shapes of its
// tensors checked.
type file struct {
	*weights.Reader
	path   string
	record Record
}

func openFile(path string) (*file, error) {
	r, err := weights.OpenReader(path)
	if err != nil {
		return nil, noDetector(err)
	}
	f := &file{Reader: r, path: path}
	if f.record, err = recordOf(r.Metadata); err == nil {
		want := map[string][]int{}
		for _, t := range network.Tensors() {
			want[t.Name] = t.Shape
		}
		if err = r.Match(want); err != nil {
			err = fmt.Errorf("%w: %w", ErrTensors, err)
		}
	}
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// noDetector marks the error for a file that holds something else than weights.
func noDetector(err error) error {
	if errors.Is(err, weights.ErrUnrecognised) {
		return marked{err, ErrNotDetector}
	}
	return err
}

// tensor reads one tensor into v and checks it.
func (f *file) tensor(name string, v []float32) error {
	if err := f.Float32s(name, v); err != nil {
		return fmt.Errorf("%w: %w", ErrTensors, err)
	}
	if err := checkTensor(name, v); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	return nil
}

// Update changes the record of a detector's file and leaves its tensors as they
// are, byte for byte. The file is replaced whole or not at all; if change
// returns an error, it stays as it is. Errors are those of [Read] and [Save], or
// change's.
func Update(path string, change func(*Record) error) error {
	f, err := weights.Open(path)
	if err != nil {
		return noDetector(err)
	}
	r, err := recordOf(f.Metadata)
	if err == nil {
		err = change(&r)
	}
	if err == nil {
		f.Metadata[recordKey], err = r.JSON()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return weights.WriteFile(path, f)
}

func recordOf(metadata map[string]string) (Record, error) {
	text, ok := metadata[recordKey]
	if !ok {
		return Record{}, fmt.Errorf("%w: the file holds weights but no record of a detector; give one that destseg has written", ErrNotDetector)
	}
	return parseRecord([]byte(text))
}

// checkValues makes sure that values has every tensor of the networks, with as
// many elements as it needs, all of them finite and no variance negative.
func checkValues(values map[string][]float32) error {
	for _, t := range network.Tensors() {
		v, ok := values[t.Name]
		if !ok {
			return fmt.Errorf("%w: tensor %q is missing", ErrTensors, t.Name)
		}
		if size := t.Shape.Size(); len(v) != size {
			return fmt.Errorf("%w: tensor %q has %d values, shape %v takes %d", ErrTensors, t.Name, len(v), t.Shape, size)
		}
		if err := checkTensor(t.Name, v); err != nil {
			return err
		}
	}
	return nil
}

// checkTensor makes sure that all values are finite, and no variance negative.
func checkTensor(name string, v []float32) error {
	for i, x := range v {
		const exponent = 0xff << 23 // all ones in NaN and the infinities, only there
		if math.Float32bits(x)&exponent == exponent {
			return fmt.Errorf("%w: value %d of tensor %q is %v; train the detector again", ErrTensors, i, name, x)
		}
	}
	if strings.HasSuffix(name, "running_var") {
		for i, x := range v {
			if x < 0 {
				return fmt.Errorf("%w: value %d of tensor %q is %v, but it is a variance", ErrTensors, i, name, x)
			}
		}
	}
	return nil
}
