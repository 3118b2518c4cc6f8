//go:build unix

package watch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/destseg/destseg/serve/api"
)

// Set in the environment, they make the test binary a watcher: the folder, and the
// webhook's URL.
const (
	watchedVariable = "DESTSEG_TEST_WATCH"
	webhookVariable = "DESTSEG_TEST_WEBHOOK"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(watchedVariable); dir != "" {
		if err := watchUntilKilled(dir, os.Getenv(webhookVariable)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const killWorkers = 3

// watchUntilKilled notes the ID of each inspection in a file beside the folder.
func watchUntilKilled(dir, url string) error {
	var c colourist
	w, err := New(Config{
		Dir: dir, Results: true, Move: true, Workers: killWorkers, Webhook: testWebhook(url),
		Settle: 10 * time.Millisecond, Poll: 20 * time.Millisecond, Patience: 100 * time.Millisecond,
		Inspect: func(ctx context.Context, p Picture) (*api.Inspection, error) {
			f, err := os.OpenFile(dir+".calls", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			fmt.Fprintln(f, p.ID)
			time.Sleep(rand.N(4 * time.Millisecond))
			return c.inspect(ctx, p)
		},
	})
	if err != nil {
		return err
	}
	w.Run(context.Background())
	return nil
}

// TestKill kills the process again and again while pictures come.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "watched")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	receiver := &receiver{t: t, secret: testSecret, answer: func(string, int) int {
		return []int{200, 200, 500}[rand.N(3)]
	}}
	url := receiver.serve().URL
	start := func() *exec.Cmd {
		p := exec.Command(os.Args[0])
		p.Env = append(os.Environ(), watchedVariable+"="+dir, webhookVariable+"="+url)
		p.Stderr = t.Output()
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		return p
	}
	const kills, each = 8, 12
	pictures := 0
	for range kills {
		for range each {
			put(t, dir, fmt.Sprintf("%03d.png", pictures), drawing(t, good))
			pictures++
		}
		before, _ := os.ReadFile(dir + ".calls")
		p := start()
		// Killed at any moment after the first picture is in work.
		eventually(t, "it works", func() bool {
			calls, _ := os.ReadFile(dir + ".calls")
			return len(calls) > len(before)
		})
		time.Sleep(rand.N(60 * time.Millisecond))
		p.Process.Kill()
		p.Wait()
	}
	p := start()
	eventually(t, "everything is done", func() bool {
		acked, _ := receiver.counts()
		return len(visible(t, dir)) == 2*pictures && acked == pictures && len(waiting(t, dir, "outbox")) == 0
	})
	p.Process.Kill()
	p.Wait()

	ids := map[string]bool{}
	for i := range pictures {
		path := filepath.Join(dir, "ok", fmt.Sprintf("%03d.png", i))
		r, err := readResult(path)
		if err != nil || r.Verdict != api.OK || ids[r.ID] || receiver.acked[r.ID] == 0 {
			t.Errorf("%s: %+v, %v", path, r, err)
		}
		ids[r.ID] = true
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	calls, err := os.ReadFile(dir + ".calls")
	if err != nil {
		t.Fatal(err)
	}
	// A kill can only have those repeated that were in work, and under the same ID, by which
	// a history knows them.
	all := strings.Fields(string(calls))
	if n := len(all); n < pictures || n > pictures+kills*killWorkers {
		t.Errorf("%d inspections of %d pictures", n, pictures)
	}
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != pictures {
		t.Errorf("%d IDs of %d pictures", n, pictures)
	}
}
