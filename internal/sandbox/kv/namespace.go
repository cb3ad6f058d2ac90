package kv

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"firedrill/internal/sandbox/disk"
)

// The keys stand in a tree of their own, small enough that a write in any
// order touches few pages; the values stand in the order in which they came.
const schema = `
CREATE TABLE IF NOT EXISTS entries (
  key BLOB PRIMARY KEY,
  id INTEGER NOT NULL, -- of the value
  expiration INTEGER,
  metadata BLOB
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contents (id INTEGER PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS by_expiration ON entries(expiration) WHERE expiration IS NOT NULL;
`

// The statements of a namespace. An expired entry is as good as gone.
const (
	sqlGet    = "SELECT value, metadata, coalesce(expiration, 0) FROM entries JOIN contents USING (id) WHERE key = ?1 AND (expiration IS NULL OR expiration > ?2)"
	sqlEnter  = "INSERT INTO entries(key, id, expiration, metadata) VALUES (?1, ?2, ?3, ?4) ON CONFLICT(key) DO UPDATE SET expiration = ?3, metadata = ?4 RETURNING id"
	sqlFill   = "INSERT INTO contents(id, value) VALUES (?1, ?2) ON CONFLICT(id) DO UPDATE SET value = ?2"
	sqlDelete = "DELETE FROM entries WHERE key = ?1 RETURNING id"
	sqlEmpty  = "DELETE FROM contents WHERE id = ?1"
	sqlExpire = "DELETE FROM contents WHERE id IN (SELECT id FROM entries WHERE expiration <= ?1); DELETE FROM entries WHERE expiration <= ?1"
	sqlList   = "SELECT key, metadata, coalesce(expiration, 0) FROM entries WHERE key >= ?1 AND key < ?2 AND (expiration IS NULL OR expiration > ?3) ORDER BY key LIMIT ?4"
	sqlCount  = "SELECT count(*), coalesce(sum(length(value)), 0) FROM entries JOIN contents USING (id) WHERE expiration IS NULL OR expiration > ?1"
	sqlNext   = "SELECT coalesce(max(id), 0) + 1 FROM contents"
)

// readers is how many reads of one namespace run at the same time.
const readers = 4

// namespace is one namespace; its files are opened when it is first used.
type namespace struct {
	Namespace
	path string

	once    sync.Once
	openErr error
	read    *sql.DB
	write   *sql.DB
	// Prepared once: preparing costs more than most statements.
	get, list                  *sql.Stmt
	enter, fill, remove, empty *sql.Stmt
	next                       int64 // id of the next new value; the writer's
	writes                     chan *write
	stop                       chan struct{}
	stopped                    chan struct{}
	ended                      error // why it was closed; set before stop
}

// open prepares the namespace. A failure stays: what cannot be opened now
// would be no better later, and a second try could overlap the first.
func (n *namespace) open(ctx context.Context) error {
	n.once.Do(func() { n.openErr = n.prepare(context.WithoutCancel(ctx)) })
	return n.openErr
}

func (n *namespace) prepare(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open KV namespace %s: %w", n.ID, errors.Join(err, closeDB(n.read), closeDB(n.write)))
		}
	}()
	// A long log lets bulk writes that touch the same pages again share the cost
	// of moving them; a checkpoint shortens it to its limit.
	if n.write, err = openDB(n.path, 1, "cache_size(-32000)", "wal_autocheckpoint(16000)", "journal_size_limit(4194304)"); err != nil {
		return err
	}
	if _, err = n.write.ExecContext(ctx, schema); err != nil {
		return err
	}
	if err = n.write.QueryRowContext(ctx, sqlNext).Scan(&n.next); err != nil {
		return err
	}
	if n.read, err = openDB(n.path, readers, "query_only(ON)"); err != nil {
		return err
	}
	for _, p := range []struct {
		db   *sql.DB
		stmt **sql.Stmt
		text string
	}{{n.read, &n.get, sqlGet}, {n.read, &n.list, sqlList}, {n.write, &n.enter, sqlEnter}, {n.write, &n.fill, sqlFill},
		{n.write, &n.remove, sqlDelete}, {n.write, &n.empty, sqlEmpty}} {
		if *p.stmt, err = p.db.PrepareContext(ctx, p.text); err != nil { //nolint:sqlclosecheck // they end with the namespace
			return err
		}
	}
	n.writes, n.stop, n.stopped = make(chan *write), make(chan struct{}), make(chan struct{})
	go n.writer()
	return nil
}

func openDB(path string, conns int, pragmas ...string) (*sql.DB, error) {
	db, err := disk.OpenSQLite(path, pragmas...)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

func closeDB(db *sql.DB) error {
	if db == nil {
		return nil
	}
	return db.Close()
}

// close ends the namespace; calls that meet its end get the reason.
func (n *namespace) close(why error) error {
	n.once.Do(func() { n.openErr = why })
	if n.stop == nil {
		return nil // it was never opened
	}
	n.ended = why
	close(n.stop)
	<-n.stopped
	var errs []error
	for _, s := range []*sql.Stmt{n.get, n.list, n.enter, n.fill, n.remove, n.empty} {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, n.read.Close(), n.write.Close())...)
}

// met gives the reason of a failed read: what goes wrong once the namespace is
// closed goes wrong because it is.
func (n *namespace) met(what string, err error) error {
	select {
	case <-n.stop:
		return n.ended
	default:
		return fmt.Errorf("%s KV namespace %s: %w", what, n.ID, err)
	}
}

// errDeleted is what a call gets that meets the namespace's deletion.
func errDeleted() error {
	return refuse(http.StatusNotFound, CodeNoNamespace, "namespace not found")
}

// errShut is what a call gets once the store is closed: that says nothing about
// what is stored.
func errShut() error { return errors.New("the KV namespaces are closed") }
