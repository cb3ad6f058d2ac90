package cloudflare

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"

	"firedrill"
	"firedrill/internal/backup"
	"firedrill/internal/fingerprint"
)

const (
	firstPage  = 64        // rows asked for first
	largestSet = 5000      // rows of one page at most
	pageBytes  = 1_500_000 // what a page should weigh
	largeCell  = 100_000   // bytes; what is longer is read in pieces
	pieceBytes = 400_000   // of a large cell at a time
)

// keyed is a row with the literal condition parts by which it is found again.
type keyed struct {
	fingerprint.Row
	Rowid    int64 // if the table has one
	Position []fingerprint.Cell
}

// cellSQL gives the expression that reads a value with its exact type:
// quote() would cut texts at a NUL, and JSON would round numbers.
func cellSQL(expr string) string {
	return "CASE typeof(" + expr + ") WHEN 'null' THEN 'n' WHEN 'integer' THEN 'i'||" + expr +
		// printf() does not tell -0.0 from 0.0.
		" WHEN 'real' THEN 'r'||CASE WHEN " + expr + "=0 AND atan2(" + expr + ",-1)<0 THEN '-0' ELSE printf('%!.17e'," + expr + ") END ELSE substr(typeof(" + expr + "),1,1)||" +
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
		f, err := strconv.ParseFloat(rest, 64)
		if math.IsNaN(f) {
			return c, 0, fmt.Errorf("a real that is no number")
		}
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

// eachRow reads all rows of a table page by page, in the order of its key.
// where is an additional condition, "" for none. An error of visit ends it.
func (d *d1) eachRow(ctx context.Context, op string, t table, where string, visit func(keyed) error) error {
	return d.eachRowAfter(ctx, op, t, where, nil, visit)
}

// eachRowAfter reads the rows behind a position; nil: all.
func (d *d1) eachRowAfter(ctx context.Context, op string, t table, where string, after []fingerprint.Cell, visit func(keyed) error) error {
	if t.Rowid == "" && len(t.PrimaryKey) == 0 {
		return &firedrill.Error{Op: op, Kind: firedrill.KindUnsupported, Target: "table " + t.Name + " of database " + d.db.Name,
			Detail: "hides its rowid behind columns of that name and has no key to read it by", Remedy: "rename one of its columns rowid, oid, _rowid_"}
	}
	limit := firstPage
	for {
		rows, size, err := d.page(ctx, op, t, where, after, limit, 0)
		if err != nil {
			// The answer may have been too large: ask for less before giving up.
			if kind := firedrill.KindOf(err); limit > 1 && (kind == firedrill.KindInvalid || kind == firedrill.KindCorrupt) {
				limit = max(1, limit/8)
				continue
			}
			return err
		}
		for _, r := range rows {
			if err := visit(r); err != nil {
				return err
			}
		}
		if len(rows) < limit {
			return nil
		}
		after = rows[len(rows)-1].Position
		limit = min(largestSet, 4*limit, max(1, limit*pageBytes/max(1, size)))
	}
}

// order gives the columns by which a table is read, quoted.
func (t table) order() []string {
	if t.Rowid != "" {
		return []string{t.Rowid}
	}
	var out []string
	for _, c := range t.PrimaryKey {
		out = append(out, quoted(c))
	}
	return out
}

// page reads up to limit rows after a position, offset of them passed over,
// and tells what they weigh.
func (d *d1) page(ctx context.Context, op string, t table, where string, after []fingerprint.Cell, limit, offset int) ([]keyed, int, error) {
	var exprs []string
	for i, c := range t.Columns {
		e := cellSQL(quoted(c.Name))
		if i == 0 && t.Rowid != "" {
			// The rowid travels in front of the first value: one more column
			// could be one too many for the platform.
			e = t.Rowid + "||':'||" + e
		}
		exprs = append(exprs, e)
	}
	var conditions []string
	if where != "" {
		conditions = append(conditions, "("+where+")")
	}
	order := t.order()
	if after != nil {
		var values []string
		for _, c := range after {
			values = append(values, literal(c))
		}
		conditions = append(conditions, "("+strings.Join(order, ",")+")>("+strings.Join(values, ",")+")")
	}
	q := "SELECT " + strings.Join(exprs, ",") + " FROM " + quoted(t.Name)
	if len(conditions) > 0 {
		q += " WHERE " + strings.Join(conditions, " AND ")
	}
	q += " ORDER BY " + strings.Join(order, ",") + " LIMIT " + strconv.Itoa(limit)
	if offset > 0 {
		q += " OFFSET " + strconv.Itoa(offset)
	}
	sets, err := d.run(ctx, op, true, statement(q))
	if err != nil {
		return nil, 0, err
	}
	var rows []keyed
	size := 0
	for _, values := range sets[0].Rows {
		row, weight, err := d.readRow(ctx, op, t, values)
		if err != nil {
			return nil, 0, err
		}
		size += weight
		rows = append(rows, row)
	}
	return rows, size, nil
}

func (d *d1) readRow(ctx context.Context, op string, t table, values []any) (keyed, int, error) {
	broken := func(err error) (keyed, int, error) {
		return keyed{}, 0, &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: "table " + t.Name + " of database " + d.db.Name, Detail: "a row cannot be read", Err: err}
	}
	if len(values) != len(t.Columns) {
		return broken(fmt.Errorf("%d values for %d columns", len(values), len(t.Columns)))
	}
	var row keyed
	weight := 0
	larges := map[int]int64{}
	for i, v := range values {
		s, ok := v.(string)
		if !ok {
			return broken(fmt.Errorf("column %s: a text was expected, not %T", t.Columns[i].Name, v))
		}
		weight += len(s)
		if i == 0 && t.Rowid != "" {
			id, rest, found := strings.Cut(s, ":")
			n, err := strconv.ParseInt(id, 10, 64)
			if !found || err != nil {
				return broken(fmt.Errorf("a row without rowid"))
			}
			row.Rowid, s = n, rest
		}
		c, large, err := parseCell(s)
		if err != nil {
			return broken(fmt.Errorf("column %s: %w", t.Columns[i].Name, err))
		}
		if large > 0 {
			larges[i] = large
		}
		row.Cells = append(row.Cells, c)
	}
	row.Position = t.position(row)
	for i, length := range larges {
		b, err := d.large(ctx, op, t, row, t.Columns[i].Name, length)
		if err != nil {
			return keyed{}, 0, err
		}
		row.Cells[i].Bytes = b
		weight += len(b)
	}
	row.Position = t.position(row)
	row.Key = t.key(row)
	return row, weight, nil
}

