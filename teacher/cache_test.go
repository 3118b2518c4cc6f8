package teacher

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/destseg/destseg/internal/download"
	"github.com/destseg/destseg/weights"
)

// A maker publishes a made-up ResNet-18 on a server of its own.
type maker struct {
	content []byte
	source  Source
	cut     int // bytes after which the next answer breaks off; 0 for none
	ranges  []string
}

func newMaker(t *testing.T) *maker {
	t.Helper()
	var b bytes.Buffer
	if err := weights.WriteSafetensors(&b, file(stateDict(t, resnet18), "", trunkOnly)); err != nil {
		t.Fatal(err)
	}
	m := &maker{content: b.Bytes()}
	s := httptest.NewServer(m)
	t.Cleanup(s.Close)
	sum := sha256.Sum256(m.content)
	m.source = Source{URL: s.URL + "/models/resnet18.pth", Digest: hex.EncodeToString(sum[:]), Size: int64(len(m.content))}
	return m
}

func (m *maker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.ranges = append(m.ranges, r.Header.Get("Range"))
	w.Header().Set("ETag", `"1"`)
	if m.cut > 0 {
		n := m.cut
		m.cut = 0
		w.Write(m.content[:n])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(m.content))
}

// check makes sure that a cache gives the maker's teacher.
func (m *maker) check(t *testing.T, c Cache) {
	t.Helper()
	got, err := c.Load()
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != ImageNet || got.Digest != m.source.Digest || len(got.Weights) != 75 {
		t.Errorf("%q, digest %s, %d tensors", got.Name, got.Digest, len(got.Weights))
	}
	for name, v := range got.Weights {
		if v[0] != valueOf(name) {
			t.Errorf("%s is %v", name, v[0])
		}
	}
	if left, err := filepath.Glob(filepath.Join(c.Folder, "*")); err != nil || !slices.Equal(left, []string{c.Path()}) {
		t.Errorf("the cache holds %v", left)
	}
}

func TestFetch(t *testing.T) {
	m := newMaker(t)
	c := Cache{filepath.Join(t.TempDir(), "new", "folder"), m.source}
	if _, err := c.Load(); !errors.Is(err, ErrNotFetched) || !strings.Contains(err.Error(), "destseg teacher fetch") {
		t.Errorf("before: %v", err)
	}
	var done, total int64
	if err := c.Fetch(t.Context(), Fetching{Progress: func(d, all int64) { done, total = d, all }}); err != nil {
		t.Fatal(err)
	}
	m.check(t, c)
	if size := int64(len(m.content)); done != size || total != size {
		t.Errorf("the progress ends with %d of %d", done, total)
	}

	// From a mirror, anew.
	mirror := newMaker(t)
	if err := c.Fetch(t.Context(), Fetching{URL: mirror.source.URL}); err != nil {
		t.Fatal(err)
	}
	m.check(t, c)
	if len(m.ranges) != 1 || len(mirror.ranges) != 1 {
		t.Errorf("%d requests to the maker, %d to the mirror", len(m.ranges), len(mirror.ranges))
	}
}

func TestFetchGoesOn(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		m := newMaker(t)
		m.cut = 1 << 20
		c := Cache{t.TempDir(), m.source}
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("enough")
		if err := c.Fetch(ctx, Fetching{Retry: func(error, time.Duration) { cancel(cause) }}); err != cause {
			t.Fatal(err)
		}
		if info, err := os.Stat(c.Partial()); err != nil || info.Size() != 1<<20 {
			t.Errorf("%v, %v", info, err)
		}
		if _, err := c.Load(); !errors.Is(err, ErrNotFetched) {
			t.Errorf("half of it loads: %v", err)
		}
		if err := c.Fetch(t.Context(), Fetching{Fresh: fresh}); err != nil {
			t.Fatal(err)
		}
		m.check(t, c)
		if want := map[bool]string{false: "bytes=1048576-", true: ""}[fresh]; m.ranges[1] != want {
			t.Errorf("fresh %v: asked for %q", fresh, m.ranges[1])
		}
	}
}

// TestFetchAnother checks that nothing but the file with the digest becomes the
// teacher, and that the one of before stays.
func TestFetchAnother(t *testing.T) {
	m := newMaker(t)
	c := Cache{t.TempDir(), m.source}
	if err := c.Fetch(t.Context(), Fetching{}); err != nil {
		t.Fatal(err)
	}
	m.content = bytes.Clone(m.content)
	m.content[len(m.content)-1]++
	if err := c.Fetch(t.Context(), Fetching{}); !errors.Is(err, ErrOther) {
		t.Errorf("another file: %v", err)
	}
	m.check(t, c)

	c.Source.Digest = strings.Repeat("0", 64)
	if _, err := c.Load(); !errors.Is(err, ErrUnsuitable) || !strings.Contains(err.Error(), "it was not made from resnet18.pth") {
		t.Errorf("a teacher of another source: %v", err)
	}
}

