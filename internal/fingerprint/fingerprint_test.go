package fingerprint

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func integer(n int64) Cell { return Cell{Type: Integer, Int: n} }
func text(s string) Cell   { return Cell{Type: Text, Bytes: []byte(s)} }

func build(t testing.TB, name string, columns []string, rows []Row) Table {
	t.Helper()
	b := NewBuilder(name, columns)
	for _, r := range rows {
		if err := b.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	return b.Table()
}

func TestCellsOfDifferentTypeOrContentNeverEncodeAlike(t *testing.T) {
	t.Parallel()
	cells := []Cell{
		{Type: Null}, integer(0), integer(1), integer(-1), integer(1 << 53), integer(1<<53 + 1), integer(math.MinInt64),
		{Type: Real, Real: 0}, {Type: Real, Real: math.Copysign(0, -1)}, {Type: Real, Real: 1}, {Type: Real, Real: math.Inf(1)}, {Type: Real, Real: 9007199254740992},
		text(""), text("0"), text("1"), text("1.0"), text("NULL"), text("a"), text("a\x00"), text("a\x00b"), text("a "), text("é"), text("e\u0301"),
		{Type: Blob}, {Type: Blob, Bytes: []byte("a")}, {Type: Blob, Bytes: []byte{0}}, {Type: Blob, Bytes: []byte{0, 0}},
	}
	for i, x := range cells {
		for j, y := range cells {
			a, b := x.Append(nil), y.Append(nil)
			if same := bytes.Equal(a, b); same != (i == j) {
				t.Errorf("%v and %v: equal encodings is %v", x, y, same)
			}
			if i != j && bytes.HasPrefix(b, a) {
				t.Errorf("the encoding of %v begins that of %v", x, y)
			}
		}
	}
}

func TestCellsDoNotRunIntoEachOther(t *testing.T) {
	t.Parallel()
	a := hashRow(Row{Key: "k", Cells: []Cell{text("ab"), text("c")}})
	b := hashRow(Row{Key: "k", Cells: []Cell{text("a"), text("bc")}})
	if a == b {
		t.Error("moving a letter from one cell to the next does not show")
	}
}

func TestNaNAndWrongWidthAreRefused(t *testing.T) {
	t.Parallel()
	b := NewBuilder("t", []string{"x"})
	if b.Add(Row{Key: "1", Cells: []Cell{{Type: Real, Real: math.NaN()}}}) == nil {
		t.Error("NaN was taken")
	}
	if b.Add(Row{Key: "1", Cells: []Cell{{}}}) == nil {
		t.Error("a cell without type was taken")
	}
	if b.Add(Row{Key: "1", Cells: []Cell{integer(1), integer(2)}}) == nil {
		t.Error("a row with a cell too many was taken")
	}
	if b.Len() != 0 {
		t.Error("a refused row was counted")
	}
}

func TestSumAddsModulo(t *testing.T) {
	t.Parallel()
	var all, one Sum
	for i := range all {
		all[i] = 0xff
	}
	one[31] = 1
	if got := all.Add(one); got != (Sum{}) {
		t.Errorf("2^256-1 plus 1 is %s", got)
	}
	half := Sum{0: 0x80}
	if got := half.Add(half); got != (Sum{}) {
		t.Errorf("2^255 twice is %s", got)
	}
}

func TestTwoEqualRowsAreNotNothing(t *testing.T) {
	t.Parallel()
	row := Row{Key: "same", Cells: []Cell{integer(7)}}
	none := build(t, "t", []string{"x"}, nil)
	one := build(t, "t", []string{"x"}, []Row{row})
	two := build(t, "t", []string{"x"}, []Row{row, row})
	three := build(t, "t", []string{"x"}, []Row{row, row, row})
	if two.Digest == none.Digest || one.Digest == three.Digest || two.Rows != 2 {
		t.Error("rows that occur several times are not counted")
	}
	if len(compareRows(two, three)) == 0 {
		t.Error("a third equal row is not found")
	}
}

// rows draws a table of rows with distinct keys.
func rows() *rapid.Generator[[]Row] {
	return rapid.Custom(func(t *rapid.T) []Row {
		keys := rapid.SliceOfNDistinct(rapid.IntRange(0, 5000), 0, 600, rapid.ID[int]).Draw(t, "keys")
		var out []Row
		for _, k := range keys {
			out = append(out, Row{Key: fmt.Sprintf("id=%d", k), Cells: []Cell{integer(int64(k)), text(rapid.StringN(0, 8, -1).Draw(t, "text")), {Type: Null}}})
		}
		return out
	})
}

var columns = []string{"id", "name", "note"}

func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		list := rows().Draw(rt, "rows")
		a := build(t, "t", columns, list)
		b := build(t, "t", columns, rapid.Permutation(list).Draw(rt, "order"))
		if a.Digest != b.Digest || !slices.Equal(a.Ranges, b.Ranges) || len(compareRows(a, b)) != 0 {
			rt.Fatal("another order gives another fingerprint")
		}
	})
}

