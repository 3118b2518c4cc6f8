package pretrain

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
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
// which every twentieth picture is then held back for validation. Links are followed.
type Source struct {
	Path    string
	Weight  float64 // share of the crops, in proportion to those of the other sources
	Classes []string

	train, val []item
	files      fs.FS
	close      func() error
	digest     digest.Digest
}

// An item is one picture.
type item struct {
	name   string
	class  int // its number
	number int // of the picture among those of its source, to learn from or not
}

// holdBack is the part of the pictures for validation where the source has none.
const holdBack = 20

// OpenSource lists the pictures of a folder or zip file. Errors name it and wrap
// [ErrSource] or come from the file system. Close it.
func OpenSource(name string, weight float64) (*Source, error) {
	if !(weight > 0 && weight < 1e9) {
		return nil, fmt.Errorf("%w: %s: a share of %v; it is above 0", ErrSource, name, weight)
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	s := &Source{Path: name, Weight: weight, files: os.DirFS(name), close: func() error { return nil }}
	if !info.IsDir() {
		z, err := zip.OpenReader(name)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: it is neither a folder nor a zip file (%v)", ErrSource, name, err)
		}
		s.files, s.close = z, z.Close
	}
	if err := s.list(); err != nil {
		s.close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(s.Classes) < 2 || len(s.train) == 0 {
		s.close()
		return nil, fmt.Errorf("%w: %s: classes with pictures: %d; it takes two at least, as folders train/CLASS/ or CLASS/", ErrSource, name, len(s.Classes))
	}
	return s, nil
}

// Close closes the zip file.
func (s *Source) Close() error { return s.close() }

// Counts returns the number of pictures to learn from and for validation.
func (s *Source) Counts() (train, val int) { return len(s.train), len(s.val) }

// Name is that of the folder or file, without its own folder.
func (s *Source) Name() string { return filepath.Base(s.Path) }

// list finds classes and pictures.
func (s *Source) list() error {
	root, classes, err := s.root()
	if err != nil {
		return err
	}
	train, val := root, ""
	if slices.Contains(classes, "train") {
		inside, err := s.subfolders(path.Join(root, "train"))
		if err != nil {
			return err
		}
		if len(inside) > 0 { // else it is a class of that name
			train, val, classes = path.Join(root, "train"), path.Join(root, "val"), inside
		}
	}
	s.Classes = classes
	h := sha256.New()
	note := func(name string, size int64) { // past folders around all, which differ from copy to copy
		fmt.Fprintln(h, strings.TrimPrefix(name, root+"/"), size)
	}
	if s.train, err = s.pictures(train, note); err != nil {
		return err
	}
	if val != "" {
		if s.val, err = s.pictures(val, note); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	s.digest = digest.Digest(h.Sum(nil))
	s.dropEmpty()
	if len(s.val) == 0 {
		s.holdBack()
	}
	for i := range s.train {
		s.train[i].number = i
	}
	for i := range s.val {
		s.val[i].number = len(s.train) + i
	}
	return nil
}

// holdBack takes pictures for validation from those to learn from, but never the last
// one of a class.
func (s *Source) holdBack() {
	left := s.perClass()
	var kept []item
	for i, p := range s.train {
		if i%holdBack == holdBack-1 && left[p.class] > 1 {
			s.val = append(s.val, p)
			left[p.class]--
		} else {
			kept = append(kept, p)
		}
	}
	s.train = kept
}

// perClass counts the pictures to learn from.
func (s *Source) perClass() []int {
	counts := make([]int, len(s.Classes))
	for _, i := range s.train {
		counts[i.class]++
	}
	return counts
}

// dropEmpty takes away the classes that have no picture to learn from, and what is
// there to validate them.
func (s *Source) dropEmpty() {
	counts := s.perClass()
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
		folders, err := s.subfolders(root)
		if err != nil || len(folders) != 1 || folders[0] == "train" {
			return root, folders, err
		}
		root = path.Join(root, folders[0])
	}
}

func (s *Source) subfolders(name string) ([]string, error) {
	entries, err := fs.ReadDir(s.files, name)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if hidden(e.Name()) {
			continue
		}
		if info, err := s.look(path.Join(name, e.Name()), e); err == nil && info.IsDir() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// look returns what an entry is, past links.
func (s *Source) look(name string, e fs.DirEntry) (fs.FileInfo, error) {
	if e.Type()&fs.ModeSymlink != 0 {
		return fs.Stat(s.files, name)
	}
	return e.Info()
}

// hidden reports whether a file or folder is one that programs make for themselves.
func hidden(name string) bool { return strings.HasPrefix(name, ".") || name == "__MACOSX" }

// pictures lists the pictures in the class folders of a folder, in order. Classes may be
// missing in it. note is told each name and size.
func (s *Source) pictures(root string, note func(name string, size int64)) ([]item, error) {
	var items []item
	for class, name := range s.Classes {
		err := s.walk(path.Join(root, name), nil, func(name string, size int64) {
			note(name, size)
			items = append(items, item{name: name, class: class})
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return items, nil
}

// walk finds the pictures in a folder and those below it. above are the folders that it
// lies in, into which a link may lead back.
func (s *Source) walk(folder string, above []fs.FileInfo, found func(name string, size int64)) error {
	entries, err := fs.ReadDir(s.files, folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if hidden(e.Name()) {
			continue
		}
		name := path.Join(folder, e.Name())
		info, err := s.look(name, e)
		switch {
		case err != nil && !dataset.IsPicture(name): // a link that leads nowhere
		case err != nil:
			return err
		case info.IsDir():
			if slices.ContainsFunc(above, func(other fs.FileInfo) bool { return os.SameFile(other, info) }) {
				continue
			}
			if err := s.walk(name, append(above, info), found); err != nil {
				return err
			}
		case info.Mode().IsRegular() && dataset.IsPicture(name):
			found(name, info.Size())
		}
	}
	return nil
}

// A store decodes the pictures of a run and keeps as many as fit into its limit.
type store struct {
	limit, used int64
	mu          sync.Mutex
	shortest    int // side to which larger pictures are shrunk
	kept        map[*Source][]atomic.Pointer[picture.RGB]
}

func newStore(sources []*Source, limit int64, shortest int) *store {
	t := &store{limit: limit, shortest: shortest, kept: map[*Source][]atomic.Pointer[picture.RGB]{}}
	for _, s := range sources {
		t.kept[s] = make([]atomic.Pointer[picture.RGB], len(s.train)+len(s.val))
	}
	return t
}

// get returns a picture of a source, which belongs to the store.
func (t *store) get(s *Source, i item) (*picture.RGB, error) {
	kept := &t.kept[s][i.number]
	if p := kept.Load(); p != nil {
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
	if t.used+size <= t.limit && kept.CompareAndSwap(nil, p) {
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
