package weights

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Match returns the values of the tensors whose names and shapes are in want, by these names. In the file each name
// has the prefix before it. What else the file holds is ignored. If something is missing or has another shape, the error
// is a [Mismatch].
func (f *File) Match(want map[string][]int, prefix string) (map[string][]float32, error) {
	held := make(map[string][]int, len(f.Tensors))
	for name, t := range f.Tensors {
		held[name] = t.Shape
	}
	if err := match(held, want, prefix); err != nil {
		return nil, err
	}
	values := make(map[string][]float32, len(want))
	for name := range want {
		v, err := f.Tensors[prefix+name].Float32s()
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", quote(prefix+name), err)
		}
		values[name] = v
	}
	return values, nil
}

// match looks for what is wanted among the shapes held.
func match(held, want map[string][]int, prefix string) error {
	m := &Mismatch{wanted: len(want)}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		name, shape := prefix+name, want[name]
		if s, ok := held[name]; !ok {
			m.Missing = append(m.Missing, name)
		} else if !slices.Equal(s, shape) {
			m.Misshapen = append(m.Misshapen, Misshapen{name, shape, s})
		}
	}
	if len(m.Missing)+len(m.Misshapen) == 0 {
		return nil
	}
	if len(m.Missing) == len(want) {
		m.held = slices.Sorted(maps.Keys(held))
	}
	return m
}

// A Mismatch is the error of a file that lacks tensors that are wanted, or has them in other shapes. It wraps
// [ErrMismatch].
type Mismatch struct {
	// Missing names tensors that the file does not have, Misshapen those that it has in another shape, both by the names
	// that they should have in it, sorted.
	Missing   []string
	Misshapen []Misshapen

	wanted int
	held   []string // what the file has, if it has nothing that is wanted
}

// A Misshapen tensor has another shape than is wanted.
type Misshapen struct {
	Name  string `json:"name"`
	Want  []int  `json:"want"`
	Shape []int  `json:"shape"` // that the file has
}

// String names the tensor and both shapes.
func (m Misshapen) String() string {
	return fmt.Sprintf("%s (want %s, file has %s)", quote(m.Name), shapeText(m.Want), shapeText(m.Shape))
}

// Unwrap returns [ErrMismatch].
func (m *Mismatch) Unwrap() error { return ErrMismatch }

// Error names the tensors, the first ones of many.
func (m *Mismatch) Error() string {
	var parts []string
	if len(m.Missing) > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d missing: %s", len(m.Missing), m.wanted, list(m.Missing, quote)))
	}
	if len(m.Misshapen) > 0 {
		parts = append(parts, fmt.Sprintf("%d of another shape: %s", len(m.Misshapen), list(m.Misshapen, Misshapen.String)))
	}
	if len(m.Missing) == m.wanted {
		parts = append(parts, fmt.Sprintf("the file holds %d: %s", len(m.held), list(m.held, quote)))
	}
	return fmt.Sprintf("%v: %s", ErrMismatch, strings.Join(parts, "; "))
}

// list writes what a reader can take in and counts the rest.
func list[T any](items []T, write func(T) string) string {
	const most = 12
	var texts []string
	for _, item := range items[:min(len(items), most)] {
		texts = append(texts, write(item))
	}
	text := strings.Join(texts, ", ")
	if len(items) > most {
		text += fmt.Sprintf(" and %d more", len(items)-most)
	}
	return text
}
