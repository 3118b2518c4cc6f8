package weights

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
)

func unpickleBytes(b []byte) (any, error) {
	v, _, err := unpickle(newSource(bytes.NewReader(b), int64(len(b))))
	return v, err
}

func TestNeverRuns(t *testing.T) {
	inner := stateDict(map[string]pickledTensor{"w": dense("0", 1, 1)})
	beside := bytes.TrimSuffix(inner, []byte("."))
	for name, pickle := range map[string]string{
		"os.system":       "\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.",
		"posix.system":    "\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.",
		"stack global":    "\x80\x04\x8c\x02nt\x8c\x06system\x93\x8c\x04true\x85R.",
		"new object":      "\x80\x02csubprocess\nPopen\nX\x04\x00\x00\x00true\x85\x81.",
		"eval":            "\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R.",
		"beside tensors":  string(beside) + "X\x01\x00\x00\x00xcbuiltins\nexec\nX\x01\x00\x00\x001\x85Rs.",
		"before the dict": "\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R0}.",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readTorch(zipFile(t, zip.Store, []byte(pickle), map[string][]byte{"archive/data/0": floatBytes(1)}))
			if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "nothing was run") {
				t.Errorf("zip: %v", err)
			}
			_, err = readTorch(legacyFile([]byte(pickle)))
			if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "nothing was run") {
				t.Errorf("legacy: %v", err)
			}
		})
	}
	// Any other call is a value without effect, and no state dict.
	v, err := unpickleBytes([]byte("\x80\x02cshutil\nrmtree\nX\x01\x00\x00\x00/\x85R."))
	if err != nil || v != opaque("shutil.rmtree") {
		t.Errorf("%v, %v", v, err)
	}
}

func TestHostilePickles(t *testing.T) {
	tensor := "ctorch._utils\n_rebuild_tensor_v2\n"
	for _, c := range []struct {
		name, pickle string
		want         error
	}{
		{"nothing", "", ErrDamaged},
		{"no stop", "\x80\x02}", ErrDamaged},
		{"empty stack", "\x80\x02.", ErrDamaged},
		{"pop nothing", "\x80\x020.", ErrDamaged},
		{"duplicate nothing", "\x80\x022.", ErrDamaged},
		{"under the mark", "\x80\x02N(0N(0s.", ErrDamaged},
		{"no mark", "\x80\x02Nt.", ErrDamaged},
		{"odd items", "\x80\x02}(Nu.", ErrDamaged},
		{"set of a list", "\x80\x02]NNs.", ErrDamaged},
		{"append to a dict", "\x80\x02}Na.", ErrDamaged},
		{"memo not set", "\x80\x02h\x05.", ErrDamaged},
		{"memo of nothing", "\x80\x02q\x05.", ErrDamaged},
		{"future protocol", "\x80\x09N.", ErrUnsupported},
		{"text protocol", "(dp0\n.", ErrUnsupported},
		{"unknown opcode", "\x80\x02\xff.", ErrUnsupported},
		{"string beyond the end", "\x80\x02X\xff\xff\xff\xffabc.", ErrDamaged},
		{"string of 2^64", "\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc.", ErrDamaged},
		{"bytes of 2^63", "\x80\x05\x96\x00\x00\x00\x00\x00\x00\x00\x80abc.", ErrDamaged},
		{"long beyond the end", "\x80\x02\x8b\xff\xff\xff\xffabc.", ErrDamaged},
		{"endless global", "\x80\x02c" + strings.Repeat("x", 1<<20), ErrDamaged},
		{"global of numbers", "\x80\x04K\x01K\x02\x93.", ErrDamaged},
		{"call of a dict", "\x80\x02})R.", ErrDamaged},
		{"call with a dict", "\x80\x02cx\ny\n}R.", ErrDamaged},
		{"tensor of nothing", "\x80\x02" + tensor + ")R.", ErrDamaged},
		{"tensor of text", "\x80\x02" + tensor + "(U\x01aK\x00))tR.", ErrDamaged},
		{"parameter of nothing", "\x80\x02ctorch._utils\n_rebuild_parameter\n)R.", ErrDamaged},
		{"ordered dict of text", "\x80\x02ccollections\nOrderedDict\nU\x01a\x85R.", ErrDamaged},
		{"ordered dict of numbers", "\x80\x02ccollections\nOrderedDict\n]K\x01a\x85R.", ErrDamaged},
		{"persistent text", "\x80\x02U\x01aQ.", ErrDamaged},
		{"persistent module", "\x80\x02(U\x06moduleNNNtQ.", ErrUnsupported},
		{"storage of numbers", "\x80\x02(U\x07storageK\x01K\x01K\x01K\x01tQ.", ErrDamaged},
		{"storage of two lengths", "\x80\x02(" +
			"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x01tQ" +
			"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x02tQt.", ErrDamaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := unpickleBytes([]byte(c.pickle))
			if !errors.Is(err, c.want) {
				t.Errorf("%v, %v; want %v", v, err, c.want)
			}
			if err != nil && len(err.Error()) > 500 {
				t.Errorf("message of %d bytes", len(err.Error()))
			}
		})
	}
}

