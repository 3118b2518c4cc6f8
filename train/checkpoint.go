package train

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/internal/digest"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/weights"
)

var (
	// ErrCheckpoint is wrapped by the error for a checkpoint that this run can't
	// continue: it belongs to another one, or is damaged. Config.Fresh begins
	// anew in its place.
	ErrCheckpoint = errors.New("train: unusable checkpoint")
	// ErrNotCheckpoint is wrapped by the error for a file in the checkpoint's
	// place that holds something else. It is never replaced.
	ErrNotCheckpoint = errors.New("train: not a checkpoint")
)

const (
	checkpointKey     = "destseg.checkpoint" // in the metadata of the safetensors file
	checkpointVersion = 2
)

// position is how far a run has come: Step steps of Stage are done.
type position struct {
	Version int      `json:"version"`
	Run     identity `json:"run"`
	Stage   int      `json:"stage"`
	Step    int      `json:"step"`
	Times   times    `json:"times"`
}

// times are wall-clock times of a run and of those that it continues.
type times struct {
	Elapsed time.Duration `json:"elapsed_ns"`
	Student time.Duration `json:"student_ns"` // of Elapsed, until stage 1 was done
	Waited  time.Duration `json:"waited_ns"`  // of Elapsed, spent by the engine on waiting for pictures
}

// An identity is what a run depends on: two runs with the same one compute the
// same, up to the number of threads. Paths are no part of it.
type identity struct {
	Recipe    Recipe `json:"recipe"`
	Pictures  string `json:"pictures"` // digest of the good pictures in their order
	Textures  string `json:"textures"` // their digest, or their type
	Teacher   string `json:"teacher"`  // digest of its values
	Engine    string `json:"engine"`
	Precision string `json:"precision"` // in force
}

// identify reads all files that the run depends on. It returns the digests of the
// good pictures too.
func (c Config) identify(ctx context.Context) (identity, []digest.Digest, error) {
	pictures, err := digest.Files(ctx, c.Good)
	if err != nil {
		return identity{}, nil, err
	}
	id := identity{
		Recipe: c.Recipe, Pictures: digest.List(pictures).String(), Textures: fmt.Sprintf("%T", c.Textures),
		Engine: c.Engine.Name(),
	}
	if textures, ok := c.Textures.(interface{ Digest() (string, error) }); ok {
		if id.Textures, err = textures.Digest(); err != nil {
			return identity{}, nil, err
		}
	}
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(c.Teacher)) {
		fmt.Fprintln(h, name)
		if err := binary.Write(h, binary.LittleEndian, c.Teacher[name]); err != nil {
			return identity{}, nil, err
		}
	}
	id.Teacher = digest.Digest(h.Sum(nil)).String()
	precision, err := precisionOf(c.Engine, c.Options)
	id.Precision = precision.String()
	return id, pictures, err
}

// precisionOf asks an engine what it will compute in, by way of a small program.
func precisionOf(e engine.Engine, o engine.Options) (engine.Precision, error) {
	g := &graph.Graph{}
	g.Output("y", g.Affine(g.Input("x", 1, 1, 4, 4), 1, 0))
	p, err := e.Compile(g, o)
	if err != nil {
		return 0, err
	}
	defer p.Close()
	return p.Precision(), nil
}

// differences names what an identity has not in common with that of a run.
func (id identity) differences(run identity) string {
	var list []string
	unlike := func(name string, its, ours any) {
		if its != ours {
			list = append(list, fmt.Sprintf("%s %v, not %v", name, its, ours))
		}
	}
	its, ours := reflect.ValueOf(id.Recipe), reflect.ValueOf(run.Recipe)
	for i := range its.NumField() {
		name := strings.ReplaceAll(its.Type().Field(i).Tag.Get("json"), "_", " ")
		unlike(name, its.Field(i).Interface(), ours.Field(i).Interface())
	}
	unlike("engine", id.Engine, run.Engine)
	unlike("precision", id.Precision, run.Precision)
	if id.Pictures != run.Pictures {
		list = append(list, "other good pictures")
	}
	if id.Textures != run.Textures {
		list = append(list, "other textures")
	}
	if id.Teacher != run.Teacher {
		list = append(list, "another teacher")
	}
	return strings.Join(list, "; ")
}

