//go:build unix

package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestSignals checks that a training keeps a checkpoint when its log's reader or
// its terminal goes away.
func TestSignals(t *testing.T) {
	data := dataSet(t)
	for _, test := range []struct {
		name    string
		signals []os.Signal
	}{
		{"Ctrl-C", []os.Signal{syscall.SIGINT}},
		{"hang-up", []os.Signal{syscall.SIGHUP, syscall.SIGHUP}}, // of the shell and of the system
	} {
		if testing.Short() && test.name == "hang-up" {
			continue // slow without oneDNN
		}
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			log, stderr, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			program := exec.Command(os.Args[0], "train", data, "-o", "x.safetensors", "--size=32", "--batch=2", "--steps=100000+2", "--every=100000")
			program.Env = append(os.Environ(), asProgram+"=1")
			program.Stdout, program.Stderr = stderr, stderr
			if err := program.Start(); err != nil {
				t.Fatal(err)
			}
			stderr.Close()
			lines := bufio.NewScanner(log)
			for lines.Scan() && !strings.Contains(lines.Text(), "student 1/") {
			}
			log.Close()
			for _, signal := range test.signals {
				program.Process.Signal(signal)
			}
			program.Wait()
			if code := program.ProcessState.ExitCode(); code != exitFailed {
				t.Errorf("%v, want exit status %d", program.ProcessState, exitFailed)
			}
			if left := listing(t, "."); strings.Count(left, "\n") != 1 || !strings.HasPrefix(left, "x.safetensors.checkpoint ") {
				t.Errorf("left behind:\n%s", left)
			}
		})
	}
}
