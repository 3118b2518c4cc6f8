package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/destseg/destseg"
)

// errInterrupted ends a command whose context ended.
var errInterrupted = errors.New("interrupted")

// incomplete is the error of a command that did its work but for single files: a
// list of them under a heading; nil if there are none.
func incomplete(unread, unwritten []error) error {
	var heading []string
	if len(unread) > 0 {
		heading = append(heading, formatCount(len(unread), "picture")+" could not be read")
	}
	if len(unwritten) > 0 {
		heading = append(heading, formatCount(len(unwritten), "file")+" could not be written")
	}
	if heading == nil {
		return nil
	}
	return fmt.Errorf("%s:\n%w", strings.Join(heading, ", "), errors.Join(listed(unread), listed(unwritten)))
}

// reasons are the errors of pictures that were left out.
func reasons(failed []destseg.FailedPicture) []error {
	var errs []error
	for _, f := range failed {
		errs = append(errs, errors.New(f.Error))
	}
	return errs
}

// listed makes a list of errors, one line each.
func listed(errs []error) error {
	lines := make([]error, len(errs))
	for i, err := range errs {
		lines[i] = errors.New(told(err))
	}
	return errors.Join(lines...)
}

// told is what the user reads of the error of a single file, in one line: a line
// break can only come from the file's name, so explain's indent goes again.
func told(err error) string {
	return printable(strings.ReplaceAll(explain(err), "\n  ", "\n"))
}
