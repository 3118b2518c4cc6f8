package page

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/internal/detectortest"
	"github.com/destseg/destseg/metric"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/region"
	"github.com/destseg/destseg/serve/api"
	"github.com/destseg/destseg/serve/history"
)

// hostile is a name that a page must show as it is.
const hostile = `<script>alert("1")</script>'&amp;#?/%2e`

var errNone = errors.New("no such detector")

// someDetectors are those of a test.
type someDetectors []api.Card

func (d someDetectors) Cards() ([]api.Card, error) { return d, nil }

func (d someDetectors) Card(name string) (api.Card, error) {
	for _, c := range d {
		if c.Name == name {
			return c, nil
		}
	}
	return api.Card{}, errNone
}

// inspected is a picture and what a detector says about it. Nobody changes them.
var inspected = sync.OnceValue(func() (r struct {
	picture *picture.RGB
	in      *destseg.Inspection
	err     error
}) {
	r.picture, r.in, r.err = detectortest.Inspect(45, 30, func(*destseg.Record) {})
	return r
})

// A service is a page with a history.
type service struct {
	*httptest.Server
	t       *testing.T
	history *history.History
	in      *destseg.Inspection // of all results
	mayMark bool
}

// record is that of the detector "flange".
func record() destseg.Record {
	r := detectortest.Record()
	r.Category = hostile
	r.Threshold.Calibration = &destseg.Calibration{
		FalseAlarms: destseg.Share{Count: 1, Of: 20, Bound: 0.216}, Caught: &destseg.Share{Count: 5, Of: 6, Bound: 0.4},
	}
	curve := []metric.Point{{X: 0, Y: 0}, {X: 0.25, Y: 0.75}, {X: 1, Y: 1}}
	curves := metric.Curves{ImageROC: curve, ImagePR: curve, PixelROC: curve, PixelPR: curve}
	r.Metrics = &destseg.Evaluation{
		Segmentation: metric.Result{Pictures: 3, ImageAUROC: new(0.875)}, Pictures: 3, Protocol: []string{hostile},
		Defects: []destseg.DefectType{{Name: hostile, Pictures: 2, AUROC: new(0.5)}}, SegmentationCurves: curves, DeSTCurves: curves,
	}
	return r
}

