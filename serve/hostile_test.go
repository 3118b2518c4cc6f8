package serve

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/internal/detectortest"
	"github.com/destseg/destseg/serve/api"
	"github.com/destseg/destseg/serve/host"
)

// stubbed puts a stub in the place of the networks, which have nothing to do with what
// is tested here.
func stubbed() []destseg.Option { return []destseg.Option{destseg.WithEngine(detectortest.Stub{})} }

// mutate changes a few bytes of a text, takes some away or puts some in.
func mutate(r *rand.Rand, text []byte) []byte {
	text = bytes.Clone(text)
	for range 1 + r.IntN(4) {
		if len(text) == 0 {
			break
		}
		at := r.IntN(len(text))
		switch r.IntN(6) {
		case 0:
			text[at] = byte(r.Uint32())
		case 1:
			text[at] ^= 1 << r.IntN(8)
		case 2:
			text = text[:at]
		case 3:
			end := min(at+r.IntN(20), len(text))
			text = append(text[:at:at], text[end:]...)
		case 4:
			end := min(at+r.IntN(20), len(text))
			text = append(append(text[:end:end], text[at:end]...), text[end:]...)
		case 5: // a length, as likely as not
			for i := at; i < min(at+4, len(text)); i++ {
				text[i] = []byte{0, 0x7f, 0xff}[r.IntN(3)]
			}
		}
	}
	return text
}

// files lists everything in a folder.
func files(t *testing.T, folder string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		fmt.Fprintln(&all, path, info.Size(), info.ModTime())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// TestMutatedPictures sends 500 damaged pictures, from fixed seeds. Each is inspected or
// refused as the client's fault.
func TestMutatedPictures(t *testing.T) {
	before := files(t, filepath.Dir(detectors))
	r := start(t, host.Options{Queue: 4, Options: stubbed()}, Config{Limits: Limits{Pixels: 1 << 20}})
	var kinds [][]byte
	img := noise(1, 24, 20).Image()
	for _, encode := range []func(io.Writer, image.Image) error{
		png.Encode, bmp.Encode,
		func(w io.Writer, img image.Image) error { return jpeg.Encode(w, img, nil) },
		func(w io.Writer, img image.Image) error { return tiff.Encode(w, img, nil) },
		func(w io.Writer, img image.Image) error {
			return tiff.Encode(w, img, &tiff.Options{Compression: tiff.Deflate, Predictor: true})
		},
	} {
		var b bytes.Buffer
		if err := encode(&b, img); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, b.Bytes())
	}
	// A lossless WebP of one pixel, as small as they get.
	kinds = append(kinds, []byte("RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00"))
	counts := map[int]int{}
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 1))
		picture := mutate(random, kinds[random.IntN(len(kinds))])
		response, text := r.ask(t, "POST", "/v1/inspect?detector=flange", bytes.NewReader(picture))
		counts[response.StatusCode]++
		if response.StatusCode == http.StatusOK {
			continue
		}
		var p api.Problem
		if err := json.Unmarshal(text, &p); err != nil || response.StatusCode/100 != 4 || p.Detail == "" || p.Type == "" {
			t.Errorf("seed %d: status %d, %s", seed, response.StatusCode, text)
		}
	}
	t.Logf("answers by status: %v", counts)
	if counts[http.StatusOK] == 0 || counts[http.StatusUnprocessableEntity] == 0 {
		t.Error("not what damage does")
	}
	r.inspect(t, "", kinds[0])
	if after := files(t, filepath.Dir(detectors)); after != before {
		t.Errorf("files before:\n%s\nand after:\n%s", before, after)
	}
}

