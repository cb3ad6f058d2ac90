package cloudflare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/action"
	actionhttp "firedrill/internal/action/http"
	"firedrill/internal/action/quiesce"
	"firedrill/internal/plan"
	"firedrill/internal/playbook"
	d1sandbox "firedrill/internal/sandbox/d1"
	kvsandbox "firedrill/internal/sandbox/kv"
)

// attacked is an account in which production and staging lie side by side, and a
// pack of actions that is guarded for staging. Of production the plan knows one
// database and one namespace by their ids alone, others by their names alone; the
// rest stands in a configuration of wrangler.
type attacked struct {
	t *testing.T
	p *platform
	b *bench

	shop, ledger, sessions, flags string            // production's, by id
	before                        map[string]string // bookmarks of production's databases
	own, cache                    string            // staging's
	pack                          action.Pack
	live                          *httptest.Server // production's application
	asked                         []string         // method and path of what reached it
	environments                  map[string]firedrill.Environment
	configured                    []Protected
	guards                        func(firedrill.Environment) *Guard
	web                           action.Pack
}

// wranglerID is a database that only a configuration of wrangler names.
const wranglerID = "77777777-9df9-4acf-ac40-c8d93a7c7244"

func newAttacked(t *testing.T) *attacked {
	t.Helper()
	w := &attacked{t: t, p: newPlatform(t)}
	w.live = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { w.asked = append(w.asked, r.Method+" "+r.URL.Path) }))
	t.Cleanup(w.live.Close)
	rows := "CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT); INSERT INTO t VALUES(1,'a'),(2,'b'),(3,'c'),(4,'d')"
	w.shop, w.ledger, w.own = w.p.create("shop", rows), w.p.create("ledger", rows), w.p.create("shop-staging", rows)
	w.sessions, w.flags, w.cache = w.namespace("sessions"), w.namespace("flags"), w.namespace("cache")
	w.before = map[string]string{w.shop: w.bookmark(w.shop), w.ledger: w.bookmark(w.ledger)}
	resource := func(kind string, attrs ...string) firedrill.Resource {
		v := firedrill.Values{}
		for i := 0; i+1 < len(attrs); i += 2 {
			v[attrs[i]] = attrs[i+1]
		}
		return firedrill.Resource{Kind: kind, Attrs: v}
	}
	w.b = newBench(t, w.p.url)
	settings := w.b.call.Environment.Settings
	w.environments = map[string]firedrill.Environment{
		"staging": {Name: "staging", Class: firedrill.ClassStaging, Exclusive: true, Provider: "cloudflare", Settings: settings, Resources: map[string]firedrill.Resource{
			"db": resource("d1", "name", "shop-staging"), "kv": resource("kv", "name", "cache")}},
		"production": {Name: "production", Class: firedrill.ClassProduction, Provider: "cloudflare", Settings: settings, Resources: map[string]firedrill.Resource{
			"shop": resource("d1", "id", w.shop), "ledger": resource("d1", "name", "ledger"), "flags": resource("kv", "id", w.flags),
			"sessions": resource("kv", "name", "sessions"), "gateway": resource("worker", "name", "gateway", "url", w.live.URL)}},
		"preview": {Name: "preview", Class: firedrill.ClassCI, Provider: "cloudflare", Settings: settings, Resources: map[string]firedrill.Resource{
			"w": resource("worker", "name", "preview-gateway")}},
	}
	w.configured = []Protected{
		{Kind: "worker", Name: "agents", Owner: "production (agents/wrangler.jsonc:2:11)"},
		{Kind: "d1", ID: wranglerID, Owner: "production (agents/wrangler.jsonc:4:30)"},
		{Kind: "r2", Name: "media", Owner: "production (agents/wrangler.jsonc:6:30)"},
		{Kind: "queue", Name: "jobs", Owner: "production (agents/wrangler.jsonc:8:30)"},
		{Kind: "d1", Name: "shop-staging", Environment: "staging", Owner: "staging (agents/wrangler.jsonc:10:30)"},
	}
	w.guards = GuardPlan(w.environments, w.configured...)
	w.pack = Pack(Deps{Secrets: action.Secrets{LookupEnv: func(string) (string, bool) { return canaryToken, true }}, Now: w.b.time,
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }, Guard: w.guards})
	w.web = actionhttp.Pack(actionhttp.Deps{Guard: actionhttp.GuardPlan(w.environments)})
	w.b.pack = w.pack
	w.b.actions = map[string]firedrill.Action{}
	for _, a := range slices.Concat(w.pack.Actions, w.web.Actions) {
		w.b.actions[a.Spec().Name] = a
	}
	w.b.call.Environment = w.environments["staging"]
	return w
}

