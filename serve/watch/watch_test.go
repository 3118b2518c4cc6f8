package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/serve/api"
)

// Colours that [colourist] judges by.
var (
	good  = color.RGBA{G: 255, A: 255}
	bad   = color.RGBA{R: 255, A: 255}
	blank = color.RGBA{B: 255, A: 255}
)

// drawing is the file of a picture in one colour.
func drawing(t testing.TB, c color.Color) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 40, 30))
	for y := range 30 {
		for x := range 40 {
			img.Set(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A colourist says NG of red pictures, OK of green ones, and nothing of blue ones.
type colourist struct {
	mu    sync.Mutex
	calls map[string]int // by path
	fail  int            // so many calls fail first
	block chan struct{}  // if it is not nil, calls wait until it is closed

	working, most int
}

func (c *colourist) inspect(ctx context.Context, p Picture) (*api.Inspection, error) {
	c.mu.Lock()
	if c.calls == nil {
		c.calls = map[string]int{}
	}
	c.calls[p.Path]++
	c.working++
	c.most = max(c.most, c.working)
	fail := c.fail > 0
	c.fail--
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.working--
	}()
	if c.block != nil {
		<-c.block
	}
	if fail {
		return nil, errors.New("the detector is being replaced")
	}
	rgb, err := picture.Decode(bytes.NewReader(p.Data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", destseg.ErrPicture, err)
	}
	in := &api.Inspection{ID: p.ID, Source: p.Path, Time: p.Arrival}
	in.Width, in.Height = rgb.Width, rgb.Height
	switch {
	case rgb.Pix[0] > 128:
		in.Verdict, in.Score = api.NG, 0.9
	case rgb.Pix[1] > 128:
		in.Verdict, in.Score = api.OK, 0.1
	}
	return in, nil
}

// count returns how often a picture was inspected.
func (c *colourist) count(path string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[path]
}

// A running watcher is that of a test.
type running struct {
	t      *testing.T
	dir    string
	cancel context.CancelFunc
	ended  chan struct{}
}

// watch starts to watch with short times.
func watch(t *testing.T, c Config) *running {
	t.Helper()
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	c.Settle, c.Poll, c.Patience = 40*time.Millisecond, 50*time.Millisecond, 400*time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: t, dir: c.Dir, cancel: cancel, ended: make(chan struct{})}
	w, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.ended)
		w.Run(ctx)
	}()
	t.Cleanup(r.stop)
	return r
}

// stop ends watching and waits for it.
func (r *running) stop() {
	if r.cancel == nil {
		return
	}
	r.cancel()
	r.cancel = nil
	select {
	case <-r.ended:
	case <-time.After(30 * time.Second):
		r.t.Error("it does not end")
	}
}

// put writes a file below the folder at once: under another name first.
func (r *running) put(path string, data []byte) { put(r.t, r.dir, path, data) }

