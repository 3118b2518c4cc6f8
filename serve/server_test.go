package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io"
	"log/slog"
	"math/rand/v2"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/engine"
	"github.com/destseg/destseg/internal/detectortest"
	"github.com/destseg/destseg/internal/paint"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/serve/api"
	"github.com/destseg/destseg/serve/host"
)

// detectors is a folder with one detector, flange, that no test changes.
var detectors string

func TestMain(m *testing.M) {
	detectortest.Main(m, func(folder string) error {
		detectors = filepath.Join(folder, "detectors")
		return errors.Join(os.Mkdir(detectors, 0o777), detectortest.Write(filepath.Join(detectors, "flange.safetensors")))
	})
}

// A running server is one of a test.
type running struct {
	*Server
	url  string
	host *host.Host
	log  *lockedBuffer
	stop func() error // shuts down and waits
}

// A lockedBuffer takes a log.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// start runs a server of the detectors. Limits that are 0 are the usual ones.
func start(t testing.TB, o host.Options, c Config) *running {
	t.Helper()
	o.Sources = []string{detectors}
	o.Options = append([]destseg.Option{destseg.WithPrecision(engine.Float32)}, o.Options...)
	r := &running{log: new(lockedBuffer)}
	c.Log = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o.Log = c.Log
	usual := DefaultLimits()
	for i, v := 0, reflect.ValueOf(&c.Limits).Elem(); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			v.Field(i).Set(reflect.ValueOf(usual).Field(i))
		}
	}
	var err error
	if r.host, err = host.New(o); err != nil {
		t.Fatal(err)
	}
	c.Host = r.host
	r.Server = New(c)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.url = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Serve(ctx, l, nil, time.Minute) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-ended, r.host.Close())
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if log := r.log.String(); strings.Contains(log, "panic") {
			t.Error(log)
		}
	})
	return r
}

// noise is a picture of random values.
func noise(seed uint64, width, height int) *picture.RGB {
	r := rand.New(rand.NewPCG(seed, 9))
	p := picture.NewRGB(width, height)
	for i := range p.Pix {
		p.Pix[i] = uint8(r.Uint32())
	}
	return p
}

func pngOf(t testing.TB, p *picture.RGB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, p.Image()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// ask sends a request and returns the answer with its body.
func (r *running) ask(t testing.TB, method, path string, body io.Reader, header ...string) (*http.Response, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, r.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
		if header[i] == "Host" {
			request.Host = header[i+1]
		}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, text
}

// refused asks for what must fail with a status and a kind of problem.
func (r *running) refused(t testing.TB, status int, kind, method, path string, body io.Reader, header ...string) *http.Response {
	t.Helper()
	response, text := r.ask(t, method, path, body, header...)
	var p api.Problem
	err := json.Unmarshal(text, &p)
	if response.StatusCode != status || err != nil || p.Status != status || p.Type != kind || p.Title == "" || p.Instance == "" ||
		response.Header.Get("Content-Type") != api.ProblemType || p.Instance != response.Header.Get("X-Request-Id") {
		t.Errorf("%s %.100s: status %d, %.300s; want %d of kind %q", method, path, response.StatusCode, text, status, kind)
	}
	return response
}

// inspect sends a picture that must be inspected.
func (r *running) inspect(t testing.TB, query string, body []byte, header ...string) *api.Inspection {
	t.Helper()
	response, text := r.ask(t, "POST", "/v1/inspect?detector=flange"+query, bytes.NewReader(body), header...)
	in := new(api.Inspection)
	if err := json.Unmarshal(text, in); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %.300s, %v", response.StatusCode, text, err)
	}
	return in
}