func (w *attacked) namespace(title string) string {
	w.t.Helper()
	ns, err := w.p.kv.Create(title)
	if err == nil {
		err = w.p.kv.Put(context.Background(), ns.ID, kvsandbox.API, kvsandbox.Entry{Key: "k", Value: []byte("v")})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return ns.ID
}

// client is the client that the actions of staging use.
func (w *attacked) client() *Client {
	w.t.Helper()
	c, err := NewFor(w.environments["staging"], Deps{Secrets: action.Secrets{LookupEnv: func(string) (string, bool) { return canaryToken, true }}, Guard: w.guards})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// act performs an action as the runner does.
func (w *attacked) act(name string, in firedrill.Values) error {
	w.t.Helper()
	w.b.call.Impact = w.b.actions[name].Spec().Impact
	_, err := w.b.try("attempt", name, in)
	return err
}

// send sends a request that declares nothing.
func (w *attacked) send(method, path, body string) error {
	req := Request{Op: "attempt", Target: "something", Method: method, Path: path, Body: []byte(body)}
	if method == http.MethodPost && strings.HasSuffix(path, "/versions") {
		req.Body, req.ContentType = form(body)
	}
	_, err := w.client().Do(w.t.Context(), req)
	return err
}

// form is the body of an upload whose metadata are given.
func form(metadata string) ([]byte, string) {
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for name, text := range map[string]string{"metadata": metadata, "main.js": "export default {}"} {
		h := textproto.MIMEHeader{"Content-Disposition": {`form-data; name="` + name + `"`}, "Content-Type": {"application/json"}}
		if p, err := m.CreatePart(h); err == nil {
			_, _ = io.WriteString(p, text) // into memory
		}
	}
	_ = m.Close() // into memory
	return b.Bytes(), m.FormDataContentType()
}

// renamed lets the API give databases other names from now on.
func (w *attacked) renamed(names map[string]string) {
	w.p.bending(func(rw http.ResponseWriter, r *http.Request) bool {
		_, rest, is := strings.Cut(r.URL.Path, "/d1/database")
		if r.Method != http.MethodGet || !is || strings.Count(rest, "/") > 1 {
			return false
		}
		rec := httptest.NewRecorder()
		w.p.inner.ServeHTTP(rec, r)
		var env map[string]json.RawMessage
		if json.Unmarshal(rec.Body.Bytes(), &env) != nil {
			return false
		}
		var list []map[string]any
		one := json.Unmarshal(env["result"], &list) != nil
		if one {
			list = []map[string]any{{}}
			_ = json.Unmarshal(env["result"], &list[0]) // or it stays as it is
		}
		for _, db := range list {
			if id, is := db["uuid"].(string); is && names[id] != "" {
				db["name"] = names[id]
			}
		}
		if one {
			answer(rw, list[0])
		} else {
			answer(rw, list)
		}
		return true
	})
}

// bookmark is a point of a database that it could be restored to.
func (w *attacked) bookmark(id string) string {
	w.t.Helper()
	b, err := w.p.store.Bookmark(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// drill runs a drill of some steps, and gives the refusal that ended it.
func (w *attacked) drill(steps, quiesced string) error {
	w.t.Helper()
	registry, err := action.NewRegistry(w.pack, w.web, quiesce.Pack())
	if err != nil {
		return err
	}
	text := `version: 1
name: test
environments:
  staging:
    class: ci
    cloudflare: {api: "` + w.p.url + `", account: ` + testAccount + `, token: {env: TOKEN}}
` + quiesced + `
drills:
  attempt:
    on: staging
    steps:` + steps + `
      - {id: seen, phase: detect, uses: http.get, with: {url: "LIVE/x"}, expect: "outputs.status == 200", proves: damage}
      - {id: same, phase: verify, uses: http.get, with: {url: "LIVE/x"}, expect: "outputs.status == 200", proves: data, look: true}
`
	p, err := plan.Parse("firedrill.yaml", []byte(strings.ReplaceAll(text, "LIVE", w.live.URL)), registry, playbook.Library{})
	if err != nil {
		return err
	}
	program, err := plan.Program(p, "attempt", "", registry, playbook.Library{})
	if err != nil {
		return err
	}
	records := conduct(w.t, *program, registry)
	end, _ := records[len(records)-1].Body.(firedrill.Finished)
	for _, r := range records {
		if e, is := r.Body.(firedrill.Ended); is && e.Problem != nil && e.Problem.Kind == firedrill.KindGuard && end.ReasonCode == firedrill.ReasonGuard && end.Environment == firedrill.Restored {
			return &firedrill.Error{Kind: firedrill.KindGuard, Detail: e.Problem.Detail, Remedy: e.Problem.Remedy}
		}
	}
	return errors.New("the run ended otherwise: " + strings.Join(end.Reasons, "; "))
}

// TestNothingReachesWhatIsProtected tries to get at what belongs to others. Each
// attempt is refused with exit status 5 and a reason, before any request that
// changes something reaches it.
func TestNothingReachesWhatIsProtected(t *testing.T) {
	t.Parallel()
	attempts := map[string]func(w *attacked) error{}
	const account = "/accounts/" + testAccount
	direct := func(name, method, path, body string) {
		attempts[name] = func(w *attacked) error {
			fill := strings.NewReplacer("SHOP", w.shop, "LEDGER", w.ledger, "SESSIONS", w.sessions, "FLAGS", w.flags, "OWN", w.own, "CACHE", w.cache,
				"UPPER", strings.ToUpper(w.shop), "ENCODED", "%"+hex2(w.shop[0])+w.shop[1:], "TWICE", "%25"+hex2(w.shop[0])+w.shop[1:])
			return w.send(method, account+fill.Replace(path), fill.Replace(body))
		}
	}
	// By what stands in the path.
	direct("path: delete by id", "DELETE", "/d1/database/SHOP", "")
	direct("path: delete by id in capitals", "DELETE", "/d1/database/UPPER", "")
	direct("path: delete by an encoded id", "DELETE", "/d1/database/ENCODED", "")
	direct("path: delete by an id encoded twice", "DELETE", "/d1/database/TWICE", "")
	direct("path: change settings", "PATCH", "/d1/database/SHOP", `{"read_replication":{"mode":"auto"}}`)
	direct("path: statements", "POST", "/d1/database/SHOP/raw", `{"sql":"DELETE FROM t"}`)
	direct("path: a query", "POST", "/d1/database/SHOP/query", `{"sql":"DELETE FROM t"}`)
	direct("path: import", "POST", "/d1/database/SHOP/import", `{"action":"init"}`)
	direct("path: restore", "POST", "/d1/database/SHOP/time_travel/restore", "")
	direct("path: what only its name protects", "DELETE", "/d1/database/LEDGER", "")
	direct("path: by name", "DELETE", "/d1/database/ledger", "")
	direct("path: a database of wrangler's configuration", "DELETE", "/d1/database/"+wranglerID, "")
	direct("path: a namespace by id", "DELETE", "/storage/kv/namespaces/FLAGS", "")
	direct("path: a namespace that only its title protects", "DELETE", "/storage/kv/namespaces/SESSIONS", "")
	direct("path: a value", "PUT", "/storage/kv/namespaces/FLAGS/values/k", "v")
	direct("path: many values", "PUT", "/storage/kv/namespaces/SESSIONS/bulk", `[{"key":"k","value":"x"}]`)
	direct("path: deleting keys", "POST", "/storage/kv/namespaces/FLAGS/bulk/delete", `["k"]`)
	direct("path: renaming a namespace", "PUT", "/storage/kv/namespaces/FLAGS", `{"title":"x"}`)
	direct("path: a Worker", "DELETE", "/workers/scripts/gateway", "")
	direct("path: a Worker in other letters", "DELETE", "/workers/scripts/Gateway", "")
	direct("path: a deployment", "POST", "/workers/scripts/gateway/deployments", `{"strategy":"percentage","versions":[]}`)
	direct("path: a version", "POST", "/workers/scripts/gateway/versions", `{"main_module":"main.js"}`)
	direct("path: a secret", "PUT", "/workers/scripts/gateway/secrets", `{"name":"KEY","text":"x","type":"secret_text"}`)
	direct("path: a service", "PUT", "/workers/services/gateway/environments/production", `{}`)
	direct("path: a Worker of wrangler's configuration", "DELETE", "/workers/scripts/agents", "")
	direct("path: a Worker of another drilled environment", "DELETE", "/workers/scripts/preview-gateway", "")
	direct("path: a bucket", "DELETE", "/r2/buckets/media", "")
	direct("path: a queue", "DELETE", "/queues/jobs", "")
	direct("path: going up", "DELETE", "/d1/database/OWN/../SHOP", "")
	direct("path: going up, encoded", "DELETE", "/d1/database/OWN/%2e%2e/ledger", "")
	direct("path: staying", "DELETE", "/d1/database/./ledger", "")
	direct("path: a slash in a name", "DELETE", "/workers/scripts/mine%2F..%2Fgateway", "")
	direct("query: in the path", "POST", "/workers/scripts/mine/deployments?database=SHOP", `{}`)
	attempts["query: an id"] = func(w *attacked) error {
		_, err := w.client().Do(w.t.Context(), Request{Op: "x", Target: "x", Method: "POST", Path: account + "/workers/scripts/mine/deployments", Query: url.Values{"database": {w.shop}}})
		return err
	}
	// By what a body says.
	binding := func(name, b string) {
		direct("body: "+name, "POST", "/workers/scripts/mine/versions", `{"main_module":"main.js","bindings":[`+b+`]}`)
	}
	binding("a database", `{"type":"d1","name":"DB","id":"SHOP"}`)
	binding("a database in capitals", `{"type":"d1","name":"DB","id":"UPPER"}`)
	binding("a database by its other key", `{"type":"d1","name":"DB","database_id":"SHOP"}`)
	binding("what only its name protects", `{"type":"d1","name":"DB","id":"LEDGER"}`)
	binding("a database of wrangler's configuration", `{"type":"d1","name":"DB","id":"`+wranglerID+`"}`)
	binding("a namespace", `{"type":"kv_namespace","name":"KV","namespace_id":"FLAGS"}`)
	binding("a namespace that only its title protects", `{"type":"kv_namespace","name":"KV","namespace_id":"SESSIONS"}`)
	binding("a service", `{"type":"service","name":"G","service":"gateway"}`)
	binding("a service of wrangler's configuration", `{"type":"service","name":"A","service":"agents"}`)
	binding("objects of another Worker", `{"type":"durable_object_namespace","name":"O","class_name":"Cart","script_name":"gateway"}`)
	binding("a bucket", `{"type":"r2_bucket","name":"M","bucket_name":"media"}`)
	binding("a queue", `{"type":"queue","name":"Q","queue_name":"jobs"}`)
	binding("a variable that holds an id", `{"type":"plain_text","name":"DATABASE","text":"SHOP"}`)
	binding("a variable that holds an address with an id", `{"type":"plain_text","name":"API","text":"https://api.example.com/kv/FLAGS/values"}`)
	binding("a variable that is an object", `{"type":"json","name":"CFG","json":{"stores":[{"primary":"UPPER"}]}}`)
	direct("body: settings", "PATCH", "/workers/scripts/mine/settings", `{"bindings":[{"type":"d1","name":"DB","id":"SHOP"}]}`)
	direct("body: a domain", "PUT", "/workers/domains", `{"hostname":"x.example.com","service":"gateway"}`)
	direct("body: a new database of a protected name", "POST", "/d1/database", `{"name":"ledger"}`)
	direct("body: a new namespace of a protected title", "POST", "/storage/kv/namespaces", `{"title":"sessions"}`)
	direct("body: another title for a namespace", "PUT", "/storage/kv/namespaces/CACHE", `{"title":"Sessions"}`)
	direct("body: that cannot be read", "PUT", "/workers/scripts/mine/settings", `{"bindings": [`)
	attempts["body: a stream that nobody reads before"] = func(w *attacked) error {
		_, err := w.client().Do(w.t.Context(), Request{Op: "x", Target: "x", Method: "PUT", Path: account + "/workers/scripts/mine",
			Stream: &Stream{Size: 2, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("{}")), nil }}})
		return err
	}
	// By actions.
	act := func(name, action string, in func(w *attacked) firedrill.Values) {
		attempts[action+": "+name] = func(w *attacked) error { return w.act(action, in(w)) }
	}
	act("by id", "d1.restore", func(w *attacked) firedrill.Values { return db(w.shop, "bookmark", w.bookmark(w.shop)) })
	act("by name", "d1.restore", func(w *attacked) firedrill.Values { return db("ledger", "bookmark", w.bookmark(w.ledger)) })
	act("by the name of what only its id protects", "d1.execute", func(*attacked) firedrill.Values { return db("shop", "sql", []any{"DELETE FROM t"}) })
	act("by the id of what only its name protects", "d1.execute", func(w *attacked) firedrill.Values { return db(w.ledger, "sql", []any{"DELETE FROM t"}) })
	act("trying", "d1.plan-damage", func(w *attacked) firedrill.Values { return db(w.shop) })
	act("a read that writes", "d1.query", func(w *attacked) firedrill.Values { return db(w.shop, "sql", "DELETE FROM t") })
	act("by method", "http.expect", func(w *attacked) firedrill.Values {
		return firedrill.Values{"url": w.live.URL + "/orders", "method": "POST"}
	})
	act("in small letters", "http.get", func(w *attacked) firedrill.Values {
		return firedrill.Values{"url": strings.ToUpper(w.live.URL[:4]) + w.live.URL[4:], "method": "delete"}
	})
	act("among probes", "http.baseline", func(w *attacked) firedrill.Values {
		return firedrill.Values{"probes": []any{map[string]any{"url": w.live.URL + "/x", "method": "PUT"}}}
	})
	// By what changes under way.
	attempts["renamed: staging's database gets a name of production before the damage"] = func(w *attacked) error {
		if err := w.act("d1.execute", db(w.own, "sql", []any{"UPDATE t SET x = 'first'"})); err != nil {
			return errors.New("the first change of its own was refused: " + err.Error())
		}
		w.renamed(map[string]string{w.own: "ledger", w.ledger: "old"})
		return w.act("d1.execute", db(w.own, "sql", []any{"DELETE FROM t"}))
	}
	attempts["renamed: production's database gets the name of staging's"] = func(w *attacked) error {
		if err := w.act("d1.execute", db("shop-staging", "sql", []any{"UPDATE t SET x = 'first'"})); err != nil {
			return errors.New("the first change of its own was refused: " + err.Error())
		}
		w.renamed(map[string]string{w.own: "ledger", w.ledger: "shop-staging"})
		return w.act("d1.execute", db("shop-staging", "sql", []any{"DELETE FROM t"}))
	}
	attempts["renamed: a namespace before the damage"] = func(w *attacked) error {
		c := w.client()
		if _, err := c.Do(w.t.Context(), Request{Op: "x", Target: "x", Method: "POST", Path: account + "/storage/kv/namespaces/" + w.cache + "/bulk/delete", Body: []byte(`["no"]`), Ids: []ID{{"kv", w.cache}}}); err != nil {
			return errors.New("the first change of its own was refused: " + err.Error())
		}
		for id, title := range map[string]string{w.sessions: "sessions-old"} {
			if _, err := w.p.kv.Rename(id, title); err != nil {
				return err
			}
		}
		if _, err := w.p.kv.Rename(w.cache, "sessions"); err != nil {
			return err
		}
		c.lookAgain() // as before every step that damages
		_, err := c.Do(w.t.Context(), Request{Op: "x", Target: "x", Method: "POST", Path: account + "/storage/kv/namespaces/" + w.cache + "/bulk/delete", Body: []byte(`["k"]`), Ids: []ID{{"kv", w.cache}}})
		return err
	}
	attempts["an alias: the API gives production's database for staging's id"] = func(w *attacked) error {
		w.p.bending(func(rw http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/d1/database") {
				return false
			}
			answer(rw, []any{map[string]any{"uuid": w.shop, "name": "shop-staging"}})
			return true
		})
		return w.act("d1.execute", db("shop-staging", "sql", []any{"DELETE FROM t"}))
	}
	for name, status := range map[string]int{"a temporary redirect": 307, "a lasting redirect": 308} {
		attempts["redirect: "+name+" of a change"] = func(w *attacked) error {
			w.p.bending(func(rw http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodGet || !strings.Contains(r.URL.Path, w.own) {
					return false
				}
				rw.Header().Set("Location", strings.Replace(r.URL.Path, w.own, w.shop, 1))
				rw.WriteHeader(status)
				return true
			})
			return w.act("d1.execute", db(w.own, "sql", []any{"DELETE FROM t"}))
		}
	}
	attempts["redirect: of the look for a database"] = func(w *attacked) error {
		w.p.bending(func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, w.own) {
				return false
			}
			rw.Header().Set("Location", strings.Replace(r.URL.Path, w.own, w.shop, 1))
			rw.WriteHeader(http.StatusFound)
			return true
		})
		return w.act("d1.execute", db(w.own, "sql", []any{"DELETE FROM t"}))
	}
	attempts["the plan is edited during the run"] = func(w *attacked) error {
		c := w.client()
		maps.DeleteFunc(w.environments, func(name string, _ firedrill.Environment) bool { return name != "staging" })
		_, err := c.Do(w.t.Context(), Request{Op: "x", Target: "x", Method: "DELETE", Path: account + "/d1/database/" + w.shop, Ids: []ID{{"d1", w.shop}}})
		return err
	}
	attempts["the class is production"] = func(w *attacked) error {
		w.b.call.Environment = w.environments["production"]
		return w.act("d1.execute", db(w.shop, "sql", []any{"DELETE FROM t"}))
	}
	// By drills, through the engine.
	drill := func(name, steps, quiesced string) {
		attempts["drill: "+name] = func(w *attacked) error { return w.drill(steps, quiesced) }
	}
	drill("a variable", `
      - {id: find, phase: baseline, uses: d1.find, with: {resource: {kind: d1, name: ledger}}}
      - {id: damage, phase: inject, uses: d1.execute, with: {database: "${{ steps.find.outputs.id }}", sql: ["DELETE FROM t"]}, undo: {uses: http.get, with: {url: "LIVE/undo"}}}`, "")
	drill("a name that is put together", `
      - {id: damage, phase: inject, uses: d1.execute, with: {database: "led${{ 'g' }}er", sql: ["DELETE FROM t"]}, undo: {uses: http.get, with: {url: "LIVE/undo"}}}`, "")
	drill("a step within a step", `
      - {id: pause, phase: baseline, uses: quiesce.pause}`, `    quiesce:
      pause: [{uses: http.expect, with: {url: "LIVE/maintenance", method: POST}}]
      resume: [{uses: http.get, with: {url: "LIVE/on"}}]`)

	if len(attempts) < 60 {
		t.Errorf("%d attempts", len(attempts))
	}
	t.Logf("%d attempts", len(attempts))
	for name, try := range attempts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAttacked(t)
			err := try(w)
			var e *firedrill.Error
			if !errors.As(err, &e) || e.Kind != firedrill.KindGuard || e.Kind.Exit() != 5 || e.Detail == "" || firedrill.RemedyOf(err) == "" {
				t.Errorf("%v of kind %q, which ends with status %d", err, firedrill.KindOf(err), firedrill.KindOf(err).Exit())
			}
			w.untouched()
		})
	}
}

