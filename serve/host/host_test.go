package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/graph"
	"github.com/destseg/destseg/internal/detectortest"
	"github.com/destseg/destseg/internal/digest"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/serve/api"
)

// original and changed are detectors' files that no test changes. The latter has an
// image threshold of 0.4.
var original, changed string

func TestMain(m *testing.M) {
	detectortest.Main(m, func(folder string) error {
		original, changed = filepath.Join(folder, "original"), filepath.Join(folder, "changed")
		return detectortest.Write(original)
	})
}

// changedFile makes the second detector when a test needs it.
var changedFile = sync.OnceValue(func() error {
	content, err := os.ReadFile(original)
	if err != nil {
		return err
	}
	// In place: destseg.Update would wait for the disk.
	was, is := []byte(`\"image\":0.5`), []byte(`\"image\":0.4`)
	if n := bytes.Count(content, was); n != 1 {
		return fmt.Errorf("the threshold stands %d times in the file", n)
	}
	return os.WriteFile(changed, bytes.Replace(content, was, is, 1), 0o666)
})

// folderOf makes a folder of detectors that are all the same.
func folderOf(t *testing.T, names ...string) string {
	t.Helper()
	folder := t.TempDir()
	for _, name := range names {
		put(t, original, filepath.Join(folder, name+extension))
	}
	return folder
}

// put gives a file a second name, in place of what has it.
func put(t *testing.T, file, name string) {
	t.Helper()
	if err := errors.Join(os.Link(file, name+".new"), os.Rename(name+".new", name)); err != nil {
		t.Fatal(err)
	}
}

func newHost(t *testing.T, o Options) *Host {
	t.Helper()
	o.Options = append([]destseg.Option{destseg.WithPrecision(engine.Float32)}, o.Options...)
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if s := h.Stats(); s.Loaded != 0 || s.Memory != 0 {
			t.Errorf("after closing, %d detectors take %d bytes", s.Loaded, s.Memory)
		}
	})
	return h
}

// noise is a picture of random values.
func noise(seed uint64) *picture.RGB {
	r := rand.New(rand.NewPCG(seed, 5))
	p := picture.NewRGB(40, 35)
	for i := range p.Pix {
		p.Pix[i] = uint8(r.Uint32())
	}
	return p
}

func TestInspect(t *testing.T) {
	h := newHost(t, Options{Sources: []string{folderOf(t, "flange", "gear"), original}})
	want, err := destseg.Open(original, destseg.WithPrecision(engine.Float32))
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	sum, err := digest.File(original)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"flange", "original", "flange"} {
		got, err := h.Inspect(t.Context(), name, noise(uint64(i)))
		if err != nil {
			t.Fatal(err)
		}
		in, err := want.InspectRGB(noise(uint64(i)))
		if err != nil {
			t.Fatal(err)
		}
		if got.Score != in.Score || got.Detector != (api.DetectorRef{Name: name, Digest: sum.String()}) {
			t.Errorf("%s: score %v, want %v; %v", name, got.Score, in.Score, got.Detector)
		}
		if loads := i < 2; (got.Load > time.Millisecond) != loads {
			t.Errorf("picture %d: waited %v for the detector", i, got.Load)
		}
	}
	if s := h.Stats(); s.Loaded != 2 || s.Loads != 2 || s.Memory <= 0 || s.Waiting+s.Working != 0 {
		t.Errorf("%+v", s)
	}

	cards, err := h.Cards()
	if err != nil || len(cards) != 3 {
		t.Fatalf("%v, %v", cards, err)
	}
	for i, want := range []struct{ name, state string }{{"flange", api.Ready}, {"gear", api.Idle}, {"original", api.Ready}} {
		c := cards[i]
		if c.Name != want.name || c.State != want.state || c.Category != "flange" || *c.Threshold != 0.5 || c.Width != 32 || c.Record != nil || (c.Memory > 0) != (c.State == api.Ready) {
			t.Errorf("%+v", c)
		}
	}
	if card, err := h.Card("gear"); err != nil || !strings.Contains(string(card.Record), `"fedcba9876543210"`) {
		t.Errorf("%s, %v", card.Record, err)
	}
	if err := h.Unload("flange"); err != nil {
		t.Error(err)
	}
	if s := h.Stats(); s.Loaded != 1 {
		t.Errorf("%d detectors after one was unloaded", s.Loaded)
	}
	if err := h.Load(t.Context(), "gear"); err != nil {
		t.Error(err)
	}
}

