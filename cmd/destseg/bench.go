package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/cpuid/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/dataset"
	"github.com/destseg/destseg/demoset"
	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/internal/bench"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/train"
)

type benchOptions struct {
	inference, training []int // batches
	pretraining         []int // batches, of crops
	seconds             int
	size                size
	layers              bool
	loaders             int
	json                string // file, "-" for the standard output, empty for none
	layout              string
	computing
}

func newBench(c *console) *cobra.Command {
	usual := usualTraining()
	o := benchOptions{inference: []int{1, 8, 32}, training: []int{usual.batch}, seconds: 10, size: usual.size}
	command := &cobra.Command{
		Use:   "bench [DATA]",
		Short: "Measures how fast this machine inspects and trains",
		Long: `bench measures inspecting, the steps of both stages of training, and the loader
that prepares pictures for them, from DATA if it is given and from drawn parts
else.

Beside each time stands the floor: that of direct convolutions alone, each by
itself in the layout that suits the library best, measured in turns with it. What
a run takes over that is the rest of the networks and the cost of putting them
together. Convolutions by tiles (kernels "winograd" under --layers) take fewer
multiplications: runs with them may fall below the floor, and then the two do not
tell what the rest costs.

Other work on the machine slows both. Let there be none.`,
		Example: `  destseg bench
  destseg bench --precision fp32 --inference 1 --training none --layers
  destseg bench --json bench.json parts/good`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return wrongUsage("unexpected argument %q", args[1])
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			if o.precision == engine.Int8 {
				if len(o.pretraining) > 0 || command.Flags().Changed("training") && len(o.training) > 0 {
					return wrongUsage("--precision int8 is for inference; leave --training and --pretraining out")
				}
				o.training = nil
			}
			return o.run(command.Context(), c, strings.Join(args, ""))
		},
	}
	f := command.Flags()
	f.SortFlags = false
	batchesFlag(f, &o.inference, "inference", "batches to inspect, as in 1,8,32, or none")
	batchesFlag(f, &o.training, "training", "batches to train with, or none")
	batchesFlag(f, &o.pretraining, "pretraining", "batches of crops of 96×96 to train a teacher with, or none")
	countFlag(f, &o.seconds, 1, 3600, "seconds", "to spend on each, at least")
	sizeFlag(f, &o.size)
	f.BoolVar(&o.layers, "layers", false, "list the layers, the longest first")
	countFlag(f, &o.loaders, 0, maxWorkers, "loaders", "goroutines that prepare pictures, 0 for one a processor")
	f.StringVar(&o.json, "json", "", "`FILE` for everything as JSON, - for the standard output\nin place of the tables; the format may change until version 1.0")
	layoutFlag(f, &o.layout)
	inspectingFlags(f, &o.computing)
	return command
}

func batchesFlag(f *pflag.FlagSet, to *[]int, name, usage string) {
	parse := func(s string) ([]int, error) {
		if s == "none" {
			return nil, nil
		}
		var batches []int
		for part := range strings.SplitSeq(s, ",") {
			n, err := strconv.Atoi(part)
			if err != nil || n < 1 || n > 4096 {
				return nil, errors.New("expected whole numbers with commas between, as in 1,8,32, or none")
			}
			batches = append(batches, n)
		}
		return batches, nil
	}
	print := func(batches []int) string {
		if len(batches) == 0 {
			return "none"
		}
		return strings.Trim(strings.ReplaceAll(fmt.Sprint(batches), " ", ","), "[]")
	}
	f.Var(value[[]int]{to, "LIST", parse, print}, name, usage)
}

// A benchReport is what bench writes as JSON.
type benchReport struct {
	Note      string         `json:"note"`
	Machine   machine        `json:"machine"`
	Engine    string         `json:"engine"`
	Precision string         `json:"precision"`
	Threads   int            `json:"threads"`
	Results   []bench.Result `json:"results"`
	Loader    []loaderSpeed  `json:"loader"`
}

// A machine is what results depend on besides the program.
type machine struct {
	Processor  string   `json:"processor"`
	Features   []string `json:"features"` // instructions that matter here
	Processors int      `json:"processors"`
	System     string   `json:"system"`
}

