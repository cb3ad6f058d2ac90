package cloudflare

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/fingerprint"
)

const (
	sampleRanges = 8   // of a table, at the level quick
	sampleRows   = 100 // of one of them
)

// extent is how many rows a table has, and the positions of the first and the last.
type extent struct {
	rows        int64
	first, last []byte
}

func (d *d1) extent(ctx context.Context, op string, t table) (extent, error) {
	broken := func(err error) (extent, error) {
		return extent{}, &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: "table " + t.Name + " of database " + d.db.Name, Detail: "its outermost rows cannot be read", Err: err}
	}
	if len(t.order()) == 0 {
		return broken(fmt.Errorf("it has no key to read it by"))
	}
	var columns, backward []string
	for _, name := range t.positionNames() {
		columns = append(columns, cellSQL(name))
	}
	for _, by := range t.order() {
		backward = append(backward, by+" DESC")
	}
	outermost := func(order []string) statement {
		return statement("SELECT " + strings.Join(columns, ",") + " FROM " + quoted(t.Name) + " ORDER BY " + strings.Join(order, ",") + " LIMIT 1")
	}
	sets, err := d.run(ctx, op, true, statement("SELECT CAST(count(*) AS TEXT) FROM "+quoted(t.Name)), outermost(t.order()), outermost(backward))
	if err != nil {
		return extent{}, err
	}
	var out extent
	if len(sets[0].Rows) != 1 {
		return broken(fmt.Errorf("a count of %d rows", len(sets[0].Rows)))
	}
	if out.rows, err = whole(sets[0].Rows[0][0]); err != nil {
		return broken(err)
	}
	for i, into := range []*[]byte{&out.first, &out.last} {
		var position []fingerprint.Cell
		for _, row := range sets[i+1].Rows {
			for _, v := range row {
				text, is := v.(string)
				c, long, err := parseCell(text)
				if !is || err != nil || long > 0 {
					return broken(fmt.Errorf("a key of unknown form"))
				}
				position = append(position, c)
			}
		}
		if len(position) > 0 {
			*into = fingerprint.Outermost(position)
		}
	}
	return out, nil
}

// positionNames gives the names by which a row's position is read, without
// collations.
func (t table) positionNames() []string {
	if t.Rowid != "" {
		return []string{t.Rowid}
	}
	var out []string
	for _, c := range t.PrimaryKey {
		out = append(out, quoted(c))
	}
	return out
}

// sample writes what the level quick reads of a table: some ranges at equal
// distances, the first rows among them.
func (r *recorder) sample(ctx context.Context, t table) (int64, error) {
	e, err := r.d.extent(ctx, r.op, t)
	if err != nil {
		return 0, err
	}
	var last []fingerprint.Cell
	for i := range sampleRanges {
		passed := 0
		if i > 0 {
			passed = int(max(0, e.rows/sampleRanges-sampleRows))
		}
		rows, _, err := r.d.page(ctx, r.op, t, "", last, sampleRows, passed)
		if err != nil {
			return 0, err
		}
		for _, k := range rows {
			if err := r.row(t, k); err != nil {
				return 0, err
			}
			last = k.Position
		}
		if err := r.endRange(); err != nil {
			return 0, err
		}
		if len(rows) < sampleRows {
			break
		}
	}
	return e.rows, r.w.EndSample(e.rows, e.first, e.last)
}

// between gives the condition for the rows of a range.
func (t table) between(span fingerprint.Range) string {
	side := func(sign string, position []fingerprint.Cell) string {
		var values []string
		for _, c := range position {
			values = append(values, literal(c))
		}
		return "(" + strings.Join(t.order(), ",") + ")" + sign + "(" + strings.Join(values, ",") + ")"
	}
	return side(">=", span.Entries[0].Position) + " AND " + side("<=", span.Entries[len(span.Entries)-1].Position)
}

// compareSample compares a database with a fingerprint at the level quick. visit is
// shown the rows that differ.
func (d *d1) compareSample(ctx context.Context, op string, call firedrill.Call, file string, s schema, visit func(fingerprint.RowDifference) error) (fingerprint.Difference, error) {
	ranges, err := countRanges(call, file)
	if err != nil {
		return fingerprint.Difference{}, err
	}
	f, old, err := openFingerprint(call, file)
	if err != nil {
		return fingerprint.Difference{}, err
	}
	defer func() { _ = f.Close() }() // it was only read
	c := fingerprint.NewSample(old.Header().Objects, s.objects(), visit)
	seen := map[string]bool{}
	for {
		before, more, err := old.Table()
		if err != nil {
			return fingerprint.Difference{}, changedFingerprint(file, err)
		}
		if !more {
			break
		}
		seen[before.Name] = true
		i := slices.IndexFunc(s.Tables, func(t table) bool { return t.Name == before.Name })
		var t table
		var after fingerprint.Table
		var now extent
		if i >= 0 {
			t = s.Tables[i]
			if err := d.readable(op, t); err != nil {
				return fingerprint.Difference{}, err
			}
			if now, err = d.extent(ctx, op, t); err != nil {
				return fingerprint.Difference{}, err
			}
			after = t.shape()
		}
		for n := 0; ; n++ {
			span, more, err := old.Range()
			if err != nil {
				return fingerprint.Difference{}, changedFingerprint(file, err)
			}
			if !more {
				break
			}
			step := max(1, ranges[before.Name]/sampleRanges)
			if n%step != 0 || !slices.Equal(before.Order, after.Order) {
				continue
			}
			var rows []fingerprint.Row
			var positions [][]fingerprint.Cell
			if err := d.eachRow(ctx, op, t, t.between(span), func(k keyed) error {
				rows, positions = append(rows, t.rowOf(k, nil)), append(positions, k.Position)
				return nil
			}); err != nil {
				return fingerprint.Difference{}, err
			}
			if err := c.Rows(before, after, span, rows, positions); err != nil {
				return fingerprint.Difference{}, err
			}
		}
		c.Table(before, after, old.End(), fingerprint.TableEnd{Rows: now.rows, First: now.first, Last: now.last})
	}
	for _, t := range s.Tables {
		if seen[t.Name] {
			continue
		}
		now, err := d.extent(ctx, op, t)
		if err != nil {
			return fingerprint.Difference{}, err
		}
		c.Table(fingerprint.Table{}, t.shape(), fingerprint.TableEnd{}, fingerprint.TableEnd{Rows: now.rows, First: now.first, Last: now.last})
	}
	return c.Finish(), nil
}

// countRanges reads a fingerprint once, to its end, and counts the ranges of each
// table.
func countRanges(call firedrill.Call, file string) (map[string]int, error) {
	f, r, err := openFingerprint(call, file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	out := map[string]int{}
	for {
		t, more, err := r.Table()
		if err != nil {
			return nil, changedFingerprint(file, err)
		}
		if !more {
			return out, nil
		}
		for {
			_, more, err := r.Range()
			if err != nil {
				return nil, changedFingerprint(file, err)
			}
			if !more {
				break
			}
			out[t.Name]++
		}
	}
}
