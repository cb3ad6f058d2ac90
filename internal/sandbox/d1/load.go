package d1

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"time"
)

// MaxImport is the size of an import, in bytes: the platform's 5 GB.
const MaxImport = int64(5_000_000_000)

// ImportResult is what an import did.
type ImportResult struct {
	Queries  int
	Bookmark string
	Meta     Meta
}

// Import performs SQL text as one transaction: all of it, or nothing. Each of
// its statements has the platform's time; together they have as long as they
// need. The text is read as it is performed and never held.
func (s *Store) Import(ctx context.Context, id string, r io.Reader) (ImportResult, error) {
	db, _, err := s.open(ctx, id)
	if err != nil {
		return ImportResult{}, err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	res, err := db.load(ctx, &bounded{from: r, most: MaxImport})
	if err != nil {
		return ImportResult{}, err
	}
	tx, err := db.settle(ctx)
	res.Bookmark = bookmark(tx, db.id)
	return res, err
}

func (d *database) load(ctx context.Context, r io.Reader) (res ImportResult, err error) {
	start := time.Now()
	err = d.atomic(ctx, func() error {
		before, err := d.counters(ctx)
		if err != nil {
			return answerError(err)
		}
		returned, err := d.perform(ctx, readSplitter(r), &res.Queries)
		if err != nil {
			return err
		}
		after, err := d.counters(ctx)
		if err != nil {
			return answerError(err)
		}
		n := after.total - before.total
		res.Meta = Meta{Changes: n, RowsWritten: n, RowsRead: max(n, returned), LastRowID: after.lastRowID, SizeAfter: after.size,
			ChangedDB: n > 0 || after.schema != before.schema}
		return nil
	})
	res.Meta.Duration = time.Since(start)
	return res, err
}

// perform performs statements and counts them, and the rows that they return.
func (d *database) perform(ctx context.Context, texts *splitter, queries *int) (returned int64, err error) {
	for {
		text, err := texts.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		if err := acceptable(text); err != nil {
			return 0, err
		}
		if err := d.performOne(ctx, text, &returned); err != nil {
			return 0, answerError(err)
		}
		*queries++
	}
	if *queries == 0 {
		return 0, badRequest("No SQL statements detected")
	}
	return returned, nil
}

func (d *database) performOne(ctx context.Context, text string, returned *int64) error {
	ctx, cancel := context.WithTimeout(ctx, QueryTimeout)
	defer cancel()
	_, err := each(ctx, d.conn, text, nil, func([]driver.Value) error {
		*returned++
		return nil
	})
	return err
}

// bounded refuses a text that goes on for too long.
type bounded struct {
	from       io.Reader
	read, most int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if b.read += int64(n); b.read > b.most {
		return 0, badRequest("the import is larger than %d bytes", b.most)
	}
	return n, err
}
