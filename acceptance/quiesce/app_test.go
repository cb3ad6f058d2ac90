package quiesce

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/cli"
	"firedrill/internal/testkit/sandboxtest"
	"firedrill/internal/testkit/seeproxy"
)

// source is an application that takes orders unless it is in maintenance. The
// flag stands where no drill restores it.
const source = `
const json = (body, status = 200) => Response.json(body, { status, headers: { "cache-control": "no-store" } });
export default { async fetch(request, env) {
	const { pathname } = new URL(request.url);
	if (request.method === "POST") {
		if (request.headers.get("x-key") !== "open sesame" && pathname.startsWith("/maintenance/")) return json({ ok: false }, 401);
		switch (pathname) {
		case "/maintenance/on": await env.FLAGS.put("maintenance", "on"); return json({ ok: true, maintenance: true });
		case "/maintenance/off": await env.FLAGS.delete("maintenance"); return json({ ok: true, maintenance: false });
		case "/maintenance/nothing": return json({ ok: true, maintenance: true });
		}
		if (await env.FLAGS.get("maintenance")) return json({ ok: false, maintenance: true }, 503);
		const { id } = await request.json();
		if (env.STORE) { await env.STORE.put("order/" + id, "taken", { metadata: { id } }); return json({ ok: true }); }
		await env.DB.prepare("INSERT INTO orders (id, what) VALUES (?, ?)").bind(id, "thing " + id).run();
		return json({ ok: true });
	}
	if (env.STORE) return json({ ok: true, price: await env.STORE.get("price") });
	const { results } = await env.DB.prepare("SELECT * FROM catalogue ORDER BY id").all();
	return json({ ok: true, catalogue: results });
} }`

// stage is a sandbox with the application, writers, and a plan that names it.
type stage struct {
	t     *testing.T
	cloud *sandboxtest.Cloud
	db    string // "" where orders go into KV
	kv    string // where orders go, "" if into the database
	dir   string
	plan  string
	front string // through which firedrill reaches the application

	// between sees every request of firedrill before it is passed on.
	between seeproxy.Eye

	refused atomic.Int64
	mu      sync.Mutex
	taken   []int64 // orders that were acknowledged
}

// quiesces is how the plan stops and restarts the writers, by routes.
func quiesces(url, pause string) string {
	step := func(path, maintenance string) string {
		return fmt.Sprintf(`{uses: http.expect, with: {url: "%s%s", method: POST, headers: {x-key: {env: KEY}}, json: {maintenance: %s}}}`, url, path, maintenance)
	}
	return "quiesce: {pause: [" + step(pause, "true") + "], resume: [" + step("/maintenance/off", "false") + "]}"
}

