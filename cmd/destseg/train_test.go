package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/destseg/destseg"
)

// tiny are the flags of a training that learns nothing in no time.
var tiny = []string{"--size=32", "--batch=2", "--steps=2+2", "--threads=1", "--seed=7"}

// A trigger is a writer that calls a function once, when a text has been
// written to it.
type trigger struct {
	mu   sync.Mutex
	all  bytes.Buffer
	text string
	call func()
}

func (w *trigger) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all.Write(p)
	if w.call != nil && strings.Contains(w.all.String(), w.text) {
		w.call()
		w.call = nil
	}
	return len(p), nil
}

func TestTrain(t *testing.T) {
	data := dataSet(t)
	t.Chdir(t.TempDir())
	o := succeed(t, append([]string{"train", data, "-o", "whole.safetensors"}, tiny...)...)
	for _, text := range []string{"detector ", "3 good pictures of flange, 32×32, 2+2 steps of 2", "threshold ", "destseg predict whole.safetensors "} {
		if !strings.Contains(o.stdout, text) {
			t.Errorf("the summary lacks %q:\n%s", text, o.stdout)
		}
	}
	for _, text := range []string{"flange: 3 good pictures", "student 1/2, loss", "segmentation 2/2, loss", "warning: so few pictures"} {
		if !strings.Contains(o.stderr, text) {
			t.Errorf("the progress lacks %q:\n%s", text, o.stderr)
		}
	}
	if left := listing(t, "."); strings.Count(left, "\n") != 1 {
		t.Errorf("more than a detector left:\n%s", left)
	}
	record, whole, err := destseg.Read("whole.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if record.Category != "flange" || record.Recipe.Seed != 7 || record.Pictures.Count != 3 || record.Threshold == nil ||
		record.Teacher.Name != "builtin" || record.Textures != "procedural" || record.Precision == "auto" {
		t.Errorf("the record is %+v", record)
	}
	if out := succeed(t, "predict", "whole.safetensors", filepath.Join(data, "test", "good")).stdout; len(predictions(t, out)) != 2 {
		t.Errorf("predict says\n%s", out)
	}

	// Interrupted in either stage and continued, it comes to the same weights.
	args := append([]string{"train", data, "-o", "parts.safetensors"}, tiny...)
	for _, text := range []string{"student 1/2", "segmentation 1/2"} {
		ctx, cancel := context.WithCancel(t.Context())
		stderr := &trigger{text: text, call: cancel}
		var stdout bytes.Buffer
		if code := run(ctx, args, &stdout, stderr); code != exitFailed {
			t.Fatalf("interrupted at %s: exit status %d\n%s", text, code, stderr.all.String())
		}
		if said := stderr.all.String(); !strings.Contains(said, "destseg train: interrupted; the same command continues from parts.safetensors.checkpoint\n") {
			t.Errorf("interrupted at %s:\n%s", text, said)
		}
		if stdout.Len() > 0 {
			t.Errorf("interrupted, yet there are results:\n%s", stdout.String())
		}
	}
	if o := succeed(t, args...); !strings.Contains(o.stderr, "continuing from parts.safetensors.checkpoint") {
		t.Errorf("nothing about continuing:\n%s", o.stderr)
	}
	_, parts, err := destseg.Read("parts.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(parts, whole) {
		t.Error("the interrupted training came to other weights")
	}
}

// TestCheckpointOfAnother checks that a checkpoint is not mixed into another
// training, and that --fresh puts it away.
func TestCheckpointOfAnother(t *testing.T) {
	data := dataSet(t)
	t.Chdir(t.TempDir())
	args := append([]string{"train", data, "-o", "x.safetensors"}, tiny...)
	ctx, cancel := context.WithCancel(t.Context())
	if code := run(ctx, args, &bytes.Buffer{}, &trigger{text: "student 1/2", call: cancel}); code != exitFailed {
		t.Fatalf("exit status %d", code)
	}
	before, err := os.Stat("x.safetensors.checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	o := command(t.Context(), append(args, "--seed=8")...)
	if o.code != exitFailed || !strings.Contains(o.stderr, "x.safetensors.checkpoint: belongs to a run with another recipe") {
		t.Errorf("exit status %d:\n%s", o.code, o.stderr)
	}
	if after, err := os.Stat("x.safetensors.checkpoint"); err != nil || after.ModTime() != before.ModTime() {
		t.Errorf("the checkpoint was touched (%v)", err)
	}
	succeed(t, append(args, "--seed=8", "--fresh")...)
}
