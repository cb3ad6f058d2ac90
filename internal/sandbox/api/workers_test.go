package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"firedrill/internal/sandbox/api"
	"firedrill/internal/sandbox/d1"
	"firedrill/internal/sandbox/workers"
	"firedrill/internal/sandbox/workers/workerd"
)

// cloud is the Workers API over a real Manager, with its front.
type cloud struct {
	t     *testing.T
	api   string // URL of …/workers/
	front string
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	bin, err := workerd.Locate(t.Context(), workerd.Locator{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := d1.Open(t.Context(), d1.Options{Dir: t.TempDir(), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	m, err := workers.Open(t.Context(), workers.Options{Dir: t.TempDir(), Workerd: bin.Path, D1: store})
	if err != nil {
		t.Fatal(err)
	}
	h := api.NewWorkersAPI(m, slog.New(slog.DiscardHandler))
	const prefix = "/client/v4/accounts/acc/workers/"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var path []string
		for s := range strings.SplitSeq(strings.TrimPrefix(r.URL.EscapedPath(), prefix), "/") {
			seg, err := url.PathUnescape(s)
			if err != nil {
				t.Error(err)
			}
			path = append(path, seg)
		}
		if h.ServeWorkers(w, r, path) == "" {
			http.NotFound(w, r)
		}
	}))
	front := httptest.NewServer(m.Front())
	t.Cleanup(func() {
		srv.Close()
		front.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := errors.Join(m.Close(ctx), store.Close()); err != nil {
			t.Error(err)
		}
	})
	return &cloud{t: t, api: srv.URL + prefix, front: front.URL}
}

// call sends a request and returns status, error code, message and result.
func (c *cloud) call(method, path, contentType string, body []byte) (status, code int, message string, result any) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.api+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("User-Agent", "wrangler/4.86.0")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	var env struct {
		Success bool
		Errors  []struct {
			Code    int
			Message string
		}
		Result any
	}
	if err := json.NewDecoder(resp.Body).Decode(&env); err != nil {
		c.t.Fatalf("%s %s: %d: %v", method, path, resp.StatusCode, err)
	}
	if env.Success != (resp.StatusCode == http.StatusOK) {
		c.t.Errorf("%s %s: success %v with status %d", method, path, env.Success, resp.StatusCode)
	}
	if len(env.Errors) > 0 {
		code, message = env.Errors[0].Code, env.Errors[0].Message
	}
	return resp.StatusCode, code, message, env.Result
}

// ok is call for a request that must succeed.
func (c *cloud) ok(method, path, contentType string, body []byte) any {
	c.t.Helper()
	status, code, message, result := c.call(method, path, contentType, body)
	if status != 200 {
		c.t.Fatalf("%s %s: %d, code %d: %s", method, path, status, code, message)
	}
	return result
}

func (c *cloud) refused(want int, method, path, contentType string, body []byte) string {
	c.t.Helper()
	status, code, message, _ := c.call(method, path, contentType, body)
	if code != want || status < 400 || status >= 500 {
		c.t.Errorf("%s %s: %d, code %d %q, want code %d", method, path, status, code, message, want)
	}
	return message
}

// field follows keys and indexes into a decoded JSON value.
func field(t *testing.T, v any, path ...any) any {
	t.Helper()
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = v.(map[string]any)[p]
		case int:
			v = v.([]any)[p]
		}
	}
	return v
}

