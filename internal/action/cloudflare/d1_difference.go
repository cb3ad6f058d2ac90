package cloudflare

import (
	"fmt"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/fingerprint"
)

// shownDifferences bounds how many differences are listed one by one.
const shownDifferences = 20

// rowChange is a row that differs, as an output shows it.
type rowChange struct {
	Table   string         `json:"table"`
	Key     string         `json:"key"`
	How     string         `json:"how"` // changed, missing, extra
	Columns []columnChange `json:"columns"`
}

// columnChange is a column of it. A value that was not kept, or is not there, is
// empty; one that the plan hides is "[redacted]".
type columnChange struct {
	Column string `json:"column"`
	Before string `json:"before"`
	After  string `json:"after"`
	Note   string `json:"note,omitempty"` // where long values differ
}

// differences gathers the rows that a comparison shows: the first ones with their
// values.
type differences struct {
	schema schema
	hide   redaction
	values *valueReader // nil: none were kept
	rows   []rowChange
	read   []tally // how many rows of each table the new state gave
}

// key gives the key of a row as people may see it.
func (x *differences) key(r fingerprint.RowDifference) string {
	t, known := x.schema.table(r.Table)
	key := t.PrimaryKey
	if !known { // the table is gone, and with it what its key was
		key = r.Before
	}
	if !x.hide.any(r.Table, key) {
		return r.Key
	}
	if len(r.Position) == 1 && r.Position[0].Type == fingerprint.Integer && (!known || t.Rowid != "") {
		if known && x.hide.hides(r.Table, t.RowidAlias) {
			return t.RowidAlias + "=" + redacted
		}
		return "rowid=" + r.Position[0].String()
	}
	var parts []string
	for i, name := range t.PrimaryKey {
		if i < len(r.Position) && !x.hide.hides(r.Table, name) {
			parts = append(parts, fingerprint.Key([]string{name}, r.Position[i:i+1]))
			continue
		}
		parts = append(parts, name+"="+redacted)
	}
	if len(parts) == 0 {
		return "a row " + redacted
	}
	return strings.Join(parts, " ")
}

// add takes a row. The values of one that is not shown are not looked up.
func (x *differences) add(r fingerprint.RowDifference) error {
	if len(x.rows) == shownDifferences {
		return nil
	}
	c, err := x.change(r)
	if err == nil {
		x.rows = append(x.rows, c)
	}
	return err
}

// change gives a row with the values that differ.
func (x *differences) change(r fingerprint.RowDifference) (rowChange, error) {
	c := rowChange{Table: r.Table, Key: x.key(r), How: r.How, Columns: []columnChange{}}
	before, hidden, err := x.values.row(r.Values, r.Index)
	if err != nil {
		return c, err
	}
	if before != nil && len(before) != len(r.Before) {
		return c, changedFingerprint("its values", fmt.Errorf("table %s: %d values for %d columns", r.Table, len(before), len(r.Before)))
	}
	names := r.After
	if r.How == fingerprint.Missing {
		names = r.Before
	}
	for i, name := range names {
		b := slices.Index(r.Before, name)
		var old, now *fingerprint.Cell
		if b >= 0 && before != nil {
			old = &before[b]
		}
		if r.Row != nil {
			now = &r.Row[i]
		}
		if column, differs := x.column(r, name, old, now, b >= 0 && before != nil && hidden[b]); differs {
			c.Columns = append(c.Columns, column)
		}
	}
	return c, nil
}

// column tells how a column differs. wasHidden says that of the old value only a
// digest was kept.
func (x *differences) column(r fingerprint.RowDifference, name string, old, now *fingerprint.Cell, wasHidden bool) (columnChange, bool) {
	out := columnChange{Column: name}
	hide := wasHidden || x.hide.hides(r.Table, name)
	if r.How == fingerprint.Changed {
		if old == nil {
			return out, false // what was not kept cannot be told
		}
		same := now
		if wasHidden {
			digest := hiddenCell(*now)
			same = &digest
		}
		if sameValue(*old, *same) {
			return out, false
		}
	}
	switch {
	case hide && old != nil && now != nil:
		out.Before, out.After, out.Note = redacted, redacted, "another value"
	case hide && old != nil:
		out.Before = redacted
	case hide && now != nil:
		out.After = redacted
	default:
		if old != nil {
			out.Before = old.String()
		}
		if now != nil {
			out.After = now.String()
		}
		if old != nil && now != nil {
			out.Note = whereDifferent(*old, *now)
		}
	}
	return out, old != nil || now != nil
}