// TestUnloadRemoved checks that a detector whose file is gone need not stay in memory.
func TestUnloadRemoved(t *testing.T) {
	folder := folderOf(t, "a")
	h := newHost(t, Options{Sources: []string{folder}})
	if err := h.Load(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(folder, "a"+extension)); err != nil {
		t.Fatal(err)
	}
	if err := h.Unload("a"); err != nil || h.Stats().Loaded != 0 {
		t.Errorf("%v; %d are loaded", err, h.Stats().Loaded)
	}
	if err := h.Unload("a"); !errors.Is(err, ErrUnknown) {
		t.Errorf("again: %v", err)
	}
}

// TestNames checks that no name leads out of the folder.
func TestNames(t *testing.T) {
	folder := folderOf(t, "flange")
	inner := filepath.Join(folder, "inner")
	if err := os.Mkdir(inner, 0o777); err != nil {
		t.Fatal(err)
	}
	put(t, original, filepath.Join(folder, ".hidden"+extension))
	if err := os.Mkdir(filepath.Join(folder, "folder"+extension), 0o777); err != nil {
		t.Fatal(err)
	}
	h := newHost(t, Options{Sources: []string{inner, folder}})
	for _, name := range []string{
		"", ".", "..", "../flange", "inner/../flange", "./flange", "/flange", `..\flange`, `C:flange`, "flange\x00", "flange\n", ".hidden",
		"folder", "FLANGE\xff", filepath.Join(folder, "flange"), "flange" + extension, strings.Repeat("x", 200), "%2e%2e%2fflange",
	} {
		if _, err := h.Inspect(t.Context(), name, noise(1)); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := h.Card(name); !errors.Is(err, ErrUnknown) {
			t.Errorf("card of %q: %v", name, err)
		}
		if err := h.Check(name); !errors.Is(err, ErrUnknown) {
			t.Errorf("check of %q: %v", name, err)
		}
	}
	if cards, err := h.Cards(); err != nil || len(cards) != 1 || cards[0].Name != "flange" {
		t.Errorf("%v, %v", cards, err)
	}
	for _, sources := range [][]string{{filepath.Join(folder, "none")}, {filepath.Join(folder, ".hidden"+extension)}, {original, original}} {
		if _, err := New(Options{Sources: sources}); err == nil {
			t.Errorf("%v makes a host", sources)
		}
	}
}

// FuzzValidName checks that no name leaves its folder.
func FuzzValidName(f *testing.F) {
	for _, name := range []string{"flange", "..", "a/b", `a\b`, "ü 3", "C:x", "con"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		folder := filepath.Join("some", "folder")
		path := filepath.Join(folder, name+extension)
		if ValidName(name) && (filepath.Dir(path) != folder || filepath.Base(path) != name+extension) {
			t.Errorf("%q leads to %s", name, path)
		}
	})
}

