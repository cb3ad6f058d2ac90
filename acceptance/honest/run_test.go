package honest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/cli"
	"firedrill/internal/saboteur"
	"firedrill/internal/testkit/sandboxtest"
)

// conditions are what is hard about a run, and nothing of it is wrong.
type conditions struct {
	drill    string
	slow     bool // a network of 50 ms, where one call in a hundred has to be repeated
	late     bool // writes of others show a second late; the sandbox has to be one that does it
	others   bool // others write, so the drill works on scratch copies
	quiesced bool // others write and are told to stop, so the drill works in place
	shown    bool // the application has to show the damage of a namespace
}

func (c conditions) String() string {
	text := c.drill
	for _, x := range []struct {
		is   bool
		word string
	}{{c.slow, "slow"}, {c.late, "late"}, {c.others, "others"}, {c.quiesced, "quiesced"}, {c.shown, "shown"}} {
		if x.is {
			text += " " + x.word
		}
	}
	return text
}

const (
	latency = 50 * time.Millisecond
	share   = 0.01 // of the calls of the API that have to be repeated
)

// network is the way between firedrill and a cloud. What it refuses is refused
// before it took effect and in a way that says so, or is about reading: whoever
// repeats does no harm.
type network struct {
	mu      sync.Mutex
	chance  *rand.Rand
	refused int
}

func (n *network) refuses() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.chance.Float64() >= share {
		return false
	}
	n.refused++
	return true
}

func (n *network) api(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
	pause(ctx, latency)
	switch {
	case !n.refuses():
		return x.Forward(ctx)
	case x.Method == http.MethodGet:
		return &saboteur.Answer{Status: http.StatusServiceUnavailable, Body: []byte("try again\n")}, nil
	}
	a, err := saboteur.JSON(http.StatusTooManyRequests, map[string]any{"success": false, "errors": []any{map[string]any{"code": 10429, "message": "too many requests"}}, "result": nil})
	a.Header.Set("Retry-After", "1")
	return a, err
}

func (n *network) front(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
	pause(ctx, latency)
	return x.Forward(ctx)
}

// pause waits, unless nobody waits for the answer any more.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// honest is one run.
type honest struct {
	conditions
	t      *testing.T
	c      *sandboxtest.Cloud
	name   string // of the database, the namespace and the Worker
	w      workload
	db, ns string
	stage  *saboteur.Stage
	net    *network         // nil: there is none in between
	desk   *httptest.Server // where others are told to stop; nil: nobody tells them
	mu     sync.Mutex
	held   bool // others do not write
}

