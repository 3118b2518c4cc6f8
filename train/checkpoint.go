package train

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"

	"github.com/destseg/destseg/weights"
)

// ErrCheckpoint is wrapped by the error for a checkpoint that can't be used.
var ErrCheckpoint = errors.New("train: unusable checkpoint")

const (
	checkpointKey     = "destseg.checkpoint" // in the metadata of the safetensors file
	checkpointVersion = 1
)

// position is how far a run has come: Step steps of Stage are done.
type position struct {
	Version     int    `json:"version"`
	Fingerprint string `json:"fingerprint"` // of all that the run depends on
	Stage       int    `json:"stage"`
	Step        int    `json:"step"`
}

// tensors are values by name, with the shapes known elsewhere.
type tensors map[string][]float32

// fingerprint is the same for two runs if they compute the same.
func (c Config) fingerprint() (string, error) {
	h := sha256.New()
	recipe, err := json.Marshal(c.Recipe)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(h, "%s\n%v\n%T\n%d\n", recipe, c.Options.Precision, c.Textures, len(c.Good))
	for _, path := range c.Good {
		fmt.Fprintln(h, path)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Teacher)) {
		fmt.Fprintln(h, name)
		if err := binary.Write(h, binary.LittleEndian, c.Teacher[name]); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func saveCheckpoint(path string, at position, state tensors) error {
	record, err := json.Marshal(at)
	if err != nil {
		return err
	}
	f := &weights.File{Tensors: map[string]weights.Tensor{}, Metadata: map[string]string{checkpointKey: string(record)}}
	for name, v := range state {
		f.Tensors[name] = weights.FromFloat32([]int{len(v)}, v)
	}
	return weights.WriteFile(path, f)
}

// loadCheckpoint returns a nil state if there is no such file.
func loadCheckpoint(path, fingerprint string, sizes map[string]int) (position, tensors, error) {
	fail := func(format string, args ...any) (position, tensors, error) {
		return position{}, nil, fmt.Errorf("%w: %s: %s", ErrCheckpoint, path, fmt.Sprintf(format, args...))
	}
	f, err := weights.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return position{}, nil, nil
	}
	if err != nil {
		return position{}, nil, fmt.Errorf("%w: %w; remove it to start anew", ErrCheckpoint, err)
	}
	record, ok := f.Metadata[checkpointKey]
	if !ok {
		return fail("not a checkpoint; name another file")
	}
	var at position
	if err := json.Unmarshal([]byte(record), &at); err != nil {
		return fail("its record is damaged (%v); remove it to start anew", err)
	}
	if at.Version > checkpointVersion {
		return fail("written by a newer version of this program; update it, or remove the file to start anew")
	}
	if at.Fingerprint != fingerprint {
		return fail("belongs to a run with another recipe, teacher, precision or other pictures; remove it to start anew, or name another file")
	}
	if at.Stage != 1 && at.Stage != 2 || at.Step < 0 {
		return fail("its record is damaged (stage %d, step %d); remove it to start anew", at.Stage, at.Step)
	}
	state := tensors{}
	for name, t := range f.Tensors {
		size, known := sizes[name]
		v, err := t.Float32s()
		if err != nil || !known || len(v) != size {
			return fail("tensor %q is not what this run keeps; remove the file to start anew", name)
		}
		state[name] = v
	}
	return at, state, nil
}

// finite reports whether a loss is a number.
func finite(v float32) bool { return !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0) }
