// Command compare measures a detector on our engine and, as an ONNX model, on ONNX
// Runtime: the same pictures, as many threads, in turns in one run. It prints the tables
// of docs/exchange.md. "make bench-exchange" runs it.
//
// A call of our engine goes from normalised pictures to maps at their size and scores,
// as a call of the model does. Each engine keeps its programs and sessions open all the
// time. The maps are compared with those of our engine in fp32.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/picture"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		if errors.Is(err, flag.ErrHelp) || errors.Is(err, errUsage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

var errUsage = errors.New("wrong usage")

type options struct {
	batches []int
	threads int
	rounds  int
}

func run(ctx context.Context, args []string, w io.Writer) (err error) {
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	batches := f.String("batches", "1,8", "batches, with commas between")
	o := options{}
	f.IntVar(&o.threads, "threads", runtime.GOMAXPROCS(0), "threads of either engine")
	f.IntVar(&o.rounds, "rounds", 30, "calls of each contender")
	f.Usage = func() {
		fmt.Fprintln(f.Output(), "usage: compare [flags] DETECTOR PICTURES")
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if f.NArg() != 2 || o.threads < 1 || o.rounds < 1 {
		return fmt.Errorf("%w: expected a detector and a folder of pictures, and at least one thread and one round", errUsage)
	}
	for part := range strings.SplitSeq(*batches, ",") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 {
			return fmt.Errorf("%w: -batches %s", errUsage, *batches)
		}
		o.batches = append(o.batches, n)
	}
	record, values, err := destseg.Read(f.Arg(0))
	if err != nil {
		return err
	}
	inputs, err := normalised(f.Arg(1), record.Preprocessing, slices.Max(o.batches))
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "destseg-compare-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	r := &race{options: o, record: record, values: values, inputs: inputs, folder: folder}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.prepare(); err != nil {
		return err
	}
	if err := r.measure(ctx); err != nil {
		return err
	}
	return r.write(w)
}

// normalised returns count pictures of a folder or a data set as the networks take
// them, from the start again where there are fewer.
func normalised(root string, how destseg.Preprocessing, count int) ([][]float32, error) {
	set, err := dataset.Open(root)
	if err != nil {
		return nil, err
	}
	samples := append(slices.Clone(set.Test), set.Train...)
	if len(samples) == 0 {
		return nil, fmt.Errorf("%s: no pictures", root)
	}
	// Spread over the set, so that good and defective ones are among them.
	step := max(len(samples)/count, 1)
	var inputs [][]float32
	for i := range count {
		p, err := picture.Open(samples[i*step%len(samples)].Path)
		if err != nil {
			return nil, err
		}
		input := make([]float32, 3*how.Width*how.Height)
		p.Resize(how.Width, how.Height).Normalize(input, how.Mean, how.Std)
		inputs = append(inputs, input)
	}
	return inputs, nil
}