// newStage makes the stage; in KV, or else in D1. pause is the route that is to
// stop the writers; "": the plan does not say how.
func newStage(t *testing.T, inKV bool, pause string) *stage {
	t.Helper()
	s := &stage{t: t, cloud: sandboxtest.Start(t), dir: t.TempDir()}
	c := s.cloud
	bindings := []map[string]any{{"type": "kv_namespace", "name": "FLAGS", "namespace_id": c.KV("flags")}}
	if inKV {
		s.kv = c.KV("store")
		for i := range 20 {
			c.Call(http.MethodPut, sandboxtest.KVValue(s.kv, fmt.Sprintf("item/%d", i)), "text/plain", []byte("thing"))
		}
		c.Call(http.MethodPut, sandboxtest.KVValue(s.kv, "price"), "text/plain", []byte("7"))
		bindings = append(bindings, map[string]any{"type": "kv_namespace", "name": "STORE", "namespace_id": s.kv})
	} else {
		s.db = c.Database("shop")
		c.Query(s.db, "CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT NOT NULL)")
		c.Query(s.db, "CREATE TABLE catalogue (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
		c.Query(s.db, "INSERT INTO catalogue (name) VALUES ('a'), ('b'), ('c'), ('d')")
		bindings = append(bindings, map[string]any{"type": "d1", "name": "DB", "id": s.db})
	}
	c.Deploy("app", source, bindings, nil)
	c.Must(http.MethodPost, "workers/scripts/app/subdomain", map[string]bool{"enabled": true})

	api := s.between.Start(s.t, strings.TrimSuffix(c.API, "/client/v4"), "")
	s.front = s.between.Start(s.t, c.Front, "app.localhost")
	quiesce := ""
	if pause != "" {
		quiesce = quiesces(s.front, pause)
	}
	s.plan = s.file("firedrill.yaml", fmt.Sprintf(`version: 1
name: busy
environments:
  sandbox:
    class: sandbox
    cloudflare: {api: "%s/client/v4", account: %s, token: {file: %q}}
    %s
    resources:
      shop: {kind: d1, name: shop}
      store: {kind: kv, name: store}
      app: {kind: worker, name: app, url: %q, probes: [{path: /, json: {ok: true}}]}
drills:
  d1: {use: d1-pitr, with: {database: shop, patience: 30}, rto: 5m, rpo: 5m}
  kv: {use: kv-backup-restore, with: {namespace: store, large: 1000, settle: 0, patience: 30}, rto: 5m, rpo: 5m}
  worker: {use: worker-rollback, with: {worker: app, path: /}, rto: 5m}
`, api, c.Account, s.file("token", c.Token()), quiesce, s.front))
	return s
}

func (s *stage) file(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// edit changes the plan: old, new, old, new, …
func (s *stage) edit(changes ...string) {
	s.t.Helper()
	text, err := os.ReadFile(s.plan)
	if err != nil {
		s.t.Fatal(err)
	}
	s.file("firedrill.yaml", strings.NewReplacer(changes...).Replace(string(text)))
}

// write lets some writers order things, until the test ends. They go the way of
// all users, not through the proxy.
func (s *stage) write(writers int, every time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	tr := &http.Transport{MaxIdleConnsPerHost: writers}
	client := &http.Client{Transport: tr}
	var next atomic.Int64
	for range writers {
		group.Go(func() {
			for ctx.Err() == nil {
				s.order(ctx, client, next.Add(1))
				select {
				case <-ctx.Done():
				case <-time.After(every):
				}
			}
		})
	}
	s.t.Cleanup(func() {
		cancel()
		group.Wait()
		tr.CloseIdleConnections()
	})
}

func (s *stage) order(ctx context.Context, client *http.Client, id int64) {
	req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, s.cloud.Front+"/orders", strings.NewReader(fmt.Sprintf(`{"id":%d}`, id)))
	if err != nil {
		s.t.Error(err)
		return
	}
	req.Host = "app.localhost"
	resp, err := client.Do(req)
	if err != nil {
		return // not acknowledged
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch resp.StatusCode {
	case http.StatusOK:
		s.taken = append(s.taken, id)
	case http.StatusServiceUnavailable:
		s.refused.Add(1)
	}
}

func (s *stage) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken)
}

// goesOn waits until further orders are taken.
func (s *stage) goesOn() {
	s.t.Helper()
	had := s.count()
	for range 2400 {
		if s.count() > had {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	s.t.Error("no order is taken any more")
}

// noneLost looks for every order that was acknowledged.
func (s *stage) noneLost() {
	s.t.Helper()
	s.mu.Lock()
	taken := append([]int64{}, s.taken...)
	s.mu.Unlock()
	there := map[int64]bool{}
	if s.db != "" {
		for _, row := range s.cloud.Query(s.db, "SELECT id FROM orders") {
			there[int64(row["id"].(float64))] = true
		}
	}
	lost := 0
	for _, id := range taken {
		if s.kv != "" {
			there[id] = s.cloud.Call(http.MethodGet, sandboxtest.KVValue(s.kv, fmt.Sprintf("order/%d", id)), "", nil).Status == http.StatusOK
		}
		if !there[id] {
			lost++
		}
	}
	if lost > 0 || len(taken) == 0 {
		s.t.Errorf("%d of %d acknowledged orders are lost", lost, len(taken))
	}
}

// firedrill runs the command line in this process.
func (s *stage) firedrill(args ...string) (status int, r firedrill.Result, told string) {
	s.t.Helper()
	var out, said bytes.Buffer
	status = cli.Run(cli.Process{Args: s.args(args...), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &said,
		Getenv: os.Getenv, Now: time.Now, Version: "test"})
	var doc firedrill.Document
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil || len(doc.Runs) != 1 {
		s.t.Fatalf("exit status %d, %v: %s%s", status, err, &out, &said)
	}
	return status, doc.Runs[0], said.String()
}

func (s *stage) args(args ...string) []string {
	return append(args, "--json", "--yes", "--plan", s.plan, "--home", filepath.Join(s.dir, "home"))
}
