package wholefile

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestRemoveLeftovers(t *testing.T) {
	dir := t.TempDir()
	kept := []string{"a", "a.0123456789abcdef.tmp.b", "a.0123.tmp", "b.0123456789abcdef.tmp", "a.tmp"}
	for _, name := range append([]string{"a.0123456789abcdef.tmp", "a.fedcba9876543210.tmp"}, kept...) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := RemoveLeftovers(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(kept)
	if !slices.Equal(names, kept) {
		t.Errorf("left %q, want %q", names, kept)
	}
}