func serve(t *testing.T) *service {
	t.Helper()
	h, err := history.InMemory(t.Context(), history.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	r := record()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	made := time.Now()
	s := &service{t: t, history: h, mayMark: true}
	known := api.Card{Name: "flange", State: api.Ready, Category: hostile, Width: 32, Height: 32, Created: &made, Threshold: new(0.5), Record: text}
	p, err := New(Options{
		Detectors: someDetectors{known, {Name: "a #?%.x", State: api.Idle}, {Name: "broken", State: api.Failed, Error: hostile}},
		Unknown:   func(err error) bool { return errors.Is(err, errNone) },
		Inspect:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.RawQuery) }),
		History:   h,
		Facts: func(r destseg.Record) (made, threshold [][2]string) {
			return [][2]string{{"category", r.Category}}, [][2]string{{"threshold", hostile}}
		},
		MayMark: func(*http.Request) bool { return s.mayMark },
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for _, route := range p.Routes() {
		mux.Handle(route.Pattern, route.Handler)
		if marks := strings.HasSuffix(route.Pattern, "/mark"); route.Marks != marks {
			t.Errorf("%s changes marks: %v", route.Pattern, route.Marks)
		}
	}
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// add records a result.
func (s *service) add(id string, change func(*api.Inspection)) {
	s.t.Helper()
	made := inspected()
	if made.err != nil {
		s.t.Fatal(made.err)
	}
	s.in = made.in
	regions, _ := s.in.Regions()
	a := &api.Inspection{
		ID: id, Time: time.Now(), Source: hostile, Detector: api.DetectorRef{Name: "flange", Digest: "0123456789abcdef"},
		Judgement: api.Judgement{
			Score: s.in.Score, Threshold: &s.in.Threshold, Verdict: s.in.Verdict(), Width: s.in.Width, Height: s.in.Height, Regions: regions,
		},
	}
	if change != nil {
		change(a)
	}
	if err := s.history.Record(context.Background(), a, made.picture, s.in); err != nil {
		s.t.Fatal(err)
	}
}

// get returns an answer that must have a status.
func (s *service) get(path string, status int) (string, http.Header) {
	s.t.Helper()
	answer, err := http.Get(s.URL + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != status {
		s.t.Errorf("%s: %s, %v; want %d", path, answer.Status, err, status)
	}
	return string(text), answer.Header
}

var unwanted = regexp.MustCompile(`(?i)<script(?: |>)[^>]*>[^<]|\sstyle=|\son[a-z]+=|javascript:|https?://`)

// TestPages checks of every page that it shows hostile texts as they are, needs nothing
// that its policy forbids, and is complete.
func TestPages(t *testing.T) {
	s := serve(t)
	s.add("1", func(a *api.Inspection) { a.Verdict = api.NG })
	s.add("2", func(a *api.Inspection) { a.Threshold, a.Verdict, a.Detector.Name = nil, "", hostile })
	for id, opinion := range map[string]history.Opinion{"1": history.Wrong, "2": history.Right} {
		if _, err := s.history.Mark(t.Context(), id, opinion, hostile); err != nil {
			t.Fatal(err)
		}
	}
	shown := html.EscapeString(hostile)
	for path, wants := range map[string][]string{
		"/":                                   {`value="flange"`, `value="a #?%.x"`, `value="broken" disabled`, `id="intake"`},
		"/?detector=a+%23%3F%25.x":            {`value="a #?%.x" selected`},
		"/history":                            {shown, `href="/history/1"`, "false alarm", "2 results", `href="/history.csv"`, `<option>` + shown + `</option>`},
		"/history?verdict=NG":                 {"1 result that match", `href="/history/1?verdict=NG"`, `href="/history.csv?verdict=NG"`},
		"/history?source=%22%3E%3Cb%3E":       {`value="&#34;&gt;&lt;b&gt;"`, "No result matches"},
		"/history/1":                          {shown, `href="/detectors/flange"`, "false alarm", `d="M`, "/history/1/picture.jpg", "/history/1/heat.png", "Older"},
		"/history/1?verdict=NG&detector=%22x": {`action="/history/1/mark?detector=%22x&amp;verdict=NG"`},
		"/history/2":                          {shown, "no threshold", `value="0.5"`},
		"/history/1/viewer":                   {shown, `class="viewer"`},
		"/detectors":                          {shown, `href="/detectors/a%20%23%3F%25.x"`, `href="/?detector=a%20%23%3f%25.x"`, "can’t be used"},
		"/detectors/flange":                   {shown, "1 of 20", "at most 21.6", "5 of 6", "at least 40.0", "0.8750", "Latest results", "Curves", "1 false alarm"},
		"/detectors/broken":                   {shown},
		"/detectors/a%20%23%3F%25.x":          {"a #?%.x", "no metrics in its file", `eval a #?%.x.safetensors DATA --keep`},
	} {
		page, head := s.get(path, http.StatusOK)
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("%s lacks %s:\n%s", path, want, page)
			}
		}
		if strings.Contains(page, hostile) {
			t.Errorf("%s shows what is not escaped", path)
		}
		if m := unwanted.FindString(strings.ReplaceAll(page, `xmlns="http://www.w3.org/2000/svg"`, "")); m != "" {
			t.Errorf("%s has %q, which its policy forbids", path, m)
		}
		if !strings.Contains(head.Get("Content-Security-Policy"), "default-src 'none'") || strings.Contains(head.Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("%s has the policy %q", path, head.Get("Content-Security-Policy"))
		}
		if head.Get("Content-Type") != "text/html; charset=utf-8" || head.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, head)
		}
		balanced(t, path, page)
	}
}

