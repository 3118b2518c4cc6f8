package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/demoset"
	"github.com/destseg/destseg/internal/detectortest"
	"github.com/destseg/destseg/internal/golden"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/train"
)

var update = flag.Bool("update", false, "write the texts in testdata anew")

// shared is a folder for what tests read and none changes.
var shared string

// asProgram, set in the environment, makes the test binary the program, for tests
// of what signals do to it.
const asProgram = "DESTSEG_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	detectortest.Main(m, func(folder string) error {
		shared = folder
		return nil
	})
}

// An outcome is what a command line came to.
type outcome struct {
	code           int
	stdout, stderr string
}

// command runs a command line in this process.
func command(ctx context.Context, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	code := run(ctx, args, &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

// succeed runs a command line that must not fail.
func succeed(t *testing.T, args ...string) outcome {
	t.Helper()
	o := command(t.Context(), args...)
	if o.code != 0 {
		t.Fatalf("destseg %s: exit status %d\n%s", strings.Join(args, " "), o.code, o.stderr)
	}
	return o
}

// testRecord is that of the shared detector, whose weights are drawn at random.
func testRecord() destseg.Record {
	return destseg.Record{
		Program: "test", Category: "flange",
		Preprocessing: destseg.StandardPreprocessing(32, 32), Recipe: train.Published("flange"),
		Teacher:  destseg.TeacherRecord{Name: "builtin", Digest: "0123456789abcdef"},
		Pictures: destseg.PicturesRecord{Count: 12, Digest: "fedcba9876543210"}, Textures: "procedural",
		Engine: "plain", Precision: "fp32", Seconds: 90,
		Threshold: &destseg.Threshold{Image: 0.5, Pixel: 0.5, Source: "made up"},
	}
}

func testWeights() map[string][]float32 {
	values := map[string][]float32{}
	for _, t := range network.Tensors() {
		values[t.Name] = golden.Draw(t.Name, t.Shape)
	}
	return values
}

var sharedDetector = sync.OnceValues(func() (string, error) {
	path := filepath.Join(shared, "flange.safetensors")
	return path, destseg.Save(path, testRecord(), testWeights())
})

// detectorFile returns a detector that works and knows nothing.
func detectorFile(t *testing.T) string {
	t.Helper()
	path, err := sharedDetector()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var sharedSet = sync.OnceValues(func() (string, error) {
	path := filepath.Join(shared, "flange")
	counts := demoset.Counts{Train: 3, TestGood: 2, Defect: 1}
	return path, demoset.Write(context.Background(), path, demoset.Machined, counts, 64, 1, nil)
})

// dataSet returns a small data set in the layout of MVTec AD: 3 good pictures to
// train on, 2 good and 6 defective ones to test on.
func dataSet(t *testing.T) string {
	t.Helper()
	path, err := sharedSet()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// copyFile copies a file into a test's folder.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, to, content)
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o666); err != nil {
		t.Fatal(err)
	}
}

// listing names all files under a folder, with their sizes.
func listing(t *testing.T, folder string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			fmt.Fprintf(&b, "%s %d\n", path, info.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
