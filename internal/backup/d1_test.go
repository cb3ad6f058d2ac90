package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"firedrill"
	"firedrill/internal/fingerprint"
)

// live is a database that is backed up, or restored into: in place of the
// platform's.
type live struct {
	*local
	t     *testing.T
	mark  int
	calls map[string]int
	// fail may break a call, before or after it has happened; it is told the call's
	// name and number.
	fail   func(call string, n int) (before, after error)
	export func([]byte) []byte // bends an export
	why    string              // what speaks against the export
}

func newLive(t *testing.T, script ...string) *live {
	t.Helper()
	l, err := newLocal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	d := &live{local: l, t: t, calls: map[string]int{}}
	if err := l.do(t.Context(), "PRAGMA journal_mode=MEMORY"); err != nil { // it has to roll back
		t.Fatal(err)
	}
	for _, s := range script {
		d.exec(s)
	}
	return d
}

// exec writes as the application would.
func (d *live) exec(script string) {
	d.t.Helper()
	if err := d.perform(context.Background(), strings.NewReader(script+";")); err != nil {
		d.t.Fatalf("%s: %v", script, err)
	}
}

func (d *live) perform(ctx context.Context, r io.Reader) error {
	load, err := d.load(ctx)
	if err != nil {
		return err
	}
	if _, err = io.Copy(load, r); err == nil {
		err = load.finish()
	}
	if err != nil {
		return errors.Join(err, d.do(context.WithoutCancel(ctx), "ROLLBACK"))
	}
	d.mark++
	return nil
}

func (d *live) called(call string) (error, error) {
	d.calls[call]++
	if d.fail == nil {
		return nil, nil
	}
	return d.fail(call, d.calls[call])
}

func (d *live) Bookmark(context.Context) (string, error) {
	err, after := d.called("bookmark")
	return fmt.Sprintf("mark-%06d", d.mark), errors.Join(err, after)
}

func (d *live) Schema(ctx context.Context) (SQLSchema, error) {
	if err, _ := d.called("schema"); err != nil {
		return SQLSchema{}, err
	}
	return d.local.Schema(ctx)
}

func (d *live) Ask(ctx context.Context, sql string) ([][]string, error) {
	if err, _ := d.called("ask"); err != nil {
		return nil, err
	}
	return d.local.Ask(ctx, sql)
}

func (d *live) Rows(ctx context.Context, t SQLTable, after *SQLRow, visit func(SQLRow) error) error {
	if err, _ := d.called("rows"); err != nil {
		return err
	}
	behind := after == nil
	return d.local.Rows(ctx, t, nil, func(r SQLRow) error {
		if !behind {
			if t.Rowid != "" {
				behind = r.Rowid == after.Rowid
			} else {
				behind = t.key(r) == t.key(*after)
			}
			return nil
		}
		if err, _ := d.called("row"); err != nil {
			return err
		}
		return visit(r)
	})
}

func (d *live) Exportable(context.Context) (string, error) {
	err, _ := d.called("exportable")
	return d.why, err
}

// Export writes what the platform would: no rowids, and numbers as they are.
func (d *live) Export(ctx context.Context) (SQLExport, error) {
	if err, _ := d.called("export"); err != nil {
		return SQLExport{}, err
	}
	s, err := d.local.Schema(ctx)
	if err != nil {
		return SQLExport{}, err
	}
	var b bytes.Buffer
	b.WriteString("PRAGMA defer_foreign_keys=TRUE;\n")
	for _, o := range s.Objects {
		if o.Type == "table" {
			fmt.Fprintf(&b, "%s\n;\n", o.SQL)
		}
	}
	for _, t := range s.Tables {
		if t.Name == sequence {
			b.WriteString("DELETE FROM sqlite_sequence;\n")
		}
		err := d.local.Rows(ctx, t, nil, func(r SQLRow) error {
			var values []string
			for _, c := range r.Cells {
				values = append(values, string(AppendLiteral(nil, c)))
			}
			var columns []string
			for _, c := range t.Columns {
				columns = append(columns, quoteName(c))
			}
			fmt.Fprintf(&b, "INSERT INTO %s(%s) VALUES(%s);\n", quoteName(t.Name), strings.Join(columns, ","), strings.Join(values, ","))
			return nil
		})
		if err != nil {
			return SQLExport{}, err
		}
	}
	for _, kind := range []string{"index", "trigger", "view"} {
		for _, o := range s.Objects {
			if o.Type == kind {
				fmt.Fprintf(&b, "%s\n;\n", o.SQL)
			}
		}
	}
	text := b.Bytes()
	if d.export != nil {
		text = d.export(text)
	}
	return SQLExport{Bookmark: fmt.Sprintf("export-%d", d.mark), Open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(text)), nil
	}}, nil
}

func (d *live) Import(ctx context.Context, b Body) (err error) {
	before, after := d.called("import")
	if before != nil {
		return before
	}
	r, err := b.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var n counter
	if err := d.perform(ctx, io.TeeReader(r, &n)); err != nil {
		return &firedrill.Error{Op: "import", Kind: firedrill.KindInvalid, Err: err}
	}
	if int64(n) != b.Size {
		d.t.Errorf("a body of %d bytes was announced with %d", n, b.Size)
	}
	return after
}

