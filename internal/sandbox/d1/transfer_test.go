package d1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
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
