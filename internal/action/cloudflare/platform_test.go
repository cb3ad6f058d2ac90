package cloudflare

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"firedrill/internal/sandbox/api"
	d1sandbox "firedrill/internal/sandbox/d1"
	kvsandbox "firedrill/internal/sandbox/kv"
)

// platform is the sandbox's API over the sandbox's databases, with a place in
// front where a test sees every request and may answer in the API's stead.
type platform struct {
	t      *testing.T
	url    string // base address
	server *httptest.Server
	inner  http.Handler
	store  *d1sandbox.Store
	kv     *kvsandbox.Store

	mu   sync.Mutex
	bend func(w http.ResponseWriter, r *http.Request) bool // true: answered
	log  []string                                          // method and path of every request
}

const testAccount = "0123456789abcdef0123456789abcdef"

func newPlatform(t *testing.T) *platform {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	store, err := d1sandbox.Open(context.Background(), d1sandbox.Options{Dir: t.TempDir(), Now: time.Now, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := kvsandbox.Open(kvsandbox.Options{Dir: t.TempDir(), Now: time.Now, Random: rand.Reader, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{t: t, store: store, kv: keys}
	inner := api.New(api.Config{Account: testAccount, Token: canaryToken, D1: store, KV: keys, Spool: t.TempDir(), Now: time.Now, Log: quiet,
		Base: func() string { return p.server.URL }})
	p.inner = inner
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.log = append(p.log, r.Method+" "+strings.TrimPrefix(r.URL.Path, api.Prefix))
		bend := p.bend
		p.mu.Unlock()
		if bend == nil || !bend(w, r) {
			inner.ServeHTTP(w, r)
		}
	}))
	p.url = p.server.URL + api.Prefix
	t.Cleanup(func() {
		p.server.Close()
		if err := errors.Join(store.Close(), keys.Close()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// create makes a database and runs a script in it.
func (p *platform) create(name string, script ...string) string {
	p.t.Helper()
	db, err := p.store.Create(context.Background(), d1sandbox.Database{Name: name})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, s := range script {
		if s != "" {
			p.exec(db.ID, s)
		}
	}
	return db.ID
}

// exec runs SQL behind the API's back, as the application would.
func (p *platform) exec(id, script string) {
	p.t.Helper()
	if _, _, err := p.store.Query(context.Background(), id, []d1sandbox.Statement{{SQL: script}}); err != nil {
		p.t.Fatalf("%s: %v", script, err)
	}
}

// bending sets a function that may answer in the platform's place.
func (p *platform) bending(f func(http.ResponseWriter, *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bend = f
}

// requests gives the method and path of every request so far.
func (p *platform) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.log)
}

// count gives the number of databases.
func (p *platform) count() int {
	p.t.Helper()
	all, err := p.store.List(context.Background())
	if err != nil {
		p.t.Fatal(err)
	}
	return len(all)
}

func answer(w http.ResponseWriter, result any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"success": true, "errors": []any{}, "messages": []any{}, "result": result})
}

func refuse(w http.ResponseWriter, status, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"success": false, "errors": []any{map[string]any{"code": code, "message": message}}, "result": nil})
}
