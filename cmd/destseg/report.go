package main

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/destseg/destseg/internal/memory"
	"github.com/destseg/destseg/report"
)

// reportFile returns the page that a report in a folder is, "" for no folder. It refuses
// to replace what is no report.
func reportFile(folder string) (string, error) {
	if folder == "" {
		return "", nil
	}
	page := filepath.Join(folder, "index.html")
	if info, err := os.Stat(page); err == nil && !info.Mode().IsRegular() {
		return "", wrongUsage("%s is no ordinary file; name another folder", page)
	}
	ours, err := report.Replaceable(page)
	if err == nil && !ours {
		err = wrongUsage("%s is no report of destseg and would be replaced; name another folder", page)
	}
	return page, err
}

// writeReport writes a report after the facts about its detector are filled in; warning
// may be "".
func writeReport(page string, r report.Report, warning string) error {
	r.Threshold = thresholdRows(r.Record.Threshold)
	r.Facts = slices.Concat(recordRows(r.Record), settingsRows(r.Record.Regions))
	if peak := memory.Peak(); peak > 0 {
		r.PeakMemory = formatBytes(peak)
	}
	if warning != "" {
		r.Warnings = []string{warning}
	}
	return r.WriteFile(page)
}
