// Package ort runs ONNX models with ONNX Runtime, by way of Node.js and the package
// onnxruntime-node, which carries its library. It serves tests and measurements; "make
// test-exchange" installs what it needs beside this file.
package ort

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// A Runtime is a process with ONNX Runtime in it, which has one model open. It is used
// by one goroutine.
type Runtime struct {
	Version string // of ONNX Runtime, once a model is open

	folder  string // of tensors
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	stderr  bytes.Buffer
}

// A Tensor is an input or an output; one of Floats and Bytes is set.
type Tensor struct {
	Shape  []int
	Floats []float32
	Bytes  []uint8
}

// Start starts the process. The error says what is missing.
func Start() (*Runtime, error) {
	home, err := home()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "destseg-ort-*")
	if err != nil {
		return nil, err
	}
	r := &Runtime{folder: folder, process: exec.Command("node", filepath.Join(home, "run.js"))}
	r.process.Stderr = &r.stderr
	r.in, err = r.process.StdinPipe()
	if err == nil {
		var out io.Reader
		if out, err = r.process.StdoutPipe(); err == nil {
			r.out = bufio.NewReader(out)
			err = r.process.Start()
		}
	}
	if err != nil {
		os.RemoveAll(folder)
		return nil, fmt.Errorf("starting node: %w", err)
	}
	return r, nil
}

// home finds this package's folder from where the process works, which is somewhere in
// the repository.
func home() (string, error) {
	above, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		folder := filepath.Join(above, "internal", "ort")
		if _, err := os.Stat(filepath.Join(folder, "run.js")); err == nil {
			if _, err := os.Stat(filepath.Join(folder, "node_modules", "onnxruntime-node")); err != nil {
				return "", errors.New("ONNX Runtime is not installed; run make test-exchange")
			}
			return folder, nil
		}
		if filepath.Dir(above) == above {
			return "", errors.New("internal/ort/run.js is in no folder above this one; work in the repository")
		}
		above = filepath.Dir(above)
	}
}

// Close ends the process.
func (r *Runtime) Close() error {
	r.in.Close()
	return errors.Join(r.process.Wait(), os.RemoveAll(r.folder))
}

// Open loads a model in place of the one before, to run with that many threads.
func (r *Runtime) Open(path string, threads int) (inputs, outputs []string, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, nil, err
	}
	var answer struct {
		Version string   `json:"version"`
		Inputs  []string `json:"inputs"`
		Outputs []string `json:"outputs"`
	}
	err = r.ask(map[string]any{"open": path, "threads": threads}, &answer)
	r.Version = answer.Version
	return answer.Inputs, answer.Outputs, err
}

// A sheet says where a tensor is.
type sheet struct {
	File  string `json:"file"`
	Type  string `json:"type"`
	Shape []int  `json:"shape"`
}

// Run runs the model and returns its outputs and the time that it took, from tensors
// in memory to tensors in memory.
func (r *Runtime) Run(inputs map[string]Tensor) (map[string]Tensor, time.Duration, error) {
	sheets := map[string]sheet{}
	for name, t := range inputs {
		s := sheet{filepath.Join(r.folder, name+".in"), "uint8", t.Shape}
		content := t.Bytes
		if t.Floats != nil {
			s.Type = "float32"
			for _, x := range t.Floats {
				content = binary.LittleEndian.AppendUint32(content, math.Float32bits(x))
			}
		}
		if err := os.WriteFile(s.File, content, 0o600); err != nil {
			return nil, 0, err
		}
		sheets[name] = s
	}
	var answer struct {
		Seconds float64          `json:"seconds"`
		Tensors map[string]sheet `json:"tensors"`
	}
	if err := r.ask(map[string]any{"run": sheets, "folder": r.folder}, &answer); err != nil {
		return nil, 0, err
	}
	outputs := map[string]Tensor{}
	for name, s := range answer.Tensors {
		content, err := os.ReadFile(s.File)
		if err != nil {
			return nil, 0, err
		}
		if s.Type != "float32" {
			return nil, 0, fmt.Errorf("output %s is of type %s", name, s.Type)
		}
		t := Tensor{Shape: s.Shape, Floats: make([]float32, len(content)/4)}
		for i := range t.Floats {
			t.Floats[i] = math.Float32frombits(binary.LittleEndian.Uint32(content[4*i:]))
		}
		outputs[name] = t
	}
	return outputs, time.Duration(answer.Seconds * float64(time.Second)), nil
}

// ask sends a request and waits for the answer.
func (r *Runtime) ask(request, answer any) error {
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if _, err := r.in.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("node: %w: %s", err, r.stderr.Bytes())
	}
	line, err = r.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("node: %w: %s", err, r.stderr.Bytes())
	}
	var failure struct {
		Error string `json:"error"`
	}
	if err := errors.Join(json.Unmarshal(line, &failure), json.Unmarshal(line, answer)); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	if failure.Error != "" {
		return fmt.Errorf("ONNX Runtime: %s", failure.Error)
	}
	return nil
}
