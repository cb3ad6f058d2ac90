package cloudflare

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"firedrill/internal/backup"
	"firedrill/internal/fingerprint"
)

// rowForm is how the values of a row travel. JSON has neither the types nor the
// numbers of SQLite, so the database writes each value as text with its type.
type rowForm int

const (
	// joined: all values of a row in one text, one after the other. It costs the
	// platform a fraction of the other form, but a text that is no UTF-8 does not
	// survive it.
	joined rowForm = iota
	// apart: each value a text of its own, and texts in hexadecimal digits.
	apart
)

// columns gives what is asked for.
func (f rowForm) columns(t table) string {
	var parts []string
	if f == joined {
		if t.Rowid != "" {
			parts = append(parts, t.Rowid+"||';'")
		}
		for _, c := range t.Columns {
			parts = append(parts, joinedSQL(quoted(c.Name)))
		}
		return concatenated(parts)
	}
	for i, c := range t.Columns {
		e := cellSQL(quoted(c.Name))
		if i == 0 && t.Rowid != "" {
			// The rowid travels in front of the first value: one more column
			// could be one too many for the platform.
			e = t.Rowid + "||':'||" + e
		}
		parts = append(parts, e)
	}
	return strings.Join(parts, ",")
}

// concatenated joins expressions in pairs, and the pairs in pairs: the platform
// bounds how deep an expression may be.
func concatenated(parts []string) string {
	if len(parts) == 1 {
		return parts[0]
	}
	half := len(parts) / 2
	return "(" + concatenated(parts[:half]) + ")||(" + concatenated(parts[half:]) + ")"
}

// read reads the values of a row. Its cells are appended to the arena. longs are
// the lengths of values that are to be read in pieces, by column.
func (f rowForm) read(t table, values [][]byte, arena []fingerprint.Cell) (rowid int64, cells []fingerprint.Cell, longs map[int]int64, err error) {
	if f == joined {
		return readJoined(t, values, arena)
	}
	if len(values) != len(t.Columns) {
		return 0, nil, nil, fmt.Errorf("%d values for %d columns", len(values), len(t.Columns))
	}
	for i, v := range values {
		s := string(v)
		if i == 0 && t.Rowid != "" {
			id, rest, found := strings.Cut(s, ":")
			if rowid, err = strconv.ParseInt(id, 10, 64); !found || err != nil {
				return 0, nil, nil, fmt.Errorf("a row without rowid")
			}
			s = rest
		}
		c, long, err := parseCell(s)
		if err != nil {
			return 0, nil, nil, fmt.Errorf("column %s: %w", t.Columns[i].Name, err)
		}
		if long > 0 {
			longs = withLong(longs, i, long)
		}
		arena = append(arena, c)
	}
	return rowid, arena, longs, nil
}

func withLong(longs map[int]int64, column int, length int64) map[int]int64 {
	if longs == nil {
		longs = map[int]int64{}
	}
	longs[column] = length
	return longs
}

// realSQL writes a real with as many digits as tell it from every other. printf()
// does not tell -0.0 from 0.0.
func realSQL(expr string) string {
	return "CASE WHEN " + expr + "=0 AND atan2(" + expr + ",-1)<0 THEN '-0' ELSE printf('%!.17e'," + expr + ") END"
}

// joinedSQL gives the expression of a value in a joined row: its type, its content
// and, but for texts, which say their length in bytes, a semicolon.
func joinedSQL(expr string) string {
	length := "length(CAST(" + expr + " AS BLOB))"
	long := strconv.Itoa(largeCell)
	return "CASE typeof(" + expr + ") WHEN 'integer' THEN 'i'||" + expr + "||';'" +
		" WHEN 'text' THEN CASE WHEN " + length + ">" + long + " THEN 'T'||" + length + "||';' ELSE 't'||" + length + "||':'||" + expr + " END" +
		" WHEN 'null' THEN 'n;'" +
		" WHEN 'real' THEN 'r'||" + realSQL(expr) + "||';'" +
		" ELSE CASE WHEN " + length + ">" + long + " THEN 'B'||" + length + "||';' ELSE 'b'||hex(" + expr + ")||';' END END"
}

