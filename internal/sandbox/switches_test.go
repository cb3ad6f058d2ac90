package sandbox_test

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
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

// counted starts a sandbox that counts what the platform counts, on a clock of
// the test's.
func counted(t *testing.T) (*sandboxtest.Cloud, *sandboxtest.Clock) {
	t.Helper()
	clock := sandboxtest.NewClock()
	return sandboxtest.Start(t, clock.Drive, func(cfg *sandbox.Config) { cfg.Quotas.Window = api.PlatformWindow }), clock
}

func call(c *sandboxtest.Cloud) sandboxtest.Reply { return c.Call("GET", "tokens/verify", "", nil) }

// shows checks the headers that say what is left and for how long.
func shows(t *testing.T, when string, r sandboxtest.Reply, status int, left, reset string) {
	t.Helper()
	want := map[string]string{"Ratelimit": `"default";r=` + left + ";t=" + reset, "Ratelimit-Policy": `"default";q=1200;w=300`,
		"X-Ratelimit-Limit": "1200", "X-Ratelimit-Remaining": left, "X-Ratelimit-Reset": reset, "Retry-After": ""}
	if status == http.StatusTooManyRequests {
		want["Retry-After"] = reset
	}
	if r.Status != status {
		t.Errorf("%s: %d %s", when, r.Status, r.Body)
	}
	for name, value := range want {
		if got := r.Header.Get(name); got != value {
			t.Errorf("%s: %s: %q, want %q", when, name, got, value)
		}
	}
}

// TestOneCallTooManyShutsTheAPIForAWindow spreads the calls, so that a window
// that only slides would open earlier than the platform does.
func TestOneCallTooManyShutsTheAPIForAWindow(t *testing.T) {
	t.Parallel()
	c, clock := counted(t)
	shows(t, "first", call(c), http.StatusOK, "1199", "300")
	for range api.MaxCalls/2 - 1 {
		call(c)
	}
	clock.Pass(200 * time.Second)
	for range api.MaxCalls/2 - 1 {
		call(c)
	}
	shows(t, "last", call(c), http.StatusOK, "0", "100")
	shows(t, "one too many", call(c), http.StatusTooManyRequests, "0", "300")
	clock.Pass(150 * time.Second)
	shows(t, "when half of the calls are old", call(c), http.StatusTooManyRequests, "0", "150")
	clock.Pass(150*time.Second - time.Nanosecond)
	shows(t, "at the end, and not longer for having asked", call(c), http.StatusTooManyRequests, "0", "1")
	clock.Pass(time.Nanosecond)
	shows(t, "after the window", call(c), http.StatusOK, "1199", "300")
	if r := c.Call("GET", "sandbox/status", "", nil); r.Status != http.StatusOK || r.Header.Get("Ratelimit") != "" {
		t.Errorf("a call of the sandbox's own is counted: %d %v", r.Status, r.Header)
	}
}

// TestAPacedClientIsNeverRefused sends at the pace that the platform allows, in
// the clock's time, and then a little faster.
func TestAPacedClientIsNeverRefused(t *testing.T) {
	t.Parallel()
	c, clock := counted(t)
	pace := func(calls int, interval time.Duration) (refused int) {
		for i := range calls {
			if call(c).Status == http.StatusTooManyRequests {
				return i
			}
			clock.Pass(interval)
		}
		return -1
	}
	const even = api.PlatformWindow / api.MaxCalls
	if at := pace(api.MaxCalls+300, even); at >= 0 {
		t.Errorf("call %d was refused at the pace that is allowed", at)
	}
	if at := pace(300, even*9/10); at < 0 {
		t.Error("a client that is too fast is not refused")
	}
}

func TestRestoresAreCountedForEachDatabase(t *testing.T) {
	t.Parallel()
	c, clock := counted(t)
	restore := func(name string) func() sandboxtest.Reply {
		db := c.Database(name)
		var mark struct{ Bookmark string }
		c.Must("GET", "d1/database/"+db+"/time_travel/bookmark", nil).Into(t, &mark)
		return func() sandboxtest.Reply {
			return c.Call("POST", "d1/database/"+db+"/time_travel/restore?bookmark="+mark.Bookmark, "", nil)
		}
	}
	one, other := restore("one"), restore("other")
	for i := range api.MaxRestores {
		if r := one(); r.Status != http.StatusOK {
			t.Fatalf("restore %d: %d %s", i, r.Status, r.Body)
		}
		if i == 0 {
			clock.Pass(api.PlatformWindow)
		}
	}
	if r := one(); r.Status != http.StatusTooManyRequests || r.Header.Get("Retry-After") != "300" {
		t.Errorf("one restore too many: %d %s, wait %s", r.Status, r.Body, r.Header.Get("Retry-After"))
	}
	if r := other(); r.Status != http.StatusOK {
		t.Errorf("of another database: %d %s", r.Status, r.Body)
	}
	clock.Pass(api.PlatformWindow) // the first is old now; nothing is shut
	if r := one(); r.Status != http.StatusOK {
		t.Errorf("ten minutes after the first: %d %s", r.Status, r.Body)
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
