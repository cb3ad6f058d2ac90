package cloudflare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/backup"
	"firedrill/internal/fingerprint"
)

// D1 is a database that is backed up and restored through the API.
type D1 struct {
	ID, Name string
	Size     int64 // bytes, as the platform says

	d  *d1
	op string
}

var (
	_ backup.SQLSource = (*D1)(nil)
	_ backup.SQLSink   = (*D1)(nil)
)

// D1 finds a database by its id or its name. op names what it is for in errors.
func (c *Client) D1(ctx context.Context, op, ref string, tell func(string)) (*D1, error) {
	d, err := c.database(ctx, op, ref, tell)
	if err != nil {
		return nil, err
	}
	return d.exported(op), nil
}

func (d *d1) exported(op string) *D1 {
	return &D1{ID: d.db.ID, Name: d.db.Name, Size: d.db.Size, d: d, op: op}
}

// Source names the database for a backup's manifest.
func (d *D1) Source() backup.Source {
	return backup.Source{API: d.d.c.API(), Account: d.d.c.Account(), Database: d.ID, Title: d.Name}
}

// Bookmark implements backup.SQLReader.
func (d *D1) Bookmark(ctx context.Context) (string, error) { return d.d.bookmark(ctx, d.op) }

// Schema implements backup.SQLReader.
func (d *D1) Schema(ctx context.Context) (backup.SQLSchema, error) {
	s, err := d.d.schema(ctx, d.op)
	if err != nil {
		return backup.SQLSchema{}, err
	}
	var out backup.SQLSchema
	shadow := map[string]bool{}
	for _, t := range s.Tables {
		shadow[t.Name] = t.Shadow
		if t.Shadow || backup.LeftOut(t.Name) {
			continue
		}
		out.Tables = append(out.Tables, s.described(t))
	}
	for _, o := range s.Objects {
		if !o.Auto && !backup.LeftOut(o.Name) && !backup.LeftOut(o.Table) && !shadow[o.Table] && o.Name != "sqlite_sequence" {
			out.Objects = append(out.Objects, backup.SQLObject{Type: o.Type, Name: o.Name, Table: o.Table, SQL: o.SQL})
		}
	}
	virtual, err := d.virtual(ctx, s)
	out.Tables = append(out.Tables, virtual...)
	return out, err
}

// described gives the shape of a table as backups know it.
func (s schema) described(t table) backup.SQLTable {
	out := backup.SQLTable{Name: t.Name, Key: t.PrimaryKey, Collations: t.Collations, Rowid: t.Rowid, Apart: t.Rowid != "" && t.RowidAlias == ""}
	for _, c := range t.Columns {
		if !c.Generated {
			out.Columns = append(out.Columns, c.Name)
		}
	}
	for _, k := range s.foreign {
		if k.Table == t.Name {
			out.Parents = append(out.Parents, k.Parent)
		}
	}
	if t.Name == "sqlite_sequence" { // its rows are what they say, in any order
		out.Key, out.Apart = []string{"name"}, false
	}
	return out
}

// virtual gives the shape of the virtual tables.
func (d *D1) virtual(ctx context.Context, s schema) ([]backup.SQLTable, error) {
	if len(s.Virtual) == 0 {
		return nil, nil
	}
	var ask []statement
	for _, name := range s.Virtual {
		ask = append(ask, statement("PRAGMA table_xinfo("+quoted(name)+")"))
	}
	sets, err := d.d.run(ctx, d.op, true, ask...)
	if err != nil {
		return nil, err
	}
	var out []backup.SQLTable
	for n, name := range s.Virtual {
		broken := func(err error) error {
			return &firedrill.Error{Op: d.op, Kind: firedrill.KindCorrupt, Target: "virtual table " + name + " of database " + d.Name, Detail: "cannot be understood", Err: err}
		}
		i, err := at(sets[n], "name", "hidden")
		if err != nil {
			return nil, broken(err)
		}
		t := backup.SQLTable{Name: name, Rowid: "rowid", Apart: true}
		for _, o := range s.Objects {
			if o.Type == "table" && o.Name == name {
				t.Module = backup.Module(o.SQL)
			}
		}
		for _, row := range sets[n].Rows {
			hidden, err := whole(row[i[1]])
			column, ok := row[i[0]].(string)
			if err != nil || !ok || t.Module == "" {
				return nil, broken(errors.Join(err, fmt.Errorf("a column of module %q", t.Module)))
			}
			if hidden == 0 {
				t.Columns = append(t.Columns, column)
			}
		}
		out = append(out, t)
	}
	return out, nil
}

// Rows implements backup.SQLReader.
func (d *D1) Rows(ctx context.Context, t backup.SQLTable, after *backup.SQLRow, visit func(backup.SQLRow) error) error {
	own := table{Name: t.Name, Rowid: t.Rowid, PrimaryKey: t.Key, Collations: t.Collations}
	for _, c := range t.Columns {
		own.Columns = append(own.Columns, column{Name: c})
	}
	var position []fingerprint.Cell
	if after != nil {
		position, _ = own.position(keyed{Row: fingerprint.Row{Cells: after.Cells}, Rowid: after.Rowid}, nil)
	}
	return d.d.eachRowAfter(ctx, d.op, own, "", position, func(r keyed) error {
		return visit(backup.SQLRow{Rowid: r.Rowid, Cells: r.Cells})
	})
}

