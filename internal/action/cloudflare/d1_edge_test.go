package cloudflare

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"firedrill"
)

const plain = `CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL); INSERT INTO t VALUES (1,'a'),(2,'b'),(3,'c')`

func TestUnknownDatabaseNamesTheNearest(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("foundation-primary", plain)
	p.create("other")
	b := newBench(t, p.url)
	err := b.fails(firedrill.KindNotFound, "d1.find", firedrill.Values{"resource": map[string]any{"name": "foundation-primry"}})
	if !strings.Contains(firedrill.RemedyOf(err), `"foundation-primary"`) {
		t.Errorf("remedy: %s", firedrill.RemedyOf(err))
	}
	b.fails(firedrill.KindNotFound, "d1.find", firedrill.Values{"resource": map[string]any{"id": "34bce593-9df9-4acf-ac40-c8d93a7c7244"}})
	b.fails(firedrill.KindConflict, "d1.find", firedrill.Values{"resource": map[string]any{"id": id, "name": "other"}})
	b.fails(firedrill.KindUsage, "d1.find", firedrill.Values{"resource": map[string]any{}})
	b.fails(firedrill.KindUsage, "d1.find", firedrill.Values{"resource": map[string]any{"kind": "worker", "name": "foundation-primary"}})
}

func TestAnEmptyDatabaseProvesNothing(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	for name, script := range map[string]string{"no tables": "", "no rows": "CREATE TABLE t (x)"} {
		id := p.create(strings.ReplaceAll(name, " ", "-"), script)
		b := newBench(t, p.url)
		print := b.do("cut", "d1.fingerprint", db(id))
		if o := b.do("same", "d1.compare", db(id, "against", text(t, print, "file"))); ok(o) || !strings.Contains(o.Summary, "nothing was compared") {
			t.Errorf("%s: %s", name, o.Summary)
		}
		b.fails(firedrill.KindUnsupported, "d1.plan-damage", db(id))
		if name == "no tables" {
			b.fails(firedrill.KindUnsupported, "d1.plan-canaries", db(id))
		}
	}
}

// TestOneCellOfManyIsFound changes one value at a time and expects the table,
// the key and the column to be named.
func TestOneCellOfManyIsFound(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", append(hostile, fill)...)
	b := newBench(t, p.url)
	print := b.do("cut", "d1.fingerprint", db(id))
	for _, change := range []struct{ sql, shows string }{
		{`UPDATE tenants SET big = 9007199254740992 WHERE id = 1`, "tenants id=1 column big: 9007199254740993 is now 9007199254740992"},
		{`UPDATE tenants SET logo = x'00ff01' WHERE id = 1`, "column logo"},
		{`UPDATE tenants SET name = name || char(0) WHERE id = 812`, `tenants id=812 column name: "tenant 812" is now "tenant 812\x00"`},
		{`UPDATE "we""ird tablé 'x'" SET "c""d" = '1x' WHERE "select" = 'a' || char(0) || 'b'`, `column c"d: 1 is now "1x"`},
		{`UPDATE "order" SET value = NULL WHERE rowid = 'r4'`, "column value"},
		{`UPDATE strict SET x = 2.5000000000000004`, "column x"},
		{`DELETE FROM tenants WHERE id = 900`, "tenants id=900 is missing"},
		{`INSERT INTO gen (id, a) VALUES (7, 1)`, "gen id=7 is extra"},
		{`DROP INDEX users_email`, "index users_email is missing"},
		{`DROP VIEW pros`, "view pros is missing"},
		{`UPDATE sqlite_sequence SET seq = seq + 1`, "sqlite_sequence"},
	} {
		p.exec(id, change.sql)
		o := b.do("compare", "d1.compare", db(id, "against", text(t, print, "file")))
		if ok(o) || !strings.Contains(o.Summary, change.shows) {
			t.Errorf("%s: %q does not show %q", change.sql, o.Summary, change.shows)
		}
		b.do("back", "d1.restore", db(id, "bookmark", text(t, print, "bookmark")))
		b.mu.Lock()
		b.now = b.now.Add(2 * time.Minute) // not more restores than the platform allows
		b.mu.Unlock()
	}
	if o := b.do("compare", "d1.compare", db(id, "against", text(t, print, "file"))); !ok(o) {
		t.Errorf("at the end: %s", o.Summary)
	}
}

