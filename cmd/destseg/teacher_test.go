package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/network"
	"github.com/destseg/destseg/teacher"
	"github.com/destseg/destseg/weights"
)

// ownCache gives a test a user's cache folder of its own.
func ownCache(t *testing.T) {
	t.Helper()
	folder := t.TempDir()
	for _, name := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} { // Linux, macOS, Windows
		t.Setenv(name, folder)
	}
}

// A maker publishes a made-up ResNet-18 on a server of its own.
type maker struct {
	content []byte
	source  teacher.Source
	cut     int // bytes after which the next answer breaks off; 0 for none
	code    int // of all answers, in place of the file; 0 for none
	asked   int // how often
}

// resNet returns weights under torchvision's names, with a part that no teacher uses.
func resNet() *weights.File {
	f := &weights.File{Tensors: map[string]weights.Tensor{"fc.bias": weights.FromFloat32([]int{3}, []float32{1, 2, 3})}}
	values := testWeights()
	for _, t := range network.Tensors() {
		if t.Part() == network.TeacherPart {
			f.Tensors[network.TeacherName(t.Name)] = weights.FromFloat32(t.Shape, values[t.Name])
		}
	}
	return f
}

func newMaker(t *testing.T) *maker {
	t.Helper()
	var b bytes.Buffer
	if err := weights.WriteSafetensors(&b, resNet()); err != nil {
		t.Fatal(err)
	}
	m := &maker{content: b.Bytes()}
	s := httptest.NewServer(m)
	t.Cleanup(s.Close)
	sum := sha256.Sum256(m.content)
	m.source = teacher.Source{URL: s.URL + "/resnet18.pth", Digest: hex.EncodeToString(sum[:]), Size: int64(len(m.content))}
	return m
}

func (m *maker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.asked++
	if m.code != 0 {
		w.WriteHeader(m.code)
		return
	}
	w.Header().Set("ETag", `"1"`)
	if n := m.cut; n > 0 {
		m.cut = 0
		w.Header().Set("Content-Length", fmt.Sprint(len(m.content)))
		w.Write(m.content[:n])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(m.content))
}

// command runs a command line of a program that fetches from the maker.
func (m *maker) command(ctx context.Context, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	c := newConsole(&stdout, &stderr)
	code := execute(ctx, c, newRoot(c, m.source), args)
	return outcome{code, stdout.String(), stderr.String()}
}

func (m *maker) succeed(t *testing.T, args ...string) outcome {
	t.Helper()
	o := m.command(t.Context(), args...)
	if o.code != 0 {
		t.Fatalf("destseg %s: exit status %d\n%s", strings.Join(args, " "), o.code, o.stderr)
	}
	return o
}

