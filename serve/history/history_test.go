package history

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"image/jpeg"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/internal/detectortest"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/serve/api"
)

// A outcome is what there is to record.
type outcome struct {
	Answer     api.Inspection
	Picture    *picture.RGB
	Inspection *destseg.Inspection
}

func (r outcome) record(h *History) error {
	return h.Record(context.Background(), &r.Answer, r.Picture, r.Inspection)
}

// inspected is a picture and what a detector that knows nothing says about it. Nobody
// changes them.
var inspected = sync.OnceValues(func() (outcome, error) {
	p, in, err := detectortest.Inspect(40, 30, func(r *destseg.Record) { r.Threshold.Image = 0.45 })
	return outcome{Picture: p, Inspection: in}, err
})

// result returns a result of a made-up answer.
func result(t testing.TB, id string, change func(*api.Inspection)) outcome {
	t.Helper()
	r, err := inspected()
	if err != nil {
		t.Fatal(err)
	}
	r.Answer = answer(id, r)
	if change != nil {
		change(&r.Answer)
	}
	return r
}

// answer returns an answer for an inspected picture.
func answer(id string, r outcome) api.Inspection {
	in := r.Inspection
	regions, _ := in.Regions()
	return api.Inspection{
		ID: id, Time: time.Now(), Source: id + ".png", Detector: api.DetectorRef{Name: "flange", Digest: "01ab"},
		Judgement: api.Judgement{
			Score: in.Score, Threshold: &in.Threshold, Margin: new(in.Margin()), Verdict: in.Verdict(), Width: in.Width, Height: in.Height,
			Peak: in.Peak(), Regions: regions, Milliseconds: 1.5,
		},
	}
}

