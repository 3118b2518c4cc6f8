package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
)

// TestInterrupted checks that commands whose context has ended say so and leave
// nothing half done.
func TestInterrupted(t *testing.T) {
	data, detector := dataSet(t), detectorFile(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{
		{"predict", detector, data, "-o", "out.jsonl", "--overlays", "marked", "--masks", "masks"},
		{"eval", detector, data, "--json", "out.json", "--overlays", "marked", "--report", "page"},
		{"eval", "--all", filepath.Dir(detector), filepath.Dir(data)},
		{"compare", detector, detector, "--data", data, "--json", "out.json"},
		{"synth", data, "-o", "sheet.png"},
		{"demo", "-o", "."},
	} {
		t.Run(args[0], func(t *testing.T) {
			t.Chdir(t.TempDir())
			o := command(ctx, args...)
			if o.code != exitFailed || !strings.HasPrefix(o.stderr, "destseg "+args[0]+": interrupted") {
				t.Errorf("exit status %d:\n%s", o.code, o.stderr)
			}
			if left := listing(t, "."); left != "" {
				t.Errorf("left behind:\n%s", left)
			}
		})
	}
}

// TestInterruptedPrediction checks that the lines so far are whole.
func TestInterruptedPrediction(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stdout, stderr := &trigger{text: "\n", call: cancel}, &trigger{}
	code := run(ctx, []string{"predict", detectorFile(t), filepath.Join(dataSet(t), "test")}, stdout, stderr)
	if code != exitFailed || !strings.Contains(stderr.all.String(), "interrupted after 1 of 8 pictures") {
		t.Errorf("exit status %d:\n%s", code, stderr.all.String())
	}
	if lines := predictions(t, stdout.all.String()); len(lines) != 1 {
		t.Errorf("%d lines, want the one after which it was interrupted", len(lines))
	}
}
