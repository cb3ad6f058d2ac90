// Package fingerprint turns the rows of a database into digests, writes them down
// as a stream, and finds what differs between two states of it.
//
// A cell is encoded with its exact type and length, so 1, 1.0, '1' and x'31'
// are four different things, and so are NULL and the empty string. A row is
// hashed with SHA-256 over its key and its cells. A table's digest is the sum
// of its row hashes modulo 2^256: it does not depend on their order and, unlike
// XOR, counts rows that occur twice. The sum protects against faults and mistakes,
// not against somebody who can choose rows at will and wants to deceive.
//
// Rows come in the order of their positions: what a table is read by, a rowid or a
// primary key. [Writer] writes an entry for each row into a file, range by range,
// and [Comparison] walks such a file and a second reading side by side. Neither
// keeps more than one range in memory, so a difference is found in one pass whose
// memory does not grow with the database.
package fingerprint

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Type is the storage class of a cell.
type Type byte

// The storage classes of SQLite.
const (
	Null    Type = 'n'
	Integer Type = 'i'
	Real    Type = 'r'
	Text    Type = 't'
	Blob    Type = 'b'
)

// Cell is one value with its storage class. The zero Cell is not valid: NULL
// is Cell{Type: Null}.
type Cell struct {
	Type  Type
	Int   int64
	Real  float64
	Bytes []byte // of a text or a blob
}

// Row is one row of a table.
type Row struct {
	// Key identifies the row inside its table in words for people, e.g. `id=812`.
	Key   string
	Cells []Cell
}

// Append adds the canonical encoding of the cell to b: its type and, where
// the type does not fix it, its length, then its content. No two different
// cells have the same encoding, and no encoding is the beginning of another.
func (c Cell) Append(b []byte) []byte {
	b = append(b, byte(c.Type))
	switch c.Type {
	case Integer:
		b = binary.BigEndian.AppendUint64(b, uint64(c.Int))
	case Real:
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(c.Real))
	case Text, Blob:
		b = binary.BigEndian.AppendUint64(b, uint64(len(c.Bytes)))
		b = append(b, c.Bytes...)
	}
	return b
}

// readCell reads what [Cell.Append] wrote, and gives what is left.
func readCell(b []byte) (c Cell, rest []byte, err error) {
	if len(b) == 0 {
		return c, nil, fmt.Errorf("a value is missing")
	}
	c.Type, rest = Type(b[0]), b[1:]
	if c.Type == Null {
		return c, rest, nil
	}
	if len(rest) < 8 {
		return c, nil, fmt.Errorf("a value is cut")
	}
	word := binary.BigEndian.Uint64(rest)
	rest = rest[8:]
	switch c.Type {
	case Integer:
		c.Int = int64(word)
	case Real:
		c.Real = math.Float64frombits(word)
	case Text, Blob:
		if word > uint64(len(rest)) {
			return c, nil, fmt.Errorf("a value is cut")
		}
		c.Bytes, rest = rest[:word:word], rest[word:]
	}
	if !c.Valid() {
		return c, nil, fmt.Errorf("a value of unknown type %q", c.Type)
	}
	return c, rest, nil
}

// ReadCells reads the cells of a row that [Cell.Append] wrote one after the other.
// They share the memory of b.
func ReadCells(b []byte) ([]Cell, error) {
	var cells []Cell
	for len(b) > 0 {
		c, rest, err := readCell(b)
		if err != nil {
			return nil, err
		}
		cells, b = append(cells, c), rest
	}
	return cells, nil
}

// Valid tells whether the cell's type exists. NaN is not valid: SQLite stores
// NULL in its place.
func (c Cell) Valid() bool {
	switch c.Type {
	case Null, Integer, Text, Blob:
		return true
	case Real:
		return !math.IsNaN(c.Real)
	}
	return false
}

// String gives the cell as a person or a key shows it; long content is cut.
func (c Cell) String() string {
	const longest = 40
	switch c.Type {
	case Null:
		return "NULL"
	case Integer:
		return strconv.FormatInt(c.Int, 10)
	case Real:
		return strconv.FormatFloat(c.Real, 'g', -1, 64)
	case Text:
		s := string(c.Bytes)
		if r := []rune(s); len(r) > longest {
			return strconv.Quote(string(r[:longest])) + "…"
		}
		return strconv.Quote(s)
	case Blob:
		if len(c.Bytes) > longest/2 {
			return fmt.Sprintf("x'%x…'", c.Bytes[:longest/2])
		}
		return fmt.Sprintf("x'%x'", c.Bytes)
	}
	return "invalid"
}

// Key gives the key of a row from its columns and cells: `id=812`, or
// `a="x" b=2`. Other than for display nothing is cut, so keys stay distinct.
func Key(columns []string, cells []Cell) string {
	var b strings.Builder
	for i, c := range cells {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(columns[i])
		b.WriteByte('=')
		switch c.Type {
		case Text:
			b.WriteString(strconv.Quote(string(c.Bytes)))
		case Blob:
			fmt.Fprintf(&b, "x'%x'", c.Bytes)
		default:
			b.WriteString(c.String())
		}
	}
	return b.String()
}
