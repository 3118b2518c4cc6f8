package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/cpuid/v2"
)

// write prints what was measured as a table in Markdown.
func (r *race) write(w io.Writer) error {
	how := r.record.Preprocessing
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d threads each, pictures of %d×%d, %s and %s, median of %d calls in turns\n\n",
		cpuid.CPU.BrandName, r.threads, how.Width, how.Height, r.ours, r.theirs, r.rounds)
	if r.record.Quantization == nil {
		b.WriteString("No int8: the detector is not quantized; destseg quantize does that.\n\n")
	}
	b.WriteString("| batch | engine | precision | ms a call | fastest | pictures/s | map differs by | score differs by |\n|---|---|---|---|---|---|---|---|\n")
	for _, c := range r.contenders {
		reference := slices.IndexFunc(r.contenders, func(o *contender) bool { return o.batch == c.batch && o.engine == r.ours && o.precision == "fp32" })
		maps, scores := apart(c.last, r.contenders[reference].last)
		difference := func(x float64) string {
			if c == r.contenders[reference] {
				return "–"
			}
			return fmt.Sprintf("%.1e", x)
		}
		slices.Sort(c.times)
		median := c.times[len(c.times)/2]
		fmt.Fprintf(&b, "| %d | %s | %s | %.1f | %.1f | %.1f | %s | %s |\n", c.batch, c.engine, c.precision,
			1000*median, 1000*c.times[0], float64(c.batch)/median, difference(maps), difference(scores))
	}
	b.WriteString("\nDifferences are the largest of all pixels and pictures from our engine in fp32.\n")
	_, err := io.WriteString(w, b.String())
	return err
}
