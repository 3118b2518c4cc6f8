package picture

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// goldenTensor is an 8-bit tensor of the test vectors.
type goldenTensor struct {
	shape []int
	data  []uint8
}

// readGolden reads the 8-bit tensors of a safetensors file of testdata/golden.
func readGolden(t *testing.T, name string) map[string]goldenTensor {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("..", "testdata", "golden", name))
	if err != nil {
		t.Fatal(err)
	}
	headerLen := binary.LittleEndian.Uint64(file)
	var header map[string]json.RawMessage
	if err := json.Unmarshal(file[8:8+headerLen], &header); err != nil {
		t.Fatal(err)
	}
	body := file[8+headerLen:]
	tensors := make(map[string]goldenTensor)
	for name, raw := range header {
		if name == "__metadata__" {
			continue
		}
		var entry struct {
			Dtype   string `json:"dtype"`
			Shape   []int  `json:"shape"`
			Offsets [2]int `json:"data_offsets"`
		}
		if err := json.Unmarshal(raw, &entry); err != nil {
			t.Fatal(err)
		}
		if entry.Dtype != "U8" {
			t.Fatalf("%s is %s, want U8", name, entry.Dtype)
		}
		tensors[name] = goldenTensor{entry.Shape, body[entry.Offsets[0]:entry.Offsets[1]]}
	}
	return tensors
}