func open(t testing.TB, path string, o Options) *History {
	t.Helper()
	h, err := Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// both runs a test on a history in a file and on one in memory.
func both(t *testing.T, test func(t *testing.T, h *History)) {
	t.Run("file", func(t *testing.T) { test(t, open(t, filepath.Join(t.TempDir(), "a %3f?#.db"), Options{})) })
	t.Run("memory", func(t *testing.T) {
		h, err := InMemory(t.Context(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		test(t, h)
	})
}

func add(t testing.TB, h *History, r outcome) {
	t.Helper()
	if err := r.record(h); err != nil {
		t.Fatal(err)
	}
}

// sound checks the whole database.
func sound(t *testing.T, h *History) {
	t.Helper()
	var said string
	if err := h.read.QueryRow("PRAGMA integrity_check").Scan(&said); err != nil || said != "ok" {
		t.Fatalf("integrity_check: %s, %v", said, err)
	}
	var broken int
	if err := h.read.QueryRow("SELECT count(*) FROM pragma_foreign_key_check").Scan(&broken); err != nil || broken > 0 {
		t.Fatalf("foreign_key_check: %d, %v", broken, err)
	}
}

// TestRecord checks that everything comes back.
func TestRecord(t *testing.T) {
	both(t, func(t *testing.T, h *History) {
		r := result(t, "a", func(a *api.Inspection) { a.Source, a.Overlay = "part\x00\n\xff.png", []byte{1} })
		add(t, h, r)

		e, err := h.Get(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		in := r.Inspection
		area := 0
		for _, region := range r.Answer.Regions {
			area += region.Area
		}
		if len(r.Answer.Regions) == 0 {
			t.Fatal("the picture has no regions")
		}
		want := Entry{
			ID: "a", Time: time.UnixMicro(r.Answer.Time.UnixMicro()), Detector: "flange", Digest: "01ab", Source: "part \n\ufffd.png", Width: 40, Height: 30,
			Score: in.Score, Threshold: &in.Threshold, Verdict: in.Verdict(), Regions: len(r.Answer.Regions), Area: area, Milliseconds: 1.5, number: 1,
		}
		if !reflect.DeepEqual(e, want) {
			t.Errorf("got %+v, want %+v", e, want)
		}
		again, err := h.Inspection(t.Context(), "a")
		if err != nil || !reflect.DeepEqual(again, in) {
			t.Errorf("another inspection comes back, %v", err)
		}
		answer, err := h.Answer(t.Context(), "a")
		if err != nil || answer.Overlay != nil || !reflect.DeepEqual(answer.Regions, r.Answer.Regions) || answer.ID != "a" {
			t.Errorf("answer %+v, %v", answer, err)
		}
		for what, get := range map[string]func(context.Context, string) ([]byte, error){"picture": h.Picture, "thumbnail": h.Thumbnail} {
			content, err := get(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			if c, err := jpeg.DecodeConfig(bytes.NewReader(content)); err != nil || c.Width != 40 || c.Height != 30 {
				t.Errorf("%s: %+v, %v", what, c, err)
			}
			if _, err := get(t.Context(), "b"); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s of nothing: %v", what, err)
			}
		}
		if _, err := h.Get(t.Context(), "b"); !errors.Is(err, ErrNotFound) {
			t.Errorf("nothing: %v", err)
		}
		if err := r.record(h); err == nil {
			t.Error("one ID twice")
		}
		if err := (outcome{Picture: r.Picture, Inspection: in}).record(h); err == nil {
			t.Error("no ID")
		}
		sound(t, h)
	})
}

// TestLargePicture checks the sizes of what is kept of a large picture.
func TestLargePicture(t *testing.T) {
	h := open(t, filepath.Join(t.TempDir(), "h.db"), Options{})
	r := result(t, "a", nil)
	r.Picture = r.Picture.Resize(3200, 20)
	add(t, h, r)
	for _, kept := range []struct {
		get           func(context.Context, string) ([]byte, error)
		width, height int
	}{{h.Picture, 1600, 10}, {h.Thumbnail, 256, 2}} {
		content, err := kept.get(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if c, err := jpeg.DecodeConfig(bytes.NewReader(content)); err != nil || c.Width != kept.width || c.Height != kept.height {
			t.Errorf("%+v, %v, want %d×%d", c, err, kept.width, kept.height)
		}
	}
}

// ids names the entries of a list.
func ids(l List) string {
	var names []string
	for _, e := range l.Entries {
		names = append(names, e.ID)
	}
	return strings.Join(names, " ")
}

// TestList checks filters and pages against a filter written here.
func TestList(t *testing.T) {
	both(t, func(t *testing.T, h *History) {
		start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		type row struct {
			id, detector, verdict, source, mark string
			at                                  time.Time
		}
		var rows []row
		for i := range 24 {
			r := row{
				fmt.Sprintf("r%02d", i), []string{"flange", "tile"}[i%2], []string{"OK", "NG", ""}[i%3],
				[]string{"a%b.png", "A_b.png", "c.png", "çé.png"}[i%4], []string{"", "right", "wrong", "", ""}[i%5], start.Add(time.Duration(i) * time.Hour),
			}
			rows = append(rows, r)
			add(t, h, result(t, r.id, func(a *api.Inspection) {
				a.Time, a.Detector.Name, a.Verdict, a.Source = r.at, r.detector, r.verdict, r.source
				if r.verdict == "" {
					a.Threshold = nil
				}
			}))
			if r.mark != "" {
				if _, err := h.Mark(t.Context(), r.id, Opinion(r.mark), ""); err != nil {
					t.Fatal(err)
				}
			}
		}
		slices.Reverse(rows)

		for _, test := range []struct {
			filter Filter
			takes  func(row) bool
		}{
			{Filter{}, func(row) bool { return true }},
			{Filter{Detector: "tile"}, func(r row) bool { return r.detector == "tile" }},
			{Filter{Detector: "til"}, func(row) bool { return false }},
			{Filter{Verdict: "NG"}, func(r row) bool { return r.verdict == "NG" }},
			{Filter{Verdict: "none"}, func(r row) bool { return r.verdict == "" }},
			{Filter{Mark: "wrong"}, func(r row) bool { return r.mark == "wrong" }},
			{Filter{Mark: "marked"}, func(r row) bool { return r.mark != "" }},
			{Filter{Mark: "none", Verdict: "OK"}, func(r row) bool { return r.mark == "" && r.verdict == "OK" }},
			{Filter{Source: "a%B"}, func(r row) bool { return r.source == "a%b.png" }},
			{Filter{Source: "a_b"}, func(r row) bool { return r.source == "A_b.png" }},
			{Filter{Source: "ç"}, func(r row) bool { return r.source == "çé.png" }},
			{Filter{From: start.Add(3 * time.Hour), To: start.Add(5 * time.Hour)}, func(r row) bool { return r.id == "r03" || r.id == "r04" }},
		} {
			var want []string
			for _, r := range rows {
				if test.takes(r) {
					want = append(want, r.id)
				}
			}
			for _, limit := range []int{1, 3, 5, 24, 50} {
				// From the newest end to the oldest and back again.
				var pages []string
				at := Cursor("")
				for {
					l, err := h.List(t.Context(), test.filter, at, limit)
					if err != nil {
						t.Fatal(err)
					}
					if l.Count != len(want) || len(l.Entries) > limit {
						t.Fatalf("%+v: %d of %d results, want %d", test.filter, len(l.Entries), l.Count, len(want))
					}
					pages = append(pages, ids(l))
					if (l.Newer == "") != (len(pages) == 1) {
						t.Fatalf("%+v: page %d leads to newer ones by %q", test.filter, len(pages), l.Newer)
					}
					if l.Older == "" {
						at = l.Newer
						break
					}
					at = l.Older
				}
				if got := strings.Join(pages, " "); got != strings.Join(want, " ") {
					t.Errorf("%+v by %d: %s, want %s", test.filter, limit, got, want)
				}
				for i := len(pages) - 2; i >= 0; i-- {
					l, err := h.List(t.Context(), test.filter, at, limit)
					if err != nil || ids(l) != pages[i] || l.Older == "" || (l.Newer == "") != (i == 0) {
						t.Fatalf("%+v back by %d: %s, %q, %q, %v; want %s", test.filter, limit, ids(l), l.Newer, l.Older, err, pages[i])
					}
					at = l.Newer
				}
			}
			for i, id := range want {
				newer, older, err := h.Neighbours(t.Context(), id, test.filter)
				wantNewer, wantOlder := "", ""
				if i > 0 {
					wantNewer = want[i-1]
				}
				if i+1 < len(want) {
					wantOlder = want[i+1]
				}
				if err != nil || newer != wantNewer || older != wantOlder {
					t.Errorf("%+v: beside %s are %q and %q, %v", test.filter, id, newer, older, err)
				}
			}
		}

		for _, f := range []Filter{{Verdict: "ok"}, {Mark: "maybe"}} {
			if _, err := h.List(t.Context(), f, "", 1); !errors.Is(err, ErrFilter) {
				t.Errorf("%+v: %v", f, err)
			}
		}
		for _, at := range []Cursor{"x", "older.", "older.1 OR 1", "elsewhere.1"} {
			if _, err := h.List(t.Context(), Filter{}, at, 1); !errors.Is(err, ErrFilter) {
				t.Errorf("%q: %v", at, err)
			}
		}
		names, err := h.Detectors(t.Context())
		if err != nil || !slices.Equal(names, []string{"flange", "tile"}) {
			t.Errorf("detectors %q, %v", names, err)
		}
	})
}

// TestLongSource checks that a source that no result can have is the client's fault: SQLite
// refuses such patterns.
func TestLongSource(t *testing.T) {
	h := open(t, filepath.Join(t.TempDir(), "h.db"), Options{})
	add(t, h, result(t, "a", nil))
	if _, err := h.List(t.Context(), Filter{Source: strings.Repeat("a", 60_000)}, "", 1); !errors.Is(err, ErrFilter) {
		t.Error(err)
	}
}

func TestEmpty(t *testing.T) {
	both(t, func(t *testing.T, h *History) {
		l, err := h.List(t.Context(), Filter{}, "", 10)
		if err != nil || !reflect.DeepEqual(l, List{}) {
			t.Errorf("%+v, %v", l, err)
		}
		if names, err := h.Detectors(t.Context()); err != nil || len(names) > 0 {
			t.Errorf("detectors %q, %v", names, err)
		}
		if n, err := h.Tidy(t.Context()); n != 0 || err != nil {
			t.Errorf("removed %d, %v", n, err)
		}
	})
}

func TestMark(t *testing.T) {
	both(t, func(t *testing.T, h *History) {
		add(t, h, result(t, "a", nil))
		for _, test := range []struct {
			opinion    Opinion
			note, kept string
		}{
			{Wrong, "a speck of\r dust\n", "a speck of  dust\n"},
			{Right, "", ""},
			{Right, strings.Repeat("é", 600), strings.Repeat("é", 500) + "…"},
			{Unmarked, "nothing", ""},
		} {
			before := time.Now().Add(-time.Millisecond)
			mark, err := h.Mark(t.Context(), "a", test.opinion, test.note)
			if err != nil {
				t.Fatal(err)
			}
			e, err := h.Get(t.Context(), "a")
			if err != nil || e.Mark != mark || mark.Opinion != test.opinion || mark.Note != test.kept {
				t.Errorf("marked %+v and kept %+v, %v", mark, e.Mark, err)
			}
			if made := mark.Time.After(before); made != (test.opinion != Unmarked) {
				t.Errorf("%q was marked at %v", test.opinion, mark.Time)
			}
		}
		if _, err := h.Mark(t.Context(), "b", Right, ""); !errors.Is(err, ErrNotFound) {
			t.Errorf("nothing: %v", err)
		}
		if _, err := h.Mark(t.Context(), "a", "maybe", ""); !errors.Is(err, ErrFilter) {
			t.Errorf("maybe: %v", err)
		}
	})
}

func TestWriteCSV(t *testing.T) {
	both(t, func(t *testing.T, h *History) {
		at := time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.FixedZone("", 3600))
		for i := range 2 {
			add(t, h, result(t, fmt.Sprint("r", i), func(a *api.Inspection) {
				a.Time, a.Source, a.Score, a.Threshold = at, "=1+2,\"x\".png", 0.75, new(0.5)
				if i == 1 {
					a.Threshold, a.Verdict = nil, ""
				}
			}))
		}
		// Many more of the same kind.
		if _, err := h.write.Exec(`INSERT INTO result (id, time, detector, digest, source, width, height, score, verdict, regions, area, milliseconds)
			WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i+1 FROM n WHERE i <= ?)
			SELECT 'r'||i, time, detector, digest, source, width, height, score, verdict, regions, area, milliseconds FROM n JOIN result WHERE id = 'r1'`, csvAtOnce); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Mark(t.Context(), "r0", Wrong, "-1"); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := h.WriteCSV(t.Context(), &b, Filter{}); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&b).ReadAll()
		if err != nil || len(rows) != csvAtOnce+3 || !slices.Equal(rows[0], csvHeader) {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		field := func(row int, name string) string { return rows[row][slices.Index(csvHeader, name)] }
		last := csvAtOnce + 2
		for name, want := range map[string]string{
			"id": "r0", "time": "2026-01-02T02:04:05.6Z", "detector": "flange", "digest": "01ab", "source": "'=1+2,\"x\".png", "width": "40", "height": "30",
			"score": "0.75", "threshold": "0.5", "margin": "0.25", "milliseconds": "1.5", "mark": "wrong", "note": "'-1",
		} {
			if got := field(last, name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if field(last, "marked") == "" || field(1, "marked") != "" || field(last-1, "threshold")+field(last-1, "margin") != "" {
			t.Error("fields that are filled and should not be, or the other way round")
		}
		seen := map[string]bool{}
		for i := range rows[1:] {
			seen[field(i+1, "id")] = true
		}
		if len(seen) != csvAtOnce+2 {
			t.Errorf("%d different results", len(seen))
		}
	})
}

// TestTidy checks both limits, and that the file becomes smaller.
func TestTidy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.db")
	h := open(t, path, Options{})
	r := result(t, "", nil)
	r.Picture = r.Picture.Resize(300, 300)
	now := time.Now()
	const n = 40
	for i := range n {
		r.Answer.ID, r.Answer.Time = fmt.Sprint(i), now.Add(-time.Duration(n-i)*time.Hour)
		add(t, h, r)
	}
	left := func() string {
		l, err := h.List(t.Context(), Filter{}, "", n)
		if err != nil {
			t.Fatal(err)
		}
		if len(l.Entries) == 0 {
			return ""
		}
		return fmt.Sprint(len(l.Entries), " from ", l.Entries[len(l.Entries)-1].ID)
	}

	h.options = Options{Age: 30*time.Hour + time.Minute}
	if removed, err := h.Tidy(t.Context()); removed != 10 || err != nil || left() != "30 from 10" {
		t.Errorf("by age: %d removed, %s left, %v", removed, left(), err)
	}
	used, total, _, err := h.sizes(t.Context())
	if err != nil || used != total {
		t.Errorf("%d of %d bytes are used, %v", used, total, err)
	}
	h.options = Options{Bytes: used / 2}
	removed, err := h.Tidy(t.Context())
	if want := fmt.Sprintf("%d from %d", 30-removed, 10+removed); err != nil || removed < 13 || removed > 20 || left() != want {
		t.Errorf("by size: %d removed, %s left, %v", removed, left(), err)
	}
	if removed, err := h.Tidy(t.Context()); removed != 0 || err != nil {
		t.Errorf("again: %d removed, %v", removed, err)
	}
	h.options = Options{Bytes: 1}
	if _, err := h.Tidy(t.Context()); err != nil || left() != "1 from 39" {
		t.Errorf("to nothing: %s left, %v", left(), err)
	}
	sound(t, h)
	if _, err := h.write.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > used/4 {
		t.Errorf("the file has still %d bytes, %v", info.Size(), err)
	}
	r.Answer.ID = "new"
	add(t, h, r)
	if e, err := h.entries(t.Context(), "id = 'new'"); err != nil || e[0].number != n+1 {
		t.Errorf("a number is given again: %+v, %v", e, err)
	}
}

// TestTidySoon checks that a fast line does not add many times the limit before the next
// minute is over.
func TestTidySoon(t *testing.T) {
	const limit = 256 << 10
	h, err := InMemory(t.Context(), Options{Bytes: limit})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	r := result(t, "", nil)
	r.Picture = r.Picture.Resize(300, 300)
	for i := range 100 {
		r.Answer.ID = fmt.Sprint(i)
		add(t, h, r)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		used, _, results, err := h.sizes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if used <= limit+limit/4 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d results take %d bytes; at most %d were to be kept", results, used, limit)
		}
	}
}

// TestOpen checks what is opened again, and what is refused and left alone.
func TestOpen(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "h.db")
	h, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "1", "auto_vacuum": "2", "foreign_keys": "1", "application_id": "1146311751"} {
		var got string
		if err := h.write.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", pragma, got, err, want)
		}
	}
	add(t, h, result(t, "a", nil))
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the log is left: %v", err)
	}

	h = open(t, path, Options{Age: time.Hour})
	if _, err := h.Get(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if _, err := h.write.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, Options{}); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), path) {
		t.Errorf("newer: %v", err)
	}

	text, other := filepath.Join(folder, "text.db"), filepath.Join(folder, "other.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database at all\n", 100)), 0o666); err != nil {
		t.Fatal(err)
	}
	h = open(t, other, Options{})
	for _, change := range []string{"PRAGMA application_id = 1", "PRAGMA journal_mode = DELETE"} {
		if _, err := h.write.Exec(change); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{text, other} {
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), path, Options{}); !errors.Is(err, ErrNotHistory) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s has been changed, %v", path, err)
		}
	}
	for _, path := range []string{folder, filepath.Join(folder, "missing", "h.db"), filepath.Join(text, "h.db")} {
		if _, err := Open(t.Context(), path, Options{}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestCopy checks copies made while results come in.
func TestCopy(t *testing.T) {
	both(t, func(t *testing.T, h *History) {
		folder := t.TempDir()
		ctx, stop := context.WithCancel(t.Context())
		var adding sync.WaitGroup
		defer adding.Wait()
		defer stop()
		first := result(t, "first", nil)
		add(t, h, first)
		adding.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				r := first
				r.Answer.ID = fmt.Sprint(i)
				if err := r.record(h); err != nil {
					t.Error(err)
				}
			}
		})
		for i := range 3 {
			path := filepath.Join(folder, fmt.Sprint(i, ".db"))
			if err := h.Copy(t.Context(), path); err != nil {
				t.Fatal(err)
			}
			if err := h.Copy(t.Context(), path); !errors.Is(err, os.ErrExist) {
				t.Errorf("over a file: %v", err)
			}
			c := open(t, path, Options{})
			sound(t, c)
			if in, err := c.Inspection(t.Context(), "first"); err != nil || !reflect.DeepEqual(in, first.Inspection) {
				t.Errorf("another inspection is copied, %v", err)
			}
		}
		stop()
		adding.Wait()
		if err := h.Copy(t.Context(), filepath.Join(folder, "missing", "h.db")); err == nil {
			t.Error("into no folder")
		}
		if left, _ := filepath.Glob(filepath.Join(folder, "*.tmp*")); len(left) > 0 {
			t.Errorf("left over: %q", left)
		}
	})
}