// TestPickleBombs feeds programs that are small for what they ask; each must end soon and within a bounded memory.
func TestPickleBombs(t *testing.T) {
	const steps = maxSteps + 10
	doubling := "\x80\x02)" + strings.Repeat("2\x86", 100) + "." // a tuple of 2^100 leaves
	// Each sets memo 0 to a function and memo 1 to its arguments, and calls that as often as it can.
	calls := strings.Repeat("h\x00h\x01R", steps/3)
	var pairs strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&pairs, "U\x03%03dN\x86", i)
	}
	dims := "(" + strings.Repeat("K\x01", 64) + "t"
	tensor := "(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x01tQK\x00" + dims + dims + "t"
	name := "T\x00\x00\x10\x00" + strings.Repeat("x", 1<<20)
	for name, pickle := range map[string]string{
		"steps":         "\x80\x02" + strings.Repeat("N0", steps/2) + "N.",
		"marks":         "\x80\x02" + strings.Repeat("(", steps),
		"nested tuples": "\x80\x02)" + strings.Repeat("\x85", steps-100) + ".",
		"nested lists":  "\x80\x02" + strings.Repeat("]", steps/2) + strings.Repeat("a", steps/2-100) + ".",
		"many dicts":    "\x80\x02" + strings.Repeat("}", steps),
		"doubling":      doubling,
		"memo":          "\x80\x02N" + strings.Repeat("r\xff\xff\xff\xff\x94", steps/4) + ".",
		"ordered dicts": "\x80\x02ccollections\nOrderedDict\nq\x00](" + pairs.String() + "e\x85q\x01" + calls + ".",
		"many tensors":  "\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x00" + tensor + "q\x01" + calls + ".",
		"long globals":  "\x80\x02" + name + "q\x00" + strings.Repeat("h\x00h\x00\x93", steps/3) + ".",
		"many globals":  "\x80\x02T\xff\x00\x00\x00" + name[5:][:255] + "q\x00" + strings.Repeat("h\x00h\x00\x93", steps/3) + ".",
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := readTorch(zipFile(t, zip.Deflate, []byte(pickle), nil))
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Error("read without an error")
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 1<<30 {
				t.Errorf("%d MB allocated", used>>20)
			}
			// The legacy format compares and prints what its first pickles hold.
			if _, err := readTorch([]byte(pickle)); err == nil {
				t.Error("legacy: read without an error")
			}
			if _, err := readTorch(append([]byte("\x80\x02\x8a\x0a"+string(torchMagic)+"."), pickle...)); err == nil {
				t.Error("legacy version: read without an error")
			}
		})
	}
}

func TestIntegers(t *testing.T) {
	for pickle, want := range map[string]any{
		"K\xff.":             int64(255),
		"M\xff\xff.":         int64(65535),
		"J\xff\xff\xff\xff.": int64(-1),
		"\x8a\x00.":          int64(0),
		"\x8a\x01\xff.":      int64(-1),
		"\x8a\x02\xff\x00.":  int64(255),
		"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80.": int64(-1 << 63),
		"\x8b\x01\x00\x00\x00\x7f.":                 int64(127),
		"\x8a\x09" + "123456789.":                   long("123456789"),
		"G\xbf\xf8\x00\x00\x00\x00\x00\x00.":        -1.5,
	} {
		if got, err := unpickleBytes([]byte(pickle)); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", pickle, got, err, want)
		}
	}
}

func FuzzUnpickle(f *testing.F) {
	f.Add(stateDict(map[string]pickledTensor{"a": dense("0", 4, 2, 2)}))
	f.Add([]byte("\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x8c\x01b\x93\x94)R\x94]\x94(K\x01e\x86."))
	if b, err := os.ReadFile(golden + "small-legacy.pth"); err == nil {
		f.Add(b[137:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		src := newSource(bytes.NewReader(b), int64(len(b)))
		v, _, err := unpickle(src)
		if src.used > int64(len(b)) {
			t.Errorf("%d bytes used of %d", src.used, len(b))
		}
		if err == nil {
			findStateDict(v)
		}
	})
}
