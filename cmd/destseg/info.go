package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/train"
)

func newInfo(c *console) *cobra.Command {
	asJSON := false
	command := &cobra.Command{
		Use:   "info DETECTOR",
		Short: "Tells what a detector holds",
		Long: `info reads a detector, checks it, and tells how it was made and, if its record
holds measurements, how well it does.`,
		Example: "  destseg info parts.safetensors",
		Args:    arguments("DETECTOR"),
		RunE: func(_ *cobra.Command, args []string) error {
			return info(c, args[0], asJSON)
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON; its format may change until version 1.0")
	return command
}

// formatNote goes into every JSON document.
const formatNote = "this format may change until version 1.0"

func info(c *console, path string, asJSON bool) error {
	record, values, err := destseg.Read(path)
	if err != nil {
		return err
	}
	stat, err := os.Stat(path)
	if err != nil {
		return err
	}
	parameters := 0
	for _, v := range values {
		parameters += len(v)
	}
	if asJSON {
		return writeJSON(c.out, struct {
			Note       string         `json:"note"`
			Path       string         `json:"path"`
			Bytes      int64          `json:"bytes"`
			Tensors    int            `json:"tensors"`
			Parameters int            `json:"parameters"`
			Record     destseg.Record `json:"record"`
		}{formatNote, path, stat.Size(), len(values), parameters, record})
	}

	rows := slices.Concat(
		[][2]string{
			{"detector", fmt.Sprintf("%s (%s)", path, formatBytes(stat.Size()))},
			{"networks", fmt.Sprintf("%s, %s numbers", formatCount(len(values), "tensor"), group(int64(parameters)))},
		},
		recordRows(record), thresholdRows(record.Threshold), quantizationRows(record.Quantization), settingsRows(record.Regions))
	fmt.Fprint(c.out, formatList(rows))
	if record.Metrics != nil {
		fmt.Fprintf(c.out, "\n%s", formatEvaluation(*record.Metrics, nil, 0))
	}
	return nil
}

// recordRows tells in a list how a detector was made.
func recordRows(record destseg.Record) [][2]string {
	if from := record.Imported; from != nil {
		return [][2]string{
			{"category", record.Category},
			{"made", fmt.Sprintf("%s by destseg %s", record.Created.Format("2006-01-02 15:04 MST"), record.Program)},
			fitRow(record.Preprocessing),
			{"imported", fmt.Sprintf("from %s, digest %.12s; how it was trained is not known", from.File, from.Digest)},
		}
	}
	r := record.Recipe
	return [][2]string{
		{"category", record.Category},
		{"made", fmt.Sprintf("%s by destseg %s", record.Created.Format("2006-01-02 15:04 MST"), record.Program)},
		fitRow(record.Preprocessing),
		{"trained on", fmt.Sprintf("%s, digest %.12s", formatCount(record.Pictures.Count, "good picture"), record.Pictures.Digest)},
		{"recipe", formatRecipe(r)},
		{"", fmt.Sprintf("rates %g (student), %g (res), %g (head), momentum %g, weight decay %g", r.StudentRate, r.ResRate, r.HeadRate, r.Momentum, r.WeightDecay)},
		{"anomalies", fmt.Sprintf("textures %s, opacity above %g, rotation %v", record.Textures, r.MinOpacity, r.Rotation)},
		{"teacher", fmt.Sprintf("%s, digest %.12s", record.Teacher.Name, record.Teacher.Digest)},
		{"computed by", fmt.Sprintf("%s in %s, in %s", record.Engine, record.Precision, formatTime(time.Duration(record.Seconds*float64(time.Second))))},
	}
}

// writeJSON writes a document for people and programs.
func writeJSON(w io.Writer, document any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(document)
}

// formatRecipe tells in a line how long and how was learned; what is not as published
// comes last.
func formatRecipe(r train.Recipe) string {
	text := fmt.Sprintf("%d+%d steps of %d, seed %d", r.StudentSteps, r.SegmentationSteps, r.Batch, r.Seed)
	if r.Schedule != train.Constant {
		text += fmt.Sprintf(", schedule %v", r.Schedule)
	}
	if r.Warmup > 0 {
		text += fmt.Sprintf(", warm-up %d", r.Warmup)
	}
	if r.Average > 0 {
		text += fmt.Sprintf(", averaged by %g", r.Average)
	}
	return text
}
