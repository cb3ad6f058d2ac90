package backup

import (
	"context"
	"io"
	"slices"
	"strconv"
	"strings"

	"firedrill/internal/fingerprint"
)

// SQLReader is a database that is read with the exact type of every value.
type SQLReader interface {
	// Bookmark gives the present point in time: two equal ones mean that nobody
	// wrote between them.
	Bookmark(ctx context.Context) (string, error)
	Schema(ctx context.Context) (SQLSchema, error)
	// Rows hands on the rows of a table in the order of the rowid, or of the key
	// where there is none; those behind a row if after is not nil.
	Rows(ctx context.Context, t SQLTable, after *SQLRow, visit func(SQLRow) error) error
	// Ask gives the answer to one question in SQL whose columns are texts or
	// integers; NULL is the empty text.
	Ask(ctx context.Context, sql string) ([][]string, error)
}

// SQLSource is a database that is backed up.
type SQLSource interface {
	SQLReader
	// Exportable says why the platform's own export would not give everything
	// exactly; "" if nothing is known that speaks against it.
	Exportable(ctx context.Context) (why string, err error)
	// Export makes the export.
	Export(ctx context.Context) (SQLExport, error)
}

// SQLExport is SQL that the platform wrote, of one moment.
type SQLExport struct {
	Bookmark string
	Open     func(ctx context.Context) (io.ReadCloser, error)
}

// SQLSink is a database that is written.
type SQLSink interface {
	SQLReader
	// Import performs SQL as one transaction: all of it, or nothing.
	Import(ctx context.Context, body Body) error
	// Exec performs a statement that may be repeated.
	Exec(ctx context.Context, sql string) error
}

// SQLSchema is what is in a database. What [LeftOut] names, what SQLite keeps for
// itself and what belongs to a virtual table is not in it.
type SQLSchema struct {
	Objects []SQLObject
	Tables  []SQLTable // those whose rows are read
}

// SQLObject is a table, an index, a view or a trigger, with the SQL that makes it.
type SQLObject struct{ Type, Name, Table, SQL string }

// SQLTable is the shape of a table.
type SQLTable struct {
	Name    string
	Columns []string // without generated and hidden ones
	Key     []string // the columns of the primary key
	// Collations are those of the key of a table without rowid, column by column: the
	// order in which it is read. They need not be those of the columns.
	Collations []string
	// Rowid is the SQL by which the rowid is read; "" if there is none.
	Rowid string
	// Apart tells that the rowid is none of the columns, so it is kept beside them.
	Apart   bool
	Parents []string // tables that its foreign keys refer to
	// Module is what a virtual table is made by; "" for others.
	Module string
}

// SQLRow is a row: its rowid, if its table has one, and a cell for each column.
type SQLRow struct {
	Rowid int64
	Cells []fingerprint.Cell
}

// The tables that this program keeps for itself while it restores.
const (
	ownTables    = "_firedrill_"
	piecesTable  = ownTables + "pieces"
	restoreTable = ownTables + "restore"
	sequence     = "sqlite_sequence"
)

// LeftOut tells whether an entry of the schema is left out of backups: the
// platform's, this program's own, and what SQLite makes itself. The numbers of
// AUTOINCREMENT are not.
func LeftOut(name string) bool {
	n := strings.ToLower(name)
	return strings.HasPrefix(n, "_cf_") || strings.HasPrefix(n, ownTables) || strings.HasPrefix(n, "sqlite_") && n != sequence
}

// quoteName gives an SQL identifier.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// cells picks the cells of some columns.
func (t SQLTable) cells(r SQLRow, columns []string) []fingerprint.Cell {
	var out []fingerprint.Cell
	for _, name := range columns {
		if i := slices.IndexFunc(t.Columns, func(c string) bool { return strings.EqualFold(c, name) }); i >= 0 && i < len(r.Cells) {
			out = append(out, r.Cells[i])
		}
	}
	return out
}

// key names a row as a fingerprint does.
func (t SQLTable) key(r SQLRow) string {
	cells := t.cells(r, t.Key)
	if len(cells) == 0 || slices.ContainsFunc(cells, func(c fingerprint.Cell) bool { return c.Type == fingerprint.Null }) {
		return "rowid=" + strconv.FormatInt(r.Rowid, 10)
	}
	return fingerprint.Key(t.Key, cells)
}

// digest is what a row adds to the digest of its table.
func (t SQLTable) digest(r SQLRow) fingerprint.Sum {
	cells := r.Cells
	if t.Apart {
		cells = append(slices.Clone(cells), fingerprint.Cell{Type: fingerprint.Integer, Int: r.Rowid})
	}
	return fingerprint.Row{Key: t.key(r), Cells: cells}.Sum()
}

// ftsContent says where a full-text table keeps what is indexed.
type ftsContent int

const (
	ftsOwn      ftsContent = iota // in itself
	ftsExternal                   // in another table, from which it is built again
	ftsNone                       // nowhere: it cannot be read back
)

// contentOf reads the option content of an FTS5 table.
func contentOf(sql string) ftsContent {
	words := tokens(sql)
	for i := 0; i+2 < len(words); i++ {
		if !strings.EqualFold(unquoteWord(words[i]), "content") || words[i+1] != "=" || i == 0 || words[i-1] != "," && words[i-1] != "(" {
			continue
		}
		if unquoteWord(words[i+2]) == "" {
			return ftsNone
		}
		return ftsExternal
	}
	return ftsOwn
}

// Module gives what a virtual table is made by, in small letters.
func Module(sql string) string {
	words := tokens(sql)
	for i, w := range words {
		if strings.EqualFold(w, "USING") && i+1 < len(words) && i > 2 {
			return strings.ToLower(unquoteWord(words[i+1]))
		}
	}
	return ""
}

// unquoteWord takes the quotes off a token.
func unquoteWord(w string) string {
	if len(w) < 2 {
		return w
	}
	switch q := w[0]; q {
	case '\'', '"', '`':
		return strings.ReplaceAll(w[1:len(w)-1], string([]byte{q, q}), string(q))
	case '[':
		return w[1 : len(w)-1]
	}
	return w
}
