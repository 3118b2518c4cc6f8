package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/destseg/destseg/serve/api"
	"github.com/destseg/destseg/serve/history"
)

// startProgram runs destseg serve in a process of its own and returns its address.
func startProgram(t *testing.T, args ...string) (*exec.Cmd, string) {
	t.Helper()
	program := exec.Command(os.Args[0], append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	program.Env = append(os.Environ(), asProgram+"=1")
	stderr, err := program.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		program.Process.Kill()
		program.Wait()
	})
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if _, address, ok := strings.Cut(lines.Text(), "Listening on "); ok {
			go io.Copy(io.Discard, stderr)
			return program, address
		}
		t.Log(lines.Text())
	}
	t.Fatal("the service did not start")
	return nil, ""
}

// TestServeKilled kills a service under load: what it has answered is in its history.
func TestServeKilled(t *testing.T) {
	detector, folder := detectorFile(t), t.TempDir()
	path := filepath.Join(folder, "h.db")
	content, err := os.ReadFile(filepath.Join(dataSet(t), "test", "good", "000.png"))
	if err != nil {
		t.Fatal(err)
	}
	rounds := 3
	if testing.Short() {
		rounds = 1
	}
	var answered []string
	for round := range rounds {
		program, address := startProgram(t, detector, "--history", path)
		var mu sync.Mutex
		var clients sync.WaitGroup
		before := len(answered)
		for range 4 {
			clients.Go(func() {
				for i := 0; ; i++ {
					answer, err := http.Post(fmt.Sprintf("%s/v1/inspect?detector=flange&source=part-%d-%d", address, round, i), "image/png", bytes.NewReader(content))
					if err != nil {
						return // it was killed
					}
					var in api.Inspection
					err = json.NewDecoder(answer.Body).Decode(&in)
					answer.Body.Close()
					if err != nil {
						return
					}
					if answer.StatusCode != http.StatusOK {
						t.Errorf("status %s", answer.Status)
						return
					}
					mu.Lock()
					answered = append(answered, in.ID)
					if len(answered) == before+1 {
						time.AfterFunc(time.Duration(100+37*round)*time.Millisecond, func() { program.Process.Kill() })
					}
					mu.Unlock()
				}
			})
		}
		clients.Wait()
		program.Wait()
		if len(answered) == before {
			t.Fatal("nothing was answered")
		}
	}
	h, err := history.Open(t.Context(), path, history.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for _, id := range answered {
		if _, err := h.Inspection(t.Context(), id); err != nil {
			t.Errorf("%s was answered: %v", id, err)
		}
	}
	t.Logf("%d answers in %d runs that were killed", len(answered), rounds)

	// Copied and exported by the program.
	copied := filepath.Join(folder, "copy.db")
	succeed(t, "history", "copy", path, copied)
	if o := command(t.Context(), "history", "copy", path, copied); o.code != exitFailed || !strings.Contains(o.stderr, "name another file") {
		t.Errorf("over a file: %d, %s", o.code, o.stderr)
	}
	table := filepath.Join(folder, "table.csv")
	succeed(t, "history", "export", copied, "-o", table, "--source", "part-0-0")
	text, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil || len(rows) < 2 || rows[1][4] != "part-0-0" {
		t.Errorf("%q, %v", rows, err)
	}
	if o := succeed(t, "history", "export", copied, "--to", "2001-01-01"); strings.Count(o.stdout, "\n") != 1 {
		t.Errorf("of another time:\n%s", o.stdout)
	}
}

func TestHistoryUsage(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "text", []byte("no history"))
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"history"}, exitUsage, "a subcommand is missing"},
		{[]string{"history", "export", "missing.db"}, exitFailed, "destseg serve --history"},
		{[]string{"history", "export", "text"}, exitFailed, "not a history"},
		{[]string{"history", "export", "x.db", "--from", "monday"}, exitUsage, "2026-01-31"},
		{[]string{"history", "export", "x.db", "--verdict", "maybe"}, exitUsage, "OK"},
		{[]string{"history", "copy", "x.db"}, exitUsage, "FILE is missing"},
		{[]string{"serve", "x", "--history-age", "soon"}, exitUsage, "90d"},
	} {
		if o := command(t.Context(), test.args...); o.code != test.code || !strings.Contains(o.stderr, test.want) {
			t.Errorf("%q: %d, %s", test.args, o.code, o.stderr)
		}
	}
	if got := listing(t, "."); strings.Count(got, "\n") != 1 {
		t.Errorf("left behind:\n%s", got)
	}
}

