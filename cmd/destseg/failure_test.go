package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/destseg/destseg/weights"
)

// badPictures fills a folder with one good picture and four that cannot be read.
func badPictures(t *testing.T, folder, good string) {
	t.Helper()
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(folder, "good.png"), content)
	writeFile(t, filepath.Join(folder, "cut.png"), content[:len(content)/2])
	writeFile(t, filepath.Join(folder, "text.jpg"), []byte("this is no picture\n"))
	writeFile(t, filepath.Join(folder, "nothing.png"), nil)
	writeFile(t, filepath.Join(folder, "huge.png"), hugePNG())
}

// hugePNG claims 100,000×100,000 pixels in a few bytes.
func hugePNG() []byte {
	header := []byte("IHDR")
	header = binary.BigEndian.AppendUint32(header, 100_000)
	header = binary.BigEndian.AppendUint32(header, 100_000)
	header = append(header, 8, 2, 0, 0, 0)
	b := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d")
	b = append(b, header...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(header))
}

// smallFile writes a weight file whose record is a changed one of testRecord.
func smallFile(t *testing.T, path string, change func(record map[string]any)) {
	t.Helper()
	text, err := json.Marshal(testRecord())
	if err != nil {
		t.Fatal(err)
	}
	var record map[string]any
	if err := json.Unmarshal(text, &record); err != nil {
		t.Fatal(err)
	}
	record["format"] = 1
	change(record)
	if text, err = json.Marshal(record); err != nil {
		t.Fatal(err)
	}
	if err := weights.WriteFile(path, &weights.File{Metadata: map[string]string{"destseg": string(text)}}); err != nil {
		t.Fatal(err)
	}
}

