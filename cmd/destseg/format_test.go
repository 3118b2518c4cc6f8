package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestFormatTable(t *testing.T) {
	got := formatTable([][]string{{"", "left", "right"}, {"a row", "0.5", "–"}, {"heading"}, {"  ünlaut", "12.25", "1"}})
	want := "" +
		"           left  right\n" +
		"a row       0.5      –\n" +
		"heading\n" +
		"  ünlaut  12.25      1\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestPrintable checks that a text from outside can neither command a terminal nor
// begin a line.
func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"größer – 10 × 10":                   "größer – 10 × 10",
		"\x1b]0;pwn\x07bottle\nthreshold  0": `\x1b]0;pwn\abottle\nthreshold  0`,
		"\x9b2J \u009b \u202e":               `\x9b2J \u009b \u202e`,
	} {
		if got := printable(text); got != want {
			t.Errorf("printable(%q) = %q, want %q", text, got, want)
		}
		if got := formatList([][2]string{{"category", text}}); got != "category  "+want+"\n" {
			t.Errorf("in a list %q is %q", text, got)
		}
		if got := formatTable([][]string{{text, "1"}}); got != want+"  1\n" {
			t.Errorf("in a table %q is %q", text, got)
		}
	}
}

func TestFormatTime(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                       "0.0 s",
		9949 * time.Millisecond:                 "9.9 s",
		42 * time.Second:                        "42 s",
		59900 * time.Millisecond:                "1 min 00 s",
		90 * time.Second:                        "1 min 30 s",
		59*time.Minute + 59900*time.Millisecond: "1 h 00 min",
		26*time.Hour + 5*time.Minute:            "26 h 05 min",
	} {
		if got := formatTime(d); got != want {
			t.Errorf("formatTime(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestFormatCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 pixels", 1: "1 pixel", 999: "999 pixels", 1000: "1,000 pixels", 5439488: "5,439,488 pixels"} {
		if got := formatCount(n, "pixel"); got != want {
			t.Errorf("formatCount(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "2GiB": 2 << 30, "1.5 MiB": 3 << 19, "500MB": 500e6, "7B": 7, "1kB": 1000} {
		if got, err := parseBytes(text); err != nil || got != want {
			t.Errorf("parseBytes(%q) = %d, %v, want %d", text, got, err, want)
		}
		if again, err := parseBytes(formatBytes(want)); err != nil || again > want+want/20 || again < want-want/20 {
			t.Errorf("%q reads back as %d, %v", formatBytes(want), again, err)
		}
	}
	for _, text := range []string{"", "5", "GiB", "-1GiB", "1e30GiB", "NaNB", "InfMB", "2 gigs"} {
		if got, err := parseBytes(text); err == nil {
			t.Errorf("parseBytes(%q) = %d", text, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]size{"256": {256, 256}, "320x256": {320, 256}, "32×64": {32, 64}} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-32", "33", "x", "32x", "x32", "32x32x32", "2048x4096", "9223372036854775776x9223372036854775776"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %v", text, got)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "weights/part.png", nil)
	missing := &fs.PathError{Op: "open", Path: "a/b.png", Err: syscall.ENOENT}
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("as it is"), "as it is"},
		{missing, "a/b.png: no such file or folder; check the path"},
		{fmt.Errorf("synth: texture folder: %w", missing), "texture folder: a/b.png: no such file or folder; check the path"},
		{fmt.Errorf("train: synth: broken"), "broken"},
		{fmt.Errorf("a: train: broken"), "a: train: broken"},
		{errors.New("weights: no pictures found"), "weights: no pictures found"}, // a folder of the user
		{&fs.PathError{Op: "stat", Path: "train", Err: syscall.ENOENT}, "train: no such file or folder; check the path"},
		{errors.Join(missing, errors.New("second")), "a/b.png: no such file or folder; check the path\n  second"},
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, "x: the disk is full; make room and try again"},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, "x: permission denied; check who may read or write it"},
	} {
		if got := explain(test.err); got != test.want {
			t.Errorf("explain(%q) = %q, want %q", test.err, got, test.want)
		}
	}
}

// TestMeter checks both ways of showing progress.
func TestMeter(t *testing.T) {
	work := func(c *console) {
		m := c.meter("picture", 1000)
		for i := range 1000 {
			m.update(i+1, "loss 0.5")
			if i == 500 {
				m.note("a word in between")
			}
		}
		m.close()
		m.close()
	}
	var plain, live bytes.Buffer
	work(&console{err: &plain})
	if want := "picture 1/1000, loss 0.5\na word in between\npicture 1000/1000, loss 0.5\n"; plain.String() != want {
		t.Errorf("without a terminal:\n%q\nwant\n%q", plain.String(), want)
	}
	work(&console{err: &live, live: true})
	if !strings.Contains(live.String(), "\ra word in between\n") || strings.Contains(live.String(), "\x1b[3") {
		t.Errorf("on a terminal:\n%q", live.String())
	}
	if last := live.String()[strings.LastIndex(strings.TrimSuffix(live.String(), "\r"), "\r")+1:]; strings.TrimSpace(last) != "" {
		t.Errorf("left on the terminal: %q", last)
	}
	var none *meter
	none.update(1)
}
