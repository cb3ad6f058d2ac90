package workers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"firedrill/internal/sandbox/workers"
)

// counter is a Worker with a class of counters: /NAME adds one and answers with
// the sum, /NAME?peek only answers, /NAME?alarm sets an alarm that adds 100.
const counter = `import { DurableObject } from "cloudflare:workers";
class Count extends DurableObject {
  constructor(ctx, env) { super(ctx, env); this.sql = ctx.storage.sql; this.sql.exec("CREATE TABLE IF NOT EXISTS n(v INTEGER)"); }
  add(n) { if (n) this.sql.exec("INSERT INTO n VALUES (?)", n); return this.sql.exec("SELECT coalesce(sum(v), 0) AS s FROM n").one().s; }
  async fetch(request) {
    const url = new URL(request.url);
    if (url.searchParams.has("alarm")) { await this.ctx.storage.setAlarm(Date.now() + 50); return new Response("set"); }
    if (request.headers.get("Upgrade")) {
      const [client, server] = Object.values(new WebSocketPair());
      this.ctx.acceptWebSocket(server);
      return new Response(null, { status: 101, webSocket: client });
    }
    return new Response(String(this.add(url.searchParams.has("peek") ? 0 : 1)));
  }
  webSocketMessage(ws, message) { ws.send("%[2]s " + message); }
  alarm() { this.add(100); }
}
export { Count as %[1]s };
export default { async fetch(request, env) {
  const stub = env.COUNT.get(env.COUNT.idFromName(new URL(request.url).pathname));
  return stub.fetch(request);
} };`

// counting is an upload of it; each version differs by its text.
func counting(class, text string, migrations string) workers.Upload {
	up := js(fmt.Sprintf(counter, class, text), objects("COUNT", class, ""))
	if migrations != "" {
		up.Metadata.Migrations = json.RawMessage(migrations)
	}
	return up
}

func objects(name, class, script string) workers.UploadBinding {
	return bind(name, "durable_object_namespace", func(u *workers.UploadBinding) { u.ClassName, u.ScriptName = class, script })
}

const firstMigration = `{"new_tag":"v1","steps":[{"new_sqlite_classes":["Counter"]}]}`

func TestObjectsKeepWhatTheyStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := open(t, dir)
	b.put("c", counting("Counter", "1", firstMigration))
	b.wants("c", "/a", "1")
	b.wants("c", "/a", "2")
	b.wants("c", "/b", "1")
	// A deployment without migrations, by the other way of uploading too.
	v, err := b.UploadVersion(t.Context(), "c", counting("Counter", "2", ""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Deploy(t.Context(), "c", all(v.ID)); err != nil {
		t.Fatal(err)
	}
	b.wants("c", "/a", "3")
	list, err := b.Namespaces(t.Context())
	if err != nil || len(list) != 1 || list[0].Class != "Counter" || !list[0].SQLite {
		t.Fatalf("namespaces %+v, %v", list, err)
	}
	page, err := b.Objects(t.Context(), list[0].ID, "", 1)
	if err != nil || len(page.Objects) != 1 || page.Cursor == "" || !page.Objects[0].HasStored {
		t.Fatalf("objects %+v, %v", page, err)
	}
	rest, err := b.Objects(t.Context(), list[0].ID, page.Cursor, 10)
	if err != nil || len(rest.Objects) != 1 || rest.Cursor != "" || rest.Objects[0].ID == page.Objects[0].ID {
		t.Fatalf("objects on page 2 %+v, %v", rest, err)
	}
	b.close()
	again := open(t, dir)
	again.wants("c", "/a", "4")
	if err := again.Delete(t.Context(), "c", false); err == nil {
		t.Error("a Worker whose objects have stored something was deleted without force")
	}
	if err := again.Delete(t.Context(), "c", true); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the storage of a deleted Worker is still there", func() bool {
		_, err := os.Stat(filepath.Join(dir, "objects", list[0].ID))
		return errors.Is(err, os.ErrNotExist)
	})
}

func all(version string) workers.DeployRequest {
	return workers.DeployRequest{Shares: []workers.Share{{VersionID: version, Percentage: 100}}}
}

