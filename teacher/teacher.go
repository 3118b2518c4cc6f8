// Package teacher says where teachers come from: the ResNet-18 that DeSTSeg
// (Zhang et al., CVPR 2023, section 3.2) compares its student with is embedded
// here, or read from a file.
//
// # The embedded teacher
//
// It is a ResNet-18 (stem and stages 1 to 3) that was trained for this project
// from nothing, in one hour on two processor cores: 200 classes of objects at
// 64×64 pixels, 101 classes of objects and 10 classes of textures together, one
// softmax over the 311 of them, random crops of 64 to 128 pixels, SGD. It
// classifies 41.8 % of 10,000 held-back pictures of the 200 classes correctly. A
// teacher that was trained on ImageNet at full size has seen far more; [Load] takes
// any such file. Most of the pictures that this one learned from come under terms
// for research; check these before you sell a product that uses it.
//
// The file holds the convolutions in half precision and the vectors of the batch
// norms in single, 5.6 MB in place of 11.2. Rounding the convolutions moved the
// features T1, T2 and T3 of two pictures of 256×256 by at most 7.1·10⁻⁴ (L2 of the
// difference over L2), a tenth of what computing in bf16 does, and a pixel's
// feature by a cosine distance of 3.5·10⁻⁷ on average. A detector learns from the
// rounded values and carries these, so nothing is rounded again later.
//
// Importing this package puts the file into the program. Inspecting pictures
// needs no teacher besides the one within the detector.
package teacher

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"

	"github.com/destseg/destseg/internal/digest"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/weights"
)

// Builtin is the name of the embedded teacher.
const Builtin = "builtin"

// ErrUnsuitable is wrapped by the error for a weight file without a usable
// ResNet-18.
var ErrUnsuitable = errors.New("no usable ResNet-18 teacher")

//go:embed resnet18.safetensors
var embedded []byte

// A Teacher is the frozen network of a detector.
type Teacher struct {
	// Name is [Builtin], or the file's name without its folder.
	Name string
	// Digest is the SHA-256 of the file's bytes, hexadecimal.
	Digest string
	// Weights holds the values by published name (teacher_net.encoder.…),
	// row-major: every tensor of [network.TeacherPart].
	Weights map[string][]float32
}

// Load returns the teacher that spec names: the embedded one for "" or
// [Builtin], else that of the safetensors or PyTorch file at the path spec. The
// file may hold a ResNet-18 as torchvision and timm name its tensors (what
// teachers don't use, stage 4 and the classifier, may be there or not), or one
// under the prefix teacher_net.encoder, as in the published checkpoints and in
// detectors.
//
// Errors name the file, and the tensors that are missing or have another shape.
// They wrap [ErrUnsuitable], an error of package weights, or one of the file
// system.
func Load(spec string) (Teacher, error) {
	if spec == "" || spec == Builtin {
		f, err := weights.ReadSafetensors(bytes.NewReader(embedded), int64(len(embedded)))
		if err != nil {
			return Teacher{}, fmt.Errorf("embedded teacher: %w", err)
		}
		return fromFile(f, Builtin, sha256.Sum256(embedded))
	}
	f, err := weights.Open(spec)
	if err != nil {
		return Teacher{}, err
	}
	sum, err := digest.File(spec)
	if err != nil {
		return Teacher{}, err
	}
	t, err := fromFile(f, filepath.Base(spec), sum)
	if err != nil {
		return Teacher{}, fmt.Errorf("%s: %w", spec, err)
	}
	return t, nil
}

// prefix begins the published names of the teacher's tensors.
const prefix = "teacher_net.encoder."

func fromFile(f *weights.File, name string, sum digest.Digest) (Teacher, error) {
	want := map[string][]int{}
	for _, t := range network.Tensors() {
		if t.Part() == network.TeacherPart {
			want[t.Name] = t.Shape
		}
	}
	// Besides the published names: bare, and as part of a greater network.
	values, err := f.Match(want,
		weights.Rewrite{Want: prefix, File: ""},
		weights.Rewrite{Want: prefix, File: "encoder."},
		weights.Rewrite{Want: prefix, File: "backbone."})
	if err == nil {
		err = checkFinite(values)
	}
	if err != nil {
		return Teacher{}, fmt.Errorf("%w: %w", ErrUnsuitable, err)
	}
	return Teacher{Name: name, Digest: sum.String(), Weights: values}, nil
}

func checkFinite(values map[string][]float32) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for i, v := range values[name] {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return fmt.Errorf("value %d of tensor %q is %v", i, network.TeacherName(name), v)
			}
		}
	}
	return nil
}
