package watch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	open := func() *journal {
		t.Helper()
		j, err := openJournal(path)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	end := func(j *journal, e entry) {
		t.Helper()
		if err := j.end(e); err != nil {
			t.Fatal(err)
		}
	}
	begin := func(j *journal, f file) string {
		t.Helper()
		e, err := j.begin(f)
		if err != nil || e.done || e.id == "" {
			t.Fatalf("%+v, %v", e, err)
		}
		return e.id
	}
	a, b := file{"a.png", version{5, 6}}, file{"b/ä\n.png", version{3, 4}}
	j := open()
	end(j, entry{file: file{"a.png", version{1, 2}}, id: "1"})
	end(j, entry{file: b, id: "2", to: "ok/b/ä\n.png"})
	end(j, entry{file: a, id: "3"})
	if e, err := j.begin(a); err != nil || !e.done || e.id != "3" {
		t.Errorf("%+v, %v", e, err)
	}

	// What is in work keeps its ID, unless it changes or is gone in between.
	begun, other := file{"begun.png", version{9, 9}}, file{"begun.png", version{9, 10}}
	first := begin(j, begun)
	j = open()
	if id := begin(j, begun); id != first {
		t.Errorf("begun as %s and again as %s", first, id)
	}
	second := begin(j, other)
	end(j, entry{file: other, id: second})
	j.drop("begun.png")
	j = open()
	third := begin(j, other)
	j.drop("begun.png")
	if second == first || third == second {
		t.Errorf("IDs %s, %s, %s", first, second, third)
	}

	// A process that was killed while it wrote leaves a part of a line.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("\n" + `{"path":"torn.png","si`)
	f.Close()
	j = open()
	c := file{"c.png", version{7, 8}}
	end(j, entry{file: c, id: "4"})
	d := file{"d.png", version{1, 1}}
	fourth := begin(j, d)
	j = open()
	want := map[file]entry{a: {a, "3", true, ""}, b: {b, "2", true, "ok/b/ä\n.png"}, c: {c, "4", true, ""}, d: {d, fourth, false, ""}}
	if len(j.entries) != len(want) {
		t.Errorf("%d entries: %v", len(j.entries), j.entries)
	}
	for f, e := range want {
		if got, ok := j.get(f); !ok || got != e {
			t.Errorf("%q: %v, want %v", f.path, got, e)
		}
	}
	if ids := j.finished(); len(ids) != 3 || ids[fourth] {
		t.Errorf("finished: %v", ids)
	}
	if e, ok := j.get(file{"c.png", version{7, 9}}); ok || e.done {
		t.Error("another version passes for the one that is done with")
	}
	j.drop("d.png")

	// What is gone for long is forgotten, and the file shrinks.
	now := time.Now()
	j.keep(map[string]bool{"a.png": true}, now)
	j.keep(map[string]bool{"a.png": true}, now.Add(remembered/2))
	if len(j.entries) != 3 {
		t.Errorf("forgotten too early: %v", j.entries)
	}
	j.keep(map[string]bool{"a.png": true, "c.png": true}, now.Add(remembered-1))
	j.keep(map[string]bool{"a.png": true}, now.Add(remembered+1))
	if _, ok := j.get(b); ok || len(j.entries) != 2 {
		t.Errorf("remembered: %v", j.entries)
	}
	for i := range 600 {
		path := fmt.Sprint(i, ".png")
		end(j, entry{file: file{path: path}, id: "5"})
		j.drop(path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(text, []byte("\n")); lines > 1000 {
		t.Errorf("%d lines", lines)
	}
	if _, ok := open().get(c); !ok {
		t.Error("rewritten without what holds")
	}
}

// TestJournalOfBefore reads what a program wrote that knew of no pictures in work, and
// checks that it takes none of these for one that is done with.
func TestJournalOfBefore(t *testing.T) {
	before := parseJournal([]byte("\n" + `{"path":"a.png","size":1,"modified":2,"id":"0f","to":"ok/a.png"}` + "\n"))
	if want := (entry{file{"a.png", version{1, 2}}, "0f", true, "ok/a.png"}); before["a.png"] != want {
		t.Errorf("%+v, want %+v", before["a.png"], want)
	}
	text, err := json.Marshal(entry{file: file{path: "a.png"}, id: "1"}.line())
	if err != nil {
		t.Fatal(err)
	}
	var was struct{ Path string }
	if err := json.Unmarshal(text, &was); err != nil || was.Path != "" {
		t.Errorf("%s, %v", text, err)
	}
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte("\n{\"path\":\"a.png\",\"size\":1,\"modified\":2,\"id\":\"1\"}\n\n{\"path\":\"b"))
	f.Add([]byte(`{"path":"../../etc/x.png","to":"/tmp/x.png"}`))
	f.Add([]byte(`{"path":"x.png","id":"../x"}`))
	f.Add([]byte("{\"begun\":\"x.png\",\"id\":\"1\"}\n{\"gone\":\"x.png\"}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for path, e := range parseJournal(text) {
			if e.path != path || !filepath.IsLocal(path) || e.to != "" && !filepath.IsLocal(e.to) || e.id != filepath.Base(e.id) {
				t.Errorf("%q: %+v", path, e)
			}
		}
	})
}
