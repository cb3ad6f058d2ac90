package workers_test

import (
	"context"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"firedrill/internal/sandbox/workers"
)

// alter changes the store of a closed Manager behind its back.
func alter(t *testing.T, dir, stmt string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "workers.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(stmt); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAStoreOfANewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, dir).close()
	alter(t, dir, "PRAGMA user_version = 99")
	store, _ := databases(t)
	_, err := workers.Open(t.Context(), workers.Options{Dir: dir, Workerd: binary(t), D1: store})
	if err == nil || !strings.Contains(err.Error(), "use the newer firedrill") {
		t.Error(err)
	}
}

// A Worker that does not start any more (an older workerd is in use, say) does
// not keep the others from running, and asks are answered, not dropped.
func TestADeployedWorkerThatDoesNotStartHurtsNobodyElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := open(t, dir)
	b.put("good", says("good"))
	b.put("bad", says("bad"))
	b.close()
	alter(t, dir, `UPDATE versions SET body = json_set(body, '$.compatibility_date', '2099-01-01') WHERE script = 'bad'`)
	b = open(t, dir)
	b.wants("good", "/", "good")
	if status, body := b.get("bad", "/"); status != http.StatusServiceUnavailable || !strings.Contains(body, "not running") {
		t.Errorf("%d %s", status, body)
	}
	if !strings.Contains(b.log.String(), "newest date supported by this server binary") {
		t.Errorf("the log does not say why: %s", b.log)
	}
	// A good version brings it back.
	b.put("bad", says("better"))
	b.wants("bad", "/", "better")
}

// Close breaks off what would never end, and only then.
func TestCloseEndsInTime(t *testing.T) {
	t.Parallel()
	store, _ := databases(t)
	m, err := workers.Open(t.Context(), workers.Options{Dir: t.TempDir(), Workerd: binary(t), D1: store})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Put(t.Context(), "endless", js(`export default { fetch() { const { readable, writable } = new IdentityTransformStream();
  const w = writable.getWriter(); w.write(new Uint8Array([1])); setInterval(() => w.write(new Uint8Array([1])), 50); return new Response(readable); } };`)); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(m.Front())
	defer srv.Close()
	req, _ := http.NewRequest(http.MethodGet, srv.URL, nil)
	req.Host = "endless.localhost"
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := m.Close(ctx); err != nil {
		t.Error(err)
	}
}

// What a Worker asks of the network goes to public addresses only.
func TestAWorkerCannotReachThisMachine(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{}, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached <- struct{}{} }))
	defer srv.Close()
	b := open(t, t.TempDir())
	b.put("egress", js(`export default { async fetch() { try { const r = await fetch("`+srv.URL+`"); return new Response("reached " + r.status); } catch (e) { return new Response("refused"); } } };`))
	b.wants("egress", "/", "refused")
	select {
	case <-reached:
		t.Error("a Worker reached a server on this machine")
	default:
	}
}

// What Workers print is told apart by name.
func TestLogsCarryTheWorkersName(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	b.put("chatty", js(`export default { fetch(r) { console.log("hello log"); if (r.url.endsWith("/throw")) throw new Error("oops"); return new Response("x"); } };`))
	b.wants("chatty", "/", "x")
	if status, _ := b.get("chatty", "/throw"); status != http.StatusInternalServerError {
		t.Errorf("an uncaught exception answers %d", status)
	}
	b.close()
	logs := b.logs.String()
	if !strings.Contains(logs, "[chatty] hello log\n") || !strings.Contains(logs, "oops") || strings.Contains(logs, "stack:") {
		t.Errorf("%q", logs)
	}
}
