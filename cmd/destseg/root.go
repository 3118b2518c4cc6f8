package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/teacher"
)

// Exit statuses.
const (
	exitFailed = 1
	exitUsage  = 2
)

// interruptible returns a context that ends with the first Ctrl-C, SIGTERM, or
// SIGHUP when the terminal goes away. The second one kills the program as if it were
// not handled, but for SIGHUP, which comes from the shell and from the system.
func interruptible(stderr io.Writer) context.Context {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // else nohup started the program
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, func() {
		signal.Ignore(syscall.SIGHUP)
		stop()
		fmt.Fprintln(stderr, "\nInterrupted: finishing what is under way. Ctrl-C again quits at once.")
	})
	return ctx
}

// outliveReaders lets a long piece of work go on when nobody reads what it prints
// any more, because tee died of the same Ctrl-C, or head has seen enough. Without it
// the program ends at once, which is right for one whose results are its lines.
func outliveReaders() { signal.Ignore(syscall.SIGPIPE) }

// run executes one command line and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newConsole(stdout, stderr)
	return execute(ctx, c, newRoot(c, teacher.Torchvision()), args)
}

// execute runs the program with arguments and returns the exit status.
func execute(ctx context.Context, c *console, root *cobra.Command, args []string) int {
	root.SetArgs(append([]string{}, args...)) // nil would stand for those of the process
	command, err := root.ExecuteContextC(ctx)
	if err == nil && c.out.err != nil {
		err = fmt.Errorf("writing the results: %w", c.out.err)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintf(c.err, "%s: %s\n", command.CommandPath(), explain(err))
	if wrong := (*usageError)(nil); errors.As(err, &wrong) {
		fmt.Fprintf(c.err, "%s --help shows how to use it.\n", command.CommandPath())
		return exitUsage
	}
	return exitFailed
}

// newRoot assembles the program, which fetches the teacher "imagenet" from a source.
// Each subcommand has a file of its own.
func newRoot(c *console, imagenet teacher.Source) *cobra.Command {
	root := &cobra.Command{
		Use:     "destseg",
		Version: destseg.Version(),
		Short:   "Finds defects in pictures after seeing only good ones",
		Long: `destseg learns from pictures of good parts what good looks like, and then finds
and marks what is different: scratches, dents, stains, missing pieces.`,
		Example: `  destseg demo                                          try it, without any data
  destseg train parts/good -o parts.safetensors         learn from a folder of good pictures
  destseg predict parts.safetensors incoming/*.png      judge new ones
  destseg eval bottle.safetensors mvtec_ad/bottle       measure on a test set`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetVersionTemplate("destseg {{.Version}}\n")
	// "destseg [flags]" alone does nothing.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1))
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	addSubcommands(c, root,
		newTrain(c), newCalibrate(c), newQuantize(c), newEval(c), newCompare(c), newPredict(c), newSynth(c), newInfo(c),
		newExport(c), newImport(c), newServe(c), newHistory(c), newLoad(c), newTeacher(c, imagenet), newBench(c), newDemo(c), newVersion(c),
	)
	root.SetHelpCommand(newHelp(root))
	return root
}

// addSubcommands makes a command one that does nothing itself: alone it shows its help.
func addSubcommands(c *console, parent *cobra.Command, children ...*cobra.Command) {
	parent.Args = func(command *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(command, args[0])
		}
		command.SetOut(c.err)
		command.Help()
		return wrongUsage("a subcommand is missing")
	}
	parent.RunE = func(*cobra.Command, []string) error { return nil } // Args refuses first
	parent.SuggestionsMinimumDistance = 2
	parent.AddCommand(children...)
}

// newHelp replaces cobra's help command, which takes an unknown topic for a
// success.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help SUBCOMMAND",
		Short:   "Tells about a subcommand",
		Example: "  destseg help train",
		RunE: func(_ *cobra.Command, args []string) error {
			about, rest, err := root.Find(args)
			if err != nil || about == root && len(args) > 0 {
				return unknownCommand(root, args[0])
			}
			if len(rest) > 0 && about.HasAvailableSubCommands() {
				return unknownCommand(about, rest[0])
			}
			if len(rest) > 0 {
				return wrongUsage("unexpected argument %q", rest[0])
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

func unknownCommand(parent *cobra.Command, name string) error {
	if close := parent.SuggestionsFor(name); len(close) > 0 {
		return wrongUsage("there is no subcommand %q; did you mean %s?", name, oneOf(close))
	}
	return wrongUsage("there is no subcommand %q", name)
}

// A usageError says that the command line is wrong, as opposed to the work
// having failed.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func wrongUsage(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// arguments accepts as many positional arguments as there are names; a last
// name that ends in "…" stands for one or more.
func arguments(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return wrongUsage("%s is missing", names[len(args)])
		}
		last := names[len(names)-1]
		if len(args) > len(names) && last[len(last)-len("…"):] != "…" {
			return wrongUsage("unexpected argument %q", args[len(names)])
		}
		return nil
	}
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return wrongUsage("unexpected argument %q", args[0])
	}
	return nil
}