// hex2 writes a byte as two hexadecimal digits.
func hex2(b byte) string { return string("0123456789ABCDEF"[b>>4]) + string("0123456789ABCDEF"[b&15]) }

// untouched looks at what is protected, and at the requests that reached the API.
func (w *attacked) untouched() {
	w.t.Helper()
	for id, before := range w.before {
		if now := w.bookmark(id); now != before {
			w.t.Errorf("database %s was at %s and is at %s", id, before, now)
		}
		got, _, err := w.p.store.Query(context.Background(), id, []d1sandbox.Statement{{SQL: "SELECT group_concat(x,'') FROM t"}})
		if err != nil || len(got) != 1 || !strings.Contains(string(mustJSON(got)), "abcd") {
			w.t.Errorf("database %s: %v %s", id, err, mustJSON(got))
		}
	}
	for _, id := range []string{w.sessions, w.flags} {
		if e, ok, err := w.p.kv.Get(context.Background(), id, "k", kvsandbox.Read{}); err != nil || !ok || string(e.Value) != "v" {
			w.t.Errorf("namespace %s: %v %v", id, err, ok)
		}
	}
	for _, r := range w.p.requests() {
		method, path, _ := strings.Cut(r, " ")
		// Its own first change, and reading, are allowed: that statements only read
		// shows at the bookmark.
		if own := strings.Contains(path, w.own) || strings.Contains(path, w.cache); method != http.MethodGet && !own && !strings.HasSuffix(path, "/raw") {
			w.t.Errorf("reached the API: %s", r)
		}
	}
	for _, r := range w.asked {
		if !strings.HasPrefix(r, "GET ") {
			w.t.Errorf("reached production: %s", r)
		}
	}
}

func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		return []byte(err.Error())
	}
	return data
}

// TestWhatATokenReachesIsTold: the accounts, and that permissions are no finer; or
// that nobody tells.
func TestWhatATokenReachesIsTold(t *testing.T) {
	t.Parallel()
	w := newAttacked(t)
	notes := func() string {
		o := w.b.do("token", "cloudflare.verify", firedrill.Values{})
		return strings.Join(o.Notes, "\n")
	}
	if got := notes(); !strings.Contains(got, "the token reaches 1 account (") || !strings.Contains(got, "separate account") {
		t.Error(got)
	}
	w.p.bending(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/accounts") {
			return false
		}
		refuse(rw, http.StatusForbidden, 10000, "no")
		return true
	})
	if got := notes(); !strings.Contains(got, "does not tell") || !strings.Contains(got, "separate account") {
		t.Error(got)
	}
	w.b.call.Environment.Class = firedrill.ClassSandbox
	if got := notes(); got != "" {
		t.Error(got)
	}
}
