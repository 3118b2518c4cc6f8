package history

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/picture"
)

// The environment that makes the test binary a program that adds results to a history
// until it is killed, as told in these variables.
const (
	crashHistory    = "DESTSEG_TEST_CRASH_HISTORY"    // file
	crashInspection = "DESTSEG_TEST_CRASH_INSPECTION" // kept one
	crashRound      = "DESTSEG_TEST_CRASH_ROUND"      // begins all IDs
)

func TestMain(m *testing.M) {
	if os.Getenv(crashHistory) != "" {
		if err := addUntilKilled(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// addUntilKilled prints the ID of each result that has been added.
func addUntilKilled() error {
	content, err := os.ReadFile(os.Getenv(crashInspection))
	if err != nil {
		return err
	}
	r := crashResult(content)
	h, err := Open(context.Background(), os.Getenv(crashHistory), Options{})
	if err != nil {
		return err
	}
	failed := make(chan error)
	for worker := range 4 {
		go func() {
			for i := 0; ; i++ {
				r := r
				r.Answer = answer(fmt.Sprintf("%s.%d.%d", os.Getenv(crashRound), worker, i), r)
				if err := r.record(h); err != nil {
					failed <- err
					return
				}
				if i%3 == 0 { // a change of what is there, too
					if _, err := h.Mark(context.Background(), r.Answer.ID, Wrong, r.Answer.ID); err != nil {
						failed <- err
						return
					}
				}
				// One write, which the pipe takes whole or not at all.
				fmt.Fprintln(os.Stdout, r.Answer.ID)
			}
		}()
	}
	return <-failed
}

// TestCrash kills a program that adds results, again and again: nothing that it said it
// had added is missing, and the database is sound.
func TestCrash(t *testing.T) {
	fixture := result(t, "", nil)
	content, err := fixture.Inspection.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	kept, path := filepath.Join(folder, "inspection"), filepath.Join(folder, "h.db")
	if err := os.WriteFile(kept, content, 0o666); err != nil {
		t.Fatal(err)
	}

	acknowledged := 0
	for round := range 20 {
		program := exec.Command(os.Args[0])
		program.Env = append(os.Environ(), crashHistory+"="+path, crashInspection+"="+kept, fmt.Sprintf("%s=r%d", crashRound, round))
		program.Stderr = os.Stderr
		out, err := program.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := program.Start(); err != nil {
			t.Fatal(err)
		}
		var added []string
		var kill sync.Once
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			added = append(added, lines.Text())
			// Somewhere in the work on results: the load begins with the first.
			kill.Do(func() {
				time.AfterFunc(time.Duration(5*round)*time.Millisecond, func() { program.Process.Kill() })
			})
		}
		program.Wait()
		if len(added) == 0 {
			t.Fatalf("round %d: nothing was added", round)
		}
		acknowledged += len(added)

		h, err := Open(t.Context(), path, Options{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		sound(t, h)
		for _, id := range added {
			e, err := h.Get(t.Context(), id)
			if err != nil {
				t.Fatalf("%s was acknowledged: %v", id, err)
			}
			var worker, i int
			if _, err := fmt.Sscanf(id, fmt.Sprintf("r%d.%%d.%%d", round), &worker, &i); err != nil {
				t.Fatalf("%s: %v", id, err)
			}
			if i%3 == 0 && (e.Mark.Opinion != Wrong || e.Mark.Note != id) {
				t.Errorf("%s has the mark %+v", id, e.Mark)
			}
		}
		last := added[len(added)-1]
		if in, err := h.Inspection(t.Context(), last); err != nil || !reflect.DeepEqual(in, fixture.Inspection) {
			t.Errorf("%s: another inspection comes back, %v", last, err)
		}
		var orphans int
		if err := h.read.QueryRow("SELECT count(*) FROM result LEFT JOIN picture USING (number) WHERE copy IS NULL").Scan(&orphans); err != nil || orphans > 0 {
			t.Errorf("%d results without a picture, %v", orphans, err)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d results were acknowledged in 20 runs that ended by SIGKILL", acknowledged)
}

// crashResult restores what a test of its parent has kept.
func crashResult(content []byte) outcome {
	in := new(destseg.Inspection)
	if err := in.UnmarshalBinary(content); err != nil {
		panic(err)
	}
	return outcome{Picture: picture.NewRGB(in.Width, in.Height), Inspection: in}
}