func (m *maker) cache(t *testing.T) teacher.Cache {
	t.Helper()
	cache, err := teacher.UserCache(m.source)
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

func TestTeacherFetch(t *testing.T) {
	ownCache(t)
	m := newMaker(t)
	m.cut = 1_000_000
	o := m.succeed(t, "teacher", "fetch")
	cache := m.cache(t)
	for _, text := range []string{cache.Path() + " (10.6 MiB)", "SHA-256 " + m.source.Digest, "destseg train DATA --teacher imagenet"} {
		if !strings.Contains(o.stdout, text) {
			t.Errorf("the summary lacks %q:\n%s", text, o.stdout)
		}
	}
	for _, text := range []string{
		"the download broke off after 1000000 of " + fmt.Sprint(len(m.content)) + " bytes: unexpected EOF; trying again in 1.0 s",
		"imagenet 10.6 MiB/10.6 MiB",
	} {
		if !strings.Contains(o.stderr, text) {
			t.Errorf("the progress lacks %q:\n%s", text, o.stderr)
		}
	}
	got, err := cache.Load()
	if err != nil || got.Digest != m.source.Digest {
		t.Fatalf("%+v, %v", got.Digest, err)
	}

	asked := m.asked
	if o := m.succeed(t, "teacher", "fetch"); !strings.Contains(o.stderr, "is there already; --force downloads it again") || m.asked != asked {
		t.Errorf("%d more requests:\n%s", m.asked-asked, o.stderr)
	}
	if m.succeed(t, "teacher", "fetch", "--force"); m.asked != asked+1 {
		t.Errorf("%d more requests", m.asked-asked)
	}
	mirror := newMaker(t)
	if m.succeed(t, "teacher", "fetch", "--force", "--url", mirror.source.URL); m.asked != asked+1 || mirror.asked != 1 {
		t.Errorf("%d more requests, %d to the mirror", m.asked-asked, mirror.asked)
	}

	damaged, err := os.ReadFile(cache.Path())
	if err != nil {
		t.Fatal(err)
	}
	damaged[len(damaged)-1] ^= 1
	writeFile(t, cache.Path(), damaged)
	if o := m.command(t.Context(), "teacher", "fetch"); o.code != exitFailed || !strings.Contains(o.stderr, "destseg teacher fetch --force replaces it") {
		t.Errorf("exit status %d:\n%s", o.code, o.stderr)
	}
	if o := m.succeed(t, "teacher", "info", "imagenet"); !strings.Contains(o.stdout, "fits       no: its values have changed since it was written") {
		t.Errorf("%s", o.stdout)
	}
	m.succeed(t, "teacher", "fetch", "--force")
	if _, err := cache.Load(); err != nil {
		t.Error(err)
	}
}

// TestTeacherFetchInterrupted checks that an interrupted download goes on.
func TestTeacherFetchInterrupted(t *testing.T) {
	ownCache(t)
	m := newMaker(t)
	m.cut = 1_000_000
	ctx, cancel := context.WithCancel(t.Context())
	stderr := &trigger{text: "trying again", call: cancel}
	c := newConsole(&bytes.Buffer{}, stderr)
	if code := execute(ctx, c, newRoot(c, m.source), []string{"teacher", "fetch"}); code != exitFailed {
		t.Errorf("exit status %d", code)
	}
	partial := m.cache(t).Partial()
	if said := stderr.all.String(); !strings.Contains(said, "destseg teacher fetch: interrupted after 976.6 KiB of 10.6 MiB; the same command goes on from "+partial+"\n") {
		t.Errorf("%s", said)
	}
	if o := m.succeed(t, "teacher", "fetch"); !strings.Contains(o.stderr, "going on from "+partial+" (976.6 KiB)\n") {
		t.Errorf("%s", o.stderr)
	}
	if left := listing(t, filepath.Dir(partial)); strings.Count(left, "\n") != 1 {
		t.Errorf("left behind:\n%s", left)
	}

	// What was left is of no use.
	writeFile(t, partial, []byte("another file"))
	if err := os.Remove(m.cache(t).Path()); err != nil {
		t.Fatal(err)
	}
	if o := m.succeed(t, "teacher", "fetch"); !strings.Contains(o.stderr, "; downloading all of it again\n") {
		t.Errorf("%s", o.stderr)
	}
}

func TestTeacherFetchFails(t *testing.T) {
	ownCache(t)
	m := newMaker(t)
	m.code = http.StatusForbidden
	elsewhere := "\n  Or download " + m.source.URL + " elsewhere, bring the file here, and run destseg teacher import resnet18.pth\n"
	fails := func(want ...string) {
		t.Helper()
		o := m.command(t.Context(), "teacher", "fetch")
		for _, text := range want {
			if o.code != exitFailed || o.stdout != "" || !strings.Contains(o.stderr, text) {
				t.Errorf("exit status %d, want %d with %q:\n%s", o.code, exitFailed, text, o.stderr)
			}
		}
		if left := listing(t, m.cache(t).Folder); left != "" {
			t.Errorf("left behind:\n%s", left)
		}
	}
	fails("the server does not give the file: 403 Forbidden", elsewhere)
	m.code = 0
	m.content[len(m.content)-1] ^= 1
	fails(m.source.URL + ": it is another file: its SHA-256 is ")

	// A server that nobody vouches for is as good as none, and that is soon known.
	untrusted := httptest.NewTLSServer(m)
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer untrusted.Close()
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		t.Setenv(name, "")
	}
	elsewhere = strings.Replace(elsewhere, m.source.URL, untrusted.URL+"/resnet18.pth", 1)
	m.source.URL = untrusted.URL + "/resnet18.pth"
	fails("no connection: ", "\n  Is there a network? If it is reached through a proxy, name that in HTTPS_PROXY, which is not set.", elsewhere)
}

