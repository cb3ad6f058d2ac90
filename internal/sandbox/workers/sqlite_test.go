package workers_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the database driver "sqlite"

	"firedrill/internal/sandbox/workers/binding"
)

// sqliteD1 answers database bindings from one plain SQLite file. It is the
// least that binding.Databases asks for: the binding's protocol is what these
// tests are about.
type sqliteD1 struct {
	id     string
	db     *sql.DB
	writes atomic.Int64
}

func newSQLiteD1(t testing.TB, id string) *sqliteD1 {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "d1.sqlite")+"?_pragma=journal_mode(WAL)&_pragma=foreign_keys(ON)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &sqliteD1{id: id, db: db}
}

func (s *sqliteD1) Exists(_ context.Context, id string) (bool, error) { return id == s.id, nil }

func (s *sqliteD1) Query(ctx context.Context, id string, batch []binding.Statement) (_ []binding.Result, bookmark string, err error) {
	if id != s.id {
		return nil, "", fmt.Errorf("database %s does not exist", id)
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	var list []binding.Result
	for _, st := range batch {
		res, err := runStatement(ctx, tx, st)
		if err != nil {
			return nil, "", err
		}
		list = append(list, res)
	}
	if err := tx.Commit(); err != nil {
		return nil, "", err
	}
	return list, fmt.Sprintf("%08x-00000000-00000000-%032x", s.writes.Add(1), 0), nil
}

func runStatement(ctx context.Context, tx *sql.Tx, st binding.Statement) (binding.Result, error) {
	began := time.Now()
	rows, err := tx.QueryContext(ctx, st.SQL, st.Params...)
	if err != nil {
		return binding.Result{}, err
	}
	defer rows.Close()
	res := binding.Result{Rows: [][]any{}}
	if res.Columns, err = rows.Columns(); err != nil {
		return res, err
	}
	for rows.Next() {
		row := make([]any, len(res.Columns))
		into := make([]any, len(row))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return res, err
		}
		res.Rows = append(res.Rows, row)
	}
	res.Meta.Duration = float64(time.Since(began).Microseconds()) / 1000
	return res, rows.Err()
}
