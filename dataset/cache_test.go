package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/destseg/destseg/picture"
)

// paint writes a picture of one colour.
func paint(t *testing.T, path string, width, height int, colour uint8) {
	t.Helper()
	p := picture.NewRGB(width, height)
	for i := range p.Pix {
		p.Pix[i] = colour
	}
	if err := picture.WritePNG(path, p.Image()); err != nil {
		t.Fatal(err)
	}
}

func TestCacheKeepsWhatFits(t *testing.T) {
	folder := t.TempDir()
	var paths []string
	for i := range 3 {
		paths = append(paths, filepath.Join(folder, fmt.Sprintf("%d.png", i)))
		paint(t, paths[i], 10, 6, uint8(10*i))
	}
	c := NewCache(Resized(4, 4), 2*4*4*3) // room for two
	first := make([]*picture.RGB, 3)
	for i, path := range paths {
		p, err := c.Get(path)
		if err != nil {
			t.Fatal(err)
		}
		if p.Width != 4 || p.Height != 4 || p.Pix[0] != uint8(10*i) {
			t.Errorf("picture %d: %d×%d of %d", i, p.Width, p.Height, p.Pix[0])
		}
		first[i] = p
	}
	for i, path := range paths {
		p, err := c.Get(path)
		if err != nil {
			t.Fatal(err)
		}
		if kept := p == first[i]; kept != (i < 2) {
			t.Errorf("picture %d: kept %v", i, kept)
		}
	}
}

func TestCacheDecodesOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.png")
	paint(t, path, 300, 300, 7)
	c := NewCache(Resized(8, 8), 1<<20)
	got := make([]*picture.RGB, 8)
	var wait sync.WaitGroup
	for i := range got {
		wait.Go(func() {
			p, err := c.Get(path)
			if err != nil {
				t.Error(err)
			}
			got[i] = p
		})
	}
	wait.Wait()
	for _, p := range got {
		if p != got[0] {
			t.Fatal("the picture was decoded more than once")
		}
	}
}

func TestCacheForgetsErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.png")
	c := NewCache(Resized(8, 8), 1<<20)
	if _, err := c.Get(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	paint(t, path, 3, 3, 7)
	if _, err := c.Get(path); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("gone bad"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(path); err != nil {
		t.Errorf("a kept picture was read again: %v", err)
	}
}
