package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"firedrill/internal/testkit/faultproxy"
	"firedrill/internal/testkit/sandboxtest"
	"firedrill/internal/testkit/seeproxy"
)

// account is a folder whose configurations are in order, and an account in which
// they are not: a sandbox that stands for a real one.
type account struct {
	*audited
	cloud      *sandboxtest.Cloud
	live, test string // ids of the databases
}

const anyWorker = `export default { fetch() { return new Response("ok") } }`

func newAccount(t *testing.T) *account {
	t.Helper()
	a := &account{audited: &audited{t, t.TempDir(), "2026-03-01"}, cloud: sandboxtest.Start(t)}
	a.live, a.test = a.cloud.Database("orders"), a.cloud.Database("orders-staging")
	a.write("wrangler.jsonc", fmt.Sprintf(`{
  "name": "orders",
  "account_id": %q,
  "vars": {"REGION": "eu"},
  "d1_databases": [{"binding": "DB", "database_name": "orders", "database_id": %q}],
  "env": {
    "staging": {
      "vars": {"REGION": "eu"},
      "d1_databases": [{"binding": "DB", "database_name": "orders-staging", "database_id": %q}]
    }
  }
}
`, a.cloud.Account, a.live, a.test))
	a.write("token", a.cloud.Token())
	a.plan(a.cloud.API)
	a.deploy("orders", a.live)
	a.deploy("orders-staging", a.test)
	return a
}

func (a *account) plan(api string) {
	a.t.Helper()
	a.write(planName, fmt.Sprintf(`version: 1
name: orders
environments:
  staging:
    class: staging
    cloudflare: {api: %q, account: %q, token: {file: %q}}
    resources: {primary: {kind: d1, name: orders-staging}}
  production:
    class: production
    cloudflare: {account: %q}
    resources: {primary: {kind: d1, name: orders}}
`, api, a.cloud.Account, a.path("token"), a.cloud.Account))
}

func (a *account) deploy(name, database string) {
	a.t.Helper()
	a.cloud.Deploy(name, anyWorker, []map[string]any{{"name": "DB", "type": "d1", "id": database}, {"name": "REGION", "type": "plain_text", "text": "eu"}}, nil)
}

