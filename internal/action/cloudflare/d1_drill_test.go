package cloudflare

import (
	"testing"

	"firedrill"
)

// hostile is a schema with everything that is unusual and allowed.
var hostile = []string{
	`CREATE TABLE tenants (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, plan TEXT NOT NULL CHECK (plan IN ('free','pro')), big INTEGER, logo BLOB, ratio REAL)`,
	`CREATE TABLE users (id TEXT PRIMARY KEY, tenant_id INTEGER NOT NULL REFERENCES tenants(id) ON DELETE CASCADE, email TEXT NOT NULL, created_at TEXT DEFAULT CURRENT_TIMESTAMP NOT NULL, UNIQUE (tenant_id, email))`,
	`CREATE INDEX users_email ON users(email)`,
	`CREATE TABLE audit_log (id INTEGER PRIMARY KEY AUTOINCREMENT, tenant_id INTEGER REFERENCES tenants(id), what TEXT NOT NULL)`,
	`CREATE TRIGGER users_logged AFTER INSERT ON users BEGIN INSERT INTO audit_log (tenant_id, what) VALUES (new.tenant_id, 'user ' || new.id); END`,
	`CREATE TRIGGER users_gone AFTER DELETE ON users BEGIN INSERT INTO "audit_log" (tenant_id, what) VALUES (NULL, 'gone ' || old.id); END`,
	`CREATE TABLE "we""ird tablé 'x'" ("select" TEXT, "a b" INT, "c""d" ANY, PRIMARY KEY ("select", "a b")) WITHOUT ROWID`,
	`CREATE TABLE "order" (rowid TEXT, value BLOB)`,
	`CREATE TABLE gen (id INTEGER PRIMARY KEY, a INT, twice INT GENERATED ALWAYS AS (a*2) VIRTUAL, thrice INT AS (a*3) STORED)`,
	`CREATE TABLE "nothing" (id INTEGER PRIMARY KEY, kind TEXT NOT NULL CHECK (kind IN ('a','b')), doc TEXT NOT NULL CHECK (json_valid(doc)), parent INTEGER NOT NULL REFERENCES tenants(id))`,
	`CREATE TABLE strict (id INTEGER PRIMARY KEY, x REAL NOT NULL, y ANY) STRICT`,
	`CREATE VIEW pros AS SELECT * FROM tenants WHERE plan = 'pro'`,
	`INSERT INTO tenants VALUES (1,'one','free',9007199254740993,x'00ff00',0.1),(2,'two','pro',-9223372036854775808,zeroblob(3),1e308),(3,'','pro',NULL,NULL,-0.0)`,
	`INSERT INTO users (id, tenant_id, email) VALUES ('018f3c1e-0000-7000-8000-000000000001',1,'a@x'),('018f3c1e-0000-7000-8000-000000000002',1,'b@x'),('018f3c1e-0000-7000-8000-000000000003',2,'a@x')`,
	`INSERT INTO "we""ird tablé 'x'" VALUES ('a' || char(0) || 'b', 1, 1.0),('a',1,'1'),('é',2,x'31'),('Z',9223372036854775807,NULL)`,
	`INSERT INTO "order"(rowid, value) VALUES ('r1', 9e999),('r2', -9e999),(NULL, ''),('r4', x'')`,
	`INSERT INTO gen (id, a) VALUES (1, 10),(2, 20)`,
	`INSERT INTO strict VALUES (1, 2.5, 7)`,
}

// fill adds enough rows for several pages and ranges.
const fill = `WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i+1 FROM n WHERE i < 900)
	INSERT INTO tenants SELECT i, 'tenant ' || i, 'pro', i * 1000003, NULL, i / 7.0 FROM n`

func db(id string, more ...any) firedrill.Values {
	v := firedrill.Values{"database": id}
	for i := 0; i+1 < len(more); i += 2 {
		v[more[i].(string)] = more[i+1]
	}
	return v
}

func text(t *testing.T, o firedrill.Outcome, name string) string {
	t.Helper()
	s, is := o.Outputs[name].(string)
	if !is || s == "" {
		t.Fatalf("output %s is %v", name, o.Outputs[name])
	}
	return s
}