// open puts a workload in place, and a network before it.
func open(t *testing.T, c *sandboxtest.Cloud, name string, cond conditions, chance *rand.Rand) *honest {
	t.Helper()
	h := &honest{conditions: cond, t: t, c: c, name: name, w: newWorkload(chance)}
	h.db, h.ns = c.Database(name), c.KV(name)
	for _, sql := range h.w.schema {
		c.Query(h.db, sql)
	}
	c.Must(http.MethodPut, "storage/kv/namespaces/"+h.ns+"/bulk", h.w.pairs)
	bindings := []map[string]any{{"type": "d1", "name": "DB", "id": h.db}, {"type": "kv_namespace", "name": "KV", "namespace_id": h.ns}, {"type": "secret_text", "name": "SECRET", "text": "of no use"}}
	for i := range chance.IntN(3) {
		bindings = append(bindings, map[string]any{"type": "plain_text", "name": fmt.Sprintf("TEXT_%d", i), "text": fmt.Sprint(chance.IntN(100))})
	}
	c.Deploy(name, h.w.routes, bindings, nil)
	c.Must(http.MethodPost, "workers/scripts/"+name+"/subdomain", map[string]bool{"enabled": true})
	s, err := saboteur.Open(t.Context(), saboteur.Behind{API: c.API, Front: c.Front, Token: c.Token()}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h.stage = s
	if cond.slow {
		h.net = &network{chance: chance}
		if err := s.Perform(t.Context(), func(context.Context, *saboteur.Stage) (saboteur.Script, error) {
			return saboteur.Script{API: h.net.api, Front: h.net.front}, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// close takes the Worker, which is a process, and the network away, and tells how
// many calls the network refused.
func (h *honest) close() (refused int) {
	h.t.Helper()
	_, err := h.stage.Told()
	if err := errors.Join(err, h.stage.Close()); err != nil {
		h.t.Errorf("%s: the network broke: %v", h.conditions, err)
	}
	h.c.Must(http.MethodDelete, "workers/scripts/"+h.name+"?force=true", nil)
	if h.net != nil {
		refused = h.net.refused
	}
	return refused
}

// plan is the plan file of the run.
func (h *honest) plan() ([]byte, error) {
	probes := []any{map[string]any{"path": "/health", "json": map[string]string{"status": "healthy"}}}
	if h.drill == "d1-pitr" || !h.others {
		probes = append(probes, map[string]any{"path": "/rows", "json": map[string]bool{"ok": true}})
	}
	if h.shown {
		probes = append(probes, map[string]any{"path": "/keys", "json": map[string]bool{"ok": true}})
	}
	drill := map[string]any{"use": h.drill, "rto": "5m", "rpo": "5m"}
	switch h.drill {
	case "d1-pitr":
		drill["with"] = map[string]any{"database": "db", "rows": 50}
	case "kv-backup-restore":
		drill["with"] = map[string]any{"namespace": "ns", "keys": 12, "large": 1000, "settle": 3, "shown": h.shown}
	case "worker-rollback":
		drill["with"] = map[string]any{"worker": "app"}
		delete(drill, "rpo")
	}
	environment := map[string]any{"class": "sandbox",
		"cloudflare": map[string]any{"api": h.stage.APIAddress(), "account": h.c.Account, "token": map[string]string{"file": filepath.Join(h.stage.Home, "token")}},
		"resources": map[string]any{
			"db":  map[string]string{"kind": "d1", "name": h.name},
			"ns":  map[string]string{"kind": "kv", "name": h.name},
			"app": map[string]any{"kind": "worker", "name": h.name, "url": h.stage.FrontAddress(h.name), "probes": probes},
		}}
	if h.others || h.quiesced {
		environment["class"], drill["unattended"] = "staging", true
	}
	if h.quiesced {
		tell := func(held bool) []any {
			return []any{map[string]any{"uses": "http.expect", "with": map[string]any{"url": fmt.Sprintf("%s/held/%v", h.desk.URL, held), "method": "POST", "json": map[string]bool{"held": held}}}}
		}
		environment["exclusive"], environment["quiesce"] = true, map[string]any{"pause": tell(true), "resume": tell(false)}
	}
	return json.Marshal(map[string]any{"version": 1, "name": "honest", "environments": map[string]any{"here": environment}, "drills": map[string]any{h.drill: drill}})
}

// run drills, through the command line, and gives the result.
func (h *honest) run() (firedrill.Result, error) {
	stop := h.write()
	defer stop()
	text, err := h.plan()
	if err != nil {
		return firedrill.Result{}, err
	}
	file := filepath.Join(h.stage.Home, "firedrill.yaml") // JSON is YAML, too
	if err := errors.Join(os.WriteFile(file, text, 0o600), os.WriteFile(filepath.Join(h.stage.Home, "token"), []byte(h.c.Token()), 0o600)); err != nil {
		return firedrill.Result{}, err
	}
	var out, told bytes.Buffer
	status := cli.Run(cli.Process{Args: []string{"run", h.drill, "--json", "--yes", "--plan", file, "--home", filepath.Join(h.stage.Home, "home")},
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &told, Getenv: func(string) string { return "" }, Now: time.Now, Version: "test"})
	var doc firedrill.Document
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil || len(doc.Runs) != 1 {
		return firedrill.Result{}, fmt.Errorf("exit status %d, %w: %s%s", status, err, &out, &told)
	}
	return doc.Runs[0], nil
}

// write lets others write, past the network, until it is stopped.
func (h *honest) write() (stop func()) {
	if !h.others && !h.quiesced {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			h.writeOnce(n)
			pause(ctx, 300*time.Millisecond)
		}
	})
	h.desk = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock() // a write that is under way ends first
		defer h.mu.Unlock()
		h.held = strings.HasSuffix(r.URL.Path, "/true")
		fmt.Fprintf(w, `{"held": %v}`, h.held)
	}))
	return func() { cancel(); done.Wait(); h.desk.Close() }
}

func (h *honest) writeOnce(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.held {
		h.c.Must(http.MethodPut, "storage/kv/namespaces/"+h.ns+"/bulk", []map[string]any{{"key": fmt.Sprintf("%s%d", othersPrefix, n%50), "value": fmt.Sprint(n)}})
		h.c.Query(h.db, "INSERT INTO "+othersTable+" (at) VALUES (?)", fmt.Sprint(n))
	}
}