// position is what a row is found by: its rowid, or its primary key.
func (t table) position(row keyed) []fingerprint.Cell {
	if t.Rowid != "" {
		return []fingerprint.Cell{{Type: fingerprint.Integer, Int: row.Rowid}}
	}
	return t.cells(row, t.PrimaryKey)
}

func (t table) cells(row keyed, columns []string) []fingerprint.Cell {
	var out []fingerprint.Cell
	for _, name := range columns {
		for i, c := range t.Columns {
			if strings.EqualFold(c.Name, name) {
				out = append(out, row.Cells[i])
			}
		}
	}
	return out
}

// key names a row for people: by its primary key, or by its rowid where it
// has none or the key holds NULL. The rowid of a table without alias is part
// of the row, because a restore must bring it back too.
func (t table) key(row keyed) string {
	cells := t.cells(row, t.PrimaryKey)
	for _, c := range cells {
		if c.Type == fingerprint.Null {
			cells = nil
			break
		}
	}
	if len(cells) == 0 {
		return "rowid=" + strconv.FormatInt(row.Rowid, 10)
	}
	return fingerprint.Key(t.PrimaryKey, cells)
}

// at gives the condition that finds one row.
func (t table) at(position []fingerprint.Cell) string {
	var parts []string
	for i, column := range t.order() {
		parts = append(parts, column+"="+literal(position[i]))
	}
	return strings.Join(parts, " AND ")
}

// large reads a long value piece by piece.
func (d *d1) large(ctx context.Context, op string, t table, row keyed, column string, length int64) ([]byte, error) {
	var out []byte
	for int64(len(out)) < length {
		q := fmt.Sprintf("SELECT hex(substr(CAST(%s AS BLOB),%d,%d)) FROM %s WHERE %s", quoted(column), len(out)+1, pieceBytes, quoted(t.Name), t.at(row.Position))
		sets, err := d.run(ctx, op, true, statement(q))
		if err != nil {
			return nil, err
		}
		changed := &firedrill.Error{Op: op, Kind: firedrill.KindConflict, Target: "table " + t.Name + " of database " + d.db.Name,
			Detail: "a row changed while it was read", Remedy: "stop the writers, then repeat"}
		if len(sets[0].Rows) != 1 {
			return nil, changed
		}
		text, err := hexText(sets[0].Rows[0][0])
		if err != nil || text == "" {
			return nil, changed
		}
		out = append(out, text...)
	}
	if int64(len(out)) != length {
		return nil, &firedrill.Error{Op: op, Kind: firedrill.KindConflict, Target: "table " + t.Name + " of database " + d.db.Name,
			Detail: "a value changed while it was read", Remedy: "stop the writers, then repeat"}
	}
	return out, nil
}
