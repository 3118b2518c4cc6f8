package detectortest

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// Main runs the tests of a package that share files, such as a detector's, for its
// TestMain. It makes a folder, which prepare fills, and removes it at the end.
func Main(m *testing.M, prepare func(folder string) error) {
	flag.Parse()
	os.Exit(func() int {
		folder, err := os.MkdirTemp("", "destseg-test-*")
		if err == nil {
			defer os.RemoveAll(folder)
			err = prepare(folder)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}
