package cloudflare

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"firedrill"
)

// TestWritesOfOthersAreListed damages a database while somebody else writes into it,
// and looks what the comparison calls whose doing.
func TestWritesOfOthersAreListed(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", append(hostile, fill,
		`CREATE TABLE pages (id INTEGER PRIMARY KEY, body TEXT)`, `INSERT INTO pages VALUES (1,'one'),(2,'two')`)...)
	b := newBench(t, p.url)
	plan := b.do("plan", "d1.plan-damage", db(id, "rows", int64(60)))
	cut := b.do("cut", "d1.fingerprint", db(id))
	against := text(t, cut, "file")
	damage := func() firedrill.Outcome {
		return b.do("damage", "d1.damage", db(id, "plan", text(t, plan, "file")))
	}
	done := damage()
	seen := b.do("seen", "d1.compare", db(id, "against", against, "damage", text(t, done, "file")))
	if !ok(seen) || len(seen.Collateral) != 0 || seen.Outputs["others"] != int64(0) {
		t.Errorf("nobody else wrote: %v; %s", seen.Collateral, seen.Summary)
	}
	b.do("restore", "d1.restore", db(id, "bookmark", text(t, cut, "bookmark")))

	p.exec(id, `INSERT INTO pages VALUES (7,'theirs')`)
	p.exec(id, `INSERT INTO users (id, tenant_id, email) VALUES ('018f3c1e-0000-7000-8000-000000000009',3,'new@x')`) // and a trigger writes audit_log
	done = damage()
	seen = b.do("seen", "d1.compare", db(id, "against", against, "damage", text(t, done, "file")))
	all := strings.Join(seen.Collateral, "\n")
	for _, shows := range []string{"2 writes of others", "pages id=7 written", `users id="018f3c1e-0000-7000-8000-000000000009" written`} {
		if !strings.Contains(all, shows) {
			t.Errorf("%q does not show %q", all, shows)
		}
	}
	if !ok(seen) || seen.Outputs["others"] != int64(2) || strings.Contains(all, "audit_log") {
		t.Errorf("%v; %s", seen.Outputs["others"], all)
	}
	b.do("restore", "d1.restore", db(id, "bookmark", text(t, cut, "bookmark")))

	for i := range 50 {
		p.exec(id, fmt.Sprintf(`INSERT INTO pages VALUES (%d,'theirs')`, 100+i))
	}
	p.exec(id, `UPDATE "order" SET value='theirs' WHERE rowid='r2'`)
	done = damage()
	seen = b.do("seen", "d1.compare", db(id, "against", against, "damage", text(t, done, "file")))
	all = strings.Join(seen.Collateral, "\n")
	if n, _ := seen.Outputs["others"].(int64); n < 50 || n > 51 || !strings.Contains(all, " more") || len(seen.Collateral) != 1 {
		t.Errorf("%d by others: %s", n, all) // the row of "order" may have been damaged, too
	}
}

// TestWritesAfterTheLookAreNamed writes between the look at the damage and the
// restore.
func TestWritesAfterTheLookAreNamed(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", plain)
	b := newBench(t, p.url)
	cut := text(t, b.do("cut", "d1.fingerprint", db(id)), "bookmark")
	p.exec(id, `CREATE TABLE _firedrill_sentinel (n INTEGER PRIMARY KEY); INSERT INTO _firedrill_sentinel VALUES (1),(2)`)
	looked := text(t, b.do("look", "d1.bookmark", db(id)), "bookmark")
	restore := func() string {
		o := b.do("restore", "d1.restore", db(id, "bookmark", cut, "looked", looked, "numbered", int64(2)))
		back(t, p, id, looked)
		looked = text(t, b.do("look", "d1.bookmark", db(id)), "bookmark")
		return strings.Join(o.Collateral, "; ")
	}
	if got := restore(); got != "" {
		t.Errorf("nobody wrote: %s", got)
	}
	p.exec(id, `INSERT INTO _firedrill_sentinel VALUES (3)`)
	p.exec(id, `INSERT INTO _firedrill_sentinel VALUES (4)`)
	if got := restore(); got != "" {
		t.Errorf("only the sentinel wrote: %s", got)
	}
	p.exec(id, `INSERT INTO _firedrill_sentinel VALUES (3)`)
	p.exec(id, `INSERT INTO t (name) VALUES ('theirs')`)
	p.exec(id, `DELETE FROM t WHERE id = 1`)
	if got := restore(); !strings.HasPrefix(got, "2 changes between") {
		t.Errorf("others wrote twice: %q", got)
	}
	// Bookmarks that do not count: it is said what is known.
	var calls atomic.Int32
	p.bending(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/bookmark") && calls.Add(1) == 1 {
			answer(w, map[string]string{"bookmark": "00000099-00000001-00004c6d-8e61117bf38d7adb71b934ebbf891683"})
			return true
		}
		return false
	})
	if got := restore(); !strings.HasPrefix(got, "somebody wrote") {
		t.Errorf("a bookmark that does not count: %q", got)
	}
	// A look that fails does not hold the recovery.
	p.bending(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/bookmark") && calls.Add(1) == 5 {
			refuse(w, 400, 7400, "no")
			return true
		}
		return false
	})
	calls.Store(4)
	o := b.do("restore", "d1.restore", db(id, "bookmark", cut, "looked", looked, "numbered", int64(2)))
	if len(o.Collateral) != 1 || !strings.Contains(o.Collateral[0], "could not be looked at") {
		t.Errorf("%v", o.Collateral)
	}
}