// TestReload replaces a detector's file while it is used.
func TestReload(t *testing.T) {
	if err := changedFile(); err != nil {
		t.Fatal(err)
	}
	folder, gate := folderOf(t, "flange"), detectortest.NewGate(detectortest.Stub{Size: 1})
	path := filepath.Join(folder, "flange"+extension)
	h := newHost(t, Options{Sources: []string{folder}, Queue: 10, Options: []destseg.Option{destseg.WithEngine(gate)}})
	thresholds := make(chan float64)
	inspect := func() {
		result, err := h.Inspect(t.Context(), "flange", noise(1))
		if err != nil {
			t.Error(err)
			thresholds <- 0
			return
		}
		thresholds <- result.Threshold
	}
	want := func(threshold float64) {
		t.Helper()
		if got := <-thresholds; got != threshold {
			t.Errorf("threshold %v, want %v", got, threshold)
		}
	}
	go inspect()
	<-gate.Entered // on the old one
	put(t, changed, path)
	if err := h.Load(t.Context(), "flange"); err != nil {
		t.Fatal(err)
	}
	if s := h.Stats(); s.Loaded != 2 {
		t.Errorf("%d detectors while the old one is used and the new one is there", s.Loaded)
	}
	gate.Open()
	want(0.5)
	go inspect()
	want(0.4)
	if s := h.Stats(); s.Loaded != 1 || s.Loads != 2 {
		t.Errorf("%d detectors after the old one is done with, %d loads", s.Loaded, s.Loads)
	}

	// A replacement that can't be used does not take the place of one that can.
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("no detector"), 0o666); err != nil {
		t.Fatal(err)
	}
	put(t, broken, path)
	for range 2 {
		go inspect()
		want(0.4)
	}
	if card, err := h.Card("flange"); err != nil || card.State != api.Ready || card.Error != destseg.ErrNotDetector.Error() {
		t.Errorf("%+v, %v", card, err)
	}
	if s := h.Stats(); s.Failures != 1 {
		t.Errorf("tried %d times", s.Failures)
	}
	put(t, original, path)
	go inspect()
	want(0.5)
	if card, err := h.Card("flange"); err != nil || card.Error != "" {
		t.Errorf("%+v, %v", card, err)
	}

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Inspect(t.Context(), "flange", noise(1)); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if s := h.Stats(); s.Loaded != 0 {
		t.Error("a detector without a file stays in memory")
	}

	// One that was never good says so, every time.
	put(t, broken, path)
	for range 2 {
		if _, err := h.Inspect(t.Context(), "flange", noise(1)); !errors.Is(err, ErrUnusable) || !errors.Is(err, destseg.ErrNotDetector) {
			t.Error(err)
		}
	}
	if s := h.Stats(); s.Failures != 2 {
		t.Errorf("tried %d times", s.Failures)
	}
	if card, err := h.Card("flange"); err != nil || card.State != api.Failed {
		t.Errorf("%+v, %v", card, err)
	}
	put(t, original, path)
	if card, err := h.Card("flange"); err != nil || card.State != api.Idle || card.Error != "" {
		t.Errorf("nobody has asked for what replaces it: %+v, %v", card, err)
	}
}

// A failing engine compiles nothing for some times.
type failing struct {
	engine.Engine
	times atomic.Int64
}

func (f *failing) Compile(net *graph.Graph, o engine.Options) (engine.Program, error) {
	if f.times.Add(-1) >= 0 {
		return nil, errors.New("for a reason that passes")
	}
	return f.Engine.Compile(net, o)
}