// A loaderSpeed tells how fast pictures are prepared for a stage of training.
type loaderSpeed struct {
	Stage             int     `json:"stage"`
	Goroutines        int     `json:"goroutines"`
	PicturesPerSecond float64 `json:"pictures_per_second"`
}

func thisMachine() machine {
	m := machine{Processor: cpuid.CPU.BrandName, Processors: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH}
	for _, f := range []cpuid.FeatureID{
		cpuid.AVX2, cpuid.AVX512F, cpuid.AVX512VNNI, cpuid.AVX512BF16, cpuid.AMXBF16, cpuid.AMXINT8, cpuid.ASIMD, cpuid.SVE,
	} {
		if cpuid.CPU.Supports(f) {
			m.Features = append(m.Features, f.String())
		}
	}
	return m
}

func (o benchOptions) run(ctx context.Context, c *console, data string) error {
	e, err := destseg.NewEngine(o.engine)
	if err != nil {
		return err
	}
	out, err := c.openResult(o.json)
	if err != nil {
		return err
	}
	defer out.discard()
	report := benchReport{Note: formatNote, Machine: thisMachine(), Engine: e.Name(), Threads: o.threads}
	if report.Threads == 0 {
		report.Threads = runtime.GOMAXPROCS(0)
	}
	if err := o.measure(ctx, c, e, &report); err != nil {
		return err
	}
	if report.Loader, err = o.measureLoader(ctx, c, data); err != nil {
		return err
	}
	if o.json != "-" {
		fmt.Fprint(c.out, formatBench(report, o.size))
	}
	if o.json == "" {
		return nil
	}
	if err := writeJSON(out, report); err != nil {
		return err
	}
	return out.finish()
}

// measure fills the report but for the loader.
func (o benchOptions) measure(ctx context.Context, c *console, e engine.Engine, report *benchReport) error {
	var works []bench.Work
	at := func(batch int) network.Size {
		return network.Size{Batch: batch, Height: o.size.height, Width: o.size.width}
	}
	for _, batch := range o.inference {
		works = append(works, bench.Inference(at(batch)))
	}
	for _, batch := range o.training {
		works = append(works, bench.StudentStep(at(batch)), bench.SegmentationStep(at(batch)))
	}
	const crop = 96 // side in pixels
	for _, batch := range o.pretraining {
		works = append(works, bench.ClassifierStep(network.Size{Batch: batch, Height: crop, Width: crop}))
	}
	m := c.meter("measuring", len(works))
	defer m.close()
	effort := bench.Effort{Time: time.Duration(o.seconds) * time.Second, Least: 5, Most: 1000}
	for i, w := range works {
		m.update(i, fmt.Sprintf("%s, batch %d", w.Name, w.Size.Batch))
		r, err := bench.Measure(ctx, e, engine.Options{Precision: o.precision, Threads: o.threads}, w, effort)
		if ctx.Err() != nil {
			return errInterrupted
		}
		if err != nil {
			return fmt.Errorf("%s, batch %d: %w", w.Name, w.Size.Batch, err)
		}
		if !o.layers {
			r.Layers = nil
		}
		report.Precision = r.Precision
		report.Results = append(report.Results, r)
	}
	return nil
}

// drawnPictures is how many parts are drawn where there is no data.
const drawnPictures = 16

// measureLoader prepares pictures of a folder or data set, or drawn ones.
func (o benchOptions) measureLoader(ctx context.Context, c *console, data string) ([]loaderSpeed, error) {
	if data == "" {
		folder, err := os.MkdirTemp("", "destseg-bench-*")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(folder)
		err = demoset.Write(ctx, folder, demoset.Machined, demoset.Counts{Train: drawnPictures}, demoset.DefaultSize, 0, nil)
		if ctx.Err() != nil {
			return nil, errInterrupted
		}
		if err != nil {
			return nil, err
		}
		data = folder
	}
	set, err := c.openSet(data, o.layout)
	if err != nil {
		return nil, err
	}
	usual := usualTraining()
	usual.size = o.size
	recipe := usual.recipe(set.Category)
	config := train.Config{
		Recipe: recipe, Loaders: o.loaders,
		Pictures: dataset.NewCache(recipe.Prepare, usual.cache),
	}
	if config.Good, err = goodPictures(set); err != nil {
		return nil, err
	}
	if config.Loaders == 0 {
		config.Loaders = runtime.GOMAXPROCS(0)
	}
	var speeds []loaderSpeed
	for stage := 1; stage <= 2; stage++ {
		const batches = 8
		speed, err := train.LoaderSpeed(ctx, config, stage, batches)
		if ctx.Err() != nil {
			return nil, errInterrupted
		}
		if err != nil {
			return nil, err
		}
		speeds = append(speeds, loaderSpeed{stage, config.Loaders, speed})
	}
	return speeds, nil
}