func TestSomebodyWhoWritesIsNoticed(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", plain)
	b := newBench(t, p.url)
	var writes atomic.Int32
	writes.Store(2)
	var calls atomic.Int32
	p.bending(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/raw") {
			if calls.Add(1)%3 == 0 && writes.Load() > 0 {
				writes.Add(-1)
				p.exec(id, "INSERT INTO t (name) VALUES ('other')")
			}
		}
		return false
	})
	b.do("cut", "d1.fingerprint", db(id)) // the third attempt is undisturbed
	writes.Store(1000)
	err := b.fails(firedrill.KindConflict, "d1.fingerprint", db(id))
	if !strings.Contains(err.Error(), "somebody wrote") {
		t.Errorf("got %v", err)
	}
}

func TestARestoreThatLiesIsNotBelieved(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", plain)
	b := newBench(t, p.url)
	print := b.do("cut", "d1.fingerprint", db(id))
	back := db(id, "bookmark", text(t, print, "bookmark"))
	for name, result := range map[string]any{
		"a later one":  map[string]string{"bookmark": "ffffffff", "previous_bookmark": text(t, print, "bookmark")},
		"says nothing": map[string]string{},
		"null":         nil,
	} {
		p.bending(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/restore") {
				return false
			}
			answer(w, result)
			return true
		})
		if _, err := b.try("restore", "d1.restore", back); firedrill.KindOf(err) != firedrill.KindUnknown {
			t.Errorf("%s: %v", name, err)
		}
	}
	// One that does nothing and says that nothing had to be done: the data tells.
	p.bending(nil)
	p.exec(id, "UPDATE t SET name = 'y' WHERE id = 1")
	here := text(t, b.do("here", "d1.bookmark", db(id)), "bookmark")
	p.bending(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/restore") {
			return false
		}
		answer(w, map[string]string{"bookmark": here, "previous_bookmark": here})
		return true
	})
	if o := b.do("restore", "d1.restore", back); o.Outputs["moved"] != false {
		t.Errorf("outputs: %v", o.Outputs)
	}
	if o := b.do("compare", "d1.compare", db(id, "against", text(t, print, "file"))); ok(o) {
		t.Error("a restore that did nothing is believed")
	}
	p.bending(nil)
	b.do("restore", "d1.restore", back)
	// One that restores the wrong moment moves the bookmark: the data tells.
	p.bending(nil)
	p.exec(id, "UPDATE t SET name = 'x' WHERE id = 2")
	wrong := b.do("wrong", "d1.bookmark", db(id))
	p.exec(id, "DELETE FROM t")
	b.do("restore", "d1.restore", db(id, "bookmark", text(t, wrong, "bookmark")))
	if o := b.do("compare", "d1.compare", db(id, "against", text(t, print, "file"))); ok(o) || o.Summary != `1 of 3 rows differs: t id=2 column name: "b" is now "x"` {
		t.Errorf("got %q", o.Summary)
	}
	b.fails(firedrill.KindInvalid, "d1.restore", db(id, "bookmark", "ffffffff-00000000"))
}

func TestRestoresAreCountedAndWaitedFor(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", plain)
	b := newBench(t, p.url)
	print := b.do("cut", "d1.fingerprint", db(id))
	for range 9 {
		b.do("restore", "d1.restore", db(id, "bookmark", text(t, print, "bookmark")))
	}
	if o := b.do("budget", "d1.restore-budget", db(id, "need", int64(1))); o.Outputs["left"].(int64) != 1 {
		t.Errorf("left: %v", o.Outputs)
	}
	err := b.fails(firedrill.KindLimited, "d1.restore-budget", db(id))
	if !strings.Contains(firedrill.RemedyOf(err), "wait") {
		t.Errorf("remedy: %s", firedrill.RemedyOf(err))
	}
	b.do("restore", "d1.restore", db(id, "bookmark", text(t, print, "bookmark")))
	before := b.time()
	b.do("restore", "d1.restore", db(id, "bookmark", text(t, print, "bookmark")))
	if waited := b.time().Sub(before); waited < 9*time.Minute || waited > 11*time.Minute {
		t.Errorf("the eleventh restore waited %s", waited)
	}
	// The platform's own count may be higher than ours: somebody else restored.
	refusals := 2
	p.bending(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/restore") || refusals == 0 {
			return false
		}
		refusals--
		w.Header().Set("Retry-After", "400")
		refuse(w, 429, 0, "too many restores")
		return true
	})
	b.mu.Lock()
	b.now = b.now.Add(time.Hour)
	b.mu.Unlock()
	b.do("restore", "d1.restore", db(id, "bookmark", text(t, print, "bookmark")))
}