func put(t testing.TB, dir, path string, data []byte) {
	t.Helper()
	full := filepath.Join(dir, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full+".part", data, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(full+".part", full); err != nil {
		t.Fatal(err)
	}
}

// putStat is put and tells of the file.
func putStat(t testing.TB, dir, path string, data []byte) os.FileInfo {
	t.Helper()
	put(t, dir, path, data)
	info, err := os.Stat(filepath.Join(dir, path))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// result waits for the result of a picture that is at a path now.
func (r *running) result(path string) Result {
	r.t.Helper()
	var result Result
	eventually(r.t, "result of "+path, func() bool {
		var err error
		result, err = readResult(filepath.Join(r.dir, path))
		return err == nil
	})
	return result
}

// visible lists the files below a folder, but hidden ones.
func visible(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if e.Name()[0] == '.' {
				return fs.SkipDir
			}
			return nil
		}
		below, err := filepath.Rel(dir, path)
		files = append(files, filepath.ToSlash(below))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

// TestWatch drops pictures in every way.
func TestWatch(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		t.Run(fmt.Sprintf("deaf=%v", deaf), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			put(t, dir, "before.png", drawing(t, good))
			put(t, dir, "shift/1/before.jpg", drawing(t, bad)) // whatever its ending
			for _, other := range []string{"notes.txt", ".hidden.png", ".cache/x.png"} {
				put(t, dir, other, drawing(t, bad))
			}
			if err := os.Symlink(filepath.Join(dir, "before.png"), filepath.Join(dir, "link.png")); err != nil {
				t.Log(err)
			}
			var c colourist
			r := watch(t, Config{Dir: dir, Inspect: c.inspect, Results: true, deaf: deaf})
			if got := r.result("before.png"); got.Verdict != api.OK || got.Source != "before.png" || got.Picture != "before.png" || got.Width != 40 || got.ID == "" {
				t.Errorf("before.png: %+v", got)
			}
			if got := r.result("shift/1/before.jpg"); got.Verdict != api.NG {
				t.Errorf("shift/1/before.jpg: %+v", got)
			}

			r.put("renamed.png", drawing(t, good))
			r.put("shift/2/deep/new.png", drawing(t, bad)) // in folders that are new
			r.result("renamed.png")
			r.result("shift/2/deep/new.png")

			// In two halves, with more than a moment between.
			data := drawing(t, bad)
			torn, err := os.Create(filepath.Join(dir, "torn.png"))
			if err != nil {
				t.Fatal(err)
			}
			torn.Write(data[:len(data)/2])
			eventually(t, "the first half is tried", func() bool { return c.count("torn.png") > 0 })
			torn.Write(data[len(data)/2:])
			torn.Close()
			if got := r.result("torn.png"); got.Verdict != api.NG || got.Error != "" {
				t.Errorf("torn.png: %+v", got)
			}

			// Byte by byte, with less than a moment between: one try is enough.
			slow, err := os.Create(filepath.Join(dir, "slow.png"))
			if err != nil {
				t.Fatal(err)
			}
			longest := time.Duration(0) // between two parts; a busy machine makes it long
			for chunk := range slices.Chunk(data, len(data)/10+1) {
				begun := time.Now()
				slow.Write(chunk)
				time.Sleep(5 * time.Millisecond)
				longest = max(longest, time.Since(begun))
			}
			slow.Close()
			r.result("slow.png")
			if n := c.count("slow.png"); n != 1 && longest < 30*time.Millisecond {
				t.Errorf("slow.png was tried %d times", n)
			}

			// Another picture under the same name.
			r.put("renamed.png", append(drawing(t, bad), 0)) // another size, should the clock be coarse
			eventually(t, "a second result", func() bool { return r.result("renamed.png").Verdict == api.NG })

			// One that stays damaged, one that is empty, one that is none.
			r.put("damaged.png", data[:len(data)/2])
			r.put("empty.png", nil)
			r.put("text.png", []byte("no picture at all"))
			for _, path := range []string{"damaged.png", "empty.png", "text.png"} {
				got := r.result(path)
				if got.Error == "" || got.Inspection != nil && got.Verdict != "" || got.Source != path {
					t.Errorf("%s: %+v", path, got)
				}
				if c.count(path) < 2 {
					t.Errorf("%s was tried %d times", path, c.count(path))
				}
			}

			for _, path := range []string{"before.png", "shift/1/before.jpg", "shift/2/deep/new.png"} {
				if n := c.count(path); n != 1 {
					t.Errorf("%s was inspected %d times", path, n)
				}
			}
			for _, path := range []string{"notes.txt", ".hidden.png", ".cache/x.png", "link.png"} {
				if n := c.count(path); n != 0 {
					t.Errorf("%s was inspected", path)
				}
			}
			r.stop()

			// Again: nothing is repeated, what is new is found.
			var again colourist
			put(t, dir, "later.png", drawing(t, good))
			r = watch(t, Config{Dir: dir, Inspect: again.inspect, Results: true, deaf: deaf})
			r.result("later.png")
			time.Sleep(150 * time.Millisecond)
			r.stop()
			if len(again.calls) != 1 {
				t.Errorf("inspected again: %v", again.calls)
			}
		})
	}
}

