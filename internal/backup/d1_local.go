package backup

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"firedrill"
	"firedrill/internal/fingerprint"
)

// local is a database on this machine into which the parts of a backup are
// loaded, to see what they hold. It lies in a folder of its own that nobody else
// can read, and nothing is left of it.
//
// What is loaded may come from anywhere: other files, settings and the pages of
// the file itself are out of its reach.
type local struct {
	dir  string
	db   *sql.DB
	conn *sql.Conn
	own  bool // what runs now is ours
}

const localName = "db"

// The platform's limits for SQL, so that what loads here loads there.
const (
	limitColumns = 100
	limitParams  = 100
	limitDepth   = 100    // of an expression
	limitTerms   = 5      // of a compound SELECT
	limitCode    = 25_000 // instructions of a statement
	limitPattern = 50
)

func newLocal(ctx context.Context) (*local, error) {
	dir, err := os.MkdirTemp("", "firedrill-load-")
	if err != nil {
		return nil, storage("load the backup", "a database on this machine", err)
	}
	return openLocal(ctx, dir)
}

// openLocal opens the database in a folder, which it removes in the end.
func openLocal(ctx context.Context, dir string) (_ *local, err error) {
	l := &local{dir: dir}
	defer func() {
		if err != nil {
			err = storage("load the backup", "a database on this machine", errors.Join(err, l.Close()))
		}
	}()
	// The file is thrown away whatever happens, so nothing is journalled.
	q := url.Values{"_defensive": {"1"}, "_pragma": {"journal_mode(OFF)", "synchronous(OFF)", "locking_mode(EXCLUSIVE)", "temp_store(FILE)",
		"cache_size(-16000)", "foreign_keys(1)", "trusted_schema(0)"}}
	l.db, err = sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.Join(l.dir, localName), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	l.db.SetMaxOpenConns(1)
	if l.conn, err = l.db.Conn(ctx); err != nil {
		return nil, err
	}
	err = l.conn.Raw(func(c any) error {
		r, ok := c.(sqlite.AuthorizerRegisterer)
		if !ok {
			return errors.New("the SQLite driver has no authorizer")
		}
		return r.RegisterAuthorizer(l.authorize)
	})
	if err != nil {
		return nil, err
	}
	for id, value := range map[int]int{
		lib.SQLITE_LIMIT_COLUMN:              limitColumns + 1, // we read the rowid too
		lib.SQLITE_LIMIT_VARIABLE_NUMBER:     limitParams,
		lib.SQLITE_LIMIT_EXPR_DEPTH:          limitDepth,
		lib.SQLITE_LIMIT_COMPOUND_SELECT:     limitTerms,
		lib.SQLITE_LIMIT_VDBE_OP:             limitCode,
		lib.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: limitPattern,
		lib.SQLITE_LIMIT_ATTACHED:            0,
	} {
		if _, err := sqlite.Limit(l.conn, id, value); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Close takes everything away.
func (l *local) Close() error {
	var err error
	if l.conn != nil {
		err = errors.Join(err, l.conn.Close())
	}
	if l.db != nil {
		err = errors.Join(err, l.db.Close())
	}
	if l.dir != "" {
		err = errors.Join(err, os.RemoveAll(l.dir))
	}
	return err
}

func (l *local) authorize(action sqlite.AuthorizerActionCode, arg1, arg2, _, _ string) sqlite.AuthorizerReturnCode {
	if l.own {
		return sqlite.AuthorizerOK
	}
	allowed := true
	switch action {
	case sqlite.AuthAttach, sqlite.AuthDetach, sqlite.AuthTransaction, sqlite.AuthSavepoint,
		sqlite.AuthCreateTempIndex, sqlite.AuthCreateTempTable, sqlite.AuthCreateTempTrigger, sqlite.AuthCreateTempView:
		allowed = false
	case sqlite.AuthPragma:
		name := strings.ToLower(arg1)
		// Full-text tables ask for the version of the data.
		allowed = name == "defer_foreign_keys" || name == "foreign_keys" || name == "data_version" && arg2 == ""
	case sqlite.AuthFunction:
		allowed = !slices.Contains([]string{"load_extension", "fts3_tokenizer"}, strings.ToLower(arg2))
	case sqlite.AuthCreateVTable:
		allowed = slices.Contains([]string{"fts5", "fts5vocab"}, strings.ToLower(arg2))
	case sqlite.AuthRead, sqlite.AuthInsert, sqlite.AuthUpdate, sqlite.AuthDelete:
		allowed = !slices.Contains([]string{"sqlite_dbpage", "dbstat"}, strings.ToLower(arg1))
	}
	if allowed {
		return sqlite.AuthorizerOK
	}
	return sqlite.AuthorizerDeny
}

// do performs a statement of our own.
func (l *local) do(ctx context.Context, sql string) error {
	l.own = true
	defer func() { l.own = false }()
	_, err := l.conn.ExecContext(ctx, sql)
	return err
}

// loading is a part that is being loaded: SQL is written into it. All of it is
// one transaction, as in an import.
type loading struct {
	splitter
	ctx context.Context
	l   *local
	n   int // statements
}

// statements that may stand in a part, by their first words.
func known(word string) bool {
	return slices.Contains([]string{"CREATE", "INSERT", "REPLACE", "UPDATE", "DELETE", "DROP", "PRAGMA"}, word)
}

func (l *local) load(ctx context.Context) (*loading, error) {
	p := &loading{ctx: ctx, l: l}
	p.statement = p.perform
	if err := l.do(ctx, "BEGIN"); err != nil {
		return nil, storage("load the backup", "a database on this machine", err)
	}
	return p, nil
}

func (p *loading) perform(sql []byte, offset int64) error {
	p.n++
	text := string(sql)
	at := func(err error) error { return fmt.Errorf("statement %d, at offset %d: %w", p.n, offset, err) }
	if words := tokens(text[:min(len(text), 100)]); len(words) == 0 || !known(strings.ToUpper(words[0])) {
		return at(errors.New("it is none that a backup is made of"))
	}
	if _, err := p.l.conn.ExecContext(p.ctx, text); err != nil {
		if cerr := p.ctx.Err(); cerr != nil {
			return cerr
		}
		if full := (*sqlite.Error)(nil); errors.As(err, &full) && (full.Code()&0xff == lib.SQLITE_FULL || full.Code()&0xff == lib.SQLITE_IOERR) {
			return storage("load the backup", "a database on this machine", err)
		}
		return at(err)
	}
	return nil
}

// finish ends the part and its transaction: what it refers to must be there.
func (p *loading) finish() error {
	if err := p.end(); err != nil {
		return err
	}
	if err := p.l.do(p.ctx, "COMMIT"); err != nil {
		return fmt.Errorf("at its end: %w", err)
	}
	return nil
}

// Bookmark implements SQLReader: nobody else writes here.
func (l *local) Bookmark(context.Context) (string, error) { return "local", nil }

// query performs a question of our own and hands on its rows.
func (l *local) query(ctx context.Context, text string, visit func([]any) error) (err error) {
	l.own = true
	defer func() { l.own = false }()
	rows, err := l.conn.QueryContext(ctx, text)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values, to := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		to[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			return err
		}
		if err := visit(values); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Ask implements SQLReader.
func (l *local) Ask(ctx context.Context, sql string) ([][]string, error) {
	var out [][]string
	err := l.query(ctx, sql, func(values []any) error {
		row := make([]string, len(values))
		for i, v := range values {
			if v != nil {
				row[i] = fmt.Sprint(v)
			}
		}
		out = append(out, row)
		return nil
	})
	return out, err
}

// Schema implements SQLReader.
func (l *local) Schema(ctx context.Context) (SQLSchema, error) {
	kinds, err := l.Ask(ctx, "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main'")
	if err != nil {
		return SQLSchema{}, err
	}
	kind, without := map[string]string{}, map[string]bool{}
	for _, k := range kinds {
		kind[k[0]], without[k[0]] = k[1], k[2] == "1"
	}
	entries, err := l.Ask(ctx, "SELECT type, name, tbl_name, sql FROM main.sqlite_schema ORDER BY rowid")
	if err != nil {
		return SQLSchema{}, err
	}
	var s SQLSchema
	for _, e := range entries {
		o := SQLObject{e[0], e[1], e[2], e[3]}
		if LeftOut(o.Name) || LeftOut(o.Table) || o.SQL == "" || kind[o.Table] == "shadow" {
			continue
		}
		if o.Name != sequence {
			s.Objects = append(s.Objects, o)
		}
		if o.Type != "table" {
			continue
		}
		t, err := l.table(ctx, o, kind[o.Name] == "virtual", without[o.Name])
		if err != nil {
			return SQLSchema{}, err
		}
		s.Tables = append(s.Tables, t)
	}
	return s, nil
}

func (l *local) table(ctx context.Context, o SQLObject, virtual, without bool) (SQLTable, error) {
	name := "'" + strings.ReplaceAll(o.Name, "'", "''") + "'"
	columns, err := l.Ask(ctx, "SELECT name, type, pk, hidden FROM pragma_table_xinfo("+name+", 'main') ORDER BY cid")
	if err != nil {
		return SQLTable{}, err
	}
	index, err := l.Ask(ctx, "SELECT count(*) FROM pragma_index_list("+name+", 'main') WHERE origin = 'pk'")
	if err != nil {
		return SQLTable{}, err
	}
	parents, err := l.Ask(ctx, "SELECT DISTINCT \"table\" FROM pragma_foreign_key_list("+name+", 'main')")
	if err != nil {
		return SQLTable{}, err
	}
	t := SQLTable{Name: o.Name}
	for _, p := range parents {
		t.Parents = append(t.Parents, p[0])
	}
	key := map[string]string{}
	integer := ""
	for _, c := range columns {
		if c[2] != "0" {
			key[c[2]] = c[0]
			if strings.EqualFold(c[1], "INTEGER") {
				integer = c[0]
			}
		}
		if c[3] == "0" {
			t.Columns = append(t.Columns, c[0])
		}
	}
	for n := 1; n <= len(key); n++ {
		t.Key = append(t.Key, key[fmt.Sprint(n)])
	}
	all := func(name string) bool {
		return slices.ContainsFunc(columns, func(c []string) bool { return c[3] != "1" && strings.EqualFold(c[0], name) })
	}
	if virtual {
		t.Module = Module(o.SQL)
	}
	switch {
	case without:
	case len(t.Key) == 1 && integer != "" && index[0][0] == "0": // it is the rowid
		t.Rowid = quoteName(integer)
	default:
		for _, alias := range []string{"rowid", "_rowid_", "oid"} {
			if !all(alias) {
				t.Rowid, t.Apart = alias, true
				break
			}
		}
	}
	if t.Name == sequence { // its rows are what they say, in any order
		t.Key, t.Apart = []string{"name"}, false
	}
	return t, nil
}

// Rows implements SQLReader.
func (l *local) Rows(ctx context.Context, t SQLTable, _ *SQLRow, visit func(SQLRow) error) error {
	var exprs []string
	for _, c := range t.Columns {
		exprs = append(exprs, "+"+quoteName(c)) // a plus: the driver makes times of columns that are declared so
	}
	var order []string
	if t.Rowid != "" {
		exprs, order = append(exprs, t.Rowid), []string{t.Rowid}
	} else {
		for _, k := range t.Key {
			order = append(order, quoteName(k))
		}
	}
	q := "SELECT " + strings.Join(exprs, ",") + " FROM main." + quoteName(t.Name)
	if len(order) > 0 {
		q += " ORDER BY " + strings.Join(order, ",")
	}
	return l.query(ctx, q, func(values []any) error {
		row := SQLRow{Cells: make([]fingerprint.Cell, len(t.Columns))}
		for i := range t.Columns {
			switch v := values[i].(type) {
			case nil:
				row.Cells[i].Type = fingerprint.Null
			case int64:
				row.Cells[i] = fingerprint.Cell{Type: fingerprint.Integer, Int: v}
			case float64:
				row.Cells[i] = fingerprint.Cell{Type: fingerprint.Real, Real: v}
			case string:
				row.Cells[i] = fingerprint.Cell{Type: fingerprint.Text, Bytes: []byte(v)}
			case []byte:
				row.Cells[i] = fingerprint.Cell{Type: fingerprint.Blob, Bytes: v}
			default:
				return &firedrill.Error{Op: "load the backup", Kind: firedrill.KindInternal, Target: "table " + t.Name, Detail: fmt.Sprintf("a value of type %T", v)}
			}
		}
		if t.Rowid != "" {
			row.Rowid, _ = values[len(values)-1].(int64)
		}
		return visit(row)
	})
}

var _ SQLReader = (*local)(nil)

// loadPart loads one part of a backup.
func (b *Backup) loadPart(ctx context.Context, l *local, p Part) (err error) {
	r, err := b.open(ctx, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(b.broken(p, err), r.Close()) }()
	to, err := l.load(ctx)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, r); err != nil {
		return err
	}
	if content, ok := r.(*contentReader); ok {
		if err := content.finish(); err != nil {
			return err
		}
	}
	return to.finish()
}
