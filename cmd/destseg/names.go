package main

import (
	"fmt"
	"path/filepath"
	"strings"
)

// outputNames gives every picture a name for the files made from it, without
// an ending: its path below the folder that all pictures have in common, with "_"
// for the separators. Where two would be the same, also where a file system
// does not tell capitals, the later ones get a number.
func outputNames(paths []string) []string {
	whole := make([]string, len(paths))
	for i, path := range paths {
		whole[i] = absolute(path)
	}
	common := commonFolder(whole)
	taken := make(map[string]bool)
	names := make([]string, len(paths))
	for i, path := range whole {
		name, err := filepath.Rel(common, path)
		if err != nil { // on another drive
			name = filepath.Base(path)
		}
		name = strings.TrimSuffix(name, filepath.Ext(name))
		name = strings.ReplaceAll(filepath.ToSlash(name), "/", "_")
		unique := name
		for n := 2; taken[strings.ToLower(unique)]; n++ {
			unique = fmt.Sprintf("%s-%d", name, n)
		}
		taken[strings.ToLower(unique)] = true
		names[i] = unique
	}
	return names
}

// commonFolder returns the innermost folder that all files lie in or below. Their
// paths are absolute.
func commonFolder(paths []string) string {
	if len(paths) == 0 {
		return ""
	}
	common := filepath.Dir(paths[0])
	for _, path := range paths[1:] {
		for !within(common, path) {
			parent := filepath.Dir(common)
			if parent == common {
				return common
			}
			common = parent
		}
	}
	return common
}

// within reports whether a path lies in or below a folder.
func within(folder, path string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