func TestRestoreLogIsReadWhole(t *testing.T) {
	t.Parallel()
	log := FileRestores{Path: filepath.Join(t.TempDir(), "a", "restores")}
	now := time.Now()
	if got, err := log.Since("x", now); len(got) != 0 || err != nil {
		t.Errorf("no file: %v, %v", got, err)
	}
	for _, id := range []string{"x", "y", "x"} {
		if err := log.Add(id, now); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := log.Since("x", now.Add(-time.Second)); len(got) != 2 || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if got, _ := log.Since("x", now.Add(time.Second)); len(got) != 0 {
		t.Errorf("too old ones are counted: %v", got)
	}
	os.WriteFile(log.Path, []byte("garbage"), 0o600)
	if _, err := log.Since("x", now); firedrill.KindOf(err) != firedrill.KindStorage {
		t.Errorf("a damaged file: %v", err)
	}
}

func TestTheRepairCommandCanBePasted(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	b := newBench(t, p.url)
	repair := b.actions["d1.restore"].Spec().Repair
	for _, try := range []struct {
		in   firedrill.Values
		want string
	}{
		{firedrill.Values{"database": "id", "name": "shop", "bookmark": "0-1"}, "npx wrangler d1 time-travel restore shop --bookmark=0-1"},
		{firedrill.Values{"database": "id", "bookmark": "0-1"}, "npx wrangler d1 time-travel restore id --bookmark=0-1"},
		{firedrill.Values{"name": "my $shop's", "bookmark": "0-1"}, `npx wrangler d1 time-travel restore 'my $shop'\''s' --bookmark=0-1`},
	} {
		if got := repair(try.in); got != try.want {
			t.Errorf("got  %s\nwant %s", got, try.want)
		}
	}
}

// TestACopyIsExact copies the hostile schema with long values and a circle of
// names, drills nothing, and deletes the copy.
func TestACopyIsExact(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", append(hostile, fill,
		`UPDATE tenants SET logo = CAST(printf('%.*c', 1200000, 'x') || x'00ff' AS BLOB) WHERE id = 100`,
		`UPDATE tenants SET name = printf('%.*c', 60000, 'y') || char(0) || 'z' WHERE id = 101`)...)
	b := newBench(t, p.url)
	name := text(t, b.do("name", "d1.scratch-name", db(id)), "name")
	for range 2 { // the second time over what the first one left
		o := b.do("copy", "d1.copy", db(id, "name", name))
		t.Log(o.Summary)
		if text(t, o, "id") == id {
			t.Fatal("the copy is the original")
		}
	}
	if o := b.do("there", "d1.absent", firedrill.Values{"name": name}); ok(o) {
		t.Error("the copy is called absent")
	}
	o, err := b.try("delete", "d1.delete", firedrill.Values{"name": name})
	if err != nil || o.Outputs["existed"] != true || p.count() != 1 {
		t.Errorf("deleted: %v, %v, %d databases left", o.Outputs, err, p.count())
	}
	if o := b.do("delete", "d1.delete", firedrill.Values{"name": name}); o.Outputs["existed"] != false {
		t.Errorf("deleted twice: %v", o.Outputs)
	}
	if o := b.do("there", "d1.absent", firedrill.Values{"name": name}); !ok(o) {
		t.Error("the deleted copy is not called absent")
	}
}

