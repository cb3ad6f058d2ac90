package cloudflare

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	_ "modernc.org/sqlite"
)

// platform is the part of the v4 API that the database actions use, on real
// SQLite files. Its Time Travel keeps a copy of the file after every write.
// The hostile cases of the actions need a database whose every answer the
// test can see and bend; that they hold on the sandbox is tested beside it.
type platform struct {
	t      *testing.T
	dir    string
	server *httptest.Server

	mu   sync.Mutex
	dbs  map[string]*platformDB
	bend func(w http.ResponseWriter, r *http.Request) bool // true: answered
	log  []string                                          // method and path of every request
}

type platformDB struct {
	id, name string
	path     string
	db       *sql.DB
	clock    int
	history  map[string][]byte
}

const testAccount = "0123456789abcdef0123456789abcdef"

func newPlatform(t *testing.T) *platform {
	t.Helper()
	p := &platform{t: t, dir: t.TempDir(), dbs: map[string]*platformDB{}}
	p.server = httptest.NewServer(p)
	t.Cleanup(func() {
		p.server.Close()
		for _, d := range p.dbs {
			d.db.Close()
		}
	})
	return p
}

// create makes a database and runs a script in it.
func (p *platform) create(name string, script ...string) string {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.make(name)
	for _, s := range script {
		if _, err := d.db.Exec(s); err != nil {
			p.t.Fatalf("%s: %v", s, err)
		}
	}
	d.keep()
	return d.id
}

func (p *platform) make(name string) *platformDB {
	n := len(p.dbs) + 1
	d := &platformDB{id: fmt.Sprintf("%08x-0000-4000-8000-000000000000", n), name: name, history: map[string][]byte{}}
	d.path = filepath.Join(p.dir, d.id+".sqlite")
	d.open()
	d.keep()
	p.dbs[d.id] = d
	return d
}

func (d *platformDB) open() {
	db, err := sql.Open("sqlite", "file:"+d.path+"?_pragma=foreign_keys(1)&_pragma=journal_mode(delete)&_pragma=synchronous(off)")
	if err != nil {
		panic(err)
	}
	db.SetMaxOpenConns(1)
	d.db = db
	if err := db.Ping(); err != nil {
		panic(err)
	}
}

func (d *platformDB) bookmark() string { return fmt.Sprintf("%08x-00000000", d.clock) }

func (d *platformDB) keep() {
	data, err := os.ReadFile(d.path)
	if err != nil && !os.IsNotExist(err) {
		panic(err)
	}
	d.clock++
	d.history[d.bookmark()] = data
}

// exec runs SQL behind the API's back, as the application would.
func (p *platform) exec(id, script string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.dbs[id].db.Exec(script); err != nil {
		p.t.Fatalf("%s: %v", script, err)
	}
	p.dbs[id].keep()
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
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.dbs)
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

func (p *platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = append(p.log, r.Method+" "+r.URL.Path)
	if r.Header.Get("Authorization") != "Bearer "+canaryToken {
		refuse(w, 403, 10000, "Authentication error")
		return
	}
	if p.bend != nil && p.bend(w, r) {
		return
	}
	base := "/accounts/" + testAccount + "/d1/database"
	path, below := strings.CutPrefix(r.URL.Path, base)
	switch {
	case r.URL.Path == "/user/tokens/verify":
		answer(w, map[string]string{"id": "t", "status": "active"})
	case !below:
		refuse(w, 404, 7003, "no such route")
	case path == "" && r.Method == http.MethodPost:
		var in struct{ Name string }
		json.NewDecoder(r.Body).Decode(&in)
		answer(w, p.make(in.Name).describe())
	case path == "":
		list := []any{}
		if page := r.URL.Query().Get("page"); page == "1" {
			for _, d := range p.dbs {
				list = append(list, d.describe())
			}
		}
		answer(w, list)
	default:
		p.database(w, r, strings.Split(strings.TrimPrefix(path, "/"), "/"))
	}
}

