package page

import (
	"fmt"
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/destseg/destseg/region"
	"github.com/destseg/destseg/serve/history"
)

// functions are those of the templates.
var functions = template.FuncMap{
	"score":   score,
	"margin":  margin,
	"when":    when,
	"stamp":   func(t time.Time) string { return t.Format(time.RFC3339) },
	"group":   group,
	"count":   count,
	"bytes":   size,
	"percent": percent,
	"mistake": mistake,
	"segment": url.PathEscape, // of the path of an address
	"add":     func(a, b int) int { return a + b },
}

// score writes a score, threshold or value of a map.
func score(v any) string {
	switch v := v.(type) {
	case float64:
		return fmt.Sprintf("%.4f", v)
	case float32:
		return fmt.Sprintf("%.4f", v)
	case *float64:
		if v != nil {
			return fmt.Sprintf("%.4f", *v)
		}
	}
	return "–"
}

// margin writes by how much a score exceeds its threshold.
func margin(score float64, threshold *float64) string {
	if threshold == nil {
		return "–"
	}
	return strings.Replace(fmt.Sprintf("%+.4f", score-*threshold), "-", "−", 1)
}

// when writes a time in the zone of this machine.
func when(t time.Time) string {
	t = t.Local()
	if now := time.Now(); t.Year() == now.Year() && t.YearDay() == now.YearDay() {
		return "today " + t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04:05")
}

// group writes a number in groups of three digits.
func group(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return group(n) + " " + noun
}

// size writes a number of bytes.
func size(n int64) string {
	v, unit := float64(n), "B"
	for _, larger := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if v < 1024 {
			break
		}
		v, unit = v/1024, larger
	}
	return fmt.Sprintf("%.4g %s", v, unit)
}

// percent writes a share above 0.
func percent(v float64) string {
	if v < 0.001 {
		return "under 0.1\u00a0%"
	}
	return fmt.Sprintf("%.1f\u00a0%%", 100*v)
}

// mistake names what a wrong verdict is.
func mistake(verdict string) string {
	switch verdict {
	case "NG":
		return "false alarm"
	case "OK":
		return "missed defect"
	}
	return "wrong"
}

// opinion is what people read of a mark.
func opinion(e history.Entry) string {
	switch e.Mark.Opinion {
	case history.Right:
		return "right"
	case history.Wrong:
		return mistake(e.Verdict)
	}
	return ""
}

// outline writes the borders of regions as a path of SVG.
func outline(regions []region.Region) string {
	var b strings.Builder
	for _, r := range regions {
		b.WriteString(border(r.Polygon))
	}
	return b.String()
}

// border writes a polygon as a path of SVG.
func border(p region.Polygon) string {
	var b strings.Builder
	for _, ring := range p {
		for i, at := range ring {
			command := "L"
			if i == 0 {
				command = "M"
			}
			fmt.Fprintf(&b, "%s%g %g", command, at[0], at[1])
		}
		b.WriteByte('Z')
	}
	return b.String()
}
