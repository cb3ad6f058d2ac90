package exports

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

	"go.uber.org/goleak"

	"firedrill"
	"firedrill/internal/cli"
	"firedrill/internal/testkit/sandboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// drill runs a drill of a plan in this process.
func drill(t *testing.T, c *sandboxtest.Cloud, resources, drills, name string) (int, firedrill.Result, string) {
	t.Helper()
	dir := t.TempDir()
	file, token := filepath.Join(dir, "firedrill.yaml"), filepath.Join(dir, "token")
	plan := fmt.Sprintf(`version: 1
name: exports
environments:
  sandbox:
    class: sandbox
    cloudflare: {api: %q, account: %s, token: {file: %q}}
    resources:
%s
drills:
%s
`, c.API, c.Account, token, strings.ReplaceAll(resources, "FRONT", strings.Replace(c.Front, "127.0.0.1", "app.localhost", 1)), drills)
	for path, text := range map[string]string{file: plan, token: c.Token()} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, told bytes.Buffer
	status := cli.Run(cli.Process{Args: []string{"run", name, "--json", "--yes", "--plan", file, "--home", filepath.Join(dir, "home")},
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &told, Getenv: func(string) string { return "" }, Now: time.Now, Version: "test"})
	var doc firedrill.Document
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil || len(doc.Runs) != 1 {
		t.Fatalf("exit status %d, %v: %s%s", status, err, &out, &told)
	}
	return status, doc.Runs[0], told.String()
}

// carts keeps what is in a cart in a Durable Object of its own, and exports the
// storage of all that the route names, a page at a time.
const carts = `import { DurableObject } from "cloudflare:workers";
export class Cart extends DurableObject {
	constructor(ctx, env) { super(ctx, env); this.sql = ctx.storage.sql; this.sql.exec("CREATE TABLE IF NOT EXISTS items (name TEXT PRIMARY KEY, count INTEGER, secret TEXT)"); }
	put(name, count) { this.sql.exec("INSERT OR REPLACE INTO items VALUES (?, ?, ?)", name, count, "s" + count); }
	all() { return this.sql.exec("SELECT * FROM items ORDER BY name").toArray(); }
}
const customers = ["ann", "bob", "cid"];
export default { async fetch(request, env) {
	const url = new URL(request.url);
	const cart = (name) => env.CARTS.get(env.CARTS.idFromName(name));
	if (request.method === "POST") {
		await cart(url.searchParams.get("customer")).put(url.searchParams.get("item"), Number(url.searchParams.get("count")));
		return Response.json({ ok: true });
	}
	const at = Number(url.searchParams.get("cursor") ?? 0);
	const records = (await cart(customers[at]).all()).map((item) => ({ id: customers[at] + "/" + item.name, ...item }));
	return Response.json({ records, next: at + 1 < customers.length ? at + 1 : null });
} }`

// TestADurableObjectIsComparedByItsExport: the platform has no way to read it, the
// application has one.
func TestADurableObjectIsComparedByItsExport(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	c.Deploy("app", carts, []map[string]any{{"type": "durable_object_namespace", "name": "CARTS", "class_name": "Cart"}},
		map[string]any{"migrations": map[string]any{"new_tag": "v1", "steps": []any{map[string]any{"new_sqlite_classes": []string{"Cart"}}}}})
	c.Must(http.MethodPost, "workers/scripts/app/subdomain", map[string]bool{"enabled": true})
	resources := `      app: {kind: worker, name: app, url: "FRONT", exports: [{path: /export/carts, key: id, of: Cart, redact: [secret]}]}`
	put := func(customer, item string, count int) string {
		return fmt.Sprintf(`{uses: http.expect, phase: baseline, with: {url: "${{ resources.app.url }}/put?customer=%s&item=%s&count=%d", method: POST, json: {ok: true}}`, customer, item, count)
	}
	const steps = `
      - {id: before, phase: baseline, uses: http.fingerprint, with: {exports: "${{ environment.exports }}", of: Cart}, needs: [one, two], expect: ["outputs.records == 2"]}
      - {id: after, phase: verify, uses: http.fingerprint-compare, with: {exports: "${{ environment.exports }}", of: Cart, against: "${{ steps.before.outputs.file }}"}, proves: service}`
	drills := `  same:
    steps:
      - ` + put("ann", "tea", 1) + `, id: one}
      - ` + put("cid", "milk", 2) + `, id: two}` + steps + `
  changed:
    steps:
      - ` + put("ann", "tea", 1) + `, id: one}
      - ` + put("cid", "milk", 2) + `, id: two}
      - ` + put("cid", "milk", 3) + `, id: damage, needs: [before]}` + steps
	check := func(r firedrill.Result) firedrill.StepCheck {
		for _, ch := range r.Checks {
			if ch.Step == "after" {
				return ch
			}
		}
		return firedrill.StepCheck{}
	}
	if _, r, told := drill(t, c, resources, drills, "same"); !check(r).OK || check(r).Compared != 6 {
		t.Errorf("nothing was changed: %+v\n%s", r.Checks, told)
	}
	_, r, told := drill(t, c, resources, drills, "changed")
	const want = `id="cid/milk": count 2 is now 3, secret (redacted) is now (redacted)`
	if ch := check(r); ch.OK || !strings.Contains(ch.Detail, want) {
		t.Errorf("an entry was changed: %+v\n%s", r.Checks, told)
	}
	if r.Verdict == firedrill.Passed {
		t.Error("passed")
	}
}

