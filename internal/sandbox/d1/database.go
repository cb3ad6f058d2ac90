package d1

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"firedrill/internal/sandbox/d1/pagehistory"
)

// The files of a database's folder.
const (
	mainFile    = "db.sqlite"
	historyFile = "pages.history"
)

// checkpointFrames is how long the WAL may grow, in pages, unless the options
// say otherwise.
const checkpointFrames = 2000

// longWAL is how many times that long a WAL must be to be cut off when it was
// moved.
const longWAL = 8

// maxAnswer bounds what one request may read, in bytes.
const maxAnswer = 512 << 20

// database is one open database. The platform's databases do one thing at a
// time, and so do these: mu is held for every request.
type database struct {
	dir string
	id  [16]byte
	at  func(string)
	// frames is how long the WAL may grow, in pages.
	frames uint32

	mu      sync.Mutex
	gate    *gate
	db      *sql.DB
	conn    *sql.Conn
	files   pagehistory.Files
	history *pagehistory.History
}

// createFiles makes an empty database in WAL mode.
func createFiles(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create a database: %w", err)
	}
	path := filepath.Join(dir, mainFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("create a database: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("create a database: %w", err)
	}
	db, conn, err := connect(ctx, path, false)
	if err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "PRAGMA journal_mode=WAL")
	return errors.Join(err, conn.Close(), db.Close())
}

// openDatabase opens the files in the only order that is safe: our own
// descriptors first, then the page history (which reads what the WAL holds
// beyond it), SQLite last.
func openDatabase(ctx context.Context, dir, databaseID string, now func() time.Time, at func(string), frames uint32) (*database, error) {
	d := &database{dir: dir, id: identity(databaseID), at: at, gate: &gate{}, frames: frames}
	if d.at == nil {
		d.at = func(string) {}
	}
	main := filepath.Join(dir, mainFile)
	var err error
	open := func(path string, flag int) *os.File {
		if err != nil {
			return nil
		}
		var f *os.File
		f, err = os.OpenFile(path, flag, 0o600)
		return f
	}
	d.files.Main = open(main, os.O_RDONLY)
	d.files.WAL = open(main+"-wal", os.O_RDWR|os.O_CREATE)
	d.files.History = open(filepath.Join(dir, historyFile), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a database: %w", err), d.closeFiles())
	}
	pageSize, err := readPageSize(d.files.Main)
	if err == nil {
		d.history, err = pagehistory.Open(d.files, pageSize, pagehistory.Options{ID: d.id, Now: now, At: d.at})
	}
	if err == nil {
		d.db, d.conn, err = connect(ctx, main, true)
	}
	if err == nil {
		err = d.gate.guard(d.conn)
	}
	if err != nil {
		return nil, errors.Join(err, d.shut())
	}
	return d, nil
}

// readPageSize reads the page size from a database's header (bytes 16 and 17;
// 1 stands for 65536), https://www.sqlite.org/fileformat2.html#page_size.
func readPageSize(f *os.File) (uint32, error) {
	var b [2]byte
	if _, err := f.ReadAt(b[:], 16); err != nil {
		return 0, fmt.Errorf("read the head of a database: %w", err)
	}
	if n := uint32(b[0])<<8 | uint32(b[1]); n != 1 {
		return n, nil
	}
	return 65536, nil
}

// close makes everything durable and leaves no WAL behind.
func (d *database) close(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.checkpoint(ctx, "TRUNCATE"); err != nil {
		// Closing now would delete frames that the history does not hold. The
		// WAL is left as a kill would leave it; the next start captures it.
		return fmt.Errorf("close a database: %w", err)
	}
	return d.shut()
}

// shut closes SQLite first and our descriptors after it.
func (d *database) shut() error {
	var errs []error
	if d.conn != nil {
		errs = append(errs, d.conn.Close())
	}
	if d.db != nil {
		errs = append(errs, d.db.Close())
	}
	return errors.Join(append(errs, d.closeFiles())...)
}

func (d *database) closeFiles() error {
	var errs []error
	for _, f := range []*os.File{d.files.Main, d.files.WAL, d.files.History} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// query performs a batch as one transaction.
func (d *database) query(ctx context.Context, batch []Statement) ([]Result, string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	results, err := d.transaction(ctx, batch)
	if err != nil {
		return nil, "", err
	}
	tx, err := d.settle(ctx)
	if err != nil {
		return nil, "", err
	}
	return results, bookmark(tx, d.id), nil
}

func (d *database) transaction(ctx context.Context, batch []Statement) (results []Result, err error) {
	statements, err := flatten(batch)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, QueryTimeout)
	defer cancel()
	err = d.atomic(ctx, func() error {
		for _, st := range statements {
			r, err := d.statement(ctx, st)
			if err != nil {
				return answerError(err)
			}
			results = append(results, r)
		}
		return nil
	})
	return results, err
}

// atomic performs work as one transaction: all of it, or nothing.
func (d *database) atomic(ctx context.Context, work func() error) error {
	if err := d.own(ctx, "BEGIN IMMEDIATE"); err != nil {
		// Where the client went away at this very moment, it may have begun.
		return errors.Join(answerError(err), d.rollback())
	}
	if err := work(); err != nil {
		return errors.Join(err, d.rollback())
	}
	d.at("before commit")
	if err := d.own(context.WithoutCancel(ctx), "COMMIT"); err != nil {
		return errors.Join(answerError(err), d.rollback())
	}
	d.at("after commit")
	return nil
}