func (d *platformDB) describe() map[string]any {
	return map[string]any{"uuid": d.id, "name": d.name, "version": "production", "file_size": 4096}
}

func (p *platform) database(w http.ResponseWriter, r *http.Request, path []string) {
	d := p.dbs[path[0]]
	if d == nil {
		refuse(w, 404, 7404, "database not found")
		return
	}
	switch rest := strings.Join(path[1:], "/"); {
	case rest == "" && r.Method == http.MethodDelete:
		d.db.Close()
		delete(p.dbs, d.id)
		answer(w, nil)
	case rest == "":
		answer(w, d.describe())
	case rest == "raw":
		p.raw(w, r, d)
	case rest == "time_travel/bookmark":
		answer(w, map[string]string{"bookmark": d.bookmark()})
	case rest == "time_travel/restore":
		data, known := d.history[r.URL.Query().Get("bookmark")]
		if !known {
			refuse(w, 400, 7400, "bookmark is not known")
			return
		}
		previous := d.bookmark()
		d.db.Close()
		if err := os.WriteFile(d.path, data, 0o600); err != nil {
			p.t.Error(err)
		}
		d.open()
		d.keep()
		answer(w, map[string]string{"bookmark": d.bookmark(), "previous_bookmark": previous, "message": "restored"})
	default:
		refuse(w, 404, 7003, "no such route")
	}
}

// raw performs a batch in one transaction, like the platform.
func (p *platform) raw(w http.ResponseWriter, r *http.Request, d *platformDB) {
	var in struct {
		Batch []struct {
			SQL    string
			Params []string
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || len(in.Batch) == 0 {
		refuse(w, 400, 7400, "malformed request")
		return
	}
	ctx := context.Background()
	conn, err := d.db.Conn(ctx)
	if err != nil {
		p.t.Error(err)
		return
	}
	defer conn.Close()
	scalar := func(q string) (n int64) {
		if err := conn.QueryRowContext(ctx, q).Scan(&n); err != nil {
			p.t.Error(err)
		}
		return n
	}
	state := func() string { return fmt.Sprint(scalar("SELECT total_changes()"), scalar("PRAGMA schema_version")) }
	before := state()
	conn.ExecContext(ctx, "BEGIN IMMEDIATE")
	var results []any
	for _, s := range in.Batch {
		var params []any
		for _, x := range s.Params {
			params = append(params, x)
		}
		changes := scalar("SELECT total_changes()")
		columns, rows, err := query(ctx, conn, s.SQL, params)
		if err != nil {
			conn.ExecContext(ctx, "ROLLBACK")
			refuse(w, 400, 7500, err.Error()+": SQLITE_ERROR")
			return
		}
		changes = scalar("SELECT total_changes()") - changes
		results = append(results, map[string]any{"success": true, "results": map[string]any{"columns": columns, "rows": rows}, "meta": map[string]any{"changes": changes}})
	}
	if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
		conn.ExecContext(ctx, "ROLLBACK")
		refuse(w, 400, 7500, err.Error()+": SQLITE_CONSTRAINT")
		return
	}
	if state() != before {
		d.keep()
	}
	answer(w, results)
}

func query(ctx context.Context, conn *sql.Conn, q string, params []any) ([]string, [][]any, error) {
	rows, err := conn.QueryContext(ctx, q, params...)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, nil, err
	}
	if columns == nil {
		columns = []string{}
	}
	if len(columns) > 100 {
		return nil, nil, fmt.Errorf("too many columns in result set")
	}
	out := [][]any{}
	for rows.Next() {
		values := make([]any, len(columns))
		targets := make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, nil, err
		}
		for i, v := range values {
			if n, ok := v.(int64); ok {
				values[i] = float64(n) // what JavaScript makes of it
			}
			if s, ok := v.(string); ok && len(s) > 2_000_000 {
				return nil, nil, fmt.Errorf("string or blob too big")
			}
		}
		out = append(out, values)
	}
	return columns, out, rows.Err()
}
