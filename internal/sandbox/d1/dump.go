package d1

import (
	"bufio"
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// ExportOptions narrow an export.
type ExportOptions struct {
	NoSchema bool
	NoData   bool
	Tables   []string // names of objects; empty: all
}

// object is a row of sqlite_schema.
type object struct{ kind, name, table, sql string }

// ExportResult is what an export did.
type ExportResult struct {
	Bookmark string
	// TooLong counts the statements that are longer than MaxStatement, by
	// table: they are exported as they are, and an import refuses them.
	TooLong map[string]int
}

// Export writes a database as SQL that the sqlite3 shell and Import take, row
// by row. The database waits meanwhile, as on the platform, so all of it is of
// one moment.
func (s *Store) Export(ctx context.Context, id string, w io.Writer, o ExportOptions) (ExportResult, error) {
	db, _, err := s.open(ctx, id)
	if err != nil {
		return ExportResult{}, err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	out := &dumper{Writer: bufio.NewWriterSize(w, 1<<16), tooLong: map[string]int{}}
	if err := db.dump(ctx, out, o); err != nil {
		return ExportResult{}, err
	}
	if err := out.Flush(); err != nil {
		return ExportResult{}, fmt.Errorf("export: %w", err)
	}
	tx, err := db.history.Capture()
	return ExportResult{Bookmark: bookmark(tx, db.id), TooLong: out.tooLong}, err
}

// dumper writes statements. An error of the writer stays with it, and its
// Flush tells it.
type dumper struct {
	*bufio.Writer
	statement []byte // the one being written; kept for its memory
	tooLong   map[string]int
}

func (w *dumper) put(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }

// insert writes the statement that makes one row.
func (w *dumper) insert(name, into string, row []driver.Value) error {
	b := fmt.Appendf(w.statement[:0], "INSERT INTO %s VALUES(", into)
	for i, v := range row {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendLiteral(b, v)
	}
	b = append(b, ')')
	if len(b) > MaxStatement {
		w.tooLong[name]++
	}
	w.statement = append(b, ";\n"...)
	_, err := w.Write(w.statement)
	return err
}

func (d *database) dump(ctx context.Context, w *dumper, o ExportOptions) error {
	objects, err := d.objects(ctx, o.Tables)
	if err != nil {
		return err
	}
	for _, ob := range objects {
		if ob.kind == "table" && strings.HasPrefix(strings.ToUpper(ob.sql), "CREATE VIRTUAL") {
			return queryError("D1 Export error: cannot export databases with Virtual Tables (fts5)")
		}
	}
	w.put("PRAGMA defer_foreign_keys=TRUE;\n")
	for _, ob := range objects {
		if ob.kind != "table" || ob.name == "sqlite_sequence" {
			continue
		}
		if !o.NoSchema && !strings.HasPrefix(ob.name, "sqlite_") {
			w.put("%s;\n", ob.sql)
		}
		if !o.NoData {
			if err := d.dumpRows(ctx, w, ob.name); err != nil {
				return err
			}
		}
	}
	if !o.NoData && slices.ContainsFunc(objects, func(ob object) bool { return ob.name == "sqlite_sequence" }) {
		w.put("DELETE FROM sqlite_sequence;\n")
		if err := d.dumpRows(ctx, w, "sqlite_sequence"); err != nil {
			return err
		}
	}
	if !o.NoSchema {
		for _, kind := range []string{"index", "trigger", "view"} {
			for _, ob := range objects {
				if ob.kind == kind && ob.sql != "" {
					w.put("%s;\n", ob.sql)
				}
			}
		}
	}
	return nil
}

func (d *database) objects(ctx context.Context, only []string) ([]object, error) {
	t, err := d.ownTable(ctx, `SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema
		WHERE name NOT LIKE '\_cf\_%' ESCAPE '\' AND (name NOT LIKE 'sqlite\_%' ESCAPE '\' OR name IN ('sqlite_sequence', 'sqlite_stat1')) ORDER BY rowid`)
	if err != nil {
		return nil, answerError(err)
	}
	var objects []object
	for _, r := range t.rows {
		text := func(i int) string { s, _ := r[i].(string); return s }
		ob := object{text(0), text(1), text(2), text(3)}
		if ob.name == "sqlite_stat1" || len(only) > 0 && !slices.Contains(only, ob.name) {
			continue
		}
		objects = append(objects, ob)
	}
	return objects, nil
}

// dumpRows writes INSERT statements for the stored columns of a table (what is
// generated is generated again).
func (d *database) dumpRows(ctx context.Context, w *dumper, name string) error {
	info, err := d.ownTable(ctx, `SELECT name, hidden FROM pragma_table_xinfo(?1)`, name)
	if err != nil {
		return answerError(err)
	}
	var columns []string
	generated := false
	for _, r := range info.rows {
		if hidden, _ := r[1].(int64); hidden != 0 {
			generated = true
			continue
		}
		c, _ := r[0].(string)
		columns = append(columns, quoteName(c))
	}
	into := quoteName(name)
	if generated {
		into += " (" + strings.Join(columns, ", ") + ")"
	}
	var broken error // of the writer, which is not the database's
	err = d.ownRows(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM "+quoteName(name), func(row []driver.Value) error {
		broken = w.insert(name, into, row)
		return broken
	})
	switch {
	case broken != nil:
		return fmt.Errorf("export: %w", broken)
	case err != nil:
		return answerError(err)
	}
	return nil
}

// appendLiteral writes a value as SQL that gives exactly that value back.
func appendLiteral(b []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		if v == math.MinInt64 { // no literal of SQL reaches it as an integer
			return append(b, "(-9223372036854775807-1)"...)
		}
		return strconv.AppendInt(b, v, 10)
	case float64:
		return append(b, literalReal(v)...)
	case string:
		if strings.ContainsRune(v, 0) { // a literal would end at the NUL
			return fmt.Appendf(b, "CAST(X'%X' AS TEXT)", v)
		}
		b = append(b, '\'')
		for {
			i := strings.IndexByte(v, '\'')
			if i < 0 {
				return append(append(b, v...), '\'')
			}
			b, v = append(append(b, v[:i]...), "''"...), v[i+1:]
		}
	case []byte:
		return fmt.Appendf(b, "X'%X'", v)
	}
	return append(b, "NULL"...)
}

func literalReal(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "9e999"
	case math.IsInf(v, -1):
		return "-9e999"
	}
	s := strconv.FormatFloat(v, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}
