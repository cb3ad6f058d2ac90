package fingerprint

import (
	"cmp"
	"slices"
	"strings"
)

// How a row or an object differs.
const (
	Changed = "changed" // in both, with another content
	Missing = "missing" // in the first state only
	Extra   = "extra"   // in the second state only
)

// RowDifference is a row that is not the same in both states.
type RowDifference struct {
	Table   string
	Key     string
	How     string
	Columns []string // of a changed row: the columns that differ, where both states have the same columns
}

// ObjectDifference is an entry of the schema that is not the same in both states.
type ObjectDifference struct {
	Object Object
	How    string
}

// Difference is what a comparison found.
type Difference struct {
	// Rows and objects that were compared, counted in the larger state.
	ComparedRows    int64
	ComparedObjects int64
	Rows            []RowDifference
	Objects         []ObjectDifference
	// Columns names tables whose list of columns differs.
	Columns []string
}

// Equal tells whether something was compared and nothing differs. Two empty
// states are not equal: nothing was compared.
func (d Difference) Equal() bool {
	return d.ComparedRows > 0 && d.ComparedObjects > 0 && len(d.Rows) == 0 && len(d.Objects) == 0 && len(d.Columns) == 0
}

// Compare tells how state b differs from state a.
func Compare(a, b Snapshot) Difference {
	var d Difference
	merge(a.Objects, b.Objects, compareObjects, func(x, y *Object) {
		d.ComparedObjects++
		switch {
		case y == nil:
			d.Objects = append(d.Objects, ObjectDifference{*x, Missing})
		case x == nil:
			d.Objects = append(d.Objects, ObjectDifference{*y, Extra})
		case *x != *y:
			d.Objects = append(d.Objects, ObjectDifference{*y, Changed})
		}
	})
	byName := func(x, y Table) int { return strings.Compare(x.Name, y.Name) }
	merge(a.Tables, b.Tables, byName, func(x, y *Table) {
		switch {
		case y == nil:
			d.ComparedRows += x.Rows
			d.Rows = append(d.Rows, compareRows(*x, Table{Name: x.Name, Columns: x.Columns})...)
		case x == nil:
			d.ComparedRows += y.Rows
			d.Rows = append(d.Rows, compareRows(Table{Name: y.Name, Columns: y.Columns}, *y)...)
		default:
			d.ComparedRows += max(x.Rows, y.Rows)
			if !slices.Equal(x.Columns, y.Columns) {
				d.Columns = append(d.Columns, x.Name)
			}
			d.Rows = append(d.Rows, compareRows(*x, *y)...)
		}
	})
	return d
}

// compareRows compares two states of a table. Ranges that are the same in
// both are passed over.
func compareRows(a, b Table) []RowDifference {
	if a.Rows == b.Rows && a.Digest == b.Digest {
		return nil
	}
	var out []RowDifference
	restA, restB := a.Entries, b.Entries
	rangesA, rangesB := a.Ranges, b.Ranges
	for len(rangesA) > 0 || len(rangesB) > 0 {
		if len(rangesA) > 0 && len(rangesB) > 0 && rangesA[0] == rangesB[0] {
			restA, restB = restA[rangesA[0].Rows:], restB[rangesB[0].Rows:]
			rangesA, rangesB = rangesA[1:], rangesB[1:]
			continue
		}
		// Take ranges on both sides until both end at the same key.
		var n, m int64
		var endA, endB string
		tookA, tookB := false, false
		for {
			moreA, moreB := len(rangesA) > 0, len(rangesB) > 0
			if tookA && tookB && endA == endB || !moreA && !moreB {
				break
			}
			if moreA && (!moreB || rangesA[0].Last <= rangesB[0].Last) {
				n, endA, tookA, rangesA = n+rangesA[0].Rows, rangesA[0].Last, true, rangesA[1:]
			} else {
				m, endB, tookB, rangesB = m+rangesB[0].Rows, rangesB[0].Last, true, rangesB[1:]
			}
		}
		out = append(out, compareEntryLists(a, b, restA[:n], restB[:m])...)
		restA, restB = restA[n:], restB[m:]
	}
	return out
}

func compareEntryLists(a, b Table, x, y []Entry) []RowDifference {
	var out []RowDifference
	byKey := func(p, q Entry) int { return cmp.Compare(p.Key, q.Key) }
	merge(x, y, byKey, func(p, q *Entry) {
		switch {
		case q == nil:
			out = append(out, RowDifference{Table: a.Name, Key: p.Key, How: Missing})
		case p == nil:
			out = append(out, RowDifference{Table: a.Name, Key: q.Key, How: Extra})
		case p.Hash != q.Hash:
			out = append(out, RowDifference{Table: a.Name, Key: p.Key, How: Changed, Columns: changedColumns(a, b, *p, *q)})
		}
	})
	return out
}

func changedColumns(a, b Table, p, q Entry) []string {
	if !slices.Equal(a.Columns, b.Columns) || len(p.Cells) != len(q.Cells) || len(p.Cells) != 8*len(a.Columns) {
		return nil
	}
	var names []string
	for i, name := range a.Columns {
		if p.Cells[8*i:8*i+8] != q.Cells[8*i:8*i+8] {
			names = append(names, name)
		}
	}
	return names
}

// merge walks two sorted lists together and shows each pair of equals, or the
// one that has no partner.
func merge[T any](a, b []T, compare func(T, T) int, visit func(x, y *T)) {
	for len(a) > 0 || len(b) > 0 {
		c := 0
		switch {
		case len(a) == 0:
			c = 1
		case len(b) == 0:
			c = -1
		default:
			c = compare(a[0], b[0])
		}
		switch {
		case c < 0:
			visit(&a[0], nil)
			a = a[1:]
		case c > 0:
			visit(nil, &b[0])
			b = b[1:]
		default:
			visit(&a[0], &b[0])
			a, b = a[1:], b[1:]
		}
	}
}
