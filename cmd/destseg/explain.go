package main

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// explain turns an error into what the user reads: without the names of
// packages and system calls, the first line a sentence and further ones, if
// there are any, a list.
func explain(err error) string {
	text := err.Error()
	causes := pathErrors(err)
	for _, cause := range causes {
		text = strings.ReplaceAll(text, cause.Error(), printable(cause.Path)+": "+remedy(cause.Err))
	}
	for {
		before, after, found := strings.Cut(text, ": ")
		if !found || !ownPackage(before) || isPath(before, causes) {
			break
		}
		text = after
	}
	text = strings.ReplaceAll(text, "no space left on device", "the disk is full; make room and try again")
	return strings.ReplaceAll(printableLines(text), "\n", "\n  ")
}

// ownPackage reports whether an error's prefix names one of our packages.
func ownPackage(prefix string) bool {
	switch prefix {
	case "dataset", "demoset", "destseg", "engine", "graph", "metric", "network", "onednn", "onnx", "plain", "picture", "pretrain", "quantize", "region", "synth", "teacher", "train", "training", "weights":
		return true
	}
	return false
}

// isPath reports whether a word at the head of an error names a file or folder of
// the user, who may well have one called train.
func isPath(word string, causes []*fs.PathError) bool {
	_, err := os.Lstat(word)
	return err == nil || slices.ContainsFunc(causes, func(e *fs.PathError) bool { return e.Path == word })
}

// pathErrors collects the errors of the file system in the tree under err.
func pathErrors(err error) []*fs.PathError {
	if e, ok := err.(*fs.PathError); ok {
		return []*fs.PathError{e}
	}
	var found []*fs.PathError
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			found = pathErrors(inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			found = append(found, pathErrors(inner)...)
		}
	}
	return found
}

// remedy words an error of the file system and says what to do.
func remedy(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "no such file or folder; check the path"
	case errors.Is(err, fs.ErrPermission):
		return "permission denied; check who may read or write it"
	}
	return err.Error()
}