// shop exports a table of a database, and goes wrong as VARIANT says.
const shop = `let kept, stuck;
const json = (body) => Response.json(body, { headers: { "cache-control": "no-store" } });
export default { async fetch(request, env) {
	const { results } = await env.DB.prepare("SELECT * FROM goods ORDER BY id").all();
	if (new URL(request.url).pathname !== "/export") return json({ ok: true, goods: results });
	const text = JSON.stringify(results);
	kept ??= text;
	if (text !== kept) stuck ??= text;
	switch (env.VARIANT) {
	case "kept": return json(JSON.parse(kept));
	case "stuck": return json(JSON.parse(stuck ?? text));
	}
	return json(results);
} }`

// TestTheApplicationReadsWhatTheDrillRecovered: with an export that shows the
// data the drill passes; one that is kept somewhere is noted; and one that still
// gives the damage after the recovery, while the database and the probes are
// right, fails the drill.
func TestTheApplicationReadsWhatTheDrillRecovered(t *testing.T) {
	t.Parallel()
	for variant, want := range map[string]struct {
		verdict firedrill.Verdict
		says    string
	}{
		"good":  {firedrill.Passed, "1 of 1 exports show the damage"},
		"kept":  {firedrill.Passed, "app /export was the same while the data was damaged"}, // and proves nothing
		"stuck": {firedrill.Failed, "service-differs"},
	} {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			c := sandboxtest.Start(t)
			id := c.Database("shop")
			c.Query(id, "CREATE TABLE goods (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
			c.Query(id, "INSERT INTO goods (name) VALUES ('a'), ('b'), ('c'), ('d')")
			c.Deploy("app", shop, []map[string]any{{"type": "d1", "name": "DB", "id": id}, {"type": "plain_text", "name": "VARIANT", "text": variant}}, nil)
			c.Must(http.MethodPost, "workers/scripts/app/subdomain", map[string]bool{"enabled": true})
			status, r, told := drill(t, c, `      shop: {kind: d1, name: shop}
      app: {kind: worker, name: app, url: "FRONT", probes: [{path: /, json: {ok: true}}], exports: [{path: /export, key: id, of: shop}]}`,
				"  pitr: {use: d1-pitr, with: {database: shop}, rto: 5m, rpo: 5m}", "pitr")
			if r.Verdict != want.verdict {
				t.Errorf("exit status %d: %+v\n%s", status, r, told)
			}
			if all := fmt.Sprint(told, r.ReasonCode, r.Collateral); !strings.Contains(strings.Join(strings.Fields(all), " "), want.says) {
				t.Errorf("does not say %q: %s", want.says, all)
			}
			if proven := strings.Contains(fmt.Sprint(r.Reasons), "service is proven: 1 of 1 exports as before"); proven != (variant == "good") {
				t.Errorf("proven by the export %v: %q", proven, r.Reasons)
			}
		})
	}
}