// tensors are values by name, with the shapes known elsewhere.
type tensors map[string][]float32

// kept returns the sizes of the tensors in a checkpoint within a stage, by name:
// everything but the teacher, which the caller has, and the momentum of a stage
// that is over.
func (s stage) kept() map[string]int {
	sizes := map[string]int{}
	for _, t := range network.Tensors() {
		if t.Part() != network.TeacherPart {
			sizes[t.Name] = t.Shape.Size()
		}
	}
	for _, u := range s.graph.Updates {
		sizes[u.Variable.Name] = u.Variable.Shapes[0].Size()
	}
	return sizes
}

// CheckpointSize is about how many bytes a checkpoint takes.
func CheckpointSize() int64 {
	r := trainer{Config: Config{Recipe: Recipe{Width: network.Stride, Height: network.Stride, Batch: 1}}}
	stages, err := r.stages()
	if err != nil {
		panic(err) // the size above is a valid one
	}
	var largest int64
	for _, s := range stages {
		var elements int64
		for _, size := range s.kept() {
			elements += int64(size)
		}
		largest = max(largest, elements)
	}
	return 4 * largest // float32
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

// openCheckpoint opens a file that saveCheckpoint wrote and returns its record's
// text; the reader is nil if there is no such file. Any other file is
// ErrNotCheckpoint.
func openCheckpoint(path string) (*weights.Reader, string, error) {
	f, err := weights.OpenReader(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w; remove it, or name another file", ErrNotCheckpoint, err)
	}
	record, ok := f.Metadata[checkpointKey]
	if !ok {
		f.Close()
		return nil, "", fmt.Errorf("%w: %s holds something else; name another file", ErrNotCheckpoint, path)
	}
	return f, record, nil
}

// loadCheckpoint returns a nil state if there is no such file.
func loadCheckpoint(path string, run identity, stages []stage) (position, tensors, error) {
	fail := func(format string, args ...any) (position, tensors, error) {
		return position{}, nil, fmt.Errorf("%w: %s: %s; name another file or begin anew", ErrCheckpoint, path, fmt.Sprintf(format, args...))
	}
	f, record, err := openCheckpoint(path)
	if f == nil {
		return position{}, nil, err
	}
	defer f.Close()
	// The version comes first: what the rest means depends on it.
	var version struct{ Version int }
	if err := json.Unmarshal([]byte(record), &version); err != nil {
		return fail("its record is damaged (%v)", err)
	}
	if version.Version > checkpointVersion {
		return fail("written by a newer version of this program, which can continue it")
	}
	if version.Version < checkpointVersion {
		return fail("written by an older version of this program, which can continue it")
	}
	var at position
	if err := json.Unmarshal([]byte(record), &at); err != nil {
		return fail("its record is damaged (%v)", err)
	}
	if at.Run != run {
		return fail("it belongs to another run (%s)", at.Run.differences(run))
	}
	if at.Stage < 1 || at.Stage > len(stages) || at.Step < 0 || at.Step > stages[at.Stage-1].steps {
		return fail("its record is damaged (stage %d, step %d)", at.Stage, at.Step)
	}
	shapes := map[string][]int{}
	for name, size := range stages[at.Stage-1].kept() {
		shapes[name] = []int{size}
	}
	if err := f.Match(shapes); err != nil {
		return fail("it is damaged (%v)", err)
	}
	state := tensors{}
	for name, shape := range shapes {
		v := make([]float32, shape[0])
		if err := f.Float32s(name, v); err != nil {
			return fail("it is damaged (%v)", err)
		}
		state[name] = v
	}
	return at, state, nil
}

// finite reports whether a loss is a number.
func finite(v float32) bool { return !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0) }