func TestMove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "ok/taken.png", drawing(t, good)) // of an earlier day
	put(t, dir, "taken.png", drawing(t, good))
	put(t, dir, "taken-2.png", drawing(t, good))
	put(t, dir, "a/b.png", drawing(t, bad))
	put(t, dir, "blank.png", drawing(t, blank))
	put(t, dir, "text.png", []byte("no picture"))
	var c colourist
	r := watch(t, Config{Dir: dir, Inspect: c.inspect, Results: true, Move: true})
	for path, source := range map[string]string{
		"ng/a/b.png": "a/b.png", "unjudged/blank.png": "blank.png", "error/text.png": "text.png",
	} {
		if got := r.result(path); got.Picture != path || got.Source != source {
			t.Errorf("%s: %+v", path, got)
		}
	}
	eventually(t, "everything is moved", func() bool { return len(visible(t, dir)) == 11 })
	// The same name again, as from a camera that starts to count anew.
	r.put("a/b.png", append(drawing(t, bad), 0))
	r.result("ng/a/b-2.png")
	r.stop()
	got := visible(t, dir)
	// Of the two that wanted to be taken-2.png each has a place.
	want := []string{
		"error/text.png", "error/text.png" + ResultEnding,
		"ng/a/b-2.png", "ng/a/b-2.png" + ResultEnding, "ng/a/b.png", "ng/a/b.png" + ResultEnding,
		"ok/taken-2.png", "ok/taken-2.png" + ResultEnding,
		"ok/taken.png",
		"unjudged/blank.png", "unjudged/blank.png" + ResultEnding,
	}
	got = slices.DeleteFunc(got, func(path string) bool {
		return strings.HasPrefix(path, "ok/taken-2-2.png") || strings.HasPrefix(path, "ok/taken-3.png")
	})
	if !slices.Equal(got, want) {
		t.Errorf("files\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for path, n := range c.calls {
		if most := map[string]int{"a/b.png": 2}[path]; path != "text.png" && n > max(most, 1) {
			t.Errorf("%s was inspected %d times", path, n)
		}
	}
}

// TestResultsRemember checks that pictures whose result lies beside them are done with,
// even where the journal is lost or they were moved.
func TestResultsRemember(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "a.png", drawing(t, good))
	put(t, dir, "b.png", drawing(t, bad))
	var c colourist
	r := watch(t, Config{Dir: dir, Inspect: c.inspect, Results: true, Move: true})
	eventually(t, "both are moved", func() bool { return len(visible(t, dir)) == 4 && r.result("ok/a.png").ID != r.result("ng/b.png").ID })
	r.stop()
	put(t, dir, "c.png", drawing(t, good))
	r = watch(t, Config{Dir: dir, Inspect: c.inspect, Results: true})
	r.result("c.png")
	r.stop()
	if err := os.RemoveAll(filepath.Join(dir, ".destseg")); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "ng/b.png", append(drawing(t, bad), 0)) // another picture beside an old result
	put(t, dir, "d.png", drawing(t, good))
	r = watch(t, Config{Dir: dir, Inspect: c.inspect, Results: true})
	r.result("d.png")
	eventually(t, "the other picture is inspected", func() bool { return c.count("ng/b.png") == 1 })
	r.stop()
	for path, want := range map[string]int{"a.png": 1, "b.png": 1, "c.png": 1, "d.png": 1, "ok/a.png": 0, "ng/b.png": 1} {
		if got := c.count(path); got != want {
			t.Errorf("%s was inspected %d times, want %d", path, got, want)
		}
	}
}