// eventually waits for what happens in the background.
func eventually(t *testing.T, complaint string, done func() bool) {
	t.Helper()
	for range 600 {
		if done() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal(complaint)
}

// TestMigrations runs every step of a class's life, and what is refused on the
// way. The codes are those that clients and public reports name.
func TestMigrations(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	b.put("c", counting("Counter", "1", firstMigration))
	b.wants("c", "/a", "1")
	refused := func(what string, up workers.Upload, code workers.Code) {
		t.Helper()
		_, err := b.Put(t.Context(), "c", up)
		if e := wantCode(t, err, code); e.Message == "" {
			t.Errorf("%s: no message", what)
		}
		b.wants("c", "/a?peek", "1")
	}
	refused("first migration again", counting("Counter", "2", firstMigration), workers.CodeMigrationTag)
	refused("class exists", counting("Counter", "2", `{"old_tag":"v1","new_tag":"v2","steps":[{"new_classes":["Counter"]}]}`), workers.CodeClassExists)
	refused("class not exported", counting("Counter", "2", `{"old_tag":"v1","new_tag":"v2","new_sqlite_classes":["Other"]}`), workers.CodeClassNotExported)
	refused("export goes away", js("export default {}"), workers.CodeStillReferenced)
	refused("binding without class", js("export class Counter {}\nexport default {}", objects("X", "Nope", "")), workers.CodeNoClass)
	refused("rename of nothing", counting("Counter", "2", `{"old_tag":"v1","new_tag":"v2","renamed_classes":[{"from":"Zork","to":"Z"}]}`), workers.CodeMigrationClass)
	refused("delete of nothing", counting("Counter", "2", `{"old_tag":"v1","new_tag":"v2","deleted_classes":["Zork"]}`), workers.CodeMigrationClass)
	refused("half of two steps", counting("Counter", "2", `{"old_tag":"v1","new_tag":"v2","steps":[{"renamed_classes":[{"from":"Counter","to":"Tally"}]},{"deleted_classes":["Zork"]}]}`), workers.CodeMigrationClass)
	_, err := b.UploadVersion(t.Context(), "c", counting("Counter", "2", `{"old_tag":"v1","new_tag":"v2"}`))
	wantCode(t, err, workers.CodeMigrationUpload)

	before := b.put("c", counting("Counter", "2", "")).Version.ID
	b.put("c", counting("Tally", "3", `{"old_tag":"v1","new_tag":"v2","renamed_classes":[{"from":"Counter","to":"Tally"}]}`))
	b.wants("c", "/a", "2")
	if _, err := b.Deploy(t.Context(), "c", all(before)); err == nil {
		t.Error("rolled back over a migration")
	}

	// Code that would do is not enough: the version is from before a migration.
	both := strings.Replace(fmt.Sprintf(counter, "Tally", "4"), "export default", "export class Extra {}\nexport default", 1)
	early := b.put("c", js(both, objects("COUNT", "Tally", ""))).Version.ID
	late := js(both, objects("COUNT", "Tally", ""))
	late.Metadata.Migrations = json.RawMessage(`{"old_tag":"v2","new_tag":"v3","new_classes":["Extra"]}`)
	b.put("c", late)
	if _, err := b.Deploy(t.Context(), "c", all(early)); err == nil || !strings.Contains(err.Error(), "migration (v3)") {
		t.Errorf("rolled back over a migration: %v", err)
	}
	final := counting("Tally", "3", `{"old_tag":"v3","new_tag":"v4","deleted_classes":["Extra"]}`)
	b.put("c", final)

	// Another Worker is bound to the class, and then takes it over.
	b.put("user", js(`export default { fetch(r, env) { return env.T.get(env.T.idFromName("/a")).fetch(r); } };`, objects("T", "Tally", "c")))
	b.wants("user", "/", "3")
	taken := counting("Taken", "4", `{"new_tag":"t1","transferred_classes":[{"from":"Tally","from_script":"c","to":"Taken"}]}`)
	b.put("d", taken)
	b.wants("d", "/a", "4")
	b.wants("user", "/", "5")
	if list, err := b.Namespaces(t.Context()); err != nil || len(list) != 1 || list[0].Script != "d" || list[0].Class != "Taken" {
		t.Errorf("after the transfer %+v, %v", list, err)
	}
	// Bindings to the class as it was lead to where it is now, also the old
	// owner's own (developers.cloudflare.com/durable-objects/reference/durable-objects-migrations).
	b.wants("c", "/a", "6")

	b.put("d", workers.Upload{Source: "test", Modules: says("gone").Modules, Metadata: workers.Metadata{MainModule: "index.js",
		CompatibilityDate: "2026-04-01", Migrations: json.RawMessage(`{"old_tag":"t1","new_tag":"t2","deleted_classes":["Taken"]}`)}})
	b.wants("d", "/", "gone")
	if list, err := b.Namespaces(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("after the deletion %+v, %v", list, err)
	}
	if status, _ := b.get("user", "/"); status != http.StatusInternalServerError {
		t.Errorf("a binding to a deleted class answers %d", status)
	}
}

func TestDeploysAndRollbacksWithObjectsFailNoRequestAndLoseNoWrite(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	first := b.put("c", counting("Counter", "0", firstMigration)).Version.ID
	b.wants("c", "/", "1")
	// The load goes to the object "/", whose sum must be what was answered.
	stop := b.load("c", time.Second/200)
	for i := range 6 {
		b.put("c", counting("Counter", fmt.Sprint(i+1), ""))
		if _, err := b.Deploy(t.Context(), "c", all(first)); err != nil {
			t.Error(err)
			break
		}
	}
	sent, failures := stop()
	if sent < 50 {
		t.Errorf("only %d requests were sent", sent)
	}
	if len(failures) > 0 {
		t.Errorf("%d of %d requests failed: %.300s", len(failures), sent, failures[0])
	}
	b.wants("c", "/?peek", fmt.Sprint(sent+1))
}

func TestAFailedDeploymentLetsTheObjectsGoOn(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	b.put("c", counting("Counter", "1", firstMigration))
	b.wants("c", "/a", "1")
	// The version is stored, and starts only alone: together with its neighbour,
	// which lacks the entry point, it does not.
	b.put("shop", js("import { WorkerEntrypoint } from 'cloudflare:workers'; export class Admin extends WorkerEntrypoint {}; export default {}"))
	up := counting("Counter", "2", "")
	up.Metadata.Bindings = append(up.Metadata.Bindings, bind("ADMIN", "service", func(u *workers.UploadBinding) { u.Service, u.Entrypoint = "shop", "Nope" }))
	if _, err := b.Put(t.Context(), "c", up); err == nil {
		t.Fatal("a Worker whose neighbour lacks the entry point was deployed")
	}
	b.wants("c", "/a", "2")
}

func TestOverdueAlarmsFireAfterADeployment(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	b.put("c", counting("Counter", "1", firstMigration))
	b.wants("c", "/a?alarm", "set")
	b.put("c", counting("Counter", "2", ""))
	eventually(t, "the alarm did not fire", func() bool {
		_, body := b.get("c", "/a?peek")
		return body == "100"
	})
}

func TestAWebSocketDoesNotHoldUpADeployment(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	b.put("c", counting("Counter", "one", firstMigration))
	ws := b.dialWebSocket("c", "/room")
	ws.say("hello")
	if got := ws.hear(); got != "one hello" {
		t.Fatalf("heard %q", got)
	}
	b.put("c", counting("Counter", "two", ""))
	ws.ended()
	ws = b.dialWebSocket("c", "/room")
	ws.say("again")
	if got := ws.hear(); got != "two again" {
		t.Errorf("heard %q", got)
	}
}

func TestSplitsThatShareObjectsAreRefused(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	one := b.put("c", counting("Counter", "1", firstMigration)).Version.ID
	two := b.put("c", counting("Counter", "2", "")).Version.ID
	_, err := b.Deploy(t.Context(), "c", workers.DeployRequest{Shares: []workers.Share{{VersionID: one, Percentage: 50}, {VersionID: two, Percentage: 50}}})
	if e := wantCode(t, err, workers.CodeUnsupported); !strings.Contains(e.Message, "Durable Objects") {
		t.Errorf("message %q", e.Message)
	}
	b.wants("c", "/a", "1")
}

func TestSnapshotsOfAnObjectArePutBack(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	b.put("c", counting("Counter", "1", firstMigration))
	b.wants("c", "/a", "1")
	list, err := b.Namespaces(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ns := list[0].ID
	page, err := b.Objects(t.Context(), ns, "", 10)
	if err != nil || len(page.Objects) != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	object := page.Objects[0].ID
	b.wants("c", "/b", "1")
	snap, err := b.TakeSnapshot(t.Context(), ns, object)
	if err != nil {
		t.Fatal(err)
	}
	b.wants("c", "/a", "2")
	b.wants("c", "/a", "3")
	stop := b.load("c", time.Second/100) // of another object, "/"
	if err := b.PutBack(t.Context(), ns, object, snap.ID); err != nil {
		t.Fatal(err)
	}
	if sent, failures := stop(); len(failures) > 0 {
		t.Errorf("%d of %d requests failed: %.300s", len(failures), sent, failures[0])
	}
	b.wants("c", "/a", "2")
	b.wants("c", "/b", "2")
	if got, err := b.Snapshots(t.Context(), ns, object); err != nil || !slices.Equal(got, []workers.Snapshot{snap}) {
		t.Errorf("snapshots %+v, %v", got, err)
	}
	for _, id := range []string{"", "nope", "../../workers", strings.Repeat("a", 64)} {
		wantCode(t, b.PutBack(t.Context(), ns, object, id), workers.CodeNoSnapshot)
		_, err := b.TakeSnapshot(t.Context(), ns, id)
		wantCode(t, err, workers.CodeNoObjects)
	}
	if err := b.DropSnapshot(t.Context(), ns, object, snap.ID); err != nil {
		t.Fatal(err)
	}
	wantCode(t, b.PutBack(t.Context(), ns, object, snap.ID), workers.CodeNoSnapshot)
}
