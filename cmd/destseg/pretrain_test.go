package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/destseg/destseg/teacher"
)

// fewSteps are the flags of a pretraining that learns nothing in no time.
var fewSteps = []string{"--phases=32:3,64:1", "--batch=4", "--every=2", "--threads=1", "--precision=fp32", "--seed=7"}

func TestPretrain(t *testing.T) {
	if testing.Short() {
		t.Skip("slow without oneDNN")
	}
	kinds := filepath.Join(dataSet(t), "test") // a folder of good ones and one of each kind of defect
	t.Chdir(t.TempDir())
	others := t.TempDir()
	for _, kind := range []string{"good", "dent"} {
		copyFile(t, filepath.Join(kinds, kind, "000.png"), filepath.Join(others, kind, "000.png"))
	}
	pretrain := func(more ...string) []string {
		return append(append([]string{"teacher", "pretrain", kinds, others}, fewSteps...), more...)
	}
	o := succeed(t, pretrain("-o", "whole.safetensors", "--weights=3,1", "--average=0", "--rate=0.05", "--weight-decay=1e-4")...)
	for _, text := range []string{"teacher ", "whole.safetensors (", "time ", "destseg train PICTURES --teacher whole.safetensors"} {
		if !strings.Contains(o.stdout, text) {
			t.Errorf("the summary lacks %q:\n%s", text, o.stdout)
		}
	}
	for _, text := range []string{"7 classes, 8 pictures to learn from", "pretraining 1/4, 32 pixels, loss", "pretraining 4/4, ", "64 pixels"} {
		if !strings.Contains(o.stderr, text) {
			t.Errorf("the progress lacks %q:\n%s", text, o.stderr)
		}
	}
	if left := listing(t, "."); strings.Count(left, "\n") != 1 {
		t.Errorf("more than a teacher left:\n%s", left)
	}
	if _, err := teacher.Load("whole.safetensors"); err != nil {
		t.Error(err)
	}
	if o := command(t.Context(), pretrain("-o", "whole.safetensors")...); o.code != exitFailed || !strings.Contains(o.stderr, "--force") {
		t.Errorf("over the one that is there: exit status %d\n%s", o.code, o.stderr)
	}

	// Interrupted, and again.
	ctx, cancel := context.WithCancel(t.Context())
	stderr := &trigger{text: "pretraining 1/4", call: cancel}
	if code := run(ctx, pretrain("-o", "part.safetensors", "--checkpoint=here", "--cache=0", "--loaders=1"), new(trigger), stderr); code != exitFailed {
		t.Fatalf("interrupted: exit status %d\n%s", code, stderr.all.String())
	}
	if text := stderr.all.String(); !strings.Contains(text, "the same command continues from") {
		t.Errorf("interrupted, it says\n%s", text)
	}
	if o := command(t.Context(), pretrain("-o", "part.safetensors", "--checkpoint=here", "--batch=5")...); o.code != exitFailed || !strings.Contains(o.stderr, "batch 4, not 5") {
		t.Errorf("another batch: exit status %d\n%s", o.code, o.stderr)
	}
	o = succeed(t, pretrain("-o", "part.safetensors", "--checkpoint=here")...)
	if !strings.Contains(o.stderr, "continuing from") {
		t.Errorf("it did not go on:\n%s", o.stderr)
	}
	if _, err := os.Stat("here"); err == nil {
		t.Error("the checkpoint is still there")
	}
}

func TestPretrainUsage(t *testing.T) {
	set := dataSet(t)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{}, exitUsage, "SET… is missing"},
		{[]string{set, "--weights=1,2"}, exitUsage, "2 weights for 1 set"},
		{[]string{set, "--weights=0"}, exitUsage, "above 0"},
		{[]string{set, "--phases=64"}, exitUsage, "as in 64:10000"},
		{[]string{set, "--phases=40:5"}, exitUsage, "multiples of 32"},
		{[]string{set, "--rate=-1"}, exitUsage, "from 0 to 100"},
		{[]string{set, "--average=1"}, exitUsage, "from 0 to 0.999999"},
		{[]string{set, "-o", "same", "--checkpoint", "same"}, exitUsage, "the same file"},
		{[]string{filepath.Join(set, "missing")}, exitFailed, "missing"},
		{[]string{filepath.Join(set, "train")}, exitFailed, "CLASS/"},
	} {
		t.Chdir(t.TempDir())
		o := command(t.Context(), append([]string{"teacher", "pretrain"}, c.args...)...)
		if o.code != c.code || !strings.Contains(o.stderr, c.says) {
			t.Errorf("%v: exit status %d\n%s", c.args, o.code, o.stderr)
		}
		if left := listing(t, "."); left != "" {
			t.Errorf("%v left %s", c.args, left)
		}
	}
}
