package cloudflare

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/backup"
	"firedrill/internal/fingerprint"
)

// client makes a client of the platform whose clock a test moves.
func (p *platform) client(t *testing.T, guard *Guard) *Client {
	t.Helper()
	c, err := New(Config{API: p.url, Account: testAccount, Token: func(context.Context) (string, error) { return canaryToken, nil }, Guard: guard,
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (p *platform) d1(t *testing.T, ref string) *D1 {
	t.Helper()
	d, err := p.client(t, nil).D1(t.Context(), "test", ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func writeOptions(d *D1, method backup.Method) backup.D1Options {
	return backup.D1Options{WriteOptions: backup.WriteOptions{Source: d.Source(), Tool: "test", Now: time.Now}, Method: method}
}

func restoreOptions() backup.RestoreOptions {
	return backup.RestoreOptions{Now: time.Now, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
}

// awkward is a database with most of what makes backups wrong.
const awkward = `
CREATE TABLE d1_migrations(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL);
INSERT INTO d1_migrations(name) VALUES('0001_a.sql'),('0002_b.sql');
CREATE TABLE "odd ""name"" of; a--table" ("a ""b" TEXT, 'c' INT, [d e] REAL, d DATE) -- a comment
;
INSERT INTO "odd ""name"" of; a--table" VALUES('x', 1, 2.5, '2020-01-01'), ('it''s', NULL, 1e300, 7);
CREATE TABLE child(id INTEGER PRIMARY KEY, p TEXT NOT NULL REFERENCES parent(code) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE parent(code TEXT, n INT);
CREATE UNIQUE INDEX parent_code ON parent(code);
INSERT INTO parent VALUES('p1', 1), ('p2', 2);
INSERT INTO child VALUES(5, 'p1'), (6, 'p2');
CREATE TABLE tree(id INTEGER PRIMARY KEY, up INT REFERENCES tree(id));
INSERT INTO tree VALUES(3, NULL), (1, 3), (2, 1);
CREATE TABLE left_(id INTEGER PRIMARY KEY, r INT REFERENCES right_(id) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE right_(id INTEGER PRIMARY KEY, l INT REFERENCES left_(id));
INSERT INTO left_ VALUES(1, NULL); INSERT INTO right_ VALUES(1, 1); UPDATE left_ SET r = 1;
CREATE TABLE kinds(v, w BLOB);
INSERT INTO kinds(rowid, v, w) VALUES(7, 9223372036854775807, NULL), (9, -9223372036854775808, x''), (12, 9007199254740993, x'00ff'),
 (13, 9e999, 1), (14, -9e999, 1.5), (15, -0.0, 0.0), (16, 4.9e-324, 2.2250738585072011e-308), (17, 0.1, 1.7976931348623157e308), (18, 1e23, 123456789012345678),
 (19, CAST(x'410042' AS TEXT), ''), (20, CAST(x'ff80c3' AS TEXT), 'line
end'), (21, CAST(x'0d0a' AS TEXT), '  '), (-3, 'negative', char(65533)), (22, 1/3.0, 2/3.0), (23, 3.0, -2.5);
CREATE TABLE without_(a TEXT, b INT, c, PRIMARY KEY(a, b)) WITHOUT ROWID;
CREATE TABLE cased(a TEXT COLLATE NOCASE, n INT, PRIMARY KEY(a COLLATE BINARY)) WITHOUT ROWID;
INSERT INTO cased WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<63) SELECT printf('k%03d', i), i FROM n;
INSERT INTO cased VALUES('X', 64), ('x', 65); -- a page of 64 rows ends between them
INSERT INTO without_ VALUES('x', 2, 1), ('x', 10, 2), ('a', 1, CAST(x'00' AS TEXT));
CREATE TABLE gen(a INT, b INT AS (a * 2) STORED, c TEXT AS ('x' || a), d INT CHECK (d > 0) DEFAULT 4);
INSERT INTO gen(a) VALUES(1), (20);
CREATE TABLE down(id INTEGER PRIMARY KEY DESC, x TEXT);
INSERT INTO down VALUES(5, 'five'), (1, 'one');
CREATE TABLE numbered(id INTEGER PRIMARY KEY AUTOINCREMENT, x TEXT COLLATE NOCASE);
INSERT INTO numbered(x) VALUES('a'), ('B'); DELETE FROM numbered WHERE id = 2;
UPDATE sqlite_sequence SET seq = 1000 WHERE name = 'numbered';
CREATE TABLE strict_(a ANY, b INTEGER, c REAL) STRICT; INSERT INTO strict_ VALUES('1', 1, 1.0), (1.0, 2, 2.5);
CREATE TABLE empty_(id INTEGER PRIMARY KEY);
CREATE INDEX kinds_v ON kinds(typeof(v), v) WHERE v IS NOT NULL;
CREATE VIEW seen AS SELECT code, n FROM parent /* a view */;
CREATE TABLE log(what TEXT);
CREATE TRIGGER logged AFTER INSERT ON child BEGIN INSERT INTO log VALUES(CASE WHEN new.p = 'x;' THEN 'a' ELSE 'b' END); END;
CREATE TRIGGER seen_insert INSTEAD OF INSERT ON seen BEGIN INSERT INTO parent VALUES(new.code, new.n); END;
`

const fullText = `
CREATE VIRTUAL TABLE notes USING fts5(title, body, tag UNINDEXED, tokenize = 'porter');
INSERT INTO notes(rowid, title, body, tag) VALUES(4, 'running', 'he runs', 5), (90, 'it''s', 'plain', NULL);
CREATE TABLE docs(id INTEGER PRIMARY KEY, text TEXT);
CREATE VIRTUAL TABLE docs_fts USING fts5(text, content='docs', content_rowid='id');
CREATE TRIGGER docs_ai AFTER INSERT ON docs BEGIN INSERT INTO docs_fts(rowid, text) VALUES (new.id, new.text); END;
INSERT INTO docs VALUES(1, 'one apple'), (3, 'two pears');
`

// roundTrip backs a database up, verifies the backup offline, restores it into
// another and compares both as drills do; and loads it with the sqlite3 shell.
func roundTrip(t *testing.T, p *platform, id string, o backup.D1Options) (backup.Manifest, string) {
	t.Helper()
	ctx := t.Context()
	d := p.d1(t, id)
	dir := filepath.Join(t.TempDir(), "backup")
	m, err := backup.WriteD1(ctx, d, backup.Folder(dir), o)
	if err != nil {
		t.Fatalf("%v (%s)", err, firedrill.RemedyOf(err))
	}
	b, err := backup.Open(ctx, backup.Folder(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Verify(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := b.CheckD1(ctx, d); err != nil {
		t.Errorf("the source differs from its backup: %v", err)
	}
	to := p.d1(t, p.create("restored "+id+" "+filepath.Base(filepath.Dir(dir))))
	done, err := b.RestoreD1(ctx, to, restoreOptions())
	if err != nil {
		t.Fatalf("%v (%s)", err, firedrill.RemedyOf(err))
	}
	if done.Compared != m.Database.Rows || done.Parts != len(m.Parts) {
		t.Errorf("restored %+v of %d rows and %d parts", done, m.Database.Rows, len(m.Parts))
	}
	sameContent(t, d, to)
	return m, dir
}

// sameContent compares two databases by the fingerprint that drills use.
func sameContent(t *testing.T, a, b *D1) {
	t.Helper()
	for _, d := range apartFrom(t, a, b, func(table string) bool {
		return strings.Contains(table, "_fts") || strings.HasPrefix(table, "notes_") || table == "sqlite_sequence"
	}) {
		t.Error(d)
	}
}

// apartFrom says what differs between two databases, but for the rows of tables that
// do not count.
func apartFrom(t *testing.T, a, b *D1, ignored func(table string) bool) []string {
	t.Helper()
	call := firedrill.Call{Dir: t.TempDir(), Progress: func(firedrill.Progress) {}}
	if _, err := a.d.fingerprint(t.Context(), "test", call, "print", fingerprint.Full, nil); err != nil {
		t.Fatal(err)
	}
	s, err := b.d.schema(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	diff, _, err := b.d.compareRows(t.Context(), "test", call, "print", s, func(r fingerprint.RowDifference) error {
		if !ignored(r.Table) {
			out = append(out, r.Table+" "+r.Key+" is "+r.How)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range diff.Objects {
		out = append(out, o.Object.String()+" is "+o.How)
	}
	for _, c := range diff.Columns {
		out = append(out, "table "+c+" has other columns")
	}
	return out
}

// shell loads parts with the sqlite3 shell and gives the database's path.
func shell(t *testing.T, dir string) string {
	t.Helper()
	bin, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Skip("sqlite3 is not on PATH")
	}
	parts, err := filepath.Glob(filepath.Join(dir, "d1-*.sql"))
	if err != nil || len(parts) == 0 {
		t.Fatal(parts, err)
	}
	path := filepath.Join(t.TempDir(), "new.db")
	var all []byte
	for _, part := range parts {
		data, err := os.ReadFile(part)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data...)
	}
	cmd := exec.CommandContext(t.Context(), bin, "-bail", path)
	cmd.Stdin = strings.NewReader(string(all))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("sqlite3: %v\n%s", err, out)
	}
	return path
}

func TestADatabaseRoundTripsThroughSQL(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("awkward", awkward)
	o := writeOptions(p.d1(t, id), backup.MethodAuto)
	var said []string
	o.Tell = func(s string) { said = append(said, s) }
	m, dir := roundTrip(t, p, id, o)
	if m.Database.Method != backup.MethodSQL || !m.Database.Compared || !m.Snapshot || m.Database.Bookmark == "" || len(said) != 1 {
		t.Errorf("%+v, said %q", m.Database, said)
	}
	shell(t, dir)
}

func TestFullTextRoundTrips(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("texts", fullText)
	m, dir := roundTrip(t, p, id, writeOptions(p.d1(t, id), backup.MethodAuto))
	if m.Database.Method != backup.MethodSQL || m.Database.Rows != 4 {
		t.Errorf("%+v", m.Database)
	}
	shell(t, dir)
}

func TestAPlainDatabaseIsExported(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("plain", `CREATE TABLE users(id INTEGER PRIMARY KEY, email TEXT UNIQUE); INSERT INTO users VALUES(1,'a@b'),(2,'ü;''');
		CREATE VIEW v AS SELECT 1; CREATE TABLE b(x BLOB, y REAL); INSERT INTO b VALUES(x'00', 0.1);`)
	m, dir := roundTrip(t, p, id, writeOptions(p.d1(t, id), backup.MethodAuto))
	if m.Database.Method != backup.MethodExport || !m.Database.Compared || len(m.Parts) != 1 {
		t.Errorf("%+v", m.Database)
	}
	shell(t, dir)
}