func TestParseAge(t *testing.T) {
	for text, want := range map[string]time.Duration{"90d": 90 * 24 * time.Hour, "12h": 12 * time.Hour, "0": 0, "36h0m0s": 36 * time.Hour} {
		got, err := parseAge(text)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
		if again, err := parseAge(formatAge(got)); err != nil || again != want {
			t.Errorf("%s: %v is written %s, %v", text, got, formatAge(got), err)
		}
	}
	for _, wrong := range []string{"", "d", "-1d", "1.5d", "-5h", "99999999d", "soon"} {
		if d, err := parseAge(wrong); err == nil {
			t.Errorf("%q: %v", wrong, d)
		}
	}
}

// TestPageRights checks what tokens allow on the page.
func TestPageRights(t *testing.T) {
	folder := t.TempDir()
	tokens := filepath.Join(folder, "tokens")
	const reads, changes = "0123456789abcdef", "fedcba9876543210"
	writeFile(t, tokens, []byte("read "+reads+"\nadmin "+changes+"\n"))
	address := startServe(t, "--tokens", tokens, "--history", filepath.Join(folder, "h.db"))
	content, err := os.ReadFile(filepath.Join(dataSet(t), "test", "good", "000.png"))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, token, site string, body []byte) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, address+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.SetBasicAuth("anyone", token)
		}
		r.Header.Set("Sec-Fetch-Site", site)
		if strings.HasSuffix(path, "/mark") {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}
	status, text := ask("POST", "/inspect?detector=flange&source=x.png", reads, "same-origin", content)
	var in api.Inspection
	if err := json.Unmarshal([]byte(text), &in); err != nil || status != http.StatusOK || in.Source != "x.png" {
		t.Fatalf("status %d, %v: %s", status, err, text)
	}
	mark := "/history/" + in.ID + "/mark"
	for _, test := range []struct {
		method, path, token, site string
		status                    int
		says, saysNot             string
	}{
		{"GET", "/", "", "none", 401, "token", "intake"},
		{"GET", "/", "wrong-wrong-wrong", "none", 401, "token", "intake"},
		{"GET", "/", reads, "none", 200, "intake", ""},
		{"GET", "/history/" + in.ID, reads, "none", 200, "x.png", "Is this verdict right?"},
		{"GET", "/history/" + in.ID, changes, "none", 200, "Is this verdict right?", ""},
		{"GET", "/history/" + in.ID + "/picture.jpg", "", "none", 401, "token", "JFIF"},
		{"GET", "/history.csv", "", "none", 401, "token", in.ID},
		{"POST", mark, reads, "same-origin", 403, "admin", ""},
		{"POST", mark, changes, "cross-site", 403, "another site", ""},
		{"POST", mark, changes, "same-origin", 303, "", ""},
		{"POST", "/inspect?detector=flange", "", "same-origin", 401, "token", ""},
		{"POST", "/inspect?detector=flange", reads, "cross-site", 403, "another site", ""},
		{"POST", "/inspect?detector=none", reads, "same-origin", 404, "detector", ""},
		{"POST", "/inspect?detector=../flange", reads, "same-origin", 404, "detector", ""},
	} {
		status, text := ask(test.method, test.path, test.token, test.site, []byte("mark=wrong"))
		if status != test.status || !strings.Contains(text, test.says) || test.saysNot != "" && strings.Contains(text, test.saysNot) {
			t.Errorf("%s %s with %q from %s: status %d, want %d: %s", test.method, test.path, test.token, test.site, status, test.status, text)
		}
	}
}