// TestResultOfOthers checks that what lies beside a picture and is no result of ours does
// not pass for one.
func TestResultOfOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	info := putStat(t, dir, "x.png", drawing(t, good))
	put(t, dir, "y.prepared", nil)
	forged := Result{ID: "../../y", Picture: "x.png", Bytes: info.Size(), Modified: info.ModTime()}
	if err := forged.write(filepath.Join(dir, "x.png")); err != nil {
		t.Fatal(err)
	}
	var c colourist
	r := watch(t, Config{Dir: dir, Inspect: c.inspect, Results: true, Webhook: testWebhook("http://localhost:1")})
	eventually(t, "it is inspected", func() bool { return c.count("x.png") == 1 })
	r.stop()
	if _, err := os.Stat(filepath.Join(dir, "y.prepared")); err != nil {
		t.Error(err)
	}
}

// TestMoveLater checks that a picture whose move was still to be done when the process
// ended is moved and not inspected.
func TestMoveLater(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	info := putStat(t, dir, "x.png", drawing(t, good))
	state := filepath.Join(dir, ".destseg")
	if err := os.Mkdir(state, 0o777); err != nil {
		t.Fatal(err)
	}
	j, err := openJournal(filepath.Join(state, "journal.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.end(entry{file: file{"x.png", versionOf(info)}, id: "1", to: "ng/x.png"}); err != nil {
		t.Fatal(err)
	}
	var c colourist
	r := watch(t, Config{Dir: dir, Inspect: c.inspect, Results: true, Move: true})
	eventually(t, "it is moved", func() bool {
		_, err := os.Stat(filepath.Join(dir, "ng", "x.png"))
		return err == nil
	})
	r.stop()
	if c.count("x.png") != 0 {
		t.Error("inspected again")
	}
}

// TestCarry checks what takes the place of a move to another file system.
func TestCarry(t *testing.T) {
	dir := t.TempDir()
	was := putStat(t, dir, "x.png", drawing(t, good))
	from, to := filepath.Join(dir, "x.png"), filepath.Join(dir, "y.png")
	if err := carry(from, to); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(from); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the first one: %v", err)
	}
	is, err := os.Stat(to)
	if err != nil || is.Size() != was.Size() || !is.ModTime().Equal(was.ModTime()) {
		t.Errorf("%v, %v; was %v", is, err, was)
	}
}

// TestPutBack checks that a picture that is put back after it was moved is judged anew
// and tells of it by an event of its own, also right after a restart.
func TestPutBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	receiver := &receiver{t: t, secret: testSecret, answer: func(string, int) int { return 200 }}
	hook := testWebhook(receiver.serve().URL)
	verdict := new(atomic.Value)
	start := func() *running {
		return watch(t, Config{Dir: dir, Results: true, Move: true, Webhook: hook, Inspect: func(_ context.Context, p Picture) (*api.Inspection, error) {
			return &api.Inspection{ID: p.ID, Judgement: api.Judgement{Verdict: verdict.Load().(string)}}, nil
		}})
	}
	moved := func(path string) {
		t.Helper()
		eventually(t, path, func() bool {
			_, err := os.Stat(filepath.Join(dir, path))
			return err == nil
		})
	}
	putBack := func(path string) {
		t.Helper()
		if err := os.Rename(filepath.Join(dir, path), filepath.Join(dir, "x.png")); err != nil {
			t.Fatal(err)
		}
	}
	verdict.Store(api.NG)
	put(t, dir, "x.png", drawing(t, good))
	r := start()
	moved("ng/x.png")
	verdict.Store(api.OK) // by another detector
	putBack("ng/x.png")
	moved("ok/x.png")
	r.stop()
	verdict.Store("")
	putBack("ok/x.png")
	r = start()
	moved("unjudged/x.png")
	putBack("unjudged/x.png") // by the same one; its result stays
	moved("unjudged/x-2.png")
	ids := map[string]bool{}
	for _, path := range []string{"ng/x.png", "ok/x.png", "unjudged/x.png", "unjudged/x-2.png"} {
		ids[r.result(path).ID] = true
	}
	eventually(t, "all four are told of", func() bool {
		acked, _ := receiver.counts()
		return acked == 4
	})
	r.stop()
	for id := range ids {
		if receiver.acked[id] != 1 {
			t.Errorf("results %v, events %v", ids, receiver.acked)
		}
	}
}

