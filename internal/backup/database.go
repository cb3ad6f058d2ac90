package backup

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"firedrill"
	"firedrill/internal/fingerprint"
)

// Method says how a database is read for a backup.
type Method string

// The methods.
const (
	MethodAuto   Method = ""       // the export if it can be exact, else SQL
	MethodExport Method = "export" // the platform's own export
	MethodSQL    Method = "sql"    // table by table, with the exact type of each value
)

// Database says what the backup of a database holds.
type Database struct {
	// Bookmark is the point in time of the source that the backup is of.
	Bookmark string `json:"bookmark"`
	// Method tells how it was read.
	Method Method `json:"method"`
	// Compared tells whether every row was compared with the database itself at
	// the bookmark.
	Compared bool    `json:"compared"`
	Rows     int64   `json:"rows"`
	Tables   []Table `json:"tables"`
	// Schema is the sum of the digests of all entries of the schema: tables,
	// indexes, views, triggers. Objects counts them.
	Schema  fingerprint.Sum `json:"schema"`
	Objects int             `json:"objects"`
}

// Table counts the rows of a table.
type Table struct {
	Name   string          `json:"name"`
	Rows   int64           `json:"rows"`
	Digest fingerprint.Sum `json:"digest"` // sum of the digests of its rows
}

// add counts a table; that nothing was ever numbered is the same as an empty
// table of numbers.
func (d *Database) add(t Table) {
	if t.Name == sequence && t.Rows == 0 {
		return
	}
	d.Tables = append(d.Tables, t)
	d.Rows += t.Rows
}

// describe counts the entries of a schema.
func (d *Database) describe(s SQLSchema) {
	d.Schema, d.Objects = fingerprint.Sum{}, len(s.Objects)
	for _, o := range s.Objects {
		d.Schema = d.Schema.Add(fingerprint.HashText(o.Type, o.Name, o.Table, lineEnds(o.SQL)))
	}
}

// lineEnds makes one form of the line ends that stand outside of strings: the
// sqlite3 shell does so when it reads SQL.
func lineEnds(sql string) string {
	if !strings.Contains(sql, "\r") {
		return sql
	}
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(sql); i++ {
		c := sql[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
		case c == '\'' || c == '"' || c == '`':
			quote = c
		case c == '[':
			quote = ']'
		case c == '\r' && i+1 < len(sql) && sql[i+1] == '\n':
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// digest is one sum for everything.
func (d *Database) digest() fingerprint.Sum {
	sum := d.Schema
	for _, t := range d.Tables {
		sum = sum.Add(fingerprint.HashText("table", t.Name, strconv.FormatInt(t.Rows, 10), t.Digest.String()))
	}
	return sum
}

func (d *Database) sort() {
	slices.SortFunc(d.Tables, func(a, b Table) int { return cmp.Compare(a.Name, b.Name) })
}

// differs says in what two states of a database differ, and in which table; "" if
// in nothing.
func (d *Database) differs(got Database) (how, table string) {
	there := map[string]Table{}
	for _, t := range got.Tables {
		there[t.Name] = t
	}
	for _, t := range d.Tables {
		g, ok := there[t.Name]
		switch {
		case !ok:
			return "table " + t.Name + " is missing", t.Name
		case g.Rows != t.Rows:
			return fmt.Sprintf("table %s has %d rows instead of %d", t.Name, g.Rows, t.Rows), t.Name
		case g.Digest != t.Digest:
			return fmt.Sprintf("table %s has other rows", t.Name), t.Name
		}
		delete(there, t.Name)
	}
	for _, t := range got.Tables {
		if _, extra := there[t.Name]; extra {
			return "table " + t.Name + " is there too", t.Name
		}
	}
	if d.Objects != got.Objects || d.Schema != got.Schema {
		return fmt.Sprintf("the schema is another one (%d entries, %d expected)", got.Objects, d.Objects), ""
	}
	return "", ""
}

// measure reads a database and says what it holds. progress is told the rows.
func measure(ctx context.Context, src SQLReader, progress func(rows int64)) (Database, error) {
	var d Database
	s, err := src.Schema(ctx)
	if err != nil {
		return d, err
	}
	d.describe(s)
	for _, t := range s.Tables {
		if derived(t, s) {
			continue
		}
		m := measuring{t: t}
		err := src.Rows(ctx, t, nil, func(r SQLRow) error {
			m.add(r)
			if progress != nil && (d.Rows+m.Rows)%1000 == 0 {
				progress(d.Rows + m.Rows)
			}
			return nil
		})
		if err != nil {
			return d, err
		}
		if err := m.all(ctx, src); err != nil {
			return d, err
		}
		d.add(m.Table)
	}
	d.sort()
	return d, nil
}

// derived tells whether what a table holds follows from others: it is made again,
// and not compared.
func derived(t SQLTable, s SQLSchema) bool {
	if t.Module == "" {
		return false
	}
	return t.Module != "fts5" || contentOf(s.sql(t.Name)) == ftsExternal
}

// sql gives the SQL that makes a table.
func (s SQLSchema) sql(table string) string {
	for _, o := range s.Objects {
		if o.Type == "table" && o.Name == table {
			return o.SQL
		}
	}
	return ""
}

// measuring adds up the rows of a table.
type measuring struct {
	Table
	t    SQLTable
	seen int64 // those that are left out included
}

// add counts a row, and tells whether it belongs to the backup: the numbers of
// tables that are left out do not.
func (m *measuring) add(r SQLRow) bool {
	m.Name = m.t.Name
	m.seen++
	if m.t.Name == sequence && len(r.Cells) > 0 && LeftOut(string(r.Cells[0].Bytes)) {
		return false
	}
	m.Rows++
	m.Digest = m.Digest.Add(m.t.digest(r))
	return true
}

// all asks the database itself how many rows there are: none may have been passed
// over.
func (m *measuring) all(ctx context.Context, src SQLReader) error {
	m.Name = m.t.Name
	answer, err := src.Ask(ctx, "SELECT count(*) FROM "+quoteName(m.t.Name))
	if err != nil {
		return err
	}
	if len(answer) != 1 || len(answer[0]) != 1 || answer[0][0] != strconv.FormatInt(m.seen, 10) {
		return &firedrill.Error{Op: "read the database", Kind: firedrill.KindConflict, Target: "table " + m.t.Name,
			Detail: fmt.Sprintf("%d rows were read, the database counts %v", m.seen, answer), Remedy: "stop the writers, then repeat"}
	}
	return nil
}
