package cloudflare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	d1sandbox "firedrill/internal/sandbox/d1"
)

// platform is the part of the v4 API that the database actions use, over the
// sandbox's own databases. Other than the sandbox's front it lets a test see
// every request and answer in its place: the saboteur of these tests.
type platform struct {
	t      *testing.T
	server *httptest.Server
	store  *d1sandbox.Store

	mu   sync.Mutex
	bend func(w http.ResponseWriter, r *http.Request) bool // true: answered
	log  []string                                          // method and path of every request
}

const testAccount = "0123456789abcdef0123456789abcdef"

func newPlatform(t *testing.T) *platform {
	t.Helper()
	store, err := d1sandbox.Open(context.Background(), d1sandbox.Options{Dir: t.TempDir(), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{t: t, store: store}
	p.server = httptest.NewServer(p)
	t.Cleanup(func() {
		p.server.Close()
		if err := store.Close(); err != nil {
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

// give answers with a result, or with the store's error.
func give(w http.ResponseWriter, result any, err error) {
	var e *d1sandbox.Error
	switch {
	case errors.As(err, &e):
		refuse(w, e.Status, e.Code, e.Message)
	case err != nil:
		refuse(w, http.StatusInternalServerError, 0, err.Error())
	default:
		answer(w, result)
	}
}

func (p *platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.log = append(p.log, r.Method+" "+r.URL.Path)
	bend := p.bend
	p.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+canaryToken {
		refuse(w, http.StatusForbidden, 10000, "Authentication error")
		return
	}
	if bend != nil && bend(w, r) {
		return
	}
	path, below := strings.CutPrefix(r.URL.Path, "/accounts/"+testAccount+"/d1/database")
	switch {
	case r.URL.Path == "/user/tokens/verify":
		answer(w, map[string]string{"id": "t", "status": "active"})
	case !below:
		refuse(w, http.StatusNotFound, 7003, "no such route")
	case path == "" && r.Method == http.MethodPost:
		var in struct{ Name string }
		json.NewDecoder(r.Body).Decode(&in)
		db, err := p.store.Create(r.Context(), d1sandbox.Database{Name: in.Name})
		give(w, describe(db), err)
	case path == "":
		all, err := p.store.List(r.Context())
		list := []any{}
		if r.URL.Query().Get("page") == "1" {
			for _, db := range all {
				list = append(list, describe(db))
			}
		}
		give(w, list, err)
	default:
		p.database(w, r, strings.Split(strings.TrimPrefix(path, "/"), "/"))
	}
}

func describe(db d1sandbox.Database) map[string]any {
	return map[string]any{"uuid": db.ID, "name": db.Name, "version": "production", "file_size": db.Size}
}

func (p *platform) database(w http.ResponseWriter, r *http.Request, path []string) {
	id := path[0]
	switch rest := strings.Join(path[1:], "/"); {
	case rest == "" && r.Method == http.MethodDelete:
		give(w, nil, p.store.Delete(r.Context(), id))
	case rest == "":
		db, err := p.store.Get(r.Context(), id)
		give(w, describe(db), err)
	case rest == "raw":
		p.raw(w, r, id)
	case rest == "time_travel/bookmark":
		b, err := p.store.Bookmark(r.Context(), id)
		give(w, map[string]string{"bookmark": b}, err)
	case rest == "time_travel/restore":
		now, previous, err := p.store.Restore(r.Context(), id, r.URL.Query().Get("bookmark"))
		give(w, map[string]string{"bookmark": now, "previous_bookmark": previous, "message": "restored"}, err)
	default:
		refuse(w, http.StatusNotFound, 7003, "no such route")
	}
}

func (p *platform) raw(w http.ResponseWriter, r *http.Request, id string) {
	var in struct {
		Batch []struct {
			SQL    string
			Params []any
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, 7400, "malformed request")
		return
	}
	var batch []d1sandbox.Statement
	for _, s := range in.Batch {
		batch = append(batch, d1sandbox.Statement{SQL: s.SQL, Params: s.Params})
	}
	results, _, err := p.store.Query(r.Context(), id, batch)
	out := []any{}
	for _, res := range results {
		columns, rows := res.Columns, [][]any{}
		if columns == nil {
			columns = []string{}
		}
		for _, row := range res.Rows {
			for i, v := range row {
				switch v := v.(type) {
				case int64:
					row[i] = float64(v) // what JavaScript makes of it
				case []byte:
					row[i] = fmt.Sprint(v)
				}
			}
			rows = append(rows, row)
		}
		out = append(out, map[string]any{"success": true, "results": map[string]any{"columns": columns, "rows": rows}, "meta": map[string]any{"changes": res.Meta.Changes}})
	}
	give(w, out, err)
}