// TestEveryDifferenceIsFound changes, removes and adds rows and expects
// exactly those to be named, whatever the ranges do.
func TestEveryDifferenceIsFound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		before := rows().Draw(rt, "rows")
		want := map[string]string{}
		var after []Row
		for _, r := range before {
			switch rapid.SampledFrom([]string{"", "", "", "", "", "", Changed, Missing}).Draw(rt, "fate") {
			case Changed:
				r = Row{Key: r.Key, Cells: slices.Clone(r.Cells)}
				r.Cells[2] = text("")
				want[r.Key] = Changed
			case Missing:
				want[r.Key] = Missing
				continue
			}
			after = append(after, r)
		}
		for _, k := range rapid.SliceOfNDistinct(rapid.IntRange(5001, 6000), 0, 40, rapid.ID[int]).Draw(rt, "new") {
			r := Row{Key: fmt.Sprintf("id=%d", k), Cells: []Cell{integer(int64(k)), text("new"), {Type: Null}}}
			want[r.Key] = Extra
			after = append(after, r)
		}
		got := map[string]string{}
		for _, d := range compareRows(build(t, "t", columns, before), build(t, "t", columns, after)) {
			if _, twice := got[d.Key]; twice {
				rt.Fatalf("%s is named twice", d.Key)
			}
			got[d.Key] = d.How
			if d.How == Changed && !slices.Equal(d.Columns, []string{"note"}) {
				rt.Fatalf("%s: columns %v", d.Key, d.Columns)
			}
		}
		if len(got) != len(want) {
			rt.Fatalf("found %v, want %v", got, want)
		}
		for k, how := range want {
			if got[k] != how {
				rt.Fatalf("%s is %q, want %q", k, got[k], how)
			}
		}
	})
}

// TestComparingCostsWhatDiffers counts the entries that are looked at when
// one row of many changed: those of one range, not all.
func TestComparingCostsWhatDiffers(t *testing.T) {
	t.Parallel()
	var list []Row
	for i := range 20000 {
		list = append(list, Row{Key: fmt.Sprintf("id=%d", i), Cells: []Cell{integer(int64(i))}})
	}
	a := build(t, "t", []string{"id"}, list)
	more := append(slices.Clone(list), Row{Key: "id=77x", Cells: []Cell{integer(0)}})
	b := build(t, "t", []string{"id"}, more)
	if len(a.Ranges) < 30 {
		t.Fatalf("20,000 rows make %d ranges", len(a.Ranges))
	}
	same := 0
	for _, r := range b.Ranges {
		if slices.Contains(a.Ranges, r) {
			same++
		}
	}
	if same < len(a.Ranges)-1 {
		t.Errorf("one more row changes %d of %d ranges", len(a.Ranges)-same, len(a.Ranges))
	}
	if d := compareRows(a, b); len(d) != 1 || d[0].How != Extra || d[0].Key != "id=77x" {
		t.Errorf("found %v", d)
	}
}

func snapshot(t testing.TB, rows ...Row) Snapshot {
	return NewSnapshot("db", "0-1", []Table{build(t, "t", columns, rows)},
		[]Object{{"table", "t", "t", HashText("CREATE TABLE t")}, {"index", "i", "t", HashText("CREATE INDEX i")}})
}

func TestComparingNothingIsNeverEqual(t *testing.T) {
	t.Parallel()
	if Compare(Snapshot{}, Snapshot{}).Equal() {
		t.Error("two databases without anything are called equal")
	}
	if Compare(snapshot(t), snapshot(t)).Equal() {
		t.Error("two databases without rows are called equal")
	}
	row := Row{Key: "id=1", Cells: []Cell{integer(1), text("a"), {Type: Null}}}
	if d := Compare(snapshot(t, row), snapshot(t, row)); !d.Equal() || d.ComparedRows != 1 || d.ComparedObjects != 2 {
		t.Errorf("two equal databases are not: %+v", d)
	}
}

