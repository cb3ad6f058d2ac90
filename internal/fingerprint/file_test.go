package fingerprint

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

// state is a database for tests: tables in the order of their names.
type state struct {
	objects []Object
	tables  []stateTable
}

type stateTable struct {
	shape     Table
	rows      []Row
	positions [][]Cell
}

func simpleTable(name string, rows ...[]Cell) stateTable {
	t := stateTable{shape: Table{Name: name, Columns: []string{"id", "name"}, Order: []string{Binary}}}
	for _, cells := range rows {
		t.rows = append(t.rows, Row{Key: Key([]string{"id"}, cells[:1]), Cells: cells})
		t.positions = append(t.positions, cells[:1])
	}
	return t
}

func simpleState(rows ...[]Cell) state {
	return state{[]Object{{"table", "t", "t", HashText("CREATE TABLE t")}, {"index", "i", "t", HashText("CREATE INDEX i")}}, []stateTable{simpleTable("t", rows...)}}
}

// write writes a state; a range has so many rows.
func (s state) write(t testing.TB, span int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, Header{Database: "db", Level: Full, Objects: s.objects})
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range s.tables {
		if err := w.Begin(table.shape); err != nil {
			t.Fatal(err)
		}
		for i, r := range table.rows {
			if err := w.Row(r, table.positions[i]); err != nil {
				t.Fatal(err)
			}
			if (i+1)%span == 0 {
				if err := w.EndRange(Place{int64(i), 1}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.EndRange(Place{}); err != nil {
			t.Fatal(err)
		}
		if err := w.End(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish("bookmark"); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// readWhole reads a file to its end.
func readWhole(data []byte) (rows int64, err error) {
	r, err := NewReader(bytes.NewReader(data))
	if err != nil {
		return 0, err
	}
	for {
		_, more, err := r.Table()
		if err != nil {
			return 0, err
		}
		if !more {
			return rows, nil
		}
		for {
			span, more, err := r.Range()
			if err != nil {
				return 0, err
			}
			if !more {
				break
			}
			rows += int64(len(span.Entries))
		}
	}
}

func digestOf(t testing.TB, data []byte) Sum {
	t.Helper()
	r, err := NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for {
		_, more, err := r.Table()
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			if r.Bookmark() != "bookmark" {
				t.Errorf("bookmark %q", r.Bookmark())
			}
			return r.Digest()
		}
	}
}

func TestTheDigestDoesNotDependOnRanges(t *testing.T) {
	t.Parallel()
	var rows [][]Cell
	for i := range int64(300) {
		rows = append(rows, []Cell{integer(i), text("x")})
	}
	s := simpleState(rows...)
	if a, b := s.write(t, 7), s.write(t, 1000); bytes.Equal(a, b) || digestOf(t, a) != digestOf(t, b) {
		t.Error("the same rows in other ranges have another digest")
	}
	other := simpleState(append(slices.Clone(rows[:299]), []Cell{integer(299), text("y")})...)
	if digestOf(t, s.write(t, 7)) == digestOf(t, other.write(t, 7)) {
		t.Error("another row does not change the digest")
	}
}

// TestFilesThatWereTouchedAreRefused changes every byte of a file, one at a time,
// and cuts it everywhere.
func TestFilesThatWereTouchedAreRefused(t *testing.T) {
	t.Parallel()
	data := simpleState([]Cell{integer(1), text("a")}, []Cell{integer(2), {Type: Null}}, []Cell{integer(5), text("")}).write(t, 2)
	if n, err := readWhole(data); n != 3 || err != nil {
		t.Fatalf("%d rows, %v", n, err)
	}
	for i := range data {
		bad := slices.Clone(data)
		bad[i] ^= 1
		if _, err := readWhole(bad); err == nil {
			t.Errorf("byte %d changed: taken", i)
		}
		if _, err := readWhole(data[:i]); err == nil {
			t.Errorf("cut after %d bytes: taken", i)
		}
	}
	if _, err := readWhole(append(slices.Clone(data), 0)); err == nil {
		t.Error("something behind the end: taken")
	}
	for name, c := range map[string]struct{ data, says string }{
		"format 1": {`{"format":1,"database":"x"}`, "format 1, this firedrill reads format 2"},
		"nothing":  {"", "no fingerprint"},
		"garbage":  {strings.Repeat("x", 100), "no fingerprint"},
	} {
		if _, err := readWhole([]byte(c.data)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAFileThatIsWrongFromTheStartIsRefused writes files whose SHA-256 is right and
// whose content is not.
func TestAFileThatIsWrongFromTheStartIsRefused(t *testing.T) {
	t.Parallel()
	for name, forge := range map[string]func(w *Writer) error{
		"count": func(w *Writer) error { return w.EndSample(7, nil, nil) },
		"outermost": func(w *Writer) error {
			if err := w.Row(Row{Key: "id=1", Cells: []Cell{integer(1), text("a")}}, []Cell{integer(1)}); err != nil {
				return err
			}
			if err := w.EndRange(Place{}); err != nil {
				return err
			}
			return w.EndSample(1, Outermost([]Cell{integer(0)}), Outermost([]Cell{integer(1)}))
		},
		"digest": func(w *Writer) error {
			if err := w.Row(Row{Key: "id=1", Cells: []Cell{integer(1), text("a")}}, []Cell{integer(1)}); err != nil {
				return err
			}
			right := w.span.Digest
			w.span.Digest = Sum{1}
			if err := w.EndRange(Place{}); err != nil {
				return err
			}
			w.digest = right
			return w.End()
		},
		"order": func(w *Writer) error {
			for _, n := range []int64{2, 1} {
				w.last = nil
				if err := w.Row(Row{Key: "id=1", Cells: []Cell{integer(n), text("a")}}, []Cell{integer(n)}); err != nil {
					return err
				}
			}
			if err := w.EndRange(Place{}); err != nil {
				return err
			}
			return w.End()
		},
		"table again": func(w *Writer) error {
			if err := w.End(); err != nil {
				return err
			}
			w.table.Name = ""
			if err := w.Begin(simpleTable("t").shape); err != nil {
				return err
			}
			return w.End()
		},
		"collation": func(w *Writer) error {
			if err := w.End(); err != nil {
				return err
			}
			return w.record(recordTable, Table{Name: "u", Columns: []string{"a"}, Order: []string{"MINE"}})
		},
		"unknown record": func(w *Writer) error { return w.frame('?', nil) },
		"whole digest": func(w *Writer) error {
			w.all.texts = append(w.all.texts, "more")
			return w.End()
		},
	} {
		var out bytes.Buffer
		w, err := NewWriter(&out, Header{Database: "db", Level: Full})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Begin(simpleTable("t").shape); err != nil {
			t.Fatal(err)
		}
		if err := forge(w); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		w.open = false
		if _, err := w.Finish("bookmark"); err != nil {
			t.Fatal(err)
		}
		if _, err := readWhole(out.Bytes()); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestAWriterTakesOnlyRowsInOrder(t *testing.T) {
	t.Parallel()
	begin := func() *Writer {
		w, err := NewWriter(io.Discard, Header{Level: Full})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Begin(simpleTable("t").shape); err != nil {
			t.Fatal(err)
		}
		return w
	}
	row := func(w *Writer, id Cell, cells ...Cell) error {
		return w.Row(Row{Key: "SECRET", Cells: append([]Cell{id}, cells...)}, []Cell{id})
	}
	for name, err := range map[string]error{
		"NaN":      row(begin(), integer(1), Cell{Type: Real, Real: math.NaN()}),
		"no type":  row(begin(), integer(1), Cell{}),
		"too many": row(begin(), integer(1), integer(2), integer(3)),
		"twice":    func() error { w := begin(); _ = row(w, integer(1), text("")); return row(w, integer(1), text("")) }(),
		"back":     func() error { w := begin(); _ = row(w, integer(2), text("")); return row(w, integer(1), text("")) }(),
		"as a real": func() error {
			w := begin()
			_ = row(w, integer(2), text(""))
			return row(w, Cell{Type: Real, Real: 2}, text(""))
		}(),
		"open range": func() error { w := begin(); _ = row(w, integer(2), text("")); return w.End() }(),
		"open table": func() error { _, err := begin().Finish(""); return err }(),
		"begun":      begin().Begin(simpleTable("u").shape),
	} {
		if err == nil {
			t.Errorf("%s: taken", name)
		} else if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: the error shows a key: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(simpleState([]Cell{integer(1), text("a")}, []Cell{integer(2), {Type: Null}}).write(f, 1))
	f.Add([]byte(magic + "H\x02{}"))
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, err := readWhole(data)
		if err != nil {
			return
		}
		old, err := NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if old.Header().Level != Full {
			return
		}
		c, err := NewComparison(old, nil, func(r RowDifference) error {
			if r.How != Missing {
				return fmt.Errorf("%s is %s", r.Key, r.How)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		d, err := c.Finish()
		if err != nil || d.Missing != rows {
			t.Errorf("compared with nothing %d of %d rows are missing: %v", d.Missing, rows, err)
		}
	})
}
