package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/destseg/destseg/picture"
)

// startServe runs destseg serve with the shared detector, flange, and returns its URL. It
// ends well when the test does.
func startServe(t *testing.T, args ...string) string {
	t.Helper()
	address := regexp.MustCompile(`Listening on (https?://\S+)`)
	ctx, cancel := context.WithCancel(context.Background())
	listening, ended := make(chan struct{}), make(chan int, 1)
	stderr := &trigger{text: "Listening on ", call: func() { close(listening) }}
	var stdout bytes.Buffer
	go func() {
		ended <- run(ctx, append([]string{"serve", detectorFile(t), "--listen", "127.0.0.1:0"}, args...), &stdout, stderr)
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-ended; code != 0 || stdout.Len() > 0 {
			t.Errorf("exit status %d:\n%s", code, stderr.all.String())
		}
	})
	select {
	case <-listening:
	case code := <-ended:
		ended <- code
		t.FailNow()
	}
	stderr.mu.Lock()
	defer stderr.mu.Unlock()
	return address.FindStringSubmatch(stderr.all.String())[1]
}

// TestPredictByServer checks that a server says what the detector says here.
func TestPredictByServer(t *testing.T) {
	data, detector := dataSet(t), detectorFile(t)
	t.Chdir(t.TempDir())
	url := startServe(t, "--queue", "1") // so short that many pictures are sent again
	pictures := filepath.Join(data, "test")
	here := predictions(t, succeed(t, "predict", detector, pictures, "--overlays", "here", "--masks", "here", "--maps", "here", "--map-format", "tiff").stdout)
	there := predictions(t, succeed(t, "inspect", "flange", pictures, "--server", url, "--overlays", "there", "--masks", "there", "--maps", "there", "--map-format", "tiff").stdout)
	if len(here) != len(there) || len(here) != 8 {
		t.Fatalf("%d lines here, %d there", len(here), len(there))
	}
	for i := range here {
		for _, files := range [][2]string{{here[i].Overlay, there[i].Overlay}, {here[i].Mask, there[i].Mask}} {
			a, err1 := picture.Open(files[0])
			b, err2 := picture.Open(files[1])
			if err1 != nil || err2 != nil || !reflect.DeepEqual(a, b) {
				t.Errorf("%v differ: %v, %v", files, err1, err2)
			}
		}
		a, err1 := os.ReadFile(here[i].Map)
		b, err2 := os.ReadFile(there[i].Map)
		if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("%s and %s differ: %v, %v", here[i].Map, there[i].Map, err1, err2)
		}
		there[i].Milliseconds, there[i].Overlay, there[i].Mask, there[i].Map = here[i].Milliseconds, here[i].Overlay, here[i].Mask, here[i].Map
		if !reflect.DeepEqual(here[i], there[i]) {
			t.Errorf("here %+v\nthere %+v", here[i], there[i])
		}
	}

	writeFile(t, "in/text.png", []byte("no picture"))
	copyFile(t, here[0].Path, "in/good.png")
	o := command(t.Context(), "predict", "flange", "in", "--server", url)
	if got := predictions(t, o.stdout); o.code != exitFailed || len(got) != 2 || got[0].Error != "" || !strings.Contains(got[1].Error, "not a picture this program reads") ||
		!strings.Contains(o.stderr, "1 picture could not be read:\n") {
		t.Errorf("exit status %d\n%s\n%s", o.code, o.stdout, o.stderr)
	}
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"predict", "gear", "in", "--server", url}, exitFailed, "no such detector"},
		{[]string{"predict", "flange", "in", "--server", "http://127.0.0.1:1"}, exitFailed, "refused"}, // at once
		{[]string{"predict", "flange", "in", "--server", "localhost:1"}, exitUsage, "is no address of a service"},
		{[]string{"predict", "flange", "in", "--server", url, "--threshold", "0.5", "--roi", "x"}, exitUsage, "--threshold, --roi: not with --server"},
		{[]string{"predict", detector, "in", "--token-file", "x"}, exitUsage, "--token-file goes with --server"},
		{[]string{"predict", "flange", "in", "--server", url, "--token-file", "x"}, exitFailed, "x: no such file"},
		{[]string{"load", "gear", "in/good.png", "--server", url}, exitFailed, "no such detector"},
		{[]string{"load", "flange", "in/text.png", "--server", url}, exitFailed, "not a picture this program reads"},
		{[]string{"load", "flange", "nothing", "--server", url}, exitFailed, "no such file"},
		{[]string{"load", "flange", "in/good.png", "--server", url, "--time", "0"}, exitUsage, "expected a time above 0"},
	} {
		if o := command(t.Context(), test.args...); o.code != test.code || !strings.Contains(o.stderr, test.want) || o.stdout != "" {
			t.Errorf("%v: exit status %d, %s%s", test.args, o.code, o.stdout, o.stderr)
		}
	}
}

