package fingerprint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Format is the version of the file format; docs/formats/fingerprint.md has it
// whole.
const Format = 2

// Level says how much of a database was read.
type Level string

// The levels. What was read at the level quick shows differences, and never that
// there are none.
const (
	Full  Level = "full"  // every row
	Quick Level = "quick" // the schema, the number of rows, the first and the last position, and some ranges
)

// magic begins every file. Format 1 was a JSON document.
const magic = "firedrill fingerprint 2\n"

// The kinds of record that follow it.
const (
	recordHeader = 'H' // JSON of Header
	recordTable  = 'T' // JSON of Table: the ranges of one follow
	recordRange  = 'R' // rows of a stretch of positions
	recordEnd    = 'E' // JSON of TableEnd: the table is over
	recordLast   = 'Z' // JSON of last: the file is over, but for the SHA-256 of all before
)

const (
	// RangeRows and RangeBytes are when a range is full: so many rows, or so many
	// bytes of values.
	RangeRows  = 1000
	RangeBytes = 256 << 10
	// largestRecord is what a reader takes: a thousand rows with keys of a statement's
	// length and more.
	largestRecord = 1 << 28
)

// Header begins a fingerprint.
type Header struct {
	Format   int      `json:"format"`
	Database string   `json:"database"` // its id
	Level    Level    `json:"level"`
	Objects  []Object `json:"objects"` // of the schema, sorted by type and name
}

// Object is an entry of the schema: a table, an index, a view, a trigger.
type Object struct {
	Type   string `json:"type"`
	Name   string `json:"name"`
	Table  string `json:"table"`
	Digest Sum    `json:"digest"` // of its definition
}

// String names the object for people: "index users_email".
func (o Object) String() string { return o.Type + " " + o.Name }

// SortObjects puts objects in the order in which they stand in a header.
func SortObjects(objects []Object) { slices.SortFunc(objects, compareObjects) }

func compareObjects(a, b Object) int {
	if c := strings.Compare(a.Type, b.Type); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

// Table is the shape of a table. Tables follow each other by name.
type Table struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
	// Order holds the collation of each cell of a position.
	Order []string `json:"order"`
}

func (t Table) valid() error {
	if t.Name == "" || len(t.Columns) == 0 || len(t.Order) == 0 {
		return fmt.Errorf("table %q has no columns or no order", t.Name)
	}
	for _, name := range t.Order {
		if !KnownCollation(name) {
			return fmt.Errorf("table %s is in the order of collation %q, which is not known", t.Name, name)
		}
	}
	return nil
}

// Entry is one row: its key in words, the position at which it is read, and its
// hash.
type Entry struct {
	Key      string
	Position []Cell
	Hash     Sum
}

// Range is a stretch of a table: the rows from one position to another.
type Range struct {
	Entries []Entry
	Digest  Sum // sum of the hashes
	Values  Place
}

// Place is where the values of a range were kept; the zero Place: nowhere.
type Place struct{ Offset, Length int64 }

// TableEnd says what there was of a table in all.
type TableEnd struct {
	Rows   int64 `json:"rows"`   // of the table, also of those that were not read
	Digest Sum   `json:"digest"` // sum of the hashes of the rows that were read
	// First and Last are the outermost positions, encoded cell by cell; empty where
	// there are no rows.
	First []byte `json:"first"`
	Last  []byte `json:"last"`
}

// last ends a file.
type last struct {
	Bookmark string `json:"bookmark"` // the moment of which the fingerprint is
	Digest   Sum    `json:"digest"`
}

// encodePosition writes a position.
func encodePosition(position []Cell) []byte {
	var b []byte
	for _, c := range position {
		b = c.Append(b)
	}
	return b
}

// digest gathers what the digest of a whole fingerprint is made from: schema and
// rows, not the moment.
type digest struct{ texts []string }

func (d *digest) objects(list []Object) {
	for _, o := range list {
		d.texts = append(d.texts, "object", o.Type, o.Name, o.Table, o.Digest.String())
	}
}

func (d *digest) table(t Table, end TableEnd) {
	d.texts = append(d.texts, "table", t.Name, strconv.FormatInt(end.Rows, 10), end.Digest.String())
	d.texts = append(d.texts, t.Columns...)
}

func (d *digest) sum() Sum { return HashText(d.texts...) }
