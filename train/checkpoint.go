package train

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/internal/digest"
	"github.com/destseg/destseg/internal/training"
	"github.com/destseg/destseg/network"
)

var (
	// ErrCheckpoint is wrapped by the error for a checkpoint that this run can't
	// continue: it belongs to another one, or is damaged. Config.Fresh begins
	// anew in its place.
	ErrCheckpoint = training.ErrUnusable
	// ErrNotCheckpoint is wrapped by the error for a file in the checkpoint's
	// place that holds something else. It is never replaced.
	ErrNotCheckpoint = training.ErrNotCheckpoint
)

var checkpointKind = training.Kind{Key: "destseg.checkpoint", Version: 3}

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
	precision, err := engine.PrecisionInForce(c.Engine, c.Options)
	id.Precision = precision.String()
	return id, pictures, err
}

// Differences names what the identity in a checkpoint has not in common with this
// one.
func (id identity) Differences(saved []byte) (string, error) {
	var its identity
	if err := json.Unmarshal(saved, &its); err != nil {
		return "", err
	}
	list := training.Differing(its.Recipe, id.Recipe)
	unlike := func(name string, its, ours any) {
		if its != ours {
			list = append(list, fmt.Sprintf("%s %v, not %v", name, its, ours))
		}
	}
	unlike("engine", its.Engine, id.Engine)
	unlike("precision", its.Precision, id.Precision)
	if its.Pictures != id.Pictures {
		list = append(list, "other good pictures")
	}
	if its.Textures != id.Textures {
		list = append(list, "other textures")
	}
	if its.Teacher != id.Teacher {
		list = append(list, "another teacher")
	}
	return strings.Join(list, "; "), nil
}

// kept returns the sizes of the tensors in a checkpoint, besides momentum, by
// name: everything but the teacher, which the caller has.
func kept() map[string]int {
	sizes := map[string]int{}
	for _, t := range network.Tensors() {
		if t.Part() != network.TeacherPart {
			sizes[t.Name] = t.Shape.Size()
		}
	}
	return sizes
}

// EarlierCheckpoint is the path of the n-th checkpoint before the last one at path,
// for those that Config.Keep keeps.
func EarlierCheckpoint(path string, n int) string { return training.EarlierCheckpoint(path, n) }

// CheckpointSize is about how many bytes a checkpoint takes.
func CheckpointSize() int64 {
	r := trainer{Config: Config{Recipe: Recipe{Width: network.Stride, Height: network.Stride, Batch: 1}}}
	c, err := r.training()
	if err != nil {
		panic(err) // the size above is a valid one
	}
	return c.CheckpointSize()
}
