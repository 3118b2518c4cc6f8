package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/synth"
	"github.com/destseg/destseg/train"
)

// A value is a flag that is checked while the command line is read.
type value[T any] struct {
	to    *T
	kind  string // what the help calls it
	parse func(string) (T, error)
	print func(T) string
}

func (v value[T]) Set(s string) error {
	parsed, err := v.parse(s)
	if err == nil {
		*v.to = parsed
	}
	return err
}

func (v value[T]) String() string { return v.print(*v.to) }
func (v value[T]) Type() string   { return v.kind }

// A size is that of a picture in pixels.
type size struct{ width, height int }

func (s size) String() string {
	if s.width == s.height {
		return strconv.Itoa(s.width)
	}
	return fmt.Sprintf("%dx%d", s.width, s.height)
}

// pixels writes a size in full.
func pixels(s size) string { return fmt.Sprintf("%d×%d", s.width, s.height) }

// sizeStep divides the sides of the network's picture size.
const sizeStep = 32

func parseSize(s string) (size, error) {
	wide, high, two := strings.Cut(strings.ReplaceAll(s, "×", "x"), "x")
	if !two {
		high = wide
	}
	width, err1 := strconv.Atoi(wide)
	height, err2 := strconv.Atoi(high)
	if err1 != nil || err2 != nil || width < sizeStep || height < sizeStep ||
		width%sizeStep != 0 || height%sizeStep != 0 || width > destseg.MaxPixels/height {
		return size{}, fmt.Errorf("expected 256, or a width and a height as in 320x256, in multiples of %d up to %d pixels in all", sizeStep, destseg.MaxPixels)
	}
	return size{width, height}, nil
}

func sizeFlag(f *pflag.FlagSet, to *size) {
	f.Var(value[size]{to, "SIZE", parseSize, size.String}, "size",
		"of pictures in the network: 256, or WIDTHxHEIGHT, multiples of 32")
}

// steps are the lengths of the two stages of training.
type steps struct{ student, segmentation int }

func (s steps) String() string { return fmt.Sprintf("%d+%d", s.student, s.segmentation) }

func parseSteps(s string) (steps, error) {
	first, second, ok := strings.Cut(s, "+")
	student, err1 := strconv.Atoi(first)
	segmentation, err2 := strconv.Atoi(second)
	if !ok || err1 != nil || err2 != nil || student < 1 || segmentation < 1 || max(student, segmentation) > train.MaxSteps {
		return steps{}, errors.New("expected the steps of both stages, at least 1 each, as in 1000+4000")
	}
	return steps{student, segmentation}, nil
}

func stepsFlag(f *pflag.FlagSet, to *steps) {
	f.Var(value[steps]{to, "N+N", parseSteps, steps.String}, "steps",
		"steps of training: student + segmentation network")
}

// rotationFlag defines a flag for how far pictures are turned; *to stays nil
// for "auto".
func rotationFlag(f *pflag.FlagSet, to **synth.Rotation) {
	parse := func(s string) (*synth.Rotation, error) {
		if s == "auto" {
			return nil, nil
		}
		rotation := new(synth.Rotation)
		if rotation.UnmarshalText([]byte(s)) != nil {
			return nil, errors.New("expected none, slight, full or auto")
		}
		return rotation, nil
	}
	print := func(r *synth.Rotation) string {
		if r == nil {
			return "auto"
		}
		return r.String()
	}
	f.Var(value[*synth.Rotation]{to, "KIND", parse, print}, "rotation",
		"by which a part stays a good one: none, slight (±5°), full (quarters\nand ±5°), or auto: as in the paper for MVTec AD, none for others")
}

// byteUnits are tried in order, so that no unit hides behind its own ending.
var byteUnits = [...]struct {
	name  string
	bytes float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}}

