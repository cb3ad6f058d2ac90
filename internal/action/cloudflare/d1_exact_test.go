package cloudflare

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/fingerprint"
)

// TestEveryValueComesThroughExactly reads values that a platform, JSON or a decoder
// likes to change, and compares them with what they are.
func TestEveryValueComesThroughExactly(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	values := []struct {
		sql  string
		want fingerprint.Cell
	}{
		{"NULL", fingerprint.Cell{Type: fingerprint.Null}},
		{"1", fingerprint.Cell{Type: fingerprint.Integer, Int: 1}},
		{"1.0", fingerprint.Cell{Type: fingerprint.Real, Real: 1}},
		{"9007199254740993", fingerprint.Cell{Type: fingerprint.Integer, Int: 9007199254740993}},
		{"-9223372036854775808", fingerprint.Cell{Type: fingerprint.Integer, Int: -9223372036854775808}},
		{"-0.0", fingerprint.Cell{Type: fingerprint.Real, Real: math.Copysign(0, -1)}},
		{"0.0", fingerprint.Cell{Type: fingerprint.Real}},
		{"9e999", fingerprint.Cell{Type: fingerprint.Real, Real: math.Inf(1)}},
		{"-9e999", fingerprint.Cell{Type: fingerprint.Real, Real: math.Inf(-1)}},
		{"5e-324", fingerprint.Cell{Type: fingerprint.Real, Real: 5e-324}},
		{"1.7976931348623157e308", fingerprint.Cell{Type: fingerprint.Real, Real: 1.7976931348623157e308}},
		{"0.1", fingerprint.Cell{Type: fingerprint.Real, Real: 0.1}},
		{"''", text8("")},
		{"'n;i1;t3:'", text8("n;i1;t3:")},
		{"'a\"b\\c' || char(10,9,13,8,12,1,31,127)", text8("a\"b\\c\n\t\r\b\f\x01\x1f\x7f")},
		{"'a' || char(0) || 'b'", text8("a\x00b")},
		{"char(0)", text8("\x00")},
		{"'é😀'", text8("é😀")},
		{"char(65279) || 'bom'", text8("\ufeffbom")},
		{"char(65533)", text8("\ufffd")},
		{"char(8232)", text8("\u2028")},
		{"CAST(x'ff' AS TEXT)", text8("\xff")},
		{"CAST(x'fe' AS TEXT)", text8("\xfe")},
		{"CAST(x'f09f98' AS TEXT)", text8("\xf0\x9f\x98")},
		{"CAST(x'eda080' AS TEXT)", text8("\xed\xa0\x80")},
		{"CAST(x'c080' AS TEXT)", text8("\xc0\x80")},
		{"x''", fingerprint.Cell{Type: fingerprint.Blob, Bytes: []byte{}}},
		{"x'00ff'", fingerprint.Cell{Type: fingerprint.Blob, Bytes: []byte{0, 255}}},
		{"CAST('1' AS BLOB)", fingerprint.Cell{Type: fingerprint.Blob, Bytes: []byte("1")}},
	}
	script := "CREATE TABLE v (id INTEGER PRIMARY KEY, x, mark TEXT);"
	for i, v := range values {
		script += fmt.Sprintf("INSERT INTO v VALUES (%d, %s, 'mark');", i, v.sql)
	}
	d := p.d1(t, p.create("values", script)).d
	s, err := d.schema(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	// Each by itself, so that none is read in the other form because of a neighbour,
	// and then all together.
	for i, v := range values {
		rows, _, err := d.page(t.Context(), "test", s.Tables[0], fmt.Sprintf("id=%d", i), nil, 10, 0)
		if err != nil || len(rows) != 1 || !sameValue(rows[0].Cells[1], v.want) || string(rows[0].Cells[2].Bytes) != "mark" {
			t.Errorf("%s: got %v, %v; want %v", v.sql, rows, err, v.want)
		}
	}
	n := 0
	if err := d.eachRow(t.Context(), "test", s.Tables[0], "", func(r keyed) error {
		if !sameValue(r.Cells[1], values[n].want) {
			t.Errorf("%s: got %v, want %v", values[n].sql, r.Cells[1], values[n].want)
		}
		n++
		return nil
	}); err != nil || n != len(values) {
		t.Errorf("%d rows, %v", n, err)
	}
}

func text8(s string) fingerprint.Cell {
	return fingerprint.Cell{Type: fingerprint.Text, Bytes: []byte(s)}
}

// TestJoinedRowsThatCannotBeAreRefused gives the reader of joined rows texts that no
// database writes.
func TestJoinedRowsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	shape := table{Name: "t", Columns: []column{{Name: "a"}, {Name: "b"}}, Rowid: "rowid"}
	read := func(s string) error {
		_, _, _, err := joined.read(shape, [][]byte{[]byte(s)}, nil)
		return err
	}
	for _, good := range []string{"7;n;n;", "-7;t2:a;i5;", "7;t0:t0:", "7;b00ff;r-0;", "7;T100001;B100001;"} {
		if err := read(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "n;n;", "7;n;", "7;n;n;n;", "7;n;n", "7;x1;n;", "7;nx;n;", "7;i;n;", "7;i1.5;n;", "7;rNaN;n;", "7;r;n;", "7;t5:abc", "7;t-1:n;", "7;tx:n;", "7;bzz;n;", "7;b0;n;", "7;T5;n;", "7;B;n;",
		"7;t3:\ufffdn;", "7;t1:\xffn;"} {
		if err := read(bad); err == nil {
			t.Errorf("%q: taken", bad)
		}
	}
}

// TestTablesInEveryOrder fingerprints tables whose keys are in orders of all kinds,
// over several pages, and finds one changed row in each.
func TestTablesInEveryOrder(t *testing.T) {
	t.Parallel()
	const numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 700) "
	for name, c := range map[string]struct {
		script []string
		change string
		shows  string
	}{
		"no key":     {[]string{"CREATE TABLE x (v TEXT)", numbers + "INSERT INTO x SELECT 'v' || (i % 3) FROM n"}, "UPDATE x SET v='w' WHERE rowid=650", `rowid=650 column v: "v2" is now "w"`},
		"equal rows": {[]string{"CREATE TABLE x (v TEXT)", "INSERT INTO x VALUES ('a'),('a'),('a')"}, "DELETE FROM x WHERE rowid=2", `1 of 3 rows differs: x rowid=2 is missing`},
		"composite":  {[]string{"CREATE TABLE x (a TEXT, b REAL, v, PRIMARY KEY (a, b)) WITHOUT ROWID", numbers + "INSERT INTO x SELECT 'k' || (i % 7), i / 4.0, i FROM n"}, "UPDATE x SET v=0 WHERE b=162.5", "b=162.5 column v: 650 is now 0"},
		"mixed types": {[]string{"CREATE TABLE x (k PRIMARY KEY, v) WITHOUT ROWID", numbers + "INSERT INTO x SELECT CASE i % 4 WHEN 0 THEN i WHEN 1 THEN i + 0.5 WHEN 2 THEN 'k' || i ELSE CAST('b' || i AS BLOB) END, i FROM n"},
			"UPDATE x SET v=0 WHERE k='k650'", `k="k650" column v: 650 is now 0`},
		"nocase":     {[]string{"CREATE TABLE x (k TEXT COLLATE NOCASE PRIMARY KEY, v) WITHOUT ROWID", numbers + "INSERT INTO x SELECT CASE i % 2 WHEN 0 THEN 'K' ELSE 'k' END || i, i FROM n"}, "UPDATE x SET v=0 WHERE k='k650'", `k="K650" column v: 650 is now 0`},
		"rtrim":      {[]string{"CREATE TABLE x (k TEXT COLLATE RTRIM PRIMARY KEY, v) WITHOUT ROWID", numbers + "INSERT INTO x SELECT 'k' || i || '  ', i FROM n"}, "UPDATE x SET v=0 WHERE k='k650'", `column v: 650 is now 0`},
		"key's own":  {[]string{"CREATE TABLE x (k TEXT COLLATE NOCASE, v, PRIMARY KEY (k COLLATE BINARY)) WITHOUT ROWID", numbers + "INSERT INTO x SELECT 'k' || i, i FROM n UNION ALL SELECT 'K' || i, i FROM n"}, "UPDATE x SET v=0 WHERE k='K650' COLLATE BINARY", `1 of 1,400 rows differs: x k="K650" column v: 650 is now 0`},
		"descending": {[]string{"CREATE TABLE x (a INTEGER, b TEXT, v, PRIMARY KEY (a DESC, b)) WITHOUT ROWID", numbers + "INSERT INTO x SELECT i % 5, 'b' || i, i FROM n"}, "UPDATE x SET v=0 WHERE b='b650'", "column v: 650 is now 0"},
		"desc rowid": {[]string{"CREATE TABLE x (k INTEGER PRIMARY KEY DESC, v)", numbers + "INSERT INTO x SELECT i, i FROM n"}, "UPDATE x SET v=0 WHERE k=650", "k=650 column v: 650 is now 0"},
		"generated":  {[]string{"CREATE TABLE x (id INTEGER PRIMARY KEY, a INT, twice AS (a*2), thrice AS (a*3) STORED)", numbers + "INSERT INTO x(id,a) SELECT i, i FROM n"}, "UPDATE x SET a=0 WHERE id=650", "column a: 650 is now 0, column twice: 1300 is now 0, column thrice: 1950 is now 0"},
		"a view":     {[]string{"CREATE TABLE x (id INTEGER PRIMARY KEY, v)", "CREATE VIEW y AS SELECT v FROM x", "INSERT INTO x VALUES (1,1)"}, "DROP VIEW y; CREATE VIEW y AS SELECT id FROM x", "view y is changed"},
		"a trigger":  {[]string{"CREATE TABLE x (id INTEGER PRIMARY KEY, v)", "CREATE TRIGGER y AFTER DELETE ON x BEGIN SELECT 1; END", "INSERT INTO x VALUES (1,1)"}, "DROP TRIGGER y", "trigger y is missing"},
		"a row of 1.1 MB": {[]string{"CREATE TABLE x (id INTEGER PRIMARY KEY, a, b, c, d, e, f, g, h, i, j, k)", "INSERT INTO x SELECT 1, " + strings.Repeat("zeroblob(99000),", 10) + "x'01'||zeroblob(98999)"},
			"UPDATE x SET k=zeroblob(99000)", "id=1 column k: "}, // in digits more than a text may have
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t)
			id := p.create("shop", c.script...)
			b := newBench(t, p.url)
			print := b.do("cut", "d1.fingerprint", db(id))
			if o := b.do("same", "d1.compare", db(id, "against", text(t, print, "file"))); !ok(o) {
				t.Fatalf("differs from itself: %s", o.Summary)
			}
			p.exec(id, c.change)
			o := b.do("compare", "d1.compare", db(id, "against", text(t, print, "file")))
			if ok(o) || !strings.Contains(o.Summary, c.shows) {
				t.Errorf("%q does not show %q", o.Summary, c.shows)
			}
			if n := o.Outputs["differing_rows"].(int64) + o.Outputs["differing_objects"].(int64); n != 1 {
				t.Errorf("%d things differ: %v", n, o.Outputs["differences"])
			}
		})
	}
}