// TestReplacedBeforeMove checks that a picture that takes the place of one done with is
// not taken for it.
func TestReplacedBeforeMove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "x.png", drawing(t, good))
	var c colourist
	replaced := false
	r := watch(t, Config{Dir: dir, Results: true, Move: true, Inspect: func(ctx context.Context, p Picture) (*api.Inspection, error) {
		if !replaced {
			replaced = true
			put(t, dir, "x.png", append(drawing(t, bad), 0))
		}
		return c.inspect(ctx, p)
	}})
	if got := r.result("ng/x.png"); got.Verdict != api.NG {
		t.Errorf("%+v", got)
	}
	eventually(t, "it is moved", func() bool {
		_, err := os.Stat(filepath.Join(dir, "ng", "x.png"))
		return err == nil
	})
}

// TestBounds checks that no more pictures than workers are in work, and that what fails
// is tried again until it does not.
func TestBounds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const pictures, workers = 30, 3
	for i := range pictures {
		put(t, dir, fmt.Sprintf("%02d.png", i), drawing(t, good))
	}
	c := colourist{fail: 5, block: make(chan struct{})}
	r := watch(t, Config{Dir: dir, Inspect: c.inspect, Results: true, Workers: workers})
	eventually(t, "all workers are busy", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.working == workers
	})
	time.Sleep(100 * time.Millisecond)
	close(c.block)
	for i := range pictures {
		r.result(fmt.Sprintf("%02d.png", i))
	}
	r.stop()
	calls := 0
	for _, n := range c.calls {
		calls += n
	}
	if c.most != workers || calls != pictures+5 {
		t.Errorf("%d at a time, %d calls; want %d, %d", c.most, calls, workers, pictures+5)
	}
}

// TestEnd checks that a picture in work when watching ends is finished.
func TestEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "x.png", drawing(t, good))
	c := colourist{block: make(chan struct{})}
	r := watch(t, Config{Dir: dir, Inspect: c.inspect, Results: true})
	eventually(t, "it is begun", func() bool { return c.count("x.png") == 1 })
	go func() {
		time.Sleep(50 * time.Millisecond)
		close(c.block)
	}()
	r.stop()
	if got, err := readResult(filepath.Join(dir, "x.png")); err != nil || got.Verdict != api.OK {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestStart checks what watching is refused for.
func TestStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var c colourist
	r := watch(t, Config{Dir: dir, Inspect: c.inspect})
	for name, test := range map[string]struct {
		config Config
		want   string
	}{
		"twice":     {Config{Dir: dir}, "another process"},
		"no folder": {Config{Dir: filepath.Join(dir, "absent")}, "no such file"},
		"no URL":    {Config{Dir: dir, State: t.TempDir(), Webhook: &Webhook{URL: "ftp://x"}}, "http"},
		"a file":    {Config{Dir: os.Args[0]}, "not a directory"},
	} {
		test.config.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
		if _, err := New(test.config); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.stop()
	watch(t, Config{Dir: dir, Inspect: c.inspect}) // the lock is free again
}

// TestTooLarge checks that a file beyond the limit is not read.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "x.png", drawing(t, good))
	var c colourist
	r := watch(t, Config{Dir: dir, Inspect: c.inspect, Results: true, MaxBytes: 10})
	if got := r.result("x.png"); !strings.Contains(got.Error, "at most 10") {
		t.Errorf("%+v", got)
	}
	if c.count("x.png") != 0 {
		t.Error("it was read")
	}
}
