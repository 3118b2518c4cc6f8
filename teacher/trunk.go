package teacher

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/weights"
)

// published begins the names of the teacher's tensors in the published state dict.
const published = "teacher_net.encoder."

// shapes returns the shapes of a teacher's tensors by their names in a ResNet-18.
func shapes() map[string][]int {
	want := map[string][]int{}
	for _, t := range network.Tensors() {
		if t.Part() == network.TeacherPart {
			want[network.TeacherName(t.Name)] = t.Shape
		}
	}
	return want
}

// A trunk is what a file holds of a ResNet-18 under one prefix.
type trunk struct {
	file   *weights.File
	want   map[string][]int // by name without the prefix
	prefix string
	rivals []string // prefixes, this one among them, if several are as good
}

// findTrunk looks for a ResNet-18 in a file: under the prefix that has the most
// tensors of a teacher in their shapes. Among equals bare names come first, then
// published ones.
func findTrunk(f *weights.File) trunk {
	type hits struct{ shaped, named int }
	found := map[string]hits{}
	want := shapes()
	for name, tensor := range f.Tensors {
		for bare, shape := range want {
			prefix, ok := strings.CutSuffix(name, bare)
			if !ok || prefix != "" && !strings.HasSuffix(prefix, ".") {
				continue
			}
			h := found[prefix]
			h.named++
			if slices.Equal(tensor.Shape, shape) {
				h.shaped++
			}
			found[prefix] = h
		}
	}
	rank := func(prefix string) int { return slices.Index([]string{published, ""}, prefix) }
	t := trunk{file: f, want: want}
	prefixes := slices.SortedFunc(maps.Keys(found), func(a, b string) int {
		p, q := found[a], found[b]
		return cmp.Or(cmp.Compare(q.shaped, p.shaped), cmp.Compare(q.named, p.named), cmp.Compare(rank(b), rank(a)), cmp.Compare(a, b))
	})
	if len(prefixes) == 0 {
		return t
	}
	t.prefix = prefixes[0]
	if rank(t.prefix) < 0 {
		for _, prefix := range prefixes {
			if found[prefix].shaped == len(want) {
				t.rivals = append(t.rivals, prefix)
			}
		}
	}
	return t
}

// weights returns the values of a teacher by published name, or why the trunk is
// none.
func (t trunk) weights() (map[string][]float32, error) {
	if len(t.rivals) > 1 {
		return nil, fmt.Errorf("it holds %d of them, under the prefixes %s; name one with destseg teacher import --prefix",
			len(t.rivals), some(t.rivals))
	}
	bare, err := t.file.Match(t.want, t.prefix)
	if err != nil {
		return nil, err
	}
	if foreign := t.foreign(); len(foreign) > 0 {
		return nil, fmt.Errorf("%d tensors in its stem and stages 1 to 3 are none of a ResNet-18: %s; it is another network, or a deeper one",
			len(foreign), some(foreign))
	}
	values := make(map[string][]float32, len(bare))
	for _, name := range slices.Sorted(maps.Keys(bare)) {
		if err := check(name, bare[name]); err != nil {
			return nil, err
		}
		values[published+name] = bare[name]
	}
	return values, nil
}

// check refuses values that no trained network has.
func check(name string, v []float32) error {
	variance := strings.HasSuffix(name, "running_var")
	for i, x := range v {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return fmt.Errorf("value %d of tensor %q is %v", i, name, x)
		}
		if variance && x < 0 {
			return fmt.Errorf("value %d of tensor %q is %v, but it is a variance", i, name, x)
		}
	}
	return nil
}

// foreign names the tensors in the stem and stages 1 to 3 that a ResNet-18 does not
// have. All of its own are in a ResNet-34 as well, in the same shapes.
func (t trunk) foreign() []string {
	parts := map[string]bool{}
	for name := range t.want {
		part, _, _ := strings.Cut(name, ".")
		parts[part] = true
	}
	return slices.DeleteFunc(t.unused(), func(name string) bool {
		bare, inside := strings.CutPrefix(name, t.prefix)
		part, _, _ := strings.Cut(bare, ".")
		return !inside || !parts[part] || isCounter(bare)
	})
}

// unused names the tensors that a teacher leaves out, foreign ones among them,
// sorted.
func (t trunk) unused() []string {
	var names []string
	for name := range t.file.Tensors {
		bare, inside := strings.CutPrefix(name, t.prefix)
		if _, wanted := t.want[bare]; !inside || !wanted {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// isCounter reports whether a tensor is one of PyTorch's batch norm that says how
// often it was updated.
func isCounter(name string) bool { return strings.HasSuffix(name, ".num_batches_tracked") }

// some quotes the first names of a list and counts the rest.
func some(names []string) string {
	const most = 6
	var quoted []string
	for _, name := range names[:min(len(names), most)] {
		quoted = append(quoted, fmt.Sprintf("%.100q", name))
	}
	text := strings.Join(quoted, ", ")
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}
