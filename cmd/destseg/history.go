package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/destseg/destseg/serve/history"
)

// newHistory gathers what is done with the history of a service.
func newHistory(c *console) *cobra.Command {
	command := &cobra.Command{
		Use:   "history",
		Short: "Copies and exports the results that serve has kept",
		Long: `destseg serve --history FILE keeps its results in a SQLite database. The service may
go on while these commands read it.`,
		Example: `  destseg history copy line3.db /backup/line3-monday.db
  destseg history export line3.db --mark wrong -o mistakes.csv`,
	}
	addSubcommands(c, command, newHistoryCopy(), newHistoryExport(c))
	return command
}

// openHistory opens a history that is there.
func openHistory(ctx context.Context, path string) (*history.History, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: there is no such file; destseg serve --history makes one", path)
	}
	return history.Open(ctx, path, history.Options{})
}

func newHistoryCopy() *cobra.Command {
	return &cobra.Command{
		Use:   "copy HISTORY FILE",
		Short: "Copies a history, also while it is written to",
		Long: `copy writes a history as it is now to a new file, which appears whole or not at all.
Copying the file itself while a service writes to it would lose what is still in the
log beside it.`,
		Example: "  destseg history copy line3.db /backup/line3-monday.db",
		Args:    arguments("HISTORY", "FILE"),
		RunE: func(command *cobra.Command, args []string) error {
			h, err := openHistory(command.Context(), args[0])
			if err != nil {
				return err
			}
			return errors.Join(h.Copy(command.Context(), args[1]), h.Close())
		},
	}
}

func newHistoryExport(c *console) *cobra.Command {
	var f history.Filter
	output := ""
	command := &cobra.Command{
		Use:   "export HISTORY",
		Short: "Writes results as a table in CSV",
		Long: `export writes a line for each result, the newest first: what the picture was called,
which detector judged it, score, threshold and verdict, how many regions it has, and
how the verdict was marked. Texts that a spreadsheet would take for a formula begin
with an apostrophe.`,
		Example: `  destseg history export line3.db -o line3.csv
  destseg history export line3.db --verdict NG --from 2026-01-31`,
		Args: arguments("HISTORY"),
		RunE: func(command *cobra.Command, args []string) error {
			h, err := openHistory(command.Context(), args[0])
			if err != nil {
				return err
			}
			return errors.Join(export(command.Context(), c, h, f, output), h.Close())
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.StringVarP(&output, "output", "o", "", "`FILE` (default: the standard output)")
	flags.StringVar(&f.Detector, "detector", "", "those of the detector of this `NAME`")
	choiceFlag(flags, &f.Verdict, "verdict", "KIND", "those judged OK, NG, or none", "OK", "NG", "none")
	choiceFlag(flags, &f.Mark, "mark", "KIND", "those marked right, wrong, either (marked), or none", "right", "wrong", "marked", "none")
	flags.StringVar(&f.Source, "source", "", "those whose picture's name contains this `TEXT`")
	dayFlag(flags, &f.From, 0, "from", "not before this day, as in 2026-01-31")
	dayFlag(flags, &f.To, 1, "to", "not after this day")
	return command
}

// dayFlag defines a flag for a day, or some days after it, in the time of this machine.
func dayFlag(f *pflag.FlagSet, to *time.Time, days int, name, usage string) {
	parse := func(s string) (time.Time, error) {
		day, err := time.ParseInLocation(time.DateOnly, s, time.Local)
		if err != nil {
			return day, errors.New("expected a day, as in 2026-01-31")
		}
		return day.AddDate(0, 0, days), nil
	}
	print := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.AddDate(0, 0, -days).Format(time.DateOnly)
	}
	f.Var(value[time.Time]{to, "DAY", parse, print}, name, usage)
}

func export(ctx context.Context, c *console, h *history.History, f history.Filter, output string) error {
	out, err := c.openResult(output)
	if err != nil {
		return err
	}
	defer out.discard()
	if err := h.WriteCSV(ctx, out, f); err != nil {
		return err
	}
	return out.finish()
}