// TestOnePageIsAheadAndNoMore counts the pages that are asked for while the rows of
// the first are worked on, and ends the reading there.
func TestOnePageIsAheadAndNoMore(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", append(hostile, fill)...)
	d := p.d1(t, id).d
	s, err := d.schema(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	tenants, _ := s.table("tenants")
	var sent atomic.Int32
	p.bending(func(http.ResponseWriter, *http.Request) bool {
		sent.Add(1)
		return false
	})
	stop := errors.New("stop")
	rows := 0
	if err := d.eachRow(t.Context(), "test", tenants, "", func(keyed) error {
		// The second page comes by itself; a third one would have the time to be asked for.
		for rows == 0 && sent.Load() < 2 {
			time.Sleep(time.Millisecond)
		}
		if rows++; rows == 10 {
			time.Sleep(100 * time.Millisecond)
			return stop
		}
		return nil
	}); !errors.Is(err, stop) || rows != 10 {
		t.Errorf("%d rows, %v", rows, err)
	}
	if n := sent.Load(); n > 2 {
		t.Errorf("%d pages were asked for, of which the first was worked on", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = d.eachRow(ctx, "test", tenants, "", func(keyed) error { cancel(); return nil })
	if firedrill.KindOf(err) != firedrill.KindInterrupted && !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}
