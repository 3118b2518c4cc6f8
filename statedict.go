package destseg

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/destseg/destseg/internal/digest"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/train"
	"github.com/destseg/destseg/weights"
)

// ErrDetector is wrapped by the error for a file to import that is a detector already.
var ErrDetector = errors.New("a detector already")

// An ImportRecord says which file of another program a detector was made of. Of such a
// detector the recipe, the pictures and the time of its training are not known.
type ImportRecord struct {
	File   string `json:"file"`   // its name, without the folder
	Digest string `json:"digest"` // SHA-256, hexadecimal
}

// Import reads the state dict of the published model, as torch.save or safetensors write
// it, and returns what [Save] makes a detector of: values that are those of the file to
// the bit, if it has them in float32, and a record without a threshold. The file does not
// say how pictures come before the networks; the record has [StandardPreprocessing] at
// a network size, and the published recipe for a category as far as [Calibrate] draws
// anomalies by it. Nothing in the file is executed.
//
// Errors name the file and wrap [ErrTensors], [ErrDetector], [ErrRecord], or an error of
// package weights or of the file system.
func Import(path, category string, width, height int) (Record, map[string][]float32, error) {
	f, err := weights.Open(path)
	if err != nil {
		return Record{}, nil, err
	}
	if _, ok := f.Metadata[recordKey]; ok {
		return Record{}, nil, fmt.Errorf("%s is %w; use it as it is", path, ErrDetector)
	}
	want := map[string][]int{}
	for _, t := range network.Tensors() {
		want[t.Name] = t.Shape
	}
	values, err := f.Match(want, "")
	if err != nil {
		return Record{}, nil, fmt.Errorf("%s: %w: %w", path, ErrTensors, err)
	}
	if err := checkValues(values); err != nil {
		return Record{}, nil, fmt.Errorf("%s: %w", path, err)
	}
	sum, err := digest.File(path)
	if err != nil {
		return Record{}, nil, err
	}
	r := Record{
		Category: category, Preprocessing: StandardPreprocessing(width, height), Recipe: train.Published(category),
		Teacher:  TeacherRecord{Name: "imported", Digest: sum.String()},
		Imported: &ImportRecord{File: filepath.Base(path), Digest: sum.String()},
	}
	r.Recipe.Width, r.Recipe.Height, r.Recipe.Fit = width, height, picture.Stretch
	if err := r.Check(); err != nil {
		return Record{}, nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, values, nil
}

// SaveStateDict writes a detector's tensors alone, as safetensors, under the names of
// the published model, whose load_state_dict takes what Python's safetensors reads. The
// counters num_batches_tracked, which PyTorch expects and nothing reads, are 0. The
// file appears whole or not at all. Errors name it, and wrap [ErrTensors] or come from
// the file system.
func SaveStateDict(path string, values map[string][]float32) error {
	if err := checkValues(values); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	f := &weights.File{Tensors: map[string]weights.Tensor{}, Metadata: map[string]string{"format": "pt"}}
	for _, t := range network.Tensors() {
		f.Tensors[t.Name] = weights.FromFloat32(t.Shape, values[t.Name])
		if norm, ok := strings.CutSuffix(t.Name, "running_var"); ok {
			f.Tensors[norm+"num_batches_tracked"] = weights.FromInt64(nil, []int64{0})
		}
	}
	return weights.WriteFile(path, f)
}