// TestAuditOfAnAccount deploys what the files say, and then a Worker of staging on
// production's database, which no file shows.
func TestAuditOfAnAccount(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	var eye seeproxy.Eye
	var mu sync.Mutex
	var changing []string
	eye.See(func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Method != http.MethodGet {
			changing = append(changing, r.Method+" "+r.URL.Path)
		}
	})
	a.plan(eye.Start(t, strings.TrimSuffix(a.cloud.API, "/client/v4"), "") + "/client/v4")

	out, _ := a.run(0, "--live")
	for _, want := range []string{"account " + a.cloud.Account + " (production, staging): 2 Workers, 2 databases, 0 namespaces, 0 buckets", "not looked at: queues, custom domains, routes", "queues of account " + a.cloud.Account + ": the API has no such call", "0 errors, 0 warnings"} {
		if !strings.Contains(out, want) {
			t.Errorf("without %q:\n%s", want, out)
		}
	}
	a.deploy("orders-staging", a.live)
	a.deploy("stray", a.test)
	if out, _ := a.run(0); strings.Contains(out, "deployed") {
		t.Errorf("without --live:\n%s", out)
	}
	out, _ = a.run(1, "--live")
	for _, want := range []string{"wrangler.jsonc:9:92 deployed-on-foreign", "DB of Worker orders-staging (staging) is bound to database orders (" + a.live + "), which belongs to production (the top level)",
		"firedrill.yaml:4:3 unnamed-worker", "Worker stray, which no file names; it is bound to database orders-staging", "1 error, 0 warnings"} {
		if !strings.Contains(out, want) {
			t.Errorf("without %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, a.cloud.Token()) {
		t.Error("the token is shown")
	}
	baseline := a.path("isolation.json")
	a.run(0, "--live", "--baseline", baseline, "--accept", "on purpose", "--until", "2026-06-30")
	a.run(0, "--live", "--baseline", baseline)
	sarif, _ := a.run(1, "--live", "--format", "sarif")
	if !strings.Contains(sarif, "deployed-on-foreign") || !strings.Contains(sarif, "not-looked-at") {
		t.Errorf("%s", sarif)
	}
	if len(changing) > 0 {
		t.Errorf("an audit changes nothing: %v", changing)
	}
}

// TestAuditOfASplit finds what the second of two versions that serve is bound to.
func TestAuditOfASplit(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	serving := func() string {
		var out struct {
			Deployments []struct {
				Versions []struct {
					ID string `json:"version_id"`
				}
			}
		}
		a.cloud.Must("GET", "workers/scripts/orders-staging/deployments", nil).Into(t, &out)
		return out.Deployments[0].Versions[0].ID
	}
	good := serving()
	a.deploy("orders-staging", a.live)
	bad := serving()
	a.cloud.Must("POST", "workers/scripts/orders-staging/deployments", map[string]any{"strategy": "percentage",
		"versions": []map[string]any{{"version_id": good, "percentage": 99}, {"version_id": bad, "percentage": 1}}})
	if out, _ := a.run(1, "--live"); !strings.Contains(out, "deployed-on-foreign") {
		t.Errorf("%s", out)
	}
}

// TestAuditOfAnAccountThatDiffers: ids that are not there, names of others, drift.
func TestAuditOfAnAccountThatDiffers(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	other := a.cloud.Database("scratch")
	a.deploy("orders-staging", other)
	a.cloud.Must("DELETE", "d1/database/"+a.test, nil)
	out, _ := a.run(1, "--live", "--json")
	var doc auditDocument
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range doc.Findings {
		if f.Counts() {
			got = append(got, f.At.String()+" "+string(f.Rule))
		}
	}
	slices.Sort(got)
	want := []string{"firedrill.yaml:7:43 not-in-account", "wrangler.jsonc:9:92 deployed-drift", "wrangler.jsonc:9:92 not-in-account"}
	if !slices.Equal(got, want) || len(doc.Accounts) != 1 || doc.Accounts[0].Held["worker"] != 2 {
		t.Errorf("%v, want %v; %+v", got, want, doc.Accounts)
	}
}

// TestAuditOfWhatCannotBeAsked: a token that may not read, an API that is not there,
// plans that name nobody.
func TestAuditOfWhatCannotBeAsked(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	proxy := faultproxy.Start(t, strings.TrimSuffix(a.cloud.API, "/client/v4"))
	proxy.Use(func(_ int, r *http.Request) faultproxy.Fault {
		if strings.HasSuffix(r.URL.Path, "/workers/scripts") {
			return faultproxy.Fault{Kind: faultproxy.Fail, Status: http.StatusForbidden}
		}
		return faultproxy.Fault{}
	})
	a.plan(proxy.URL + "/client/v4")
	out, _ := a.run(1, "--live")
	if !strings.Contains(out, "warning firedrill.yaml:4:3 not-looked-at") || !strings.Contains(out, "not looked at: queues, Workers, custom domains, routes") || strings.Contains(out, "0 Workers") {
		t.Errorf("%s", out)
	}
	a.plan("http://127.0.0.1:1/client/v4")
	a.run(6, "--live")
	if _, told := a.run(2, "--live", "--env", "stagin"); !strings.Contains(told, "did you mean staging?") {
		t.Errorf("%s", told)
	}
	a.write(planName, "version: 1\nname: x\nenvironments:\n  production: {class: production, resources: {p: {kind: d1, name: x}}}\n")
	if _, told := a.run(2, "--live"); !strings.Contains(told, "names an account") {
		t.Errorf("%s", told)
	}
}

// TestProductionsAccountIsAskedByName: an account that is production's alone is told
// as not looked at, until somebody names the environment.
func TestProductionsAccountIsAskedByName(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.write(planName, fmt.Sprintf(`version: 1
name: orders
environments:
  production:
    class: production
    cloudflare: {api: %q, account: %q, token: {file: %q}}
    resources: {primary: {kind: d1, name: orders}}
`, a.cloud.API, a.cloud.Account, filepath.ToSlash(a.path("token"))))
	if out, _ := a.run(0, "--live"); !strings.Contains(out, "it is production's alone; --env production asks it") || strings.Contains(out, "2 Workers") {
		t.Errorf("%s", out)
	}
	if out, _ := a.run(0, "--live", "--env", "production"); !strings.Contains(out, "2 Workers, 2 databases") {
		t.Errorf("%s", out)
	}
}
