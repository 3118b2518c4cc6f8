package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const golden = "../testdata/golden/"

// header puts the length before a header and data after it.
func header(json, data string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(json))), json+data...)
}

func TestReadSafetensors(t *testing.T) {
	text := `{"a":{"dtype":"F16","shape":[2],"data_offsets":[4,8]},"__metadata__":{"k":"v"},` +
		`"none":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]},"b":{"shape":[],"dtype":"F32","data_offsets":[0,4]}}   `
	b := header(text, "\x00\x00\x80\x3f\x00\x3c\x00\xc0")
	f, err := ReadSafetensors(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"k": "v"}; !maps.Equal(f.Metadata, want) {
		t.Errorf("metadata %v", f.Metadata)
	}
	for name, want := range map[string][]float32{"a": {1, -2}, "b": {1}, "none": {}} {
		if got, err := f.Tensors[name].Float32s(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
	}
	if got := f.Tensors["none"].Shape; !slices.Equal(got, []int{0, 7}) {
		t.Errorf("empty tensor of shape %v", got)
	}
}

func TestHostileSafetensors(t *testing.T) {
	entry := func(name, dtype, shape string, from, to int64) string {
		return fmt.Sprintf(`"%s":{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}`, name, dtype, shape, from, to)
	}
	a := entry("a", "U8", "[4]", 0, 4)
	cases := []struct {
		name string
		file []byte
		want error
	}{
		{"nothing", nil, ErrDamaged},
		{"short length", []byte{1, 0, 0}, ErrDamaged},
		{"header beyond the file", append(binary.LittleEndian.AppendUint64(nil, 1000), "{}"...), ErrDamaged},
		{"huge header", append(binary.LittleEndian.AppendUint64(nil, math.MaxUint64), "{}"...), ErrDamaged},
		{"negative length", append(binary.LittleEndian.AppendUint64(nil, 1<<63), "{}"...), ErrDamaged},
		{"empty header", header("", ""), ErrDamaged},
		{"leading space", header(" {}", ""), ErrDamaged},
		{"array", header("[]", ""), ErrDamaged},
		{"cut JSON", header(`{"a":{"dtype":`, ""), ErrDamaged},
		{"unclosed", header(`{`, ""), ErrDamaged},
		{"two objects", header("{}{}", ""), ErrDamaged},
		{"trailing zeros", header("{}\x00\x00", ""), ErrDamaged},
		{"deep nesting", header(`{"a":`+strings.Repeat("[", 1<<20)+"}", ""), ErrDamaged},
		{"deep object", header(strings.Repeat(`{"a":`, 1<<18), ""), ErrDamaged},
		{"entry is a number", header(`{"a":1}`, ""), ErrDamaged},
		{"entry is null", header(`{"a":null}`, ""), ErrDamaged},
		{"no offsets", header(`{"a":{"dtype":"U8","shape":[0]}}`, ""), ErrDamaged},
		{"no shape", header(`{"a":{"dtype":"U8","data_offsets":[0,0]}}`, ""), ErrDamaged},
		{"three offsets", header(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0,0]}}`, ""), ErrDamaged},
		{"fractional shape", header(`{`+entry("a", "U8", "[1.5]", 0, 1)+`}`, "1"), ErrDamaged},
		{"name twice", header(`{`+a+`,`+a+`}`, "1234"), ErrDamaged},
		{"metadata twice", header(`{"__metadata__":{},"__metadata__":{}}`, ""), ErrDamaged},
		{"metadata of numbers", header(`{"__metadata__":{"a":1}}`, ""), ErrDamaged},
		{"metadata is text", header(`{"__metadata__":"a"}`, ""), ErrDamaged},
		{"unknown type", header(`{`+entry("a", "F3", "[4]", 0, 4)+`}`, "1234"), ErrUnsupported},
		{"shape too large", header(`{`+entry("a", "U8", "[5]", 0, 4)+`}`, "1234"), ErrDamaged},
		{"shape too small", header(`{`+entry("a", "U8", "[3]", 0, 4)+`}`, "1234"), ErrDamaged},
		{"negative shape", header(`{`+entry("a", "U8", "[-2,-2]", 0, 4)+`}`, "1234"), ErrDamaged},
		{"shape overflows", header(`{`+entry("a", "F32", "[4611686018427387905,4]", 0, 16)+`}`, strings.Repeat("1", 16)), ErrDamaged},
		{"half an element", header(`{`+entry("a", "F32", "[1]", 0, 6)+`}`, "123456"), ErrDamaged},
		{"backwards", header(`{`+entry("a", "U8", "[4]", 4, 0)+`}`, "1234"), ErrDamaged},
		{"negative offset", header(`{`+entry("a", "U8", "[4]", -4, 0)+`}`, "1234"), ErrDamaged},
		{"beyond the file", header(`{`+entry("a", "U8", "[8]", 0, 8)+`}`, "1234"), ErrDamaged},
		{"far beyond", header(`{`+entry("a", "U8", "[9223372036854775807]", 0, math.MaxInt64)+`}`, "1234"), ErrDamaged},
		{"overlap", header(`{`+a+`,`+entry("b", "U8", "[4]", 2, 6)+`}`, "123456"), ErrDamaged},
		{"same place", header(`{`+a+`,`+entry("b", "U8", "[4]", 0, 4)+`}`, "1234"), ErrDamaged},
		{"hole", header(`{`+a+`,`+entry("b", "U8", "[2]", 6, 8)+`}`, "12345678"), ErrDamaged},
		{"hole before", header(`{`+entry("b", "U8", "[2]", 2, 4)+`}`, "1234"), ErrDamaged},
		{"bytes behind", header(`{`+a+`}`, "12345"), ErrDamaged},
		{"cut data", header(`{`+a+`}`, "123"), ErrDamaged},
		{"empty tensor inside another", header(`{`+a+`,`+entry("b", "U8", "[0]", 2, 2)+`}`, "1234"), ErrDamaged},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f, err := ReadSafetensors(bytes.NewReader(c.file), int64(len(c.file)))
			if !errors.Is(err, c.want) {
				t.Errorf("%v, %v; want %v", f, err, c.want)
			}
			if err != nil && len(err.Error()) > 500 {
				t.Errorf("message of %d bytes", len(err.Error()))
			}
		})
	}
	// A size that is not there must not be believed.
	small := header(`{`+entry("a", "U8", "[1099511627776]", 0, 1<<40)+`}`, "")
	if _, err := ReadSafetensors(bytes.NewReader(small), int64(len(small))+1<<40); !errors.Is(err, ErrDamaged) {
		t.Errorf("wrong size: %v", err)
	}
}

func TestTruncatedFiles(t *testing.T) {
	for _, name := range []string{"small-expected.safetensors", "small-legacy.pth", "small-zip.pth", "small-nested.pth"} {
		t.Run(name, func(t *testing.T) {
			whole, err := os.ReadFile(golden + name)
			if err != nil {
				t.Fatal(err)
			}
			for n := range whole {
				if _, err := read(bytes.NewReader(whole[:n]), int64(n)); err == nil {
					t.Fatalf("%d of %d bytes are read without an error", n, len(whole))
				}
			}
		})
	}
}

func sample() *File {
	return &File{
		Tensors: map[string]Tensor{
			"z":         FromFloat32([]int{2, 1}, []float32{1, 2}),
			"a":         FromFloat16([]int{3}, []float32{1, 2, 3}),
			"b\"ü<":     FromBFloat16([]int{1}, []float32{-4}),
			"count":     FromInt64(nil, []int64{7}),
			"empty":     FromFloat32([]int{0, 5}, nil),
			"mask":      {Shape: []int{1, 3}, DType: Bool, Data: []byte{1, 0, 1}},
			"some.long": FromFloat32([]int{1}, []float32{float32(math.NaN())}),
		},
		Metadata: map[string]string{"format": "pt", "record": "{\"version\": 1}\n"},
	}
}

func TestWriteSafetensors(t *testing.T) {
	var first bytes.Buffer
	if err := WriteSafetensors(&first, sample()); err != nil {
		t.Fatal(err)
	}
	b := first.Bytes()
	length := binary.LittleEndian.Uint64(b)
	if length%8 != 0 || b[8] != '{' {
		t.Errorf("header of %d bytes beginning with %q", length, b[8])
	}
	places, _, err := parseHeader(b[8 : 8+length])
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range places {
		if p.Offsets[0]%int64(p.DType.size()) != 0 {
			t.Errorf("%s is not aligned: %v", name, p)
		}
	}
	got, err := ReadSafetensors(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	equalFiles(t, got, sample())
	for range 5 { // maps are walked in another order each time
		var again bytes.Buffer
		if err := WriteSafetensors(&again, sample()); err != nil || !bytes.Equal(again.Bytes(), b) {
			t.Fatalf("equal files give other bytes, %v", err)
		}
	}
}

// equalFiles takes nil and empty for the same.
func equalFiles(t *testing.T, got, want *File) {
	t.Helper()
	if !maps.Equal(got.Metadata, want.Metadata) {
		t.Errorf("metadata %v, want %v", got.Metadata, want.Metadata)
	}
	if !maps.EqualFunc(got.Tensors, want.Tensors, func(a, b Tensor) bool {
		return a.DType == b.DType && slices.Equal(a.Shape, b.Shape) && bytes.Equal(a.Data, b.Data)
	}) {
		t.Errorf("tensors differ: %v, want %v", got.Tensors, want.Tensors)
	}
}

// TestLengthLikePickle opens files that begin, by the length of their header, with the
// bytes that begin a pickle.
func TestLengthLikePickle(t *testing.T) {
	for high := byte(2); high <= 5; high++ {
		length := int(high)<<8 | 0x80
		text := `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`
		b := header(text+strings.Repeat(" ", length-len(text)), "x")
		if f, err := read(bytes.NewReader(b), int64(len(b))); err != nil || len(f.Tensors) != 1 {
			t.Errorf("a header of %d bytes: %v", length, err)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	one := FromFloat32([]int{1}, []float32{1})
	for name, f := range map[string]*File{
		"reserved name":  {Tensors: map[string]Tensor{"__metadata__": one}},
		"name not UTF-8": {Tensors: map[string]Tensor{"\xff": one}},
		"text not UTF-8": {Metadata: map[string]string{"k": "\xff"}},
		"wrong length":   {Tensors: map[string]Tensor{"a": {Shape: []int{2}, DType: F32, Data: make([]byte, 4)}}},
		"unknown type":   {Tensors: map[string]Tensor{"a": {Shape: []int{2}, DType: "F2", Data: make([]byte, 4)}}},
		"large header":   {Metadata: map[string]string{"k": strings.Repeat("x", maxHeader)}},
	} {
		var b bytes.Buffer
		if err := WriteSafetensors(&b, f); err == nil || b.Len() > 0 {
			t.Errorf("%s: %v after %d bytes", name, err, b.Len())
		}
	}
}

func TestWriteFile(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "detector.safetensors")
	for range 2 { // the second replaces the first
		if err := WriteFile(path, sample()); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		equalFiles(t, f, sample())
	}
	before, _ := os.ReadFile(path)

	bad := &File{Tensors: map[string]Tensor{"a": {Shape: []int{2}, DType: F32}}}
	if err := WriteFile(path, bad); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("inconsistent tensor: %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("a failed write changed the file")
	}
	onlyFile(t, folder, "detector.safetensors")

	err := WriteFile(filepath.Join(folder, "missing", "a.safetensors"), sample())
	if !errors.Is(err, os.ErrNotExist) || strings.Contains(err.Error(), ".tmp") {
		t.Errorf("missing folder: %v", err)
	}
	taken := filepath.Join(folder, "taken")
	if err := os.MkdirAll(filepath.Join(taken, "inside"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(taken, sample()); err == nil || strings.Contains(err.Error(), ".tmp") {
		t.Errorf("onto a folder: %v", err)
	}
	onlyFile(t, folder, "detector.safetensors", "taken")
}

func onlyFile(t *testing.T, folder string, want ...string) {
	t.Helper()
	var names []string
	entries, _ := os.ReadDir(folder)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !reflect.DeepEqual(names, want) {
		t.Errorf("the folder holds %v, want %v", names, want)
	}
}

func FuzzReadSafetensors(f *testing.F) {
	f.Add(header(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"__metadata__":{"k":"v"}}`, "1234"))
	f.Add(header(`{}`, ""))
	if b, err := os.ReadFile(golden + "small-expected.safetensors"); err == nil {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := ReadSafetensors(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := WriteSafetensors(&again, file); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		copied, err := ReadSafetensors(bytes.NewReader(again.Bytes()), int64(again.Len()))
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		equalFiles(t, copied, file)
	})
}
