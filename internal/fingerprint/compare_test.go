package fingerprint

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// compare compares two states by way of a file.
func compare(t testing.TB, a, b state, span int) (Difference, []RowDifference) {
	t.Helper()
	old, err := NewReader(bytes.NewReader(a.write(t, span)))
	if err != nil {
		t.Fatal(err)
	}
	var found []RowDifference
	c, err := NewComparison(old, b.objects, func(r RowDifference) error {
		found = append(found, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range b.tables {
		if err := c.Begin(table.shape); err != nil {
			t.Fatal(err)
		}
		for i, r := range table.rows {
			if err := c.Row(r, table.positions[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	d, err := c.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return d, found
}

func says(found []RowDifference) string {
	var out []string
	for _, r := range found {
		out = append(out, r.Table+" "+r.Key+" "+r.How)
	}
	return strings.Join(out, ", ")
}

func TestComparingNothingIsNeverEqual(t *testing.T) {
	t.Parallel()
	if d, _ := compare(t, state{}, state{}, 1); d.Equal() {
		t.Error("two databases without anything are called equal")
	}
	if d, _ := compare(t, simpleState(), simpleState(), 1); d.Equal() || d.Differs() {
		t.Error("two databases without rows are called equal")
	}
	row := []Cell{integer(1), text("a")}
	if d, _ := compare(t, simpleState(row), simpleState(row), 1); !d.Equal() || d.ComparedRows != 1 || d.ComparedObjects != 2 {
		t.Errorf("two equal databases are not: %+v", d)
	}
}

func TestSchemaDifferencesAreNamed(t *testing.T) {
	t.Parallel()
	row := []Cell{integer(1), text("a")}
	a, b := simpleState(row), simpleState(row)
	b.objects = []Object{{"table", "t", "t", HashText("CREATE TABLE t(other)")}, {"trigger", "x", "t", HashText("")}}
	d, _ := compare(t, a, b, 1)
	var got []string
	for _, o := range d.Objects {
		got = append(got, o.How+" "+o.Object.String())
	}
	slices.Sort(got)
	if want := "changed table t, extra trigger x, missing index i"; strings.Join(got, ", ") != want {
		t.Errorf("found %v, want %s", got, want)
	}
	b = simpleState(row)
	b.tables[0].shape.Columns = []string{"id", "title"}
	if d, _ := compare(t, a, b, 1); d.Equal() || len(d.Columns) != 1 || len(d.Tables) != 1 {
		t.Errorf("a column with another name: %+v", d)
	}
}

func TestTablesThatComeAndGo(t *testing.T) {
	t.Parallel()
	row := []Cell{integer(1), text("a")}
	with := func(names ...string) state {
		var s state
		for _, n := range names {
			s.tables = append(s.tables, simpleTable(n, row))
		}
		return s
	}
	for _, c := range []struct {
		a, b state
		want string
	}{
		{with("a", "b", "c"), with("b"), "a id=1 missing, c id=1 missing"},
		{with("b"), with("a", "b", "c"), "a id=1 extra, c id=1 extra"},
		{with("a", "b"), with("c"), "a id=1 missing, b id=1 missing, c id=1 extra"},
		{with(), with("a"), "a id=1 extra"},
		{with("a"), with(), "a id=1 missing"},
	} {
		if d, found := compare(t, c.a, c.b, 1); says(found) != c.want || d.Rows() != int64(len(found)) {
			t.Errorf("found %s, want %s", says(found), c.want)
		}
	}
	// A key of another kind: no row of one state is one of the other.
	other := with("b")
	other.tables[0].shape.Order = []string{NoCase}
	if _, found := compare(t, with("b"), other, 1); says(found) != "b id=1 missing, b id=1 extra" {
		t.Errorf("another key: %s", says(found))
	}
}

// keyedRows draws the rows of a table by number: gaps and contents by chance.
func keyedRows() *rapid.Generator[map[int64]int64] {
	return rapid.MapOfN(rapid.Int64Range(-20, 60), rapid.Int64Range(0, 2), 0, 60)
}

// TestAComparisonFindsExactlyWhatDiffers compares random states, written in ranges of
// any size, with what two maps say.
func TestAComparisonFindsExactlyWhatDiffers(t *testing.T) {
	t.Parallel()
	make := func(rows map[int64]int64) state {
		var list [][]Cell
		for k := int64(-20); k <= 60; k++ {
			if v, there := rows[k]; there {
				list = append(list, []Cell{integer(k), integer(v)})
			}
		}
		return simpleState(list...)
	}
	rapid.Check(t, func(rt *rapid.T) {
		before, after := keyedRows().Draw(rt, "before"), keyedRows().Draw(rt, "after")
		d, found := compare(t, make(before), make(after), rapid.IntRange(1, 70).Draw(rt, "range"))
		got := map[string]string{}
		for _, r := range found {
			got[r.Key] = r.How
			if (r.How == Extra) != (r.Before == nil) || (r.How == Missing) != (r.Row == nil) {
				rt.Errorf("%s %s has columns %v and cells %v", r.Key, r.How, r.Before, r.Row)
			}
		}
		if len(got) != len(found) {
			rt.Errorf("a row was shown twice: %s", says(found))
		}
		want, all := map[string]string{}, int64(0)
		for k := int64(-20); k <= 60; k++ {
			a, was := before[k]
			b, is := after[k]
			key := fmt.Sprintf("id=%d", k)
			switch {
			case was && !is:
				want[key] = Missing
			case is && !was:
				want[key] = Extra
			case was && a != b:
				want[key] = Changed
			}
			if was || is {
				all++
			}
		}
		if len(want) != len(got) || d.ComparedRows != all || d.Rows() != int64(len(want)) {
			rt.Fatalf("found %v, want %v of %d; %+v", got, want, all, d)
		}
		for k, how := range want {
			if got[k] != how {
				rt.Errorf("%s is %q, want %s", k, got[k], how)
			}
		}
	})
}

// TestOneChangedCellShows: two cells that are not the same to their last bit and type
// are a difference.
func TestOneChangedCellShows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		a, b := anyCell().Draw(rt, "a"), anyCell().Draw(rt, "b")
		d, found := compare(t, simpleState([]Cell{integer(1), a}), simpleState([]Cell{integer(1), b}), 1)
		same := bytes.Equal(a.Append(nil), b.Append(nil))
		if d.Equal() != same || len(found) == 0 != same {
			rt.Errorf("%v and %v: %+v", a, b, d)
		}
	})
}

func TestPositionsAreInTheOrderOfSQLite(t *testing.T) {
	t.Parallel()
	negative := math.Copysign(0, -1)
	for _, collation := range []string{Binary, NoCase, RTrim} {
		ordered := []Cell{
			{Type: Null}, {Type: Real, Real: math.Inf(-1)}, integer(math.MinInt64), integer(-1), {Type: Real, Real: -0.5}, integer(0), {Type: Real, Real: 0.5}, integer(1),
			integer(1 << 53), integer(1<<53 + 1), {Type: Real, Real: 1<<53 + 2}, integer(math.MaxInt64), {Type: Real, Real: 1 << 63}, {Type: Real, Real: math.Inf(1)},
			text(""), text("a"), text("b"), {Type: Blob}, {Type: Blob, Bytes: []byte("A")}, {Type: Blob, Bytes: []byte("a")},
		}
		for i, x := range ordered {
			for j, y := range ordered {
				if got, want := compareCells(collation, x, y), compareInts(i, j); got != want {
					t.Errorf("%s: %v and %v: %d, want %d", collation, x, y, got, want)
				}
			}
		}
	}
	for _, c := range []struct {
		collation string
		a, b      Cell
		want      int
	}{
		{Binary, integer(0), Cell{Type: Real, Real: negative}, 0},
		{Binary, text("B"), text("a"), -1},
		{NoCase, text("B"), text("a"), 1},
		{NoCase, text("A"), text("a"), 0},
		{NoCase, text("É"), text("é"), -1}, // no letter of ASCII
		{RTrim, text("a  "), text("a"), 0},
		{RTrim, text(" a"), text("a"), -1},
		{NoCase, Cell{Type: Blob, Bytes: []byte("B")}, Cell{Type: Blob, Bytes: []byte("a")}, -1},
	} {
		if got := compareCells(c.collation, c.a, c.b); got != c.want {
			t.Errorf("%s: %v and %v: %d, want %d", c.collation, c.a, c.b, got, c.want)
		}
	}
}

func compareInts(a, b int) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestASampleShowsWhatDiffersInIt(t *testing.T) {
	t.Parallel()
	a := simpleTable("t", []Cell{integer(1), text("a")}, []Cell{integer(3), text("c")}, []Cell{integer(5), text("e")})
	b := simpleTable("t", []Cell{integer(2), text("b")}, []Cell{integer(3), text("c")}, []Cell{integer(5), text("f")})
	var span Range
	for i, r := range a.rows {
		span.Entries = append(span.Entries, Entry{Key: r.Key, Position: a.positions[i], Hash: r.Sum()})
	}
	var found []RowDifference
	s := NewSample(nil, nil, func(r RowDifference) error {
		found = append(found, r)
		return nil
	})
	if err := s.Rows(a.shape, b.shape, span, b.rows, b.positions); err != nil {
		t.Fatal(err)
	}
	s.Table(a.shape, b.shape, TableEnd{Rows: 3, First: []byte{1}}, TableEnd{Rows: 3, First: []byte{2}})
	d := s.Finish()
	if want := "t id=1 missing, t id=2 extra, t id=5 changed"; says(found) != want || d.ComparedRows != 4 || len(d.Counts) != 1 || len(d.Tables) != 1 {
		t.Errorf("found %s, want %s; %+v", says(found), want, d)
	}
}