// uploadForm builds an upload of modules by name; names is how part names are
// made from module names (the SDK numbers them).
func uploadForm(t *testing.T, metadata string, modules [][2]string, number bool) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	mw := multipart.NewWriter(&b)
	add := func(disposition, ct, data string) {
		h := textproto.MIMEHeader{"Content-Disposition": {disposition}}
		if ct != "" {
			h.Set("Content-Type", ct)
		}
		w, err := mw.CreatePart(h)
		if err == nil {
			_, err = io.WriteString(w, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add(`form-data; name="metadata"`, "", metadata)
	for i, m := range modules {
		name := m[0]
		if number {
			name = fmt.Sprintf("files.%d", i)
		}
		add(fmt.Sprintf(`form-data; name=%q; filename=%q`, name, m[0]), "application/javascript+module", m[1])
	}
	if err := mw.Close(); err != nil {
		t.Fatal(err)
	}
	return mw.FormDataContentType(), b.Bytes()
}

func (c *cloud) worker(name, path string) string {
	c.t.Helper()
	req, err := http.NewRequest(http.MethodGet, c.front+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Host = name + ".sandbox.workers.dev"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(body)
}

const answer = `export default { fetch(_, env) { return new Response(env.V + env.S); } };`

func TestTheLifeOfAWorker(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.refused(10007, "GET", "services/w", "", nil)
	c.refused(10007, "GET", "scripts/w/deployments", "", nil)
	c.refused(10007, "GET", "scripts/w/settings", "", nil)
	md := func(v string, more string) string {
		return `{"main_module":"src/index.js","compatibility_date":"2026-04-01","bindings":[{"name":"V","type":"plain_text","text":"` + v + `"}` + more + `]}`
	}
	modules := [][2]string{{"src/index.js", answer}, {"lib/index.js", "export const unused = 1;"}}
	ct, body := uploadForm(t, md("v1", `,{"name":"S","type":"secret_text","text":"s1"}`), modules, false)
	put := c.ok("PUT", "scripts/w?excludeScript=true&bindings_inherit=strict", ct, body)
	v1 := field(t, put, "deployment_id").(string)
	for _, key := range []string{"tag", "etag", "startup_time_ms", "created_on"} {
		if field(t, put, key) == nil {
			t.Errorf("the upload's answer has no %s", key)
		}
	}
	if got := c.worker("w", "/"); got != "v1s1" {
		t.Fatalf("serves %q", got)
	}
	if from := field(t, c.ok("GET", "services/w", "", nil), "default_environment", "script", "last_deployed_from"); from != "wrangler" {
		t.Errorf("last_deployed_from %v", from)
	}

	// A version that is uploaded, with the SDK's part names, does not serve.
	ct, body = uploadForm(t, md("v2", ""), modules, true)
	v := c.ok("POST", "scripts/w/versions?bindings_inherit=strict", ct, body)
	v2 := field(t, v, "id").(string)
	if field(t, v, "number") != 2.0 || field(t, v, "metadata", "has_preview") != false || field(t, v, "resources", "script", "etag") == nil || field(t, v, "startup_time_ms") == nil {
		t.Errorf("version: %v", v)
	}
	if n := len(field(t, v, "resources", "bindings").([]any)); n != 2 {
		t.Errorf("%d bindings: the secret was not kept", n)
	}
	if got := c.worker("w", "/"); got != "v1s1" {
		t.Errorf("an undeployed version serves: %q", got)
	}
	if m := c.refused(10215, "PUT", "scripts/w/secrets", "application/json", []byte(`{"name":"S","text":"s2","type":"secret_text"}`)); !strings.Contains(m, "isn't currently deployed") {
		t.Error(m)
	}

	deploy := func(id string) []byte {
		return []byte(`{"strategy":"percentage","versions":[{"version_id":"` + id + `","percentage":100}],"annotations":{"workers/message":"m"},"code_update_strategy":{"mode":"immediate"}}`)
	}
	d := c.ok("POST", "scripts/w/deployments", "application/json", deploy(v2))
	if field(t, d, "annotations", "workers/triggered_by") != "deployment" || field(t, d, "annotations", "workers/message") != "m" {
		t.Errorf("deployment: %v", d)
	}
	if got := c.worker("w", "/"); got != "v2s1" {
		t.Errorf("serves %q", got)
	}

	// A secret is a new version, deployed; its text is nowhere to be read.
	c.ok("PUT", "scripts/w/secrets", "application/json", []byte(`{"name":"S","text":"s2","type":"secret_text"}`))
	if got := c.worker("w", "/"); got != "v2s2" {
		t.Errorf("serves %q", got)
	}
	list := c.ok("GET", "scripts/w/deployments", "", nil)
	if field(t, list, "deployments", 0, "annotations", "workers/triggered_by") != "secret" || len(field(t, list, "deployments").([]any)) != 3 {
		t.Errorf("deployments: %v", list)
	}
	for _, path := range []string{"scripts/w/settings", "scripts/w/versions/latest", "scripts/w/secrets", "scripts/w/versions", "scripts"} {
		if data, _ := json.Marshal(c.ok("GET", path, "", nil)); bytes.Contains(data, []byte("s2")) {
			t.Errorf("%s shows the secret: %s", path, data)
		}
	}

	// Going back over a changed secret needs force.
	if m := c.refused(10220, "POST", "scripts/w/deployments", "application/json", deploy(v1)); !strings.HasSuffix(m, "The following secrets have changed: S") {
		t.Error(m)
	}
	d = c.ok("POST", "scripts/w/deployments?force=true", "application/json", deploy(strings.ReplaceAll(v1, "-", "")))
	if field(t, d, "annotations", "workers/triggered_by") != "rollback" || field(t, d, "versions", 0, "version_id") != v1 {
		t.Errorf("rollback: %v", d)
	}
	if got := c.worker("w", "/"); got != "v1s1" {
		t.Errorf("serves %q", got)
	}
	c.refused(100146, "POST", "scripts/w/deployments", "application/json", deploy("00000000-0000-4000-8000-000000000000"))
	c.refused(10021, "POST", "scripts/w/deployments", "application/json", []byte(`{"versions":[{"version_id":"`+v1+`","percentage":50}]}`))

	c.ok("DELETE", "services/w?force=false", "", nil)
	c.refused(10007, "GET", "services/w", "", nil)
	if got := c.worker("w", "/"); !strings.Contains(got, "no Worker named") {
		t.Errorf("after the deletion: %q", got)
	}
}

// A drill's version inherits each binding by name from the version it names,
// not from the one uploaded last.
func TestInheritFromANamedVersion(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	md := func(v, s string) string {
		return `{"main_module":"i.js","compatibility_date":"2026-04-01","bindings":[{"name":"V","type":"plain_text","text":"` + v + `"},{"name":"S","type":"secret_text","text":"` + s + `"}]}`
	}
	modules := [][2]string{{"i.js", answer}}
	ct, body := uploadForm(t, md("v1", "s1"), modules, false)
	v1 := field(t, c.ok("PUT", "scripts/w", ct, body), "deployment_id").(string)
	ct, body = uploadForm(t, md("v2", "s2"), modules, false)
	c.ok("POST", "scripts/w/versions", ct, body)

	inherit := func(id string) (string, []byte) {
		vid := ""
		if id != "" {
			vid = `,"version_id":"` + id + `"`
		}
		return uploadForm(t, `{"main_module":"i.js","compatibility_date":"2026-04-01","annotations":{"workers/tag":"drill-1"},"bindings":[{"name":"V","type":"inherit"`+vid+`},{"name":"S","type":"inherit","old_name":"S"`+vid+`}]}`, modules, false)
	}
	for from, want := range map[string]string{v1: "v1s1", "": "v2s2"} {
		// The latest version is v2 until the first of these is uploaded, so each
		// round uploads v2 anew.
		ct, body = uploadForm(t, md("v2", "s2"), modules, false)
		c.ok("POST", "scripts/w/versions", ct, body)
		ct, body = inherit(from)
		id := field(t, c.ok("POST", "scripts/w/versions?bindings_inherit=strict&excludeScript=true", ct, body), "id").(string)
		c.ok("POST", "scripts/w/deployments?force=true", "application/json", []byte(`{"strategy":"percentage","versions":[{"version_id":"`+id+`","percentage":100}]}`))
		if got := c.worker("w", "/"); got != want {
			t.Errorf("inherited from %q: serves %q, want %q", from, got, want)
		}
	}
	ct, body = inherit("00000000-0000-4000-8000-000000000000")
	if m := c.refused(10057, "POST", "scripts/w/versions", ct, body); !strings.HasPrefix(m, "inherit binding 'V' is invalid") {
		t.Error(m)
	}
}

func TestContentComesBackWhole(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	modules := [][2]string{{"lib/util.js", "export const a = 1;"}, {"src/util.js", "export const b = 2;"}, {"src/index.js", answer}}
	ct, body := uploadForm(t, `{"main_module":"src/index.js","compatibility_date":"2026-04-01","bindings":[{"name":"V","type":"plain_text","text":""},{"name":"S","type":"plain_text","text":""}]}`, modules, false)
	id := field(t, c.ok("PUT", "scripts/w", ct, body), "deployment_id").(string)
	resp, err := http.Get(c.api + "scripts/w/content/v2?version=" + id)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("cf-entrypoint"); got != "src/index.js" {
		t.Errorf("cf-entrypoint %q", got)
	}
	_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	mr := multipart.NewReader(resp.Body, params["boundary"])
	for _, want := range modules {
		p, err := mr.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(p)
		if err != nil || p.FormName() != want[0] || string(data) != want[1] || p.Header.Get("Content-Type") != "application/javascript+module" {
			t.Errorf("part %s: %q %v", p.FormName(), data, err)
		}
	}
	if _, err := mr.NextPart(); err != io.EOF {
		t.Errorf("after the last part: %v", err)
	}
}

func TestSettingsSecretsSubdomainAndPages(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	up := func(n int) (string, []byte) {
		return uploadForm(t, fmt.Sprintf(`{"main_module":"i.js","compatibility_date":"2026-04-01","bindings":[{"name":"V","type":"plain_text","text":"%d"},{"name":"S","type":"secret_text","text":"s"}]}`, n), [][2]string{{"i.js", answer}}, false)
	}
	ct, body := up(0)
	c.ok("PUT", "scripts/w", ct, body)

	// secret bulk: an entry without text keeps, what is not listed goes.
	ct, body = uploadFormPart(t, "settings", `{"bindings":[{"type":"plain_text","name":"V"},{"type":"secret_text","name":"S"},{"type":"secret_text","name":"N","text":"new"}]}`)
	c.ok("PATCH", "scripts/w/settings", ct, body)
	if got := c.worker("w", "/"); got != "0s" {
		t.Errorf("serves %q", got)
	}
	if n := len(c.ok("GET", "scripts/w/secrets", "", nil).([]any)); n != 2 {
		t.Errorf("%d secrets", n)
	}
	c.ok("PATCH", "scripts/w/secrets-bulk", "application/merge-patch+json", []byte(`{"secrets":{"S":{"name":"S","type":"secret_text","text":"t"},"N":null}}`))
	if got := c.worker("w", "/"); got != "0t" {
		t.Errorf("serves %q", got)
	}
	c.refused(10056, "DELETE", "scripts/w/secrets/NOPE?url_encoded=true", "", nil)
	c.ok("DELETE", "scripts/w/secrets/S?url_encoded=true", "", nil)
	if got := c.worker("w", "/"); got != "0undefined" {
		t.Errorf("serves %q", got)
	}

	c.ok("PATCH", "scripts/w/script-settings", "application/json", []byte(`{"observability":{"enabled":true}}`))
	set := c.ok("PATCH", "scripts/w/script-settings", "application/json", []byte(`{"tags":["a"]}`))
	if field(t, set, "observability", "enabled") != true || field(t, set, "tags", 0) != "a" {
		t.Errorf("script settings do not merge: %v", set)
	}

	if sub := c.ok("GET", "scripts/w/subdomain", "", nil); field(t, sub, "enabled") != true {
		t.Errorf("subdomain: %v", sub)
	}
	c.ok("POST", "scripts/w/subdomain", "application/json", []byte(`{"enabled":false}`))
	if got := c.worker("w", "/"); !strings.Contains(got, "switched off") {
		t.Errorf("a switched off name answers %q", got)
	}
	if field(t, c.ok("GET", "subdomain", "", nil), "subdomain") != "sandbox" {
		t.Error("account subdomain")
	}

	for i := range 12 {
		ct, body = up(i)
		c.ok("POST", "scripts/w/versions", ct, body)
	}
	first := c.ok("GET", "scripts/w/versions?deployable=true", "", nil)
	items := field(t, first, "items").([]any)
	if len(items) != 10 || field(t, items[0], "number") != 16.0 {
		t.Errorf("%d versions, the first is %v", len(items), field(t, items[0], "number"))
	}
	stamp := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`)
	for _, it := range items {
		if s := field(t, it, "metadata", "created_on").(string); !stamp.MatchString(s) {
			t.Errorf("created_on %q", s)
		}
	}
	if past := field(t, c.ok("GET", "scripts/w/versions?page=9", "", nil), "items").([]any); len(past) != 0 {
		t.Errorf("a page past the end has %d versions", len(past))
	}
	c.ok("PUT", "scripts/w/schedules", "application/json", []byte(`[]`))
	c.refused(10021, "PUT", "scripts/w/schedules", "application/json", []byte(`[{"cron":"* * * * *"}]`))
	c.ok("GET", "scripts/w/references", "", nil)
	c.ok("GET", "tails/by-consumer/w", "", nil)
	c.refused(10026, "PUT", "scripts/w", "text/plain", []byte("x"))
	c.refused(10026, "POST", "scripts/w/deployments", "application/json", []byte("{"))
}

func uploadFormPart(t *testing.T, name, data string) (string, []byte) {
	t.Helper()
	var b bytes.Buffer
	mw := multipart.NewWriter(&b)
	if err := mw.WriteField(name, data); err != nil {
		t.Fatal(err)
	}
	if err := mw.Close(); err != nil {
		t.Fatal(err)
	}
	return mw.FormDataContentType(), b.Bytes()
}
