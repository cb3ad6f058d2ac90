package incident

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/cli"
	"firedrill/internal/testkit/sandboxtest"
)

// place is a sandbox with an application, and a plan that names them.
type place struct {
	t        *testing.T
	cloud    *sandboxtest.Cloud
	db, kv   string
	dir      string
	args     []string // that every command is given
	version  string   // of the Worker, the good one
	versions int
}

// shop is the application: healthy while it is a good version.
const shop = `export default { async fetch(r, env) {
  const { n, sum } = await env.DB.prepare("SELECT count(*) AS n, sum(n + length(name)) AS sum FROM rows").first();
  return Response.json({ version: %q, rows: n > 0, sum });
} };`

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{t: t, cloud: sandboxtest.Start(t), dir: t.TempDir()}
	c := p.cloud
	p.db, p.kv = c.Database("shop"), c.KV("cache")
	p.fill()
	for i := range 20 {
		p.put(fmt.Sprintf("k%d", i), fmt.Sprintf("value %d", i))
	}
	p.version = p.deploy("good")
	token := filepath.Join(p.dir, "token")
	p.write(token, c.Token())
	file := filepath.Join(p.dir, "firedrill.yaml")
	p.write(file, fmt.Sprintf(`version: 1
name: shop
environments:
  sandbox:
    class: sandbox
    cloudflare: {api: %[1]q, account: %[2]s, token: {file: %[3]q}}
    resources:
      primary: {kind: d1, name: shop}
      cache: {kind: kv, name: cache}
      gateway: {kind: worker, name: gateway, url: %[4]q, probes: [{path: /health, status: 200, json: {version: good, rows: true}}]}
  production:
    class: production
    cloudflare: {api: %[1]q, account: %[2]s, token: {file: %[3]q}}
    resources:
      primary: {kind: d1, name: elsewhere}
drills:
  d1-pitr: {on: sandbox, use: d1-pitr, with: {database: primary, level: full}, rto: 15m}
  kv: {on: sandbox, use: kv-backup-restore, with: {namespace: cache, settle: 20, large: 30000}}
  worker-rollback: {on: sandbox, use: worker-rollback, with: {worker: gateway}}
`, c.API, c.Account, token, strings.Replace(c.Front, "127.0.0.1", "gateway.localhost", 1)))
	p.args = []string{"--plan", file, "--home", filepath.Join(p.dir, "home")}
	return p
}

func (p *place) write(path, text string) {
	p.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// fill makes the rows, in a database that has none.
func (p *place) fill() {
	p.t.Helper()
	for _, sql := range []string{"CREATE TABLE rows (id INTEGER PRIMARY KEY, name TEXT NOT NULL, n INTEGER)", "CREATE INDEX by_name ON rows (name)",
		"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 200) INSERT INTO rows SELECT i, 'row ' || i, i * 7 FROM c"} {
		p.cloud.Query(p.db, sql)
	}
}

// edit changes the plan.
func (p *place) edit(change func(string) string) {
	p.t.Helper()
	data, err := os.ReadFile(p.args[1])
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(p.args[1], change(string(data)))
}

func (p *place) put(key, value string) {
	p.t.Helper()
	p.cloud.Must(http.MethodPut, "storage/kv/namespaces/"+p.kv+"/bulk", []map[string]any{{"key": key, "value": value}})
}

// deploy deploys a version of the application and gives its id.
func (p *place) deploy(name string) string {
	p.t.Helper()
	p.cloud.Deploy("gateway", fmt.Sprintf(shop, name)+fmt.Sprintf("\n// %d", p.versions), []map[string]any{{"name": "DB", "type": "d1", "id": p.db}}, nil)
	p.versions++
	return p.serving()
}

func (p *place) serving() string {
	p.t.Helper()
	var out struct {
		Deployments []struct {
			Created  string `json:"created_on"`
			Versions []struct {
				ID string `json:"version_id"`
			}
		}
	}
	p.cloud.Must(http.MethodGet, "workers/scripts/gateway/deployments", nil).Into(p.t, &out)
	newest := slices.MaxFunc(out.Deployments, func(a, b struct {
		Created  string `json:"created_on"`
		Versions []struct {
			ID string `json:"version_id"`
		}
	}) int {
		return strings.Compare(a.Created, b.Created)
	})
	return newest.Versions[0].ID
}

// rows is everything that the database holds, its schema too.
func (p *place) rows() string {
	p.t.Helper()
	var all []string
	for _, o := range p.cloud.Query(p.db, "SELECT name, sql FROM sqlite_schema ORDER BY name") {
		all = append(all, fmt.Sprint(o))
		if sql, _ := o["sql"].(string); strings.HasPrefix(sql, "CREATE TABLE") {
			all = append(all, fmt.Sprint(p.cloud.Query(p.db, fmt.Sprintf(`SELECT * FROM "%s" ORDER BY 1`, o["name"]))))
		}
	}
	return strings.Join(all, "\n")
}

// keys is everything that the namespace holds.
func (p *place) keys() string {
	p.t.Helper()
	var list []struct{ Name string }
	p.cloud.Must(http.MethodGet, "storage/kv/namespaces/"+p.kv+"/keys", nil).Into(p.t, &list)
	var all []string
	for _, k := range list {
		r := p.cloud.Call(http.MethodGet, sandboxtest.KVValue(p.kv, k.Name), "", nil)
		all = append(all, fmt.Sprintf("%s=%s", k.Name, r.Body))
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// run runs a command and gives its status, what it printed, and what it told.
func (p *place) run(args ...string) (status int, out, told string) {
	p.t.Helper()
	var stdout, stderr bytes.Buffer
	status = cli.Run(cli.Process{Args: append(args, p.args...), Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Getenv: func(string) string { return "" }, Now: time.Now, Version: "test"})
	return status, stdout.String(), stderr.String()
}

// recover runs a command that must recover, and gives its result.
func (p *place) recover(args ...string) firedrill.Result {
	p.t.Helper()
	r, status, told := p.result(args...)
	if status != firedrill.ExitOK || r.Verdict != firedrill.Recovered || r.State != firedrill.Restored {
		p.t.Fatalf("%v: status %d, %s %s %v\n%s", args, status, r.Verdict, r.ReasonCode, r.Reasons, told)
	}
	return r
}

func (p *place) result(args ...string) (firedrill.Result, int, string) {
	p.t.Helper()
	status, out, told := p.run(append(args, "--json")...)
	var doc firedrill.Document
	if err := json.Unmarshal([]byte(out), &doc); err != nil || len(doc.Runs) != 1 {
		p.t.Fatalf("%v: status %d, no result: %v\n%s%s", args, status, err, out, told)
	}
	return doc.Runs[0], status, told
}

// disaster does random damage to rows and schema.
func (p *place) disaster(r *rand.Rand) {
	p.t.Helper()
	all := []string{
		fmt.Sprintf("DELETE FROM rows WHERE id %% %d = 0", 2+r.IntN(5)),
		fmt.Sprintf("UPDATE rows SET name = 'CORRUPTED', n = n + %d WHERE id > %d", 1+r.IntN(9), r.IntN(150)),
		"DROP INDEX by_name",
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS stray_%d (x TEXT)", r.IntN(1000)),
		"ALTER TABLE rows ADD COLUMN stray TEXT DEFAULT 'x'",
		"DROP TABLE rows",
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, sql := range all[:1+r.IntN(len(all))] {
		p.cloud.Query(p.db, sql)
		if sql == "DROP TABLE rows" {
			return // nothing is left for others to damage
		}
	}
}
