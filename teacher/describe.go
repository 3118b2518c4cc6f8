package teacher

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/destseg/destseg/weights"
)

// A Description tells what a file holds and whether it is a teacher.
type Description struct {
	Name   string  `json:"name"`             // that of [Teacher]
	Path   string  `json:"path,omitempty"`   // empty for the embedded one
	Bytes  int64   `json:"bytes"`            // of the file
	Digest string  `json:"digest"`           // that of [Teacher]
	Origin *Origin `json:"origin,omitempty"` // what it was made from, as the file has it; nil: it does not say
	Edited bool    `json:"edited,omitempty"` // its values are not those of the origin any more

	Pretraining json.RawMessage `json:"pretraining,omitempty"` // that of [Teacher]

	File    Tensors `json:"file"`    // all that it holds
	Teacher Tensors `json:"teacher"` // what of it a teacher uses
	Prefix  string  `json:"prefix"`  // before the names of these

	Fits      bool                `json:"fits"`
	Problem   string              `json:"problem,omitempty"` // why it does not fit
	Missing   []string            `json:"missing,omitempty"`
	Misshapen []weights.Misshapen `json:"misshapen,omitempty"`
	Foreign   []string            `json:"foreign,omitempty"` // in the stem and stages 1 to 3, and of another network
	Unused    []string            `json:"unused,omitempty"`  // all besides the teacher's
}

// Tensors counts tensors.
type Tensors struct {
	Count      int                   `json:"count"`
	Parameters int64                 `json:"parameters"` // numbers in them, running statistics too
	Types      map[weights.DType]int `json:"types"`      // how many there are of each
}

func (t *Tensors) add(tensor weights.Tensor) {
	if t.Types == nil {
		t.Types = map[weights.DType]int{}
	}
	elements := int64(1)
	if slices.Contains(tensor.Shape, 0) {
		elements = 0 // whatever the other dimensions are
	}
	for _, d := range tensor.Shape {
		elements *= int64(d)
	}
	t.Count++
	t.Parameters += elements
	t.Types[tensor.DType]++
}

// Describe looks into what spec names, as [Load] does. Weights that are no teacher are
// no error. The errors for a file that can't be read are those of Load.
func Describe(spec string, options ...Option) (Description, error) {
	c, err := find(spec, options)
	if err != nil {
		return Description{}, err
	}
	return c.describe(), nil
}

func (c candidate) describe() Description {
	d := Description{
		Name: c.name, Path: c.path, Bytes: c.size, Digest: c.digest.String(), Prefix: c.prefix,
		Foreign: c.foreign(), Unused: c.unused(), Pretraining: pretrainingOf(c.file),
	}
	for name, tensor := range c.file.Tensors {
		d.File.add(tensor)
		bare, inside := strings.CutPrefix(name, c.prefix)
		if shape, wanted := c.want[bare]; inside && wanted && slices.Equal(shape, tensor.Shape) {
			d.Teacher.add(tensor)
		}
	}
	if origin, err := originOf(c.file); err == nil {
		d.Origin = origin
	}
	values, err := c.values()
	if err != nil {
		d.Problem = err.Error()
		if mismatch := (*weights.Mismatch)(nil); errors.As(err, &mismatch) {
			d.Missing, d.Misshapen = mismatch.Missing, mismatch.Misshapen
		}
		return d
	}
	d.Fits, d.Digest = true, c.sourceDigest()
	d.Edited = d.Origin != nil && d.Origin.Values != valuesDigest(values).String()
	return d
}
