package workers_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"firedrill/internal/sandbox/workers"
)

// d1Worker runs the JavaScript in the request's path parameter "js" as the body
// of an async function of db, and answers what it returns or throws.
const d1Worker = `
const cases = {
  setup: async db => { const r = await db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, b BLOB, r REAL, n)\nINSERT INTO t VALUES (1, 'one', x'00ff', 1.5, NULL), (2, 'two', NULL, -0.25, 7)"); return r.count; },
  all: async db => { const r = await db.prepare("SELECT id, name, b, r, n FROM t ORDER BY id").all(); return [r.success, r.results]; },
  bind: async db => (await db.prepare("SELECT ?1 AS s, ?2 AS i, ?3 AS f, ?4 AS n, ?5 AS t, typeof(?2) AS ti, typeof(?3) AS tf, hex(?6) AS b").bind("ü'\"\n", 42, 2.5, null, true, new Uint8Array([1, 2, 255])).all()).results,
  run: async db => { const r = await db.prepare("INSERT INTO t (id, name) VALUES (?, ?)").bind(3, "three").run(); return [r.success, r.results, typeof r.meta.duration]; },
  first: async db => [await db.prepare("SELECT name, id FROM t WHERE id = ?").bind(2).first(), await db.prepare("SELECT name FROM t WHERE id = 2").first("name"), await db.prepare("SELECT * FROM t WHERE id = 99").first()],
  raw: async db => [await db.prepare("SELECT id, name FROM t WHERE id < 3 ORDER BY id").raw(), await db.prepare("SELECT 1 AS a, 2 AS a").raw({ columnNames: true })],
  batch: async db => (await db.batch([db.prepare("INSERT INTO t (id, name) VALUES (4, 'four')"), db.prepare("SELECT count(*) AS c FROM t")])).map(r => r.results),
  badBatch: async db => { try { await db.batch([db.prepare("INSERT INTO t (id) VALUES (50)"), db.prepare("INSERT INTO nope VALUES (1)")]); } catch (e) { return [e.message, (await db.prepare("SELECT count(*) AS c FROM t WHERE id = 50").first()).c]; } },
  error: async db => { try { await db.prepare("SELECT * FROM nope").all(); } catch (e) { return e.message; } },
  execError: async db => { try { await db.exec("SELECT 1\nSELEC 2"); } catch (e) { return e.message; } },
  constraint: async db => { try { await db.prepare("INSERT INTO t (id) VALUES (1)").run(); } catch (e) { return e.message; } },
  big: async db => { const r = await db.prepare("SELECT 9007199254740993 AS big, 9223372036854775807 AS max, 9007199254740991 AS safe").first(); return [String(r.big), String(r.max), String(r.safe)]; },
  session: async db => { const s = db.withSession("first-primary"); await s.prepare("SELECT 1").all(); const a = s.getBookmark(); await s.prepare("UPDATE t SET n = 8 WHERE id = 2").run(); return [a.length, a < s.getBookmark()]; },
  two: async db => { try { await db.prepare("SELECT 1; DROP TABLE t").all(); } catch (e) { return e.message; } },
  empty: async db => (await db.prepare("SELECT * FROM t WHERE 0").all()).results,
};
export default { async fetch(r, env) {
  try { return Response.json(await cases[new URL(r.url).pathname.slice(1)](env.DB)); }
  catch (e) { return new Response("unexpected: " + e.stack, { status: 500 }); } } };`

func TestD1BindingThroughARealWorker(t *testing.T) {
	t.Parallel()
	store, databaseID := databases(t)
	b := open(t, t.TempDir(), func(o *workers.Options) { o.D1 = store })
	b.put("db", js(d1Worker, bind("DB", "d1", func(u *workers.UploadBinding) { u.DatabaseID = databaseID })))
	for _, c := range []struct{ path, want string }{
		{"setup", `2`},
		{"all", `[true,[{"id":1,"name":"one","b":[0,255],"r":1.5,"n":null},{"id":2,"name":"two","b":null,"r":-0.25,"n":7}]]`},
		{"bind", `[{"s":"ü'\"\n","i":42,"f":2.5,"n":null,"t":1,"ti":"integer","tf":"real","b":"0102FF"}]`},
		{"run", `[true,[],"number"]`},
		{"first", `[{"name":"two","id":2},"two",null]`},
		{"raw", `[[[1,"one"],[2,"two"]],[["a","a"],[1,2]]]`},
		{"batch", `[[],[{"c":4}]]`},
		{"badBatch", `["D1_ERROR: `},
		{"error", `"D1_ERROR: `},
		{"execError", `"D1_EXEC_ERROR: Error in line `},
		{"two", `"D1_ERROR: a prepared statement holds one`},
		{"constraint", `"D1_ERROR: `},
		// JavaScript has doubles only: beyond 2^53 the nearest one is seen, as on
		// the platform. The database itself keeps the exact integer.
		{"big", `["9007199254740992","9223372036854776000","9007199254740991"]`},
		{"session", `[59,true]`},
		{"empty", `[]`},
	} {
		status, body := b.get("db", "/"+c.path)
		if status != 200 {
			t.Errorf("%s: %d %s", c.path, status, body)
			continue
		}
		if strings.Contains(c.want, "_ERROR: ") {
			if !strings.HasPrefix(body, c.want) {
				t.Errorf("%s: %s, want it to begin with %s", c.path, body, c.want)
			}
			if c.path == "badBatch" && !strings.HasSuffix(body, ",0]") {
				t.Errorf("a failed batch left rows behind: %s", body)
			}
			continue
		}
		var got, want any
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Errorf("%s: %v in %s", c.path, err, body)
		}
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s, want %s", c.path, body, c.want)
		}
	}
}

// Two Workers, two databases: each sees its own, and cannot reach the other's
// by naming it in a request.
func TestD1BindingsDoNotMix(t *testing.T) {
	t.Parallel()
	store, databaseID := databases(t)
	b := open(t, t.TempDir(), func(o *workers.Options) { o.D1 = store })
	_, err := b.Put(t.Context(), "w", js(d1Worker, bind("DB", "d1", func(u *workers.UploadBinding) { u.DatabaseID = "another" })))
	wantCode(t, err, workers.CodeNoDatabase)
	b.put("w", js(`export default { async fetch(r, env) { const res = await env.DB.fetch?.("http://d1/query"); return new Response(String(res)); } };`,
		bind("DB", "d1", func(u *workers.UploadBinding) { u.DatabaseID = databaseID })))
	b.wants("w", "/", "undefined")
}