// TestFailures checks that bad input gives one clear sentence, exit status 1 and
// nothing left behind.
func TestFailures(t *testing.T) {
	data, detector := dataSet(t), detectorFile(t)
	ownCache(t)
	folder := t.TempDir()
	t.Chdir(folder)
	good := filepath.Join(data, "train", "good", "000.png")
	if err := os.MkdirAll("empty", 0o777); err != nil {
		t.Fatal(err)
	}
	badPictures(t, "mixed", good)
	copyFile(t, good, "one/000.png")
	copyFile(t, good, "kinds/test/scratch/000.png")
	writeFile(t, "text.safetensors", []byte("these are no weights\n"))
	writeFile(t, "hostile.safetensors", append(binary.LittleEndian.AppendUint64(nil, 1<<60), "{}"...))
	head, err := os.ReadFile(detector)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, "cut.safetensors", head[:1<<20])
	smallFile(t, "newer.safetensors", func(r map[string]any) { r["format"] = 99 })
	smallFile(t, "hollow.safetensors", func(map[string]any) {})
	smallFile(t, "vast.safetensors", func(r map[string]any) {
		r["preprocessing"].(map[string]any)["width"] = 32 << 20
	})

	type failure struct {
		args string // separated by spaces
		want string
	}
	tests := []failure{
		{"train empty", "destseg train: empty: no pictures found"},
		{"train missing", "destseg train: missing: no such file or folder; check the path"},
		{"train text.safetensors", "it is a file; name the folder that holds the pictures"},
		{"train kinds", "no good pictures to learn from; put them under train/good"},
		{"train mixed", "4 of 5 can't be read; repair them or take them away:"},
		{"train one -o missing/x.safetensors", "missing: no such folder; make it first"},
		{"train one -o empty", "empty: is a folder; name a file in it"},
		{"train one -o " + os.DevNull, "is no ordinary file"},
		{"train one --checkpoint missing/x", "missing: no such folder; make it first"},
		{"train one --checkpoint text.safetensors", "not a safetensors or PyTorch file"},
		{"train one --checkpoint hostile.safetensors", "hostile.safetensors: file is damaged or cut short"},
		{"train one --textures empty", "texture folder empty: no pictures"},
		{"train one --teacher text.safetensors", "text.safetensors: not a safetensors or PyTorch file"},
		{"train one --teacher hollow.safetensors", "no usable ResNet-18 teacher"},
		{"train one --teacher imagenet", "the teacher imagenet has not been fetched: there is no "},
		{"train one --teacher imagenet", "; destseg teacher fetch downloads it"},
		{"train one --engine plain --precision bf16", "bf16"},
		{"teacher info imagenet", "destseg teacher info: the teacher imagenet has not been fetched"},
		{"teacher info missing.pth", "missing.pth: no such file or folder; check the path"},
		{"teacher info text.safetensors", "text.safetensors: not a safetensors or PyTorch file"},
		{"teacher info cut.safetensors", "cut.safetensors: file is damaged or cut short"},
		{"teacher import missing.pth", "missing.pth: no such file or folder; check the path"},
		{"teacher import hollow.safetensors -o x.safetensors", "hollow.safetensors: no usable ResNet-18 teacher"},
		{"teacher import DETECTOR -o cut.safetensors", "cut.safetensors: there is a file already; --force replaces it"},
		{"teacher import DETECTOR -o missing/x.safetensors", "missing: no such folder; make it first"},
		{"synth empty", "empty: no pictures found"},
		{"synth one -o missing/x.png", "missing: no such folder; make it first"},
		{"eval DETECTOR one", "one: no test pictures"},
		{"eval DETECTOR empty", "empty: no pictures found"},
		{"eval text.safetensors DATA", "not a safetensors or PyTorch file"},
		{"eval DETECTOR DATA --json missing/x.json", "missing: no such folder; make it first"},
		{"eval DETECTOR DATA --overlays text.safetensors", "text.safetensors: not a directory"},
		{"predict DETECTOR empty", "empty: no pictures found"},
		{"predict DETECTOR missing.png", "missing.png: no such file or folder; check the path"},
		{"predict DETECTOR *.webp", "*.webp: no pictures found"},
		{"predict DETECTOR [", "syntax error in pattern"},
		{"predict DETECTOR one -o missing/x.csv", "missing: no such folder; make it first"},
		{"predict DETECTOR one --engine plain --precision bf16", "bf16"},
		{"predict one/000.png one", "not a safetensors or PyTorch file"},
	}
	for name, want := range map[string]string{
		"missing": "missing.safetensors: no such file or folder; check the path",
		"text":    "text.safetensors: not a safetensors or PyTorch file",
		"cut":     "cut.safetensors: file is damaged or cut short",
		"hostile": "hostile.safetensors: file is damaged or cut short",
		"newer":   "newer.safetensors: made by a newer version of destseg: format 99",
		"hollow":  "hollow.safetensors: unusable weights",
		"vast":    "vast.safetensors: unusable detector record",
	} {
		tests = append(tests, failure{"info " + name + ".safetensors", want}, failure{"predict " + name + ".safetensors one", want})
	}
	if runtime.GOOS == "linux" {
		tests = append(tests, failure{"predict DETECTOR one -o /dev/full", "/dev/full: the disk is full; make room"})
	}
	before := listing(t, folder)
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			args := strings.Fields(test.args)
			for i, arg := range args {
				switch arg {
				case "DETECTOR":
					args[i] = detector
				case "DATA":
					args[i] = data
				}
			}
			if args[0] == "train" {
				args = append(args, "--size=32", "--batch=1", "--steps=1+1", "--threads=1")
			}
			o := command(t.Context(), args...)
			if o.code != exitFailed || !strings.Contains(o.stderr, test.want) {
				t.Errorf("exit status %d, want %d with %q:\n%s", o.code, exitFailed, test.want, o.stderr)
			}
			if strings.Contains(o.stderr, "Usage:") || strings.Contains(o.stderr, "goroutine") {
				t.Errorf("more than a sentence:\n%s", o.stderr)
			}
			if o.stdout != "" {
				t.Errorf("something on the standard output: %q", o.stdout)
			}
			if after := listing(t, folder); after != before {
				t.Errorf("left behind, before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// TestGoodAmongBad checks that good pictures are done where others are bad.
func TestGoodAmongBad(t *testing.T) {
	data, detector := dataSet(t), detectorFile(t)
	good := filepath.Join(data, "test", "good", "000.png")
	lists := func(t *testing.T, o outcome) {
		t.Helper()
		if o.code != exitFailed {
			t.Errorf("exit status %d", o.code)
		}
		_, list, ok := strings.Cut(o.stderr, "4 pictures could not be read:\n")
		if !ok || strings.Count(list, "\n") != 4 {
			t.Errorf("the bad pictures are not listed:\n%s", o.stderr)
		}
		for _, name := range []string{"cut.png", "text.jpg", "nothing.png", "huge.png"} {
			if !strings.Contains(list, name) {
				t.Errorf("%s is not listed:\n%s", name, o.stderr)
			}
		}
	}

	t.Run("predict", func(t *testing.T) {
		t.Chdir(t.TempDir())
		badPictures(t, "mixed", good)
		o := command(t.Context(), "predict", detector, "mixed", "-o", "out.csv", "--format", "csv")
		lists(t, o)
		written, err := os.ReadFile("out.csv")
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(written, []byte("\n")); n != 6 || !bytes.Contains(written, []byte("good.png,0.")) {
			t.Errorf("out.csv holds\n%s", written)
		}
	})
	t.Run("synth", func(t *testing.T) {
		t.Chdir(t.TempDir())
		badPictures(t, "mixed", good)
		o := command(t.Context(), "synth", "mixed", "--size", "32", "-o", "sheet.png")
		lists(t, o)
		if _, err := os.Stat("sheet.png"); err != nil {
			t.Error(err)
		}
	})
	t.Run("eval", func(t *testing.T) {
		t.Chdir(t.TempDir())
		badPictures(t, "set/test/good", good)
		copyFile(t, filepath.Join(data, "test", "dent", "000.png"), "set/test/dent/000.png")
		copyFile(t, filepath.Join(data, "ground_truth", "dent", "000_mask.png"), "set/ground_truth/dent/000_mask.png")
		o := command(t.Context(), "eval", detector, "set")
		lists(t, o)
		if !strings.Contains(o.stdout, "2 pictures, 1 of them defective") {
			t.Errorf("the good pictures were not measured:\n%s", o.stdout)
		}
	})
}
