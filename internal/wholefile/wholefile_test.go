package wholefile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

// holds checks that a folder has these files and no others, name and content by turns.
func holds(t *testing.T, folder string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != len(want)/2 {
		t.Fatalf("the folder holds %v, %v", entries, err)
	}
	for i, entry := range entries {
		content, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if entry.Name() != want[2*i] || string(content) != want[2*i+1] {
			t.Errorf("%s holds %q, %v", entry.Name(), content, err)
		}
	}
}

func TestWrite(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "a")
	for _, s := range []string{"first", "second"} {
		if err := Write(path, text(s)); err != nil {
			t.Fatal(err)
		}
		holds(t, folder, "a", s)
	}

	full := errors.New("no space left on device")
	for _, written := range []int{0, 10, 3 << 20} {
		err := Write(path, func(w io.Writer) error {
			return errors.Join(text(strings.Repeat("x", written))(w), full)
		})
		if e := (*fs.PathError)(nil); !errors.Is(err, full) || !errors.As(err, &e) || e.Path != path {
			t.Errorf("full disk: %v", err)
		}
	}
	holds(t, folder, "a", "second")

	missing, taken := filepath.Join(folder, "missing", "a"), filepath.Join(t.TempDir(), "taken")
	if err := os.MkdirAll(filepath.Join(taken, "inside"), 0o777); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{missing: fs.ErrNotExist, taken: nil} {
		err := Write(path, text("x"))
		if err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), ".tmp") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestMode checks that a file is as open to others as the user's umask says.
func TestMode(t *testing.T) {
	folder := t.TempDir()
	usual, path := filepath.Join(folder, "usual"), filepath.Join(folder, "whole")
	if err := os.WriteFile(usual, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, text("x")); err != nil {
		t.Fatal(err)
	}
	want, err1 := os.Stat(usual)
	got, err2 := os.Stat(path)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if got.Mode() != want.Mode() {
		t.Errorf("mode %v, want %v", got.Mode(), want.Mode())
	}
}

func TestDiscard(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "a")
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if target, ok := Target(f.file.Name()); !ok || target != path {
		t.Errorf("%s stands for %q, %v", f.file.Name(), target, ok)
	}
	f.Discard()
	f.Discard()
	holds(t, folder)
	if target, ok := Target(path); ok {
		t.Errorf("%s stands for %q", path, target)
	}
}
