// Package torchfile writes PyTorch files, for tests of what reads them.
package torchfile

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/destseg/destseg/weights"
)

// Pack packs tensors of F32 and I64 as torch.save does, as the entry key of a
// checkpoint, or as the whole of it if key is empty.
func Pack(t *testing.T, key string, f *weights.File) []byte {
	t.Helper()
	var file, p bytes.Buffer
	z := zip.NewWriter(&file)
	text := func(s string) {
		p.WriteByte('X')
		p.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(s))))
		p.WriteString(s)
	}
	integer := func(n int) {
		p.WriteByte('J')
		p.Write(binary.LittleEndian.AppendUint32(nil, uint32(n)))
	}
	add := func(name string, content []byte) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: "archive/" + name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		w.Write(content)
	}
	p.WriteString("\x80\x02")
	if key != "" {
		p.WriteString("}(")
		text("epoch")
		integer(7)
		text(key)
	}
	p.WriteString("ccollections\nOrderedDict\n)R(")
	for i, name := range slices.Sorted(maps.Keys(f.Tensors)) {
		tensor := f.Tensors[name]
		kind, size := "FloatStorage", 4
		if tensor.DType == weights.I64 {
			kind, size = "LongStorage", 8
		}
		storage := fmt.Sprint(i)
		add("data/"+storage, tensor.Data)
		text(name)
		p.WriteString("ctorch._utils\n_rebuild_tensor_v2\n((")
		text("storage")
		p.WriteString("ctorch\n" + kind + "\n")
		text(storage)
		text("cpu")
		integer(len(tensor.Data) / size)
		p.WriteString("tQ")
		integer(0)
		p.WriteByte('(')
		for _, d := range tensor.Shape {
			integer(d)
		}
		p.WriteString("t(")
		for axis := range tensor.Shape {
			stride := 1
			for _, d := range tensor.Shape[axis+1:] {
				stride *= d
			}
			integer(stride)
		}
		p.WriteString("t\x89ccollections\nOrderedDict\n)RtR")
	}
	p.WriteByte('u')
	if key != "" {
		p.WriteByte('u')
	}
	p.WriteByte('.')
	add("data.pkl", p.Bytes())
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}
