package wrangler

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// room is a Worker with a class of rooms that count, a KV namespace, and a
// secret that it shows.
const room = `import { DurableObject } from "cloudflare:workers";
export class %[1]s extends DurableObject {
  async fetch() { const n = 1 + ((await this.ctx.storage.get("n")) ?? 0); await this.ctx.storage.put("n", n); return new Response("%[2]s " + n); }
}
export default { async fetch(request, env) {
  if (new URL(request.url).pathname === "/env") return new Response((env.API_KEY ?? "none") + " " + (env.OTHER ?? "none"));
  return env.ROOM.get(env.ROOM.idFromName("lobby")).fetch(request);
} };
`

const roomConfig = `{ "name": "rooms", "main": "index.js", "compatibility_date": "2026-04-01",
  "durable_objects": { "bindings": [{ "name": "ROOM", "class_name": "%s" }] }, "migrations": [%s] }`

func (b *bench) room(class, text, migrations string) {
	b.t.Helper()
	b.write("rooms/index.js", fmt.Sprintf(room, class, text))
	b.write("rooms/wrangler.jsonc", fmt.Sprintf(roomConfig, class, migrations))
}

func (b *bench) wants(worker, path, want string) {
	b.t.Helper()
	if status, body := b.cloud.Get(worker, path); status != http.StatusOK || body != want {
		b.t.Fatalf("%s%s: %d %q, want %q", worker, path, status, body, want)
	}
}

func TestDurableObjects(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const v1 = `{ "tag": "v1", "new_sqlite_classes": ["Room"] }`
	b.room("Room", "one", "")
	b.fails("rooms", words("deploy"), "10061")
	b.room("Room", "one", v1)
	b.must("rooms", words("deploy"), "env.ROOM", "Durable Object")
	b.wants("rooms", "/", "one 1")
	// Deployed again: the migrations that were applied are not sent again.
	b.room("Room", "two", v1)
	b.must("rooms", words("deploy"))
	b.wants("rooms", "/", "two 2")
	b.fails("rooms", words("deploy --var X:1 --tag t --message m --dispatch-namespace nope"), "")
	// Secrets in bulk leave the other bindings as they are.
	b.write("rooms/secrets.json", `{"API_KEY":"canary"}`)
	b.must("rooms", words("secret bulk secrets.json"), "Success")
	b.wants("rooms", "/env", "canary none")
	b.wants("rooms", "/", "two 3")
	// A class is renamed, which a version upload must not do.
	const v2 = v1 + `, { "tag": "v2", "renamed_classes": [{ "from": "Room", "to": "Hall" }] }`
	b.room("Hall", "three", v2)
	b.fails("rooms", words("versions upload"), "10211")
	b.must("rooms", words("deploy"))
	b.wants("rooms", "/", "three 4")
	var ns []struct{ Script, Class string }
	b.cloud.Must("GET", "workers/durable_objects/namespaces", nil).Into(t, &ns)
	if len(ns) != 1 || ns[0].Class != "Hall" || ns[0].Script != "rooms" {
		t.Errorf("namespaces %+v", ns)
	}
	b.must("rooms", words("delete --force"))
	if status, _ := b.cloud.Get("rooms", "/"); status != http.StatusNotFound {
		t.Errorf("a deleted Worker answers %d", status)
	}
}

