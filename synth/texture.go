package synth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/picture"
)

// Textures supplies the pictures that are blended in under the mask.
type Textures interface {
	// Texture fills dst, whose size is a sample's, with a texture chosen by rng and
	// by nothing else. It may be called concurrently.
	Texture(dst *picture.RGB, rng *rand.Rand) error
}

// Folder is a folder of texture pictures, such as the images of the Describable
// Textures Dataset. Every picture is as likely as any other and is resized to the
// sample's size, as in the published code, whatever that does to its proportions.
type Folder struct {
	dir   string
	paths []string

	mu    sync.Mutex
	size  size // of the samples of the latest generator
	kept  map[resized]*picture.RGB
	space int // bytes by which kept may still grow
}

// size is that of a picture in pixels.
type size struct{ width, height int }

// resized names a picture of the folder at a size.
type resized struct {
	path int
	size size
}

// OpenFolder lists the pictures in a folder and the folders below it, as
// [dataset.Expand] does: told by their extension, hidden files left out, links
// followed. Up to cacheBytes bytes of resized pictures stay in memory: 196,608 each
// at 256×256, which is 1.1 GB for all 5,640 pictures of the dataset.
//
// Pictures are read when they are drawn, or all at once by [Folder.Check]. A folder
// without pictures is [dataset.ErrEmpty].
func OpenFolder(dir string, cacheBytes int) (*Folder, error) {
	paths, failures := dataset.Expand([]string{dir})
	var bad []error
	for _, f := range failures {
		if len(paths) == 0 || !errors.Is(f.Err, dataset.ErrForeign) {
			bad = append(bad, f.Err)
		}
	}
	if len(bad) > 0 {
		return nil, fmt.Errorf("synth: texture folder %w", some(bad))
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("synth: texture folder %s: %w", dir, dataset.ErrEmpty)
	}
	return &Folder{dir: dir, paths: paths, kept: make(map[resized]*picture.RGB), space: cacheBytes}, nil
}

// Len returns the number of pictures.
func (f *Folder) Len() int { return len(f.paths) }

// fit sets the size at which Check keeps pictures.
func (f *Folder) fit(width, height int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.size = size{width, height}
}

// Check decodes every picture, on all processors, and names all that can't be read,
// so that none ends a training halfway. What fits into memory stays there and is not
// decoded again, at the size of the latest generator that [New] made
// with this folder. When ctx ends, the error is its cause.
func (f *Folder) Check(ctx context.Context) error {
	f.mu.Lock()
	to := f.size
	f.mu.Unlock()
	errs := make([]error, len(f.paths))
	workers := runtime.GOMAXPROCS(0)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < len(f.paths) && ctx.Err() == nil; i += workers {
				_, errs[i] = f.picture(resized{i, to})
			}
		})
	}
	group.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	bad := slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(bad) > 0 {
		return fmt.Errorf("synth: textures that can't be read; repair the files or take them out of the texture folder:\n%w", some(bad))
	}
	return nil
}

// some joins errors, as many as one wants to read.
func some(errs []error) error {
	const most = 10
	if len(errs) > most {
		errs = append(errs[:most:most], fmt.Errorf("and %d more", len(errs)-most))
	}
	return errors.Join(errs...)
}

// Digest identifies the list of textures: the hexadecimal SHA-256 of the pictures'
// names relative to the folder and their sizes in bytes. Two folders with the same
// digest make the same anomalies, unless files were changed and kept name and size.
// Errors are those of the file system.
func (f *Folder) Digest() (string, error) {
	h := sha256.New()
	for _, path := range f.paths {
		name, err := filepath.Rel(f.dir, path)
		if err != nil {
			return "", fmt.Errorf("synth: %w", err)
		}
		info, err := os.Stat(path)
		if err != nil {
			return "", fmt.Errorf("synth: texture %w", err)
		}
		fmt.Fprintf(h, "%s\x00%d\n", filepath.ToSlash(name), info.Size())
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Texture copies a random picture of the folder, resized, to dst.
func (f *Folder) Texture(dst *picture.RGB, rng *rand.Rand) error {
	p, err := f.picture(resized{rng.IntN(len(f.paths)), size{dst.Width, dst.Height}})
	if err != nil {
		return fmt.Errorf("%w (repair the file or take it out of the texture folder)", err)
	}
	copy(dst.Pix, p.Pix)
	return nil
}

// picture returns a picture from memory or from its file.
func (f *Folder) picture(key resized) (*picture.RGB, error) {
	f.mu.Lock()
	p := f.kept[key]
	f.mu.Unlock()
	if p != nil {
		return p, nil
	}
	p, err := picture.Open(f.paths[key.path])
	if err != nil || key.size == (size{}) { // no generator yet: there is no size to keep it at
		return p, err
	}
	p = p.Resize(key.size.width, key.size.height)
	f.keep(key, p)
	return p, nil
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
