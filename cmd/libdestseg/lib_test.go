//go:build cgo && (linux || darwin)

package main

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/internal/detectortest"
	"github.com/destseg/destseg/internal/golden"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/picture"
)

// shared is a folder for what tests read and none changes.
var shared string

func TestMain(m *testing.M) {
	detectortest.Main(m, func(folder string) error {
		shared = folder
		return nil
	})
}

// built is the folder of the library, built as users build it.
var built = sync.OnceValues(func() (string, error) {
	folder := filepath.Join(shared, "dist")
	build := exec.Command("../../scripts/lib", folder)
	build.Env = append(os.Environ(), "STAMP=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("scripts/lib: %w\n%s", err, out)
	}
	return folder, nil
})

func library(t *testing.T) string {
	t.Helper()
	folder, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// detectorFile writes a detector that works and knows nothing.
var detectorFile = sync.OnceValues(func() (string, error) {
	values := map[string][]float32{}
	for _, t := range network.Tensors() {
		values[t.Name] = golden.Draw(t.Name, t.Shape)
	}
	path := filepath.Join(shared, "flange.safetensors")
	return path, destseg.Save(path, destseg.Record{
		Category: "flange", Preprocessing: destseg.StandardPreprocessing(32, 32),
		Threshold: &destseg.Threshold{Image: 0.25, Pixel: 0.75, Source: "made up"},
	}, values)
})

// open opens the detector as the C programs do.
func open(t *testing.T, opts ...destseg.Option) (string, *destseg.Detector) {
	t.Helper()
	path, err := detectorFile()
	if err != nil {
		t.Fatal(err)
	}
	d, err := destseg.Open(path, append(opts, destseg.WithPrecision(engine.Float32))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return path, d
}

// drawn is the picture that testdata/check.c draws too.
func drawn(n int) []byte {
	pixels := make([]byte, n)
	for i := range pixels {
		pixels[i] = byte(uint32(i) * 2654435761 >> 24)
	}
	return pixels
}

const width, height = 61, 47

func colour() *picture.RGB {
	return &picture.RGB{Width: width, Height: height, Pix: drawn(3 * width * height)}
}

func inspection(t *testing.T, d *destseg.Detector, p *picture.RGB) *destseg.Inspection {
	t.Helper()
	i, err := d.InspectRGB(p)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// source returns the path of a file that a program reads; go test remembers that the
// test depends on it.
func source(t *testing.T, path string) string {
	t.Helper()
	if _, err := os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// compile makes a program of a C file, as strict as compilers are.
func compile(t *testing.T, path string) string {
	t.Helper()
	dist := library(t)
	program := filepath.Join(t.TempDir(), "program")
	args := slices.Concat(strings.Fields(goEnv(t, "CC")),
		[]string{"-std=c99", "-D_POSIX_C_SOURCE=200809L", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Wstrict-prototypes", "-Werror", "-pthread", "-I" + dist + "/include",
			"-o", program, source(t, path), "-L" + dist + "/lib", "-ldestseg", "-Wl,-rpath," + dist + "/lib"})
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return program
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// runProgram runs a program that must succeed.
func runProgram(t *testing.T, program string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c := exec.Command(program, args...)
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", filepath.Base(program), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// TestC runs the C program that misuses the library and calls it from many threads, and
// compares what it was told with what the root package says, bit for bit.
func TestC(t *testing.T) {
	program := compile(t, "testdata/check.c")
	_, usual := open(t, destseg.WithThreads(1))
	values := inspection(t, usual, colour()).Map(width, height)
	slices.Sort(values)
	threshold := float64(values[9*len(values)/10])
	path, d := open(t, destseg.WithThreads(1), destseg.WithRecord(func(r *destseg.Record) { r.Threshold.Pixel = threshold }))

	grey := picture.NewRGB(width, height)
	for i, v := range drawn(width * height) {
		grey.Pix[3*i], grey.Pix[3*i+1], grey.Pix[3*i+2] = v, v, v
	}
	file := filepath.Join(t.TempDir(), "grey.png")
	if err := picture.WritePNG(file, grey.Image()); err != nil {
		t.Fatal(err)
	}
	var want, wantMaps bytes.Buffer
	for _, p := range []struct {
		name    string
		picture *picture.RGB
	}{{"rgb", colour()}, {"bgr", colour()}, {"rgba", colour()}, {"gray", grey}, {"file", grey}} {
		i := inspection(t, d, p.picture)
		tell(&want, p.name, i)
		_, mask := i.Regions()
		for _, values := range [][]float32{i.Map(width, height), i.DeSTMap(31, 17)} {
			for _, v := range values {
				bits := math.Float32bits(v) // as a processor of today has them in memory
				wantMaps.Write([]byte{byte(bits), byte(bits >> 8), byte(bits >> 16), byte(bits >> 24)})
			}
		}
		wantMaps.Write(mask.Pix)
	}
	if !strings.Contains(want.String(), "region") {
		t.Fatal("no regions to compare")
	}

	maps := filepath.Join(t.TempDir(), "maps")
	out := runProgram(t, program, path, file, strconv.FormatFloat(threshold, 'g', -1, 64), maps)
	info, told, _ := strings.Cut(out, "\n")
	var about struct {
		Engine, Precision string
		Record            destseg.Record
	}
	if err := json.Unmarshal([]byte(info), &about); err != nil {
		t.Fatal(err)
	}
	if about.Engine != d.EngineName() || about.Precision != "fp32" || about.Record.Category != "flange" ||
		about.Record.Threshold.Pixel != threshold || about.Record.Threshold.Image != 0.25 {
		t.Errorf("info: %s", info)
	}
	if told != want.String() {
		t.Errorf("the library says\n%s\nthe package says\n%s", told, want.String())
	}
	got, err := os.ReadFile(maps)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, wantMaps.Bytes()) {
		t.Error("the maps differ")
	}
}

// tell writes an inspection as testdata/check.c does.
func tell(w *bytes.Buffer, name string, i *destseg.Inspection) {
	verdict := 1
	if i.Anomalous {
		verdict = 2
	}
	peak := i.Peak()
	fmt.Fprintf(w, "%s %.17g %.17g %.17g %d %d %d %d %d %.9g\n", name, i.Score, i.DeSTScore(), i.Threshold, verdict,
		i.Width, i.Height, peak.X, peak.Y, peak.Value)
	regions, _ := i.Regions()
	for _, r := range regions {
		fmt.Fprintf(w, "region %.17g %d %d %d %d %d %d %d %.9g\n", r.Mean, r.Area, r.Box.X, r.Box.Y, r.Box.Width, r.Box.Height,
			r.Peak.X, r.Peak.Y, r.Peak.Value)
		for _, ring := range r.Polygon {
			w.WriteString("ring")
			for _, p := range ring {
				fmt.Fprintf(w, " %g,%g", p[0], p[1])
			}
			w.WriteString("\n")
		}
	}
}

// TestExamples runs the examples of all languages that this machine knows.
func TestExamples(t *testing.T) {
	path, d := open(t)
	good := filepath.Join(t.TempDir(), "größe.png")
	if err := picture.WritePNG(good, colour().Image()); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad.png")
	if err := os.WriteFile(bad, []byte("no picture"), 0o666); err != nil {
		t.Fatal(err)
	}
	i := inspection(t, d, colour())
	want := fmt.Sprintf("%s: %s, score %.4f, threshold %.4f\n", good, i.Verdict(), i.Score, i.Threshold)
	regions, _ := i.Regions()
	for _, r := range regions {
		want += fmt.Sprintf("  %d pixels at (%d, %d), %dx%d, highest %.4f\n", r.Area, r.Box.X, r.Box.Y, r.Box.Width, r.Box.Height, r.Peak.Value)
	}
	for _, test := range []struct {
		language string
		program  func(t *testing.T) []string
	}{
		{"C", func(t *testing.T) []string { return []string{compile(t, "../../examples/c/inspect.c")} }},
		{"Python", func(t *testing.T) []string {
			return []string{installed(t, "python3"), source(t, "../../examples/python/destseg.py")}
		}},
		{"C#", func(t *testing.T) []string {
			compiler, runtime := installed(t, "mcs"), installed(t, "mono")
			program := filepath.Join(t.TempDir(), "inspect.exe")
			runProgram(t, compiler, "-warnaserror", "-out:"+program, source(t, "../../examples/csharp/Destseg.cs"), source(t, "../../examples/csharp/Inspect.cs"))
			return []string{runtime, program}
		}},
	} {
		t.Run(test.language, func(t *testing.T) {
			libraries := filepath.Join(library(t), "lib")
			program := test.program(t)
			t.Setenv("LD_LIBRARY_PATH", libraries)
			t.Setenv("DYLD_LIBRARY_PATH", libraries)
			t.Setenv("DESTSEG_PRECISION", "fp32")
			if got := runProgram(t, program[0], append(program[1:], path, good)...); got != want {
				t.Errorf("printed\n%s\nwant\n%s", got, want)
			}
			for _, args := range [][]string{{path, bad}, {bad, good}, {path, filepath.Join(t.TempDir(), "absent.png")}} {
				var stderr bytes.Buffer
				c := exec.Command(program[0], append(program[1:], args...)...)
				c.Stderr = &stderr
				exit := (*exec.ExitError)(nil)
				if err := c.Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 || strings.Count(stderr.String(), "\n") != 1 {
					t.Errorf("%v: %v\n%s", args, err, stderr.String())
				}
			}
		})
	}
}

func installed(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skip(err)
	}
	return path
}

// TestPython does with the class what the example does not.
func TestPython(t *testing.T) {
	python := installed(t, "python3")
	libraries := filepath.Join(library(t), "lib")
	path, d := open(t)
	i := inspection(t, d, colour())
	values := i.Map(20, 10)
	t.Setenv("LD_LIBRARY_PATH", libraries)
	t.Setenv("DYLD_LIBRARY_PATH", libraries)
	t.Setenv("PYTHONPATH", "../../examples/python")
	got := runProgram(t, python, "-c", `
import struct, sys, threading
from destseg import Detector, DestsegError

path, width, height = sys.argv[1], 61, 47
pixels = bytes((n * 2654435761 >> 24) & 255 for n in range(3 * width * height))
shaped = memoryview(pixels).cast("B", (height, width, 3))
with Detector(path, precision="fp32", threshold=0, pixel_threshold=1) as d:
    i = d.inspect(shaped)
    assert i.verdict == "NG" and i.threshold == 0 and i.regions == []
    same = d.inspect(memoryview(bytearray(pixels)).cast("B", (height, width, 3)), "RGB") # writable: no copy
    assert same.score == i.score
    assert max(map(max, i.mask().tolist())) == 0
    m = i.map(20, 10)
    assert m.shape == (10, 20)
    assert d.info()["record"]["category"] == "flange"
    scores = []
    threads = [threading.Thread(target=lambda: scores.append(d.inspect(shaped).score)) for _ in range(6)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert scores == 6 * [i.score]
    rows = [pixels[3 * width * y:3 * width * (y + 1)] for y in range(height)]
    twice = memoryview(b"".join(row + row for row in rows)).cast("B", (2 * height, width, 3))
    flipped = memoryview(b"".join(reversed(rows))).cast("B", (height, width, 3))
    for part in (twice[::2], flipped[::-1]): # not one piece of memory
        assert d.inspect(part).score == i.score
    for wrong in (pixels, memoryview(pixels).cast("b", (height, width, 3))):
        try: d.inspect(wrong)
        except ValueError: pass
        else: raise AssertionError("inspected")
try: d.inspect(shaped)
except DestsegError as e: assert e.status == 2, e
else: raise AssertionError("inspected by a closed detector")
print(repr(i.score), sum(i.map(20, 10).cast("B").cast("f")))
`, path)
	var score, sum float64
	if _, err := fmt.Sscan(got, &score, &sum); err != nil {
		t.Fatal(err)
	}
	var want float64
	for _, v := range values {
		want += float64(v)
	}
	if score != i.Score || math.Abs(sum-want) > 1e-9*want { // Python 3.12 adds more exactly
		t.Errorf("score %v, sum of the map %v; want %v, %v", score, sum, i.Score, want)
	}
}

// TestSymbols checks that a program sees nothing but what the header declares.
func TestSymbols(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the library is no ELF file")
	}
	folder := library(t)
	f, err := elf.Open(filepath.Join(folder, "lib", "libdestseg.so"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	header, err := os.ReadFile(filepath.Join(folder, "include", "destseg.h"))
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	exported := 0
	for _, s := range symbols {
		if s.Section == elf.SHN_UNDEF {
			continue
		}
		exported++
		if !bytes.Contains(header, []byte(" "+s.Name+"(")) && !bytes.Contains(header, []byte("*"+s.Name+"(")) {
			t.Errorf("%s is visible", s.Name)
		}
	}
	if want := bytes.Count(header, []byte("destseg_error *error);")) + 2; exported != want {
		t.Errorf("%d functions, the header declares %d", exported, want)
	}
	if name, err := f.DynString(elf.DT_SONAME); err != nil || !slices.Equal(name, []string{"libdestseg.so.1"}) {
		t.Errorf("soname %q, %v", name, err)
	}
}

// TestHeader checks that C++ takes the header, and pkg-config its description.
func TestHeader(t *testing.T) {
	dist := library(t)
	t.Run("C++", func(t *testing.T) {
		program := filepath.Join(t.TempDir(), "include.cc")
		if err := os.WriteFile(program, []byte("#include <destseg.h>\nint main() { return destseg_close(0, nullptr); }\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		runProgram(t, installed(t, "g++"), "-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"+dist+"/include", "-fsyntax-only", program)
	})
	t.Run("pkg-config", func(t *testing.T) {
		program := installed(t, "pkg-config")
		t.Setenv("PKG_CONFIG_PATH", dist+"/lib/pkgconfig")
		flags := strings.Fields(runProgram(t, program, "--cflags", "--libs", "destseg"))
		found := 0
		for _, flag := range flags {
			for _, prefix := range []string{"-I", "-L"} {
				if folder, ok := strings.CutPrefix(flag, prefix); ok {
					found++
					if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
						t.Errorf("%s does not exist", folder)
					}
				}
			}
		}
		if found != 2 || !slices.Contains(flags, "-ldestseg") {
			t.Errorf("flags %q", flags)
		}
	})
}