// whereDifferent says of long values of one type how long they are and at which
// byte they begin to differ; what is short is shown whole.
func whereDifferent(a, b fingerprint.Cell) string {
	const short = 20
	if a.Type != b.Type || a.Type != fingerprint.Text && a.Type != fingerprint.Blob || len(a.Bytes) <= short && len(b.Bytes) <= short {
		return ""
	}
	n := 0
	for n < len(a.Bytes) && n < len(b.Bytes) && a.Bytes[n] == b.Bytes[n] {
		n++
	}
	return fmt.Sprintf("%s, then %s; the first %s are the same", count(len(a.Bytes), "byte"), grouped(int64(len(b.Bytes))), grouped(int64(n)))
}

// String says in one line what differs: `tenants id=812 column plan: "pro" is now
// "free"`.
func (c rowChange) String() string {
	text := c.Table + " " + c.Key
	if c.How != fingerprint.Changed {
		return text + " is " + c.How
	}
	if len(c.Columns) == 0 {
		return text + " differs"
	}
	const most = 3
	var parts []string
	for i, col := range c.Columns {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more columns", len(c.Columns)-i))
			break
		}
		part := "column " + col.Column + ": " + col.Before + " is now " + col.After
		if col.After == redacted && col.Before == redacted {
			part = "column " + col.Column + ": " + redacted + " is now another value"
		} else if col.Note != "" {
			part += " (" + col.Note + ")"
		}
		parts = append(parts, part)
	}
	return text + " " + strings.Join(parts, ", ")
}

// equality says in one line what was compared and what differs.
func equality(diff fingerprint.Difference, level fingerprint.Level, rows []rowChange) string {
	if !diff.Differs() {
		switch {
		case level == fingerprint.Quick:
			return fmt.Sprintf("%s and %s of a sample equal, which proves nothing", count(diff.ComparedRows, "row"), count(diff.ComparedObjects, "schema entry"))
		case diff.ComparedRows == 0:
			return "nothing was compared: the database has no rows"
		}
		return fmt.Sprintf("%s of %s equal", grouped(diff.ComparedRows), count(diff.ComparedRows, "row"))
	}
	var parts []string
	if n := diff.Rows(); n > 0 {
		verb := "differ"
		if n == 1 {
			verb = "differs"
		}
		text := fmt.Sprintf("%s of %s %s", grouped(n), count(diff.ComparedRows, "row"), verb)
		if len(rows) > 0 {
			text += ": " + rows[0].String()
		}
		parts = append(parts, text)
	}
	for i, o := range diff.Objects {
		if i == 3 {
			parts = append(parts, fmt.Sprintf("and %d more schema entries", len(diff.Objects)-i))
			break
		}
		parts = append(parts, o.Object.String()+" is "+o.How)
	}
	for _, t := range diff.Columns {
		parts = append(parts, "table "+t+" has other columns")
	}
	for _, c := range diff.Counts {
		parts = append(parts, otherCount(c))
	}
	return strings.Join(parts, "; ")
}

func otherCount(c fingerprint.CountDifference) string {
	if c.Before == c.After {
		return fmt.Sprintf("table %s has other outermost rows", c.Table)
	}
	return fmt.Sprintf("table %s has %s instead of %s", c.Table, count(c.After, "row"), grouped(c.Before))
}

// summarize gives the outputs of a comparison.
func summarize(diff fingerprint.Difference, rows []rowChange) compareOut {
	out := compareOut{Equal: diff.Equal(), Rows: diff.ComparedRows, Objects: diff.ComparedObjects,
		Differing: diff.Rows(), Schema: int64(len(diff.Objects) + len(diff.Columns)), Tables: append([]string{}, diff.Tables...), Differences: []string{}, Changes: []firedrill.Values{}}
	for _, o := range diff.Objects {
		out.Differences = append(out.Differences, o.Object.String()+" is "+o.How)
	}
	for _, t := range diff.Columns {
		out.Differences = append(out.Differences, "table "+t+" has other columns")
	}
	for _, c := range diff.Counts {
		out.Differences = append(out.Differences, otherCount(c))
	}
	for _, r := range rows {
		out.Differences = append(out.Differences, r.String())
		out.Changes = append(out.Changes, r.values())
	}
	slices.Sort(out.Tables)
	return out
}

// values gives the change as an output.
func (c rowChange) values() firedrill.Values {
	columns := []any{}
	for _, col := range c.Columns {
		v := map[string]any{"column": col.Column, "before": col.Before, "after": col.After}
		if col.Note != "" {
			v["note"] = col.Note
		}
		columns = append(columns, v)
	}
	return firedrill.Values{"table": c.Table, "key": c.Key, "how": c.How, "columns": columns}
}
