package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// printable makes a text from outside fit for a line on a terminal: control
// characters, and bytes that are no text, are escaped as in Go.
func printable(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case unicode.IsGraphic(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[size:]
	}
	return b.String()
}

// printableLines makes each line of a text printable.
func printableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return strings.Join(lines, "\n")
}

// formatTable aligns rows of cells, the first column to the left and the others
// to the right, with two spaces between them. Cells are made printable.
func formatTable(rows [][]string) string {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			row[i] = printable(cell)
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			switch {
			case i > 0:
				b.WriteString("  " + gap + cell)
			case len(row) == 1:
				b.WriteString(cell)
			default:
				b.WriteString(cell + gap)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// formatList writes a list of labels and texts in two columns. Texts are made
// printable.
func formatList(rows [][2]string) string {
	width := 0
	for _, row := range rows {
		width = max(width, utf8.RuneCountInString(row[0]))
	}
	var b strings.Builder
	for _, row := range rows {
		gap := strings.Repeat(" ", width-utf8.RuneCountInString(row[0]))
		fmt.Fprintf(&b, "%s%s  %s\n", row[0], gap, printable(row[1]))
	}
	return b.String()
}

// labelled makes rows of a list from lines of which only the first bears the label.
func labelled(label string, lines []string) [][2]string {
	var rows [][2]string
	for _, line := range lines {
		rows = append(rows, [2]string{label, line})
		label = ""
	}
	return rows
}

// formatCount writes a number with its noun, in groups of three digits.
func formatCount[N int | int64](n N, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return group(int64(n)) + " " + noun
}

func group(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// formatTime writes a duration in its two largest units.
func formatTime(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d.Round(time.Second) < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	d = d.Round(time.Second)
	if d < time.Hour {
		return fmt.Sprintf("%d min %02d s", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%d h %02d min", d/time.Hour, d%time.Hour/time.Minute)
}