func TestInspect(t *testing.T) {
	r := start(t, host.Options{Queue: 5}, Config{})
	d, err := destseg.Open(filepath.Join(detectors, "flange.safetensors"), destseg.WithPrecision(engine.Float32))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	p := noise(3, 70, 45)
	want, err := d.InspectRGB(p)
	if err != nil {
		t.Fatal(err)
	}
	regions, mask := want.Regions()
	if len(regions) == 0 {
		t.Fatal("the detector finds nothing, so that nothing is tested")
	}
	data := pngOf(t, p)
	check := func(in *api.Inspection, source string) {
		t.Helper()
		if in.Score != want.Score || *in.Threshold != 0.5 || *in.Margin != want.Score-0.5 || in.Verdict != want.Verdict() || in.Width != 70 || in.Height != 45 ||
			in.Peak != want.Peak() || !reflect.DeepEqual(in.Regions, regions) {
			t.Errorf("%+v, want %+v", in.Judgement, want)
		}
		if in.ID == "" || in.Source != source || in.Detector.Name != "flange" || len(in.Detector.Digest) != 64 || time.Since(in.Time) > time.Minute {
			t.Errorf("%+v", in)
		}
		g := in.Timings
		if sum := g.Read + g.Decode + g.Load + g.Queue + g.Prepare + g.Networks + g.Regions + g.Paint; !(g.Total > 0 && g.Networks > 0 && sum <= g.Total+0.01 && sum > 0.5*g.Total) {
			t.Errorf("timings %+v sum up to %v", g, sum)
		}
	}
	plain := r.inspect(t, "&source=a%20b.png", data)
	check(plain, "a b.png")
	if plain.Overlay != nil || plain.Mask != nil || plain.Map != nil {
		t.Error("pictures that nobody asked for")
	}

	in := r.inspect(t, "&overlay=true&mask=true&map=npy", data, "Content-Type", "image/png")
	check(in, "")
	decode := func(data []byte) *picture.RGB {
		p, err := picture.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if !reflect.DeepEqual(decode(in.Overlay), paint.Found(p, want, mask)) {
		t.Error("the overlay is another")
	}
	if got, err := picture.DecodeGray(bytes.NewReader(in.Mask)); err != nil || !slices.Equal(got.Pix, mask.Pix) {
		t.Errorf("the mask is another: %v", err)
	}
	var values bytes.Buffer
	if err := picture.EncodeMap(&values, want.Map(70, 45), 70, 45, picture.NPY); err != nil || !bytes.Equal(in.Map, values.Bytes()) {
		t.Errorf("the map is another: %v", err)
	}

	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	if err := w.WriteField("note", "passed over"); err != nil {
		t.Fatal(err)
	}
	part, err := w.CreateFormFile("picture", `C:\shots\..\7.png`)
	if err == nil {
		_, err = part.Write(data)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	check(r.inspect(t, "", form.Bytes(), "Content-Type", w.FormDataContentType()), "7.png")

	// Another way in, for a picture that is decoded, and that lay there for a while.
	arrival := time.Now().Add(-30 * time.Second)
	direct, err := r.Service().Inspect(t.Context(), Request{Detector: "flange", Picture: p, Source: "direct", Arrival: arrival})
	if err != nil {
		t.Fatal(err)
	}
	check(direct, "direct")
	if !direct.Time.Equal(arrival) {
		t.Errorf("at %v, want %v", direct.Time, arrival)
	}

	_, text := r.ask(t, "GET", "/metrics", nil)
	for _, line := range []string{
		`destseg_verdicts_total{detector="flange",verdict="` + want.Verdict() + `"} 4`, `destseg_score_count{detector="flange"} 4`,
		`destseg_inspection_seconds_count{detector="flange",stage="networks"} 4`,
		`destseg_inspection_seconds_count{detector="flange",stage="record"} 4`, `destseg_detectors_loaded 1`, `destseg_queue_waiting 0`,
		`destseg_http_requests_total{route="POST /v1/inspect",status="200"} 3`,
	} {
		if !strings.Contains(string(text), line+"\n") {
			t.Errorf("no metric %s", line)
		}
	}
	if log := r.log.String(); !strings.Contains(log, "msg=inspected id="+plain.ID+" detector=flange") {
		t.Error(log)
	}
}

func TestDetectors(t *testing.T) {
	r := start(t, host.Options{Options: stubbed()}, Config{})
	_, text := r.ask(t, "GET", "/v1/detectors", nil)
	var list api.Detectors
	if err := json.Unmarshal(text, &list); err != nil || len(list.Detectors) != 1 || list.Detectors[0].Name != "flange" || list.Detectors[0].Record != nil {
		t.Errorf("%s, %v", text, err)
	}
	for _, step := range []struct{ method, path, state string }{
		{"GET", "", api.Idle}, {"POST", "/load", api.Ready}, {"GET", "", api.Ready}, {"POST", "/unload", api.Idle},
	} {
		_, text := r.ask(t, step.method, "/v1/detectors/flange"+step.path, nil)
		var card api.Card
		var record destseg.Record
		if err := errors.Join(json.Unmarshal(text, &card), json.Unmarshal(card.Record, &record)); err != nil || card.State != step.state || record.Pictures.Count != 12 {
			t.Errorf("%v: %s, %v", step, text, err)
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if response, text := r.ask(t, "GET", path, nil); response.StatusCode != 200 || string(text) != "ok\n" {
			t.Errorf("%s: %d %s", path, response.StatusCode, text)
		}
	}
	r.refused(t, 404, "", "GET", "/nothing", nil)
	if got := r.refused(t, 405, "", "DELETE", "/v1/detectors", nil).Header["Allow"]; !slices.Equal(got, []string{"GET"}) {
		t.Errorf("Allow: %v", got)
	}
	if _, text := r.ask(t, "DELETE", "/v1/detectors", nil); !strings.Contains(string(text), "DELETE does not go here; GET does") {
		t.Errorf("%s", text)
	}
}

// TestDescription checks that the description is whole and fits what is answered.
func TestDescription(t *testing.T) {
	r := start(t, host.Options{Options: stubbed()}, Config{})
	_, text := r.ask(t, "GET", "/openapi.json", nil)
	var whole map[string]any
	if err := json.Unmarshal(text, &whole); err != nil || whole["openapi"] != "3.1.0" {
		t.Fatalf("%v, %.200s", err, text)
	}
	at := func(path ...string) any {
		var v any = whole
		for _, key := range path {
			m, _ := v.(map[string]any)
			v = m[key]
		}
		return v
	}
	var check func(v any)
	check = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok && at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...) == nil {
				t.Errorf("%s leads nowhere", ref)
			}
			for _, inner := range v {
				check(inner)
			}
		case []any:
			for _, inner := range v {
				check(inner)
			}
		}
	}
	check(whole)
	for _, path := range []string{"/v1/inspect", "/v1/detectors/{name}/load"} {
		if at("paths", path, "post", "responses", "401", "content", api.ProblemType) == nil {
			t.Errorf("%s is not described", path)
		}
	}
	if at("paths", "/v1/inspect", "post", "requestBody", "content", "multipart/form-data") == nil {
		t.Error("no form is described")
	}

	_, answer := r.ask(t, "POST", "/v1/inspect?detector=flange&mask=true", bytes.NewReader(pngOf(t, noise(3, 40, 40))))
	fits(t, "answer", at("components", "schemas"), at("components", "schemas", "Inspection"), parse(t, answer))
	_, answer = r.ask(t, "GET", "/v1/detectors/flange", nil)
	fits(t, "card", at("components", "schemas"), at("components", "schemas", "Card"), parse(t, answer))
	_, answer = r.ask(t, "GET", "/v1/detectors/none", nil)
	fits(t, "problem", at("components", "schemas"), at("components", "schemas", "Problem"), parse(t, answer))
}

