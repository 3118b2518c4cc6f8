package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/demoset"
	"github.com/destseg/destseg/internal/golden"
	"github.com/destseg/destseg/network"
)

func TestONNXRuntime(t *testing.T) {
	if os.Getenv("DESTSEG_TEST_EXCHANGE") == "" {
		t.Skip("make test-exchange runs this")
	}
	folder := t.TempDir()
	detector, pictures := filepath.Join(folder, "x.safetensors"), filepath.Join(folder, "flange")
	values := map[string][]float32{}
	for _, t := range network.Tensors() {
		values[t.Name] = golden.Draw(t.Name, t.Shape)
	}
	if err := destseg.Save(detector, destseg.Record{Preprocessing: destseg.StandardPreprocessing(64, 32)}, values); err != nil {
		t.Fatal(err)
	}
	if err := demoset.Write(context.Background(), pictures, demoset.Machined, demoset.Counts{Train: 3}, 64, 1, nil); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := run(t.Context(), []string{"-rounds", "1", "-batches", "1,4", detector, pictures}, &b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"pictures of 64×32", "No int8", "| 1 | ONNX Runtime 1.", "| 4 | ONNX Runtime 1.", "| 4 | "} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"x"}, {"-rounds", "0", "x", "y"}, {"-batches", "1,0", "x", "y"}, {"-bogus"}} {
		if err := run(t.Context(), args, new(bytes.Buffer)); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestTable(t *testing.T) {
	r := &race{ours: "ours", theirs: "theirs", options: options{threads: 2, rounds: 3}}
	r.contenders = []*contender{
		{engine: "ours", precision: "fp32", batch: 2, times: []float64{0.3, 0.1, 0.2}, last: outcome{maps: []float32{0, 1}, scores: []float64{1}}},
		{engine: "theirs", precision: "fp32", batch: 2, times: []float64{0.5, 0.4, 0.6}, last: outcome{maps: []float32{0.25, 1}, scores: []float64{0.5}}},
	}
	var b bytes.Buffer
	if err := r.write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| 2 | ours | fp32 | 200.0 | 100.0 | 10.0 | – | – |", "| 2 | theirs | fp32 | 500.0 | 400.0 | 4.0 | 2.5e-01 | 5.0e-01 |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}