// TestRetry checks that a detector which could not be loaded is offered again after a
// while, unless its file is to blame.
func TestRetry(t *testing.T) {
	e := &failing{Engine: detectortest.Stub{Size: 2}}
	e.times.Store(1)
	stub := []destseg.Option{destseg.WithEngine(e)}
	h := newHost(t, Options{Sources: []string{original}, Options: stub})
	small := newHost(t, Options{Sources: []string{original}, Memory: 1, Options: stub})
	cut := filepath.Join(t.TempDir(), "original"+extension)
	content, err := os.ReadFile(original)
	if err == nil {
		err = os.WriteFile(cut, content[:1<<20], 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	damaged := newHost(t, Options{Sources: []string{cut}, Options: stub})
	for _, c := range []struct {
		host        *Host
		error       string
		state, then string
	}{{h, "log says why", api.Failed, api.Idle}, {small, "more memory than", api.Failed, api.Failed}, {damaged, "cut short", api.Failed, api.Failed}} {
		if err := c.host.Load(t.Context(), "original"); !errors.Is(err, ErrUnusable) {
			t.Error(err)
		}
		if card, err := c.host.Card("original"); err != nil || card.State != c.state || !strings.Contains(card.Error, c.error) {
			t.Errorf("%+v, %v", card, err)
		}
		c.host.mu.Lock()
		c.host.slots["original"].retry = time.Now()
		c.host.mu.Unlock()
		if card, err := c.host.Card("original"); err != nil || card.State != c.then {
			t.Errorf("%s after a while, want %s, %v", card.State, c.then, err)
		}
		if err := c.host.Load(t.Context(), "original"); (err == nil) != (c.then == api.Idle) {
			t.Errorf("again after a while: %v", err)
		}
		if s := c.host.Stats(); s.Failures != 1 {
			t.Errorf("tried in vain %d times", s.Failures)
		}
	}
}

// An obstructed engine compiles when it is let.
type obstructed struct {
	engine.Engine
	let chan error // for each network: whether it fails
}

func (o obstructed) Compile(net *graph.Graph, options engine.Options) (engine.Program, error) {
	if err := <-o.let; err != nil {
		return nil, err
	}
	return o.Engine.Compile(net, options)
}

// TestRetryAside checks that pictures for a detector that goes on do not wait while the
// file that is to replace it is tried again.
func TestRetryAside(t *testing.T) {
	if err := changedFile(); err != nil {
		t.Fatal(err)
	}
	e := obstructed{detectortest.Stub{Size: 1}, make(chan error, 100)}
	let := func(n int, err error) {
		for range n {
			e.let <- err
		}
	}
	folder := folderOf(t, "flange")
	h := newHost(t, Options{Sources: []string{folder}, Options: []destseg.Option{destseg.WithEngine(e)}})
	t.Cleanup(func() { close(e.let) }) // what still waits ends
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	threshold := func() float64 {
		t.Helper()
		result, err := h.Inspect(ctx, "flange", noise(1))
		if err != nil {
			t.Fatal(err)
		}
		return result.Threshold
	}
	let(cap(e.let), nil)
	if got := threshold(); got != 0.5 {
		t.Fatalf("threshold %v", got)
	}
	networks := cap(e.let) - len(e.let)
	for len(e.let) > 0 {
		<-e.let
	}
	put(t, changed, filepath.Join(folder, "flange"+extension))
	let(1, errors.New("for a reason that passes"))
	if got := threshold(); got != 0.5 {
		t.Errorf("threshold %v of a file that can't be used", got)
	}
	h.mu.Lock()
	h.slots["flange"].retry = time.Now()
	h.mu.Unlock()
	for range 2 { // it waits to be let compile
		if got := threshold(); got != 0.5 {
			t.Errorf("threshold %v while the file is tried again", got)
		}
	}
	if card, err := h.Card("flange"); err != nil || card.State != api.Ready || card.Error == "" || *card.Threshold != 0.5 {
		t.Errorf("%+v, %v", card, err)
	}
	let(networks, nil)
	for threshold() != 0.4 { // until ctx ends
		time.Sleep(time.Millisecond)
	}
	if s := h.Stats(); s.Failures != 1 || s.Loads != 2 {
		t.Errorf("%+v", s)
	}
}

// TestReplaced checks that a card does not mix an old file with a new one.
func TestReplaced(t *testing.T) {
	if err := changedFile(); err != nil {
		t.Fatal(err)
	}
	folder := folderOf(t, "flange")
	path := filepath.Join(folder, "flange"+extension)
	h := newHost(t, Options{Sources: []string{folder}, Options: []destseg.Option{destseg.WithEngine(detectortest.Stub{Size: 1})}})
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("no detector"), 0o666); err != nil {
		t.Fatal(err)
	}
	check := func(what, state string, file string, loaded bool, problem string) {
		t.Helper()
		card, err := h.Card("flange")
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		threshold := map[string]float64{original: 0.5, changed: 0.4}[file]
		if card.State != state || card.Bytes != info.Size() || !card.Modified.Equal(info.ModTime()) || *card.Threshold != threshold ||
			!strings.Contains(string(card.Record), fmt.Sprintf(`"image":%v`, threshold)) || (card.Digest != "") != loaded || (card.Memory > 0) != loaded || card.Error != problem {
			t.Errorf("%s: %+v", what, card)
		}
	}
	load := func() {
		t.Helper()
		if err := h.Load(t.Context(), "flange"); err != nil {
			t.Fatal(err)
		}
	}
	load()
	check("loaded", api.Ready, original, true, "")
	put(t, changed, path)
	check("replaced", api.Idle, changed, false, "")
	load()
	check("loaded again", api.Ready, changed, true, "")
	put(t, broken, path)
	// The same before the next picture and after it.
	for range 2 {
		check("replaced by what is none", api.Ready, changed, true, destseg.ErrNotDetector.Error())
		load()
	}
}

// TestEviction checks that the memory limit is kept and the least recently used goes.
func TestEviction(t *testing.T) {
	const size = 200 << 20 // more than a file, by which room is made
	stub := []destseg.Option{destseg.WithEngine(detectortest.Stub{Size: size})}
	folder := folderOf(t, "a", "b", "c")
	const limit = 2*size + size/2
	h := newHost(t, Options{Sources: []string{folder}, Memory: limit, Options: stub})
	for i, step := range []struct{ name, loaded string }{
		{"a", "a"}, {"b", "ab"}, {"a", "ab"}, {"c", "ac"}, {"b", "bc"}, {"b", "bc"},
	} {
		if _, err := h.Inspect(t.Context(), step.name, noise(1)); err != nil {
			t.Fatal(err)
		}
		cards, err := h.Cards()
		if err != nil {
			t.Fatal(err)
		}
		var loaded strings.Builder
		for _, c := range cards {
			if c.State == api.Ready {
				loaded.WriteString(c.Name)
			}
		}
		if loaded.String() != step.loaded {
			t.Errorf("step %d: %s are loaded, want %s", i, loaded.String(), step.loaded)
		}
		if s := h.Stats(); s.Memory > limit {
			t.Errorf("step %d: %d bytes, the limit is %d", i, s.Memory, limit)
		}
	}
	if s := h.Stats(); s.Evicted != 2 {
		t.Errorf("%d evicted", s.Evicted)
	}

	// What is no detector makes nobody go.
	if err := os.WriteFile(filepath.Join(folder, "d"+extension), make([]byte, 1000), 0o666); err != nil {
		t.Fatal(err)
	}
	tight := newHost(t, Options{Sources: []string{folder}, Memory: size, Options: stub})
	if err := tight.Load(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := tight.Load(t.Context(), "d"); !errors.Is(err, ErrUnusable) {
		t.Error(err)
	}
	if s := tight.Stats(); s.Evicted != 0 || s.Loaded != 1 {
		t.Errorf("for a file that is none, %d of %d were evicted", s.Evicted, s.Loads)
	}

	small := newHost(t, Options{Sources: []string{folder}, Memory: size - 1, Options: stub})
	if _, err := small.Inspect(t.Context(), "a", noise(1)); !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), "raise it") {
		t.Error(err)
	}
}

