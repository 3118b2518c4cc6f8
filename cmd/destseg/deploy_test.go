package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDeploy parses the flags by which the files in deploy start the service. The rest of
// these files is checked by make manifests.
func TestDeploy(t *testing.T) {
	flag := regexp.MustCompile(`(?m)(?:ExecStart=.*|DESTSEG_FLAGS=.*|^CMD .*|^ +- )(?:--[a-z].*)`)
	for _, name := range []string{"destseg.service", "serve.env", "Dockerfile", "kubernetes.yaml", "kserve.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
		if err != nil {
			t.Fatal(err)
		}
		var flags []string
		for _, line := range flag.FindAllString(string(text), -1) {
			for _, word := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(` ",[]`, r) }) {
				if strings.HasPrefix(word, "--") {
					flags = append(flags, word)
				}
			}
		}
		if len(flags) == 0 {
			t.Errorf("%s: no flags", name)
		}
		command := newServe(newConsole(io.Discard, io.Discard))
		if err := command.ParseFlags(flags); err != nil {
			t.Errorf("%s: %q: %v", name, flags, err)
		}
	}
}