// TestTeacherFetchProxy checks that a download goes through the proxy of the
// environment, which net/http reads once in a process.
func TestTeacherFetchProxy(t *testing.T) {
	asked := ""
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.RequestURI
		w.WriteHeader(http.StatusNotFound)
	}))
	defer proxy.Close()
	ownCache(t)
	program := exec.Command(os.Args[0], "teacher", "fetch", "--url", "http://mirror.invalid/resnet18.pth")
	program.Env = append(os.Environ(), asProgram+"=1", "HTTP_PROXY="+proxy.URL, "http_proxy=", "NO_PROXY=", "no_proxy=")
	said, err := program.CombinedOutput()
	if program.ProcessState.ExitCode() != exitFailed || !bytes.Contains(said, []byte("http://mirror.invalid/resnet18.pth: the server does not give the file: 404 Not Found\n")) {
		t.Errorf("%v:\n%s", err, said)
	}
	if asked != "http://mirror.invalid/resnet18.pth" {
		t.Errorf("the proxy was asked for %q", asked)
	}
}

func TestTeacherImport(t *testing.T) {
	ownCache(t)
	m := newMaker(t)
	t.Chdir(t.TempDir())
	writeFile(t, "resnet18.pth", m.content[:1000])
	if o := m.command(t.Context(), "teacher", "import", "resnet18.pth"); o.code != exitFailed ||
		!strings.Contains(o.stderr, "resnet18.pth: it is another file: its SHA-256 is ") || !strings.Contains(o.stderr, "; bring it here once more") {
		t.Errorf("a part of it: exit status %d:\n%s", o.code, o.stderr)
	}
	writeFile(t, "resnet18.pth", m.content)
	m.succeed(t, "teacher", "import", "resnet18.pth")
	if got, err := m.cache(t).Load(); err != nil || got.Name != teacher.ImageNet {
		t.Errorf("%q, %v", got.Name, err)
	}

	wrapped := &weights.File{Tensors: map[string]weights.Tensor{}}
	for name, tensor := range resNet().Tensors {
		for _, prefix := range []string{"encoder_q.", "encoder_k."} {
			wrapped.Tensors[prefix+name] = tensor
		}
	}
	wrapped.Tensors["encoder_q.bn1.bias"] = weights.FromFloat32([]int{64}, slices.Repeat([]float32{7}, 64))
	if err := weights.WriteFile("both.safetensors", wrapped); err != nil {
		t.Fatal(err)
	}
	args := []string{"teacher", "import", "both.safetensors", "-o", "ours.safetensors"}
	if o := command(t.Context(), args...); o.code != exitFailed || !strings.Contains(o.stderr, `it holds 2 of them, under the prefixes "encoder_k.", "encoder_q."`) {
		t.Errorf("exit status %d:\n%s", o.code, o.stderr)
	}
	args = append(args, "--prefix", "encoder_q.", "--half")
	if o := succeed(t, args...); !strings.Contains(o.stdout, "next       destseg train DATA --teacher ours.safetensors") {
		t.Errorf("the summary is\n%s", o.stdout)
	}
	if got, err := teacher.Load("ours.safetensors"); err != nil || got.Weights["teacher_net.encoder.bn1.bias"][0] != 7 {
		t.Error(err)
	}
	if o := command(t.Context(), args...); o.code != exitFailed || !strings.Contains(o.stderr, "ours.safetensors: there is a file already; --force replaces it") {
		t.Errorf("exit status %d:\n%s", o.code, o.stderr)
	}
	succeed(t, append(args, "--force")...)
}

