package watch

import (
	"bytes"
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
	add := func(j *journal, e entry) {
		t.Helper()
		if err := j.add(e); err != nil {
			t.Fatal(err)
		}
	}
	j := open()
	add(j, entry{Path: "a.png", version: version{1, 2}})
	add(j, entry{Path: "b/ä\n.png", version: version{3, 4}, To: "ok/b/ä\n.png"})
	add(j, entry{Path: "a.png", version: version{5, 6}})

	// A process that was killed while it wrote leaves a part of a line.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("\n" + `{"path":"torn.png","si`)
	f.Close()
	j = open()
	add(j, entry{Path: "c.png", version: version{7, 8}})
	j = open()
	want := map[string]entry{
		"a.png":     {Path: "a.png", version: version{5, 6}},
		"b/ä\n.png": {Path: "b/ä\n.png", version: version{3, 4}, To: "ok/b/ä\n.png"},
		"c.png":     {Path: "c.png", version: version{7, 8}},
	}
	if len(j.entries) != len(want) {
		t.Errorf("%d entries: %v", len(j.entries), j.entries)
	}
	for path, e := range want {
		if got, ok := j.get(path); !ok || got != e {
			t.Errorf("%q: %v, want %v", path, got, e)
		}
	}

	// What is gone for long is forgotten, and the file shrinks.
	now := time.Now()
	j.keep(map[string]bool{"a.png": true}, now)
	j.keep(map[string]bool{"a.png": true}, now.Add(remembered/2))
	if len(j.entries) != 3 {
		t.Errorf("forgotten too early: %v", j.entries)
	}
	j.keep(map[string]bool{"a.png": true, "c.png": true}, now.Add(remembered-1))
	j.keep(map[string]bool{"a.png": true}, now.Add(remembered+1))
	if _, ok := j.get("b/ä\n.png"); ok || len(j.entries) != 2 {
		t.Errorf("remembered: %v", j.entries)
	}
	for i := range 600 {
		path := fmt.Sprint(i, ".png")
		add(j, entry{Path: path})
		j.drop(path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(text, []byte("\n")); lines > 300 {
		t.Errorf("%d lines", lines)
	}
	if _, ok := open().get("c.png"); !ok {
		t.Error("rewritten without what holds")
	}
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte("\n{\"path\":\"a.png\",\"size\":1,\"modified\":2}\n\n{\"path\":\"b"))
	f.Add([]byte(`{"path":"../../etc/x.png","to":"/tmp/x.png"}`))
	f.Add([]byte(`{"path":"x.png","to":"../x.png"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		for path, e := range parseJournal(text) {
			if e.Path != path || !filepath.IsLocal(path) || e.To != "" && !filepath.IsLocal(e.To) {
				t.Errorf("%q: %+v", path, e)
			}
		}
	})
}
