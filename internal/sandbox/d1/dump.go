package d1

import (
	"bufio"
	"context"
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

// Export writes a database as SQL that the sqlite3 shell and Import take. All
// of it is read in one transaction.
func (s *Store) Export(ctx context.Context, id string, w io.Writer, o ExportOptions) (string, error) {
	db, _, err := s.open(ctx, id)
	if err != nil {
		return "", err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	out := bufio.NewWriterSize(w, 1<<16)
	if err := db.dump(ctx, out, o); err != nil {
		return "", err
	}
	if err := out.Flush(); err != nil {
		return "", fmt.Errorf("export: %w", err)
	}
	tx, err := db.history.Capture()
	return bookmark(tx, db.id), err
}

func (d *database) dump(ctx context.Context, w *bufio.Writer, o ExportOptions) error {
	objects, err := d.objects(ctx, o.Tables)
	if err != nil {
		return err
	}
	for _, ob := range objects {
		if ob.kind == "table" && strings.HasPrefix(strings.ToUpper(ob.sql), "CREATE VIRTUAL") {
			return queryError("D1 Export error: cannot export databases with Virtual Tables (fts5): %s", ob.name)
		}
	}
	put(w, "PRAGMA defer_foreign_keys=TRUE;\n")
	for _, ob := range objects {
		if ob.kind != "table" || ob.name == "sqlite_sequence" {
			continue
		}
		if !o.NoSchema && !strings.HasPrefix(ob.name, "sqlite_") {
			put(w, "%s;\n", ob.sql)
		}
		if !o.NoData {
			if err := d.dumpRows(ctx, w, ob.name); err != nil {
				return err
			}
		}
	}
	if !o.NoData && slices.ContainsFunc(objects, func(ob object) bool { return ob.name == "sqlite_sequence" }) {
		put(w, "DELETE FROM sqlite_sequence;\n")
		if err := d.dumpRows(ctx, w, "sqlite_sequence"); err != nil {
			return err
		}
	}
	if !o.NoSchema {
		for _, kind := range []string{"index", "trigger", "view"} {
			for _, ob := range objects {
				if ob.kind == kind && ob.sql != "" {
					put(w, "%s;\n", ob.sql)
				}
			}
		}
	}
	return nil
}

// put writes; an error stays with the writer, and its Flush tells it.
func put(w *bufio.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, args...)
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
func (d *database) dumpRows(ctx context.Context, w *bufio.Writer, name string) error {
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
	t, err := d.ownTable(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM "+quoteName(name))
	if err != nil {
		return answerError(err)
	}
	for _, r := range t.rows {
		values := make([]string, len(r))
		for i, v := range r {
			values[i] = literal(v)
		}
		put(w, "INSERT INTO %s VALUES(%s);\n", into, strings.Join(values, ","))
	}
	return nil
}

// literal writes a value as SQL that gives exactly that value back.
func literal(v any) string {
	switch v := v.(type) {
	case int64:
		if v == math.MinInt64 { // no literal of SQL reaches it as an integer
			return "(-9223372036854775807-1)"
		}
		return strconv.FormatInt(v, 10)
	case float64:
		return literalReal(v)
	case string:
		if strings.ContainsRune(v, 0) { // a literal would end at the NUL
			return fmt.Sprintf("CAST(X'%X' AS TEXT)", v)
		}
		return "'" + strings.ReplaceAll(v, "'", "''") + "'"
	case []byte:
		return fmt.Sprintf("X'%X'", v)
	}
	return "NULL"
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
