package fingerprint

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func integer(n int64) Cell { return Cell{Type: Integer, Int: n} }
func text(s string) Cell   { return Cell{Type: Text, Bytes: []byte(s)} }

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
	a := sumOf(Row{Key: "k", Cells: []Cell{text("ab"), text("c")}})
	b := sumOf(Row{Key: "k", Cells: []Cell{text("a"), text("bc")}})
	if a == b {
		t.Error("moving a letter from one cell to the next does not show")
	}
}

func sumOf(r Row) Sum { return r.Sum() }

func TestCellsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cells := rapid.SliceOfN(anyCell(), 1, 6).Draw(t, "cells")
		var b []byte
		for _, c := range cells {
			b = c.Append(b)
		}
		back, err := ReadCells(b)
		if err != nil {
			t.Fatal(err)
		}
		var again []byte
		for _, c := range back {
			again = c.Append(again)
		}
		if len(back) != len(cells) || !bytes.Equal(b, again) {
			t.Errorf("wrote %v, read %v", cells, back)
		}
		if _, err := ReadCells(b[:len(b)-1]); err == nil && cells[len(cells)-1].Type != Null {
			t.Error("a cut cell was taken")
		}
	})
}

// anyCell draws cells that are easily mistaken for others.
func anyCell() *rapid.Generator[Cell] {
	return rapid.OneOf(
		rapid.Just(Cell{Type: Null}),
		rapid.Custom(func(t *rapid.T) Cell {
			return integer(rapid.OneOf(rapid.SampledFrom([]int64{0, 1, -1, 1 << 53, 1<<53 + 1, math.MinInt64, math.MaxInt64}), rapid.Int64()).Draw(t, "int"))
		}),
		rapid.Custom(func(t *rapid.T) Cell {
			return Cell{Type: Real, Real: rapid.OneOf(rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1, 1 << 53, 1<<53 + 2, math.Inf(1), math.Inf(-1), 0.1}), rapid.Float64()).Draw(t, "real")}
		}),
		rapid.Custom(func(t *rapid.T) Cell {
			return Cell{Type: rapid.SampledFrom([]Type{Text, Blob}).Draw(t, "type"), Bytes: []byte(rapid.SampledFrom([]string{"", "0", "1", "a", "A", "a ", "a\x00", "a\x00b", "b", "B", "\xff"}).Draw(t, "bytes"))}
		}))
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