func parse(t *testing.T, text []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v: %.200s", err, text)
	}
	return v
}

// fits checks a value against as much of JSON Schema as the description uses.
func fits(t *testing.T, where string, schemas, schema, v any) {
	t.Helper()
	s, _ := schema.(map[string]any)
	if s == nil {
		t.Fatalf("%s: no schema", where)
	}
	if ref, ok := s["$ref"].(string); ok {
		fits(t, where, schemas, schemas.(map[string]any)[ref[strings.LastIndex(ref, "/")+1:]], v)
		return
	}
	kinds := []any{s["type"]}
	if several, ok := s["type"].([]any); ok {
		kinds = several
	}
	kind := map[reflect.Kind]string{reflect.Map: "object", reflect.Slice: "array", reflect.String: "string", reflect.Float64: "number", reflect.Bool: "boolean", reflect.Invalid: "null"}[reflect.ValueOf(v).Kind()]
	if kinds[0] != nil && !slices.Contains(kinds, any(kind)) && !(kind == "number" && slices.Contains(kinds, any("integer"))) {
		t.Errorf("%s is %s, described as %v", where, kind, kinds)
	}
	switch v := v.(type) {
	case map[string]any:
		properties, _ := s["properties"].(map[string]any)
		for name, inner := range v {
			if properties == nil {
				break
			}
			fits(t, where+"."+name, schemas, properties[name], inner)
		}
		required, _ := s["required"].([]any)
		for _, name := range required {
			if _, ok := v[name.(string)]; !ok {
				t.Errorf("%s lacks %s", where, name)
			}
		}
	case []any:
		for i, inner := range v {
			if s["items"] != nil {
				fits(t, fmt.Sprintf("%s[%d]", where, i), schemas, s["items"], inner)
			}
		}
	}
}

