package d1

import (
	"context"
	"strings"
	"time"
)

// flatten takes a batch apart into single SQL statements and checks the
// platform's limits on them.
func flatten(batch []Statement) ([]Statement, error) {
	var all []Statement
	for _, b := range batch {
		texts := split(b.SQL)
		if len(texts) == 0 {
			return nil, badRequest("No SQL statements detected")
		}
		if len(b.Params) > 0 && len(texts) > 1 {
			return nil, badRequest("A statement with parameters must be a single one")
		}
		if len(b.Params) > MaxParams {
			return nil, queryError("too many SQL variables: at most %d: SQLITE_ERROR", MaxParams)
		}
		for _, t := range texts {
			if err := acceptable(t); err != nil {
				return nil, err
			}
			all = append(all, Statement{SQL: t, Params: b.Params})
		}
	}
	return all, nil
}

// acceptable refuses statements that are too long or not for users.
func acceptable(text string) error {
	if len(text) > MaxStatement {
		return queryError("statement too long: %d bytes, at most %d: SQLITE_TOOBIG", len(text), MaxStatement)
	}
	return refused(firstWord(text))
}

// refused names statements that the platform does not take.
func refused(word string) error {
	switch word {
	case "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE":
		return queryError("To execute a transaction, please use the state.storage.transaction() or state.storage.transactionSync() APIs instead of the SQL BEGIN TRANSACTION or SAVEPOINT statements. " +
			"In D1, use a batch: its statements are one transaction.: SQLITE_ERROR")
	case "ATTACH", "DETACH", "VACUUM":
		return queryError("not authorized: %s is not available: SQLITE_AUTH", word)
	}
	return nil
}

// statement performs one SQL statement inside the open transaction.
func (d *database) statement(ctx context.Context, st Statement) (Result, error) {
	before, err := d.counters(ctx)
	if err != nil {
		return Result{}, err
	}
	params := make([]any, len(st.Params))
	for i, p := range st.Params {
		if b, ok := p.(bool); ok { // SQLite has no booleans
			p = map[bool]int64{false: 0, true: 1}[b]
		}
		params[i] = p
	}
	start := time.Now()
	t, err := run(ctx, d.conn, st.SQL, params)
	took := time.Since(start)
	if err != nil {
		return Result{}, err
	}
	after, err := d.counters(ctx)
	if err != nil {
		return Result{}, err
	}
	m := Meta{Duration: took, LastRowID: after.lastRowID, SizeAfter: after.size, RowsRead: int64(len(t.rows))}
	if writes(firstWord(st.SQL)) {
		m.RowsWritten = after.total - before.total
		m.Changes = after.changes
		if m.RowsWritten == 0 {
			m.Changes = 0
		}
		m.RowsRead = max(m.RowsRead, m.RowsWritten)
		m.ChangedDB = m.RowsWritten > 0 || after.schema != before.schema
	}
	return Result{Columns: t.columns, Rows: t.rows, Meta: m}, nil
}

// writes tells by its first word whether a statement can change something.
func writes(word string) bool {
	switch word {
	case "SELECT", "VALUES", "EXPLAIN", "PRAGMA":
		return false
	}
	return true
}

// counters are SQLite's own, read between statements.
type counters struct{ changes, total, lastRowID, size, schema int64 }

func (d *database) counters(ctx context.Context) (counters, error) {
	t, err := d.ownTable(ctx, `SELECT changes(), total_changes(), last_insert_rowid(),
		(SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size),
		(SELECT schema_version FROM pragma_schema_version)`)
	if err != nil {
		return counters{}, err
	}
	row := t.rows[0]
	n := func(i int) int64 { v, _ := row[i].(int64); return v }
	return counters{n(0), n(1), n(2), n(3), n(4)}, nil
}

// quoteName writes an identifier so that SQL reads it as it is.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
