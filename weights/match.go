package weights

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Rewrite relates names that are wanted to names in a file: a wanted name that begins with Want is looked for with File
// in place of that beginning; other names are looked for as they are.
type Rewrite struct{ Want, File string }

func (r Rewrite) apply(name string) string {
	if rest, ok := strings.CutPrefix(name, r.Want); ok {
		return r.File + rest
	}
	return name
}

// Match returns, by wanted name, the values of the tensors whose names and shapes are in want. What else the file holds
// is ignored.
//
// The names are looked for unchanged and under each of the rewrites; the way that finds the most tensors in the right
// shape is taken, the earlier one among equals. An error wraps [ErrMismatch], speaks of that way only, and names what is
// missing and what has another shape.
func (f *File) Match(want map[string][]int, rewrites ...Rewrite) (map[string][]float32, error) {
	held := make(map[string][]int, len(f.Tensors))
	for name, t := range f.Tensors {
		held[name] = t.Shape
	}
	way, err := match(held, want, rewrites)
	if err != nil {
		return nil, err
	}
	values := make(map[string][]float32, len(want))
	for name := range want {
		v, err := f.Tensors[way.apply(name)].Float32s()
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", quote(way.apply(name)), err)
		}
		values[name] = v
	}
	return values, nil
}

// match finds the way to look for what is wanted among the shapes held.
func match(held, want map[string][]int, rewrites []Rewrite) (Rewrite, error) {
	var way Rewrite
	most := -1
	for _, r := range append([]Rewrite{{}}, rewrites...) {
		if n := count(held, want, r); n > most {
			way, most = r, n
		}
	}
	if most < len(want) {
		return Rewrite{}, mismatch(held, want, way)
	}
	return way, nil
}

func count(held, want map[string][]int, way Rewrite) int {
	n := 0
	for name, shape := range want {
		if s, ok := held[way.apply(name)]; ok && slices.Equal(s, shape) {
			n++
		}
	}
	return n
}

// mismatch is the error of a file that lacks something wanted.
func mismatch(held, want map[string][]int, way Rewrite) error {
	var missing, misshapen []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		name, shape := way.apply(name), want[name]
		if s, ok := held[name]; !ok {
			missing = append(missing, quote(name))
		} else if !slices.Equal(s, shape) {
			misshapen = append(misshapen, fmt.Sprintf("%s (want %s, file has %s)",
				quote(name), shapeText(shape), shapeText(s)))
		}
	}
	var parts []string
	if len(missing) > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d missing: %s", len(missing), len(want), list(missing)))
	}
	if len(misshapen) > 0 {
		parts = append(parts, fmt.Sprintf("%d of another shape: %s", len(misshapen), list(misshapen)))
	}
	if len(missing) == len(want) {
		names := slices.Sorted(maps.Keys(held))
		for i := range names {
			names[i] = quote(names[i])
		}
		parts = append(parts, fmt.Sprintf("the file holds %d: %s", len(names), list(names)))
	}
	return fmt.Errorf("%w: %s", ErrMismatch, strings.Join(parts, "; "))
}

// list joins what a reader can take in and counts the rest.
func list(items []string) string {
	const most = 12
	if len(items) <= most {
		return strings.Join(items, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(items[:most], ", "), len(items)-most)
}