// TestMutatedRequests sends 500 damaged requests, from fixed seeds, byte by byte as they
// are. Each is answered, or its connection closed, and none is the service's fault.
func TestMutatedRequests(t *testing.T) {
	before := files(t, filepath.Dir(detectors))
	r := start(t, host.Options{Queue: 4, Options: stubbed()}, Config{Limits: Limits{Receive: 200 * time.Millisecond, Body: 1 << 20}})
	address := strings.TrimPrefix(r.url, "http://")
	picture := pngOf(t, noise(1, 8, 8))
	form := "--x\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"../../etc/passwd\"\r\n\r\n" + string(picture) + "\r\n--x--\r\n"
	sound := []string{
		fmt.Sprintf("POST /v1/inspect?detector=flange&overlay=true&map=npy&source=a HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", address, len(picture), picture),
		fmt.Sprintf("POST /v1/inspect?detector=flange HTTP/1.1\r\nHost: %s\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n%s", address, len(form), form),
		fmt.Sprintf("POST /v1/inspect?detector=flange HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", address, len(picture), picture),
		fmt.Sprintf("GET /v1/detectors/flange HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n", address),
		fmt.Sprintf("POST /v1/detectors/flange/unload HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\nContent-Length: 0\r\n\r\n", address, address),
	}
	send := func(request []byte) (status int, err error) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return 0, err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			return 0, err
		}
		c.Write(request) // the service may hang up meanwhile
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		_, err = io.Copy(io.Discard, response.Body)
		return response.StatusCode, err
	}
	for _, request := range sound {
		if status, err := send([]byte(request)); err != nil || status != http.StatusOK {
			t.Fatalf("undamaged: status %d, %v", status, err)
		}
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	counts := map[int]int{}
	atOnce := make(chan struct{}, 32) // many wait for what was cut off
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 2))
		request := []byte(sound[random.IntN(len(sound))])
		head := bytes.Index(request, []byte("\r\n\r\n")) + 4
		if random.IntN(2) == 0 { // the head alone, which is shorter
			request = append(mutate(random, request[:head]), request[head:]...)
		} else {
			request = mutate(random, request)
		}
		atOnce <- struct{}{}
		all.Go(func() {
			defer func() { <-atOnce }()
			status, err := send(request)
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Errorf("seed %d: no answer to %.200q", seed, request)
			}
			mu.Lock()
			defer mu.Unlock()
			counts[status]++
			// 501 and 505 are net/http's for what no server does.
			if status != 0 && status/100 != 2 && status/100 != 3 && status/100 != 4 && status != 501 && status != 505 {
				t.Errorf("seed %d: status %d to %.200q", seed, status, request)
			}
		})
	}
	all.Wait()
	t.Logf("answers by status, 0 for none: %v", counts)
	r.inspect(t, "", picture)
	if after := files(t, filepath.Dir(detectors)); after != before {
		t.Errorf("files before:\n%s\nand after:\n%s", before, after)
	}
}

// TestBomb sends pictures that are small until they are decoded.
func TestBomb(t *testing.T) {
	const side = 3000
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, side, side))); err != nil {
		t.Fatal(err)
	}
	r := start(t, host.Options{Options: stubbed()}, Config{Limits: Limits{Pixels: side*side - 1}})
	if err := r.host.Load(t.Context(), "flange"); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r.refused(t, 413, api.TooLarge, "POST", "/v1/inspect?detector=flange", bytes.NewReader(b.Bytes()))
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > side*side/2 {
		t.Errorf("refusing %d bytes took %d bytes of memory", b.Len(), took)
	}

	slow := start(t, host.Options{Options: stubbed()}, Config{Limits: Limits{Decode: time.Millisecond}})
	slow.refused(t, 422, api.TooSlow, "POST", "/v1/inspect?detector=flange", bytes.NewReader(b.Bytes()))
}

// An endless body counts what is taken of it.
type endless struct {
	mu    sync.Mutex
	taken int64
}

func (e *endless) Read(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.taken += int64(len(p))
	clear(p)
	return len(p), nil
}

// TestHugeBody announces 10 GB, or does not say how much will come.
func TestHugeBody(t *testing.T) {
	const limit = 1 << 20
	r := start(t, host.Options{Options: stubbed()}, Config{Limits: Limits{Body: limit}})
	for name, length := range map[string]int64{"announced": 10e9, "chunked": -1} {
		var body endless
		request, err := http.NewRequest("POST", r.url+"/v1/inspect?detector=flange", &body)
		if err != nil {
			t.Fatal(err)
		}
		request.ContentLength = length
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			if response.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("%s: status %d", name, response.StatusCode)
			}
			response.Body.Close()
		} else if !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "broken pipe") {
			t.Errorf("%s: %v", name, err) // the service hangs up while the client still writes
		}
		body.mu.Lock()
		// The system's buffers take some more.
		if body.taken > limit+16<<20 {
			t.Errorf("%s: %d bytes were taken", name, body.taken)
		}
		body.mu.Unlock()
	}
	if bodies := r.bodies.TryAcquire(max(r.config.Limits.Bodies, limit)); !bodies {
		t.Error("room for bodies was not given back")
	}
}

