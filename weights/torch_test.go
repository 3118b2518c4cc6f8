package weights

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPyTorchGolden(t *testing.T) {
	want, err := Open(golden + "small-expected.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]DType{"half": F16, "bf16": BF16, "double": F64, "count": I64} // else F32
	for _, name := range []string{"small-zip.pth", "small-legacy.pth", "small-nested.pth"} {
		t.Run(name, func(t *testing.T) {
			got, err := Open(golden + name)
			if err != nil {
				t.Fatal(err)
			}
			for tensor, w := range want.Tensors {
				g, ok := got.Tensors[tensor]
				if !ok {
					t.Errorf("%s is missing", tensor)
					continue
				}
				shape := g.Shape
				if len(shape) == 0 {
					shape = []int{1} // the vectors store a scalar as one element
				}
				if dtype := types[tensor]; g.DType != dtype && (dtype != "" || g.DType != F32) || !slices.Equal(shape, w.Shape) {
					t.Errorf("%s is %s %v, want shape %v", tensor, g.DType, g.Shape, w.Shape)
				}
				a, err := g.Float64s()
				if err != nil {
					t.Error(err)
				}
				b, err := w.Float64s()
				if err != nil || !slices.Equal(a, b) {
					t.Errorf("%s: %v, want %v, %v", tensor, a, b, err)
				}
			}
			if empty := got.Tensors["empty"]; !slices.Equal(empty.Shape, []int{0, 4}) || len(empty.Data) > 0 {
				t.Errorf("empty: %v", empty)
			}
			if len(got.Tensors) != len(want.Tensors)+1 {
				t.Errorf("%d tensors, want %d and an empty one", len(got.Tensors), len(want.Tensors))
			}
		})
	}
}

// pickler writes pickles as Python does, opcode by opcode.
type pickler struct{ bytes.Buffer }

func newPickler() *pickler {
	p := &pickler{}
	p.WriteString("\x80\x02")
	return p
}

func (p *pickler) global(module, name string) { p.WriteString("c" + module + "\n" + name + "\n") }

func (p *pickler) text(s string) {
	p.WriteByte('X')
	p.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(s))))
	p.WriteString(s)
}