func TestSecretsAndVersions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write("rooms/index.js", `export default { fetch(r, env) { return new Response((env.API_KEY ?? "none") + " " + (env.OTHER ?? "none") + " " + (env.WHICH ?? "")); } };`)
	b.write("rooms/wrangler.jsonc", `{ "name": "rooms", "main": "index.js", "compatibility_date": "2026-04-01" }`)
	b.must("rooms", words("deploy"))
	b.write("rooms/secrets.json", `{"API_KEY":"first-canary","OTHER":"second-canary"}`)
	b.must("rooms", words("secret bulk secrets.json"), "Success")
	b.wants("rooms", "/", "first-canary second-canary ")
	if out := b.must("rooms", words("secret list"), "API_KEY", "OTHER"); strings.Contains(out, "canary") {
		t.Errorf("the list tells secrets: %s", out)
	}
	b.must("rooms", words("deploy --var WHICH:deployed"))
	b.wants("rooms", "/", "first-canary second-canary deployed")

	// Versions: uploaded, looked at, given secrets, deployed in part.
	b.must("rooms", words("versions upload --var WHICH:uploaded --tag t1 --message hello"), "Worker Version ID")
	b.wants("rooms", "/", "first-canary second-canary deployed")
	if _, err := b.run("rooms", "third-canary\n", words("versions secret put OTHER --message secret")...); err != nil {
		t.Fatal(err)
	}
	b.must("rooms", words("versions secret list"), "API_KEY", "OTHER")
	b.write("rooms/secrets.json", `{"API_KEY":"fourth-canary"}`)
	b.must("rooms", words("versions secret bulk secrets.json"))
	var versions []struct {
		ID          string
		Number      int
		Annotations map[string]string
	}
	b.json(b.must("rooms", words("versions list --json")), &versions)
	if len(versions) != 6 {
		t.Fatalf("%d versions: %+v", len(versions), versions)
	}
	newest, uploaded := versions[0], versions[0]
	for _, v := range versions {
		if v.Number > newest.Number {
			newest = v
		}
		if v.Annotations["workers/tag"] == "t1" {
			uploaded = v
		}
	}
	b.must("rooms", words("versions view "+uploaded.ID), "hello", "API_KEY")
	b.must("rooms", words("versions deploy "+newest.ID+"@100% -y --message go"), newest.ID)
	b.wants("rooms", "/", "fourth-canary third-canary uploaded")
	b.must("rooms", words("deployments status"), newest.ID)
	b.must("rooms", words("deployments list"), newest.ID, "go")
	// Shared with a version of other secrets, wrangler is told so and gives up.
	b.fails("rooms", []string{"versions", "deploy", newest.ID + "@30%", uploaded.ID + "@70%", "-y"}, "API_KEY, OTHER [code: 10220]")
	b.must("rooms", words("versions upload --var WHICH:later --tag t2"))
	b.json(b.must("rooms", words("versions list --json")), &versions)
	later := ""
	for _, v := range versions {
		if v.Annotations["workers/tag"] == "t2" {
			later = v.ID
		}
	}
	b.must("rooms", []string{"versions", "deploy", newest.ID + "@30%", later + "@70%", "-y"}, "30%", "70%")
	if out := b.must("rooms", words("deployments status --json")); strings.Count(out, "version_id") != 2 {
		t.Errorf("status of a split: %s", out)
	}
	b.must("rooms", words("versions deploy "+newest.ID+"@100% -y"))
	b.must("rooms", words("versions secret delete OTHER"))
	b.must("rooms", words("triggers deploy"))
	b.must("rooms", []string{"rollback", uploaded.ID, "-y", "-m", "back"}, uploaded.ID)
	b.wants("rooms", "/", "first-canary second-canary uploaded")
	b.must("rooms", words("delete"))
}

// TestWhatIsNotThereIsRefused deploys Workers with what the sandbox lacks.
func TestWhatIsNotThereIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write("rooms/index.js", "export default {};")
	for config, said := range map[string]string{
		`"ai": { "binding": "AI" }`:                                                    "--stub ai",
		`"queues": { "producers": [{ "binding": "Q", "queue": "q" }] }`:                "queue",
		`"vectorize": [{ "binding": "V", "index_name": "v" }]`:                         "vectorize",
		`"hyperdrive": [{ "binding": "H", "id": "00000000000000000000000000000000" }]`: "hyperdrive",
		`"triggers": { "crons": ["* * * * *"] }`:                                       "cron",
	} {
		b.write("rooms/wrangler.jsonc", `{ "name": "rooms", "main": "index.js", "compatibility_date": "2026-04-01", `+config+` }`)
		b.fails("rooms", words("deploy"), said)
	}
}