func formatBench(r benchReport, s size) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s), %s of %d, %s", r.Machine.Processor, strings.Join(r.Machine.Features, " "),
		formatCount(r.Threads, "thread"), r.Machine.Processors, r.Engine)
	if r.Precision != "" {
		fmt.Fprintf(&b, " in %s", r.Precision)
	}
	fmt.Fprintf(&b, ", pictures of %s\n\n", pixels(s))
	if len(r.Results) > 0 {
		b.WriteString(formatResults(r.Results))
	}
	for _, l := range r.Loader {
		fmt.Fprintf(&b, "loader for stage %d: %.0f pictures/s with %s and no engine beside\n",
			l.Stage, l.PicturesPerSecond, formatCount(l.Goroutines, "goroutine"))
	}
	for _, result := range r.Results {
		if len(result.Layers) > 0 {
			fmt.Fprintf(&b, "\n%s, batch %d, layer by layer\n\n%s", result.What, result.Batch, formatLayers(result.Layers))
		}
	}
	return b.String()
}

func formatResults(results []bench.Result) string {
	table := [][]string{{"", "batch", "median ms", "p90", "p99", "pictures/s", "floor ms", "over floor", "memory", "peak", "runs"}}
	ms := func(seconds float64) string { return fmt.Sprintf("%.1f", 1000*seconds) }
	known := func(present bool, text string) string {
		if !present {
			return "–"
		}
		return text
	}
	for _, r := range results {
		table = append(table, []string{
			r.What, strconv.Itoa(r.Batch), ms(r.Median), ms(r.P90), ms(r.P99), fmt.Sprintf("%.1f", r.PicturesPerSecond),
			known(r.Floor > 0, ms(r.Floor)), known(r.Floor > 0, fmt.Sprintf("%.2f", r.Ratio)),
			known(r.ProgramMemory > 0, formatBytes(r.ProgramMemory)), known(r.PeakMemory > 0, formatBytes(r.PeakMemory)),
			strconv.Itoa(r.Runs),
		})
	}
	return formatTable(table) + `
median, p90, p99: of a call, from normalised pictures to maps or to an updated network
pictures/s: in all calls together
floor: direct convolutions alone, which tiles undercut; over floor: median of the ratios of neighbouring calls
memory: of the compiled networks; peak: of the whole process meanwhile

`
}

// formatLayers lists what takes longest first, and sums up the rest.
func formatLayers(layers []bench.Layer) string {
	const most = 40
	layers = slices.SortedFunc(slices.Values(layers), func(a, b bench.Layer) int { return cmp.Compare(b.Time, a.Time) })
	table := [][]string{{"", "ms", "floor ms", "GFLOP/s", "result", "by"}}
	rest := 0.0
	for i, l := range layers {
		if i >= most {
			rest += l.Time
			continue
		}
		row := []string{strings.TrimSpace(l.Op + " " + l.Name), fmt.Sprintf("%.3f", 1000*l.Time), "", "", strings.Trim(strings.ReplaceAll(fmt.Sprint(l.Shape), " ", "×"), "[]"), l.Kernel}
		if l.Floor > 0 {
			row[2], row[3] = fmt.Sprintf("%.3f", 1000*l.Floor), fmt.Sprintf("%.0f", l.Operations/l.Time/1e9)
		}
		table = append(table, row)
	}
	if len(layers) > most {
		table = append(table, []string{fmt.Sprintf("%d more", len(layers)-most), fmt.Sprintf("%.3f", 1000*rest)})
	}
	return formatTable(table)
}