// balanced checks that elements end in the order in which they began.
func balanced(t *testing.T, path, page string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(strings.Replace(page, "<!DOCTYPE html>", "", 1)))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var open []string
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			open = append(open, token.Name.Local)
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != token.Name.Local {
				t.Fatalf("%s: %s ends in %v", path, token.Name.Local, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("%s: %v do not end", path, open)
	}
}

func TestErrors(t *testing.T) {
	s := serve(t)
	s.add("1", nil)
	for path, status := range map[string]int{
		"/history/x": 404, "/history/x/viewer": 404, "/history/x/found?threshold=0.5": 404, "/history/x/picture.jpg": 404,
		"/history/x/thumbnail.jpg": 404, "/history/x/heat.png": 404, "/detectors/x": 404, "/assets/x": 404, "/assets/..%2fpage.go": 404,
		"/history?verdict=maybe": 400, "/history?from=yesterday": 400, "/history?at=x": 400, "/history.csv?mark=maybe": 400, "/history/1?to=x": 400,
		"/history/1/found": 400, "/history/1/found?threshold=NaN": 400, "/history/1/found?threshold=1.1": 400, "/history/1/found?threshold=-0.1": 400,
	} {
		page, head := s.get(path, status)
		if !strings.HasPrefix(path, "/assets") && (!strings.Contains(page, "That did not work") || head.Get("Content-Disposition") != "") {
			t.Errorf("%s: %s", path, page)
		}
	}
}

// TestFound checks the regions of a page against those of the library, for other
// thresholds too.
func TestFound(t *testing.T) {
	s := serve(t)
	s.add("1", nil)
	values := s.in.Map(s.in.Width, s.in.Height)
	least, most := 1.0, 0.0
	for _, v := range values {
		least, most = min(least, float64(v)), max(most, float64(v))
	}
	several := false
	for _, threshold := range []float64{0, least, (least + most) / 2, 0.7*most + 0.3*least, most, 1} {
		regions, _ := s.in.RegionsAbove(threshold)
		area := 0
		for _, r := range regions {
			area += r.Area
		}
		page, _ := s.get(fmt.Sprint("/history/1/found?threshold=", threshold), http.StatusOK)
		want := "<strong>" + count(len(regions), "region") + "</strong>, " + count(area, "pixel")
		if len(regions) == 0 {
			want = "<strong>No region</strong>"
		}
		if !strings.Contains(page, want) || !strings.Contains(page, `data-outline="`+outline(regions)+`"`) {
			t.Errorf("above %v: want %s:\n%s", threshold, want, page)
		}
		if n := strings.Count(page, "<tr tabindex"); n != min(len(regions), mostRegions) {
			t.Errorf("above %v: %d of %d regions are listed", threshold, n, len(regions))
		}
		several = several || len(regions) > 1
	}
	if !several {
		t.Error("no threshold has several regions")
	}
}

