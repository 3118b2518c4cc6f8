// Package report writes an evaluation as one HTML page that needs no other file, no
// script and no network: the verdicts at the threshold, the figures of both maps with
// their protocol, curves and scores as plots, and the worst mistakes as pictures.
package report

import (
	"bytes"
	_ "embed"
	"errors"
	"html/template"
	"io"
	"io/fs"
	"os"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/internal/wholefile"
)

// A Report is what a page tells.
type Report struct {
	Detector string // its file
	Data     string // the folder of the set
	Set      *dataset.Set
	// Record is that of the detector as it judged the pictures, Record.Threshold what
	// it judged by.
	Record     destseg.Record
	Evaluation destseg.Evaluation
	Gallery    *Gallery // of the same pictures

	Threshold  [][2]string // labels and texts: where the threshold comes from and what it promises
	Facts      [][2]string // labels and texts: how the detector was made
	Warnings   []string    // besides those of the set and the evaluation
	PeakMemory string      // of the program; "" if it is not known
}

var (
	//go:embed page.html
	pageText string
	//go:embed style.css
	styleText string
)

// mark is in the head of every page, so that it is known again.
const mark = `<meta name="generator" content="destseg report">`

// WriteFile writes the page to a file, which appears whole or not at all. A file that
// was there is replaced; see [Replaceable].
func (r Report) WriteFile(path string) error {
	return wholefile.Write(path, r.Write)
}

// Write writes the page.
func (r Report) Write(w io.Writer) error {
	page, err := r.page()
	if err != nil {
		return err
	}
	layout, err := template.New("page").Parse(pageText)
	if err != nil {
		return err
	}
	return layout.Execute(w, page)
}

// Replaceable reports whether a page may take the place of what is at path: nothing,
// or a page of this package. Errors are those of reading the file.
func Replaceable(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return false, err
	}
	return bytes.Contains(head, []byte(mark)), nil
}
