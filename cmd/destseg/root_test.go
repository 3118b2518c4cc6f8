package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestHelp(t *testing.T) {
	for _, name := range []string{"", "bench", "calibrate", "compare", "demo", "eval", "export", "import", "info", "predict", "quantize", "synth", "teacher", "teacher fetch", "teacher import", "teacher info", "teacher pretrain", "train", "version"} {
		t.Run(name, func(t *testing.T) {
			command := strings.Fields(name)
			o := succeed(t, append(command, "--help")...)
			if o.stderr != "" {
				t.Errorf("help on the standard error: %q", o.stderr)
			}
			for line := range strings.Lines(o.stdout) {
				if n := utf8.RuneCountInString(line); n > 120 {
					t.Errorf("a line of %d columns: %s", n, line)
				}
			}
			if !strings.Contains(o.stdout, "Examples:\n  destseg ") {
				t.Error("no example")
			}
			path := filepath.Join("testdata", "help", strings.ReplaceAll(name, " ", "-")+".txt")
			if name == "" {
				path = filepath.Join("testdata", "help", "destseg.txt")
			}
			if *update {
				writeFile(t, path, []byte(o.stdout))
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if o.stdout != string(want) {
				t.Errorf("the help differs from %s; go test -update writes it anew:\n%s", path, o.stdout)
			}
			if name != "" {
				if topic := succeed(t, append([]string{"help"}, command...)...); topic.stdout != o.stdout {
					t.Errorf("destseg help %s says something else", name)
				}
			}
		})
	}
}

// TestUsage checks that a wrong command line is refused before any work.
func TestUsage(t *testing.T) {
	data, detector := dataSet(t), detectorFile(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "destseg: a subcommand is missing"},
		{[]string{"trian"}, `there is no subcommand "trian"; did you mean train?`},
		{[]string{"help", "nothing"}, `there is no subcommand "nothing"`},
		{[]string{"--bogus"}, "unknown flag: --bogus"},
		{[]string{"help", "teacher", "nothing"}, `there is no subcommand "nothing"`},
		{[]string{"teacher"}, "destseg teacher: a subcommand is missing"},
		{[]string{"teacher", "fecth"}, `there is no subcommand "fecth"; did you mean fetch?`},
		{[]string{"teacher", "fetch", "extra"}, `unexpected argument "extra"`},
		{[]string{"teacher", "fetch", "--url", "mirror.example/x.pth"}, "--url: expected an address such as https://"},
		{[]string{"teacher", "fetch", "--url", "file:///x.pth"}, "--url: expected an address such as https://"},
		{[]string{"teacher", "import"}, "FILE is missing"},
		{[]string{"teacher", "import", detector}, "is not resnet18-f37072fd.pth as torchvision publishes it, so --output must name"},
		{[]string{"teacher", "import", detector, "--prefix", "x."}, "--prefix goes with --output"},
		{[]string{"teacher", "import", detector, "-o", detector}, "would be replaced"},
		{[]string{"help", "train", "extra"}, `unexpected argument "extra"`},
		{[]string{"version", "1"}, `unexpected argument "1"`},
		{[]string{"demo", "extra"}, `unexpected argument "extra"`},
		{[]string{"demo", "--kind", "wood"}, "expected machined or woven"},
		{[]string{"info"}, "DETECTOR is missing"},
		{[]string{"info", detector, detector}, "unexpected argument"},
		{[]string{"train"}, "DATA is missing"},
		{[]string{"train", data, "--bogus"}, "unknown flag: --bogus"},
		{[]string{"train", data, "--size", "100"}, "multiples of 32"},
		{[]string{"train", data, "--size", "32x"}, "multiples of 32"},
		{[]string{"train", data, "--size", "999999968"}, "multiples of 32"},
		{[]string{"train", data, "--steps", "5"}, "as in 1000+4000"},
		{[]string{"train", data, "--steps", "0+5"}, "at least 1 each"},
		{[]string{"train", data, "--batch", "0"}, "a whole number from 1 to 4096"},
		{[]string{"train", data, "--batch", "1000000"}, "a whole number from 1 to 4096"},
		{[]string{"train", data, "--threads", "100000"}, "a whole number from 0 to 1024"},
		{[]string{"train", data, "--seed", "-1"}, "a whole number of at least 0"},
		{[]string{"train", data, "--cache", "much"}, "as in 2GiB or 500MB"},
		{[]string{"train", data, "--rotation", "some"}, "expected none, slight, full or auto"},
		{[]string{"train", data, "--min-opacity", "0"}, "above 0 and up to 1"},
		{[]string{"train", data, "--precision", "fp8"}, "expected fp32, bf16 or auto"},
		{[]string{"train", data, "--engine", "abacus"}, "auto, onednn or plain"},
		{[]string{"train", data, "-o", "x", "--checkpoint", "x"}, "name the same file"},
		{[]string{"predict"}, "DETECTOR is missing"},
		{[]string{"predict", detector}, "PICTURE… is missing"},
		{[]string{"predict", detector, data, "--format", "xml"}, "jsonl or csv"},
		{[]string{"predict", detector, data, "--format", "csv", "-o", "x.jsonl"}, "contradicts the name x.jsonl"},
		{[]string{"predict", detector, data, "--threshold", "NaN"}, "expected a number from 0 to 1"},
		{[]string{"predict", detector, data, "--threshold", "55"}, "expected a number from 0 to 1"},
		{[]string{"predict", detector, data, "--pixel-threshold", "-0.1"}, "expected a number from 0 to 1"},
		{[]string{"predict", detector, data, "--min-area", "-3"}, "expected a number of pixels"},
		{[]string{"predict", detector, data, "--open", "NaN"}, "expected a radius in pixels from 0 to 1000"},
		{[]string{"predict", detector, data, "--close", "9999"}, "expected a radius in pixels from 0 to 1000"},
		{[]string{"predict", detector, data, "--map-format", "bmp"}, "expected png16, tiff or npy"},
		{[]string{"predict", detector, data, "--map-format", "npy"}, "--map-format goes with --maps"},
		{[]string{"train", data, "--holdout", "some"}, "expected a number of pictures"},
		{[]string{"train", data, "--holdout", "100%"}, "expected a number of pictures"},
		{[]string{"train", data, "--holdout", "3"}, "--holdout 3 leaves none of 3 pictures to train on"},
		{[]string{"train", data, "--target-fpr", "0"}, "expected a share, as in 0.01 or 1%"},
		{[]string{"train", data, "--target-fpr", "1"}, "expected a share, as in 0.01 or 1%"},
		{[]string{"train", data, "--synthetic", "-1"}, "a whole number from 0"},
		{[]string{"train", data, "--fit", "tiles"}, "expected stretch or pad"},
		{[]string{"train", data, "--fit", "pad", "--tile", "64"}, "--tile does not go with padding"},
		{[]string{"train", data, "--overlap", "8"}, "--overlap without tiles"},
		{[]string{"predict", detector, data, "--tile", "-1"}, "expected a number of pixels up to 65536"},
		{[]string{"predict", detector, data, "--overlap", "8"}, "--overlap without tiles"},
		{[]string{"calibrate", detector}, "DATA is missing"},
		{[]string{"quantize", detector}, "DATA is missing"},
		{[]string{"train", data, "--precision", "int8"}, "expected fp32, bf16 or auto"},
		{[]string{"predict", detector, data, "--precision", "int4"}, "expected fp32, bf16, int8 or auto"},
		{[]string{"calibrate", detector, data, "--objective", "luck"}, "expected fpr, f1 or recall"},
		{[]string{"calibrate", detector, data, "--target-recall", "101%"}, "expected a share"},
		{[]string{"calibrate", detector, data, "--target-recall", "90%"}, "--target-recall goes with --objective recall, not fpr"},
		{[]string{"calibrate", detector, data, "--objective", "f1", "--target-fpr", "1%"}, "--target-fpr goes with --objective fpr, not f1"},
		{[]string{"teacher", "pretrain", data, "--steps", "9", "--phases", "32:4"}, "--steps and --phases contradict each other"},
		{[]string{"eval", detector}, "DATA is missing"},
		{[]string{"eval", detector, data, data}, "unexpected argument"},
		{[]string{"train", data, "--seeds", "0,1"}, "--seeds goes with --all"},
		{[]string{"train", data, "--format", "csv"}, "--format goes with --all"},
		{[]string{"train", "--all", data, "--category", "x"}, "--category is for one category"},
		{[]string{"train", "--all", data, "--checkpoint", "x"}, "--checkpoint is for one category"},
		{[]string{"train", "--all", data, "--seeds", "0,1,0"}, "expected different whole numbers"},
		{[]string{"train", "--all", data, "--seeds", "1", "--seed", "1"}, "contradict each other"},
		{[]string{"eval", detector, data, "--map", "dest"}, "--map goes with --all"},
		{[]string{"eval", "--all", detector, data, "--json", "-"}, "--json is for one category"},
		{[]string{"eval", "--all", detector, data, "--report", "x"}, "--report is for one category"},
		{[]string{"eval", "--all", detector, data, "--format", "html"}, "expected text, csv, json or latex"},
		{[]string{"eval", "--all", detector, data, "--map", "all"}, "expected segmentation, dest or both"},
		{[]string{"bench", data, "--layout", "x"}, "expected visa, mvtec2"},
		{[]string{"compare", detector}, "B is missing"},
		{[]string{"compare", detector, detector}, "--data is missing"},
		{[]string{"compare", detector, detector, "--data", data, "--resamples", "10"}, "a whole number from 100 to 1000000"},
		{[]string{"compare", detector, detector, "--data", data, "--confidence", "1"}, "give less than 1"},
		{[]string{"compare", detector, detector, "--data", data, "--json", detector}, "would be replaced"},
		{[]string{"export", detector}, "--output is missing"},
		{[]string{"export", detector, "-o", "x.onnx", "--precision", "int3"}, "expected fp32, fp16 or int8"},
		{[]string{"export", detector, "-o", "x.onnx", "--format", "tflite"}, "expected onnx or torch-state-dict"},
		{[]string{"export", detector, "-o", "x.onnx", "--dynamic-size", "--with-preprocessing"}, "contradict each other"},
		{[]string{"export", detector, "-o", "x.st", "--format", "torch-state-dict", "--dest"}, "--dest goes with --format onnx"},
		{[]string{"export", detector, "-o", detector}, "would be replaced"},
		{[]string{"import"}, "FILE is missing"},
		{[]string{"import", detector, "-o", detector}, "would be replaced"},
		{[]string{"import", detector, "--size", "100"}, "multiples of 32"},
		{[]string{"synth", data, "-o", "x.webp"}, "as .png or .jpg, not as .webp"},
		{[]string{"synth", data, "--count", "0"}, "a whole number from 1 to 1000"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			t.Chdir(t.TempDir())
			o := command(t.Context(), test.args...)
			if o.code != exitUsage || !strings.Contains(o.stderr, test.want) {
				t.Errorf("exit status %d, want %d with %q:\n%s", o.code, exitUsage, test.want, o.stderr)
			}
			if o.stdout != "" {
				t.Errorf("something on the standard output: %q", o.stdout)
			}
			if left := listing(t, "."); left != "" {
				t.Errorf("left behind:\n%s", left)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	o := succeed(t, "version")
	if !strings.HasPrefix(o.stdout, "destseg ") || !strings.Contains(o.stdout, "engine plain") {
		t.Errorf("version says %q", o.stdout)
	}
	if flag := succeed(t, "--version").stdout; !strings.HasPrefix(o.stdout, strings.TrimSpace(flag)+",") {
		t.Errorf("--version says %q", flag)
	}
}