// TestExact checks that numbers which look the same once they are rounded do not become the
// same: the gauge has the colour of the verdict, and the detector's pixel threshold is asked for
// as it is.
func TestExact(t *testing.T) {
	s := serve(t)
	in := *inspected().in
	in.HasThreshold, in.PixelThreshold = true, 0.99997
	for id, c := range map[string]struct {
		score     float64
		threshold *float64
		verdict   string
		gauge     string
	}{
		"near": {0.80249, new(0.80221), api.NG, `class="value NG" y="8" width="0.80249" height="8"/><path class="tick" d="M0.80221 0V24"/>`},
		"low":  {0.0001, new(0.0002), api.OK, `class="value OK" y="8" width="0.0001" height="8"/><path class="tick" d="M0.0002 0V24"/>`},
		"zero": {0.5, new(0.0), api.NG, `class="value NG" y="8" width="0.5" height="8"/><path class="tick" d="M0 0V24"/>`},
		"none": {0.5, nil, "", `class="value" y="8" width="0.5" height="8"/></svg>`},
	} {
		a := &api.Inspection{
			ID: id, Time: time.Now(), Detector: api.DetectorRef{Name: id, Digest: "0123456789abcdef"},
			Judgement: api.Judgement{Score: c.score, Threshold: c.threshold, Verdict: c.verdict, Width: in.Width, Height: in.Height},
		}
		if err := s.history.Record(t.Context(), a, inspected().picture, &in); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/history/" + id, "/history?detector=" + id} {
			if page, _ := s.get(path, http.StatusOK); !strings.Contains(page, c.gauge) {
				t.Errorf("%s lacks %s:\n%s", path, c.gauge, page)
			}
		}
		if page, _ := s.get("/history/"+id, http.StatusOK); !strings.Contains(page, `data-own="0.99997"`) || strings.Count(page, `value="0.99997"`) != 2 {
			t.Errorf("the threshold is not what it is:\n%s", page)
		}
	}
}

// A deaf client takes nothing of its answer until it hangs up.
type deaf struct {
	*httptest.ResponseRecorder
	called, hangUp chan struct{}
}

func (d deaf) Write(p []byte) (int, error) {
	d.called <- struct{}{}
	<-d.hangUp
	return 0, io.ErrClosedPipe
}

// TestTurns checks that clients which take no answer keep no turn.
func TestTurns(t *testing.T) {
	s := serve(t)
	s.add("1", nil)
	ctx, cancel := context.WithCancel(t.Context())
	called, hangUp := make(chan struct{}, 100), make(chan struct{})
	var all sync.WaitGroup
	defer func() {
		cancel()
		close(hangUp)
		all.Wait()
	}()
	for _, path := range []string{"/history/1", "/history/1/viewer", "/history/1/found?threshold=0.5", "/history/1/heat.png"} {
		for range mostTurns {
			all.Go(func() {
				s.Config.Handler.ServeHTTP(deaf{httptest.NewRecorder(), called, hangUp}, httptest.NewRequestWithContext(ctx, "GET", path, nil))
			})
		}
		for range mostTurns {
			select {
			case <-called:
			case <-time.After(30 * time.Second):
				t.Fatalf("%s waits for others who do not take theirs", path)
			}
		}
	}
}