func TestSchemaDifferencesAreNamed(t *testing.T) {
	t.Parallel()
	row := Row{Key: "id=1", Cells: []Cell{integer(1), text("a"), {Type: Null}}}
	a, b := snapshot(t, row), snapshot(t, row)
	b.Objects = []Object{{"table", "t", "t", HashText("CREATE TABLE t(other)")}, {"trigger", "x", "t", HashText("")}}
	var got []string
	for _, d := range Compare(a, b).Objects {
		got = append(got, d.How+" "+d.Object.String())
	}
	slices.Sort(got)
	if want := "changed table t, extra trigger x, missing index i"; strings.Join(got, ", ") != want {
		t.Errorf("found %v, want %s", got, want)
	}
	b = snapshot(t, row)
	b.Tables = nil
	if d := Compare(a, b); d.Equal() || len(d.Rows) != 1 || d.Rows[0].How != Missing {
		t.Errorf("a table that is gone: %+v", d)
	}
	b = snapshot(t, row)
	b.Tables[0].Columns = []string{"id", "name", "remark"}
	if d := Compare(a, b); d.Equal() || len(d.Columns) != 1 {
		t.Errorf("a column with another name: %+v", d)
	}
}

func TestFilesThatWereTouchedAreRefused(t *testing.T) {
	t.Parallel()
	var list []Row
	for i := range 300 {
		list = append(list, Row{Key: fmt.Sprintf("id=%d", i), Cells: []Cell{integer(int64(i)), text("x"), {Type: Null}}})
	}
	s := snapshot(t, list...)
	data, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if d := Compare(s, back); !d.Equal() {
		t.Errorf("a file read back differs: %+v", d)
	}
	for name, bad := range map[string]string{
		"nothing":      "",
		"cut":          string(data[:len(data)/2]),
		"other format": strings.Replace(string(data), `"format":1`, `"format":2`, 1),
		"other digest": strings.Replace(string(data), s.Tables[0].Entries[0].Hash.String(), Sum{1: 1}.String(), 1),
		"other count":  strings.Replace(string(data), `"rows":300`, `"rows":299`, 1),
		"other key":    strings.Replace(string(data), `"k":"id=17"`, `"k":"id=17x"`, 1),
		"other name":   strings.Replace(string(data), `"name":"i"`, `"name":"j"`, 1),
		"short cells":  strings.Replace(string(data), `"c":"`, `"c":"00`, 1),
		"no digest":    `{"format":1}`,
	} {
		if bad == string(data) {
			t.Fatalf("%s: the file was not changed", name)
		}
		if _, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestKeysStayDistinct(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 100)
	keys := []string{
		Key([]string{"a", "b"}, []Cell{text("1"), text("2")}),
		Key([]string{"a", "b"}, []Cell{text(`1" b="2`), text("")}),
		Key([]string{"a", "b"}, []Cell{integer(1), integer(2)}),
		Key([]string{"a"}, []Cell{text(long + "1")}),
		Key([]string{"a"}, []Cell{text(long + "2")}),
		Key([]string{"a"}, []Cell{text("a\x00b")}),
		Key([]string{"a"}, []Cell{text("a")}),
		Key([]string{"a"}, []Cell{{Type: Blob, Bytes: []byte("a")}}),
		Key([]string{"a"}, []Cell{{Type: Null}}),
	}
	slices.Sort(keys)
	if len(slices.Compact(slices.Clone(keys))) != len(keys) {
		t.Errorf("keys collide: %q", keys)
	}
}

func FuzzDecode(f *testing.F) {
	data, err := snapshot(f, Row{Key: "id=1", Cells: []Cell{integer(1), text("a"), {Type: Null}}}).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"format":1,"tables":[{"columns":[],"rows":-1,"ranges":[{"rows":-5}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Decode(data)
		if err != nil {
			return
		}
		d := Compare(s, s)
		if len(d.Rows)+len(d.Objects)+len(d.Columns) != 0 {
			t.Errorf("a snapshot differs from itself: %+v", d)
		}
	})
}

func FuzzOneChangedByteShows(f *testing.F) {
	f.Add([]byte("a\x00b"), uint8(1), uint64(1))
	f.Fuzz(func(t *testing.T, content []byte, flip uint8, seed uint64) {
		if len(content) == 0 || flip == 0 {
			return
		}
		changed := slices.Clone(content)
		changed[rand.New(rand.NewPCG(seed, 1)).IntN(len(changed))] ^= flip
		a := build(t, "t", []string{"x"}, []Row{{Key: "1", Cells: []Cell{{Type: Blob, Bytes: content}}}})
		b := build(t, "t", []string{"x"}, []Row{{Key: "1", Cells: []Cell{{Type: Blob, Bytes: changed}}}})
		if a.Digest == b.Digest {
			t.Error("a changed byte does not show")
		}
	})
}