func TestTeacherInfo(t *testing.T) {
	ownCache(t)
	m := newMaker(t)
	t.Chdir(t.TempDir())
	if o := m.succeed(t, "teacher", "info"); !strings.Contains(o.stdout, "inside the program") || !strings.Contains(o.stderr, "imagenet has not been fetched") {
		t.Errorf("%s%s", o.stdout, o.stderr)
	}
	writeFile(t, "whole.pth", m.content)
	m.succeed(t, "teacher", "import", "whole.pth")
	if o := m.succeed(t, "teacher", "info"); !strings.Contains(o.stdout, "\n\nteacher  imagenet\n") || o.stderr != "" ||
		!strings.Contains(o.stdout, "         that of "+m.source.URL+"\n") {
		t.Errorf("%s%s", o.stdout, o.stderr)
	}

	broken := resNet()
	delete(broken.Tensors, "layer3.1.bn2.bias")
	broken.Tensors["bn1.bias"] = weights.FromFloat32([]int{2}, []float32{1, 2})
	broken.Tensors["layer1.2.conv1.weight"] = broken.Tensors["layer1.1.conv1.weight"]
	broken.Tensors["layer4.0.bn1.num_batches_tracked"] = weights.FromInt64(nil, []int64{1})
	if err := weights.WriteFile("broken.safetensors", broken); err != nil {
		t.Fatal(err)
	}
	if err := weights.WriteFile("other.safetensors", &weights.File{Tensors: map[string]weights.Tensor{"x": broken.Tensors["bn1.bias"]}}); err != nil {
		t.Fatal(err)
	}
	text := m.succeed(t, "teacher", "info", "whole.pth", "broken.safetensors", "other.safetensors").stdout
	for _, want := range []string{
		"holds     76 tensors, 2,787,267 numbers: fp32\nused      75 tensors, 2,787,264 numbers: fp32\nnot used  fc (1)\nfits      yes\n",
		"holds      77 tensors, 2,823,814 numbers: 76 fp32, 1 i64\n",
		"not used   fc (1), num_batches_tracked (1)\n",
		"fits       no: 1 tensor missing, 1 tensor of another shape, 1 tensor of another network, or a deeper one\n",
		"missing    layer3.1.bn2.bias\nmisshapen  \"bn1.bias\" (want 64, file has 2)\nforeign    layer1.2.conv1.weight\n",
		"fits      no: it has no tensor of a ResNet-18\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}

	o := m.command(t.Context(), "teacher", "info", "absent.pth", "whole.pth")
	if o.code != exitFailed || !strings.Contains(o.stderr, "absent.pth") || !strings.Contains(o.stdout, "\nfits      yes\n") {
		t.Errorf("exit status %d:\n%s%s", o.code, o.stdout, o.stderr)
	}

	var report struct {
		Note     string
		Teachers []teacher.Description
	}
	if err := json.Unmarshal([]byte(m.succeed(t, "teacher", "info", "--json", "broken.safetensors", "builtin").stdout), &report); err != nil {
		t.Fatal(err)
	}
	if d := report.Teachers[0]; d.Fits || d.Name != "broken.safetensors" || !slices.Equal(d.Missing, []string{"layer3.1.bn2.bias"}) || len(d.Misshapen) != 1 {
		t.Errorf("%+v", d)
	}
	if d := report.Teachers[1]; !d.Fits || d.Name != teacher.Builtin {
		t.Errorf("%+v", d)
	}
}

// TestTeacherOfDetector checks that a detector names its teacher and carries it.
func TestTeacherOfDetector(t *testing.T) {
	if testing.Short() {
		t.Skip("slow without oneDNN")
	}
	data := dataSet(t)
	ownCache(t)
	t.Chdir(t.TempDir())
	official := teacher.Torchvision()
	cache, err := teacher.UserCache(official)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(cache.Folder, 0o777); err != nil {
		t.Fatal(err)
	}
	made := teacher.Teacher{Name: "resnet18-f37072fd.pth", Digest: official.Digest, Weights: map[string][]float32{}}
	for name, v := range testWeights() {
		if (network.Tensor{Name: name}).Part() == network.TeacherPart {
			made.Weights[name] = v
		}
	}
	if err := teacher.Save(cache.Path(), made); err != nil {
		t.Fatal(err)
	}
	succeed(t, "train", data, "-o", "x.safetensors", "--teacher", "imagenet", "--size=32", "--batch=1", "--steps=1+1", "--threads=1")
	carriesTeacher(t, "x.safetensors", "imagenet", official.Digest)
}

// carriesTeacher checks that a detector names a teacher and holds its weights.
func carriesTeacher(t *testing.T, detector, name, digest string) {
	t.Helper()
	want, err := teacher.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	record, values, err := destseg.Read(detector)
	if err != nil {
		t.Fatal(err)
	}
	if want.Digest != digest || record.Teacher != (destseg.TeacherRecord{Name: name, Digest: digest}) {
		t.Errorf("the teacher is %+v", record.Teacher)
	}
	for name, v := range want.Weights {
		if !slices.Equal(values[name], v) {
			t.Errorf("the detector has another %s", name)
		}
	}
	if row := fmt.Sprintf("teacher       %s, digest %.12s", name, digest); !strings.Contains(succeed(t, "info", detector).stdout, row) {
		t.Errorf("info lacks %q", row)
	}
}