func TestOutline(t *testing.T) {
	p := region.Polygon{{{0, 1}, {2.5, 1}, {2.5, 3}}, {{1, 1}, {2, 1}, {2, 2}}}
	if got, want := outline([]region.Region{{Polygon: p}, {Polygon: p[:1]}}), "M0 1L2.5 1L2.5 3ZM1 1L2 1L2 2ZM0 1L2.5 1L2.5 3Z"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestPictures(t *testing.T) {
	s := serve(t)
	s.add("1", nil)
	for path, decode := range map[string]func(io.Reader) (image.Image, error){
		"/history/1/picture.jpg": jpeg.Decode, "/history/1/thumbnail.jpg": jpeg.Decode, "/history/1/heat.png": png.Decode,
	} {
		content, head := s.get(path, http.StatusOK)
		img, err := decode(strings.NewReader(content))
		if err != nil || img.Bounds().Dx() != s.in.Width || img.Bounds().Dy() != s.in.Height {
			t.Errorf("%s: %v, %v", path, img.Bounds(), err)
		}
		if !strings.Contains(head.Get("Cache-Control"), "immutable") || !strings.HasPrefix(head.Get("Content-Type"), "image/") {
			t.Errorf("%s: %v", path, head)
		}
	}
}

// TestHeatImage checks that a map laid over a picture is what the program paints.
func TestHeatImage(t *testing.T) {
	const low, high = 0.25, 0.75
	values := []float32{0, 0.25, 0.3, 0.5, 0.6, 0.75, 1, float32(math.NaN())}
	under := picture.NewRGB(len(values), 1)
	for i := range under.Pix {
		under.Pix[i] = uint8(40 * i)
	}
	want := picture.Overlay(under, values, low, high, 1)
	laid := heatImage(values, len(values), 1, low, high)
	for x := range values {
		c := color.NRGBAModel.Convert(laid.At(x, 0)).(color.NRGBA)
		for i, v := range [3]uint8{c.R, c.G, c.B} {
			got := (float64(under.Pix[3*x+i])*float64(255-c.A) + float64(v)*float64(c.A)) / 255
			// The opacity has 256 steps here and is exact there.
			if math.Abs(got-float64(want.Pix[3*x+i])) > 1 {
				t.Errorf("value %v: %v, want %d", values[x], got, want.Pix[3*x+i])
			}
		}
	}
}

// TestMarks checks both ways of marking, and that the form is only there for those who
// may.
func TestMarks(t *testing.T) {
	s := serve(t)
	s.add("1", func(a *api.Inspection) { a.Verdict = api.OK })
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	post := func(path, accept string, form url.Values) (int, http.Header, string) {
		t.Helper()
		r, err := http.NewRequest(http.MethodPost, s.URL+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Accept", accept)
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, answer.Header, string(text)
	}
	status, head, _ := post("/history/1/mark?verdict=OK", "*/*", url.Values{"mark": {"wrong"}, "note": {hostile}})
	if at := head.Get("Location"); status != http.StatusSeeOther || at != "/history/1?verdict=OK" {
		t.Errorf("status %d to %s", status, at)
	}
	if e, err := s.history.Get(t.Context(), "1"); err != nil || e.Mark.Opinion != history.Wrong || e.Mark.Note != hostile {
		t.Errorf("marked %+v, %v", e.Mark, err)
	}
	status, _, part := post("/history/1/mark", fragment, url.Values{"mark": {"right"}})
	if status != http.StatusOK || !strings.HasPrefix(part, `<form class="mark"`) || !strings.Contains(part, `value="right" checked`) {
		t.Errorf("status %d: %s", status, part)
	}
	if status, _, _ := post("/history/1/mark", "*/*", url.Values{"mark": {"maybe"}}); status != http.StatusBadRequest {
		t.Errorf("maybe: status %d", status)
	}
	if status, _, _ := post("/history/x/mark", "*/*", url.Values{"mark": {"right"}}); status != http.StatusNotFound {
		t.Errorf("nothing: status %d", status)
	}
	s.mayMark = false
	if page, _ := s.get("/history/1", http.StatusOK); strings.Contains(page, "<button type=\"submit\"") || !strings.Contains(page, "Marked as <strong>right</strong>") {
		t.Errorf("who may not mark sees\n%s", page)
	}
}

var link = regexp.MustCompile(`rel="(prev|next)" href="([^"]+)"`)

// links are those to the parts before and after.
func links(page string) map[string]string {
	to := map[string]string{}
	for _, m := range link.FindAllStringSubmatch(page, -1) {
		to[m[1]] = html.UnescapeString(m[2])
	}
	return to
}

// TestPaging follows the links through a long history and back.
func TestPaging(t *testing.T) {
	s := serve(t)
	const n = 2*pageSize + 5
	for i := range 2 * n {
		s.add(fmt.Sprint(i), func(a *api.Inspection) { a.Verdict = []string{api.OK, api.NG}[i%2] })
	}
	path, seen := "/history?verdict=NG", map[string]bool{}
	var pages []string
	for path != "" {
		page, _ := s.get(path, http.StatusOK)
		if !strings.Contains(page, fmt.Sprint(n, " results")) {
			t.Errorf("%s does not tell of %d results", path, n)
		}
		for _, m := range regexp.MustCompile(`href="/history/(\d+)\?verdict=NG"`).FindAllStringSubmatch(page, -1) {
			seen[m[1]] = true
		}
		pages = append(pages, path)
		path = links(page)["next"]
	}
	if len(pages) != 3 || len(seen) != n {
		t.Errorf("%d results on %d pages", len(seen), len(pages))
	}
	page, _ := s.get(pages[2], http.StatusOK)
	back, _ := s.get(links(page)["prev"], http.StatusOK)
	if links(back)["next"] == "" || links(back)["prev"] == "" {
		t.Errorf("the second page leads to %v", links(back))
	}

	// From result to result, within the filter.
	result, _ := s.get("/history/5?verdict=NG", http.StatusOK)
	if got := links(result); got["next"] != "/history/3?verdict=NG" || got["prev"] != "/history/7?verdict=NG" {
		t.Errorf("beside 5 are %v", got)
	}
}

func TestCSV(t *testing.T) {
	s := serve(t)
	s.add("1", func(a *api.Inspection) { a.Verdict = api.NG })
	s.add("2", func(a *api.Inspection) { a.Verdict = api.OK })
	table, head := s.get("/history.csv?verdict=NG", http.StatusOK)
	if strings.Count(table, "\n") != 2 || !strings.Contains(table, "\n1,") || head.Get("Content-Type") != "text/csv; charset=utf-8" ||
		!strings.HasPrefix(head.Get("Content-Disposition"), `attachment; filename="destseg-history-`) {
		t.Errorf("%v\n%s", head, table)
	}
}

// timed has a deadline.
type timed struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (w *timed) SetWriteDeadline(t time.Time) error {
	w.deadline = t
	return nil
}

// TestLasting checks that every part of a long answer has its time anew.
func TestLasting(t *testing.T) {
	w := &timed{ResponseRecorder: httptest.NewRecorder()}
	for range 2 {
		w.deadline = time.Time{}
		if _, err := (lasting{w}).Write([]byte("part")); err != nil {
			t.Fatal(err)
		}
		if left := time.Until(w.deadline); left < partTime/2 || left > partTime {
			t.Errorf("%v are left", left)
		}
	}
	if w.Body.String() != "partpart" {
		t.Errorf("%q", w.Body)
	}
}

// TestAssets checks that what a page loads is there.
func TestAssets(t *testing.T) {
	s := serve(t)
	page, _ := s.get("/", http.StatusOK)
	assets := regexp.MustCompile(`(?:src|href)="(/assets/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(assets) < 3 {
		t.Fatalf("%q", assets)
	}
	for _, m := range append(assets, []string{"", "/assets/heat.png"}) {
		content, head := s.get(m[1], http.StatusOK)
		if content == "" || head.Get("Content-Type") == "" || !strings.HasPrefix(head.Get("Cache-Control"), "public") {
			t.Errorf("%s: %d bytes, %v", m[1], len(content), head)
		}
		if hashed := strings.Count(m[1], ".") == 2; hashed != strings.Contains(head.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %s", m[1], head.Get("Cache-Control"))
		}
	}
	if text, _ := s.get("/assets/heat.png", http.StatusOK); !bytes.HasPrefix([]byte(text), []byte("\x89PNG")) {
		t.Error("the scale is no PNG")
	}
}

func FuzzFilter(f *testing.F) {
	h, err := history.InMemory(f.Context(), history.Options{})
	if err != nil {
		f.Fatal(err)
	}
	defer h.Close()
	for _, q := range []string{"detector=a&verdict=NG&mark=wrong&source=%25&from=2026-01-31&to=2026-02-01&at=older.7ps", "at=newer.zzzzzzzzzzzzz", "from=9999999-01-01", "source=%ff%00"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		filter, kept, err := readFilter(q)
		if err == nil {
			if again, _, err := readFilter(kept); err != nil || again != filter {
				t.Errorf("%q becomes %q, which is %+v and not %+v, %v", text, kept.Encode(), again, filter, err)
			}
			_, err = h.List(t.Context(), filter, history.Cursor(q.Get("at")), 1)
		}
		if err != nil && !errors.Is(err, history.ErrFilter) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
