package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// A console is where a command talks to its user.
type console struct {
	out  *checkedWriter // results
	err  io.Writer      // progress, warnings, failures
	live bool           // err is a terminal, on which a line can be drawn over
	seen bool           // so is out, and results can be watched there
}

func newConsole(stdout, stderr io.Writer) *console {
	return &console{out: &checkedWriter{w: stdout}, err: stderr, live: isTerminal(stderr), seen: isTerminal(stdout)}
}

// A checkedWriter remembers its first error, so that results which are printed
// here and there need not be checked one by one.
type checkedWriter struct {
	w   io.Writer
	err error
}

func (c *checkedWriter) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.w.Write(p)
	c.err = err
	return n, err
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// width returns the number of columns of the terminal behind err.
func (c *console) width() int {
	const usual = 80
	if file, ok := c.err.(*os.File); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return usual
}

// note writes one line that is no result.
func (c *console) note(format string, args ...any) {
	fmt.Fprintln(c.err, printableLines(fmt.Sprintf(format, args...)))
}

// reportEvery is the least time between two lines of progress where there is
// no terminal.
const reportEvery = 10 * time.Second

// A meter shows how far a piece of work has come: a bar on a terminal,
// elsewhere a line now and then. It is used by one goroutine; nil shows nothing.
type meter struct {
	c     *console
	what  string
	total int
	write func(units int) string
	bar   *progressbar.ProgressBar // nil where there is no terminal
	last  time.Time                // of the last line
}

// barWidth is how many columns the bar itself takes, barRoom what it takes with
// the percentage and the spaces.
const (
	barWidth = 16
	barRoom  = barWidth + len("100% || ") + 1
)

// meter begins a piece of work of total units.
func (c *console) meter(what string, total int) *meter {
	return c.meterOf(what, total, strconv.Itoa)
}

// bytesMeter begins to move total bytes.
func (c *console) bytesMeter(what string, total int64) *meter {
	return c.meterOf(what, int(total), func(bytes int) string { return formatBytes(int64(bytes)) })
}

func (c *console) meterOf(what string, total int, write func(units int) string) *meter {
	m := &meter{c: c, what: what, total: total, write: write}
	if c.live {
		m.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(c.err),
			progressbar.OptionSetWidth(barWidth),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionShowDescriptionAtLineEnd(),
			progressbar.OptionClearOnFinish(),
		)
	}
	return m
}

// update reports that done units are finished; details follow the count.
func (m *meter) update(done int, details ...string) {
	if m == nil {
		return
	}
	text := strings.Join(append([]string{fmt.Sprintf("%s %s/%s", m.what, m.write(done), m.write(m.total))}, details...), ", ")
	if m.bar != nil {
		m.bar.Describe(shorten(text, m.c.width()-barRoom)) // a wrapped line cannot be drawn over
		m.bar.Set(done)
		return
	}
	if now := time.Now(); now.Sub(m.last) >= reportEvery || done == m.total {
		m.last = now
		m.c.note("%s", text)
	}
}

// note writes a line between the progress.
func (m *meter) note(format string, args ...any) {
	if m.bar != nil {
		m.bar.Clear()
	}
	m.c.note(format, args...)
}

// close takes the bar off the terminal. It may be called more than once.
func (m *meter) close() {
	if m.bar != nil {
		m.bar.Finish()
	}
}

// shorten cuts a text to a number of columns.
func shorten(text string, columns int) string {
	runes := []rune(text)
	if len(runes) <= columns {
		return text
	}
	return string(runes[:max(columns, 0)])
}