// TestSharedDataIsNotDamaged drills a staging environment that others use:
// only a scratch copy may be damaged.
func TestSharedDataIsNotDamaged(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", plain)
	b := newBench(t, p.url)
	b.call.Environment.Class = firedrill.ClassStaging
	scratch := text(t, b.do("name", "d1.scratch-name", db(id)), "name")
	b.fails(firedrill.KindGuard, "d1.target", db(id, "scratch", scratch, "copy", false))
	b.fails(firedrill.KindGuard, "d1.plan-damage", db(id))
	b.call.Environment.Class = firedrill.ClassCI
	plan := text(t, b.do("plan", "d1.plan-damage", db(id)), "file")
	b.call.Environment.Class = firedrill.ClassStaging
	b.fails(firedrill.KindGuard, "d1.damage", db(id, "plan", plan))
	b.fails(firedrill.KindGuard, "d1.execute", db(id, "sql", []any{"DELETE FROM t"}))
	target := b.do("target", "d1.target", db(id, "scratch", scratch, "copy", true))
	copied := text(t, target, "id")
	plan = text(t, b.do("plan", "d1.plan-damage", db(copied)), "file")
	b.do("damage", "d1.damage", db(copied, "plan", plan))
	if o := b.do("look", "d1.query", db(id, "sql", "SELECT * FROM t WHERE name IN ('a','b','c')")); o.Outputs["count"].(int64) != 3 {
		t.Error("the original was damaged")
	}
	b.call.Environment.Exclusive = true
	if o := b.do("target", "d1.target", db(id, "scratch", scratch, "copy", false)); text(t, o, "id") != id {
		t.Errorf("target: %v", o.Outputs)
	}
}

func TestOnlyScratchDatabasesAreMadeAndDeleted(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", plain)
	b := newBench(t, p.url)
	b.fails(firedrill.KindGuard, "d1.delete", firedrill.Values{"name": "shop"})
	b.fails(firedrill.KindGuard, "d1.delete", firedrill.Values{"name": "firedrill-scratch-"})
	b.fails(firedrill.KindGuard, "d1.create", firedrill.Values{"name": "shop"})
	b.fails(firedrill.KindGuard, "d1.copy", db(id, "name", "shop"))
	if log := p.requests(); len(log) != 0 {
		t.Errorf("sent: %v", log)
	}
}

func TestVirtualTablesAreNamedAndNotPassedOver(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", plain, `CREATE VIRTUAL TABLE search USING fts5(body)`, `INSERT INTO search VALUES ('some words')`)
	b := newBench(t, p.url)
	o := b.do("cut", "d1.fingerprint", db(id))
	if fmt.Sprint(o.Outputs["virtual"]) != "[search]" {
		t.Errorf("named: %v", o.Outputs["virtual"])
	}
	planned := b.do("plan", "d1.plan-canaries", db(id))
	if s := fmt.Sprint(planned.Outputs["skipped"]); !strings.Contains(s, "virtual table search") || len(planned.Collateral) == 0 {
		t.Errorf("skipped: %s", s)
	}
	b.do("damage", "d1.plan-damage", db(id))
	p.exec(id, `UPDATE search SET body = 'other words'`)
	if o := b.do("compare", "d1.compare", db(id, "against", text(t, o, "file"))); ok(o) {
		t.Error("what changed in a virtual table does not show")
	}
	err := b.fails(firedrill.KindUnsupported, "d1.copy", db(id, "name", "firedrill-scratch-1"))
	if !strings.Contains(err.Error(), "search") {
		t.Errorf("got %v", err)
	}
}

func TestARowOfSomebodyElseIsNeverTakenForACanary(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", `CREATE TABLE t (id INTEGER PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 10)`)
	b := newBench(t, p.url)
	planned := text(t, b.do("plan", "d1.plan-canaries", db(id)), "file")
	p.exec(id, `INSERT INTO t VALUES (2, 99)`) // the application was faster
	b.fails(firedrill.KindConflict, "d1.insert-canaries", db(id, "canaries", planned))
	o := b.do("remove", "d1.remove-canaries", db(id, "canaries", planned))
	if o.Outputs["removed"].(int64) != 0 || len(o.Collateral) == 0 {
		t.Errorf("removed %v, collateral %v", o.Outputs, o.Collateral)
	}
	if o := b.do("look", "d1.query", db(id, "sql", "SELECT n FROM t WHERE id = 2")); o.Outputs["count"].(int64) != 1 {
		t.Error("somebody's row is gone")
	}
}

