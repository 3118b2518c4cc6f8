package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/internal/disk"
	"github.com/destseg/destseg/train"
)

// tiny are the flags of a training that learns nothing in no time.
var tiny = []string{"--size=32", "--batch=2", "--steps=2+2", "--threads=1", "--seed=7", "--synthetic=2"}

// A trigger is a writer that calls a function once, when a text has been
// written to it.
type trigger struct {
	mu   sync.Mutex
	all  bytes.Buffer
	text string
	call func()
}

func (w *trigger) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all.Write(p)
	if w.call != nil && strings.Contains(w.all.String(), w.text) {
		w.call()
		w.call = nil
	}
	return len(p), nil
}

func TestTrain(t *testing.T) {
	data := dataSet(t)
	t.Chdir(t.TempDir())
	o := succeed(t, append([]string{"train", data, "-o", "whole.safetensors"}, tiny...)...)
	for _, text := range []string{"detector ", "3 good pictures of flange, 32×32, 2+2 steps of 2", "threshold ", "destseg predict whole.safetensors "} {
		if !strings.Contains(o.stdout, text) {
			t.Errorf("the summary lacks %q:\n%s", text, o.stdout)
		}
	}
	for _, text := range []string{"flange: 3 good pictures", "student 1/2, loss", "segmentation 2/2, loss", "warning: 3 good pictures to learn from", "no pictures are held back", "rotation none (auto)"} {
		if !strings.Contains(o.stderr, text) {
			t.Errorf("the progress lacks %q:\n%s", text, o.stderr)
		}
	}
	if left := listing(t, "."); strings.Count(left, "\n") != 1 {
		t.Errorf("more than a detector left:\n%s", left)
	}
	if o := command(t.Context(), append([]string{"train", data, "-o", "whole.safetensors"}, tiny...)...); o.code != exitFailed ||
		!strings.Contains(o.stderr, "whole.safetensors: there is a detector already; --force replaces it") {
		t.Errorf("trained again: exit status %d:\n%s", o.code, o.stderr)
	}
	record, whole, err := destseg.Read("whole.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if record.Category != "flange" || record.Recipe.Seed != 7 || record.Pictures.Count != 3 || record.Threshold == nil ||
		record.Textures != "procedural" || record.Precision == "auto" {
		t.Errorf("the record is %+v", record)
	}
	carriesTeacher(t, "whole.safetensors", "builtin", record.Teacher.Digest)
	if out := succeed(t, "predict", "whole.safetensors", filepath.Join(data, "test", "good")).stdout; len(predictions(t, out)) != 2 {
		t.Errorf("predict says\n%s", out)
	}

	// Interrupted in either stage and continued, it comes to the same weights.
	args := append([]string{"train", data, "-o", "parts.safetensors"}, tiny...)
	stages := []string{"student 1/2", "segmentation 1/2"}
	if testing.Short() {
		stages = stages[1:] // slow without oneDNN
	}
	for _, text := range stages {
		ctx, cancel := context.WithCancel(t.Context())
		stderr := &trigger{text: text, call: cancel}
		var stdout bytes.Buffer
		if code := run(ctx, args, &stdout, stderr); code != exitFailed {
			t.Fatalf("interrupted at %s: exit status %d\n%s", text, code, stderr.all.String())
		}
		if said := stderr.all.String(); !strings.Contains(said, "destseg train: interrupted at step 1 of 2 of the "+strings.Fields(text)[0]) {
			t.Errorf("interrupted at %s:\n%s", text, said)
		}
		if said := stderr.all.String(); !strings.Contains(said, "; the same command continues from parts.safetensors.checkpoint\n") {
			t.Errorf("interrupted at %s:\n%s", text, said)
		}
		if stdout.Len() > 0 {
			t.Errorf("interrupted, yet there are results:\n%s", stdout.String())
		}
	}
	if o := succeed(t, args...); !strings.Contains(o.stderr, "continuing from parts.safetensors.checkpoint after step 1 of 2 of the segmentation network") {
		t.Errorf("nothing about continuing:\n%s", o.stderr)
	}
	_, parts, err := destseg.Read("parts.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(parts, whole) {
		t.Error("the interrupted training came to other weights")
	}
}

// TestCheckpointOfAnother checks that a checkpoint is not mixed into another
// training, and that --fresh puts it away.
func TestCheckpointOfAnother(t *testing.T) {
	data := dataSet(t)
	t.Chdir(t.TempDir())
	args := append([]string{"train", data, "-o", "x.safetensors"}, tiny...)
	ctx, cancel := context.WithCancel(t.Context())
	if code := run(ctx, args, &bytes.Buffer{}, &trigger{text: "student 1/2", call: cancel}); code != exitFailed {
		t.Fatalf("exit status %d", code)
	}
	before, err := os.Stat("x.safetensors.checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	o := command(t.Context(), append(args, "--seed=8")...)
	if o.code != exitFailed || !strings.Contains(o.stderr, "x.safetensors.checkpoint: it belongs to another run (seed 7, not 8); name another file or begin anew (--fresh)") {
		t.Errorf("exit status %d:\n%s", o.code, o.stderr)
	}
	if after, err := os.Stat("x.safetensors.checkpoint"); err != nil || after.ModTime() != before.ModTime() {
		t.Errorf("the checkpoint was touched (%v)", err)
	}
	if strings.Contains(o.stderr, "continuing") {
		t.Errorf("refused, yet it says that it goes on:\n%s", o.stderr)
	}
	if testing.Short() {
		return // slow without oneDNN
	}
	succeed(t, append(args, "--seed=8", "--fresh")...)
	succeed(t, append(args, "--seed=9", "--force")...)
}

// TestTrainKeepsFiles checks that a training replaces nothing but checkpoints and,
// if told to, detectors.
func TestTrainKeepsFiles(t *testing.T) {
	data, detector := dataSet(t), detectorFile(t)
	t.Chdir(t.TempDir())
	copyFile(t, detector, "old.safetensors")
	writeFile(t, "text", []byte("not to be lost\n"))
	before := listing(t, ".")
	for _, test := range []struct{ args, want string }{
		{"-o old.safetensors", "there is a detector already"},
		{"-o old.safetensors --fresh", "there is a detector already"},
		{"-o text", "text: there is a file that is no detector"},
		{"-o text --force", "text: there is a file that is no detector"},
		{"-o x --checkpoint text", "not a checkpoint"},
		{"-o x --checkpoint text --fresh", "not a checkpoint"},
		{"-o x --checkpoint old.safetensors --fresh", "not a checkpoint"},
		{"-o old.safetensors --checkpoint ./old.safetensors --force", "name the same file"},
		{"-o x --checkpoint ../" + filepath.Base(wd(t)) + "/x", "name the same file"},
		{"-o x --textures text", "text: is a file; name the folder"},
	} {
		o := command(t.Context(), append(append([]string{"train", data}, tiny...), strings.Fields(test.args)...)...)
		if o.code == 0 || !strings.Contains(o.stderr, test.want) {
			t.Errorf("%s: exit status %d, want %q:\n%s", test.args, o.code, test.want, o.stderr)
		}
		if after := listing(t, "."); after != before {
			t.Errorf("%s: before:\n%s\nafter:\n%s", test.args, before, after)
		}
	}
}

func wd(t *testing.T) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestTrainedButNotWritten checks that a finished training is not lost when the
// detector cannot be written.
func TestTrainedButNotWritten(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("TMPDIR", t.TempDir())
	o := usualTraining()
	o.output, o.checkpoint = "x.safetensors", "x.checkpoint"
	cause := errors.New("the disk is full")
	save := func(path string) error { return destseg.Save(path, testRecord(), testWeights()) }
	if err := o.unwritten(cause, nil, save); !errors.Is(err, cause) || !strings.Contains(err.Error(), "goes on from x.checkpoint") {
		t.Errorf("with a checkpoint: %v", err)
	}
	anew := o
	anew.fresh = true
	if err := anew.unwritten(cause, nil, save); !strings.Contains(err.Error(), "the same command without --fresh goes on from x.checkpoint") {
		t.Errorf("with a checkpoint begun anew: %v", err)
	}
	err := o.unwritten(cause, cause, save)
	_, rest, _ := strings.Cut(err.Error(), "what was trained is in ")
	path, _, _ := strings.Cut(rest, ": move")
	if _, _, missing := destseg.Read(path); missing != nil || !errors.Is(err, cause) {
		t.Errorf("without one: %v (%v)", err, missing)
	}
}

// TestLeftoversTakeNoRoom checks that what killed trainings left is removed before the
// room on the disk is looked at, and so before the teacher is.
func TestLeftoversTakeNoRoom(t *testing.T) {
	data := dataSet(t)
	t.Chdir(t.TempDir())
	for _, name := range []string{"x", "x.checkpoint"} {
		writeFile(t, name+".0123456789abcdef.tmp", []byte("half a file"))
	}
	o := command(t.Context(), append([]string{"train", data, "-o", "x", "--teacher", "missing"}, tiny...)...)
	if left := listing(t, "."); o.code != exitFailed || left != "" {
		t.Errorf("exit status %d, left behind:\n%s", o.code, left)
	}
}

// TestRoom checks that a training which does not fit on the disk is refused.
func TestRoom(t *testing.T) {
	if _, _, ok := disk.Free(t.TempDir()); !ok && (runtime.GOOS == "linux" || runtime.GOOS == "darwin") {
		t.Error("the system does not tell how much room there is")
	}
	checkpoint, detector := train.CheckpointSize(), detectorSize()
	t.Chdir(t.TempDir())
	o := usualTraining()
	o.output, o.checkpoint = filepath.Join("elsewhere", "x"), "x.checkpoint"
	for _, test := range []struct {
		name         string
		first, other int64 // bytes left for the checkpoint and for the detector
		same, known  bool  // one file system; its room is known
		fits         bool
	}{
		{"enough", 2 * checkpoint, 0, true, true, true},
		{"too little", 2*checkpoint - 1, 0, true, true, false},
		{"two disks", 2 * checkpoint, detector, false, true, true},
		{"no room for the detector", 2 * checkpoint, detector - 1, false, true, false},
		{"not known", 0, 0, true, false, true},
	} {
		err := o.checkRoom(func(folder string) (int64, uint64, bool) {
			if folder == "elsewhere" && !test.same {
				return test.other, 2, test.known
			}
			return test.first, 1, test.known
		})
		if (err == nil) != test.fits {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestTrainLog trains with everything that a log and a schedule take.
func TestTrainLog(t *testing.T) {
	if testing.Short() {
		t.Skip("slow without oneDNN")
	}
	data := dataSet(t)
	t.Chdir(t.TempDir())
	flags := []string{"--log=log", "--schedule=cosine", "--warmup=1", "--average=0.5", "--keep=1", "--every=1", "--holdout=0"}
	o := succeed(t, append(append([]string{"train", data, "-o", "x.safetensors"}, tiny...), flags...)...)
	if strings.Contains(o.stderr, "is not complete") {
		t.Error(o.stderr)
	}
	record, err := destseg.ReadRecord("x.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if r := record.Recipe; r.Schedule != train.Cosine || r.Warmup != 1 || r.Average != 0.5 {
		t.Errorf("the recipe is %+v", r)
	}
	if o := succeed(t, "info", "x.safetensors"); !strings.Contains(o.stdout, "2+2 steps of 2, seed 7, schedule cosine, warm-up 1, averaged by 0.5") {
		t.Errorf("info says\n%s", o.stdout)
	}
	events, err := filepath.Glob("log/events.out.tfevents.*")
	if err != nil || len(events) != 1 {
		t.Fatalf("events in %v, %v", events, err)
	}
	said, err := os.ReadFile(events[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"loss/student", "loss/focal", "loss/L1", "rate/student", "rate/res", "rate/head", "speed/pictures per second", "maps", "\x89PNG"} {
		if !bytes.Contains(said, []byte(tag)) {
			t.Errorf("no %q among the events", tag)
		}
	}
	text, err := os.ReadFile("log/run.json")
	if err != nil {
		t.Fatal(err)
	}
	var run runDocument
	if err := json.Unmarshal(text, &run); err != nil {
		t.Fatal(err)
	}
	if run.Recipe != record.Recipe || run.Pictures != record.Pictures || run.Teacher != record.Teacher || run.Finished == nil ||
		run.Flags["schedule"] != "cosine" || run.Flags["batch"] != "2" || run.Detector != "x.safetensors" || run.Seconds <= 0 {
		t.Errorf("run.json is\n%s", text)
	}
	if left := listing(t, "."); strings.Contains(left, "checkpoint") {
		t.Errorf("checkpoints are left:\n%s", left)
	}

	// A second training of the same kind adds to the folder; another recipe's detector
	// comes of other flags.
	succeed(t, append(append([]string{"train", data, "-o", "y.safetensors", "--log=log"}, tiny...), "--holdout=0")...)
	if events, err := filepath.Glob("log/events.out.tfevents.*"); err != nil || len(events) != 2 {
		t.Errorf("events in %v, %v", events, err)
	}
	writeFile(t, "file", nil)
	if o := command(t.Context(), append([]string{"train", data, "-o", "z.safetensors", "--log=file"}, tiny...)...); o.code != exitFailed || !strings.Contains(o.stderr, "file") {
		t.Errorf("a file as the folder: exit status %d\n%s", o.code, o.stderr)
	}
}
