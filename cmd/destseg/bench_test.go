package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestBench(t *testing.T) {
	o := succeed(t, "bench", "--size", "32", "--seconds", "1", "--inference", "1", "--training", "none", "--engine", "plain", "--json", "-")
	var report benchReport
	if err := json.Unmarshal([]byte(o.stdout), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Results) != 1 || report.Results[0].PicturesPerSecond <= 0 || len(report.Loader) != 2 || report.Loader[0].PicturesPerSecond <= 0 {
		t.Errorf("%+v", report)
	}
	text := formatBench(report, size{32, 32})
	for _, want := range []string{"plain", "inference", "loader for stage 2"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if o := command(t.Context(), "bench", "--inference", "0"); o.code != exitUsage || !strings.Contains(o.stderr, "none") {
		t.Errorf("status %d: %s", o.code, o.stderr)
	}
}
