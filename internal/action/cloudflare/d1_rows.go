package cloudflare

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"firedrill"
	"firedrill/internal/fingerprint"
)

const (
	firstPage  = 64        // rows asked for first
	largestSet = 10_000    // rows of one page at most
	pageBytes  = 2_000_000 // what a page should weigh
	largeCell  = 100_000   // bytes; what is longer is read in pieces
	pieceBytes = 400_000   // of a large cell at a time
)

// keyed is a row with the literal condition parts by which it is found again.
type keyed struct {
	fingerprint.Row
	Rowid    int64 // if the table has one
	Position []fingerprint.Cell
}

// eachRow reads all rows of a table page by page, in the order of its key.
// where is an additional condition, "" for none. An error of visit ends it.
func (d *d1) eachRow(ctx context.Context, op string, t table, where string, visit func(keyed) error) error {
	return d.eachRowAfter(ctx, op, t, where, nil, visit)
}

// eachRowAfter reads the rows behind a position; nil: all. While visit works on
// the rows of a page, the next page is on its way, and no other.
func (d *d1) eachRowAfter(ctx context.Context, op string, t table, where string, after []fingerprint.Cell, visit func(keyed) error) error {
	if t.Rowid == "" && len(t.PrimaryKey) == 0 {
		return &firedrill.Error{Op: op, Kind: firedrill.KindUnsupported, Target: "table " + t.Name + " of database " + d.db.Name,
			Detail: "hides its rowid behind columns of that name and has no key to read it by", Remedy: "rename one of its columns rowid, oid, _rowid_"}
	}
	ctx, cancel := context.WithCancel(ctx)
	pages := make(chan []keyed)
	var failed error // once pages is closed
	go func() {
		defer close(pages)
		failed = d.eachPage(ctx, op, t, where, after, func(rows []keyed) error {
			select {
			case pages <- rows:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	defer func() {
		cancel()
		for range pages { // the reader is gone when this function returns
			continue
		}
	}()
	for rows := range pages {
		for _, r := range rows {
			if err := visit(r); err != nil {
				return err
			}
		}
	}
	return failed
}

// eachPage reads the rows behind a position in pages of a size that suits.
func (d *d1) eachPage(ctx context.Context, op string, t table, where string, after []fingerprint.Cell, take func([]keyed) error) error {
	limit, form := firstPage, joined
	for {
		rows, size, err := d.pageIn(ctx, op, t, where, after, limit, 0, &form)
		if err != nil {
			// The answer may have been too large: ask for less before giving up.
			kind := firedrill.KindOf(err)
			switch {
			case kind != firedrill.KindInvalid && kind != firedrill.KindCorrupt:
				return err
			case limit > 1:
				limit = max(1, limit/8)
			case form == joined:
				form = apart // a row may be longer than a text can be
			default:
				return err
			}
			continue
		}
		if err := take(rows); err != nil {
			return err
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
	for i, c := range t.PrimaryKey {
		by := quoted(c)
		if i < len(t.Collations) {
			// The key's own collation, which need not be the column's: only by that is no
			// row like another.
			by += " COLLATE " + t.Collations[i]
		}
		out = append(out, by)
	}
	return out
}

// page reads up to limit rows after a position, offset of them passed over,
// and tells what they weigh.
func (d *d1) page(ctx context.Context, op string, t table, where string, after []fingerprint.Cell, limit, offset int) ([]keyed, int, error) {
	form := joined
	return d.pageIn(ctx, op, t, where, after, limit, offset, &form)
}

// pageIn reads a page in a form. If the joined form did not come through whole it
// reads the page again in the form that every value survives, and leaves that form
// behind for the pages to come.
func (d *d1) pageIn(ctx context.Context, op string, t table, where string, after []fingerprint.Cell, limit, offset int, form *rowForm) ([]keyed, int, error) {
	got, err := d.texts(ctx, op, t.selects(*form, where, after, limit, offset))
	if err != nil {
		return nil, 0, err
	}
	size := 0
	out := make([]keyed, got.len())
	arena := make([]fingerprint.Cell, 0, len(out)*(len(t.Columns)+len(t.order())))
	for i := range out {
		from := len(arena)
		row := &out[i]
		var longs map[int]int64
		row.Rowid, arena, longs, err = form.read(t, got.row(i), arena)
		if err != nil && *form == joined {
			*form = apart
			return d.pageIn(ctx, op, t, where, after, limit, offset, form)
		}
		if err != nil {
			return nil, 0, &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: "table " + t.Name + " of database " + d.db.Name, Detail: "a row cannot be read", Err: err}
		}
		for _, v := range got.row(i) {
			size += len(v)
		}
		row.Cells = arena[from:len(arena):len(arena)]
		row.Position, arena = t.position(*row, arena)
		for column, length := range longs {
			if row.Cells[column].Bytes, err = d.large(ctx, op, t, *row, t.Columns[column].Name, length); err != nil {
				return nil, 0, err
			}
			size += int(length)
		}
		if len(longs) > 0 {
			row.Position, arena = t.position(*row, arena)
		}
		row.Key = t.key(*row)
	}
	return out, size, nil
}

// selects gives the question for a page.
func (t table) selects(form rowForm, where string, after []fingerprint.Cell, limit, offset int) string {
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
	q := "SELECT " + form.columns(t) + " FROM " + quoted(t.Name)
	if len(conditions) > 0 {
		q += " WHERE " + strings.Join(conditions, " AND ")
	}
	q += " ORDER BY " + strings.Join(order, ",") + " LIMIT " + strconv.Itoa(limit)
	if offset > 0 {
		q += " OFFSET " + strconv.Itoa(offset)
	}
	return q
}

// position is what a row is found by: its rowid, or its primary key. It stands in
// the arena.
func (t table) position(row keyed, arena []fingerprint.Cell) (position, rest []fingerprint.Cell) {
	from := len(arena)
	if t.Rowid != "" {
		arena = append(arena, fingerprint.Cell{Type: fingerprint.Integer, Int: row.Rowid})
	} else {
		arena = append(arena, t.cells(row, t.PrimaryKey)...)
	}
	return arena[from:len(arena):len(arena)], arena
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
