package report

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"firedrill/internal/report"
	"firedrill/internal/testkit/npmtest"
	"firedrill/internal/testkit/reporttest"
)

// pinned is the version of axe-core that package-lock.json holds.
const pinned = "4.14.1"

// chromium finds the browser.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	npmtest.Missing(t, "there is no Chromium on PATH to look at the report with: install Debian's package chromium")
	return ""
}

// axe gives the source of axe-core.
func axe(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(npmtest.Install(t, "axe-core-"+pinned), "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// look is one way in which a page is looked at.
type look struct {
	name          string
	width, height int64
	scheme        string
	print         bool
}

func looks() []look {
	return []look{
		{"phone-light", 390, 844, "light", false}, {"phone-dark", 390, 844, "dark", false},
		{"laptop-light", 1440, 900, "light", false}, {"laptop-dark", 1440, 900, "dark", false},
		{"print", 794, 1123, "light", true},
	}
}

// sample is what is looked at in every run of the tests: each width, scheme and page
// once. With FIREDRILL_SOAK=1 or FIREDRILL_SCREENSHOTS each page is looked at in each way.
func sample(page, look string) bool {
	if os.Getenv("FIREDRILL_SOAK") != "" || os.Getenv("FIREDRILL_SCREENSHOTS") != "" {
		return true
	}
	return slices.Contains([]string{"passed phone-light", "passed laptop-dark", "failed phone-dark", "failed print", "hostile phone-light"}, page+" "+look)
}

// TestReportsInABrowser: axe-core finds no violation, nothing is wider than the page,
// and nothing is asked of the network. FIREDRILL_SCREENSHOTS=DIR keeps pictures.
func TestReportsInABrowser(t *testing.T) {
	t.Parallel()
	bin, source := chromium(t), axe(t)
	profile := t.TempDir()
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(bin), chromedp.NoSandbox, chromedp.UserDataDir(profile))...)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	defer func() { // the browser is gone before its folder is removed
		if err := chromedp.Cancel(ctx); err != nil {
			t.Error(err)
		}
	}()

	var mu sync.Mutex
	var asked []string
	err := chromedp.Listen(ctx, func(event any) {
		if e, is := event.(*network.EventRequestWillBeSent); is && !strings.HasPrefix(e.Request.URL, "file:") {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, e.Request.URL)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	pages := map[string]report.Page{
		"passed": reporttest.Passed(t), "failed": reporttest.Failed(t),
		"hostile": reporttest.Hostile(t, `"><script>document.title="broken"</script><img src=x onerror=alert(1)> averylongwordwithoutanyspaceinitwhichcannotbebroken`, 3),
	}
	for name, p := range pages {
		file := filepath.Join(t.TempDir(), "report.html")
		data, err := report.HTML(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, l := range looks() {
			if sample(name, l.name) {
				checkPage(t, ctx, source, file, name, l)
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) > 0 {
		t.Errorf("the pages asked for %q", asked)
	}
}

// seen is what the browser tells about a page.
type seen struct {
	Title      string
	Width      int64 // a phone's innerWidth grows with the page and cannot tell
	Foreign    int   // scripts and images
	Violations []struct {
		ID, Help string
		Nodes    []string
	}
}

// ask gives what [seen] holds; axe-core has been loaded before. The names of the
// fields are those of Go.
const ask = `axe.run().then(r => ({
	Title: document.title,
	Width: document.documentElement.scrollWidth,
	Foreign: document.scripts.length + document.images.length,
	Violations: r.violations.map(v => ({ID: v.id, Help: v.help, Nodes: v.nodes.map(n => n.html.slice(0, 300) + "\n" + n.failureSummary)})),
}))`

func checkPage(t *testing.T, ctx context.Context, source, file, name string, l look) {
	t.Helper()
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}}}
	if l.print {
		media.Media = "print"
	}
	size := emulation.SetDeviceMetricsOverrideParams{Width: l.width, Height: l.height, DeviceScaleFactor: 1, Mobile: l.width < 500}
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media)
	if err == nil {
		_, err = chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, size)
	}
	var s seen
	if err == nil {
		err = chromedp.Do(ctx, chromedp.Navigate((&url.URL{Scheme: "file", Path: file}).String()), chromedp.Evaluate[chromedp.Void](source+"; undefined"))
	}
	if err == nil {
		s, err = chromedp.Run(ctx, chromedp.Evaluate[seen](ask, chromedp.EvalAwaitPromise))
	}
	if err != nil {
		t.Fatalf("%s, %s: %v", name, l.name, err)
	}
	for _, v := range s.Violations {
		t.Errorf("%s, %s: %s: %s\n%s", name, l.name, v.ID, v.Help, strings.Join(v.Nodes[:min(3, len(v.Nodes))], "\n"))
	}
	if s.Width > l.width {
		t.Errorf("%s, %s: the page is %d pixels wide, the window %d", name, l.name, s.Width, l.width)
	}
	if s.Foreign > 0 || s.Title == "broken" {
		t.Errorf("%s, %s: a text became markup: %d scripts and images, title %q", name, l.name, s.Foreign, s.Title)
	}
	if dir := os.Getenv("FIREDRILL_SCREENSHOTS"); dir != "" {
		keep(t, ctx, filepath.Join(dir, name+"-"+l.name), l.print)
	}
}

// keep writes a picture, or what a printer would get.
func keep(t *testing.T, ctx context.Context, file string, print bool) {
	t.Helper()
	shoot, end := chromedp.FullScreenshot(100), ".png"
	if print {
		shoot, end = chromedp.PrintToPDF(chromedp.PDFPreferCSSPageSize()), ".pdf"
	}
	data, err := chromedp.Run(ctx, shoot)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+end, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
