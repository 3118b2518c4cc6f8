package plain

import (
	"fmt"

	"github.com/destseg/destseg/engine"
)

// A program is a compiled graph. Its steps hold the buffers they work on.
type program[T real] struct {
	steps    []func()
	writable map[string][]T // inputs and variables
	readable map[string][]T // variables and outputs; an output hides a variable of its name
	updates  []update[T]
	bytes    int64 // of all buffers but the workspace of products
}

// An update copies a result into a variable after all steps.
type update[T real] struct{ variable, value []T }

func (p *program[T]) Precision() engine.Precision { return engine.Float32 }

func (p *program[T]) Memory() int64 { return p.bytes }

func (p *program[T]) Run() error {
	if p.steps == nil {
		return engine.ErrClosed
	}
	for _, step := range p.steps {
		step()
	}
	for _, u := range p.updates {
		copy(u.variable, u.value)
	}
	return nil
}

func (p *program[T]) Write(name string, v []float32) error {
	t, err := lookUp(p.writable, name, len(v))
	convert(t, v)
	return err
}

func (p *program[T]) Read(name string, v []float32) error {
	t, err := lookUp(p.readable, name, len(v))
	convert(v[:len(t)], t)
	return err
}

func (p *program[T]) Close() error {
	*p = program[T]{}
	return nil
}

// program64 adds access without rounding.
type program64 struct{ *program[float64] }

func (p program64) Write64(name string, v []float64) error {
	t, err := lookUp(p.writable, name, len(v))
	copy(t, v)
	return err
}

func (p program64) Read64(name string, v []float64) error {
	t, err := lookUp(p.readable, name, len(v))
	copy(v, t)
	return err
}

// lookUp finds the tensor of that name and size; it is empty if there is none.
func lookUp[T real](tensors map[string][]T, name string, size int) ([]T, error) {
	t, ok := tensors[name]
	switch {
	case tensors == nil:
		return nil, engine.ErrClosed
	case !ok:
		return nil, fmt.Errorf("plain: %w: %q", engine.ErrUnknownTensor, name)
	case len(t) != size:
		return nil, fmt.Errorf("plain: %w: %q has %d elements, got %d", engine.ErrUnknownTensor, name, len(t), size)
	}
	return t, nil
}

func convert[To, From real](to []To, from []From) {
	for i := range to {
		to[i] = To(from[i])
	}
}
