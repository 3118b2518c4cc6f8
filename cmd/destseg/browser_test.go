//go:build browser

// These tests drive a real browser; make test-browser runs them.

package main

import (
	"context"
	"encoding/csv"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// The environment of these tests; all of it may be absent.
const (
	browserScreenshots = "DESTSEG_SCREENSHOTS"         // folder that pictures of the pages are written to
	browserDetector    = "DESTSEG_SCREENSHOT_DETECTOR" // file of a detector, for pictures to be proud of
	browserPictures    = "DESTSEG_SCREENSHOT_PICTURES" // pattern of pictures that it inspects
)

// A tab is that of a browser, on a service.
type tab struct {
	*testing.T
	ctx     context.Context
	service string
}

// newTab opens a browser and watches it: no page may load anything from elsewhere, or
// complain.
func newTab(t *testing.T, service string) tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.UserDataDir(t.TempDir()), chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("hide-scrollbars", true), chromedp.Flag("lang", "en-GB"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	b := tab{t, ctx, service}
	var mu sync.Mutex
	ended := false
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		ended = true
	})
	wrong := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		if !ended {
			t.Errorf(format, args...)
		}
	}
	err := chromedp.Listen(ctx, func(ev any) {
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			wrong("the script failed: %s %v", ev.ExceptionDetails.Text, ev.ExceptionDetails.Exception)
		case *log.EventEntryAdded:
			refused := strings.HasPrefix(ev.Entry.URL, service+"/inspect?") // what is no picture
			if (ev.Entry.Level == log.EntryLevelError || ev.Entry.Level == log.EntryLevelWarning) && !refused {
				wrong("the browser says: %s %s", ev.Entry.Text, ev.Entry.URL)
			}
		case *network.EventRequestWillBeSent:
			// The browser's own signs are data.
			if u := ev.Request.URL; !strings.HasPrefix(u, service+"/") && !strings.HasPrefix(u, "blob:"+service+"/") && !strings.HasPrefix(u, "data:") {
				wrong("the page asks for %s", u)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	for i, step := range steps {
		if err := chromedp.Do(b.ctx, step); err != nil {
			b.Fatalf("step %d: %v", i+1, err)
		}
	}
}

// open goes to a page of the service.
func (b tab) open(path string) {
	b.Helper()
	b.do(chromedp.Navigate(b.service + path))
}

// js computes an expression of the page.
func js[T any](b tab, expression string) T {
	b.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits for an expression of the page to become true.
func (b tab) until(expression string) {
	b.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(30*time.Second))); err != nil {
		b.Fatalf("%s does not become true: %v", expression, err)
	}
}

// drop lets files fall on an element, as the mouse does.
func (b tab) drop(selector string, files ...string) {
	b.Helper()
	at := js[[]float64](b, `(() => { const r = document.querySelector("`+selector+`").getBoundingClientRect(); return [r.x + r.width/2, r.y + r.height/2] })()`)
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		for _, kind := range []input.DispatchDragEventType{
			input.DispatchDragEventTypeDragEnter, input.DispatchDragEventTypeDragOver, input.DispatchDragEventTypeDrop,
		} {
			_, err := cdp.Call(ctx, t, input.DispatchDragEvent, input.DispatchDragEventParams{
				Type: kind, X: at[0], Y: at[1], Data: &input.DragData{Items: []*input.DragDataItem{}, Files: files, DragOperationsMask: 1},
			})
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// A look is a size of the window in a scheme of colours.
type look struct {
	name          string
	width, height int64
	dark          bool
}

var looks = []look{
	{"desktop-light", 1280, 900, false}, {"desktop-dark", 1280, 900, true},
	{"phone-light", 390, 844, false}, {"phone-dark", 390, 844, true},
}

func (b tab) wear(l look) {
	b.Helper()
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	options := []chromedp.EmulateViewportOption{}
	if l.width < 600 {
		options = append(options, chromedp.EmulateScale(2), chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait)
	}
	b.do(chromedp.EmulateViewport(l.width, l.height, options...), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
}

// shoot takes pictures of the page in all looks, and checks that it fits each.
func (b tab) shoot(name string) {
	b.Helper()
	for _, l := range looks {
		b.wear(l)
		b.do(chromedp.Sleep(250 * time.Millisecond))
		if wide := js[int](b, "document.documentElement.scrollWidth"); wide > int(l.width) {
			b.Errorf("%s in %s is %d pixels wide", name, l.name, wide)
		}
		if folder := os.Getenv(browserScreenshots); folder != "" {
			shot, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
			if err != nil {
				b.Fatal(err)
			}
			writeFile(b.T, filepath.Join(folder, name+"-"+l.name+".png"), shot)
		}
	}
	b.wear(looks[0])
}

// get fetches a page as the browser would.
func (b tab) get(path string) string {
	b.Helper()
	answer, err := http.Get(b.service + path)
	if err != nil {
		b.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		b.Fatalf("%s: %s, %v", path, answer.Status, err)
	}
	return string(text)
}

// browserFiles are a detector and pictures for it.
func browserFiles(t *testing.T) (detector string, pictures []string) {
	t.Helper()
	if detector = os.Getenv(browserDetector); detector != "" {
		pictures, err := filepath.Glob(os.Getenv(browserPictures))
		if err != nil || len(pictures) < 3 {
			t.Fatalf("%s matches %d pictures, %v; three are needed", os.Getenv(browserPictures), len(pictures), err)
		}
		return detector, pictures
	}
	pictures, err := filepath.Glob(filepath.Join(dataSet(t), "test", "*", "*.png"))
	if err != nil || len(pictures) < 3 {
		t.Fatalf("%d pictures, %v", len(pictures), err)
	}
	return detectorFile(t), pictures
}

var regionCount = regexp.MustCompile(`(No|[\d,]+) regions?`)

// counted reads how many regions a page tells of.
func counted(t *testing.T, text string) int {
	t.Helper()
	m := regionCount.FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no regions are told of: %s", text)
	}
	if m[1] == "No" {
		return 0
	}
	n, err := strconv.Atoi(strings.ReplaceAll(m[1], ",", ""))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestPage takes the way of a person: drops pictures, moves the sliders, marks a
// verdict, finds it again.
func TestPage(t *testing.T) {
	detector, pictures := browserFiles(t)
	name := strings.TrimSuffix(filepath.Base(detector), ".safetensors")
	_, service := startProgram(t, detector, "--history", filepath.Join(t.TempDir(), "history.db"))
	b := newTab(t, service)

	b.open("/")
	b.shoot("start")

	// By keyboard: past the link to the content and the navigation to the form.
	b.do(chromedp.KeyEvent(kb.Tab))
	for _, want := range []string{"Skip to the content", "destseg", "Inspect", "History", "Detectors"} {
		if got := js[string](b, "document.activeElement.textContent.trim()"); got != want {
			t.Errorf("the keyboard is at %q, want %q", got, want)
		}
		b.do(chromedp.KeyEvent(kb.Tab))
	}
	for _, want := range []string{"SELECT", "INPUT"} {
		if got := js[string](b, "document.activeElement.tagName"); got != want {
			t.Errorf("the keyboard is at %s, want %s", got, want)
		}
		b.do(chromedp.KeyEvent(kb.Tab))
	}

	// Three pictures and what is none.
	none := filepath.Join(t.TempDir(), "none.png")
	writeFile(t, none, []byte("no picture"))
	b.drop(".drop", pictures[0], pictures[1], pictures[2], none)
	b.until(`document.querySelectorAll("#queue .chip:not(:empty)").length === 4`)
	b.until(`document.querySelector("#viewer .viewer") !== null`)
	if got := js[string](b, `document.querySelector("#queue li:nth-child(4)").innerText`); !strings.Contains(got, "failed") || !strings.Contains(got, "not a picture") {
		t.Errorf("of a file that is no picture the page says %q", got)
	}
	if got := js[string](b, `document.querySelector("#tally").textContent`); !strings.HasPrefix(got, "4 of 4") || !strings.HasSuffix(got, "1 failed") {
		t.Errorf("the page has counted %q", got)
	}
	b.until(`[...document.querySelectorAll("#viewer image")].length === 2`)
	b.shoot("inspected")
	id := js[string](b, `document.querySelector(".viewer").dataset.id`)
	marked := js[string](b, `document.querySelector("#queue [aria-current] bdi").textContent`) // of two files called alike, one is renamed

	// The opacity of the map.
	b.do(chromedp.Focus(chromedp.CSS("#opacity")), chromedp.KeyEvent(kb.Home))
	if got := js[string](b, `getComputedStyle(document.querySelector(".heat")).opacity`); got != "0" {
		t.Errorf("the map's opacity is %s", got)
	}
	b.do(chromedp.KeyEvent(kb.End))
	if got := js[string](b, `getComputedStyle(document.querySelector(".heat")).opacity`); got != "1" {
		t.Errorf("the map's opacity is %s", got)
	}

	// The threshold: what the page shows is what the library finds.
	own := js[string](b, `document.querySelector("input[name=exact]").value`)
	seen := map[int]bool{}
	for _, keys := range []string{kb.Home, strings.Repeat(kb.ArrowRight, 5), kb.End, strings.Repeat(kb.ArrowLeft, 30)} {
		b.do(chromedp.Focus(chromedp.CSS("#threshold")), chromedp.KeyEvent(keys))
		threshold := js[string](b, `document.querySelector("input[name=exact]").value`)
		b.until(`document.querySelector(".viewer").dataset.threshold === "` + threshold + `"`)
		shown := counted(t, js[string](b, `document.querySelector(".found").innerText`))
		if want := counted(t, b.get("/history/"+id+"/found?threshold="+threshold)); shown != want {
			t.Errorf("%d regions above %s, want %d", shown, threshold, want)
		}
		if lines := js[int](b, `(document.querySelector(".line").getAttribute("d").match(/M/g) || []).length`); (lines == 0) != (shown == 0) {
			t.Errorf("%d regions above %s have %d outlines", shown, threshold, lines)
		}
		seen[shown] = true
	}
	if len(seen) < 2 {
		t.Errorf("the threshold changes nothing: %v", seen)
	}
	b.do(chromedp.Click(chromedp.CSS("button[name=own]")))
	b.until(`Number(document.querySelector(".viewer").dataset.threshold) === ` + own)

	// A mark with a note.
	b.do(chromedp.Click(chromedp.CSS(`.mark input[value=wrong]`)), chromedp.SendKeys(chromedp.CSS(".mark textarea"), "a <b>speck</b> of dust"), chromedp.Click(chromedp.CSS(".mark button")))
	b.until(`document.querySelector(".mark [role=status]").textContent.startsWith("Marked")`)

	// A picture from the clipboard.
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.Evaluate[bool](`(async () => {
			const blob = await (await fetch(document.querySelector("image.picture").getAttribute("href"))).blob();
			const data = new DataTransfer();
			data.items.add(new File([blob], "from the clipboard.jpg", { type: "image/jpeg" }));
			return document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
		})()`, chromedp.EvalAwaitPromise)(ctx, t)
		return err
	}))
	b.until(`document.querySelectorAll("#queue .chip:not(:empty)").length === 5`)

	// The history.
	b.open("/history")
	if got := js[int](b, `document.querySelectorAll(".results li").length`); got != 4 {
		t.Errorf("%d results in the history", got)
	}
	b.until(`[...document.querySelectorAll(".results img")].every((i) => i.complete && i.naturalWidth > 0)`)
	b.shoot("history")
	b.do(chromedp.SetValue(chromedp.CSS("select[name=mark]"), "wrong"))
	if _, err := chromedp.RunResponse(b.ctx, chromedp.Click(chromedp.CSS(".filter button"))); err != nil {
		t.Fatal(err)
	}
	found := js[[]string](b, `[...document.querySelectorAll(".results .what bdi")].map((n) => n.textContent)`)
	if len(found) != 1 || found[0] != marked {
		t.Fatalf("marked wrong are %q, want %s", found, marked)
	}
	if _, err := chromedp.RunResponse(b.ctx, chromedp.Click(chromedp.CSS(".results a"))); err != nil {
		t.Fatal(err)
	}
	if got := js[string](b, `document.querySelector(".viewer").dataset.id`); got != id {
		t.Errorf("found %s, marked %s", got, id)
	}
	if got := js[string](b, `document.querySelector(".mark textarea").value`); got != "a <b>speck</b> of dust" {
		t.Errorf("the note is %q", got)
	}
	b.shoot("result")

	rows, err := csv.NewReader(strings.NewReader(b.get("/history.csv?mark=wrong"))).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][0] != id {
		t.Errorf("the table: %q, %v", rows, err)
	}

	b.open("/detectors")
	b.shoot("detectors")
	b.open("/detectors/" + url.PathEscape(name))
	b.shoot("detector")
	b.open("/history?verdict=OK&mark=right&from=2001-01-01")
	b.shoot("nothing-found")
}

// TestPageInMemory checks the page of a service without a history.
func TestPageInMemory(t *testing.T) {
	detector, pictures := browserFiles(t)
	_, service := startProgram(t, detector)
	b := newTab(t, service)
	b.open("/")
	b.do(chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), pictures[:2]))
	b.until(`document.querySelectorAll("#queue .chip:not(:empty)").length === 2`)
	b.open("/history")
	if got := js[int](b, `document.querySelectorAll(".results li").length`); got != 2 {
		t.Errorf("%d results", got)
	}
	if got := js[string](b, `document.querySelector("footer").innerText`); !strings.Contains(got, "--history") {
		t.Errorf("the page does not say that results end with the program: %q", got)
	}
}
