package d1

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"strings"
	"unsafe"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// connect opens a database with exactly one connection. Nothing is ever
// checkpointed behind our back, and a commit is durable when it returns.
func connect(ctx context.Context, path string, guarded bool) (*sql.DB, *sql.Conn, error) {
	q := url.Values{"_pragma": {"wal_autocheckpoint(0)", "synchronous(FULL)", "foreign_keys(1)", "busy_timeout(5000)"}}
	if guarded {
		q.Set("_defensive", "1")
		q.Add("_pragma", "trusted_schema(0)")
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	return db, conn, nil
}

// table is what one statement gave, with the exact values that are stored.
type table struct {
	columns []string
	rows    [][]any
}

// run performs one statement and collects its rows, at most maxAnswer bytes of
// them.
func run(ctx context.Context, conn *sql.Conn, text string, params []any) (table, error) {
	var t table
	limit := int64(maxAnswer)
	var err error
	t.columns, err = each(ctx, conn, text, params, func(cells []driver.Value) error {
		row := make([]any, len(cells))
		for i, v := range cells {
			row[i] = v
			limit -= 16 + size(v)
		}
		if limit < 0 {
			return errAnswerTooLarge
		}
		t.rows = append(t.rows, row)
		return nil
	})
	return t, err
}

// each performs one statement and shows its rows one after another, none of
// which it keeps. The cells are good until the next row.
func each(ctx context.Context, conn *sql.Conn, text string, params []any, row func([]driver.Value) error) (columns []string, err error) {
	args := make([]driver.NamedValue, len(params))
	for i, p := range params {
		args[i] = driver.NamedValue{Ordinal: i + 1, Value: p}
	}
	err = conn.Raw(func(c any) (err error) {
		rows, err := c.(driver.QueryerContext).QueryContext(ctx, text, args)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		if err := storedValues(rows); err != nil {
			return err
		}
		columns = rows.Columns()
		cells := make([]driver.Value, len(columns))
		for {
			// The driver watches the context up to the first row only.
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := rows.Next(cells); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if err := row(cells); err != nil {
				return err
			}
		}
	})
	return columns, err
}

var errAnswerTooLarge = errors.New("the answer is too large: ask for fewer rows")

func size(v any) int64 {
	switch v := v.(type) {
	case string:
		return int64(len(v))
	case []byte:
		return int64(len(v))
	}
	return 8
}

// storedValues makes the driver give text of columns that are declared DATE,
// DATETIME or TIMESTAMP as it is stored. The driver parses it into a time and
// offers no way to say no, and a parsed time does not tell how it was written.
// So the declared types that it remembers are blanked; a driver that keeps
// them elsewhere is an error, never a silent change of values.
func storedValues(rows driver.Rows) error {
	v := reflect.ValueOf(rows)
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() == reflect.Struct {
		if f := v.FieldByName("decltypes"); f.IsValid() && f.Type() == reflect.TypeFor[[]string]() && f.CanAddr() {
			clear(*(*[]string)(unsafe.Pointer(f.UnsafeAddr())))
			return nil
		}
	}
	return fmt.Errorf("this version of the SQLite driver is not understood (%T)", rows)
}

// answerError turns an error of SQLite into the platform's form: the message
// and the name of its code.
func answerError(err error) error {
	var own *Error
	var e *sqlite.Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, context.DeadlineExceeded):
		return queryError("D1 DB exceeded its CPU time limit and was reset: the query took longer than %s", QueryTimeout)
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, errAnswerTooLarge):
		return queryError("%s", err)
	case !errors.As(err, &e):
		return queryError("%s", strings.TrimPrefix(err.Error(), "sqlite: "))
	}
	message := e.Error()
	if i := strings.LastIndex(message, " ("); i > 0 && strings.HasSuffix(message, ")") {
		message = message[:i]
	}
	primary := e.Code() & 0xff
	if rest, ok := strings.CutPrefix(message, generic(primary)+": "); ok {
		message = rest
	}
	return queryError("%s: %s", message, codeName(primary))
}

// generic is SQLite's own text for a primary result code, which the driver
// puts before the message.
func generic(code int) string {
	switch code {
	case lib.SQLITE_ERROR:
		return "SQL logic error"
	case lib.SQLITE_CONSTRAINT:
		return "constraint failed"
	case lib.SQLITE_AUTH:
		return "authorization denied"
	case lib.SQLITE_TOOBIG:
		return "string or blob too big"
	case lib.SQLITE_MISMATCH:
		return "datatype mismatch"
	case lib.SQLITE_RANGE:
		return "column index out of range"
	}
	return ""
}

func codeName(code int) string {
	switch code {
	case lib.SQLITE_CONSTRAINT:
		return "SQLITE_CONSTRAINT"
	case lib.SQLITE_AUTH:
		return "SQLITE_AUTH"
	case lib.SQLITE_TOOBIG:
		return "SQLITE_TOOBIG"
	case lib.SQLITE_MISMATCH:
		return "SQLITE_MISMATCH"
	case lib.SQLITE_FULL:
		return "SQLITE_FULL"
	case lib.SQLITE_CORRUPT:
		return "SQLITE_CORRUPT"
	case lib.SQLITE_INTERRUPT:
		return "SQLITE_INTERRUPT"
	case lib.SQLITE_RANGE:
		return "SQLITE_RANGE"
	case lib.SQLITE_NOMEM:
		return "SQLITE_NOMEM"
	case lib.SQLITE_IOERR:
		return "SQLITE_IOERR"
	}
	return "SQLITE_ERROR"
}
