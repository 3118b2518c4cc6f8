package pretrain

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/teacher"
	"github.com/destseg/destseg/weights"
)

// A Record tells how a classifier was trained. The files of teachers that were made of it
// keep it as [teacher.Teacher.Pretraining].
type Record struct {
	Program    string     `json:"program"` // its version; set by the caller of Run, like Created
	Created    time.Time  `json:"created"`
	Engine     string     `json:"engine"`
	Precision  string     `json:"precision"`
	Recipe     Recipe     `json:"recipe"`
	Sets       []Set      `json:"sets"`
	Seconds    float64    `json:"training_seconds"` // wall-clock time
	Validation Validation `json:"validation"`
}

// A Set is what a record says of a source.
type Set struct {
	Name     string   `json:"name"` // of the folder or file, without its own folder
	Digest   string   `json:"digest"`
	Pictures int      `json:"pictures"` // learned from
	Crops    int      `json:"crops"`    // in each batch
	Classes  []string `json:"classes"`
}

// classes is the number of classes of all sets.
func (r Record) classes() int {
	n := 0
	for _, s := range r.Sets {
		n += len(s.Classes)
	}
	return n
}

// ParseRecord reads what [Save] wrote into a file. An error says what is wrong with it.
func ParseRecord(text []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(text, &r); err != nil {
		return Record{}, fmt.Errorf("the record of its training: %w", err)
	}
	return r, nil
}

// Save writes a classifier with its record to a safetensors file, under
// torchvision's names. The file appears whole or not at all.
func Save(path string, result Result) error {
	text, err := json.Marshal(result.Record)
	if err != nil {
		return err
	}
	f := &weights.File{Tensors: map[string]weights.Tensor{}, Metadata: map[string]string{teacher.PretrainingKey: string(text)}}
	for _, t := range network.ClassifierTensors(result.Record.classes()) {
		shape := []int(t.Shape)
		if t.Name == network.ClassifierWeight {
			shape = shape[:2]
		}
		f.Tensors[t.Name] = weights.FromFloat32(shape, result.Weights[t.Name])
	}
	return weights.WriteFile(path, f)
}
