package wrangler

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// reader is a person with a runbook, a shell, and the real wrangler.
type reader struct {
	*bench
	plan string
	path string // PATH, with an npx that is the pinned wrangler
	home string
}

// newReader deploys the example and writes a plan for it.
func newReader(t *testing.T) *reader {
	t.Helper()
	b := newBench(t)
	for _, program := range []string{"node", "curl", "sqlite3", "bash"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not on PATH: the runbooks need it")
		}
	}
	b.must("", words("d1 create foundation-primary"))
	b.must("gateway", words("d1 migrations apply foundation-primary --remote"))
	b.must("", words("kv namespace create foundation-settings"))
	b.must("gateway", words("kv bulk put ../namespaces/foundation-settings.json --binding SETTINGS --remote"))
	b.must("directory", words("deploy"))
	b.must("gateway", words("deploy"))
	r := &reader{bench: b, home: t.TempDir()}
	data, err := os.ReadFile(filepath.Join(b.dir, "firedrill.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	r.plan = filepath.Join(t.TempDir(), "firedrill.yaml")
	text := strings.NewReplacer("http://127.0.0.1:8787/client/v4", b.cloud.API, "localhost:8788", "localhost:"+r.port()).Replace(string(data))
	if err := os.WriteFile(r.plan, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	npx := fmt.Sprintf("#!/bin/sh\n[ \"$1\" = wrangler@%s ] || { echo \"npx $1 is not the pinned one\" >&2; exit 9; }\nshift\nexec %s \"$@\"\n", pinned, b.bin)
	if err := os.WriteFile(filepath.Join(bin, "npx"), []byte(npx), 0o700); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	r.path = bin + string(os.PathListSeparator) + os.Getenv("PATH")
	return r
}

// blocks gives the commands of a runbook: those to be run from top to bottom, and
// those that undo.
func (r *reader) blocks(drill string) (steps []string, undo string) {
	r.t.Helper()
	out, stderr, status := firedrill(r.t, nil, "runbook", drill, "--plan", r.plan, "--home", r.home)
	if status != 0 {
		r.t.Fatalf("runbook %s: status %d: %s", drill, status, stderr)
	}
	for _, m := range regexp.MustCompile("(?s)```sh( undo)?\n(.*?)```").FindAllStringSubmatch(out, -1) {
		if m[1] != "" {
			undo += m[2]
			continue
		}
		steps = append(steps, m[2])
	}
	if len(steps) < 5 || undo == "" {
		r.t.Fatalf("%d blocks, undo %q in\n%s", len(steps), undo, out)
	}
	return steps, undo
}

// follow runs commands in one shell, as the runbook says, with what the reader
// fills in.
func (r *reader) follow(filled map[string]string, commands string) string {
	r.t.Helper()
	for name, value := range filled {
		line := regexp.MustCompile(`(?m)^` + name + `=.*# fill in$`)
		if !line.MatchString(commands) {
			r.t.Fatalf("nobody asks for %s in\n%s", name, commands)
		}
		commands = line.ReplaceAllLiteralString(commands, name+"="+value)
	}
	if left := regexp.MustCompile(`(?m)^.*# +fill in.*$`).FindString(commands); left != "" {
		r.t.Fatalf("nobody filled in: %s", left)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", commands)
	cmd.Dir = r.t.TempDir()
	for _, kv := range r.env { // what the runbook exports itself is not there before
		if !strings.HasPrefix(kv, "PATH=") && !strings.HasPrefix(kv, "CLOUDFLARE_API_BASE_URL=") && !strings.HasPrefix(kv, "CLOUDFLARE_ACCOUNT_ID=") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, "PATH="+r.path)
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("%v\n%s\n%s", err, commands, out.String())
	}
	return out.String()
}

// TestTheRunbookOfADatabase deletes rows, follows the runbook back to before, and
// undoes that.
func TestTheRunbookOfADatabase(t *testing.T) {
	t.Parallel()
	r := newReader(t)
	tenants := func() string {
		_, body := r.cloud.Get("foundation-gateway", "/api/tenants")
		return body
	}
	want := tenants()
	time.Sleep(1100 * time.Millisecond) // the point is given in whole seconds
	point := time.Now().UTC().Truncate(time.Second)
	time.Sleep(1100 * time.Millisecond)
	r.must("", []string{"d1", "execute", "foundation-primary", "--remote", "--yes", "--command", "UPDATE tenants SET name = 'CORRUPTED ' || id"})
	damaged := tenants()
	if damaged == want {
		t.Fatal("the damage does not show")
	}
	steps, undo := r.blocks("d1-pitr")
	all := strings.Join(steps, "")
	check := fmt.Sprintf("curl -sS %s > ../recovered.json\n", "http://foundation-gateway.localhost:"+r.port()+"/api/tenants")
	dir := t.TempDir()
	out := r.follow(map[string]string{"POINT": point.Format(time.RFC3339)}, strings.ReplaceAll(all, "mkdir -p incident && cd incident", "mkdir -p "+dir+"/incident && cd "+dir+"/incident")+check+undo)
	got, err := os.ReadFile(filepath.Join(dir, "recovered.json"))
	if err != nil || string(got) != want {
		t.Errorf("the runbook did not bring the rows back, %v: %.300s\n%s", err, got, out)
	}
	if tenants() != damaged {
		t.Errorf("undoing did not bring back what was there before")
	}
	if !strings.Contains(out, "the way back: ") || !strings.Contains(out, "200 (want 200)") || !strings.Contains(out, "tenants: 100 rows before, 100 now") {
		t.Errorf("the runbook says too little:\n%s", out)
	}
}

func (r *reader) port() string { return r.cloud.Front[strings.LastIndex(r.cloud.Front, ":")+1:] }

// TestTheRunbookOfAWorker deploys a version that fails, follows the runbook back to
// the good one, and undoes that.
func TestTheRunbookOfAWorker(t *testing.T) {
	t.Parallel()
	r := newReader(t)
	good := r.versions()
	r.must("gateway", words("deploy --var PLATFORM:broken"))
	health := func() string {
		_, body := r.cloud.Get("foundation-gateway", "/health")
		return body
	}
	steps, undo := r.blocks("worker-rollback")
	all := strings.Join(steps, "")
	out := r.follow(map[string]string{"VERSION": good[0]}, all)
	if !strings.Contains(health(), `"platform":"foundation"`) || !strings.Contains(out, "what serves is "+good[0]) {
		t.Errorf("the rollback does not serve: %s\n%s", health(), out)
	}
	// Undone by another reader, from where the broken one serves again.
	r.must("gateway", words("deploy --var PLATFORM:broken"))
	r.follow(map[string]string{"VERSION": good[0]}, all+undo)
	if !strings.Contains(health(), `"platform":"broken"`) {
		t.Errorf("undoing does not serve what served before: %s", health())
	}
}

// TestTheRunbookOfANamespace backs a namespace up with firedrill, damages it, and
// follows the runbook, which has no need of firedrill; then it undoes that.
func TestTheRunbookOfANamespace(t *testing.T) {
	r := newReader(t) // not side by side with others: firedrill reads the token from the environment
	const ns = "42b3c9227eef59c3b03c152c2439f420"
	r.cloud.Must(http.MethodPut, "storage/kv/namespaces/"+ns+"/bulk", []map[string]any{
		{"key": "bytes", "value": "AP8B", "base64": true, "metadata": map[string]any{"b": 1, "a": []any{nil, "ü"}}}, {"key": "a/b c?#%🔥", "value": "awkward"}, {"key": "empty", "value": ""}})
	want := contents(r.cloud, ns)
	backup := filepath.Join(t.TempDir(), "backup")
	t.Setenv("CLOUDFLARE_API_TOKEN", r.cloud.Token())
	if _, stderr, status := firedrill(t, nil, "backup", "kv", "settings", "-o", backup, "--plan", r.plan, "--home", r.home); status != 0 {
		t.Fatalf("backup: status %d: %s", status, stderr)
	}
	r.cloud.Must(http.MethodPost, "storage/kv/namespaces/"+ns+"/bulk/delete", []string{"bytes"})
	r.cloud.Must(http.MethodPut, "storage/kv/namespaces/"+ns+"/bulk", []map[string]any{{"key": "empty", "value": "overwritten"}, {"key": "later", "value": "new"}})
	damaged := contents(r.cloud, ns)
	steps, undo := r.blocks("kv-restore")
	all := strings.Join(steps, "")
	out := r.follow(map[string]string{"BACKUP": backup}, all)
	if got := contents(r.cloud, ns); !same(got, want) || !strings.Contains(out, "keys equal") {
		t.Errorf("the namespace is not as in the backup: %d keys, want %d\n%s", len(got), len(want), out)
	}
	r.cloud.Must(http.MethodPost, "storage/kv/namespaces/"+ns+"/bulk/delete", []string{"bytes"})
	r.cloud.Must(http.MethodPut, "storage/kv/namespaces/"+ns+"/bulk", []map[string]any{{"key": "empty", "value": "overwritten"}, {"key": "later", "value": "new"}})
	r.follow(map[string]string{"BACKUP": backup}, all+undo)
	if got := contents(r.cloud, ns); !same(got, damaged) {
		t.Errorf("undoing did not bring back what was there before: %d keys, want %d", len(got), len(damaged))
	}
}

func same(x, y map[string]string) bool {
	if len(x) != len(y) {
		return false
	}
	for k, v := range x {
		if w, ok := y[k]; !ok || w != v {
			return false
		}
	}
	return true
}