// Ask implements backup.SQLReader.
func (d *D1) Ask(ctx context.Context, sql string) ([][]string, error) {
	sets, err := d.d.run(ctx, d.op, true, statement(sql))
	if err != nil {
		return nil, err
	}
	var out [][]string
	for _, row := range sets[0].Rows {
		texts := make([]string, len(row))
		for i, v := range row {
			switch v := v.(type) {
			case nil:
			case string:
				texts[i] = v
			case json.Number:
				texts[i] = v.String()
			default:
				return nil, &firedrill.Error{Op: d.op, Kind: firedrill.KindCorrupt, Target: "database " + d.Name, Detail: fmt.Sprintf("answers with a %T", v)}
			}
		}
		out = append(out, texts)
	}
	return out, nil
}

// Exec implements backup.SQLSink.
func (d *D1) Exec(ctx context.Context, sql string) error {
	_, err := d.d.repeat(ctx, d.op, statement(sql))
	return err
}

const (
	// exportable is the size up to which a database is exported: the SQL of a
	// larger one can be more than an import takes.
	exportable = 2_000_000_000
	// rowExportable is how long the values of a row may be: the statement that
	// makes the row has to be one that an import takes.
	rowExportable = 90_000
)

// Exportable implements backup.SQLSource. The platform's export has no virtual
// tables and no rowids, its numbers have been through JSON, and its texts were
// decoded. Every table is asked in one question for rows that this would change.
func (d *D1) Exportable(ctx context.Context) (string, error) {
	s, err := d.d.schema(ctx, d.op)
	if err != nil {
		return "", err
	}
	if len(s.Virtual) > 0 {
		return "the database has virtual tables (" + strings.Join(s.Virtual, ", ") + "), which the platform does not export", nil
	}
	if d.Size > exportable {
		return "the database is large", nil
	}
	own, err := d.Ask(ctx, "SELECT count(*) FROM sqlite_schema WHERE lower(substr(name,1,"+fmt.Sprint(len(ownPrefix))+"))='"+ownPrefix+"'")
	if err != nil {
		return "", err
	}
	if len(own) != 1 || own[0][0] != "0" {
		return "the database has tables that firedrill made for itself, which an export would hold", nil
	}
	for _, t := range s.Tables {
		if backup.LeftOut(t.Name) || t.Name == "sqlite_sequence" {
			continue
		}
		found, err := d.Ask(ctx, inexactSQL(s.described(t)))
		if err != nil {
			return "", err
		}
		if len(found) != 1 || len(found[0]) != 2 {
			return "", &firedrill.Error{Op: d.op, Kind: firedrill.KindCorrupt, Target: "table " + t.Name + " of database " + d.Name, Detail: "does not answer a question about its rows"}
		}
		if found[0][0] != "0" {
			return "table " + t.Name + " holds values that the platform's export changes or that are too long for it", nil
		}
		if found[0][1] != "0" {
			return "table " + t.Name + " has rowids that the platform's export does not keep", nil
		}
	}
	return "", nil
}

// inexactSQL asks a table for a row that an export would change, and whether its
// rowids would be others. What is asked of its columns is put together as a tree:
// the platform bounds how deep an expression is.
func inexactSQL(t backup.SQLTable) string {
	var changed, sizes []string
	for _, name := range t.Columns {
		c := quoted(name)
		// A text with U+FFFD in it is one that does not decode, or at least looks so,
		// and one with U+0080 to U+009F is likely to.
		changed = append(changed,
			"CASE typeof("+c+") WHEN 'integer' THEN "+c+" NOT BETWEEN -9007199254740992 AND 9007199254740992"+
				" WHEN 'real' THEN abs("+c+")=9e999 OR "+c+"=0 AND atan2("+c+",-1)<0"+
				" WHEN 'text' THEN instr(CAST("+c+" AS BLOB),x'00')>0 OR "+c+" GLOB '*['||char(65533,128)||'-'||char(159)||']*'"+
				" ELSE 0 END")
		sizes = append(sizes, fmt.Sprintf("coalesce(2*length(CAST(%s AS BLOB)),0)+%d", c, 30))
	}
	rowids := "0"
	if t.Apart {
		rowids = "SELECT coalesce(min(" + t.Rowid + ")<>1 OR max(" + t.Rowid + ")<>count(*),0) FROM " + quoted(t.Name)
	}
	return "SELECT EXISTS(SELECT 1 FROM " + quoted(t.Name) + " WHERE " + tree(changed, " OR ") + " OR " + tree(sizes, "+") + fmt.Sprintf(">%d", rowExportable) + "),(" + rowids + ")"
}

// tree joins expressions so that few stand inside of each other.
func tree(exprs []string, with string) string {
	for len(exprs) > 1 {
		var next []string
		for pair := range slices.Chunk(exprs, 2) {
			next = append(next, "("+strings.Join(pair, with)+")")
		}
		exprs = next
	}
	return exprs[0]
}
