package training

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/weights"
)

var (
	// ErrUnusable is wrapped by the error for a checkpoint that a run can't
	// continue: it belongs to another one, or is damaged. Config.Fresh begins anew
	// in its place.
	ErrUnusable = errors.New("training: unusable checkpoint")
	// ErrNotCheckpoint is wrapped by the error for a file in the checkpoint's
	// place that holds something else. It is never replaced.
	ErrNotCheckpoint = errors.New("training: not a checkpoint")
)

// A Kind tells the checkpoints of one sort of training from all other files.
type Kind struct {
	Key     string // of the record, in the metadata of the safetensors file
	Version int    // of what the checkpoint holds
}

// An Identity is what a run depends on, besides the number of threads: runs with
// the same one compute the same. It is kept as JSON.
type Identity interface {
	// Differences says what the identity that a checkpoint holds has not in common
	// with this one, in a few words; nothing if they are the same.
	Differences(saved []byte) (string, error)
}

// position is how far a run has come: Step steps of stage number Stage are done.
type position struct {
	Version int             `json:"version"`
	Run     json.RawMessage `json:"run"`
	Stage   int             `json:"stage"` // from 0 on
	Step    int             `json:"step"`
	Times   Times           `json:"times"`
}

// Differing lists the fields in which two structs of a type differ, each under its
// name in JSON.
func Differing(its, ours any) []string {
	var list []string
	a, b := reflect.ValueOf(its), reflect.ValueOf(ours)
	for i := range a.NumField() {
		name := strings.ReplaceAll(a.Type().Field(i).Tag.Get("json"), "_", " ")
		if x, y := a.Field(i).Interface(), b.Field(i).Interface(); !reflect.DeepEqual(x, y) {
			list = append(list, fmt.Sprintf("%s %v, not %v", name, x, y))
		}
	}
	return list
}

// kept returns the sizes of the tensors in a checkpoint within a stage, by name.
// The momentum of a stage that is over is not among them.
func (c Config) kept(s Stage) map[string]int {
	sizes := map[string]int{}
	for name, size := range c.Kept {
		sizes[name] = size
	}
	for _, u := range s.Graph.Updates {
		sizes[u.Variable.Name] = u.Variable.Shapes[0].Size()
	}
	return sizes
}

// CheckpointSize is about how many bytes the largest checkpoint takes.
func (c Config) CheckpointSize() int64 {
	var largest int64
	for _, s := range c.Stages {
		var elements int64
		for name, size := range c.kept(s) {
			elements += int64(size)
			if c.Average != 0 && c.Kept[name] > 0 {
				elements += int64(size)
			}
		}
		largest = max(largest, elements)
	}
	return 4 * largest // float32
}

// save brings the state up to date and writes the checkpoint.
func (r *runner) save(program engine.Program, number, step int) error {
	s := r.Stages[number]
	if err := r.receive(program, s); err != nil || r.Checkpoint == "" {
		return err
	}
	r.tick()
	run, err := json.Marshal(r.Identity)
	if err != nil {
		return err
	}
	record, err := json.Marshal(position{r.Kind.Version, run, number, step, r.times})
	if err != nil {
		return err
	}
	f := &weights.File{Tensors: map[string]weights.Tensor{}, Metadata: map[string]string{r.Kind.Key: string(record)}}
	for name := range r.kept(s) {
		for _, name := range []string{name, AverageOf(name)} {
			if v := r.State[name]; v != nil {
				f.Tensors[name] = weights.FromFloat32([]int{len(v)}, v)
			}
		}
	}
	if r.Keep == 0 {
		return weights.WriteFile(r.Checkpoint, f)
	}
	// Nothing is moved before the new one is there.
	next := r.Checkpoint + ".next"
	if err := weights.WriteFile(next, f); err != nil {
		return err
	}
	if err := r.rotate(); err != nil {
		return err
	}
	return os.Rename(next, r.Checkpoint)
}

// EarlierCheckpoint is the path of the n-th checkpoint before the last one.
func EarlierCheckpoint(path string, n int) string { return fmt.Sprintf("%s.%d", path, n) }

// rotate makes the last checkpoint the first of the earlier ones.
func (r *runner) rotate() error {
	for n := r.Keep; n > 0; n-- {
		from := r.Checkpoint
		if n > 1 {
			from = EarlierCheckpoint(from, n-1)
		}
		if err := os.Rename(from, EarlierCheckpoint(r.Checkpoint, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// open opens a file that save wrote; the reader is nil if there is no such file.
// Any other file is ErrNotCheckpoint.
func (k Kind) open(path string) (*weights.Reader, error) {
	f, err := weights.OpenReader(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w; remove it, or name another file", ErrNotCheckpoint, err)
	}
	if _, ok := f.Metadata[k.Key]; !ok {
		f.Close()
		return nil, fmt.Errorf("%w: %s holds something else; name another file", ErrNotCheckpoint, path)
	}
	return f, nil
}

// load returns where the checkpoint left the run and its tensors; neither, if there
// is no such file.
func (r *runner) load() (position, Tensors, error) {
	fail := func(format string, args ...any) (position, Tensors, error) {
		return position{}, nil, fmt.Errorf("%w: %s: %s; name another file or begin anew", ErrUnusable, r.Checkpoint, fmt.Sprintf(format, args...))
	}
	f, err := r.Kind.open(r.Checkpoint)
	if f == nil {
		return position{}, nil, err
	}
	defer f.Close()
	record := []byte(f.Metadata[r.Kind.Key])
	// The version comes first: what the rest means depends on it.
	var version struct{ Version int }
	if err := json.Unmarshal(record, &version); err != nil {
		return fail("its record is damaged (%v)", err)
	}
	if version.Version > r.Kind.Version {
		return fail("written by a newer version of this program, which can continue it")
	}
	if version.Version < r.Kind.Version {
		return fail("written by an older version of this program, which can continue it")
	}
	var at position
	if err := json.Unmarshal(record, &at); err != nil {
		return fail("its record is damaged (%v)", err)
	}
	differences, err := r.Identity.Differences(at.Run)
	if err != nil {
		return fail("its record is damaged (%v)", err)
	}
	if differences != "" {
		return fail("it belongs to another run (%s)", differences)
	}
	if at.Stage < 0 || at.Stage >= len(r.Stages) || at.Step < 0 || at.Step > r.Stages[at.Stage].Steps || len(at.Times.Stages) != at.Stage {
		return fail("its record is damaged (stage %d, step %d)", at.Stage, at.Step)
	}
	shapes := map[string][]int{}
	for name, size := range r.kept(r.Stages[at.Stage]) {
		shapes[name] = []int{size}
		if r.Average != 0 && f.Has(AverageOf(name)) { // they begin some steps after the run
			shapes[AverageOf(name)] = []int{size}
		}
	}
	if err := f.Match(shapes); err != nil {
		return fail("it is damaged (%v)", err)
	}
	saved := Tensors{}
	for name, shape := range shapes {
		v := make([]float32, shape[0])
		if err := f.Float32s(name, v); err != nil {
			return fail("it is damaged (%v)", err)
		}
		saved[name] = v
	}
	return at, saved, nil
}
