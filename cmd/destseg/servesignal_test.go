//go:build unix

package main

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/destseg/destseg/client"
	"github.com/destseg/destseg/serve/api"
)

// TestServeSIGTERM ends the service under load. What was answered is a whole inspection,
// and the exit status is 0.
func TestServeSIGTERM(t *testing.T) {
	program := exec.Command(os.Args[0], "serve", detectorFile(t), "--listen=127.0.0.1:0")
	program.Env = append(os.Environ(), asProgram+"=1")
	log, err := program.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	lines, url := bufio.NewScanner(log), ""
	for url == "" && lines.Scan() {
		_, url, _ = strings.Cut(lines.Text(), "Listening on ")
	}
	c, err := client.New(url, client.WithPatience(0))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dataSet(t), "test", "good", "000.png"))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	answered := make(chan struct{}, 1000)
	for range 4 {
		all.Go(func() {
			for {
				in, err := c.Inspect(t.Context(), client.Request{Detector: "flange", Picture: data})
				if err != nil {
					if p, ok := err.(*api.Problem); ok && p.Status != http.StatusServiceUnavailable {
						t.Error(err)
					}
					return // nobody is there any more
				}
				if in.Verdict == "" || in.ID == "" {
					t.Errorf("half an answer: %+v", in)
				}
				select {
				case answered <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 10 {
		<-answered
	}
	if err := program.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest := ""
	for lines.Scan() {
		rest += lines.Text() + "\n"
	}
	all.Wait()
	if err := program.Wait(); err != nil || !strings.Contains(rest, "shutting down") {
		t.Errorf("%v:\n%s", err, rest)
	}
}