// TestQueue fills all places.
func TestQueue(t *testing.T) {
	gate := detectortest.NewGate(detectortest.Stub{Size: 1})
	h := newHost(t, Options{Sources: []string{original}, Queue: 3, Options: []destseg.Option{destseg.WithEngine(gate)}})
	places := h.Stats().Places
	outcomes := make(chan error, places)
	for i := range places {
		go func() {
			_, err := h.Inspect(t.Context(), "original", noise(uint64(i)))
			outcomes <- err
		}()
	}
	<-gate.Entered
	for s := h.Stats(); s.Waiting != 3 || s.Working != places-3; s = h.Stats() {
		time.Sleep(time.Millisecond)
	}
	_, err := h.Inspect(t.Context(), "original", noise(1))
	var busy *BusyError
	if !errors.As(err, &busy) || busy.RetryAfter < time.Second {
		t.Errorf("a picture too many: %v", err)
	}
	if err := h.Full(); !errors.As(err, &busy) {
		t.Error(err)
	}
	gate.Open()
	for range places {
		if err := <-outcomes; err != nil {
			t.Error(err)
		}
	}
	if err := h.Full(); err != nil {
		t.Error(err)
	}
}

// TestQueueContext checks that who does not wait any longer leaves the queue.
func TestQueueContext(t *testing.T) {
	h := newHost(t, Options{Sources: []string{original}, Queue: 1})
	var working []*Place
	for range cap(h.queue.turns) {
		p, err := h.Enter()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		working = append(working, p)
	}
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	for range 3 {
		if _, err := h.Inspect(ctx, "original", noise(1)); err != gone {
			t.Errorf("%v, want the cause", err)
		}
	}
	for _, p := range working {
		p.Leave()
	}
	if s := h.Stats(); s.Waiting+s.Working != 0 {
		t.Errorf("%+v", s)
	}
	if _, err := h.Inspect(ctx, "original", noise(1)); err != nil && err != gone {
		t.Error(err)
	}
}

