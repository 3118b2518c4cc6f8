package teacher

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/destseg/destseg/internal/digest"
	"github.com/destseg/destseg/internal/download"
)

var (
	// ErrNotFetched is wrapped by the error for a teacher that is not in the cache.
	ErrNotFetched = errors.New("has not been fetched")
	// ErrOther is wrapped by the error for a file that is not that of a [Source].
	ErrOther = download.ErrDigest
)

// A Source is a weight file that its makers publish.
type Source struct {
	URL    string
	Digest string // SHA-256, hexadecimal
	Size   int64  // bytes
}

// Torchvision is the ResNet-18 that torchvision calls IMAGENET1K_V1, trained on the
// 1000 classes of ImageNet. The first 8 digits of the digest are part of the file's
// name, by which torchvision checks its downloads; projects that pin the file agree
// on the whole digest and the size.
func Torchvision() Source {
	return Source{
		URL:    "https://download.pytorch.org/models/resnet18-f37072fd.pth",
		Digest: "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
		Size:   46_830_571,
	}
}

// File is the file's name.
func (s Source) File() string { return path.Base(s.URL) }

// A Cache is a folder that keeps the teacher of a source, converted.
type Cache struct {
	Folder string
	Source Source
}

// UserCache is the cache of the user who runs the program: the folder
// destseg/teachers in that of [os.UserCacheDir].
func UserCache(s Source) (Cache, error) {
	folder, err := os.UserCacheDir()
	if err != nil {
		return Cache{}, fmt.Errorf("the folder for caches is not known: %w", err)
	}
	return Cache{filepath.Join(folder, "destseg", "teachers"), s}, nil
}

// Path is the file that holds the teacher.
func (c Cache) Path() string { return filepath.Join(c.Folder, ImageNet+".safetensors") }

// Load returns the teacher, under the name [ImageNet] and the source's digest. It is
// checked against the digest of its values that [Cache.Import] wrote beside them.
//
// Errors name the file and the remedy. They wrap [ErrNotFetched], [ErrUnsuitable], an
// error of package weights, or one of the file system.
func (c Cache) Load() (Teacher, error) {
	kept, err := c.open()
	if err != nil {
		return Teacher{}, err
	}
	return kept.teacher()
}

// Describe looks into the file that the cache holds, as the function [Describe] does.
func (c Cache) Describe() (Description, error) {
	kept, err := c.open()
	if err != nil {
		return Description{}, err
	}
	return kept.describe(), nil
}

// open reads the file.
func (c Cache) open() (candidate, error) {
	kept, err := openFile(c.Path(), nil)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return candidate{}, fmt.Errorf("the teacher %s %w: there is no %s; destseg teacher fetch downloads it, destseg teacher import FILE takes it from a file",
			ImageNet, ErrNotFetched, c.Path())
	case err != nil:
		return candidate{}, replaceable(err)
	}
	kept.name, kept.from = ImageNet, &c.Source
	return kept, nil
}

// check makes sure that the values are those that came from the source.
func (c candidate) check(values map[string][]float32) error {
	origin, err := originOf(c.file)
	switch {
	case err != nil:
		return err
	case origin == nil || origin.Digest != c.from.Digest:
		return fmt.Errorf("it was not made from %s", c.from.File())
	case origin.Values != valuesDigest(values).String():
		return errors.New("its values have changed since it was written")
	}
	return nil
}

// replaceable adds the remedy to what is wrong with a file in the cache.
func replaceable(err error) error {
	return fmt.Errorf("%w; destseg teacher fetch --force replaces it", err)
}

// Import takes the teacher from a file that is the source's, byte for byte. What was
// in the cache is replaced. A file with another digest is [ErrOther].
func (c Cache) Import(path string) error {
	sum, err := digest.File(path)
	if err != nil {
		return err
	}
	if sum.String() != c.Source.Digest {
		return fmt.Errorf("%s: %w: its SHA-256 is %s, not the %s of %s", path, ErrOther, sum, c.Source.Digest, c.Source.File())
	}
	original, err := openFile(path, nil)
	if err != nil {
		return err
	}
	t, err := original.teacher()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Folder, 0o777); err != nil {
		return err
	}
	t.Name = ImageNet
	return Save(c.Path(), t)
}