func TestImport(t *testing.T) {
	m := newMaker(t)
	c := Cache{filepath.Join(t.TempDir(), "cache"), m.source}
	path := filepath.Join(t.TempDir(), "downloaded elsewhere.pth")
	if err := os.WriteFile(path, m.content, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := c.Import(path); err != nil {
		t.Fatal(err)
	}
	m.check(t, c)

	another := write(t, "another.safetensors", changed(t, "bn1.bias", filled(0, 64)))
	if err := c.Import(another); !errors.Is(err, ErrOther) || !strings.Contains(err.Error(), m.source.Digest) {
		t.Error(err)
	}
	m.check(t, c)
}

// TestCacheNoticesChanges checks that a cached file that was damaged or put there by
// hand is not taken for the maker's.
func TestCacheNoticesChanges(t *testing.T) {
	m := newMaker(t)
	c := Cache{t.TempDir(), m.source}
	if err := c.Fetch(t.Context(), Fetching{}); err != nil {
		t.Fatal(err)
	}
	sound, err := os.ReadFile(c.Path())
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(sound)
	flipped[len(flipped)-1] ^= 1
	var bare bytes.Buffer
	if err := weights.WriteSafetensors(&bare, file(stateDict(t, resnet18), "", trunkOnly)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		what    string
		content []byte
		want    string
	}{
		{"flipped", flipped, "its values have changed since it was written"},
		{"without origin", bare.Bytes(), "it was not made from resnet18.pth"},
		{"cut", sound[:len(sound)/2], "damaged"},
		{"origin damaged", bytes.Replace(sound, []byte(`\"name\"`), []byte(`\"name\\`), 1), "damaged"},
	} {
		if err := os.WriteFile(c.Path(), test.content, 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := c.Load()
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasSuffix(err.Error(), "; destseg teacher fetch --force replaces it") ||
			!strings.Contains(err.Error(), c.Path()) {
			t.Errorf("%s: %v", test.what, err)
		}
	}
}

// TestUserCache checks that Load finds the official teacher where Import puts it.
func TestUserCache(t *testing.T) {
	for _, name := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} {
		t.Setenv(name, t.TempDir())
	}
	if _, err := Load(ImageNet); !errors.Is(err, ErrNotFetched) {
		t.Errorf("before: %v", err)
	}
	c, err := UserCache(Torchvision())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(c.Folder, 0o777); err != nil {
		t.Fatal(err)
	}
	builtin, err := Load(Builtin)
	if err != nil {
		t.Fatal(err)
	}
	want := Teacher{ImageNet, Torchvision().Digest, builtin.Weights, builtin.Pretraining}
	if err := Save(c.Path(), want); err != nil {
		t.Fatal(err)
	}
	if got, err := Load(ImageNet); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%q, %s, %v", got.Name, got.Digest, err)
	}
	if !strings.HasPrefix(Torchvision().Digest, "f37072fd") || Torchvision().File() != "resnet18-f37072fd.pth" {
		t.Errorf("%+v", Torchvision())
	}
}

func TestCheckRoom(t *testing.T) {
	c := Cache{t.TempDir(), Source{URL: "http://x/y.pth", Size: 50_000_000}}
	free := func(n int64) func(string) (int64, uint64, bool) {
		return func(string) (int64, uint64, bool) { return n, 1, true }
	}
	if err := c.checkRoom(free(62_000_000)); err != nil {
		t.Error(err)
	}
	if err := c.checkRoom(free(61_000_000)); err == nil || !strings.Contains(err.Error(), "the disk has 58 MiB left, and the download needs 59 MiB there") {
		t.Error(err)
	}
	if err := os.WriteFile(c.Partial(), make([]byte, 10_000_000), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := c.checkRoom(free(52_000_000)); err != nil {
		t.Error(err)
	}
	if err := c.checkRoom(func(string) (int64, uint64, bool) { return 0, 0, false }); err != nil {
		t.Error(err)
	}
}

// The errors of fetching are those of the package that does it.
func TestFetchUnreachable(t *testing.T) {
	if !errors.Is(ErrUnreachable, download.ErrUnreachable) {
		t.Error("another error")
	}
	c := Cache{t.TempDir(), Source{URL: "http://127.0.0.1:1/x.pth", Digest: strings.Repeat("0", 64), Size: 10}}
	ctx, cancel := context.WithCancelCause(t.Context())
	var reason error
	cause := errors.New("enough")
	err := c.Fetch(ctx, Fetching{Retry: func(err error, _ time.Duration) { reason = err; cancel(cause) }})
	if err != cause || !errors.Is(reason, ErrUnreachable) {
		t.Errorf("%v, %v", err, reason)
	}
}
