// Package teacher says where teachers come from: the ResNet-18 that DeSTSeg
// (Zhang et al., CVPR 2023, section 3.2) compares its student with is embedded
// here, fetched, or read from a file.
//
// # The embedded teacher
//
// It is a ResNet-18 (stem and stages 1 to 3) that was trained for this project from
// nothing, by package pretrain: 200 classes of objects at 64×64 pixels, 101 classes of
// objects and 10 classes of textures together. It classifies 56.9 % of 4,000 held-back
// pictures of the 200 classes correctly; docs/teacher.md tells how it was made, what
// detectors make of it, and the terms of the pictures: most come under those for research,
// so check them before you sell a product that uses this teacher. One that was trained on
// ImageNet at full size has seen far more; [Load] takes any such file.
//
// The file holds the convolutions in half precision and the vectors of the batch
// norms in single. A detector learns from the rounded values and carries these, so nothing
// is rounded again later.
//
// # Other teachers
//
// [ImageNet] names torchvision's ResNet-18, which the paper uses: a download of 45 MiB
// that a [Cache] keeps. A path names any other file with a ResNet-18.
//
// # In a detector
//
// A detector carries its teacher's weights, name and digest. The digest is the
// SHA-256 of the file that the weights come from, as it was published: of torchvision's
// file for [ImageNet], although the cache holds another one that was made from it, and
// of the file itself for a path. So anybody can compare it with sha256sum.
//
// Importing this package puts the embedded file into the program. Inspecting pictures
// needs no teacher besides the one within the detector.
package teacher

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/destseg/destseg/internal/digest"
	"github.com/destseg/destseg/weights"
)

// The teachers that have a name. A file of the same name is named by a path, as in
// ./builtin.
const (
	Builtin  = "builtin"  // the embedded one
	ImageNet = "imagenet" // torchvision's, see [Torchvision]
)

// ErrUnsuitable is wrapped by the error for a weight file without a usable
// ResNet-18.
var ErrUnsuitable = errors.New("no usable ResNet-18 teacher")

//go:embed resnet18.safetensors
var embedded []byte

// A Teacher is the frozen network of a detector.
type Teacher struct {
	// Name is [Builtin], [ImageNet], or the file's name without its folder.
	Name string
	// Digest is the SHA-256, hexadecimal, of the file that the weights come from. See
	// the package comment.
	Digest string
	// Weights holds the values by published name (teacher_net.encoder.…),
	// row-major: every tensor of [network.TeacherPart].
	Weights map[string][]float32
	// Pretraining is the record of package pretrain that the file holds; nil for none.
	Pretraining json.RawMessage
}

// An Option says how to read a file.
type Option func(*options)

type options struct{ prefix *string }

// WithPrefix takes the ResNet-18 whose tensors have a prefix before their names, as in
// "encoder_q.", from a file that holds several.
func WithPrefix(prefix string) Option { return func(o *options) { o.prefix = &prefix } }

// Load returns the teacher that spec names: the embedded one for "" or [Builtin],
// torchvision's out of the user's cache for [ImageNet], else that of the safetensors or
// PyTorch file at the path spec. The file may hold a ResNet-18 as torchvision and timm
// name its tensors, under any prefix; what teachers don't use, stage 4 and the
// classifier, may be there or not. Of several that are complete the bare one is taken,
// else that under teacher_net.encoder, as in the published checkpoints and in
// detectors; else [WithPrefix] must name one.
//
// Errors name the file, and the tensors that are missing, have another shape, or show
// that it is another network. They wrap [ErrUnsuitable], [ErrNotFetched], an error of
// package weights, or one of the file system.
func Load(spec string, options ...Option) (Teacher, error) {
	c, err := find(spec, options)
	if err != nil {
		return Teacher{}, err
	}
	return c.teacher()
}

// A candidate is a file that may hold a teacher.
type candidate struct {
	trunk
	name   string // of the teacher
	path   string // empty for the embedded one
	size   int64  // bytes
	digest digest.Digest
	from   *Source // that it must have been made from; nil for files of the user
}

// find opens what spec names.
func find(spec string, options []Option) (candidate, error) {
	switch spec {
	case "", Builtin:
		f, err := weights.ReadSafetensors(bytes.NewReader(embedded), int64(len(embedded)))
		if err != nil {
			return candidate{}, fmt.Errorf("embedded teacher: %w", err)
		}
		return candidate{trunk: findTrunk(f), name: Builtin, size: int64(len(embedded)), digest: sha256.Sum256(embedded)}, nil
	case ImageNet:
		cache, err := UserCache(Torchvision())
		if err != nil {
			return candidate{}, err
		}
		return cache.open()
	}
	return openFile(spec, options)
}

func openFile(path string, list []Option) (candidate, error) {
	var o options
	for _, option := range list {
		option(&o)
	}
	f, err := weights.Open(path)
	if err != nil {
		return candidate{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return candidate{}, err
	}
	sum, err := digest.File(path)
	if err != nil {
		return candidate{}, err
	}
	t := findTrunk(f)
	if o.prefix != nil {
		t.prefix, t.rivals = *o.prefix, nil
	}
	return candidate{trunk: t, name: filepath.Base(path), path: path, size: info.Size(), digest: sum}, nil
}

// values returns what the file holds by published name, if it is a teacher, or why it
// is none.
func (c candidate) values() (map[string][]float32, error) {
	values, err := c.weights()
	if err == nil && c.from != nil {
		err = c.check(values)
	}
	return values, err
}

// teacher returns what the file holds, if it is a teacher. The error names the file.
func (c candidate) teacher() (Teacher, error) {
	values, err := c.values()
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrUnsuitable, err)
		if c.path != "" {
			err = fmt.Errorf("%s: %w", c.path, err)
		}
		if c.from != nil {
			err = replaceable(err)
		}
		return Teacher{}, err
	}
	return Teacher{c.name, c.sourceDigest(), values, pretrainingOf(c.file)}, nil
}

// sourceDigest is that of the file that the weights come from.
func (c candidate) sourceDigest() string {
	if c.from != nil {
		return c.from.Digest
	}
	return c.digest.String()
}
