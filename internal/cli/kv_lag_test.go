package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/sandbox"
	"firedrill/internal/testkit/sandboxtest"
)

// TestTheKVDrillWhereWritesShowLate drills a namespace on a sandbox whose
// Workers go on answering what they have read, as the platform's do. The
// application knows its keys by reading them, never by a list: it shows the
// damage late, and after the restore still answers with it. Both are waited for
// where it reads.
func TestTheKVDrillWhereWritesShowLate(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t, func(cfg *sandbox.Config) { cfg.KVLag = 2 * time.Second })
	id := c.KV("cache")
	for _, key := range []string{"a", "b"} {
		if r := c.Call(http.MethodPut, sandboxtest.KVValue(id, key), "text/plain", []byte("value of "+key)); r.Status != http.StatusOK {
			t.Fatalf("%d %s", r.Status, r.Body)
		}
	}
	c.Deploy("app", `export default { async fetch(request, env) { return Response.json({ ok: true, a: await env.CACHE.get("a"), b: await env.CACHE.get("b") }) } }`,
		[]map[string]any{{"type": "kv_namespace", "name": "CACHE", "namespace_id": id}}, nil)
	c.Must(http.MethodPost, "workers/scripts/app/subdomain", map[string]bool{"enabled": true})
	_, before := c.Get("app", "/")

	dir := t.TempDir()
	file, token := filepath.Join(dir, planName), filepath.Join(dir, "token")
	plan := fmt.Sprintf(`version: 1
name: late
environments:
  sandbox:
    class: sandbox
    cloudflare: {api: %q, account: %s, token: {file: %q}}
    resources:
      cache: {kind: kv, name: cache}
      app: {kind: worker, name: app, url: %q, probes: [{path: /, json: {ok: true}}]}
drills:
  kv-restore: {use: kv-backup-restore, with: {namespace: cache, shown: true, large: 1000}, rto: 5m, rpo: 5m}
`, c.API, c.Account, token, strings.Replace(c.Front, "127.0.0.1", "app.localhost", 1))
	for name, text := range map[string]string{file: plan, token: c.Token()} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, told bytes.Buffer
	status := Run(Process{Args: []string{"run", "kv-restore", "--json", "--yes", "--plan", file, "--home", filepath.Join(dir, "home")},
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &told, Getenv: func(string) string { return "" }, Now: time.Now, Version: "test"})
	var doc firedrill.Document
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil || len(doc.Runs) != 1 {
		t.Fatalf("exit status %d, %v: %s%s", status, err, &out, &told)
	}
	r := doc.Runs[0]
	if status != firedrill.ExitOK || r.Verdict != firedrill.Passed || r.State != firedrill.Restored || r.RTO.Actual == nil || r.RPO.Actual == nil || r.Availability.Failed == 0 {
		t.Fatalf("exit status %d: %+v%s", status, r, &told)
	}
	if _, after := c.Get("app", "/"); after != before {
		t.Errorf("the application answers %s, before the drill %s", after, before)
	}
	t.Logf("RTO %.2f s: observed after %.2f, recovered after %.2f, green after %.2f more; RPO %.2f s", *r.RTO.Actual, *r.RTO.Observe, *r.RTO.Recover, *r.RTO.Green, *r.RPO.Actual)
}
