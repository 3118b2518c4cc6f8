package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEvalReport(t *testing.T) {
	data, detector := dataSet(t), detectorFile(t)
	t.Chdir(t.TempDir())
	succeed(t, "eval", detector, data, "--report", "a/page", "--threshold", "0.25", "--min-area", "7")
	if files := listing(t, "a"); strings.Count(files, "\n") != 1 {
		t.Errorf("more than a page:\n%s", files)
	}
	text, err := os.ReadFile("a/page/index.html")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, want := range []string{
		"flange", "0.2500 for pictures", "<bdi>given</bdi>", "1000&#43;4000 steps of 32", "7 pixels at least", "test/missing_hole/000.png", "pixel AUROC",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}

	if testing.Short() {
		return // slow without oneDNN
	}
	// A page is replaced by the next one.
	succeed(t, "eval", detector, data, "--report", "a/page", "--threshold", "0.75")
	if text, err := os.ReadFile("a/page/index.html"); err != nil || !strings.Contains(string(text), "0.7500 for pictures") {
		t.Errorf("the page is still the old one (%v)", err)
	}
}

// TestEvalReportReplacesNothing checks that what is no report stays.
func TestEvalReportReplacesNothing(t *testing.T) {
	data, detector := dataSet(t), detectorFile(t)
	t.Chdir(t.TempDir())
	writeFile(t, "site/index.html", []byte("<!DOCTYPE html><title>my page</title>"))
	if err := os.MkdirAll("odd/index.html", 0o777); err != nil {
		t.Fatal(err)
	}
	copyFile(t, detector, "own/index.html")
	writeFile(t, "file", []byte("text"))
	before := listing(t, ".")
	for _, test := range []struct {
		detector, folder string
		code             int
		want             string
	}{
		{detector, "site", exitUsage, "is no report of destseg and would be replaced; name another folder"},
		{detector, "odd", exitUsage, "is no ordinary file; name another folder"},
		{filepath.Join("own", "index.html"), "own", exitUsage, "is no report of destseg"},
		{detector, "file", exitFailed, "file"},
	} {
		o := command(t.Context(), "eval", test.detector, data, "--report", test.folder)
		if o.code != test.code || !strings.Contains(o.stderr, test.want) {
			t.Errorf("%s: exit status %d\n%s", test.folder, o.code, o.stderr)
		}
	}
	if after := listing(t, "."); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}