func TestATableThatRefusesItsCanaryIsNamed(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", plain, `CREATE TABLE fixed (id INTEGER PRIMARY KEY, one TEXT NOT NULL UNIQUE CHECK (one = 'only'))`, `INSERT INTO fixed VALUES (1, 'only')`)
	b := newBench(t, p.url)
	planned := text(t, b.do("plan", "d1.plan-canaries", db(id)), "file")
	o := b.do("write", "d1.insert-canaries", db(id, "canaries", planned))
	if o.Outputs["rows"].(int64) != 1 || !strings.Contains(fmt.Sprint(o.Outputs["skipped"]), "fixed: ") || len(o.Collateral) != 1 {
		t.Errorf("outputs %v, collateral %v", o.Outputs, o.Collateral)
	}
	if o := b.do("check", "d1.check-canaries", db(id, "canaries", text(t, o, "file"))); !ok(o) {
		t.Errorf("check: %s", o.Summary)
	}
}

func TestDamageIsDoneOnceOrNotAtAll(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id, other := p.create("shop", plain), p.create("other", plain)
	b := newBench(t, p.url)
	print := b.do("cut", "d1.fingerprint", db(id))
	plan := text(t, b.do("plan", "d1.plan-damage", db(id)), "file")
	if o := b.do("same", "d1.compare", db(id, "against", text(t, print, "file"))); !ok(o) {
		t.Fatalf("planning changed something: %s", o.Summary)
	}
	b.fails(firedrill.KindGuard, "d1.damage", db(other, "plan", plan))
	b.fails(firedrill.KindUsage, "d1.damage", db(id, "plan", "../../etc/passwd"))
	b.fails(firedrill.KindCorrupt, "d1.damage", db(id, "plan", text(t, b.do("other", "d1.plan-canaries", db(id)), "file")))
	var sent atomic.Int32
	p.bending(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/raw") {
			return false
		}
		sent.Add(1)
		conn, _, _ := w.(http.Hijacker).Hijack()
		conn.Close()
		return true
	})
	b.fails(firedrill.KindUnknown, "d1.damage", db(id, "plan", plan))
	if n := sent.Load(); n != 1 {
		t.Errorf("sent %d times", n)
	}
}

func TestQueriesThatCouldChangeSomethingAreNotSent(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", plain)
	b := newBench(t, p.url)
	for _, q := range []string{"", "DELETE FROM t", "WITH x AS (SELECT 1) DELETE FROM t", "SELECT 1; DROP TABLE t", "/* SELECT */ UPDATE t SET name=1", "PRAGMA user_version=7", "explain; vacuum", "VALUES (1); DELETE FROM t;", "SELECT 1 -- \n; DELETE FROM t"} {
		b.fails(firedrill.KindGuard, "d1.query", db(id, "sql", q))
	}
	if log := p.requests(); len(log) != 0 {
		t.Errorf("sent: %v", log)
	}
	o := b.do("ask", "d1.query", db(id, "sql", "SELECT 'delete from t; ''drop' AS text, count(*) AS n FROM t; "))
	if fmt.Sprint(o.Outputs["rows"]) != "[map[n:3 text:delete from t; 'drop]]" {
		t.Errorf("got %v", o.Outputs)
	}
}

// crew holds observers the way the runner does.
type crew struct {
	mu    sync.Mutex
	all   map[string]firedrill.Observer
	group sync.WaitGroup
}

func (c *crew) Start(name string, o firedrill.Observer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, taken := c.all[name]; taken {
		return fmt.Errorf("taken")
	}
	c.all[name] = o
	c.group.Go(func() { o.Run(context.Background(), func(firedrill.Edge) {}) })
	return nil
}

func (c *crew) Get(name string) (firedrill.Observer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.all[name]
	return o, ok
}

