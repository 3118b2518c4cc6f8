package synth

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"

	"github.com/destseg/destseg/picture"
)

// Textures supplies the pictures that are blended in under the mask.
type Textures interface {
	// Texture fills dst, whose size is a sample's, with a texture chosen by rng and
	// by nothing else. It may be called concurrently.
	Texture(dst *picture.RGB, rng *rand.Rand) error
}

// ErrNoTextures says that a texture folder holds no picture.
var ErrNoTextures = errors.New("no pictures")

// Folder is a folder of texture pictures, such as the images of the Describable
// Textures Dataset. Every picture is as likely as any other and is resized to the
// sample's size, as in the published code, whatever that does to its proportions.
type Folder struct {
	paths []string

	mu    sync.Mutex
	kept  map[resized]*picture.RGB
	space int // bytes by which kept may still grow
}

// resized names a picture of the folder at a size.
type resized struct{ path, width, height int }

// OpenFolder lists the pictures (.png, .jpg, .jpeg, .bmp, .tif, .tiff, .webp) in a
// folder and the folders below it, hidden files left out. Up to cacheBytes bytes of
// resized pictures stay in memory: 196,608 each at 256×256, which is 1.1 GB for all
// 5,640 pictures of the dataset.
//
// Pictures are read when they are drawn; the errors of Texture name the file. A
// folder without pictures is [ErrNoTextures].
func OpenFolder(dir string, cacheBytes int) (*Folder, error) {
	root, err := filepath.EvalSymlinks(dir) // a walk does not follow its own root
	if err != nil {
		return nil, fmt.Errorf("synth: texture folder: %w", err)
	}
	f := &Folder{kept: make(map[resized]*picture.RGB), space: cacheBytes}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != root && strings.HasPrefix(entry.Name(), ".") {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.IsDir() && isPicture(entry.Name()) {
			f.paths = append(f.paths, path)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("synth: texture folder: %w", err)
	}
	if len(f.paths) == 0 {
		return nil, fmt.Errorf("synth: texture folder %s: %w (PNG, JPEG, BMP, TIFF, WebP) in it or below it", dir, ErrNoTextures)
	}
	return f, nil
}

// Len returns the number of pictures.
func (f *Folder) Len() int { return len(f.paths) }

// Texture copies a random picture of the folder, resized, to dst.
func (f *Folder) Texture(dst *picture.RGB, rng *rand.Rand) error {
	i := rng.IntN(len(f.paths))
	key := resized{i, dst.Width, dst.Height}
	f.mu.Lock()
	p := f.kept[key]
	f.mu.Unlock()
	if p == nil {
		read, err := picture.Open(f.paths[i])
		if err != nil {
			return fmt.Errorf("%w (repair the file or take it out of the texture folder)", err)
		}
		p = read.Resize(dst.Width, dst.Height)
		f.keep(key, p)
	}
	copy(dst.Pix, p.Pix)
	return nil
}

// keep stores a picture while there is space. Draws are uniform, so pictures that
// came first are as good to keep as any, and none is ever replaced.
func (f *Folder) keep(key resized, p *picture.RGB) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.kept[key]; !ok && len(p.Pix) <= f.space {
		f.kept[key] = p
		f.space -= len(p.Pix)
	}
}

func isPicture(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp":
		return true
	}
	return false
}
