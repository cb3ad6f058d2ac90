package d1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	osexec "os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

// fill makes a table of rows of 80,000 bytes.
func fill(t *testing.T, s *Store, id string, rows int) {
	t.Helper()
	exec(t, s, id, `CREATE TABLE big(k INTEGER PRIMARY KEY, v TEXT)`)
	exec(t, s, id, fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d)
		INSERT INTO big SELECT i, replace(hex(zeroblob(40000)), '00', 'ab') FROM n`, rows))
}

// TestAnExportIsOfOneMoment writes while an export is on its way.
func TestAnExportIsOfOneMoment(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	id := create(t, s, "moment")
	fill(t, s, id, 10)
	r, w := io.Pipe()
	exported := make(chan error, 1)
	go func() {
		_, err := s.Export(context.Background(), id, w, ExportOptions{})
		exported <- errors.Join(err, w.Close())
	}()
	var dump strings.Builder
	if _, err := io.CopyN(&dump, r, 1); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() {
		_, _, err := s.Query(context.Background(), id, []Statement{{SQL: `INSERT INTO big VALUES (11, 'later'); DELETE FROM big WHERE k = 10`}})
		written <- err
	}()
	if _, err := io.Copy(&dump, r); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-exported, <-written); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(dump.String(), "INSERT INTO"); n != 10 || strings.Contains(dump.String(), "later") {
		t.Errorf("%d rows, among them what came later", n)
	}
}

func TestAnExportStopsWhereItsWriterBreaks(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	id := create(t, s, "broken")
	fill(t, s, id, 10)
	r, w := io.Pipe()
	gone := errors.New("the reader is gone")
	go func() {
		_, _ = io.CopyN(io.Discard, r, 200_000)
		_ = r.CloseWithError(gone)
	}()
	_, err := s.Export(context.Background(), id, w, ExportOptions{})
	if !errors.Is(err, gone) || code(err) != 0 {
		t.Errorf("error %v, code %d: a broken writer is no error of the database", err, code(err))
	}
	exec(t, s, id, `SELECT count(*) FROM big`) // and the database goes on
}

// TestAnExportSaysWhatAnImportWillRefuse exports rows whose statements are too
// long for an import, as the platform does.
func TestAnExportSaysWhatAnImportWillRefuse(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := openStore(t, t.TempDir())
	a, b := create(t, s, "from"), create(t, s, "to")
	exec(t, s, a, `CREATE TABLE short(v); CREATE TABLE long(v); INSERT INTO short VALUES ('x')`)
	room := MaxStatement - len(`INSERT INTO "long" VALUES('')`)
	exec(t, s, a, `INSERT INTO long VALUES (?)`, strings.Repeat("x", room))
	var dump strings.Builder
	res, err := s.Export(ctx, a, &dump, ExportOptions{})
	if err != nil || len(res.TooLong) != 0 {
		t.Fatalf("%v, %+v", err, res)
	}
	if _, err := s.Import(ctx, b, strings.NewReader(dump.String())); err != nil {
		t.Errorf("a statement of exactly the limit: %v", err)
	}
	exec(t, s, a, `INSERT INTO long VALUES (?)`, strings.Repeat("x", room+1))
	dump.Reset()
	if res, err = s.Export(ctx, a, &dump, ExportOptions{}); err != nil || fmt.Sprint(res.TooLong) != "map[long:1]" {
		t.Fatalf("%v, %+v", err, res)
	}
	_, err = s.Import(ctx, create(t, s, "again"), strings.NewReader(dump.String()))
	if code(err) != CodeQuery || !strings.HasPrefix(err.Error(), "statement too long") || !strings.HasSuffix(err.Error(), "SQLITE_TOOBIG") {
		t.Errorf("one byte more: %v", err)
	}
}

// TestStatementsAreTakenApartWhereTheyAreCut reads a text of several chunks in
// which anything may lie where one chunk ends.
func TestStatementsAreTakenApartWhereTheyAreCut(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 9))
	filler := func(n int) string { return strings.Repeat("-;' \"/* x", 1+n/9)[:n] }
	var text strings.Builder
	var want []string
	for text.Len() < 6*chunkSize {
		switch rng.IntN(8) {
		case 0:
			text.WriteString("/*" + strings.ReplaceAll(filler(rng.IntN(2*chunkSize)), "*", "") + "*/")
		case 1:
			text.WriteString("/*/ ; */;;\n")
		case 2:
			text.WriteString("--" + filler(rng.IntN(chunkSize)) + "\n")
		case 3:
			want = append(want, "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN ';' END; SELECT 2; END")
			text.WriteString(want[len(want)-1] + " ;")
		default:
			want = append(want, "INSERT INTO t VALUES ('"+strings.ReplaceAll(filler(rng.IntN(40_000)), "'", "''")+"', \"a;\"\"b\", [;]) -- ;\n, (2)")
			text.WriteString("\r\n" + want[len(want)-1] + ";")
		}
	}
	text.WriteString("SELECT 'the last has no semicolon'")
	want = append(want, "SELECT 'the last has no semicolon'")
	s := readSplitter(strings.NewReader(text.String()))
	for i, w := range want {
		if got, err := s.next(); err != nil || got != w {
			t.Fatalf("statement %d: %v\n got %.200q\nwant %.200q", i, err, got, w)
		}
	}
	if got, err := s.next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last: %v, %.200q", err, got)
	}
	if got := split(text.String()); len(got) != len(want) {
		t.Errorf("in memory there are %d statements, want %d", len(got), len(want))
	}
}

// TestAChunkMayEndAnywhere puts the end of the first chunk at each byte of what
// is hard to cut.
func TestAChunkMayEndAnywhere(t *testing.T) {
	t.Parallel()
	long := "SELECT '" + strings.Repeat("''", 45_000) + "'"
	for before := range 8 {
		for _, c := range []struct{ pad, rest, want string }{
			{"/*" + strings.Repeat("x", chunkSize-2-before), "*/" + long + ";", long},
			{"--" + strings.Repeat("x", chunkSize-2-before), "\n--\n" + long, long},
			{strings.Repeat(" ", chunkSize-before), "SELECT;--", "SELECT"},
			{strings.Repeat(" ", chunkSize-50_000-before), long + ";", long},
		} {
			s := readSplitter(strings.NewReader(c.pad + c.rest))
			if got, err := s.next(); err != nil || got != c.want {
				t.Errorf("%.30q, %d bytes before the end: %v, %.100q", c.rest, before, err, got)
			}
			if got, err := s.next(); !errors.Is(err, io.EOF) {
				t.Errorf("%.30q, %d bytes before the end: also %.100q, %v", c.rest, before, got, err)
			}
		}
	}
}

// endless gives a beginning and then one text for ever, and counts.
type endless struct {
	first, then string
	given       int
}

func (e *endless) Read(p []byte) (n int, err error) {
	if n = copy(p, e.first); n > 0 {
		e.first = e.first[n:]
	} else {
		n = copy(p, e.then)
	}
	e.given += n
	return n, nil
}

func TestAnImportReadsNoFurtherThanItGets(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	id := create(t, s, "far")
	exec(t, s, id, `CREATE TABLE t(a)`)
	before := mark(t, s, id)
	for name, c := range map[string]struct {
		text *endless
		want string
	}{
		"a statement fails":        {&endless{first: "INSERT INTO t VALUES (1);\nINSERT INTO nope VALUES (1);", then: "INSERT INTO t VALUES (2);"}, "no such table: nope: SQLITE_ERROR"},
		"a statement never ends":   {&endless{first: "INSERT INTO t VALUES (1); /*\n\n*/ INSERT INTO t VALUES ('", then: "x"}, "statement too long: the one of line 3 has more than 100000 bytes: SQLITE_TOOBIG"},
		"a transaction of its own": {&endless{first: "INSERT INTO t VALUES (1); COMMIT;", then: "INSERT INTO t VALUES (2);"}, "To execute a transaction"},
	} {
		_, err := s.Import(context.Background(), id, c.text)
		if code(err) != CodeQuery || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if c.text.given > 2*chunkSize {
			t.Errorf("%s: %d bytes were read", name, c.text.given)
		}
		if r := onlyRow(t, s, id, "SELECT count(*) FROM t"); r[0] != int64(0) || mark(t, s, id) != before {
			t.Errorf("%s: %v rows stayed", name, r[0])
		}
	}
	n, err := io.Copy(io.Discard, &bounded{from: &endless{then: "12345"}, most: 1000})
	if code(err) != CodeBadRequest {
		t.Errorf("a text without end: %v after %d bytes", err, n)
	}
	for _, nothing := range []string{"", " -- ;\n;/*"} {
		if _, err := s.Import(context.Background(), id, strings.NewReader(nothing)); code(err) != CodeBadRequest {
			t.Errorf("%q: %v", nothing, err)
		}
	}
}

func TestAnImportTellsWhatItDid(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	id := create(t, s, "told")
	res, err := s.Import(context.Background(), id, strings.NewReader(`CREATE TABLE t(a); INSERT INTO t VALUES (1), (2); SELECT * FROM t; UPDATE t SET a = 3 WHERE a = 2`))
	if err != nil {
		t.Fatal(err)
	}
	m := res.Meta
	if res.Queries != 4 || res.Bookmark != mark(t, s, id) || m.Changes != 3 || m.RowsWritten != 3 || m.RowsRead != 3 || !m.ChangedDB || m.LastRowID != 2 || m.SizeAfter == 0 {
		t.Errorf("%+v", res)
	}
	if res, err = s.Import(context.Background(), id, strings.NewReader(`SELECT 1`)); err != nil || res.Meta.ChangedDB || res.Meta.RowsRead != 1 {
		t.Errorf("a text that only reads: %v, %+v", err, res)
	}
}

// memorySpec makes the test binary import and export in the folder it names,
// and say how much memory of Go's that took.
const memorySpec = "FIREDRILL_TEST_D1_MEMORY"

// passRows of 64,000 bytes pass through.
const passRows = 600

type rowsOf64K struct {
	strings.Reader
	left int
}

func (r *rowsOf64K) Read(p []byte) (int, error) {
	if r.Len() == 0 && r.left > 0 {
		r.left--
		r.Reset("INSERT INTO t VALUES (NULL, '" + strings.Repeat("row ", 16_000) + "');\n")
	}
	return r.Reader.Read(p)
}

func passThrough(dir string) {
	ctx := context.Background()
	s, err := Open(ctx, Options{Dir: dir, Now: time.Now})
	check(err)
	d, err := s.Create(ctx, Database{Name: "m"})
	check(err)
	_, _, err = s.Query(ctx, d.ID, []Statement{{SQL: "CREATE TABLE t(k INTEGER PRIMARY KEY, v TEXT)"}})
	check(err)
	_, err = s.Import(ctx, d.ID, &rowsOf64K{left: passRows})
	check(err)
	var n counter
	_, err = s.Export(ctx, d.ID, &n, ExportOptions{})
	check(err)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Println(n, m.HeapSys)
	check(s.Close())
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// TestWhatPassesThroughIsNotHeld imports and exports about 40 MB in a process
// of its own and looks at its memory. SQLite's is not Go's, and is bounded by
// its caches.
func TestWhatPassesThroughIsNotHeld(t *testing.T) {
	t.Parallel()
	cmd := osexec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), memorySpec+"="+t.TempDir())
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var passed, heap int64
	if _, err := fmt.Sscan(string(out), &passed, &heap); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	t.Logf("%d bytes of memory for %d", heap, passed)
	if passed < passRows*64_000 || heap > 24<<20 {
		t.Errorf("%d bytes passed through %d bytes of memory", passed, heap)
	}
}

// leaving ends the client's context once much was read.
type leaving struct {
	endless
	leave func()
}

func (l *leaving) Read(p []byte) (int, error) {
	if l.given > chunkSize {
		l.leave()
	}
	return l.endless.Read(p)
}

func TestAClientThatGoesAwayUndoesItsImport(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	id := create(t, s, "away")
	exec(t, s, id, `CREATE TABLE t(a)`)
	before := mark(t, s, id)
	ctx, cancel := context.WithCancel(context.Background())
	_, err := s.Import(ctx, id, &leaving{endless{then: "INSERT INTO t VALUES (1);"}, cancel})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if r := onlyRow(t, s, id, "SELECT count(*) FROM t"); r[0] != int64(0) || mark(t, s, id) != before {
		t.Errorf("%v rows stayed", r[0])
	}
}