func (p *pickler) integer(n int64) {
	p.WriteString("\x8a\x08")
	p.Write(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

func (p *pickler) integers(v ...int64) {
	p.WriteByte('(')
	for _, n := range v {
		p.integer(n)
	}
	p.WriteByte('t')
}

// pickledTensor says how a tensor lies in its storage. Class FloatStorage where none is given.
type pickledTensor struct {
	class, key    string
	length        int64
	view          []int64 // offset and length, in the legacy format
	offset        int64
	shape, stride []int64
}

func (p *pickler) tensor(t pickledTensor) {
	p.global("torch._utils", "_rebuild_tensor_v2")
	p.WriteString("((")
	p.text("storage")
	if t.class == "" {
		t.class = "FloatStorage"
	}
	p.global("torch", t.class)
	p.text(t.key)
	p.text("cpu")
	p.integer(t.length)
	if t.view != nil {
		p.WriteByte('(')
		p.text(t.key + "-view")
		p.integer(t.view[0])
		p.integer(t.view[1])
		p.WriteByte('t')
	}
	p.WriteString("tQ")
	p.integer(t.offset)
	p.integers(t.shape...)
	p.integers(t.stride...)
	p.WriteString("\x89")
	p.global("collections", "OrderedDict")
	p.WriteString(")RtR")
}

// stateDict pickles tensors by name.
func stateDict(tensors map[string]pickledTensor) []byte {
	p := newPickler()
	p.global("collections", "OrderedDict")
	p.WriteString(")R(")
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		p.text(name)
		p.tensor(tensors[name])
	}
	p.WriteString("u.")
	return p.Bytes()
}

func dense(key string, length int64, shape ...int64) pickledTensor {
	t := pickledTensor{key: key, length: length, shape: shape, stride: make([]int64, len(shape))}
	step := int64(1)
	for i := len(shape) - 1; i >= 0; i-- {
		t.stride[i] = step
		step *= shape[i]
	}
	return t
}

// zipFile packs a pickle and storages as torch.save does; entries of more override them.
func zipFile(t testing.TB, method uint16, pickle []byte, more map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	entries := map[string][]byte{"archive/data.pkl": pickle, "archive/version": []byte("3\n")}
	maps.Copy(entries, more)
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		w.Write(entries[name])
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type keyed struct {
	key   string
	count int64
	data  []byte
}

// legacyFile packs them as torch.save did before.
func legacyFile(pickle []byte, storages ...keyed) []byte {
	b := []byte("\x80\x02\x8a\x0a" + string(torchMagic) + ".\x80\x02M\xe9\x03.")
	facts := newPickler()
	facts.WriteString("}(")
	facts.text("little_endian")
	facts.WriteString("\x88u.")
	b = append(b, facts.Bytes()...)
	b = append(b, pickle...)
	keys := newPickler()
	keys.WriteString("](")
	for _, s := range storages {
		keys.text(s.key)
	}
	keys.WriteString("e.")
	b = append(b, keys.Bytes()...)
	for _, s := range storages {
		b = binary.LittleEndian.AppendUint64(b, uint64(s.count))
		b = append(b, s.data...)
	}
	return b
}

func readTorch(b []byte) (*File, error) { return ReadTorch(bytes.NewReader(b), int64(len(b))) }

func floatBytes(v ...float32) []byte { return FromFloat32([]int{len(v)}, v).Data }

func TestStridedViews(t *testing.T) {
	const length = 60
	values := make([]float32, length)
	for i := range values {
		values[i] = float32(i)
	}
	tensors := map[string]pickledTensor{
		"dense":          dense("s", length, 3, 4, 5),
		"channels last":  {offset: 0, shape: []int64{1, 5, 3, 4}, stride: []int64{60, 1, 20, 5}},
		"transposed":     {offset: 0, shape: []int64{5, 12}, stride: []int64{1, 5}},
		"window":         {offset: 7, shape: []int64{3, 2, 3}, stride: []int64{20, 5, 1}},
		"stepped":        {offset: 1, shape: []int64{4}, stride: []int64{13}},
		"expanded":       {offset: 3, shape: []int64{2, 3}, stride: []int64{0, 1}},
		"expanded inner": {offset: 3, shape: []int64{2, 3}, stride: []int64{1, 0}},
		"ones":           {offset: 59, shape: []int64{1, 1, 1}, stride: []int64{1000, 0, 77}},
		"scalar":         {offset: 59, shape: []int64{}, stride: []int64{}},
		"overlapping":    {offset: 0, shape: []int64{57, 4}, stride: []int64{1, 1}},
		"empty":          {offset: 60, shape: []int64{0, 1 << 40}, stride: []int64{1, 1}},
	}
	for name, p := range tensors {
		p.key, p.length = "s", length
		tensors[name] = p
	}
	pickle := stateDict(tensors)
	data := map[string][]byte{"archive/data/s": floatBytes(values...)}
	files := map[string][]byte{
		"stored":   zipFile(t, zip.Store, pickle, data),
		"deflated": zipFile(t, zip.Deflate, pickle, data),
		"legacy":   legacyFile(pickle, keyed{"s", length, floatBytes(values...)}),
	}
	for format, b := range files {
		t.Run(format, func(t *testing.T) {
			f, err := readTorch(b)
			if err != nil {
				t.Fatal(err)
			}
			for name, p := range tensors {
				got, err := f.Tensors[name].Float32s()
				if err != nil {
					t.Fatal(err)
				}
				// The twin: every element by its index.
				var want []float32
				var walk func(axis int, at int64)
				walk = func(axis int, at int64) {
					if axis == len(p.shape) {
						want = append(want, values[at])
						return
					}
					for i := range p.shape[axis] {
						walk(axis+1, at+i*p.stride[axis])
					}
				}
				walk(0, p.offset)
				if !slices.Equal(got, want) {
					t.Errorf("%s: %v, want %v", name, got, want)
				}
			}
		})
	}
}

func TestLegacyViewMetadata(t *testing.T) {
	part := dense("s", 10, 2, 2)
	part.view, part.offset = []int64{3, 5}, 1
	pickle := stateDict(map[string]pickledTensor{"part": part})
	storage := keyed{"s", 10, floatBytes(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)}
	f, err := readTorch(legacyFile(pickle, storage))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.Tensors["part"].Float32s(); err != nil || !slices.Equal(got, []float32{4, 5, 6, 7}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range [][]int64{{8, 5}, {-1, 5}, {0, -1}, {math.MaxInt64, 5}, {5, math.MaxInt64}, {3, 4}} {
		part.view = bad // the last holds the storage but not the tensor
		pickle := stateDict(map[string]pickledTensor{"part": part})
		if _, err := readTorch(legacyFile(pickle, storage)); !errors.Is(err, ErrDamaged) {
			t.Errorf("view %v: %v", bad, err)
		}
	}
}

func TestStorageTypes(t *testing.T) {
	types := map[string]DType{
		"DoubleStorage": F64, "FloatStorage": F32, "HalfStorage": F16, "BFloat16Storage": BF16, "LongStorage": I64,
		"IntStorage": I32, "ShortStorage": I16, "CharStorage": I8, "ByteStorage": U8, "BoolStorage": Bool,
	}
	tensors := make(map[string]pickledTensor)
	data := make(map[string][]byte)
	for class, dtype := range types {
		p := dense(class, 3, 3)
		p.class = class
		tensors[class] = p
		data["archive/data/"+class] = make([]byte, 3*dtype.size())
	}
	quantised := dense("q", 3, 3)
	quantised.class = "QInt8Storage"
	tensors["unknown"] = quantised
	f, err := readTorch(zipFile(t, zip.Store, stateDict(tensors), data))
	if err != nil {
		t.Fatal(err)
	}
	for class, dtype := range types {
		if got := f.Tensors[class].DType; got != dtype {
			t.Errorf("%s gives %s, want %s", class, got, dtype)
		}
	}
	if len(f.Tensors) != len(types) {
		t.Errorf("%d tensors, want %d", len(f.Tensors), len(types))
	}
}

// wrap puts the pickle of a state dict under a key of a dict, beside other entries.
func wrap(key string, inner []byte, others ...string) []byte {
	p := newPickler()
	p.WriteString("}(")
	for _, other := range others {
		p.text(other)
		p.tensor(dense("0", 1, 1))
	}
	p.text(key)
	p.Write(inner[2 : len(inner)-1]) // without protocol and stop
	p.WriteString("u.")
	return p.Bytes()
}

func TestFindsStateDict(t *testing.T) {
	inner := stateDict(map[string]pickledTensor{"w": dense("0", 1, 1)})
	two := newPickler()
	two.WriteString("}(")
	for _, key := range []string{"teacher", "student"} {
		two.text(key)
		two.Write(inner[2 : len(inner)-1])
	}
	two.WriteString("u.")
	withState := bytes.TrimSuffix(inner, []byte("."))
	withState = append(slices.Clone(withState), "}X\x09\x00\x00\x00_metadata}sb."...)

	cases := []struct {
		name   string
		pickle []byte
		want   string // the names found, or the text of an error
	}{
		{"top", inner, "w"},
		{"attributes", withState, "w"},
		{"state_dict", wrap("state_dict", inner), "w"},
		{"model", wrap("model", inner), "w"},
		{"beside a tensor", wrap("state_dict", inner, "best_acc"), "w"},
		{"twice nested", wrap("model", wrap("state_dict", inner)), "w"},
		{"another name", wrap("generator", inner), "w"},
		{"two sets", two.Bytes(), `2 sets of tensors ("student", "teacher")`},
		{"DataParallel", stateDict(map[string]pickledTensor{"module.w": dense("0", 1, 1), "module.v": dense("0", 1, 1)}), "v w"},
		{"not all", stateDict(map[string]pickledTensor{"module.w": dense("0", 1, 1), "v": dense("0", 1, 1)}), "module.w v"},
		{"empty", stateDict(nil), "no tensors"},
		{"a list", []byte("\x80\x02]."), "holds a list"},
		{"itself", []byte("\x80\x02}q\x00X\x05\x00\x00\x00modelh\x00s."), "nested too deeply"},
		{"a model", []byte("\x80\x02cresnet\nResNet\n)\x81}b."), `"resnet.ResNet" object`},
		{"a nested model", []byte("\x80\x02}X\x05\x00\x00\x00modelcresnet\nResNet\n)\x81}bs."), `"model" is a "resnet.ResNet" object`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f, err := readTorch(zipFile(t, zip.Store, c.pickle, map[string][]byte{"archive/data/0": floatBytes(1)}))
			if err != nil {
				if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
				return
			}
			if got := strings.Join(slices.Sorted(maps.Keys(f.Tensors)), " "); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestOtherPickles covers what other versions of Python and PyTorch write.
func TestOtherPickles(t *testing.T) {
	tensor := newPickler()
	tensor.tensor(dense("0", 1, 1))
	rest := string(tensor.Bytes()[2:])
	key := "X\x01\x00\x00\x00w"
	for name, pickle := range map[string]string{
		"protocol 4":       "\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00\x8c\x0bcollections\x8c\x0bOrderedDict\x93\x94)R\x94\x8c\x01w" + rest + "s.",
		"Python 2 pairs":   "\x80\x02ccollections\nOrderedDict\n]]U\x01wa" + rest + "aa\x85R.",
		"pairs as tuples":  "\x80\x02ccollections\nOrderedDict\n](" + key + rest + "ta\x85R.",
		"dict":             "\x80\x02(" + key + rest + "d.",
		"parameter":        "\x80\x02}" + key + "ctorch._utils\n_rebuild_parameter\n(" + rest + "\x88)tRs.",
		"parameter class":  "\x80\x02}" + key + "ctorch.nn.parameter\nParameter\n" + rest + "\x88\x86Rs.",
		"unused constants": "\x80\x02N0(NNN1(0}\x8b\x02\x00\x00\x00\xff\xff0}G?\xf0\x00\x00\x00\x00\x00\x0020" + "s" + "}" + key + rest + "s.",
		"opaque neighbours": "\x80\x02}(" + key + rest + "X\x04\x00\x00\x00argscargparse\nNamespace\n)\x81}X\x01\x00\x00\x00aK\x01sb" +
			"X\x03\x00\x00\x00acccnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02f8\x85RC\x02ab\x86RK\x00]u.",
	} {
		t.Run(name, func(t *testing.T) {
			f, err := readTorch(zipFile(t, zip.Store, []byte(pickle), map[string][]byte{"archive/data/0": floatBytes(5)}))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := f.Tensors["w"].Float32s(); err != nil || !slices.Equal(got, []float32{5}) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

// TestResNet18 reads files with the names and shapes of torchvision's ResNet-18, in both formats.
func TestResNet18(t *testing.T) {
	shapes := readShapes(t, "torchvision-resnet18-state-dict.json")
	const largest = 512 * 512 * 3 * 3
	values := make([]float32, largest)
	for i := range values {
		values[i] = float32(i)
	}
	tensors := make(map[string]pickledTensor)
	for name, shape := range shapes {
		dims := make([]int64, len(shape))
		for i, d := range shape {
			dims[i] = int64(d)
		}
		p := dense("0", largest, dims...)
		if len(shape) == 0 {
			p.class, p.key, p.length = "LongStorage", "1", 1
		}
		tensors[name] = p
	}
	want := maps.Clone(shapes)
	maps.DeleteFunc(want, func(name string, _ []int) bool {
		return strings.HasSuffix(name, "num_batches_tracked") || strings.HasPrefix(name, "fc.") || strings.HasPrefix(name, "layer4.")
	})
	count := FromInt64(nil, []int64{1}).Data
	for format, b := range map[string][]byte{
		"zip": zipFile(t, zip.Store, stateDict(tensors),
			map[string][]byte{"archive/data/0": floatBytes(values...), "archive/data/1": count}),
		"legacy": legacyFile(stateDict(tensors), keyed{"0", largest, floatBytes(values...)}, keyed{"1", 1, count}),
	} {
		path := filepath.Join(t.TempDir(), format+".pth")
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Tensors) != len(shapes) {
			t.Errorf("%d tensors, want %d", len(f.Tensors), len(shapes))
		}
		got, err := f.Match(want, "")
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range got {
			if n, _ := elements(want[name]); len(v) != n || v[n-1] != float32(n-1) {
				t.Errorf("%s: %d values, want %d", name, len(v), n)
			}
		}
	}
}

func readShapes(t testing.TB, name string) map[string][]int {
	t.Helper()
	text, err := os.ReadFile(golden + name)
	if err != nil {
		t.Fatal(err)
	}
	var shapes map[string][]int
	if err := json.Unmarshal(text, &shapes); err != nil {
		t.Fatal(err)
	}
	return shapes
}

func TestHostileTensors(t *testing.T) {
	huge := int64(math.MaxInt64)
	for name, p := range map[string]pickledTensor{
		"beyond the storage":   {length: 4, shape: []int64{5}, stride: []int64{1}},
		"stride beyond":        {length: 4, shape: []int64{2, 2}, stride: []int64{3, 1}},
		"offset beyond":        {length: 4, offset: 4, shape: []int64{1}, stride: []int64{1}},
		"scalar beyond":        {length: 4, offset: 4, shape: []int64{}, stride: []int64{}},
		"negative offset":      {length: 4, offset: -1, shape: []int64{1}, stride: []int64{1}},
		"negative stride":      {length: 4, offset: 3, shape: []int64{4}, stride: []int64{-1}},
		"negative dimension":   {length: 4, shape: []int64{-4}, stride: []int64{1}},
		"negative with zero":   {length: 4, shape: []int64{0, -4}, stride: []int64{1, 1}},
		"ranks differ":         {length: 4, shape: []int64{4}, stride: []int64{1, 1}},
		"rank":                 dense("", 4, slices.Repeat([]int64{1}, 65)...),
		"huge offset":          {length: 4, offset: huge, shape: []int64{2}, stride: []int64{1}},
		"huge stride":          {length: 4, shape: []int64{2}, stride: []int64{huge}},
		"huge shape":           {length: 4, shape: []int64{huge, 2}, stride: []int64{0, 0}},
		"huge product":         {length: 4, shape: []int64{1 << 31, 1 << 31, 1 << 31}, stride: []int64{0, 0, 0}},
		"expanded beyond":      {length: 4, shape: []int64{1 << 40}, stride: []int64{0}},
		"expanded with step":   {length: 4, shape: []int64{1 << 30, 2, 2}, stride: []int64{0, 2, 1}},
		"storage of no length": {length: -1, shape: []int64{1}, stride: []int64{1}},
		"huge storage":         {length: huge, shape: []int64{1}, stride: []int64{1}},
		"storage longer":       {length: 5, shape: []int64{1}, stride: []int64{1}},
		"storage shorter":      {length: 3, shape: []int64{1}, stride: []int64{1}},
		"other type":           {class: "DoubleStorage", length: 4, shape: []int64{1}, stride: []int64{1}},
	} {
		p.key = "0"
		pickle := stateDict(map[string]pickledTensor{"w": p})
		for format, b := range map[string][]byte{
			"zip":    zipFile(t, zip.Store, pickle, map[string][]byte{"archive/data/0": floatBytes(1, 2, 3, 4)}),
			"legacy": legacyFile(pickle, keyed{"0", p.length, floatBytes(1, 2, 3, 4)}),
		} {
			if name == "storage shorter" && format == "legacy" {
				continue // what follows the last storage is not looked at
			}
			if f, err := readTorch(b); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s, %s: %v, %v", name, format, f, err)
			}
		}
	}
	// Each view is small, together they are not.
	many := make(map[string]pickledTensor)
	for i := range 100 {
		many[fmt.Sprint(i)] = pickledTensor{key: "0", length: 1, shape: []int64{1 << 20}, stride: []int64{0}}
	}
	b := zipFile(t, zip.Store, stateDict(many), map[string][]byte{"archive/data/0": floatBytes(1)})
	if _, err := readTorch(b); !errors.Is(err, ErrDamaged) {
		t.Errorf("many views: %v", err)
	}
}

func TestHostileZip(t *testing.T) {
	pickle := stateDict(map[string]pickledTensor{"w": dense("0", 4, 4)})
	data := map[string][]byte{"archive/data/0": floatBytes(1, 2, 3, 4)}
	with := func(name, content string) map[string][]byte {
		m := maps.Clone(data)
		m[name] = []byte(content)
		return m
	}
	edit := func(b []byte, old, new string) []byte {
		if !bytes.Contains(b, []byte(old)) {
			t.Fatalf("no %q to edit", old)
		}
		return bytes.ReplaceAll(b, []byte(old), []byte(new))
	}
	good := zipFile(t, zip.Store, pickle, data)
	bomb := stateDict(map[string]pickledTensor{"w": dense("0", 1<<24, 1<<24)})
	var empty bytes.Buffer
	zip.NewWriter(&empty).Close()

	for _, c := range []struct {
		name string
		file []byte
		want error
	}{
		{"big endian", zipFile(t, zip.Store, pickle, with("archive/byteorder", "big")), ErrUnsupported},
		{"little endian", zipFile(t, zip.Store, pickle, with("archive/byteorder", "little")), nil},
		{"TorchScript", zipFile(t, zip.Store, pickle, with("archive/constants.pkl", "")), ErrUnsupported},
		{"no storage", zipFile(t, zip.Store, pickle, nil), ErrDamaged},
		{"no pickle", edit(good, "data.pkl", "data.txt"), ErrUnrecognised},
		{"two pickles", zipFile(t, zip.Store, pickle, with("other/data.pkl", ".")), ErrDamaged},
		{"entry twice", edit(good, "archive/version", "archive/data/0\x00"), nil}, // a name ending in NUL is another name
		{"checksum", edit(good, string(floatBytes(3)), string(floatBytes(7))), ErrDamaged},
		{"deflate bomb", zipFile(t, zip.Deflate, bomb, map[string][]byte{"archive/data/0": make([]byte, 4<<24)}), ErrDamaged},
		{"empty archive", empty.Bytes(), ErrUnrecognised},
		{"empty pickle", zipFile(t, zip.Store, nil, data), ErrDamaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			if f, err := readTorch(c.file); !errors.Is(err, c.want) {
				t.Errorf("%v, %v; want %v", f, err, c.want)
			}
		})
	}
}

func TestHostileLegacy(t *testing.T) {
	pickle := stateDict(map[string]pickledTensor{"a": dense("0", 2, 2), "b": dense("1", 1, 1)})
	first, second := keyed{"0", 2, floatBytes(1, 2)}, keyed{"1", 1, floatBytes(3)}
	good := legacyFile(pickle, first, second)
	edit := func(old, new string) []byte { return bytes.Replace(good, []byte(old), []byte(new), 1) }
	for _, c := range []struct {
		name string
		file []byte
		want error
	}{
		{"sound", good, nil},
		{"another pickle", []byte("\x80\x02}."), ErrUnrecognised},
		{"version", edit("M\xe9\x03", "M\xea\x03"), ErrUnsupported},
		{"version is a tuple", edit("M\xe9\x03", ")\x85\x85"), ErrUnsupported},
		{"big endian", edit("endian\x88", "endian\x89"), ErrUnsupported},
		{"storage missing", legacyFile(pickle, first), ErrDamaged},
		{"storage twice", legacyFile(pickle, first, first), ErrDamaged},
		{"unknown storage", legacyFile(pickle, first, keyed{"2", 1, nil}), ErrDamaged},
		{"other length", legacyFile(pickle, first, keyed{"1", 2, floatBytes(3, 4)}), ErrDamaged},
		{"huge length", legacyFile(pickle, first, keyed{"1", -1, floatBytes(3)}), ErrDamaged},
		{"cut storage", good[:len(good)-1], ErrDamaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			if f, err := readTorch(c.file); !errors.Is(err, c.want) {
				t.Errorf("%v, %v; want %v", f, err, c.want)
			}
		})
	}
}

func TestOpenNamesTheFile(t *testing.T) {
	folder := t.TempDir()
	for name, c := range map[string]struct {
		content string
		want    error
		text    string
	}{
		"empty.pth":  {"", ErrUnrecognised, "empty"},
		"page.pth":   {"\n<!DOCTYPE html><html>", ErrUnrecognised, "web page"},
		"lfs.pth":    {"version https://git-lfs.github.com/spec/v1\noid sha256:0", ErrUnrecognised, "git lfs pull"},
		"tar.pth":    {strings.Repeat("x", 257) + "ustar\x00" + strings.Repeat("x", 300), ErrUnsupported, "tar"},
		"noise.pth":  {"\x01\x02", ErrUnrecognised, "01 02"},
		"zip.pth":    {"PK\x03\x04", ErrDamaged, "zip"},
		"pickle.pth": {"\x80\x02", ErrDamaged, "pickle"},
		"cut.st":     {"\x40\x00\x00\x00\x00\x00\x00\x00{", ErrDamaged, "64 bytes"},
	} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(c.content), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(filepath.Join(folder, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if _, err := Open(folder); !errors.As(err, new(*fs.PathError)) || !strings.Contains(err.Error(), "folder") {
		t.Errorf("folder: %v", err)
	}
}

// failingReader breaks like a bad disk, which is no fault of the format.
type failingReader struct{ err error }

func (r failingReader) ReadAt([]byte, int64) (int, error) { return 0, r.err }

func TestReaderErrorsPassThrough(t *testing.T) {
	broken := failingReader{errors.New("input/output error")}
	for name, read := range map[string]func(io.ReaderAt, int64) (*File, error){"safetensors": ReadSafetensors, "torch": ReadTorch} {
		if _, err := read(broken, 1000); !errors.Is(err, broken.err) || errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReadTorch(f *testing.F) {
	for _, name := range []string{"small-zip.pth", "small-legacy.pth", "small-nested.pth"} {
		if b, err := os.ReadFile(golden + name); err == nil {
			f.Add(b)
		}
	}
	pickle := stateDict(map[string]pickledTensor{"a": {key: "0", length: 4, shape: []int64{2, 2}, stride: []int64{1, 2}}})
	f.Add(legacyFile(pickle, keyed{"0", 4, floatBytes(1, 2, 3, 4)}))
	f.Add(zipFile(f, zip.Deflate, pickle, map[string][]byte{"archive/data/0": floatBytes(1, 2, 3, 4)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := readTorch(b)
		if err != nil {
			return
		}
		for name, tensor := range file.Tensors {
			if err := tensor.check(); err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
	})
}
