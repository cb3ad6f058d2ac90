// Package journal is the append-only store of records: one SQLite database for
// all runs of a machine. A batch is one transaction with synchronous=FULL, so
// what [Journal.Append] acknowledged survives a kill and a power cut, and a
// batch is there whole or not at all. Records cannot be changed or removed;
// the database itself refuses.
package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver

	"firedrill"
)

// format is the version of the database; a newer one is refused.
const format = 1

const schema = `
CREATE TABLE runs(
  run TEXT PRIMARY KEY,
  drill TEXT NOT NULL,
  environment TEXT NOT NULL,
  started INTEGER NOT NULL, -- wall clock, Unix nanoseconds
  finished INTEGER,
  verdict TEXT,
  reason TEXT,
  state TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_by_start ON runs(started);
CREATE INDEX runs_open ON runs(started) WHERE finished IS NULL;
CREATE TABLE records(
  run TEXT NOT NULL REFERENCES runs(run),
  seq INTEGER NOT NULL,
  record TEXT NOT NULL,
  PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER records_stay BEFORE DELETE ON records BEGIN SELECT raise(ABORT, 'records are never removed'); END;
CREATE TRIGGER records_keep BEFORE UPDATE ON records BEGIN SELECT raise(ABORT, 'records are never changed'); END;
CREATE TRIGGER records_follow BEFORE INSERT ON records
  WHEN new.seq <> 1 + coalesce((SELECT max(seq) FROM records WHERE run = new.run), 0)
  BEGIN SELECT raise(ABORT, 'records follow each other without gaps'); END;
`

// indexes make questions cost what they answer, not what the journal holds. They
// came after the format and change nothing that an older version reads or writes,
// so a journal that lacks them gets them.
const indexes = `
CREATE INDEX IF NOT EXISTS runs_by_drill ON runs(drill, started);
CREATE INDEX IF NOT EXISTS runs_by_verdict ON runs(drill, environment, verdict, started);
CREATE INDEX IF NOT EXISTS runs_dirty ON runs(drill, environment, started) WHERE state = 'dirty';
`

// Journal is an open journal. Its methods may be called concurrently.
type Journal struct {
	db   *sql.DB
	path string
}

// Run is what the journal tells about a run without reading its records.
type Run struct {
	ID          string
	Drill       string
	Environment string
	Started     time.Time
	Finished    time.Time // zero: not finished
	Verdict     firedrill.Verdict
	Reason      firedrill.ReasonCode
	State       firedrill.EnvironmentState
}

// Open opens a journal or makes an empty one.
func Open(ctx context.Context, path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fail("open the journal", path, err)
	}
	if err := f.Close(); err != nil {
		return nil, fail("open the journal", path, err)
	}
	q := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)", "foreign_keys(1)"}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fail("open the journal", path, err)
	}
	db.SetMaxOpenConns(1)
	j := &Journal{db, path}
	if err := j.prepare(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return j, nil
}

// prepare makes the tables or checks that they are ours. Another process may
// do the same at the same moment.
func (j *Journal) prepare(ctx context.Context) error {
	tx, err := j.db.BeginTx(ctx, nil)
	if err != nil {
		return fail("open the journal", j.path, err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fail("open the journal", j.path, err)
	}
	switch {
	case version == format:
		return j.index(ctx, tx)
	case version != 0:
		return &firedrill.Error{Op: "open the journal", Kind: firedrill.KindStorage, Target: j.path,
			Detail: fmt.Sprintf("it is of format %d, this version reads %d", version, format), Remedy: "use the newer firedrill that wrote it, or another --home"}
	}
	if _, err := tx.ExecContext(ctx, schema+fmt.Sprintf("PRAGMA user_version = %d;", format)); err != nil {
		return fail("open the journal", j.path, err)
	}
	return j.index(ctx, tx)
}

// index adds what is missing of the indexes, and commits.
func (j *Journal) index(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, indexes); err != nil {
		return fail("open the journal", j.path, err)
	}
	if err := tx.Commit(); err != nil {
		return fail("open the journal", j.path, err)
	}
	return nil
}

// Close closes the journal.
func (j *Journal) Close() error {
	if err := j.db.Close(); err != nil {
		return fail("close the journal", j.path, err)
	}
	return nil
}