func (d *live) Exec(ctx context.Context, sql string) error {
	if err, _ := d.called("exec"); err != nil {
		return err
	}
	d.mark++
	return d.do(ctx, sql)
}

func d1Options(o D1Options) D1Options {
	o.Source, o.Tool, o.Now = Source{API: "api", Account: "a", Database: "id", Title: "shop"}, "test", time.Now
	return o
}

func openD1(t *testing.T, place Place) *Backup {
	t.Helper()
	b, err := Open(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustWriteD1(t *testing.T, d *live, o D1Options) (*Backup, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "b")
	if _, err := WriteD1(t.Context(), d, Folder(dir), d1Options(o)); err != nil {
		t.Fatalf("%v (%s)", err, firedrill.RemedyOf(err))
	}
	b := openD1(t, Folder(dir))
	if err := b.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b, dir
}

// equalTo compares a database with a backup, without [Backup.CheckD1].
func equalTo(t *testing.T, b *Backup, d *live) {
	t.Helper()
	got, err := measure(t.Context(), d.local, nil)
	if err != nil {
		t.Fatal(err)
	}
	if how, _ := b.Manifest.Database.differs(got); how != "" {
		t.Error(how)
	}
	left, err := d.local.Ask(t.Context(), "SELECT name FROM sqlite_schema WHERE name LIKE '\\_firedrill%' ESCAPE '\\'")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

const shop = `
CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INT REFERENCES customers(id), note TEXT);
CREATE TABLE customers(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL CHECK (name <> ''), boss INT REFERENCES customers(id));
CREATE TABLE words(a TEXT, b INT, PRIMARY KEY(a, b)) WITHOUT ROWID;
CREATE TABLE plain(v);
CREATE INDEX notes ON orders(note) WHERE note IS NOT NULL;
CREATE VIEW named AS SELECT name FROM customers;
CREATE TRIGGER t AFTER INSERT ON orders BEGIN INSERT INTO plain VALUES('fired; END;'); END;
INSERT INTO customers(id, name, boss) VALUES(1, 'it''s', 2), (2, '--;', NULL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) INSERT INTO words SELECT 'w' || (i % 7), i FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO orders SELECT i, 1 + i % 2, hex(i) FROM n;
DELETE FROM plain; INSERT INTO plain(rowid, v) VALUES(5, NULL), (70, 1.5), (71, x'00'), (72, 9007199254740993);
UPDATE sqlite_sequence SET seq = 77`

// script runs statements one by one: WITH is none that a backup is made of.
func shopLive(t *testing.T) *live {
	t.Helper()
	d := newLive(t)
	for _, s := range strings.Split(shop, ";\n") {
		if err := d.do(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return d
}

func TestADatabaseIsCutIntoPartsThatHoldByThemselves(t *testing.T) {
	t.Parallel()
	d := shopLive(t)
	b, dir := mustWriteD1(t, d, D1Options{Method: MethodSQL, WriteOptions: WriteOptions{MaxPartBytes: 3000}})
	m := b.Manifest
	if len(m.Parts) < 3 || m.Database.Rows != 507 || !m.Database.Compared || m.Database.Method != MethodSQL || m.Database.Bookmark != "mark-000000" || !m.Snapshot {
		t.Errorf("%+v", m)
	}
	// Every part is loaded by a connection of its own, with foreign keys on.
	to := newLive(t)
	if _, err := b.RestoreD1(t.Context(), to, restoringD1()); err != nil {
		t.Fatal(err)
	}
	equalTo(t, b, to)
	if _, err := os.Stat(filepath.Join(dir, progressName)); !errors.Is(err, os.ErrNotExist) {
		t.Error("the note of progress is left")
	}
}

func restoringD1() RestoreOptions {
	return RestoreOptions{Now: time.Now, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
}

// bounds are sizes of parts: a small one, and with FIREDRILL_SOAK=1 none, too.
func bounds(small int64) []int64 {
	if os.Getenv("FIREDRILL_SOAK") != "" {
		return []int64{0, small}
	}
	return []int64{small}
}

// TestTheShellReadsWhatWeRead loads parts with the sqlite3 shell.
func TestTheShellReadsWhatWeRead(t *testing.T) {
	t.Parallel()
	bin, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Skip("sqlite3 is not on PATH")
	}
	d := shopLive(t)
	for _, s := range []string{"CREATE TABLE lines(a TEXT DEFAULT 'x',\r\n b TEXT)", "INSERT INTO lines VALUES(CAST(x'610d0a62' AS TEXT), 'x\n.quit\n/\ngo\n;')",
		"CREATE VIEW ends AS SELECT 1 -- with a comment", "CREATE TABLE reals(v)"} {
		if err := d.do(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range awkwardReals() {
		if err := d.do(t.Context(), "INSERT INTO reals VALUES("+string(AppendLiteral(nil, fingerprint.Cell{Type: fingerprint.Real, Real: v}))+")"); err != nil {
			t.Fatal(err)
		}
	}
	for _, bound := range bounds(2500) {
		b, dir := mustWriteD1(t, d, D1Options{Method: MethodSQL, WriteOptions: WriteOptions{MaxPartBytes: bound}})
		var script []byte
		for _, p := range b.Manifest.Parts {
			data, err := os.ReadFile(filepath.Join(dir, p.File))
			if err != nil {
				t.Fatal(err)
			}
			script = append(script, data...)
		}
		into := t.TempDir()
		cmd := exec.CommandContext(t.Context(), bin, "-bail", filepath.Join(into, localName))
		cmd.Stdin = bytes.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("sqlite3: %v\n%s", err, out)
		}
		l, err := openLocal(t.Context(), into)
		if err != nil {
			t.Fatal(err)
		}
		got, err := measure(t.Context(), l, nil)
		if err := errors.Join(err, l.Close()); err != nil {
			t.Fatal(err)
		}
		if how, _ := b.Manifest.Database.differs(got); how != "" {
			t.Errorf("%d parts: %s", len(b.Manifest.Parts), how)
		}
	}
}

func TestLongValuesAndRows(t *testing.T) {
	t.Parallel()
	d := newLive(t, `CREATE TABLE big(id INTEGER PRIMARY KEY, t TEXT NOT NULL UNIQUE CHECK (length(t) <> 45000), b BLOB CHECK (length(b) > 1000000 OR b IS NULL OR length(b) = 45000), n INT);
		CREATE TABLE single(b BLOB)`)
	text := strings.Repeat("ü'\n", 1_900_000/4)
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf("('%s%d')", strings.Repeat("x", 4000), i))
	}
	for _, s := range []string{"INSERT INTO big VALUES(1, '" + strings.ReplaceAll(text, "'", "''") + "', randomblob(1900000), 5)",
		"INSERT INTO big VALUES(2, 'short', zeroblob(45000), 6)", "INSERT INTO big SELECT 3, hex(zeroblob(50000)), NULL, 7",
		"INSERT INTO big SELECT 4, CAST(randomblob(99000) AS TEXT), zeroblob(1500000), 8", "INSERT INTO single VALUES(zeroblob(1999990))",
		"CREATE TABLE many(a)", "INSERT INTO many VALUES" + strings.Join(many, ",")} {
		if err := d.do(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	for _, bound := range bounds(200_000) {
		b, dir := mustWriteD1(t, d, D1Options{Method: MethodSQL, WriteOptions: WriteOptions{MaxPartBytes: bound}})
		longest := 0
		for _, p := range b.Manifest.Parts {
			data, err := os.ReadFile(filepath.Join(dir, p.File))
			if err != nil {
				t.Fatal(err)
			}
			s := &splitter{statement: func(sql []byte, _ int64) error { longest = max(longest, len(sql)); return nil }}
			if _, err := s.Write(data); err != nil {
				t.Fatal(err)
			}
		}
		if longest > maxStatement || longest < 50_000 || bound > 0 && len(b.Manifest.Parts) < 5 {
			t.Errorf("the longest statement has %d bytes, in %d parts", longest, len(b.Manifest.Parts))
		}
		to := newLive(t)
		if _, err := b.RestoreD1(t.Context(), to, restoringD1()); err != nil {
			t.Fatal(err)
		}
		equalTo(t, b, to)
	}
}

// TestWideTables keeps statements below the platform's bound for the code of one.
func TestWideTables(t *testing.T) {
	t.Parallel()
	var columns, values []string
	for i := range limitColumns {
		columns, values = append(columns, fmt.Sprintf("c%d", i)), append(values, fmt.Sprint(i%10))
	}
	d := newLive(t, "CREATE TABLE wide("+strings.Join(columns, ",")+")")
	for range 9 {
		if err := d.do(t.Context(), "INSERT INTO wide VALUES("+strings.Join(values, ",")+")"); err != nil {
			t.Fatal(err)
		}
		if err := d.do(t.Context(), "INSERT INTO wide SELECT * FROM wide"); err != nil {
			t.Fatal(err)
		}
	}
	for _, sql := range []string{"CREATE TABLE wide2 AS SELECT * FROM wide LIMIT 0", "ALTER TABLE wide2 DROP COLUMN c0", "INSERT INTO wide2 SELECT " + strings.Join(columns[1:], ",") + " FROM wide",
		"UPDATE wide SET rowid = -rowid WHERE rowid % 7 = 0", "UPDATE wide SET rowid = rowid + 5000 WHERE rowid > 500", "UPDATE wide SET c1 = zeroblob(60000) WHERE rowid = 5001 + 505"} {
		if err := d.do(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	for _, bound := range bounds(300_000) {
		b, _ := mustWriteD1(t, d, D1Options{Method: MethodSQL, WriteOptions: WriteOptions{MaxPartBytes: bound}})
		to := newLive(t)
		if _, err := b.RestoreD1(t.Context(), to, restoringD1()); err != nil {
			t.Fatal(err)
		}
		equalTo(t, b, to)
		if bound > 0 && len(b.Manifest.Parts) < 2 {
			t.Errorf("%d parts", len(b.Manifest.Parts))
		}
	}
}

func TestTheMethodFollowsTheDatabase(t *testing.T) {
	t.Parallel()
	plainly := func(t *testing.T) *live {
		return newLive(t, "CREATE TABLE a(id INTEGER PRIMARY KEY, x TEXT); INSERT INTO a VALUES(1,'x'),(2,'y'); CREATE INDEX i ON a(x)")
	}
	lose := func(from, to string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.Replace(b, []byte(from), []byte(to), 1) }
	}
	for name, c := range map[string]struct {
		method, want Method
		why          string
		bend         func([]byte) []byte
		kind         firedrill.Kind
	}{
		"auto":                      {want: MethodExport},
		"auto, known to be inexact": {why: "numbers", want: MethodSQL},
		"sql":                       {method: MethodSQL, want: MethodSQL},
		"export":                    {method: MethodExport, want: MethodExport},
		"export, inexact":           {method: MethodExport, why: "numbers", kind: firedrill.KindUnsupported},
		"auto, a row is lost":       {bend: lose("INSERT INTO \"a\"(\"id\",\"x\") VALUES(2,'y');\n", ""), want: MethodSQL},
		"auto, a value is changed":  {bend: lose("'y'", "'z'"), want: MethodSQL},
		"auto, an index is lost":    {bend: lose("CREATE INDEX i ON a(x)", ""), want: MethodSQL},
		"auto, it does not load":    {bend: lose("(2,", "(1,"), want: MethodSQL},
		"auto, it is cut off":       {bend: func(b []byte) []byte { return b[:len(b)/2] }, want: MethodSQL},
		"auto, it reaches out":      {bend: func(b []byte) []byte { return append(b, "ATTACH 'x' AS y;"...) }, want: MethodSQL},
		"export, a value changed":   {method: MethodExport, bend: lose("'y'", "'z'"), kind: firedrill.KindUnsupported},
		"export, a long statement":  {method: MethodExport, bend: lose("'y'", "'"+strings.Repeat("y", maxStatement)+"'"), kind: firedrill.KindUnsupported},
		"no such method":            {method: "best", kind: firedrill.KindUsage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := plainly(t)
			d.why, d.export = c.why, c.bend
			dir := Folder(filepath.Join(t.TempDir(), "b"))
			m, err := WriteD1(t.Context(), d, dir, d1Options(D1Options{Method: c.method}))
			if firedrill.KindOf(err) != c.kind {
				t.Fatalf("%v", err)
			}
			if c.kind != "" {
				return
			}
			if m.Database.Method != c.want || !m.Database.Compared || len(m.Parts) != 1 {
				t.Errorf("%+v", m.Database)
			}
			b := openD1(t, dir)
			if err := b.Verify(t.Context()); err != nil {
				t.Error(err)
			}
			equalTo(t, b, d)
		})
	}
}

func TestWritersAreNoticed(t *testing.T) {
	t.Parallel()
	busy := func(d *live, from, to int) {
		d.fail = func(call string, n int) (error, error) {
			if call == "row" && n >= from && n <= to {
				d.mark++
			}
			return nil, nil
		}
	}
	const script = "CREATE TABLE a(id INTEGER PRIMARY KEY); INSERT INTO a VALUES(1),(2),(3)"
	t.Run("by sql, once", func(t *testing.T) {
		t.Parallel()
		d := newLive(t, script)
		busy(d, 2, 2)
		b, _ := mustWriteD1(t, d, D1Options{Method: MethodSQL})
		if b.Manifest.Database.Bookmark != "mark-000002" || b.Manifest.Database.Rows != 3 {
			t.Errorf("%+v", b.Manifest.Database)
		}
	})
	t.Run("by sql, always", func(t *testing.T) {
		t.Parallel()
		d := newLive(t, script)
		busy(d, 0, 1000)
		_, err := WriteD1(t.Context(), d, Folder(t.TempDir()), d1Options(D1Options{Method: MethodSQL}))
		if firedrill.KindOf(err) != firedrill.KindConflict || firedrill.RemedyOf(err) == "" || d.calls["row"] != 9 {
			t.Errorf("%v, %v", err, d.calls)
		}
	})
	t.Run("by export", func(t *testing.T) {
		t.Parallel()
		d := newLive(t, script)
		busy(d, 0, 1000)
		var said string
		b, _ := mustWriteD1(t, d, D1Options{Tell: func(s string) { said += s }})
		if m := b.Manifest.Database; m.Method != MethodExport || m.Compared || !strings.Contains(said, "could not be compared") {
			t.Errorf("%+v, said %q", m, said)
		}
	})
	t.Run("by export that lacks its end", func(t *testing.T) {
		t.Parallel()
		d := newLive(t, script+"; CREATE VIEW v AS SELECT 1")
		busy(d, 0, 1000)
		d.export = func(b []byte) []byte { return bytes.Replace(b, []byte("CREATE VIEW v AS SELECT 1\n;"), nil, 1) }
		if _, err := WriteD1(t.Context(), d, Folder(t.TempDir()), d1Options(D1Options{})); firedrill.KindOf(err) != firedrill.KindConflict {
			t.Errorf("%v", err)
		}
	})
	t.Run("rows that are passed over", func(t *testing.T) {
		t.Parallel()
		d := newLive(t, script)
		forgetful := forgets{d}
		if _, err := WriteD1(t.Context(), forgetful, Folder(t.TempDir()), d1Options(D1Options{Method: MethodSQL})); firedrill.KindOf(err) != firedrill.KindConflict {
			t.Errorf("%v", err)
		}
	})
}

// forgets passes a row over.
type forgets struct{ *live }

func (f forgets) Rows(ctx context.Context, t SQLTable, after *SQLRow, visit func(SQLRow) error) error {
	n := 0
	return f.live.Rows(ctx, t, after, func(r SQLRow) error {
		if n++; n == 2 {
			return nil
		}
		return visit(r)
	})
}

func TestWhatCannotBeWrittenIsRefusedByName(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		"CREATE TABLE _firedrill_x(a)":                                                "nothing in it",
		"CREATE VIRTUAL TABLE ft USING fts5(a, content = '')":                         "ft: it is a full-text table without content",
		"CREATE VIRTUAL TABLE ft USING fts5(a, content=\"\", contentless_delete = 1)": "without content",
		"CREATE TABLE h(rowid, oid, _rowid_)":                                         "hides its rowid",
	} {
		d := newLive(t, script)
		_, err := WriteD1(t.Context(), d, Folder(t.TempDir()), d1Options(D1Options{Method: MethodSQL}))
		if err == nil || !strings.Contains(err.Error(), want) || firedrill.RemedyOf(err) == "" {
			t.Errorf("%s: %v", script, err)
		}
	}
	for sql, want := range map[string]ftsContent{
		"CREATE VIRTUAL TABLE a USING fts5(x)": ftsOwn, "CREATE VIRTUAL TABLE a USING fts5(content, x)": ftsOwn,
		"CREATE VIRTUAL TABLE a USING fts5(x, content=docs)": ftsExternal, "CREATE VIRTUAL TABLE a USING fts5(x, Content = [my docs])": ftsExternal,
		"CREATE VIRTUAL TABLE a USING fts5(x,\ncontent=\n'')": ftsNone, "CREATE VIRTUAL TABLE a USING fts5(x, /* , content='' */ tokenize='porter')": ftsOwn,
	} {
		if got := contentOf(sql); got != want {
			t.Errorf("%s: %d", sql, got)
		}
	}
}

// TestACutOffBackupIsGoneOnWith breaks the writing at every call of the source and
// at every step of the place, and goes on from there.
func TestACutOffBackupIsGoneOnWith(t *testing.T) {
	t.Parallel()
	options := func(told *string) D1Options {
		return d1Options(D1Options{Method: MethodSQL, Tell: func(s string) { *told += s + "\n" }, WriteOptions: WriteOptions{MaxPartBytes: 3000}})
	}
	d := shopLive(t)
	var told string
	whole, err := WriteD1(t.Context(), d, Folder(t.TempDir()), options(&told))
	if err != nil {
		t.Fatal(err)
	}
	broken := &firedrill.Error{Op: "test", Kind: firedrill.KindDenied}
	gone := 0
	goOn := func(place Place, what string) {
		told = ""
		d.fail = nil
		before := d.calls["row"]
		m, err := WriteD1(t.Context(), d, place, options(&told))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if diff := cmp.Diff(whole.Database, m.Database); diff != "" || m.Digest != whole.Digest {
			t.Fatalf("%s: %s", what, diff)
		}
		if strings.Contains(told, "going on behind") {
			if gone++; d.calls["row"]-before >= 507 {
				t.Errorf("%s: everything was read again", what)
			}
		}
		if err := openD1(t, place).Verify(t.Context()); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for call, most := range map[string]int{"bookmark": 2, "schema": 1, "rows": 5, "row": 507, "ask": 5} {
		step := max(1, most/4)
		for n := 1; n <= most; n += step {
			d.calls = map[string]int{}
			d.fail = func(c string, k int) (error, error) {
				if c == call && k == n {
					return broken, nil
				}
				return nil, nil
			}
			place := Folder(t.TempDir())
			if _, err := WriteD1(t.Context(), d, place, options(&told)); firedrill.KindOf(err) != firedrill.KindDenied {
				t.Fatalf("%s %d: %v", call, n, err)
			}
			if _, err := Open(t.Context(), place); err == nil {
				t.Fatalf("%s %d: half a backup opens", call, n)
			}
			goOn(place, fmt.Sprintf("%s %d", call, n))
		}
	}
	d.fail = nil
	for n := 1; ; n++ {
		place := &failingPlace{Place: Folder(t.TempDir()), at: n}
		_, err := WriteD1(t.Context(), d, place, options(&told))
		if err == nil {
			if n < 10 {
				t.Errorf("only %d steps of the place", n)
			}
			break
		}
		if _, err := Open(t.Context(), place.Place); err == nil { // it is complete, but for the note of progress
			continue
		}
		goOn(place.Place, fmt.Sprintf("step %d of the place", n))
	}
	if gone < 6 {
		t.Errorf("only %d of them were gone on with", gone)
	}

	// Somebody wrote in between: nothing of what there is may be used.
	place := &failingPlace{Place: Folder(t.TempDir()), at: 18}
	if _, err := WriteD1(t.Context(), d, place, options(&told)); err == nil {
		t.Fatal("it did not fail")
	}
	d.mark++
	told = ""
	if m, err := WriteD1(t.Context(), d, place.Place, options(&told)); err != nil || m.Database.Bookmark == whole.Database.Bookmark || !strings.Contains(told, "beginning again") {
		t.Errorf("%v, %+v, said %q", err, m.Database, told)
	}
}

// failingPlace fails at its n-th step, and from then on.
type failingPlace struct {
	Place
	at, n int
}

var errPlace = errors.New("the disk is full")

func (p *failingPlace) step() error {
	if p.n++; p.n >= p.at {
		return errPlace
	}
	return nil
}

func (p *failingPlace) Create(ctx context.Context, name string) (File, error) {
	if err := p.step(); err != nil {
		return nil, err
	}
	f, err := p.Place.Create(ctx, name)
	return &failingFile{f, p}, err
}

func (p *failingPlace) Remove(ctx context.Context, name string) error {
	if err := p.step(); err != nil {
		return err
	}
	return p.Place.Remove(ctx, name)
}

type failingFile struct {
	File
	p *failingPlace
}

func (f *failingFile) Write(b []byte) (int, error) {
	if err := f.p.step(); err != nil {
		return 0, err
	}
	return f.File.Write(b)
}

func (f *failingFile) Close() error {
	if err := f.p.step(); err != nil {
		return errors.Join(err, f.Abort())
	}
	return f.File.Close()
}

// TestADamagedBackupOfADatabaseIsRefused changes single bytes, and whole parts with
// their checksums.
func TestADamagedBackupOfADatabaseIsRefused(t *testing.T) {
	t.Parallel()
	d := shopLive(t)
	b, dir := mustWriteD1(t, d, D1Options{Method: MethodSQL, WriteOptions: WriteOptions{MaxPartBytes: 3000}})
	for i := range 40 {
		p := b.Manifest.Parts[i%len(b.Manifest.Parts)]
		path := filepath.Join(dir, p.File)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(data)
		switch at := (i * 7919) % len(bad); i % 4 {
		case 0, 1:
			bad[at] ^= 1 << (i % 7)
		case 2:
			bad = bad[:at]
		case 3:
			bad = append(bad, ' ')
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := b.Verify(t.Context()); firedrill.KindOf(err) != firedrill.KindCorrupt || !strings.Contains(err.Error(), p.File) {
			t.Errorf("change %d of %s: %v", i, p.File, err)
		}
		to := newLive(t)
		if _, err := b.RestoreD1(t.Context(), to, restoringD1()); err == nil || to.calls["import"] > 0 {
			t.Errorf("change %d of %s was restored", i, p.File)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Somebody who writes the checksums too can still not make it say something
	// else, nor reach out of the database.
	for name, sql := range map[string]string{
		"another row":       "INSERT INTO plain VALUES('more');",
		"a row less":        "DELETE FROM plain WHERE rowid = 70;",
		"a value":           "UPDATE plain SET v = 2.5 WHERE rowid = 70;",
		"a type":            "UPDATE plain SET v = '1.5' WHERE rowid = 70;",
		"an index":          "CREATE INDEX more ON plain(v);",
		"an index less":     "DROP INDEX notes;",
		"a table":           "CREATE TABLE more(a);",
		"a trigger less":    "DROP TRIGGER t;",
		"a number":          "UPDATE sqlite_sequence SET seq = 78;",
		"a temporary table": "CREATE TEMP TABLE plain(v);",
		"another file":      "ATTACH 'other.db' AS o;",
		"another file too":  "VACUUM INTO 'other.db';",
		"a transaction":     "COMMIT;",
		"a setting":         "PRAGMA writable_schema=ON;",
		"the schema itself": "UPDATE sqlite_schema SET sql = 'CREATE TABLE plain(v, w)' WHERE name = 'plain';",
		"an extension":      "INSERT INTO plain VALUES(load_extension('x'));",
		"pages":             "DELETE FROM sqlite_dbpage;",
		"a question":        "SELECT 1;",
		"a foreign key":     "INSERT INTO orders VALUES(1000, 99, NULL);",
		"half a statement":  "INSERT INTO plain VALUES('",
		"a NUL":             "INSERT INTO plain VALUES('\x00');",
	} {
		forged := forge(t, b, dir, len(b.Manifest.Parts)-1, sql)
		if err := forged.Verify(t.Context()); firedrill.KindOf(err) != firedrill.KindCorrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := forge(t, b, dir, len(b.Manifest.Parts)-1, "-- nothing\n").Verify(t.Context()); err != nil {
		t.Errorf("the forger changed nothing: %v", err)
	}
	// Parts in another order, and one too few.
	other := *b
	other.Manifest.Parts = append([]Part{b.Manifest.Parts[1], b.Manifest.Parts[0]}, b.Manifest.Parts[2:]...)
	if err := other.Verify(t.Context()); firedrill.KindOf(err) != firedrill.KindCorrupt {
		t.Errorf("another order: %v", err)
	}
	other.Manifest.Parts = b.Manifest.Parts[:len(b.Manifest.Parts)-1]
	if err := other.Verify(t.Context()); firedrill.KindOf(err) != firedrill.KindCorrupt {
		t.Errorf("a part less: %v", err)
	}
}

// forge adds SQL to a part of a copy of a backup, and corrects the checksums.
func forge(t *testing.T, b *Backup, dir string, part int, sql string) *Backup {
	t.Helper()
	into := t.TempDir()
	if err := os.CopyFS(into, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	m := b.Manifest
	m.Parts = append([]Part{}, m.Parts...)
	data, err := os.ReadFile(filepath.Join(into, m.Parts[part].File))
	if err != nil {
		t.Fatal(err)
	}
	w, err := newPart(t.Context(), Folder(into), m.Parts[part].File, Seal{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(append(data, sql...)); err != nil {
		t.Fatal(err)
	}
	p, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	p.Rows = m.Parts[part].Rows
	m.Parts[part] = p
	return &Backup{Place: Folder(into), Manifest: m}
}

// TestARestoreOfADatabaseThatIsCutOffIsGoneOnWith loses requests and answers at
// every import, and kills the restore there.
func TestARestoreOfADatabaseThatIsCutOffIsGoneOnWith(t *testing.T) {
	t.Parallel()
	d := shopLive(t)
	b, dir := mustWriteD1(t, d, D1Options{Method: MethodSQL, WriteOptions: WriteOptions{MaxPartBytes: 3000}})
	n := len(b.Manifest.Parts)
	lost := &firedrill.Error{Op: "import", Kind: firedrill.KindUnknown}
	denied := &firedrill.Error{Op: "import", Kind: firedrill.KindDenied}
	for at := 1; at <= n; at++ {
		for name, errs := range map[string][2]error{
			"the request is lost": {lost, nil}, "the answer is lost": {nil, lost}, "it is refused": {denied, nil}, "it is killed before": {context.Canceled, nil}, "it is killed behind": {nil, context.Canceled},
		} {
			to := newLive(t)
			to.fail = func(call string, k int) (error, error) {
				if call == "import" && k == at {
					return errs[0], errs[1]
				}
				return nil, nil
			}
			out, err := b.RestoreD1(t.Context(), to, restoringD1())
			if survives := errors.Is(errs[0], lost) || errors.Is(errs[1], lost); survives != (err == nil) {
				t.Fatalf("%s at %d: %v", name, at, err)
			}
			if err != nil {
				out, err = b.RestoreD1(t.Context(), to, restoringD1())
			}
			if err != nil || out.Parts+out.Skipped != n || out.Compared != 507 {
				t.Fatalf("%s at %d, then: %v, %+v", name, at, err, out)
			}
			equalTo(t, b, to)
		}
	}
	// Killed at the very end: everything is there, and the notes are.
	to := newLive(t)
	to.fail = func(call string, _ int) (error, error) {
		if call == "exec" {
			return denied, nil
		}
		return nil, nil
	}
	if _, err := b.RestoreD1(t.Context(), to, restoringD1()); err == nil {
		t.Error("the notes were not removed, and nobody says so")
	}
	to.fail = nil
	if dry, err := b.RestoreD1(t.Context(), to, RestoreOptions{DryRun: true, Now: time.Now}); err != nil || dry.Parts != 0 || dry.Skipped != n {
		t.Errorf("dry run: %+v, %v", dry, err)
	}
	// An import whose answer was lost comes after all, when it was sent again.
	late := &late{live: newLive(t)}
	if _, err := b.RestoreD1(t.Context(), late, restoringD1()); err == nil {
		t.Error("a part went in twice")
	}
	if out, err := b.RestoreD1(t.Context(), late, restoringD1()); err != nil || out.Skipped == 0 || out.Compared != 507 {
		t.Errorf("%+v, %v", out, err)
	}
	equalTo(t, b, late.live)
	// What a half-done restore holds belongs to its backup.
	other := forge(t, b, dir, n-1, "-- another one\n")
	if _, err := other.RestoreD1(t.Context(), to, restoringD1()); firedrill.KindOf(err) != firedrill.KindConflict {
		t.Errorf("another backup: %v", err)
	}
	if out, err := b.RestoreD1(t.Context(), to, restoringD1()); err != nil || out.Skipped != n {
		t.Errorf("%+v, %v", out, err)
	}
	equalTo(t, b, to)
	if _, err := b.RestoreD1(t.Context(), to, restoringD1()); firedrill.KindOf(err) != firedrill.KindConflict || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a database that is full: %v", err)
	}
}

func TestARestoreNeverSaysDoneWhenItIsNot(t *testing.T) {
	t.Parallel()
	d := shopLive(t)
	b, _ := mustWriteD1(t, d, D1Options{Method: MethodSQL})
	for name, c := range map[string]struct{ sql, want string }{
		"a value":     {"UPDATE plain SET v = 2 WHERE rowid = 70", "table plain has other rows: row rowid=70 is another one"},
		"a row less":  {"DELETE FROM orders WHERE id = 17", "table orders has 199 rows instead of 200: row id=17 is missing"},
		"the last":    {"DELETE FROM orders WHERE id = 200", "row id=200 is missing"},
		"a row more":  {"INSERT INTO plain(rowid, v) VALUES(71000, 1)", "row rowid=71000 is a stranger"},
		"a table":     {"CREATE TABLE more(a)", "table more is there too"},
		"no table":    {"DROP TABLE words", "table words is missing"},
		"an index":    {"DROP INDEX notes", "the schema is another one"},
		"no rowid":    {"UPDATE words SET b = -1 WHERE b = 7", "table words has other rows"},
		"the numbers": {"UPDATE sqlite_sequence SET seq = 3", "sqlite_sequence has other rows"},
	} {
		to := newLive(t)
		lies := &lying{live: to, after: c.sql}
		_, err := b.RestoreD1(t.Context(), lies, restoringD1())
		if firedrill.KindOf(err) != firedrill.KindExpectation || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	to := newLive(t)
	if _, err := b.RestoreD1(t.Context(), &lying{live: to, nothing: true}, restoringD1()); err == nil {
		t.Error("an import that does nothing")
	}
	o := restoringD1()
	o.Mode = ModeExact
	if _, err := b.RestoreD1(t.Context(), to, o); firedrill.KindOf(err) != firedrill.KindUsage {
		t.Errorf("a mode: %v", err)
	}
	kv := &Backup{Place: Folder("x"), Manifest: Manifest{Kind: KindKV}}
	if _, err := kv.RestoreD1(t.Context(), to, restoringD1()); firedrill.KindOf(err) != firedrill.KindUsage {
		t.Errorf("a backup of keys: %v", err)
	}
}

// lying says that it imported, and did something else.
type lying struct {
	*live
	after   string
	nothing bool
}

func (l *lying) Import(ctx context.Context, b Body) error {
	if l.nothing {
		return nil
	}
	if err := l.live.Import(ctx, b); err != nil {
		return err
	}
	return l.do(ctx, l.after)
}

// late performs its second import when it is sent again: twice.
type late struct {
	*live
	n int
}

func (l *late) Import(ctx context.Context, b Body) error {
	switch l.n++; l.n {
	case 2:
		return &firedrill.Error{Op: "import", Kind: firedrill.KindUnknown}
	case 3:
		if err := l.live.Import(ctx, b); err != nil {
			l.t.Error(err)
		}
	}
	return l.live.Import(ctx, b)
}

// TestTablesThatReferToEachOtherAreNotCut has rows that refer to later ones, in a
// table, in a circle of tables, and by a unique index.
func TestTablesThatReferToEachOtherAreNotCut(t *testing.T) {
	t.Parallel()
	d := newLive(t, `CREATE TABLE tree(id INTEGER PRIMARY KEY, up INT REFERENCES tree(id));
		CREATE TABLE left_(id INTEGER PRIMARY KEY, r INT REFERENCES right_(id));
		CREATE TABLE right_(id INTEGER PRIMARY KEY, l INT REFERENCES left_(id));
		CREATE TABLE a_child(code TEXT REFERENCES parent(code));
		CREATE TABLE parent(code TEXT, x TEXT);
		CREATE UNIQUE INDEX codes ON parent(code);
		CREATE TABLE coded(code TEXT PRIMARY KEY);
		INSERT INTO coded(rowid, code) VALUES(7, 'x')`)
	for _, sql := range []string{"PRAGMA foreign_keys=OFF",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) INSERT INTO tree SELECT i, 401 - i FROM n",
		"INSERT INTO left_ SELECT id, 401 - id FROM tree", "INSERT INTO right_ SELECT id, 401 - id FROM tree",
		"INSERT INTO parent SELECT 'p' || id, 'x' FROM tree", "INSERT INTO a_child SELECT code FROM parent", "PRAGMA foreign_keys=ON"} {
		if err := d.do(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	b, _ := mustWriteD1(t, d, D1Options{Method: MethodSQL, WriteOptions: WriteOptions{MaxPartBytes: 1500}})
	if len(b.Manifest.Parts) < 5 {
		t.Errorf("%d parts", len(b.Manifest.Parts))
	}
	to := newLive(t)
	if _, err := b.RestoreD1(t.Context(), to, restoringD1()); err != nil {
		t.Fatal(err)
	}
	equalTo(t, b, to)
	// A rowid that nothing else tells of.
	if err := to.do(t.Context(), "UPDATE coded SET rowid = 8"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.CheckD1(t.Context(), to); firedrill.KindOf(err) != firedrill.KindExpectation || !strings.Contains(err.Error(), "table coded") {
		t.Errorf("%v", err)
	}
}

// TestAnEncryptedBackupOfADatabase needs no key to be written, and one to be gone
// on with.
func TestAnEncryptedBackupOfADatabase(t *testing.T) {
	t.Parallel()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	d := shopLive(t)
	for _, known := range []bool{false, true} {
		var told string
		o := d1Options(D1Options{Method: MethodSQL, Tell: func(s string) { told += s }, WriteOptions: WriteOptions{MaxPartBytes: 3000, Seal: Seal{Compress: true, Recipients: []age.Recipient{key.Recipient()}}}})
		if known {
			o.Keys = []age.Identity{key}
		}
		place := Folder(t.TempDir())
		d.calls = map[string]int{}
		d.fail = func(call string, n int) (error, error) {
			if call == "row" && n == 500 {
				return errPlace, nil
			}
			return nil, nil
		}
		if _, err := WriteD1(t.Context(), d, place, o); !errors.Is(err, errPlace) {
			t.Fatal(err)
		}
		d.fail = nil
		if _, err := WriteD1(t.Context(), d, place, o); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(told, "going on behind") != known || strings.Contains(told, "no key is given") == known {
			t.Errorf("key %v: said %q", known, told)
		}
		if err := openD1(t, place).Verify(t.Context()); firedrill.KindOf(err) != firedrill.KindDenied {
			t.Errorf("without the key: %v", err)
		}
		b, err := Open(t.Context(), place, key)
		if err != nil {
			t.Fatal(err)
		}
		to := newLive(t)
		if _, err := b.RestoreD1(t.Context(), to, restoringD1()); err != nil {
			t.Fatal(err)
		}
		equalTo(t, b, to)
	}
}
