package weights

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
)

// RemoveLeftovers removes what a program that was killed while it ran [WriteFile]
// for path has left beside it. No other program may be writing path.
func RemoveLeftovers(path string) error {
	folder, name := filepath.Split(path)
	entries, err := os.ReadDir(filepath.Clean(folder))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		middle, ours := strings.CutPrefix(entry.Name(), name+".")
		middle, temporary := strings.CutSuffix(middle, ".tmp")
		if number, err := hex.DecodeString(middle); !ours || !temporary || err != nil || len(number) != 8 {
			continue
		}
		if err := os.Remove(filepath.Join(folder, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}