// Append makes a batch of records of one run durable: all of them or none.
// After an error the batch may or may not be there; Records tells.
func (j *Journal) Append(ctx context.Context, run string, records []firedrill.Record) error {
	if len(records) == 0 {
		return nil
	}
	tx, err := j.db.BeginTx(ctx, nil)
	if err != nil {
		return fail("append to the journal", "run "+run, err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	for _, r := range records {
		if err := insert(ctx, tx, run, r); err != nil {
			return fail("append to the journal", "run "+run, err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fail("append to the journal", "run "+run, err)
	}
	return nil
}

func insert(ctx context.Context, tx *sql.Tx, run string, r firedrill.Record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if b, ok := r.Body.(firedrill.RunStarted); ok {
		_, err := tx.ExecContext(ctx, "INSERT INTO runs(run, drill, environment, started) VALUES (?, ?, ?, ?)",
			run, b.Program.Drill, b.Program.Environment.Name, r.At.Wall.UnixNano())
		if err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO records(run, seq, record) VALUES (?, ?, ?)", run, r.Seq, string(data)); err != nil {
		return err
	}
	if b, ok := r.Body.(firedrill.Finished); ok {
		_, err := tx.ExecContext(ctx, "UPDATE runs SET finished = ?, verdict = ?, reason = ?, state = ? WHERE run = ?",
			r.At.Wall.UnixNano(), string(b.Verdict), string(b.ReasonCode), string(b.Environment), run)
		return err
	}
	return nil
}

// Records gives all records of a run in order.
func (j *Journal) Records(ctx context.Context, run string) ([]firedrill.Record, error) {
	rows, err := j.db.QueryContext(ctx, "SELECT seq, record FROM records WHERE run = ? ORDER BY seq", run)
	if err != nil {
		return nil, fail("read the journal", "run "+run, err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var records []firedrill.Record
	for rows.Next() {
		var seq int64
		var text string
		if err := rows.Scan(&seq, &text); err != nil {
			return nil, fail("read the journal", "run "+run, err)
		}
		var r firedrill.Record
		if err := json.Unmarshal([]byte(text), &r); err != nil || r.Seq != seq {
			return nil, &firedrill.Error{Op: "read the journal", Kind: firedrill.KindCorrupt, Target: fmt.Sprintf("run %s, record %d", run, seq),
				Detail: "it cannot be read", Remedy: "if a newer firedrill wrote it, use that one", Err: err}
		}
		records = append(records, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fail("read the journal", "run "+run, err)
	}
	if len(records) == 0 {
		return nil, &firedrill.Error{Op: "read the journal", Kind: firedrill.KindUsage, Target: "run " + run, Detail: "there is no such run", Remedy: "see: firedrill history"}
	}
	return records, nil
}

// Query narrows [Journal.Runs].
type Query struct {
	Drill       string
	Environment string
	Unfinished  bool
	Verdict     firedrill.Verdict          // of runs that are finished
	State       firedrill.EnvironmentState // that they left
	Before      time.Time                  // only runs that were started earlier; zero: all
	Limit       int                        // 0: all
}

// sql writes a query out.
func (q Query) sql() (text string, args []any) {
	text = "SELECT run, drill, environment, started, coalesce(finished, 0), coalesce(verdict, ''), coalesce(reason, ''), coalesce(state, '') FROM runs"
	var where []string
	add := func(condition string, arg ...any) { where, args = append(where, condition), append(args, arg...) }
	if q.Drill != "" {
		add("drill = ?", q.Drill)
	}
	if q.Environment != "" {
		add("environment = ?", q.Environment)
	}
	if q.Unfinished {
		add("finished IS NULL")
	}
	if q.Verdict != "" {
		add("verdict = ?", string(q.Verdict))
	}
	switch q.State {
	case "":
	case firedrill.Dirty:
		add("state = 'dirty'") // written out, so that its index serves
	default:
		add("state = ?", string(q.State))
	}
	if !q.Before.IsZero() {
		add("started < ?", q.Before.UnixNano())
	}
	if len(where) > 0 {
		text += " WHERE " + strings.Join(where, " AND ")
	}
	text += " ORDER BY started DESC, run DESC"
	if q.Limit > 0 {
		text += " LIMIT ?"
		args = append(args, q.Limit)
	}
	return text, args
}

// Runs gives the runs, the newest first, without reading their records.
func (j *Journal) Runs(ctx context.Context, q Query) ([]Run, error) {
	text, args := q.sql()
	rows, err := j.db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fail("read the journal", j.path, err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var runs []Run
	for rows.Next() {
		var r Run
		var started, finished int64
		if err := rows.Scan(&r.ID, &r.Drill, &r.Environment, &started, &finished, &r.Verdict, &r.Reason, &r.State); err != nil {
			return nil, fail("read the journal", j.path, err)
		}
		r.Started = time.Unix(0, started).UTC()
		if finished != 0 {
			r.Finished = time.Unix(0, finished).UTC()
		}
		runs = append(runs, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fail("read the journal", j.path, err)
	}
	return runs, nil
}

func fail(op, target string, err error) error {
	return &firedrill.Error{Op: op, Kind: firedrill.KindStorage, Target: target, Remedy: "look at the disk (full? read-only?), or use another --home", Err: err}
}