// A recorder remembers what it was given, or fails.
type recorder struct {
	mu   sync.Mutex
	kept []api.Inspection
	fail error
}

func (r *recorder) Record(_ context.Context, in *api.Inspection, p *picture.RGB, result *destseg.Inspection) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.Width != in.Width || result.Score != in.Score {
		return errors.New("given what does not belong together")
	}
	r.kept = append(r.kept, *in)
	return r.fail
}

// TestRecorder checks that what is answered was kept, and what could not be kept is not
// answered.
func TestRecorder(t *testing.T) {
	kept := new(recorder)
	r := start(t, host.Options{Options: stubbed()}, Config{Recorder: kept})
	data := pngOf(t, noise(1, 33, 32))
	in := r.inspect(t, "", data)
	if len(kept.kept) != 1 || kept.kept[0].ID != in.ID || !reflect.DeepEqual(kept.kept[0].Regions, in.Regions) {
		t.Errorf("%+v", kept.kept)
	}
	kept.fail = errors.New("the disk is on fire")
	r.refused(t, 500, "", "POST", "/v1/inspect?detector=flange", bytes.NewReader(data))
	if log := r.log.String(); !strings.Contains(log, "the disk is on fire") {
		t.Errorf("nobody hears of it:\n%s", log)
	}
}

// gate returns a closed gate and the option for it.
func gate() (*detectortest.Gate, host.Options) {
	g := detectortest.NewGate(detectortest.Stub{})
	return g, host.Options{Options: []destseg.Option{destseg.WithEngine(g)}}
}

// TestBusy checks that a full queue refuses, in a way that clients notice.
func TestBusy(t *testing.T) {
	g, o := gate()
	r := start(t, o, Config{})
	data := pngOf(t, noise(1, 32, 32))
	places := r.host.Stats().Places
	var all sync.WaitGroup
	for range places {
		all.Go(func() { r.inspect(t, "", data) })
	}
	for s := r.host.Stats(); s.Waiting+s.Working < places; s = r.host.Stats() {
		time.Sleep(time.Millisecond)
	}
	response := r.refused(t, 429, api.QueueFull, "POST", "/v1/inspect?detector=flange", bytes.NewReader(data))
	if after := response.Header.Get("Retry-After"); after != "1" {
		t.Errorf("Retry-After %q", after)
	}
	for range 5 {
		r.refused(t, 429, api.QueueFull, "POST", "/v1/inspect?detector=flange", bytes.NewReader(make([]byte, 4<<20)))
	}
	g.Open()
	all.Wait()
	r.inspect(t, "", data)
}

// A stuck recorder gives up when it has to, as a database does that another program locks.
type stuck struct{}

func (stuck) Record(ctx context.Context, _ *api.Inspection, _ *picture.RGB, _ *destseg.Inspection) error {
	<-ctx.Done()
	return fmt.Errorf("/secret/path: %w", ctx.Err())
}