// TestDrillOnAHostileSchema goes through a whole drill by its actions.
func TestDrillOnAHostileSchema(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", append(hostile, fill)...)
	b := newBench(t, p.url)

	b.do("token", "cloudflare.verify", firedrill.Values{})
	found := b.do("find", "d1.find", firedrill.Values{"resource": map[string]any{"key": "primary", "kind": "d1", "name": "shop"}})
	if text(t, found, "id") != id {
		t.Fatalf("found %v", found.Outputs)
	}
	before := b.do("before", "d1.fingerprint", db(id))
	if before.Outputs["rows"].(int64) < 800 {
		t.Fatalf("fingerprinted %v", before.Outputs)
	}
	planned := b.do("canaries", "d1.plan-canaries", db(id))
	if n := len(planned.Outputs["skipped"].([]any)); n != 0 {
		t.Errorf("%d tables get no canary: %v", n, planned.Outputs["skipped"])
	}
	written := b.do("write", "d1.insert-canaries", db(id, "canaries", text(t, planned, "file")))
	if n := len(written.Outputs["skipped"].([]any)); n != 0 {
		t.Errorf("%d tables refused theirs: %v", n, written.Outputs["skipped"])
	}
	again := b.do("write", "d1.insert-canaries", db(id, "canaries", text(t, planned, "file")))
	if again.Outputs["rows"] != written.Outputs["rows"] {
		t.Errorf("written twice: %v and %v", written.Outputs, again.Outputs)
	}
	plan := b.do("plan", "d1.plan-damage", db(id, "rows", int64(200)))
	cut := b.do("cut", "d1.fingerprint", db(id))
	file := text(t, cut, "file")
	if o := b.do("same", "d1.compare", db(id, "against", file)); !ok(o) {
		t.Fatalf("planning damage changed something: %s", o.Summary)
	}

	damage := b.do("damage", "d1.damage", db(id, "plan", text(t, plan, "file")))
	t.Log(damage.Summary)
	if damage.Outputs["updated"].(int64) < 20 || damage.Outputs["deleted"].(int64) < 1 {
		t.Errorf("damage: %v", damage.Outputs)
	}
	if o := b.do("damaged", "d1.compare", db(id, "against", file)); ok(o) {
		t.Error("the damaged database is called equal")
	}
	seen := b.do("detect", "d1.compare", db(id, "against", file, "damage", text(t, damage, "file")))
	t.Log(seen.Summary)
	if !ok(seen) {
		t.Errorf("damage is not found: %s", seen.Summary)
	}

	restored := b.do("restore", "d1.restore", db(id, "bookmark", text(t, cut, "bookmark")))
	t.Log(restored.Summary)
	equal := b.do("verify", "d1.compare", db(id, "against", file))
	if !ok(equal) || equal.Checks[0].Compared < 800 {
		t.Errorf("restored: %s, compared %d", equal.Summary, equal.Checks[0].Compared)
	}
	if o := b.do("detect", "d1.compare", db(id, "against", file, "damage", text(t, damage, "file"))); ok(o) {
		t.Error("damage is found in a database that has none")
	}
	if o := b.do("intact", "d1.check-canaries", db(id, "canaries", text(t, written, "file"))); !ok(o) {
		t.Errorf("canaries: %s", o.Summary)
	}
	if o := b.do("protect", "d1.protect", db(id)); !ok(o) {
		t.Errorf("protection: %s", o.Summary)
	}

	removed := b.do("remove", "d1.remove-canaries", db(id, "canaries", text(t, planned, "file")))
	if removed.Outputs["removed"] != written.Outputs["rows"] {
		t.Errorf("removed %v of %v", removed.Outputs, written.Outputs)
	}
	b.do("remove", "d1.remove-canaries", db(id, "canaries", text(t, planned, "file")))
	if o := b.do("clean", "d1.compare", db(id, "against", text(t, before, "file"))); ok(o) {
		t.Error("the residue of sqlite_sequence does not show")
	}
	clean := b.do("clean", "d1.compare", db(id, "against", text(t, before, "file"), "residue", true))
	if !ok(clean) || len(clean.Collateral) == 0 {
		t.Errorf("left behind: %s; collateral %v", clean.Summary, clean.Collateral)
	}
	t.Log(clean.Collateral)
	if o := b.do("none", "d1.check-canaries", db(id, "canaries", text(t, written, "file"))); ok(o) {
		t.Error("removed canaries are called intact")
	}
}
