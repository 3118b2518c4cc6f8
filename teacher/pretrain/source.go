package pretrain

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/internal/digest"
	"github.com/destseg/destseg/internal/training"
	"github.com/destseg/destseg/picture"
)

// ErrSource is wrapped by the error for a set of pictures that can't be learned from.
var ErrSource = errors.New("pretrain: unusable pictures")

// A Source is a set of labelled pictures: a folder or a zip file that holds
// train/CLASS/ and val/CLASS/ with pictures in them, at any depth, or CLASS/ alone, of
// which every twentieth picture is then held back for validation.
type Source struct {
	Path    string
	Weight  float64 // share of the crops, in proportion to those of the other sources
	Classes []string

	train, val []item
	files      fs.FS
	close      func() error
	digest     digest.Digest
}

// An item is one picture, with its class by number.
type item struct {
	name  string
	class int
	kept  *atomic.Pointer[picture.RGB] // decoded, if there is room
}

// holdBack is the part of the pictures for validation where the source has none.
const holdBack = 20

// OpenSource lists the pictures of a folder or zip file. Errors name it and wrap
// [ErrSource] or come from the file system. Close it.
func OpenSource(name string, weight float64) (*Source, error) {
	s, err := openSource(name, weight)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

func openSource(name string, weight float64) (*Source, error) {
	if !(weight > 0 && weight < 1e9) {
		return nil, fmt.Errorf("%w: a share of %v; it is above 0", ErrSource, weight)
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	s := &Source{Path: name, Weight: weight, files: os.DirFS(name), close: func() error { return nil }}
	if !info.IsDir() {
		z, err := zip.OpenReader(name)
		if err != nil {
			return nil, fmt.Errorf("%w: it is neither a folder nor a zip file (%v)", ErrSource, err)
		}
		s.files, s.close = z, z.Close
	}
	if err := s.list(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// Close closes the zip file.
func (s *Source) Close() error { return s.close() }

// Counts returns the number of pictures to learn from and for validation.
func (s *Source) Counts() (train, val int) { return len(s.train), len(s.val) }

// list finds classes and pictures.
func (s *Source) list() error {
	root, folders, err := s.root()
	if err != nil {
		return err
	}
	h := sha256.New()
	if slices.Contains(folders, "train") {
		classes, err := subfolders(s.files, path.Join(root, "train"))
		if err != nil {
			return err
		}
		s.Classes = classes
		if s.train, err = s.pictures(h, path.Join(root, "train")); err != nil {
			return err
		}
		if slices.Contains(folders, "val") {
			if s.val, err = s.pictures(h, path.Join(root, "val")); err != nil {
				return err
			}
		}
	} else {
		s.Classes = folders
		if s.train, err = s.pictures(h, root); err != nil {
			return err
		}
	}
	s.dropEmpty()
	if len(s.val) == 0 {
		var kept []item
		for i, p := range s.train {
			if i%holdBack == holdBack-1 {
				s.val = append(s.val, p)
			} else {
				kept = append(kept, p)
			}
		}
		s.train = kept
	}
	if len(s.Classes) < 2 || len(s.train) == 0 {
		return fmt.Errorf("%w: %d classes with %d pictures; it must hold train/CLASS/ or CLASS/ with pictures in them", ErrSource, len(s.Classes), len(s.train))
	}
	s.digest = digest.Digest(h.Sum(nil))
	return nil
}

// dropEmpty takes away the classes that have no picture to learn from, and what is
// there to validate them.
func (s *Source) dropEmpty() {
	counts := make([]int, len(s.Classes))
	for _, i := range s.train {
		counts[i.class]++
	}
	numbers := make([]int, len(s.Classes)) // new ones
	var classes []string
	for class, name := range s.Classes {
		numbers[class] = len(classes)
		if counts[class] > 0 {
			classes = append(classes, name)
		}
	}
	s.val = slices.DeleteFunc(s.val, func(i item) bool { return counts[i.class] == 0 })
	for _, items := range [][]item{s.train, s.val} {
		for k := range items {
			items[k].class = numbers[items[k].class]
		}
	}
	s.Classes = classes
}

// root returns the folder that holds the classes, past folders that hold nothing else, and the
// folders in it.
func (s *Source) root() (string, []string, error) {
	root := "."
	for {
		folders, err := subfolders(s.files, root)
		if err != nil || len(folders) != 1 || folders[0] == "train" {
			return root, folders, err
		}
		root = path.Join(root, folders[0])
	}
}

func subfolders(files fs.FS, name string) ([]string, error) {
	entries, err := fs.ReadDir(files, name)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && !hidden(e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// hidden reports whether a folder is one that programs make for themselves.
func hidden(name string) bool { return strings.HasPrefix(name, ".") || name == "__MACOSX" }

// pictures lists the pictures in the class folders of a folder, in order, and
// takes their names and sizes into the digest.
func (s *Source) pictures(h hash.Hash, root string) ([]item, error) {
	var items []item
	for class, name := range s.Classes {
		folder := path.Join(root, name)
		err := fs.WalkDir(s.files, folder, func(name string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && name == folder {
				return fs.SkipDir // a class without validation pictures
			}
			if err != nil {
				return err
			}
			if d.IsDir() && name != folder && hidden(d.Name()) {
				return fs.SkipDir
			}
			if d.IsDir() || hidden(d.Name()) || !dataset.IsPicture(name) {
				return nil
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			fmt.Fprintln(h, name, info.Size())
			items = append(items, item{name, class, new(atomic.Pointer[picture.RGB])})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return items, nil
}

// A store decodes pictures and keeps as many as fit into its limit.
type store struct {
	limit, used int64
	mu          sync.Mutex
	shortest    int // side to which larger pictures are shrunk
}

// get returns a picture of a source, which belongs to the store.
func (t *store) get(s *Source, i item) (*picture.RGB, error) {
	if p := i.kept.Load(); p != nil {
		return p, nil
	}
	p, err := decode(s.files, i.name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(s.Path, filepath.FromSlash(i.name)), err)
	}
	if short := min(p.Width, p.Height); short > t.shortest {
		p = p.Resize(max(p.Width*t.shortest/short, 1), max(p.Height*t.shortest/short, 1))
	}
	size := int64(len(p.Pix))
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.used+size <= t.limit && i.kept.CompareAndSwap(nil, p) {
		t.used += size
	}
	return p, nil
}

func decode(files fs.FS, name string) (*picture.RGB, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := picture.Decode(f)
	if errors.Is(err, zip.ErrChecksum) || errors.Is(err, zip.ErrFormat) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w; the zip file is damaged, copy it again", err)
	}
	return p, err
}

// check decodes every picture once, keeps what fits, and reports those that can't
// be read. progress may be nil.
func (t *store) check(ctx context.Context, sources []*Source, progress func(done, total int)) error {
	type picture struct {
		*Source
		item
	}
	var all []picture
	for _, s := range sources {
		for _, i := range slices.Concat(s.train, s.val) {
			all = append(all, picture{s, i})
		}
	}
	errs := make([]error, len(all))
	var done atomic.Int64
	var group sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	var report sync.Mutex
	for w := range workers {
		group.Go(func() {
			for i := w; i < len(all) && ctx.Err() == nil; i += workers {
				_, errs[i] = t.get(all[i].Source, all[i].item)
				if n := done.Add(1); progress != nil && (n%100 == 0 || int(n) == len(all)) {
					report.Lock()
					progress(int(n), len(all))
					report.Unlock()
				}
			}
		})
	}
	group.Wait()
	return training.Unreadable(ErrSource, errs)
}