// TestSlowClients lets clients send next to nothing, while others are served.
func TestSlowClients(t *testing.T) {
	r := start(t, host.Options{Options: stubbed()}, Config{Limits: Limits{Receive: 300 * time.Millisecond}})
	data := pngOf(t, noise(1, 32, 32))
	r.inspect(t, "", data)
	address := strings.TrimPrefix(r.url, "http://")
	var all sync.WaitGroup
	for _, request := range []string{
		"", "POST /v1/ins", "POST /v1/inspect?detector=flange HTTP/1.1\r\nHost: localhost\r\nX-",
		"POST /v1/inspect?detector=flange HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n\x89PNG",
		"POST /v1/inspect?detector=flange HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n\x89PNG",
		"POST /v1/inspect?detector=none HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n\x89PNG",
	} {
		for range 5 {
			all.Go(func() {
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				fmt.Fprint(c, request)
				start := time.Now()
				c.SetDeadline(start.Add(10 * time.Second))
				answer, err := io.ReadAll(c) // until the service hangs up
				if err != nil || time.Since(start) > 5*time.Second {
					t.Errorf("%.40q holds its connection for %v: %v", request, time.Since(start), err)
				}
				if strings.Contains(request, "=flange HTTP/1.1\r\nHost: localhost\r\n") && strings.HasSuffix(request, "PNG") && !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") {
					t.Errorf("%.40q: %.100q", request, answer)
				}
			})
		}
	}
	for range 5 {
		r.inspect(t, "", data)
	}
	all.Wait()
}

// TestPathTricks asks for detectors and files that are nobody's business.
func TestPathTricks(t *testing.T) {
	r := start(t, host.Options{Options: stubbed()}, Config{})
	data := pngOf(t, noise(1, 32, 32))
	for _, name := range []string{
		"..%2Fdetectors%2Fflange", "%2E%2E%2Fflange", ".%2Fflange", "..%5Cflange", "%2Fetc%2Fpasswd", "flange%00", "flange%2F", "flange.safetensors", "%C0%AE%C0%AE%2Fflange", "C:flange",
	} {
		r.refused(t, 404, api.UnknownDetector, "POST", "/v1/inspect?detector="+name, bytes.NewReader(data))
		response, text := r.ask(t, "GET", "/v1/detectors/"+name, nil)
		if response.StatusCode != http.StatusNotFound || bytes.Contains(text, []byte(filepath.Dir(detectors))) {
			t.Errorf("%s: status %d, %s", name, response.StatusCode, text)
		}
	}
	for _, query := range []string{"", "?detector=", "?detector=flange&map=../x", "?detector=flange&overlay=perhaps", "?detector=flange&source=" + strings.Repeat("x", 501)} {
		r.refused(t, 422, "", "POST", "/v1/inspect"+query, bytes.NewReader(data))
	}
	r.refused(t, 400, "", "POST", "/v1/inspect?detector=flange", strings.NewReader("--x--"), "Content-Type", "multipart/form-data; boundary=x")
	r.refused(t, 400, "", "POST", "/v1/inspect?detector=flange", strings.NewReader("x"), "Content-Type", "multipart/form-data")
	r.refused(t, 422, api.BadPicture, "POST", "/v1/inspect?detector=flange", strings.NewReader(""))
}

