package r2

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"firedrill/internal/sandbox/disk"
)

const (
	indexFile     = "r2.db"
	blobsFolder   = "blobs"
	schemaVersion = 1
)

const schema = `
CREATE TABLE buckets (name TEXT PRIMARY KEY, created INTEGER NOT NULL) STRICT;
CREATE TABLE objects (
  bucket TEXT NOT NULL REFERENCES buckets(name),
  key BLOB NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (bucket, key)
) STRICT;
CREATE TABLE uploads (
  id TEXT PRIMARY KEY,
  bucket TEXT NOT NULL REFERENCES buckets(name) ON DELETE CASCADE,
  key BLOB NOT NULL,
  body TEXT NOT NULL
) STRICT;
CREATE TABLE parts (
  upload TEXT NOT NULL REFERENCES uploads(id) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  blob TEXT NOT NULL,
  size INTEGER NOT NULL,
  etag TEXT NOT NULL,
  PRIMARY KEY (upload, number)
) STRICT;
PRAGMA user_version = 1;
`

// Store holds the buckets of one account. Its methods may be called
// concurrently.
type Store struct {
	opt Options
	db  *sql.DB
}

// record is how an object stands in the index.
type record struct {
	Version   string            `json:"version"`
	Size      int64             `json:"size"`
	ETag      string            `json:"etag"`
	Uploaded  int64             `json:"uploaded"` // milliseconds since 1970
	HTTP      HTTP              `json:"http"`
	Custom    map[string]string `json:"custom,omitempty"`
	Checksums Checksums         `json:"checksums"`
	Pieces    []piece           `json:"pieces"`
}

// Open opens the store, or makes an empty one.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := os.MkdirAll(filepath.Join(o.Dir, blobsFolder), 0o700); err != nil {
		return nil, fmt.Errorf("open the R2 buckets: %w", err)
	}
	db, err := disk.OpenSQLite(filepath.Join(o.Dir, indexFile), "foreign_keys(ON)")
	if err != nil {
		return nil, fmt.Errorf("open the R2 buckets: %w", err)
	}
	s := &Store{opt: o, db: db}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open the R2 buckets: %w", err), db.Close())
	}
	return s, nil
}

func (s *Store) prepare(ctx context.Context) error {
	var version int
	if err := s.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch {
	case version > schemaVersion:
		return fmt.Errorf("%s is of format %d, this version knows %d: use a newer firedrill or another state folder", indexFile, version, schemaVersion)
	case version == 0:
		return s.tx(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, schema)
			return err
		})
	}
	return s.sweep(ctx)
}

// sweep removes files to which nothing refers: a crash left them.
func (s *Store) sweep(ctx context.Context) error {
	used := map[string]bool{}
	rows, err := s.db.QueryContext(ctx, "SELECT p.value ->> 'blob' FROM objects, json_each(objects.body, '$.pieces') AS p UNION ALL SELECT blob FROM parts")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells what went wrong
	for rows.Next() {
		var blob string
		if err := rows.Scan(&blob); err != nil {
			return err
		}
		used[blob] = true
	}
	if err := rows.Err(); err != nil {
		return err
	}
	files, err := os.ReadDir(filepath.Join(s.opt.Dir, blobsFolder))
	if err != nil {
		return err
	}
	for _, f := range files {
		if !used[f.Name()] {
			if err := os.Remove(s.blob(f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close closes the store. What was acknowledged is durable without it.
func (s *Store) Close() error { return s.db.Close() }

func (s *Store) blob(name string) string { return filepath.Join(s.opt.Dir, blobsFolder, name) }

func (s *Store) tx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("R2: %w", err)
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("R2: %w", err)
	}
	return nil
}

// newID gives 16 random bytes in hexadecimal.
func (s *Store) newID() (string, error) {
	var id [16]byte
	if _, err := io.ReadFull(s.opt.Random, id[:]); err != nil {
		return "", fmt.Errorf("R2: %w", err)
	}
	return hex.EncodeToString(id[:]), nil
}

// CreateBucket makes a bucket.
func (s *Store) CreateBucket(ctx context.Context, name string) (Bucket, error) {
	if !bucketName.MatchString(name) {
		return Bucket{}, refuse(http.StatusBadRequest, CodeBucketName, "The specified bucket name is not valid.")
	}
	b := Bucket{name, s.opt.Now().UTC().Truncate(time.Millisecond)}
	err := s.tx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO buckets VALUES (?, ?)", name, b.Created.UnixMilli())
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 1 {
			return err
		}
		return refuse(http.StatusConflict, CodeBucketExists, "The bucket you tried to create already exists, and you own it.")
	})
	return b, err
}

// Buckets lists the buckets by name.
func (s *Store) Buckets(ctx context.Context) ([]Bucket, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT name, created FROM buckets ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("R2: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err tells what went wrong
	list := []Bucket{}
	for rows.Next() {
		var b Bucket
		var created int64
		if err := rows.Scan(&b.Name, &created); err != nil {
			return nil, fmt.Errorf("R2: %w", err)
		}
		b.Created = time.UnixMilli(created).UTC()
		list = append(list, b)
	}
	return list, rows.Err()
}

// Bucket finds one bucket.
func (s *Store) Bucket(ctx context.Context, name string) (Bucket, error) {
	all, err := s.Buckets(ctx)
	if err != nil {
		return Bucket{}, err
	}
	if i := slices.IndexFunc(all, func(b Bucket) bool { return b.Name == name }); i >= 0 {
		return all[i], nil
	}
	return Bucket{}, refuse(http.StatusNotFound, CodeNoBucket, "The specified bucket does not exist.")
}

// DeleteBucket removes an empty bucket.
func (s *Store) DeleteBucket(ctx context.Context, name string) error {
	if _, err := s.Bucket(ctx, name); err != nil {
		return err
	}
	return s.tx(ctx, func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM objects WHERE bucket = ?", name).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return refuse(http.StatusConflict, CodeNotEmpty, "The bucket you tried to delete is not empty.")
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM buckets WHERE name = ?", name)
		return err
	})
}

// find reads an object's record; nil: there is none.
func find(ctx context.Context, q interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, bucket, key string) (*Object, error) {
	var body string
	err := q.QueryRowContext(ctx, "SELECT body FROM objects WHERE bucket = ? AND key = ?", bucket, []byte(key)).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("R2: %w", err)
	}
	return decode(key, body)
}

