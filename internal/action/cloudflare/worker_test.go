package cloudflare

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/action/cloudflare/versionshim"
	"firedrill/internal/sandbox"
	"firedrill/internal/sandbox/workers/workerd"
)

// cloud is a real sandbox with a Worker that tests deploy, and the pack's
// actions on it.
type cloud struct {
	*bench
	s *sandbox.Sandbox
	c *Client
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	ctx := context.Background()
	b, err := workerd.Locate(ctx, workerd.Locator{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := sandbox.Start(ctx, sandbox.Config{StateDir: t.TempDir(), Listen: "127.0.0.1:0", Front: "127.0.0.1:0", Workerd: b.Path, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		if err := s.Close(stop); err != nil {
			t.Error(err)
		}
	})
	cl := &cloud{bench: newBench(t, s.APIURL()), s: s}
	cl.actions = map[string]firedrill.Action{}
	token := func(string) (string, bool) { return s.Token(), true }
	for _, a := range Pack(Deps{Secrets: action.Secrets{LookupEnv: token}, Now: time.Now}).Actions {
		cl.actions[a.Spec().Name] = a
	}
	cl.call.Environment.Settings["account"] = s.AccountID()
	cl.call.Now = func() firedrill.Stamp {
		return firedrill.Stamp{Wall: time.Now(), Mono: time.Now().UnixNano(), Boot: "b"}
	}
	cl.c, err = New(Config{API: s.APIURL(), Account: s.AccountID(), Now: time.Now, Token: func(context.Context) (string, error) { return s.Token(), nil }})
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

func (c *cloud) script() script { return script{c.c, "app", "test", nil} }

// put deploys modules as the Worker "app".
func (c *cloud) put(main string, modules map[string]string, bindings ...map[string]any) {
	c.t.Helper()
	var list []versionshim.Module
	for name, text := range modules {
		list = append(list, versionshim.Module{Name: name, ContentType: "application/javascript+module", Data: []byte(text)})
	}
	body, contentType, err := uploadForm(map[string]any{"main_module": main, "compatibility_date": "2026-04-01", "bindings": append([]map[string]any{}, bindings...)}, list)
	if err != nil {
		c.t.Fatal(err)
	}
	req := c.script().request(http.MethodPut)
	req.Body, req.ContentType = body, contentType
	if _, err := c.c.Do(context.Background(), req); err != nil {
		c.t.Fatal(err)
	}
}

// get asks the Worker through the front.
func (c *cloud) get(path string) (int, string, http.Header) {
	c.t.Helper()
	front := strings.TrimPrefix(c.s.FrontURL(), "http://")
	_, port, _ := net.SplitHostPort(front)
	req, err := http.NewRequest(http.MethodGet, "http://"+front+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Host = "app.localhost:" + port
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

func (c *cloud) pinned() firedrill.Values {
	out := c.do("pin", "worker.pin", firedrill.Values{"worker": "app"})
	return firedrill.Values{"worker": "app", "pinned": out.Outputs["file"]}
}

func with(v firedrill.Values, key string, value any) firedrill.Values {
	w := firedrill.Values{key: value}
	for k, x := range v {
		w[k] = x
	}
	return w
}

func allOK(t *testing.T, out firedrill.Outcome) {
	t.Helper()
	for _, c := range out.Checks {
		if !c.OK || c.Compared == 0 {
			t.Errorf("check %+v", c)
		}
	}
	if len(out.Checks) == 0 {
		t.Error("nothing was checked")
	}
}

const plainWorker = `export default { async fetch(request, env) {
	const { pathname } = new URL(request.url);
	if (pathname === "/secret") return new Response(String(env.KEY?.length));
	return new Response("good " + pathname);
} }`

// TestTheBadVersionFailsOneRouteOfEveryShape wraps Workers of many shapes in
// the real workerd: the route fails, everything else answers as before.
func TestTheBadVersionFailsOneRouteOfEveryShape(t *testing.T) {
	t.Parallel()
	for name, shape := range map[string]struct {
		main    string
		modules map[string]string
	}{
		"object":                              {"index.js", map[string]string{"index.js": plainWorker}},
		"frozen":                              {"index.js", map[string]string{"index.js": `export default Object.freeze({ fetch(r) { return new Response("good " + new URL(r.url).pathname) } })`}},
		"class instance with a private field": {"index.js", map[string]string{"index.js": `class App { #word = "good "; async fetch(r) { return new Response(this.#word + new URL(r.url).pathname) } }; export default new App()`}},
		"arrow like a router":                 {"index.js", map[string]string{"index.js": `class Router { constructor() { this.fetch = (r) => new Response(this.word + new URL(r.url).pathname); this.word = "good " } }; export default new Router()`}},
		"entrypoint class": {"index.js", map[string]string{"index.js": `import { WorkerEntrypoint } from "cloudflare:workers";
			export default class extends WorkerEntrypoint { fetch(r) { return new Response("good " + new URL(r.url).pathname) } }
			export class Admin extends WorkerEntrypoint { ping() { return "pong" } }`}},
		"folders and relative imports": {"src/main/index.js", map[string]string{
			"src/main/index.js": `import { word } from "../lib/word.js"; export default { fetch(r) { return new Response(word + new URL(r.url).pathname) } }`,
			"src/lib/word.js":   `export const word = "good ";`}},
		"top-level await": {"index.js", map[string]string{"index.js": `const word = await Promise.resolve("good "); export default { fetch(r) { return new Response(word + new URL(r.url).pathname) } }`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			c.put(shape.main, shape.modules)
			pin := c.pinned()
			c.do("upload", "worker.upload-bad-version", with(pin, "path", "/health"))
			if status, body, _ := c.get("/health"); status != 200 || body != "good /health" {
				t.Fatalf("an upload alone changed what serves: %d %s", status, body)
			}
			c.do("bad", "worker.deploy-bad-version", pin)
			status, body, h := c.get("/health")
			if status != 500 || !strings.Contains(body, versionshim.Status) || h.Get(versionshim.Marker) == "" {
				t.Errorf("the bad route: %d %s %v", status, body, h)
			}
			if status, body, _ := c.get("/other"); status != 200 || body != "good /other" {
				t.Errorf("another route: %d %s", status, body)
			}
			c.do("back", "worker.rollback", with(pin, "split", "x"))
			if status, body, _ := c.get("/health"); status != 200 || body != "good /health" {
				t.Errorf("after the rollback: %d %s", status, body)
			}
		})
	}
}

func TestAWholeRollbackKeepsSecretsAndLeavesNoLandmine(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	db := newTestDatabase(t, c)
	c.put("index.js", map[string]string{"index.js": plainWorker}, map[string]any{"type": "secret_text", "name": "KEY", "text": "hunter2-canary"},
		map[string]any{"type": "d1", "name": "DB", "id": db}, map[string]any{"type": "plain_text", "name": "V", "text": "v"})
	pin := c.pinned()
	allOK(t, c.do("same", "worker.compare", pin))
	c.do("upload", "worker.upload-bad-version", with(pin, "path", "/health"))
	c.do("bad", "worker.deploy-bad-version", pin)
	if out := c.do("differs", "worker.compare", pin); out.Checks[0].OK {
		t.Error("the bad version serves and nothing says so")
	}
	if out := c.do("mines", "worker.landmines", pin); out.Checks[0].OK || out.Checks[1].OK {
		t.Errorf("landmines are not seen: %+v", out.Checks)
	}
	if out := c.do("back", "worker.rollback", with(pin, "split", "x")); out.Outputs["rolled"] != true {
		t.Error("nothing was rolled back")
	}
	allOK(t, c.do("same again", "worker.compare", pin))
	if out := c.do("again", "worker.rollback", with(pin, "split", "x")); out.Outputs["rolled"] != false {
		t.Error("a second rollback did something")
	}
	// Where it has to be this rollback, that it is done already is an error, unless
	// the attempt before may have done it: then it is done again.
	must := with(with(pin, "split", "x"), "must", true)
	c.fails(firedrill.KindConflict, "worker.rollback", must)
	c.call.Attempt = 2
	if out := c.do("ours perhaps", "worker.rollback", must); out.Outputs["rolled"] != true {
		t.Error("an attempt that nobody acknowledged counts as a rollback")
	}
	c.call.Attempt = 1
	c.do("defuse", "worker.defuse", pin)
	c.do("defuse twice", "worker.defuse", pin)
	allOK(t, c.do("mines", "worker.landmines", pin))
	allOK(t, c.do("clean", "worker.compare", pin))
	if _, body, _ := c.get("/secret"); body != fmt.Sprint(len("hunter2-canary")) {
		t.Errorf("the secret is gone: %s", body)
	}
	versions, err := c.script().versions(context.Background())
	if err != nil || len(versions) != 3 {
		t.Errorf("%d versions, want 3 (%v)", len(versions), err)
	}
}

func newTestDatabase(t *testing.T, c *cloud) string {
	t.Helper()
	req := Request{Op: "test", Method: http.MethodPost, Path: c.c.AccountPath("d1", "database"), Body: []byte(`{"name":"bound"}`)}
	resp, err := c.c.Do(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	var d struct{ UUID string }
	if err := json.Unmarshal(resp.Result, &d); err != nil {
		t.Fatal(err)
	}
	return d.UUID
}

// TestAColleaguesDeploymentIsNeverReverted deploys in between.
func TestAColleaguesDeploymentIsNeverReverted(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.put("index.js", map[string]string{"index.js": plainWorker})
	pin := c.pinned()
	c.do("upload", "worker.upload-bad-version", with(pin, "path", "/health"))
	colleague := map[string]string{"index.js": `export default { fetch() { return new Response("colleague") } }`}
	c.put("index.js", colleague)
	c.fails(firedrill.KindConflict, "worker.deploy-bad-version", pin)
	c.fails(firedrill.KindConflict, "worker.rollback", with(pin, "split", "x"))
	c.fails(firedrill.KindConflict, "worker.defuse", pin)
	if _, body, _ := c.get("/"); body != "colleague" {
		t.Errorf("the colleague's deployment is gone: %s", body)
	}
	if out := c.do("differs", "worker.compare", pin); out.Checks[0].OK {
		t.Error("what serves is not what was recorded, and nothing says so")
	}
}

func TestAnUndeployedUploadIsRefused(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.put("index.js", map[string]string{"index.js": plainWorker})
	good, err := c.script().versions(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.script().version(context.Background(), good[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.script().upload(context.Background(), v, []versionshim.Module{{Name: "index.js", ContentType: "application/javascript+module", Data: []byte(plainWorker)}}, "index.js", "mine", "not deployed"); err != nil {
		t.Fatal(err)
	}
	c.fails(firedrill.KindConflict, "worker.pin", firedrill.Values{"worker": "app"})
}

// TestAnUploadWhoseAnswerWasLostIsFoundAgain asks the action itself.
func TestAnUploadWhoseAnswerWasLostIsFoundAgain(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.put("index.js", map[string]string{"index.js": plainWorker})
	in := with(c.pinned(), "path", "/health")
	asked := func() firedrill.Doneness {
		call := c.call
		call.Inputs = in
		is, _, err := c.actions["worker.upload-bad-version"].(firedrill.Doner).Done(context.Background(), call)
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	if got := asked(); got != firedrill.NotDone {
		t.Errorf("before: %s", got)
	}
	c.do("upload", "worker.upload-bad-version", in)
	if got := asked(); got != firedrill.Done {
		t.Errorf("after: %s", got)
	}
}

func TestASplitComesBackExactly(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	ctx := context.Background()
	c.put("index.js", map[string]string{"index.js": plainWorker})
	c.put("index.js", map[string]string{"index.js": strings.Replace(plainWorker, "good ", "newer ", 1)})
	all, err := c.script().versions(ctx)
	if err != nil {
		t.Fatal(err)
	}
	split := []share{{all[0].ID, 30}, {all[1].ID, 70}}
	if err := c.script().deploy(ctx, split, false, "split"); err != nil {
		t.Fatal(err)
	}
	pin := c.pinned()
	c.do("upload", "worker.upload-bad-version", with(pin, "path", "/health"))
	c.do("bad", "worker.deploy-bad-version", pin)
	c.do("back", "worker.rollback", with(pin, "split", "x"))
	allOK(t, c.do("same", "worker.compare", pin))
	c.do("defuse", "worker.defuse", pin)
	allOK(t, c.do("clean", "worker.compare", pin))
	allOK(t, c.do("mines", "worker.landmines", pin))
}

func TestShapesThatCannotBeWrappedAreRefused(t *testing.T) {
	t.Parallel()
	js := []versionshim.Module{{Name: "a.js", ContentType: "application/javascript+module"}}
	for want, in := range map[string]versionshim.Input{
		"service-worker":     {Modules: js, Handlers: []string{"fetch"}, Path: "/"},
		"Python":             {Modules: []versionshim.Module{{Name: "a.py", ContentType: "text/x-python"}}, Main: "a.py", Handlers: []string{"fetch"}, Path: "/"},
		"no fetch handler":   {Modules: js, Main: "a.js", Handlers: []string{"scheduled"}, Path: "/"},
		"not among":          {Modules: js, Main: "b.js", Handlers: []string{"fetch"}, Path: "/"},
		"begin with a slash": {Modules: js, Main: "a.js", Handlers: []string{"fetch"}, Path: "x"},
		"no JavaScript":      {Modules: []versionshim.Module{{Name: "a.wasm", ContentType: "application/wasm"}}, Main: "a.wasm", Handlers: []string{"fetch"}, Path: "/"},
	} {
		if _, _, err := versionshim.Wrap(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}