// TestClose checks that what was accepted is finished.
func TestClose(t *testing.T) {
	gate := detectortest.NewGate(detectortest.Stub{Size: 1})
	h := newHost(t, Options{Sources: []string{original}, Queue: 5, Options: []destseg.Option{destseg.WithEngine(gate)}})
	const pictures = 4
	outcomes := make(chan error, pictures)
	for i := range pictures {
		go func() {
			_, err := h.Inspect(t.Context(), "original", noise(uint64(i)))
			outcomes <- err
		}()
	}
	<-gate.Entered
	for s := h.Stats(); s.Waiting+s.Working < pictures; s = h.Stats() {
		time.Sleep(time.Millisecond)
	}
	closed := make(chan error)
	go func() { closed <- h.Close() }()
	for h.Full() == nil {
		time.Sleep(time.Millisecond)
	}
	if _, err := h.Inspect(t.Context(), "original", noise(1)); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	select {
	case <-closed:
		t.Error("closed while pictures were inspected")
	default:
	}
	gate.Open()
	for range pictures {
		if err := <-outcomes; err != nil {
			t.Error(err)
		}
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := h.Load(t.Context(), "original"); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestTurmoil inspects, replaces, evicts and unloads all at once: two of three detectors
// fit into memory. Every result must be that of one of the files there were; that batches
// mix up no pictures is tested elsewhere.
func TestTurmoil(t *testing.T) {
	if err := changedFile(); err != nil {
		t.Fatal(err)
	}
	const size = 200 << 20 // more than a file, by which room is made
	names := []string{"a", "b", "c"}
	folder := folderOf(t, names...)
	h := newHost(t, Options{
		Sources: []string{folder}, Queue: 1000, Batch: 2, Wait: time.Millisecond, Memory: 2*size + size/2,
		Options: []destseg.Option{destseg.WithEngine(detectortest.Stub{Size: size, Took: time.Millisecond})},
	})
	const rounds = 3
	var all sync.WaitGroup
	for worker := range 6 {
		all.Go(func() {
			for i := range rounds {
				got, err := h.Inspect(t.Context(), names[(worker%2+i)%len(names)], noise(uint64(worker)))
				if err != nil {
					t.Error(err)
				} else if got.Threshold != 0.5 && got.Threshold != 0.4 {
					t.Errorf("threshold %v", got.Threshold)
				}
			}
		})
	}
	all.Go(func() {
		for i := range rounds {
			put(t, []string{changed, original}[i%2], filepath.Join(folder, "b"+extension))
			if err := h.Unload("c"); err != nil {
				t.Error(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	all.Wait()
	if s := h.Stats(); s.Evicted == 0 || s.Waiting+s.Working != 0 {
		t.Errorf("%+v", s)
	}
}
