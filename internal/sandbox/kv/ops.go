package kv

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"slices"
	"time"
)

// Read says from where a key is read.
type Read struct {
	Place Place
	// CacheTTL is how long the reader allows its place to keep what it reads;
	// only what is longer than the store's lag counts.
	CacheTTL time.Duration
}

// Get reads one key; ok is false when there is none.
func (s *Store) Get(ctx context.Context, id, key string, r Read) (e Entry, ok bool, err error) {
	e, ok, since := s.edge.lookup(r.Place, id, key)
	if since == remembered {
		return e, ok, nil
	}
	n, err := s.open(ctx, id)
	if err != nil {
		return Entry{}, false, err
	}
	e.Key = key
	var metadata []byte
	// One look into a tree: to watch over its cancellation would cost more.
	err = n.get.QueryRowContext(context.WithoutCancel(ctx), []byte(key), s.opt.Now().Unix()).Scan(&e.Value, &metadata, &e.Expiration)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		e = Entry{}
	case err != nil:
		return Entry{}, false, n.met("read", err)
	default:
		ok = true
		if metadata != nil {
			e.Metadata = metadata
		}
	}
	s.edge.keep(r, since, id, key, e, ok)
	return e, ok, nil
}

// Put stores one entry, durable when it returns.
func (s *Store) Put(ctx context.Context, id string, place Place, e Entry) error {
	if err := e.Check(); err != nil {
		return err
	}
	n, err := s.open(ctx, id)
	if err != nil {
		return err
	}
	if err := n.do(ctx, false, func(b *batch) error { return b.Put(e) }); err != nil {
		return err
	}
	s.edge.wrote(place, id, e.Key)
	return nil
}

// PutAll stores the entries that next gives until it says that there are no
// more. When one is refused nothing is stored.
func (s *Store) PutAll(ctx context.Context, id string, place Place, next func() (e Entry, more bool, err error)) (int, error) {
	n, err := s.open(ctx, id)
	if err != nil {
		return 0, err
	}
	var keys []string
	err = n.do(ctx, true, func(b *batch) error {
		// What has expired goes on the occasion of a great write.
		if _, err := b.tx.ExecContext(b.ctx, sqlExpire, s.opt.Now().Unix()); err != nil {
			return err
		}
		for {
			e, more, err := next()
			if err != nil || !more {
				return err
			}
			if err := e.Check(); err != nil {
				return err
			}
			if len(keys) == MaxPairs {
				return bad("A bulk write takes at most %d pairs.", MaxPairs)
			}
			keys = append(keys, e.Key)
			if err := b.Put(e); err != nil {
				return err
			}
		}
	})
	if err != nil {
		return 0, err
	}
	s.edge.wrote(place, id, keys...)
	return len(keys), nil
}

// DeleteKeys removes keys; those that do not exist count as removed.
func (s *Store) DeleteKeys(ctx context.Context, id string, place Place, keys []string) error {
	for _, k := range keys {
		if err := CheckKey(k); err != nil {
			return err
		}
	}
	n, err := s.open(ctx, id)
	if err != nil {
		return err
	}
	err = n.do(ctx, len(keys) > 1, func(b *batch) error {
		for _, k := range keys {
			if err := b.Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.edge.wrote(place, id, keys...)
	return nil
}

// Query says which keys are listed.
type Query struct {
	Prefix string
	Cursor string // from the page before; empty: from the beginning
	Limit  int    // 1 to MaxList; 0: MaxList
}

// Page is a part of a list. Its entries carry no values.
type Page struct {
	Keys []Entry
	// Cursor gives the next page; empty: there is none.
	Cursor string
}

// List lists keys in the order of their bytes.
func (s *Store) List(ctx context.Context, id string, q Query) (Page, error) {
	n, err := s.open(ctx, id)
	if err != nil {
		return Page{}, err
	}
	if q.Limit == 0 {
		q.Limit = MaxList
	}
	last, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err != nil {
		return Page{}, bad("the cursor is not one that a list gave")
	}
	from := []byte(q.Prefix)
	if q.Cursor != "" {
		// The smallest key behind the last one.
		from = slices.MaxFunc([][]byte{from, append(last, 0)}, bytes.Compare)
	}
	// One more than asked for tells whether there is another page.
	rows, err := n.list.QueryContext(ctx, from, behind(q.Prefix), s.opt.Now().Unix(), q.Limit+1)
	if err != nil {
		return Page{}, n.met("list", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err tells what went wrong
	page := Page{Keys: []Entry{}}
	for rows.Next() {
		var key, metadata []byte
		var e Entry
		if err := rows.Scan(&key, &metadata, &e.Expiration); err != nil {
			return Page{}, n.met("list", err)
		}
		if e.Key = string(key); metadata != nil {
			e.Metadata = metadata
		}
		page.Keys = append(page.Keys, e)
	}
	if err := rows.Err(); err != nil {
		return Page{}, n.met("list", err)
	}
	if len(page.Keys) > q.Limit {
		page.Keys = page.Keys[:q.Limit]
		page.Cursor = base64.RawURLEncoding.EncodeToString([]byte(page.Keys[q.Limit-1].Key))
	}
	return page, nil
}

// behind is a bound above all keys with a prefix, and below all others that
// come after them. No UTF-8 text holds the byte 0xff.
func behind(prefix string) []byte { return append([]byte(prefix), 0xff) }

// Size tells how many keys a namespace holds, and how many bytes of values.
func (s *Store) Size(ctx context.Context, id string) (keys, size int64, err error) {
	n, err := s.open(ctx, id)
	if err != nil {
		return 0, 0, err
	}
	err = n.read.QueryRowContext(ctx, sqlCount, s.opt.Now().Unix()).Scan(&keys, &size)
	if err != nil {
		err = n.met("count", err)
	}
	return keys, size, err
}