// TestLoad sends a service four times as much as it can do.
func TestLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("slow without oneDNN")
	}
	data := dataSet(t)
	url := startServe(t, "--queue", "3", "--memory", "1GiB")
	o := succeed(t, "load", "flange", filepath.Join(data, "test", "good"), "--server", url, "--time", "2400ms", "--json", "-")
	var report struct{ Phases []loadPhase }
	if err := json.Unmarshal([]byte(o.stdout), &report); err != nil || len(report.Phases) != 3 {
		t.Fatalf("%v, %s", err, o.stdout)
	}
	for i, p := range report.Phases {
		if p.Answered < 1 || p.Answered+p.Refused != p.Sent || p.Failed != 0 || (p.Refused > 0) != (i > 0) && i != 1 || p.Overhead.Median <= 0 || p.Latency.Most < p.Latency.Median {
			t.Errorf("%+v", p)
		}
	}
	o = succeed(t, "load", "flange", filepath.Join(data, "test", "good"), "--server", url, "--time", "120ms", "--times", "1")
	if !strings.Contains(o.stdout, "one after the other") || !strings.Contains(o.stdout, "1 times as many") {
		t.Error(o.stdout)
	}
}

// TestServeTokens checks where tokens come from, and that they are asked for.
func TestServeTokens(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "tokens", []byte("read from-a-file-0123456789\n"))
	writeFile(t, "token", []byte("from-a-file-0123456789\n"))
	t.Setenv(adminTokenVariable, "from-the-environment")
	good := filepath.Join(dataSet(t), "test", "good")
	url := startServe(t, "--tokens", "tokens", "--log", "json")
	if o := command(t.Context(), "predict", "flange", good, "--server", url); o.code != exitFailed || !strings.Contains(o.stderr, "a token is needed") {
		t.Errorf("exit status %d, %s", o.code, o.stderr)
	}
	succeed(t, "predict", "flange", good, "--server", url, "--token-file", "token")
	t.Setenv(tokenVariable, "from-the-environment")
	succeed(t, "predict", "flange", good, "--server", url)
}

// TestServeRefuses checks what the service does not start with.
func TestServeRefuses(t *testing.T) {
	detector := detectorFile(t)
	t.Chdir(t.TempDir())
	writeFile(t, "short", []byte("read abc\n"))
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{detector, "--listen", "0.0.0.0:0"}, exitUsage, "can be reached from other machines: give --tokens, or --anyone"},
		{[]string{detector, "--listen", ":0"}, exitUsage, "give --tokens"},
		{[]string{detector, "--tls-cert", "x"}, exitUsage, "--tls-cert and --tls-key go together"},
		{[]string{detector, "--tls-cert", "x", "--tls-key", "y"}, exitFailed, "x"},
		{[]string{detector, "--tokens", "none"}, exitFailed, "none: no such file"},
		{[]string{detector, "--tokens", "short"}, exitFailed, "short: line 1: a token of 3 characters"},
		{[]string{"none"}, exitFailed, "none: no such file"},
		{[]string{detector, "--batch-wait", "-1s"}, exitUsage, "expected a time"},
		{[]string{detector, "--max-body", "0"}, exitUsage, "expected a size above 0"},
		{[]string{detector, "--max-bodies", "0B"}, exitUsage, "expected a size above 0"},
		{[]string{detector, "--receive-time", "0"}, exitUsage, "expected a time above 0"},
		{[]string{detector, "--decode-time", "0s"}, exitUsage, "expected a time above 0"},
		{[]string{detector, "--answer-time", "0"}, exitUsage, "expected a time above 0"},
		{[]string{detector, "--watch", ".", "--watch-settle", "0"}, exitUsage, "expected a time above 0"},
		{[]string{detector, "--watch", ".", "--watch-patience", "0"}, exitUsage, "expected a time above 0"},
		{[]string{detector, "--watch", ".", "--watch-poll", "0"}, exitUsage, "expected a time above 0"},
		{[]string{detector, "--watch", ".", "--webhook", "http://localhost", "--webhook-give-up", "0"}, exitUsage, "expected a time above 0"},
		{[]string{detector, "--listen", "127.0.0.1:99999"}, exitFailed, "99999"},
		{nil, exitUsage, "DETECTOR… is missing"},
	} {
		o := command(t.Context(), append([]string{"serve"}, test.args...)...)
		if o.code != test.code || !strings.Contains(o.stderr, test.want) || strings.Contains(o.stderr, "Listening") {
			t.Errorf("%v: exit status %d\n%s", test.args, o.code, o.stderr)
		}
	}
	t.Setenv(readTokenVariable, "short")
	if o := command(t.Context(), "serve", detector); o.code != exitFailed || !strings.Contains(o.stderr, readTokenVariable+": a token of 5 characters") {
		t.Errorf("exit status %d\n%s", o.code, o.stderr)
	}
}
