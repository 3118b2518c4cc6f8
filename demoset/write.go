package demoset

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"image"
	"image/png"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"sync"
)

// Counts says how many pictures of each sort a data set holds.
type Counts struct {
	Train    int // good pictures to train on
	TestGood int // good pictures to test on
	Defect   int // defective pictures to test on, of each of the kind's defects
}

// ErrOtherFiles is returned by Write for a directory that holds other pictures than those to be written.
var ErrOtherFiles = errors.New("the folder holds other files")

// Write draws a data set in the layout of MVTec AD:
//
//	DIR/train/good/000.png …
//	DIR/test/good/000.png …
//	DIR/test/DEFECT/000.png …
//	DIR/ground_truth/DEFECT/000_mask.png …
//
// Pictures are RGB, masks grey with values 0 and 255, both size×size pixels. A picture follows from the
// seed and its place in the layout alone, so more pictures of one sort leave the others as they are.
// Pictures are drawn on all processors; each file is written under a temporary name and renamed when
// complete, and files of an earlier run are replaced.
//
// Write calls progress, if it is not nil, from the calling goroutine after each picture. It stops at the first error or
// when ctx is done, and returns an error that wraps ErrOtherFiles, before writing anything, if train, test or ground_truth
// in the directory hold files that are not part of this data set.
func Write(ctx context.Context, dir string, kind Kind, counts Counts, size int, seed uint64, progress func(done, total int)) error {
	if err := check(kind, size); err != nil {
		return err
	}
	if counts.Train < 0 || counts.TestGood < 0 || counts.Defect < 0 {
		return fmt.Errorf("demoset: counts of pictures %+v: none may be negative", counts)
	}
	plan := plan(kind, counts)
	if err := refuseOthers(dir, plan); err != nil {
		return err
	}

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	jobs := make(chan job)
	results := make(chan error)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(plan)) {
		workers.Go(func() {
			for j := range jobs {
				results <- j.write(dir, kind, size, seed)
			}
		})
	}
	go func() {
		defer func() {
			close(jobs)
			workers.Wait()
			close(results)
		}()
		for _, j := range plan {
			if ctx.Err() != nil { // select would choose at random
				return
			}
			select {
			case jobs <- j:
			case <-ctx.Done():
				return
			}
		}
	}()

	var first error
	done := 0
	for err := range results {
		if err != nil && first == nil {
			first = err
			stop()
		}
		done++
		if progress != nil && first == nil {
			progress(done, len(plan))
		}
	}
	if first == nil && done < len(plan) {
		first = ctx.Err()
	}
	return first
}

// A job is one picture of the data set. Its paths are relative to the data set's folder, with slashes.
type job struct {
	picture string
	mask    string // empty for a good part
	defect  Defect
}

func plan(kind Kind, counts Counts) []job {
	var jobs []job
	for i := range counts.Train {
		jobs = append(jobs, job{picture: fmt.Sprintf("train/good/%03d.png", i)})
	}
	for i := range counts.TestGood {
		jobs = append(jobs, job{picture: fmt.Sprintf("test/good/%03d.png", i)})
	}
	for _, d := range kind.Defects() {
		for i := range counts.Defect {
			jobs = append(jobs, job{
				picture: fmt.Sprintf("test/%v/%03d.png", d, i),
				mask:    fmt.Sprintf("ground_truth/%v/%03d_mask.png", d, i),
				defect:  d,
			})
		}
	}
	return jobs
}

// partial ends the name of a file that is being written.
const partial = ".partial"

// refuseOthers returns an error if the data set's folders hold files outside the plan.
func refuseOthers(dir string, plan []job) error {
	own := make(map[string]bool)
	for _, j := range plan {
		for _, p := range []string{j.picture, j.mask} {
			own[filepath.Join(dir, p)] = true
			own[filepath.Join(dir, p+partial)] = true
		}
	}
	for _, top := range []string{"train", "test", "ground_truth"} {
		err := filepath.WalkDir(filepath.Join(dir, top), func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || own[name] {
				return err
			}
			return fmt.Errorf("demoset: %s: %w, which would mix with the new data set: "+
				"delete it or choose an empty folder", name, ErrOtherFiles)
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// write draws the picture and stores it, after its mask, so that a picture without a mask is never left behind.
func (j job) write(dir string, kind Kind, size int, seed uint64) error {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d/%s", seed, j.picture)
	picture, mask := Draw(kind, h.Sum64(), j.defect, size)
	if j.mask != "" {
		if err := save(dir, j.mask, mask); err != nil {
			return err
		}
	}
	return save(dir, j.picture, picture)
}

// save writes a picture under a temporary name and renames it.
func save(dir, name string, img image.Image) (err error) {
	if err := os.MkdirAll(filepath.Join(dir, path.Dir(name)), 0o777); err != nil {
		return fmt.Errorf("demoset: %w", err)
	}
	full := filepath.Join(dir, name)
	file, err := os.Create(full + partial)
	if err != nil {
		return fmt.Errorf("demoset: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(full + partial)
			if e := (*fs.PathError)(nil); errors.As(err, &e) { // it has the temporary name
				err = e.Err
			}
			err = fmt.Errorf("demoset: write %s: %w", full, err)
		}
	}()
	w := bufio.NewWriter(file)
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}                         // grain hardly compresses
	if err := cmp.Or(encoder.Encode(w, img), w.Flush(), file.Close()); err != nil { // the others follow from the first
		return err
	}
	return os.Rename(full+partial, full)
}