// rollback gives up the open transaction. SQLite may have done so itself.
func (d *database) rollback() error {
	err := d.own(context.Background(), "ROLLBACK")
	if err != nil && !isNoTransaction(err) {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

func isNoTransaction(err error) bool {
	var e *Error
	return errors.As(answerError(err), &e) && e.Message == "cannot rollback - no transaction is active: SQLITE_ERROR"
}

// own performs a statement of the store's own.
func (d *database) own(ctx context.Context, text string) error {
	d.gate.open = true
	defer func() { d.gate.open = false }()
	_, err := run(ctx, d.conn, text, nil)
	return err
}

// ownTable reads with a statement of the store's own.
func (d *database) ownTable(ctx context.Context, text string, params ...any) (table, error) {
	d.gate.open = true
	defer func() { d.gate.open = false }()
	return run(ctx, d.conn, text, params)
}

// ownRows shows the rows of a statement of the store's own, one at a time.
func (d *database) ownRows(ctx context.Context, text string, row func([]driver.Value) error) error {
	d.gate.open = true
	defer func() { d.gate.open = false }()
	_, err := each(ctx, d.conn, text, nil, row)
	return err
}

// settle captures what was committed, before it is acknowledged, and
// checkpoints when the WAL has grown.
func (d *database) settle(ctx context.Context) (uint64, error) {
	tx, err := d.history.Capture()
	if err != nil {
		return 0, err
	}
	frames := d.history.Unmoved()
	switch {
	case frames >= longWAL*d.frames:
		// The file would keep the size of the largest transaction for good.
		err = d.checkpoint(ctx, "TRUNCATE")
	case frames >= d.frames:
		err = d.checkpoint(ctx, "PASSIVE")
	}
	return tx, err
}

// checkpoint moves the WAL into the main file: capture, fsync the history,
// and only then checkpoint.
func (d *database) checkpoint(ctx context.Context, mode string) error {
	if _, err := d.history.Capture(); err != nil {
		return err
	}
	if err := d.history.Sync(); err != nil {
		return err
	}
	d.at("before checkpoint")
	t, err := d.ownTable(context.WithoutCancel(ctx), "PRAGMA wal_checkpoint("+mode+")")
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	// The answer is busy, frames in the WAL, frames moved.
	if r := t.rows[0]; r[0] == int64(0) && r[1] == r[2] {
		d.history.Checkpointed()
	}
	d.at("after checkpoint")
	return nil
}

// now is the bookmark of what was committed last.
func (d *database) now() (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	tx, err := d.history.Capture()
	return bookmark(tx, d.id), err
}

// atTime is the newest bookmark at or before a time.
func (d *database) atTime(t, created time.Time) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.history.Capture(); err != nil {
		return "", err
	}
	if tx, ok := d.history.TxAt(t); ok {
		return bookmark(tx, d.id), nil
	}
	if d.history.Oldest() == 0 && !t.Before(created.Truncate(time.Second)) {
		return bookmark(0, d.id), nil
	}
	return "", badRequest("Cannot find a bookmark at %s: the history of this database does not reach back that far", t.UTC().Format(time.RFC3339))
}

// restore rewinds in place and gives the new and the previous bookmark.
func (d *database) restore(ctx context.Context, to string) (now, previous string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	tx, err := parseBookmark(to, d.id)
	if err != nil {
		return "", "", err
	}
	current, err := d.history.Capture()
	if err != nil {
		return "", "", err
	}
	switch {
	case tx > current:
		return "", "", badRequest("Invalid bookmark: it lies in the future of this database")
	case tx < d.history.Oldest():
		return "", "", badRequest("Invalid bookmark: it is older than the history of this database, which begins at %s", bookmark(d.history.Oldest(), d.id))
	}
	plan, err := d.history.Plan(tx)
	if err != nil {
		return "", "", err
	}
	if !plan.Empty() {
		d.at("before rewind")
		if err := d.rewind(context.WithoutCancel(ctx), plan); err != nil {
			return "", "", err
		}
		d.at("after rewind")
	}
	after, err := d.history.Capture()
	if err != nil {
		return "", "", err
	}
	if !plan.Empty() && d.history.Size() != plan.Size {
		return "", "", fmt.Errorf("the rewind left %d pages, not %d", d.history.Size(), plan.Size)
	}
	return bookmark(after, d.id), bookmark(current, d.id), nil
}

// rewind writes the pages of a plan in ONE autocommit statement on a fresh
// connection of its own: inside BEGIN … COMMIT the truncation would silently
// be dropped, and page 1 written first is a malformed database.
func (d *database) rewind(ctx context.Context, plan pagehistory.Rewind) (err error) {
	db, conn, err := connect(ctx, filepath.Join(d.dir, mainFile), false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(), db.Close()) }()
	work := make([][]any, 0, len(plan.Pages)+1)
	for i, p := range plan.Pages {
		work = append(work, []any{p, i})
	}
	if plan.Truncate {
		work = append(work, []any{plan.Size + 1, nil})
	}
	list, err := json.Marshal(work)
	if err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	size := strconv.Itoa(int(plan.PageSize))
	_, err = run(ctx, conn, `INSERT INTO sqlite_dbpage(pgno, data)
		SELECT value->>0, CASE WHEN value->>1 IS NULL THEN NULL ELSE substr(?2, (value->>1)*`+size+`+1, `+size+`) END FROM json_each(?1)`,
		[]any{string(list), plan.Images})
	if err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	return nil
}