func TestTheSentinelCountsWhatIsLost(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", plain)
	b := newBench(t, p.url)
	hands := &crew{all: map[string]firedrill.Observer{}}
	b.call.Observers = hands
	b.do("sentinel", "d1.sentinel", db(id, "every_ms", int64(1)))
	ref := db(id, "sentinel", "sentinel")
	b.do("pause", "d1.sentinel-pause", ref)
	print := b.do("cut", "d1.fingerprint", db(id)) // nobody writes: one attempt is enough
	kept := b.do("kept", "d1.query", db(id, "sql", "SELECT count(*) AS n FROM _firedrill_sentinel")).Outputs["rows"].([]any)[0].(map[string]any)["n"].(int64)
	for range 3 {
		b.do("resume", "d1.sentinel-resume", ref)
		b.do("pause", "d1.sentinel-pause", ref)
	}
	b.do("restore", "d1.restore", db(id, "bookmark", text(t, print, "bookmark")))
	b.do("resume", "d1.sentinel-resume", ref)
	b.do("pause", "d1.sentinel-pause", ref)
	if o := b.do("verify", "d1.compare", db(id, "against", text(t, print, "file"))); !ok(o) {
		t.Errorf("the sentinel shows in the fingerprint: %s", o.Summary)
	}
	o := b.do("stop", "d1.sentinel-stop", ref)
	again := b.do("stop", "d1.sentinel-stop", ref)
	if o.Summary != again.Summary {
		t.Errorf("stopped twice: %s, then %s", o.Summary, again.Summary)
	}
	hands.group.Wait()
	lost, first := 0, int64(0)
	for _, a := range o.Observation.Acks {
		if a.Lost {
			lost++
			if first == 0 {
				first = a.N
			}
		}
	}
	if lost < 3 || first != kept+1 || o.Outputs["lost"].(int64) != int64(lost) || len(o.Observation.Ghosts) != 0 {
		t.Errorf("lost %d, the first is %d after %d were kept; outputs %v", lost, first, kept, o.Outputs)
	}
	// A process that takes the run up leaves it paused, as it was, and goes on
	// with numbers that were never given.
	hands.all = map[string]firedrill.Observer{}
	if o := b.do("sentinel", "d1.sentinel", db(id, "every_ms", int64(1))); o.Summary != "taken up as it was: paused" {
		t.Errorf("taken up: %s", o.Summary)
	}
	b.do("resume", "d1.sentinel-resume", ref)
	o2 := b.do("stop", "d1.sentinel-stop", ref)
	hands.group.Wait()
	if len(o2.Observation.Acks) <= len(o.Observation.Acks) || o2.Outputs["lost"].(int64) != int64(lost) {
		t.Errorf("taken up again: %v after %v", o2.Outputs, o.Outputs)
	}
	b.do("remove", "d1.sentinel-remove", db(id))
	b.do("remove", "d1.sentinel-remove", db(id))
	if o := b.do("left", "d1.query", db(id, "sql", `SELECT name FROM sqlite_schema WHERE name LIKE '\_firedrill%' ESCAPE '\'`)); o.Outputs["count"].(int64) != 0 {
		t.Errorf("left behind: %v", o.Outputs)
	}
	b.fails(firedrill.KindNotFound, "d1.sentinel-stop", db(id, "sentinel", "nobody"))
}

func TestTokensThatAreNotActive(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	b := newBench(t, p.url)
	for _, status := range []string{"disabled", "expired"} {
		p.bending(func(w http.ResponseWriter, r *http.Request) bool {
			answer(w, map[string]string{"id": "t", "status": status})
			return true
		})
		err := b.fails(firedrill.KindDenied, "cloudflare.verify", firedrill.Values{})
		if !strings.Contains(err.Error(), status) {
			t.Errorf("%s: %v", status, err)
		}
	}
	p.bending(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/accounts/") {
			answer(w, map[string]string{"id": "t", "status": "active"})
			return true
		}
		refuse(w, 401, 1000, "Invalid API Token")
		return true
	})
	b.do("account token", "cloudflare.verify", firedrill.Values{})
}

func FuzzParseCell(f *testing.F) {
	for _, s := range []string{"", "n", "i1", "i9223372036854775808", "r1e999", "rInf", "rNaN", "t4", "t@5", "t@-1", "b00", "x", "t@@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, large, err := parseCell(s)
		if err != nil || large > 0 {
			return
		}
		if !c.Valid() {
			t.Fatalf("%q gives %+v", s, c)
		}
		back, _, err := parseCell(encodeCell(c))
		if err != nil || !bytes.Equal(back.Append(nil), c.Append(nil)) {
			t.Errorf("%q gives %v, and that gives %v, %v", s, c, back, err)
		}
	})
}

func FuzzTokens(f *testing.F) {
	for _, s := range []string{"", "'", `"a""b"`, "[x]]", "--", "/*", "a.b;c", "INSERT INTO \"x\" VALUES ('y')"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if words := tokens(s); len(words) > len(s) {
			t.Errorf("%d words in %d bytes", len(words), len(s))
		}
	})
}
