package d1

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"firedrill/internal/sandbox/disk"
)

func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(context.Background(), Options{Dir: dir, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func create(t *testing.T, s *Store, name string) string {
	t.Helper()
	d, err := s.Create(context.Background(), Database{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return d.ID
}

func exec(t *testing.T, s *Store, id, sql string, params ...any) []Result {
	t.Helper()
	r, _, err := s.Query(context.Background(), id, []Statement{{SQL: sql, Params: params}})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return r
}

func mark(t *testing.T, s *Store, id string) string {
	t.Helper()
	b, err := s.Bookmark(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestValuesComeBackExactly(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	id := create(t, s, "exact")
	exec(t, s, id, `CREATE TABLE v(i INTEGER, r REAL, s TEXT, b BLOB, at TIMESTAMP DEFAULT '2026-11-24 10:00:00.5', day DATE, flag BOOLEAN)`)
	exec(t, s, id, `INSERT INTO v(i, r, s, b, day, flag) VALUES (?, ?, ?, ?, ?, ?)`, int64(1)<<53+1, 0.1, "a\x00b'\n", []byte{0, 255}, "2026-01-02", true)
	got := exec(t, s, id, `SELECT * FROM v`)[0]
	want := []any{int64(1)<<53 + 1, 0.1, "a\x00b'\n", []byte{0, 255}, "2026-11-24 10:00:00.5", "2026-01-02", int64(1)}
	for i, w := range want {
		g := got.Rows[0][i]
		if b, ok := w.([]byte); ok {
			if string(b) != string(g.([]byte)) {
				t.Errorf("column %d: %v, want %v", i, g, w)
			}
		} else if g != w {
			t.Errorf("column %d: %#v, want %#v", i, g, w)
		}
	}
}

func TestABatchIsOneUnit(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	id := create(t, s, "unit")
	exec(t, s, id, `CREATE TABLE t(a PRIMARY KEY)`)
	before := mark(t, s, id)
	_, _, err := s.Query(context.Background(), id, []Statement{{SQL: `INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)`}, {SQL: `INSERT INTO t VALUES (1)`}})
	var e *Error
	if !errors.As(err, &e) || e.Code != CodeQuery || e.Message != "UNIQUE constraint failed: t.a: SQLITE_CONSTRAINT" {
		t.Fatalf("error %v", err)
	}
	if n := exec(t, s, id, `SELECT count(*) FROM t`)[0].Rows[0][0]; n != int64(0) {
		t.Errorf("%v rows stayed", n)
	}
	if after := mark(t, s, id); after != before {
		t.Errorf("the bookmark moved without a write: %s to %s", before, after)
	}
	r := exec(t, s, id, `INSERT INTO t VALUES (7); SELECT a FROM t`)
	if len(r) != 2 || r[0].Meta.Changes != 1 || !r[0].Meta.ChangedDB || r[1].Meta.ChangedDB || r[1].Rows[0][0] != int64(7) {
		t.Errorf("results %+v", r)
	}
	if after := mark(t, s, id); after <= before {
		t.Errorf("bookmark %s is not after %s", after, before)
	}
}

func TestHostileSQLIsRefused(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	id := create(t, s, "hostile")
	exec(t, s, id, `CREATE TABLE t(a)`)
	for _, sql := range []string{
		`ATTACH '/tmp/x' AS x`, `DETACH main`, `VACUUM`, `VACUUM INTO '/tmp/x'`, `BEGIN`, `COMMIT`, `SAVEPOINT a`,
		`/* x */ ROLLBACK`, `SELECT * FROM sqlite_dbpage`, `INSERT INTO sqlite_dbpage VALUES (1, zeroblob(4096), 'main')`,
		`PRAGMA journal_mode=DELETE`, `PRAGMA wal_checkpoint`, `PRAGMA writable_schema=1`, `PRAGMA synchronous=OFF`, `PRAGMA foreign_keys=OFF`,
		`CREATE TABLE _cf_x(a)`, `SELECT load_extension('x')`, `CREATE VIRTUAL TABLE d USING dbstat`,
		`SELECT 1 WHERE 'a' LIKE '` + strings.Repeat("x", 51) + `'`, "SELECT '" + strings.Repeat("x", MaxStatement) + "'", ``, ` -- nothing`,
		`DELETE FROM sqlite_schema`,
	} {
		if _, _, err := s.Query(context.Background(), id, []Statement{{SQL: sql}}); err == nil {
			t.Errorf("%.60q was taken", sql)
		}
	}
	exec(t, s, id, `PRAGMA table_list; PRAGMA foreign_keys; PRAGMA defer_foreign_keys=on; CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES ('hello'); SELECT * FROM f('hello')`)
}

func TestStatementsAreTakenApart(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string][]string{
		"SELECT 1; SELECT 2;":    {"SELECT 1", "SELECT 2"},
		"SELECT ';';--;\n;/*;*/": {"SELECT ';'"},
		"CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; DELETE FROM t; end; SELECT 3": {
			"CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; DELETE FROM t; end", "SELECT 3"},
		"create temp trigger x\r\nbegin select 1;\r\nend;\r\nselect `a;b`, [c;d], \"e;\"\"f\"": {
			"create temp trigger x\r\nbegin select 1;\r\nend", "select `a;b`, [c;d], \"e;\"\"f\""},
		"CREATE TABLE begin_end(a); SELECT 1": {"CREATE TABLE begin_end(a)", "SELECT 1"},
		"  ;; ":                               nil,
	} {
		got := split(sql)
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%q:\n got %q\nwant %q", sql, got, want)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("SELECT 1; CREATE TRIGGER x BEGIN SELECT ';'; END; -- ;")
	f.Add("'''';\"[`")
	f.Fuzz(func(t *testing.T, sql string) {
		for _, s := range split(sql) {
			if strings.TrimSpace(s) == "" {
				t.Errorf("an empty statement from %q", sql)
			}
		}
	})
}

func TestNamesAndBookmarksAreChecked(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := openStore(t, t.TempDir())
	a, b := create(t, s, "a"), create(t, s, "b")
	if _, err := s.Create(ctx, Database{Name: "a"}); code(err) != CodeNameTaken {
		t.Errorf("the name was taken twice: %v", err)
	}
	if _, err := s.Get(ctx, "nope"); code(err) != CodeNotFound {
		t.Errorf("unknown database: %v", err)
	}
	exec(t, s, a, `CREATE TABLE t(a)`)
	for what, bookmark := range map[string]string{
		"another database": mark(t, s, b), "not of the form": "latest", "in the future": strings.Replace(mark(t, s, a), "00000001-0", "00000009-0", 1),
	} {
		if _, _, err := s.Restore(ctx, a, bookmark); code(err) != CodeBadRequest || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.BookmarkAt(ctx, a, time.Now().Add(-time.Hour)); code(err) != CodeBadRequest {
		t.Errorf("a time before the database: %v", err)
	}
	if err := s.Delete(ctx, a); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Query(ctx, a, []Statement{{SQL: "SELECT 1"}}); code(err) != CodeNotFound {
		t.Errorf("deleted database: %v", err)
	}
	if l, _ := s.List(ctx); len(l) != 1 || l[0].Name != "b" {
		t.Errorf("list %+v", l)
	}
}

func code(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

func TestAFolderOfANewerVersionIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := disk.Replace(dir+"/"+formatFile, []byte("d1 99")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), Options{Dir: dir, Now: time.Now}); err == nil || !strings.Contains(err.Error(), "newer firedrill") {
		t.Errorf("error %v", err)
	}
}

func TestExportGoesInAndOut(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := openStore(t, t.TempDir())
	a, b := create(t, s, "from"), create(t, s, "to")
	exec(t, s, a, `CREATE TABLE p(id INTEGER PRIMARY KEY AUTOINCREMENT, "na me" TEXT NOT NULL, r REAL, b BLOB, g GENERATED ALWAYS AS (id*2));
		CREATE TABLE c(id INTEGER PRIMARY KEY, p INTEGER REFERENCES p(id) ON DELETE CASCADE);
		CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
		CREATE INDEX i ON p("na me"); CREATE VIEW vw AS SELECT * FROM p;
		CREATE TRIGGER tr AFTER INSERT ON c BEGIN UPDATE p SET r = CASE WHEN r IS NULL THEN 1 ELSE r END; END;
		INSERT INTO w VALUES ('k''1', 1e300), ('n', -9223372036854775808), ('z', 3.0)`)
	exec(t, s, a, `INSERT INTO p("na me", r, b) VALUES (?, ?, ?)`, "a\x00b;'\n\"", 1.0, []byte{0, 1, 255})
	exec(t, s, a, `INSERT INTO c VALUES (9007199254740993, 1)`)
	var dump strings.Builder
	if _, err := s.Export(ctx, a, &dump, ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import(ctx, b, strings.NewReader(dump.String())); err != nil {
		t.Fatalf("%v in\n%s", err, dump.String())
	}
	var again strings.Builder
	if _, err := s.Export(ctx, b, &again, ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	if dump.String() != again.String() {
		t.Errorf("exported\n%s\nand after the import\n%s", dump.String(), again.String())
	}
	if !strings.Contains(dump.String(), "9007199254740993") || !strings.Contains(dump.String(), "sqlite_sequence") {
		t.Errorf("the dump lacks something:\n%s", dump.String())
	}
	exec(t, s, a, `CREATE VIRTUAL TABLE f USING fts5(x)`)
	if _, err := s.Export(ctx, a, &dump, ExportOptions{}); code(err) != CodeQuery {
		t.Errorf("a virtual table was exported: %v", err)
	}
}