func parseBytes(s string) (int64, error) {
	bad := errors.New("expected an amount of memory, as in 2GiB or 500MB")
	for _, unit := range byteUnits {
		number, ok := strings.CutSuffix(s, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if bytes := n * unit.bytes; err == nil && bytes >= 0 && bytes < math.MaxInt64 {
			return int64(bytes), nil
		}
		return 0, bad
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n == 0 {
		return 0, nil
	}
	return 0, bad
}

// formatBytes writes an amount of memory with three digits or so.
func formatBytes(n int64) string {
	v, unit := float64(n), 0
	names := [...]string{"B", "KiB", "MiB", "GiB", "TiB"}
	for v >= 1024 && unit < len(names)-1 {
		v /= 1024
		unit++
	}
	if v == math.Trunc(v) {
		return fmt.Sprintf("%.0f %s", v, names[unit])
	}
	return fmt.Sprintf("%.1f %s", v, names[unit])
}

func bytesFlag(f *pflag.FlagSet, to *int64, name, usage string) {
	f.Var(value[int64]{to, "SIZE", parseBytes, formatBytes}, name, usage)
}

// positiveBytesFlag defines a flag for a size without which nothing could be done.
func positiveBytesFlag(f *pflag.FlagSet, to *int64, name, usage string) {
	parse := func(s string) (int64, error) {
		n, err := parseBytes(s)
		if err == nil && n == 0 {
			err = errors.New("expected a size above 0")
		}
		return n, err
	}
	f.Var(value[int64]{to, "SIZE", parse, formatBytes}, name, usage)
}

// choiceFlag defines a flag with a few possible values.
func choiceFlag(f *pflag.FlagSet, to *string, name, kind, usage string, choices ...string) {
	parse := func(s string) (string, error) {
		for _, choice := range choices {
			if s == choice {
				return s, nil
			}
		}
		return "", fmt.Errorf("expected %s", oneOf(choices))
	}
	f.Var(value[string]{to, kind, parse, func(s string) string { return s }}, name, usage)
}

// oneOf lists choices in a sentence.
func oneOf(choices []string) string {
	last := len(choices) - 1
	if last == 0 {
		return choices[0]
	}
	return strings.Join(choices[:last], ", ") + " or " + choices[last]
}

// maxWorkers is the most threads or goroutines that can be asked for; beyond the
// processors of any machine more of them only take memory.
const maxWorkers = 1024

// countFlag defines a flag for a whole number from least to most.
func countFlag(f *pflag.FlagSet, to *int, least, most int, name, usage string) {
	parse := func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("expected a whole number from %d to %d", least, most)
		}
		return n, nil
	}
	f.Var(value[int]{to, "N", parse, strconv.Itoa}, name, usage)
}

// durationFlag defines a flag for a time that may be 0.
func durationFlag(f *pflag.FlagSet, to *time.Duration, name, usage string) {
	timeFlag(f, to, 0, "expected a time, as in 500ms, 30s or 2m", name, usage)
}

// positiveDurationFlag defines a flag for a time without which nothing could be done.
func positiveDurationFlag(f *pflag.FlagSet, to *time.Duration, name, usage string) {
	timeFlag(f, to, 1, "expected a time above 0, as in 500ms, 30s or 2m", name, usage)
}

func timeFlag(f *pflag.FlagSet, to *time.Duration, least time.Duration, expected, name, usage string) {
	parse := func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil || d < least {
			return 0, errors.New(expected)
		}
		return d, nil
	}
	f.Var(value[time.Duration]{to, "TIME", parse, time.Duration.String}, name, usage)
}

// optionalFlag defines a flag that may be left out: *to stays nil then.
func optionalFlag[T any](f *pflag.FlagSet, to **T, kind, name, usage string, parse func(string) (T, error)) {
	parseTo := func(s string) (*T, error) {
		x, err := parse(s)
		return &x, err
	}
	print := func(x *T) string {
		if x == nil {
			return ""
		}
		return fmt.Sprint(*x)
	}
	f.Var(value[*T]{to, kind, parseTo, print}, name, usage)
}

// thresholdFlag defines a flag for a number from 0 to 1, as scores are, that may be
// left out.
func thresholdFlag(f *pflag.FlagSet, to **float64, name, usage string) {
	optionalFlag(f, to, "X", name, usage, func(s string) (float64, error) {
		x, err := strconv.ParseFloat(s, 64)
		if err != nil || !(x >= 0 && x <= 1) {
			return 0, errors.New("expected a number from 0 to 1")
		}
		return x, nil
	})
}

// A choice of engine, and how it computes.
type computing struct {
	engine    string
	precision engine.Precision
	threads   int
}

// trainingFlags are those of commands that train.
func trainingFlags(f *pflag.FlagSet, to *computing) {
	engineFlag(f, to)
	precisionFlag(f, to, "fp32, bf16, or auto: bf16 where the processor has it", engine.Float32, engine.BFloat16, engine.Auto)
	threadsFlag(f, to)
}

// inspectingFlags are those of commands that run a detector.
func inspectingFlags(f *pflag.FlagSet, to *computing) {
	engineFlag(f, to)
	precisionFlag(f, to, "fp32, bf16, int8 for a detector that was quantized, or auto: of\nthese the fastest that it and the processor have", engine.Float32, engine.BFloat16, engine.Int8, engine.Auto)
	threadsFlag(f, to)
}

