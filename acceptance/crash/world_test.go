package crash

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"firedrill/internal/sandbox/api"
	"firedrill/internal/sandbox/d1"
	"firedrill/internal/sandbox/kv"
)

const (
	account = "0123456789abcdef0123456789abcdef"
	token   = "a-token"
	apiHost = "127.0.0.1:9" // nothing listens there: all goes through the transport
	appHost = "app.test"
)

// world is a staging cloud that lives in a folder: the sandbox's API over its
// databases and namespaces, and an application that shows what these hold. It is
// the transport of all clients and answers one request at a time, so that the
// folder can be copied between two.
type world struct {
	t       testing.TB
	dir     string
	store   *d1.Store
	keys    *kv.Store
	worker  *worker
	api     http.Handler
	outside *http.Transport

	mu       sync.Mutex
	requests int                                   // of the API
	bend     func(n int, r *http.Request) fault    // nil: all pass
	boundary func()                                // called before and after each request of the API; nil: nobody looks
	said     func(n int, r *http.Request, f fault) // told about each request of the API; nil: nobody
}

// fault is what happens to a request of the API.
type fault struct {
	refuse bool // it is not sent at all
	lose   bool // it takes effect, and no answer comes
	stall  bool // it takes no effect, and no answer comes until the client gives up
	status int  // of an answer in the API's stead; 0: there is none
	body   string
	header http.Header
	cut    bool // the answer breaks off in the middle of its body
}

// openWorld opens the cloud in a folder, or begins one.
func openWorld(t testing.TB, dir string) *world {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	w := &world{t: t, dir: dir, outside: &http.Transport{DisableKeepAlives: true}}
	var err error
	if w.store, err = d1.Open(context.Background(), d1.Options{Dir: filepath.Join(dir, "d1"), Now: time.Now, Log: quiet}); err != nil {
		t.Fatal(err)
	}
	if w.keys, err = kv.Open(kv.Options{Dir: filepath.Join(dir, "kv"), Now: time.Now, Random: rand.Reader, Log: quiet}); err != nil {
		t.Fatal(err)
	}
	w.worker = openWorker(t, dir)
	w.api = api.New(api.Config{Account: account, Token: token, D1: w.store, KV: w.keys, Spool: t.TempDir(), Now: time.Now, Log: quiet,
		Base: func() string { return "http://" + apiHost }})
	return w
}

func (w *world) close() {
	if err := errors.Join(w.store.Close(), w.keys.Close()); err != nil {
		w.t.Error(err)
	}
}

// fill makes what a drill is about as an application would have left it.
func (w *world) fill(s scenario) {
	w.t.Helper()
	if s.drill == "worker-rollback" {
		if err := w.worker.fill(time.Now()); err != nil {
			w.t.Fatal(err)
		}
		return
	}
	db, err := w.store.Create(context.Background(), d1.Database{Name: "shop"})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, sql := range []string{
		`CREATE TABLE accounts (id INTEGER PRIMARY KEY, name TEXT NOT NULL, balance INTEGER NOT NULL)`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12) INSERT INTO accounts SELECT i, 'account ' || i, i * 100 FROM n`,
	} {
		w.rows(db.ID, sql)
	}
	ns, err := w.keys.Create("cache")
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range 8 {
		e := kv.Entry{Key: fmt.Sprintf("user/%d", i), Value: []byte{byte(i), 0xff}}
		if i%2 == 0 {
			e.Value, e.Metadata = fmt.Appendf(nil, "text %d", i), json.RawMessage(`{"v":1}`)
		}
		if err := w.keys.Put(context.Background(), ns.ID, kv.API, e); err != nil {
			w.t.Fatal(err)
		}
	}
}

// rows runs SQL behind the API's back.
func (w *world) rows(id, sql string) [][]any {
	w.t.Helper()
	res, _, err := w.store.Query(context.Background(), id, []d1.Statement{{SQL: sql}})
	if err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	return res[0].Rows
}

// holds tells all that is in the cloud, past everything that is tested. What
// SQLite remembers of numbers that were given is left out.
func (w *world) holds() string {
	w.t.Helper()
	var b strings.Builder
	all, err := w.store.List(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, d := range all {
		fmt.Fprintf(&b, "database %s\n", d.Name)
		for _, table := range w.rows(d.ID, `SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' AND name NOT LIKE '\_cf\_%' ESCAPE '\' ORDER BY name`) {
			fmt.Fprintf(&b, "%v\n", table)
			for _, row := range w.rows(d.ID, fmt.Sprintf(`SELECT * FROM "%s" ORDER BY 1`, table[0])) {
				fmt.Fprintf(&b, "  %v\n", row)
			}
		}
	}
	for _, n := range w.keys.Namespaces() {
		fmt.Fprintf(&b, "namespace %s\n%s", n.Title, w.entries(n.ID, ""))
	}
	return b.String() + w.worker.holds()
}

// start is how a world stands before a run: what it held when it was good, what the
// run finds, and where an incident returns to.
type start struct{ good, found, point string }