// TestRecordTime checks that time which runs out while a result is kept is told as such.
func TestRecordTime(t *testing.T) {
	r := start(t, host.Options{Options: stubbed()}, Config{Recorder: stuck{}, Limits: Limits{Answer: 500 * time.Millisecond}})
	if err := r.host.Load(t.Context(), "flange"); err != nil {
		t.Fatal(err)
	}
	response := r.refused(t, 503, api.TooSlow, "POST", "/v1/inspect?detector=flange", bytes.NewReader(pngOf(t, noise(1, 33, 32))))
	if response.Header.Get("Retry-After") == "" {
		t.Errorf("%v", response.Header)
	}
}

// TestAnswerTime checks that a picture whose turn does not come is answered.
func TestAnswerTime(t *testing.T) {
	g, o := gate()
	o.Queue = 1
	r := start(t, o, Config{Limits: Limits{Answer: 100 * time.Millisecond}})
	data := pngOf(t, noise(1, 32, 32))
	if err := r.host.Load(t.Context(), "flange"); err != nil { // which takes longer
		t.Fatal(err)
	}
	working := r.host.Stats().Places - 1
	var all sync.WaitGroup
	for range working {
		all.Go(func() { r.inspect(t, "", data) }) // a run that has begun is finished
	}
	for s := r.host.Stats(); s.Working < working; s = r.host.Stats() {
		time.Sleep(time.Millisecond)
	}
	<-g.Entered
	r.refused(t, 503, api.TooSlow, "POST", "/v1/inspect?detector=flange", bytes.NewReader(data))
	g.Open()
	all.Wait()
}

// TestAnswers checks that answers wait for the memory that they take, and give it back.
func TestAnswers(t *testing.T) {
	const all = 1 << 20
	r := start(t, host.Options{Options: stubbed()}, Config{Limits: Limits{Answers: all, Answer: 500 * time.Millisecond}})
	if err := r.host.Load(t.Context(), "flange"); err != nil {
		t.Fatal(err)
	}
	data := pngOf(t, noise(1, 33, 32))
	const tensor = `{"inputs":[{"name":"image","datatype":"UINT8","shape":[1,1,1,3],"data":[0,0,0]}],"outputs":[{"name":"anomaly_map"}]}`
	if !r.service.answers.TryAcquire(all) {
		t.Fatal("taken already")
	}
	r.inspect(t, "", data)
	r.refused(t, 503, api.TooSlow, "POST", "/v1/inspect?detector=flange&overlay=true", bytes.NewReader(data))
	if response, body := r.ask(t, "POST", "/v2/models/flange/infer", strings.NewReader(tensor)); response.StatusCode < 500 {
		t.Errorf("%s: %s", response.Status, body)
	}
	r.service.answers.Release(all)
	for range 2 { // or the second one would find what the first one has kept
		r.inspect(t, "&overlay=true&mask=true&map=npy", data)
		if response, body := r.ask(t, "POST", "/v2/models/flange/infer", strings.NewReader(tensor)); response.StatusCode != 200 {
			t.Errorf("%s: %s", response.Status, body)
		}
		if err := r.service.answers.Acquire(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		r.service.answers.Release(all)
	}
}

// TestShutdown checks that what was accepted is answered.
func TestShutdown(t *testing.T) {
	g, o := gate()
	o.Queue = 8
	r := start(t, o, Config{})
	data := pngOf(t, noise(1, 32, 32))
	const pictures = 6
	var all sync.WaitGroup
	for range pictures {
		all.Go(func() { r.inspect(t, "", data) })
	}
	for s := r.host.Stats(); s.Waiting+s.Working < pictures; s = r.host.Stats() {
		time.Sleep(time.Millisecond)
	}
	stopped := make(chan error)
	go func() { stopped <- r.stop() }()
	for !r.ending.Load() {
		time.Sleep(time.Millisecond)
	}
	for {
		c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			break // nobody comes in any more
		}
		c.Close()
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-stopped:
		t.Errorf("stopped with pictures in the queue: %v", err)
	default:
	}
	g.Open()
	all.Wait()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