func engineFlag(f *pflag.FlagSet, to *computing) {
	to.engine = "auto"
	choiceFlag(f, &to.engine, "engine", "NAME", "onednn, plain (slow, needs nothing but Go), or auto", "auto", "onednn", "plain")
}

func threadsFlag(f *pflag.FlagSet, to *computing) {
	countFlag(f, &to.threads, 0, maxWorkers, "threads", "processors to use, 0 for all")
}

func precisionFlag(f *pflag.FlagSet, to *computing, usage string, known ...engine.Precision) {
	names := make([]string, len(known))
	for i, p := range known {
		names[i] = p.String()
	}
	parse := func(s string) (engine.Precision, error) {
		p, err := engine.ParsePrecision(s)
		if err != nil || !slices.Contains(known, p) {
			return 0, fmt.Errorf("expected %s", oneOf(names))
		}
		return p, nil
	}
	f.Var(value[engine.Precision]{&to.precision, "KIND", parse, engine.Precision.String}, "precision", usage)
}

// flagValues returns the values of all flags by name.
func flagValues(f *pflag.FlagSet) map[string]string {
	values := map[string]string{}
	f.VisitAll(func(flag *pflag.Flag) {
		if flag.Name != "help" {
			values[flag.Name] = flag.Value.String()
		}
	})
	return values
}

func seedFlag(f *pflag.FlagSet, to *uint64) {
	parse := func(s string) (uint64, error) {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return 0, errors.New("expected a whole number of at least 0")
		}
		return n, nil
	}
	print := func(n uint64) string { return strconv.FormatUint(n, 10) }
	f.Var(value[uint64]{to, "N", parse, print}, "seed", "every random choice follows from it")
}

// fractionFlag defines a flag for a number above 0 and up to 1.
func fractionFlag(f *pflag.FlagSet, to *float64, name, usage string) {
	parse := func(s string) (float64, error) {
		x, err := strconv.ParseFloat(s, 64)
		if err != nil || !(x > 0 && x <= 1) {
			return 0, errors.New("expected a number above 0 and up to 1")
		}
		return x, nil
	}
	print := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	f.Var(value[float64]{to, "X", parse, print}, name, usage)
}

// A holdout says how many good pictures training holds back.
type holdout struct {
	auto  bool
	count int
	share float64 // of all, if it is not 0
}

func (h holdout) String() string {
	switch {
	case h.auto:
		return "auto"
	case h.share > 0:
		return strconv.FormatFloat(100*h.share, 'g', 6, 64) + "%"
	}
	return strconv.Itoa(h.count)
}

// of returns how many of n pictures are held back.
func (h holdout) of(n int) int {
	const (
		few  = 20 // of fewer every one is needed for training
		some = 5
	)
	switch {
	case h.auto && n < few:
		return 0
	case h.auto:
		return max(n/10, some)
	case h.share > 0:
		return int(math.Round(h.share * float64(n)))
	}
	return h.count
}

func holdoutFlag(f *pflag.FlagSet, to *holdout) {
	parse := func(s string) (holdout, error) {
		if s == "auto" {
			return holdout{auto: true}, nil
		}
		if number, ok := strings.CutSuffix(s, "%"); ok {
			if x, err := strconv.ParseFloat(number, 64); err == nil && x > 0 && x < 100 {
				return holdout{share: x / 100}, nil
			}
		} else if n, err := strconv.Atoi(s); err == nil && n >= 0 {
			return holdout{count: n}, nil
		}
		return holdout{}, errors.New("expected a number of pictures, a share as in 10%, or auto")
	}
	f.Var(value[holdout]{to, "N", parse, holdout.String}, "holdout",
		"good pictures to hold back for the threshold: a number, a share as\nin 10%, or auto: 10 % and at least 5, none of fewer than 20")
}

// shareFlag defines a flag for a share, above 0 and below 1, or up to it.
func shareFlag(f *pflag.FlagSet, to *float64, name, usage string, whole bool) {
	parse := func(s string) (float64, error) {
		number, percent := strings.CutSuffix(s, "%")
		x, err := strconv.ParseFloat(number, 64)
		if percent {
			x /= 100
		}
		if err != nil || !(x > 0 && x <= 1) || x == 1 && !whole {
			return 0, errors.New("expected a share, as in 0.01 or 1%")
		}
		return x, nil
	}
	print := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	f.Var(value[float64]{to, "X", parse, print}, name, usage)
}