// begin makes what a scenario finds.
func (w *world) begin(s scenario) start {
	w.t.Helper()
	w.fill(s)
	at := start{good: w.holds()}
	if s.incident {
		at.point = w.bookmark()
		w.disaster()
	}
	at.found = w.holds()
	return at
}

// bookmark is the point in time of the database.
func (w *world) bookmark() string {
	w.t.Helper()
	db, err := w.store.Get(context.Background(), "shop")
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := w.store.Bookmark(context.Background(), db.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// disaster damages the database as an incident would.
func (w *world) disaster() {
	w.t.Helper()
	db, err := w.store.Get(context.Background(), "shop")
	if err != nil {
		w.t.Fatal(err)
	}
	w.rows(db.ID, `DELETE FROM accounts WHERE id > 4`)
	w.rows(db.ID, `UPDATE accounts SET balance = 0`)
}

func (w *world) entries(ns, prefix string) string {
	page, err := w.keys.List(context.Background(), ns, kv.Query{Prefix: prefix})
	if err != nil || page.Cursor != "" {
		w.t.Fatal(err)
	}
	var b strings.Builder
	for _, k := range page.Keys {
		e, _, err := w.keys.Get(context.Background(), ns, k.Key, kv.Read{})
		if err != nil {
			w.t.Fatal(err)
		}
		fmt.Fprintf(&b, "  %s %x %s %d\n", k.Key, sha256.Sum256(e.Value), e.Metadata, e.Expiration)
	}
	return b.String()
}

// RoundTrip implements [http.RoundTripper].
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	body := []byte(nil)
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close() // it is in memory
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	switch r.URL.Host {
	case appHost:
		return w.application(r), nil
	case apiHost:
	default: // the listeners by which probes are shown to be able to fail
		out := r.Clone(r.Context())
		out.Body = io.NopCloser(bytes.NewReader(body))
		return w.outside.RoundTrip(out)
	}
	rec, f := w.answer(r, body)
	switch {
	case f.refuse:
		return nil, errors.New("connection refused")
	case f.stall:
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	case f.lose:
		return nil, errors.New("connection reset by peer")
	}
	res := rec.Result()
	res.ContentLength = -1
	if f.cut {
		half, _ := io.ReadAll(io.LimitReader(res.Body, int64(rec.Body.Len()/2)))
		res.Body = io.NopCloser(io.MultiReader(bytes.NewReader(half), broken{}))
	}
	return res, nil
}

// broken is the end of an answer that broke off.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// answer lets the API answer, or does what is to go wrong in its stead.
func (w *world) answer(r *http.Request, body []byte) (*httptest.ResponseRecorder, fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.look()
	defer w.look()
	w.requests++
	var f fault
	if w.bend != nil {
		f = w.bend(w.requests, r)
	}
	if w.said != nil {
		w.said(w.requests, r, f)
	}
	rec := httptest.NewRecorder()
	if f.refuse {
		return rec, f
	}
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	switch {
	case f.stall:
	case f.status != 0:
		for k, v := range f.header {
			rec.Header()[k] = v
		}
		rec.WriteHeader(f.status)
		rec.WriteString(f.body)
	default:
		in := httptest.NewRequest(r.Method, r.URL.String(), bytes.NewReader(body))
		in.Header = r.Header.Clone()
		if _, path, is := strings.Cut(in.URL.Path, "/workers/scripts/"); is {
			w.worker.serve(rec, in, strings.Split(path, "/")[1:], time.Now())
		} else {
			w.api.ServeHTTP(rec, in)
		}
	}
	return rec, f
}

func (w *world) look() {
	if w.boundary != nil {
		w.boundary()
	}
}

// application shows what the database and the namespace hold, but not what a drill
// adds to them.
func (w *world) application(r *http.Request) *http.Response {
	w.mu.Lock()
	defer w.mu.Unlock()
	rec := httptest.NewRecorder()
	rec.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/health":
		if len(w.worker.Versions) > 0 && !w.worker.healthy() {
			rec.WriteHeader(http.StatusInternalServerError)
			break
		}
		fmt.Fprint(rec, `{"status":"healthy"}`)
	case "/rows":
		db, err := w.store.Get(context.Background(), "shop")
		if err != nil {
			rec.WriteHeader(http.StatusInternalServerError)
			break
		}
		res, _, err := w.store.Query(context.Background(), db.ID, []d1.Statement{{SQL: `SELECT count(*), sum(balance), group_concat(name) FROM accounts WHERE id <= 12`}})
		if err != nil {
			rec.WriteHeader(http.StatusInternalServerError)
			break
		}
		fmt.Fprintf(rec, `{"ok":true,"rows":%q}`, fmt.Sprint(res[0].Rows))
	case "/keys":
		fmt.Fprintf(rec, `{"ok":true,"keys":%q}`, w.entries(w.keys.Namespaces()[0].ID, "user/"))
	}
	return rec.Result()
}
