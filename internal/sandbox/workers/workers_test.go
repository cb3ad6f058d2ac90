package workers_test

import (
	"bytes"
	"context"
	"io"
	stdlog "log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"firedrill/internal/sandbox/d1"
	"firedrill/internal/sandbox/workers"
	"firedrill/internal/sandbox/workers/workerd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// binary finds the real workerd; without one these tests cannot say anything.
func binary(t testing.TB) string {
	t.Helper()
	bin, err := workerd.Locate(t.Context(), workerd.Locator{})
	if err != nil {
		t.Fatalf("no workerd: %v", err)
	}
	return bin.Path
}

// logBuffer collects what Workers and the Manager print.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// box is a Manager with a server before it.
type box struct {
	*workers.Manager
	t      testing.TB
	url    string
	logs   *logBuffer
	log    *logBuffer
	client *http.Client
	close  func()
}

func open(t testing.TB, dir string, change ...func(*workers.Options)) *box {
	t.Helper()
	b := &box{t: t, logs: &logBuffer{}, log: &logBuffer{}}
	opt := workers.Options{Dir: dir, Workerd: binary(t), Logs: b.logs, Log: slog.New(slog.NewTextHandler(b.log, nil))}
	for _, f := range change {
		f(&opt)
	}
	if opt.D1 == nil {
		opt.D1, _ = databases(t)
	}
	m, err := workers.Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	b.Manager = m
	srv := httptest.NewUnstartedServer(m.Front())
	serverLog := &logBuffer{}
	srv.Config.ErrorLog = stdlog.New(serverLog, "", 0)
	srv.Start()
	b.url = srv.URL
	tr := &http.Transport{MaxIdleConnsPerHost: 64}
	b.client = &http.Client{Transport: tr, Timeout: 30 * time.Second}
	var once sync.Once
	b.close = func() {
		once.Do(func() {
			tr.CloseIdleConnections()
			srv.Close()
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := m.Close(ctx); err != nil {
				t.Errorf("close: %v", err)
			}
			if said := serverLog.String(); said != "" {
				t.Errorf("the server complains: %s", said)
			}
			if t.Failed() {
				t.Logf("manager:\n%s\nworkers:\n%s", b.log, b.logs)
			}
		})
	}
	t.Cleanup(b.close)
	return b
}

// databases is an account's database service with one database in it.
func databases(t testing.TB) (store *d1.Store, id string) {
	t.Helper()
	store, err := d1.Open(t.Context(), d1.Options{Dir: t.TempDir(), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	db, err := store.Create(t.Context(), d1.Database{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return store, db.ID
}

// get asks a Worker and returns status and body.
func (b *box) get(worker, path string, header ...string) (int, string) {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, b.url+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Host = worker + ".localhost"
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// wants fails the test unless a Worker answers 200 with this body.
func (b *box) wants(worker, path, want string) {
	b.t.Helper()
	if status, body := b.get(worker, path); status != 200 || body != want {
		b.t.Fatalf("%s%s: %d %q, want 200 %q", worker, path, status, body, want)
	}
}

// js is an upload of one ES module.
func js(source string, bindings ...workers.UploadBinding) workers.Upload {
	return workers.Upload{
		Source:   "test",
		Metadata: workers.Metadata{MainModule: "index.js", CompatibilityDate: "2026-04-01", Bindings: bindings},
		Modules:  []workers.Module{{Name: "index.js", ContentType: "application/javascript+module", Data: []byte(source)}},
	}
}

// says is a Worker that answers text.
func says(text string) workers.Upload {
	return js("export default { fetch() { return new Response(" + quoteJS(text) + "); } };")
}

func quoteJS(s string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`", "$", "\\$").Replace(s) + "`"
}

func bind(name, kind string, f func(*workers.UploadBinding)) workers.UploadBinding {
	b := workers.UploadBinding{Binding: workers.Binding{Name: name, Type: kind}}
	if f != nil {
		f(&b)
	}
	return b
}

func text(name, value string) workers.UploadBinding {
	return bind(name, "plain_text", func(b *workers.UploadBinding) { b.Text = value })
}

func secret(name, value string) workers.UploadBinding {
	return bind(name, "secret_text", func(b *workers.UploadBinding) { b.Text = value })
}

// put uploads and deploys, or fails the test.
func (b *box) put(name string, up workers.Upload) workers.Published {
	b.t.Helper()
	p, err := b.Put(b.t.Context(), name, up)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func TestUploadServesAndSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := open(t, dir)
	b.put("hello", says("one"))
	b.wants("hello", "/", "one")
	b.put("hello", says("two"))
	b.wants("hello", "/", "two")
	b.close()

	again := open(t, dir)
	again.wants("hello", "/", "two")
}
