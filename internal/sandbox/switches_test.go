package sandbox_test

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"firedrill/internal/sandbox"
	"firedrill/internal/sandbox/api"
	"firedrill/internal/testkit/sandboxtest"
)

const hello = `export default { fetch(r) { console.log("asked for", new URL(r.url).pathname); return new Response("hello from " + new URL(r.url).host); } };`

// ask sends a request under a host name.
func ask(t *testing.T, c *sandboxtest.Cloud, host string) sandboxtest.Reply {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, c.Front+"/path", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	return c.Do(req)
}

func TestWorkersAreReachedByHost(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t, func(cfg *sandbox.Config) { cfg.Hosts = map[string]string{"shop.example.com": "w"} })
	c.Deploy("w", hello, nil, nil)
	for _, host := range []string{"w.localhost", "w.localhost:1234", "w.sandbox.workers.dev", "W.Sandbox.Workers.Dev.", "shop.example.com", "Shop.example.com:8788"} {
		if r := ask(t, c, host); r.Status != http.StatusOK || !strings.HasPrefix(string(r.Body), "hello from ") {
			t.Errorf("%s: %d %s", host, r.Status, r.Body)
		}
	}
	for _, host := range []string{"", "localhost", "x.localhost", "a.w.localhost", "example.com", "w.other.workers.dev"} {
		if r := ask(t, c, host); r.Status != http.StatusNotFound {
			t.Errorf("%q: %d %s", host, r.Status, r.Body)
		}
	}
}

func TestStubsAreRefusedUnlessAskedForAndThenVisible(t *testing.T) {
	t.Parallel()
	source := `export default { async fetch(r, env) {
  try { await env.AI.run("model", {}); } catch (e) { return new Response(String(e)); }
  return new Response("an answer out of nothing", { status: 500 }); } };`
	bindings := []map[string]any{{"name": "AI", "type": "ai", "staging": true}}
	plain := sandboxtest.Start(t)
	contentType, body := sandboxtest.Upload(t, source, bindings, nil)
	if r := plain.Call("PUT", "workers/scripts/w", contentType, body); r.Status != http.StatusBadRequest || !strings.Contains(string(r.Body), "--stub ai") {
		t.Errorf("without the switch: %d %s", r.Status, r.Body)
	}
	c := sandboxtest.Start(t, func(cfg *sandbox.Config) { cfg.Stubs = []string{"ai"} })
	c.Deploy("w", source, bindings, nil)
	if status, body := c.Get("w", "/"); status != http.StatusOK || !strings.Contains(body, "env.AI.run(): ai is a stub") {
		t.Errorf("%d %s", status, body)
	}
	st, err := c.Status(t.Context())
	if err != nil || len(st.Stubs) != 1 || st.Stubs[0] != (sandbox.StubStatus{Worker: "w", Binding: "AI", Type: "ai"}) {
		t.Errorf("status %+v, %v", st.Stubs, err)
	}
	if r := c.Must("GET", "workers/scripts/w/settings", nil); !strings.Contains(string(r.Result), `"staging":true`) {
		t.Errorf("the binding is not shown as it was given: %s", r.Result)
	}
}

func TestQuotasRefuseAndRecover(t *testing.T) {
	t.Parallel()
	const window = 3 * time.Second
	c := sandboxtest.Start(t, func(cfg *sandbox.Config) { cfg.Quotas = api.Quotas{Window: window} })
	db := c.Database("d")
	var mark struct{ Bookmark string }
	c.Must("GET", "d1/database/"+db+"/time_travel/bookmark", nil).Into(t, &mark)
	restore := "d1/database/" + db + "/time_travel/restore?bookmark=" + mark.Bookmark
	refused := sandboxtest.Reply{}
	for i := range api.MaxRestores + 1 {
		r := c.Call("POST", restore, "", nil)
		if i < api.MaxRestores && r.Status != http.StatusOK {
			t.Fatalf("restore %d: %d %s", i, r.Status, r.Body)
		}
		refused = r
	}
	wait, err := strconv.Atoi(refused.Header.Get("Retry-After"))
	if refused.Status != http.StatusTooManyRequests || err != nil || wait < 1 || wait > 6 {
		t.Errorf("one restore too many: %d %s, wait %d, %v", refused.Status, refused.Body, wait, err)
	}
	for i := 0; ; i++ {
		r := c.Call("GET", "d1/database", "", nil)
		if r.Status == http.StatusTooManyRequests {
			if r.Header.Get("Retry-After") == "" || r.Header.Get("X-Ratelimit-Remaining") != "0" {
				t.Errorf("headers %v", r.Header)
			}
			break
		}
		if i > 3*api.MaxCalls {
			t.Skip("the machine is too slow to exceed the quota within its window")
		}
	}
	deadline := time.Now().Add(time.Minute)
	for c.Call("GET", "d1/database", "", nil).Status != http.StatusOK {
		if time.Now().After(deadline) {
			t.Fatal("the quota never opens again")
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func TestWhatWorkersPrintIsInTheFileAndMetricsCount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := sandboxtest.Start(t, func(cfg *sandbox.Config) { cfg.StateDir = dir })
	c.Deploy("w", hello, nil, nil)
	c.Get("w", "/the-path")
	deadline := time.Now().Add(time.Minute)
	for {
		data, err := os.ReadFile(filepath.Join(dir, "workers.log"))
		if err == nil && bytes.Contains(data, []byte("[w] asked for /the-path")) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("workers.log: %s, %v", data, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	base := strings.TrimSuffix(c.API, api.Prefix)
	req, err := http.NewRequest(http.MethodGet, base+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Do(req); r.Status != http.StatusUnauthorized {
		t.Errorf("metrics without a token: %d", r.Status)
	}
	req.Header.Set("Authorization", "Bearer "+c.Token())
	metrics := string(c.Do(req).Body)
	for _, line := range []string{`sandbox_worker_requests_total{status="200",worker="w"} 1`, "sandbox_workerd_processes 1",
		`sandbox_api_calls_total{method="PUT",route="accounts/*/workers/scripts/*",status="200"} 1`} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("no %s in\n%s", line, metrics)
		}
	}
}

// TestNoSecretIsReadableAtRest looks through every file of the state folder.
func TestNoSecretIsReadableAtRest(t *testing.T) {
	t.Parallel()
	const secret = "s3cret-canary-71c4"
	dir := t.TempDir()
	withKey := func(cfg *sandbox.Config) { cfg.StateDir, cfg.SecretKey = dir, []byte("a key of the tests") }
	c := sandboxtest.Start(t, withKey)
	c.Deploy("w", "export default { fetch(r, env) { return new Response(env.S + env.T); } };", []map[string]any{{"name": "S", "type": "secret_text", "text": secret}}, nil)
	c.Must("PUT", "workers/scripts/w/secrets", map[string]string{"name": "T", "text": secret, "type": "secret_text"})
	if _, body := c.Get("w", "/"); body != secret+secret {
		t.Fatalf("the Worker sees %q", body)
	}
	search := func() {
		t.Helper()
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("%s holds the secret", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	search()
	c.Stop()
	search()
	again := sandboxtest.Start(t, withKey)
	if _, body := again.Get("w", "/"); body != secret+secret {
		t.Errorf("after a restart the Worker sees %q", body)
	}
}