// readJoined reads a joined row. The cells share the memory of the text.
func readJoined(t table, values [][]byte, arena []fingerprint.Cell) (rowid int64, cells []fingerprint.Cell, longs map[int]int64, err error) {
	if len(values) != 1 {
		return 0, nil, nil, fmt.Errorf("%d values instead of one", len(values))
	}
	rest := values[0]
	// A platform puts U+FFFD in the place of bytes that are no text, which can even
	// have the same length.
	if !utf8.Valid(rest) || bytes.Contains(rest, []byte("\uFFFD")) {
		return 0, nil, nil, fmt.Errorf("bytes that are no text")
	}
	if t.Rowid != "" {
		id, more, found := bytes.Cut(rest, []byte(";"))
		if rowid, err = strconv.ParseInt(string(id), 10, 64); !found || err != nil {
			return 0, nil, nil, fmt.Errorf("a row without rowid")
		}
		rest = more
	}
	for i, c := range t.Columns {
		var cell fingerprint.Cell
		var long int64
		if cell, long, rest, err = readJoinedCell(rest); err != nil {
			return 0, nil, nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		if long > 0 {
			longs = withLong(longs, i, long)
		}
		arena = append(arena, cell)
	}
	if len(rest) > 0 {
		return 0, nil, nil, fmt.Errorf("%d bytes behind the last column", len(rest))
	}
	return rowid, arena, longs, nil
}

func readJoinedCell(b []byte) (c fingerprint.Cell, long int64, rest []byte, err error) {
	if len(b) == 0 {
		return c, 0, nil, fmt.Errorf("a value is missing")
	}
	kind := b[0]
	end := byte(';')
	if kind == 't' {
		end = ':'
	}
	n := bytes.IndexByte(b, end)
	if n < 0 {
		return c, 0, nil, fmt.Errorf("a value does not end")
	}
	content, rest := b[1:n], b[n+1:]
	switch kind {
	case 'n':
		if len(content) > 0 {
			err = fmt.Errorf("a NULL with content")
		}
		c.Type = fingerprint.Null
	case 'i':
		c.Type = fingerprint.Integer
		c.Int, err = strconv.ParseInt(string(content), 10, 64)
	case 'r':
		c.Type = fingerprint.Real
		c.Real, err = parseReal(string(content))
	case 't':
		var length int
		c.Type = fingerprint.Text
		if length, err = strconv.Atoi(string(content)); err == nil && (length < 0 || length > len(rest)) {
			err = fmt.Errorf("a text of %d bytes where %d are left", length, len(rest))
		}
		if err == nil {
			c.Bytes, rest = rest[:length:length], rest[length:]
		}
	case 'b':
		c.Type = fingerprint.Blob
		c.Bytes = make([]byte, hex.DecodedLen(len(content)))
		_, err = hex.Decode(c.Bytes, content)
	case 'T', 'B':
		c.Type = fingerprint.Type(kind | 0x20)
		if long, err = strconv.ParseInt(string(content), 10, 64); err == nil && long <= largeCell {
			err = fmt.Errorf("a long value of %d bytes", long)
		}
	default:
		err = fmt.Errorf("a value of unknown type %q", kind)
	}
	return c, long, rest, err
}

func parseReal(s string) (float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if math.IsNaN(f) {
		err = fmt.Errorf("a real that is no number")
	}
	return f, err
}

// cellSQL gives the expression that reads a value with its exact type:
// quote() would cut texts at a NUL, and JSON would round numbers.
func cellSQL(expr string) string {
	return "CASE typeof(" + expr + ") WHEN 'null' THEN 'n' WHEN 'integer' THEN 'i'||" + expr +
		" WHEN 'real' THEN 'r'||" + realSQL(expr) + " ELSE substr(typeof(" + expr + "),1,1)||" +
		"CASE WHEN length(CAST(" + expr + " AS BLOB))>" + strconv.Itoa(largeCell) +
		" THEN '@'||length(CAST(" + expr + " AS BLOB)) ELSE hex(" + expr + ") END END"
}

// literal gives the SQL literal of a cell, exact and without affinity.
func literal(c fingerprint.Cell) string {
	switch c.Type {
	case fingerprint.Integer:
		return strconv.FormatInt(c.Int, 10)
	case fingerprint.Real:
		return string(backup.AppendLiteral(nil, c))
	case fingerprint.Text:
		return "+CAST(x'" + hex.EncodeToString(c.Bytes) + "' AS TEXT)"
	case fingerprint.Blob:
		return "x'" + hex.EncodeToString(c.Bytes) + "'"
	}
	return "NULL"
}

// parseCell reads what [cellSQL] gave. large is the length of a value that
// has to be read in pieces, 0 for others.
func parseCell(s string) (c fingerprint.Cell, large int64, err error) {
	if s == "" {
		return c, 0, fmt.Errorf("a value without type")
	}
	rest := s[1:]
	switch s[0] {
	case 'n':
		return fingerprint.Cell{Type: fingerprint.Null}, 0, nil
	case 'i':
		n, err := strconv.ParseInt(rest, 10, 64)
		return fingerprint.Cell{Type: fingerprint.Integer, Int: n}, 0, err
	case 'r':
		f, err := parseReal(rest)
		return fingerprint.Cell{Type: fingerprint.Real, Real: f}, 0, err
	case 't', 'b':
		c.Type = fingerprint.Type(s[0])
		if length, is := strings.CutPrefix(rest, "@"); is {
			large, err = strconv.ParseInt(length, 10, 64)
			if err == nil && large <= 0 {
				err = fmt.Errorf("a large value of %d bytes", large)
			}
			return c, large, err
		}
		c.Bytes, err = hex.DecodeString(rest)
		return c, 0, err
	}
	return c, 0, fmt.Errorf("a value of unknown type %q", s[:1])
}