// TestTokens tries wrong and right tokens on every kind of route.
func TestTokens(t *testing.T) {
	const read, admin = "read-0123456789abcdef", "admin-0123456789abcdef"
	var c Config
	if err := c.Tokens.read(strings.NewReader("# whoever inspects\nread " + read + "\n\nadmin   " + admin + " \n")); err != nil {
		t.Fatal(err)
	}
	r := start(t, host.Options{Options: stubbed()}, c)
	routes := []struct {
		method, path string
		right        Right
	}{
		{"GET", "/healthz", Anyone}, {"GET", "/readyz", Anyone}, {"GET", "/openapi.json", Anyone},
		{"GET", "/metrics", Read}, {"GET", "/v1/detectors", Read}, {"GET", "/v1/detectors/flange", Read}, {"POST", "/v1/inspect?detector=flange", Read},
		{"POST", "/v1/detectors/flange/load", Admin}, {"POST", "/v1/detectors/flange/unload", Admin},
	}
	data := pngOf(t, noise(1, 32, 32))
	for _, token := range []struct {
		header string
		right  Right
	}{
		{"", Anyone}, {"Bearer", Anyone}, {"Bearer ", Anyone}, {"Bearer read-0123456789abcdeg", Anyone}, {"Bearer read-0123456789abcde", Anyone},
		{"Bearer " + read + read, Anyone}, {read, Anyone}, {"Digest " + admin, Anyone}, {"Basic x", Anyone},
		{"Bearer " + read, Read}, {"bearer " + read, Read}, {"Bearer " + admin, Admin},
		{"Basic YW55Om5vdGhpbmc=", Anyone},                    // any:nothing
		{"Basic YW55OnJlYWQtMDEyMzQ1Njc4OWFiY2RlZg==", Read},  // any:read
		{"Basic YW55OmFkbWluLTAxMjM0NTY3ODlhYmNkZWY=", Admin}, // any:admin
		{"Bearer " + admin + ", Bearer " + strings.ToUpper(admin), Anyone},
	} {
		for _, route := range routes {
			var header []string
			if token.header != "" {
				header = []string{"Authorization", token.header}
			}
			if route.right <= token.right {
				if response, text := r.ask(t, route.method, route.path, bytes.NewReader(data), header...); response.StatusCode != http.StatusOK {
					t.Errorf("%s %s with %q: status %d, %s", route.method, route.path, token.header, response.StatusCode, text)
				}
				continue
			}
			status := http.StatusForbidden
			if token.right == Anyone {
				status = http.StatusUnauthorized
			}
			response := r.refused(t, status, "", route.method, route.path, bytes.NewReader(data), header...)
			if challenges := response.Header.Values("WWW-Authenticate"); (len(challenges) == 2) != (status == http.StatusUnauthorized) {
				t.Errorf("challenges %q with status %d", challenges, status)
			}
		}
	}
	if log := r.log.String(); strings.Contains(log, "0123456789") {
		t.Error("a token stands in the log")
	}

	for _, text := range []string{"", "# none\n", "read\n", "read short\n", "write 0123456789abcdef\n", "read secret secret secret\n", "read secretsecretsecré\n", "reads secretsecretsecret\n"} {
		var tokens Tokens
		if err := tokens.read(strings.NewReader(text)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestOtherSites lets a browser send what other sites make it send.
func TestOtherSites(t *testing.T) {
	r := start(t, host.Options{Options: stubbed()}, Config{})
	data := pngOf(t, noise(1, 32, 32))
	r.refused(t, 403, "", "POST", "/v1/inspect?detector=flange", bytes.NewReader(data), "Origin", "https://evil.example")
	r.refused(t, 403, "", "POST", "/v1/inspect?detector=flange", bytes.NewReader(data), "Sec-Fetch-Site", "cross-site")
	for _, name := range []string{"evil.example", "evil.example:80", "192.0.2.1", "localhost.evil.example", "[2001:db8::1]:1"} {
		r.refused(t, 421, "", "GET", "/v1/detectors", nil, "Host", name)
	}
	open := start(t, host.Options{Options: stubbed()}, Config{AnyHost: true})
	if response, _ := open.ask(t, "GET", "/v1/detectors", nil, "Host", "proxy.example"); response.StatusCode != http.StatusOK {
		t.Errorf("any host: status %d", response.StatusCode)
	}
	for _, name := range []string{"localhost", "127.0.0.1:1234", "[::1]", "[::1]:80", "127.8.8.8"} {
		if response, _ := r.ask(t, "GET", "/v1/detectors", nil, "Host", name); response.StatusCode != http.StatusOK {
			t.Errorf("host %s: status %d", name, response.StatusCode)
		}
	}
}

// FuzzReceive checks that a body is read or is the client's fault.
func FuzzReceive(f *testing.F) {
	f.Add("image/png", []byte("picture"))
	f.Add("multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"..\\\\a/../b.png\"\r\n\r\npicture\r\n--x--\r\n"))
	f.Add("multipart/mixed; boundary=\"\"", []byte("--"))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		r := httptest.NewRequest("POST", "/v1/inspect", bytes.NewReader(body))
		r.Header.Set("Content-Type", kind)
		data, name, err := receive(r)
		if err != nil {
			if p := ProblemOf(err); p.Status/100 != 4 {
				t.Errorf("status %d: %v", p.Status, err)
			}
			return
		}
		if len(data) > len(body) || len(name) > maxSource || strings.ContainsAny(name, `/\`) && name != "/" {
			t.Errorf("%d bytes called %q of %d", len(data), name, len(body))
		}
	})
}

// FuzzReadTokens checks that what is accepted can be used, and that no error tells a
// token.
func FuzzReadTokens(f *testing.F) {
	f.Add("read 0123456789abcdef")
	f.Add("# x\nadmin 0123456789abcdef0\nread  ~~~~~~~~~~~~~~~~\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		var tokens Tokens
		if err := tokens.read(strings.NewReader(text)); err != nil {
			return
		}
		if tokens.Empty() || tokens.right("") != Anyone {
			t.Errorf("%q gives everyone a right", text)
		}
	})
}
