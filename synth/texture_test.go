package synth

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/picture"
)

// plain returns a picture of one colour.
func plain(width, height int, grey uint8) *picture.RGB {
	p := picture.NewRGB(width, height)
	for i := range p.Pix {
		p.Pix[i] = grey
	}
	return p
}

// texturesOnDisk writes four plain pictures, of grey 10, 20, 30 and 40, among files
// of other kinds.
func texturesOnDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, grey := range map[string]uint8{"a.png": 10, "deep/down/b.PNG": 20, "deep/c.png": 30, "d.png": 40} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := picture.WritePNG(path, plain(20, 50, grey).Image()); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"labels.txt", "._a.png", ".cache/e.png"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("no picture"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFolder(t *testing.T) {
	dir := texturesOnDisk(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		link = dir // a system without links
	}
	const size = 3 * 64 * 32
	for _, cache := range []int{-1, 0, size, 2*size + 1, 1 << 30} {
		f, err := OpenFolder(link, cache)
		if err != nil {
			t.Fatal(err)
		}
		if f.Len() != 4 {
			t.Fatalf("%d pictures, want 4", f.Len())
		}
		var mu sync.Mutex
		seen := make(map[uint8]int)
		var group sync.WaitGroup
		for worker := range uint64(3) {
			group.Go(func() {
				dst := picture.NewRGB(64, 32)
				rng := rand.New(rand.NewPCG(worker, 0))
				for range 100 {
					if err := f.Texture(dst, rng); err != nil {
						t.Error(err)
						return
					}
					for _, v := range dst.Pix {
						if v != dst.Pix[0] {
							t.Error("a texture is made of two pictures")
							return
						}
					}
					mu.Lock()
					seen[dst.Pix[0]]++
					mu.Unlock()
				}
			})
		}
		group.Wait()
		for grey := uint8(10); grey <= 40; grey += 10 {
			if seen[grey] < 45 || seen[grey] > 105 {
				t.Errorf("picture of grey %d came up %d times in 300", grey, seen[grey])
			}
		}
		if kept, want := len(f.kept), min(max(cache, 0)/size, 4); kept != want {
			t.Errorf("cache of %d bytes keeps %d pictures, want %d", cache, kept, want)
		}
	}
}

func TestFolderErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenFolder(filepath.Join(dir, "missing"), 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing folder: %v", err)
	}
	if _, err := OpenFolder(dir, 0); !errors.Is(err, dataset.ErrEmpty) || !strings.Contains(err.Error(), dir) {
		t.Errorf("empty folder: %v", err)
	}
	path := filepath.Join(dir, "torn.jpg")
	if err := os.WriteFile(path, []byte("\xff\xd8\xff"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFolder(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	err = f.Texture(picture.NewRGB(32, 32), rand.New(rand.NewPCG(1, 1)))
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("torn picture: %v", err)
	}
}

func TestFolderFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(texturesOnDisk(t), filepath.Join(dir, "elsewhere")); err != nil {
		t.Skip("a system without links")
	}
	if f, err := OpenFolder(dir, 0); err != nil || f.Len() != 4 {
		t.Errorf("folder with a linked one: %v, %v", f, err)
	}
}

func TestFolderCheck(t *testing.T) {
	dir := texturesOnDisk(t)
	const size = 3 * 64 * 32
	f, err := OpenFolder(dir, 3*size)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Check(t.Context()); err != nil || len(f.kept) > 0 {
		t.Errorf("without a generator: %v, %d pictures kept", err, len(f.kept))
	}
	newGenerator(t, Settings{Width: 64, Height: 32, MinOpacity: 1, Textures: f})
	if err := f.Check(t.Context()); err != nil || len(f.kept) != 3 {
		t.Errorf("%v, %d pictures kept, want 3", err, len(f.kept))
	}
	for key, p := range f.kept {
		if p.Width != 64 || p.Height != 32 {
			t.Errorf("%s is kept at %d×%d", f.paths[key.path], p.Width, p.Height)
		}
	}

	torn := []string{filepath.Join(dir, "deep", "torn.jpg"), filepath.Join(dir, "x.png")}
	for _, path := range torn {
		if err := os.WriteFile(path, []byte("\xff\xd8\xff"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if f, err = OpenFolder(dir, 0); err != nil {
		t.Fatal(err)
	}
	if err = f.Check(t.Context()); err == nil {
		t.Fatal("torn pictures pass")
	}
	for _, path := range torn {
		if !strings.Contains(err.Error(), path) {
			t.Errorf("%s is not named: %v", path, err)
		}
	}
	reason := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	if err := f.Check(ctx); !errors.Is(err, reason) {
		t.Errorf("once the context has ended: %v", err)
	}
}

func TestFolderDigest(t *testing.T) {
	digest := func(dir string) string {
		t.Helper()
		f, err := OpenFolder(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		d, err := f.Digest()
		if err != nil || len(d) != 64 {
			t.Fatalf("%q, %v", d, err)
		}
		return d
	}
	dir := texturesOnDisk(t)
	first := digest(dir)
	if other := digest(texturesOnDisk(t) + "/"); other != first {
		t.Error("the digest depends on where the folder is")
	}
	path := filepath.Join(dir, "d.png")
	f, err := OpenFolder(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, filepath.Join(dir, "e.png")); err != nil {
		t.Fatal(err)
	}
	if digest(dir) == first {
		t.Error("a picture of another name has no effect")
	}
	if _, err := f.Digest(); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("a picture that is gone: %v", err)
	}
	if err := picture.WritePNG(path, plain(200, 50, 40).Image()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "e.png")); err != nil {
		t.Fatal(err)
	}
	if digest(dir) == first {
		t.Error("a picture of another size has no effect")
	}
}

// The real textures, where they are at hand.
func TestFolderDTD(t *testing.T) {
	const dir = "../../shared/data/dtd/images"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no texture pictures here")
	}
	f, err := OpenFolder(dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if f.Len() != 1200 {
		t.Errorf("%d pictures, want 1200", f.Len())
	}
	dst := picture.NewRGB(256, 256)
	for seed := range uint64(10) {
		if err := f.Texture(dst, rand.New(rand.NewPCG(seed, 0))); err != nil {
			t.Error(err)
		}
	}
}

func TestProcedural(t *testing.T) {
	const n = 300
	for _, size := range [][2]int{{64, 64}, {32, 32}, {96, 32}, {32, 160}} {
		p, again := picture.NewRGB(size[0], size[1]), picture.NewRGB(size[0], size[1])
		var mean [3]float64
		flat := 0
		for seed := range uint64(n) {
			if err := (Procedural{}).Texture(p, rand.New(rand.NewPCG(seed, 1))); err != nil {
				t.Fatal(err)
			}
			copy(again.Pix, drawn(size[0], size[1], seed).Pix) // every pixel is painted over
			if err := (Procedural{}).Texture(again, rand.New(rand.NewPCG(seed, 1))); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(p.Pix, again.Pix) {
				t.Fatalf("%v, seed %d: two textures from one seed", size, seed)
			}
			var sum, squares float64
			for i, v := range p.Pix {
				mean[i%3] += float64(v)
				sum += float64(v)
				squares += float64(v) * float64(v)
			}
			count := float64(len(p.Pix))
			if math.Sqrt(squares/count-sum/count*sum/count) < 8 {
				flat++
			}
		}
		if flat > n/20 {
			t.Errorf("%v: %d of %d textures are nearly of one colour", size, flat, n)
		}
		for c := range mean {
			mean[c] /= n * float64(size[0]*size[1])
			if mean[c] < 70 || mean[c] > 180 {
				t.Errorf("%v: channel %d has mean %.0f over all textures", size, c, mean[c])
			}
		}
	}
}

func TestHSV(t *testing.T) {
	for _, c := range []struct {
		hue, saturation, value float64
		want                   colour
	}{
		{0, 1, 1, colour{255, 0, 0}},
		{1.0 / 3, 1, 1, colour{0, 255, 0}},
		{2.0 / 3, 1, 1, colour{0, 0, 255}},
		{-1.0 / 6, 1, 1, colour{255, 0, 255}},
		{7.0 / 6, 1, 1, colour{255, 255, 0}},
		{0.5, 1, 0.5, colour{0, 127.5, 127.5}},
		{0.5, 0, 0.5, colour{127.5, 127.5, 127.5}},
	} {
		got := hsv(c.hue, c.saturation, c.value)
		for i := range got {
			if math.Abs(float64(got[i]-c.want[i])) > 1e-3 {
				t.Errorf("hsv(%v, %v, %v) = %v, want %v", c.hue, c.saturation, c.value, got, c.want)
				break
			}
		}
	}
}

func BenchmarkProcedural(b *testing.B) {
	p := picture.NewRGB(256, 256)
	for i := uint64(0); b.Loop(); i++ {
		if err := (Procedural{}).Texture(p, rand.New(rand.NewPCG(1, i))); err != nil {
			b.Fatal(err)
		}
	}
}
