package fingerprint

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Table is the fingerprint of a table's rows.
type Table struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
	Rows    int64    `json:"rows"`
	Digest  Sum      `json:"digest"` // sum of the row hashes
	Ranges  []Range  `json:"ranges"`
	Entries []Entry  `json:"entries"` // sorted by key
}

// Range sums the rows of a stretch of keys, in byte order of the keys: those
// after the previous range's Last up to its own Last.
type Range struct {
	Last   string `json:"last"`
	Rows   int64  `json:"rows"`
	Digest Sum    `json:"digest"`
}

// Entry is one row: its key, its hash, and short digests of its cells.
type Entry struct {
	Key   string `json:"k"`
	Hash  Sum    `json:"h"`
	Cells string `json:"c"` // 8 hexadecimal digits a cell
}

// Builder gathers the rows of one table, in any order.
type Builder struct {
	name    string
	columns []string
	entries []Entry
}

// NewBuilder begins a table with these columns.
func NewBuilder(name string, columns []string) *Builder {
	return &Builder{name: name, columns: slices.Clone(columns)}
}

// Add takes a row. A row with another number of cells than the table has
// columns, or with a cell that is no cell, is an error.
func (b *Builder) Add(row Row) error {
	if len(row.Cells) != len(b.columns) {
		return fmt.Errorf("table %s: row %s has %d cells for %d columns", b.name, row.Key, len(row.Cells), len(b.columns))
	}
	digests := make([]byte, 0, 4*len(row.Cells))
	for i, c := range row.Cells {
		if !c.Valid() {
			return fmt.Errorf("table %s: row %s: column %s has no valid value", b.name, row.Key, b.columns[i])
		}
		digests = binary.BigEndian.AppendUint32(digests, cellDigest(c))
	}
	b.entries = append(b.entries, Entry{Key: row.Key, Hash: hashRow(row), Cells: hex.EncodeToString(digests)})
	return nil
}

// Len counts the rows taken so far.
func (b *Builder) Len() int64 { return int64(len(b.entries)) }

// Table finishes. Rows with the same key stay apart and are both counted.
func (b *Builder) Table() Table {
	slices.SortFunc(b.entries, compareEntries)
	t := Table{Name: b.name, Columns: b.columns, Entries: b.entries}
	t.sum()
	return t
}

func compareEntries(x, y Entry) int {
	if c := strings.Compare(x.Key, y.Key); c != 0 {
		return c
	}
	return slices.Compare(x.Hash[:], y.Hash[:])
}

// sum computes count, digest and ranges from the sorted entries.
func (t *Table) sum() {
	t.Rows, t.Digest, t.Ranges = int64(len(t.Entries)), Sum{}, nil
	var r Range
	for i, e := range t.Entries {
		t.Digest = t.Digest.Add(e.Hash)
		r.Last, r.Rows, r.Digest = e.Key, r.Rows+1, r.Digest.Add(e.Hash)
		last := i+1 == len(t.Entries)
		if last || (endsRange(e.Key) && t.Entries[i+1].Key != e.Key) {
			t.Ranges = append(t.Ranges, r)
			r = Range{}
		}
	}
}

// endsRange tells whether a range ends with this key: one key in 256 does.
func endsRange(key string) bool { return HashText(key)[0] == 0 }

// Verify checks a table that was read back against its own entries: a
// fingerprint that was cut or edited must not be compared with.
func (t Table) Verify() error {
	again := t
	again.sum()
	switch {
	case again.Rows != t.Rows || again.Digest != t.Digest || !slices.Equal(again.Ranges, t.Ranges):
		return fmt.Errorf("table %s: the fingerprint does not agree with its own rows", t.Name)
	case !slices.IsSortedFunc(t.Entries, compareEntries):
		return fmt.Errorf("table %s: the rows of the fingerprint are out of order", t.Name)
	}
	for _, e := range t.Entries {
		if len(e.Cells) != 8*len(t.Columns) {
			return fmt.Errorf("table %s: row %s of the fingerprint has another number of cells than the table", t.Name, e.Key)
		}
	}
	return nil
}