func decode(key, body string) (*Object, error) {
	var r record
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		return nil, fmt.Errorf("R2: damaged record of %q: %w", key, err)
	}
	return &Object{Key: key, Version: r.Version, Size: r.Size, ETag: r.ETag, Uploaded: time.UnixMilli(r.Uploaded).UTC(),
		HTTP: r.HTTP, Custom: r.Custom, Checksums: r.Checksums, pieces: r.Pieces}, nil
}

// replace stores an object in place of what is there, if the condition on that
// holds, and gives the files that are not needed any more.
func (s *Store) replace(ctx context.Context, tx *sql.Tx, bucket string, o *Object, c Condition) (old []piece, err error) {
	have, err := find(ctx, tx, bucket, o.Key)
	if err != nil {
		return nil, err
	}
	if !c.holds(have) {
		return nil, preconditionFailed(have)
	}
	if have != nil {
		old = have.pieces
	}
	if o.Version, err = s.newID(); err != nil {
		return nil, err
	}
	o.Uploaded = s.opt.Now().UTC().Truncate(time.Millisecond)
	body, err := json.Marshal(record{o.Version, o.Size, o.ETag, o.Uploaded.UnixMilli(), o.HTTP, o.Custom, o.Checksums, o.pieces})
	if err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO objects(bucket, key, body) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET body = ?3", bucket, []byte(o.Key), string(body))
	return old, err
}

// discard removes files to which nothing refers any more. What cannot be
// removed now is removed at the next start.
func (s *Store) discard(list []piece) {
	for _, p := range list {
		if err := os.Remove(s.blob(p.Blob)); err != nil {
			s.opt.Log.Warn("a file of a replaced R2 object stays until the next start", "err", err)
		}
	}
}

// behind is a bound above all keys with a prefix, and below all others that
// come after them. No UTF-8 text holds the byte 0xff.
func behind(prefix string) []byte { return append([]byte(prefix), 0xff) }

// Query says which objects are listed.
type Query struct {
	Prefix, Delimiter string
	StartAfter        string
	Cursor            string // from the page before
	Limit             int    // 1 to MaxList; 0: MaxList
}

// Page is a part of a list: objects, and what stands before the delimiter in
// the keys that were grouped by it.
type Page struct {
	Objects  []*Object
	Prefixes []string
	Cursor   string // empty: there is no more
}

// List lists objects in the order of their keys' bytes.
func (s *Store) List(ctx context.Context, bucket string, q Query) (Page, error) {
	if _, err := s.Bucket(ctx, bucket); err != nil {
		return Page{}, err
	}
	if q.Limit == 0 {
		q.Limit = MaxList
	}
	if q.Limit < 1 || q.Limit > MaxList {
		return Page{}, refuse(http.StatusBadRequest, CodeMaxKeys, "MaxKeys params must be positive integer <= %d.", MaxList)
	}
	cursor, err := hex.DecodeString(q.Cursor)
	if err != nil {
		return Page{}, refuse(http.StatusBadRequest, CodeArgument, "The cursor is not one that a list gave.")
	}
	after := slices.Max([]string{q.StartAfter, string(cursor)})
	page := Page{}
	for {
		key, o, err := s.next(ctx, bucket, q.Prefix, after)
		if err != nil {
			return Page{}, err
		}
		if o == nil {
			return page, nil
		}
		if len(page.Objects)+len(page.Prefixes) == q.Limit {
			page.Cursor = hex.EncodeToString([]byte(after))
			return page, nil
		}
		after = key
		if q.Delimiter != "" {
			if i := strings.Index(key[len(q.Prefix):], q.Delimiter); i >= 0 {
				group := key[:len(q.Prefix)+i+len(q.Delimiter)]
				page.Prefixes = append(page.Prefixes, group)
				after = string(behind(group)) // skips the rest of the group
				continue
			}
		}
		page.Objects = append(page.Objects, o)
	}
}

// next finds the first object with a prefix behind a key; nil: there is none.
func (s *Store) next(ctx context.Context, bucket, prefix, after string) (string, *Object, error) {
	var key []byte
	var body string
	// The smallest key that comes behind after and has the prefix.
	from := max(prefix, after+"\x00")
	err := s.db.QueryRowContext(ctx, "SELECT key, body FROM objects WHERE bucket = ?1 AND key >= ?2 AND key < ?3 ORDER BY key LIMIT 1",
		bucket, []byte(from), behind(prefix)).Scan(&key, &body)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("R2: %w", err)
	}
	o, err := decode(string(key), body)
	return string(key), o, err
}
