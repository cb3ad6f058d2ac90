package d1

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"firedrill/internal/sandbox/disk"
)

// The layout of the store's folder: a format file, and a folder for each
// database, named by its id. A database exists once its folder has that name,
// so creating and deleting are single renames.
const (
	formatFile    = "format"
	formatVersion = "d1 1"
	metaFile      = "meta.json"
	unfinished    = "tmp-"
)

// Store holds the databases of one account.
type Store struct {
	dir string
	now func() time.Time
	at  func(string)
	// frames is how long a WAL may grow, in pages.
	frames uint32

	shut atomic.Bool
	mu   sync.Mutex        // never held while a database is opened or asked
	all  map[string]*entry // by id
}

// entry is one database that exists; it is opened when it is first used.
type entry struct {
	mu   sync.Mutex
	meta meta
	db   *database
	gone bool
}

// meta is what a database's folder says about it.
type meta struct {
	ID              string    `json:"id"`
	Name            string    `json:"name"`
	Created         time.Time `json:"created"`
	LocationHint    string    `json:"location_hint,omitempty"`
	Jurisdiction    string    `json:"jurisdiction,omitempty"`
	ReplicationMode string    `json:"replication_mode"`
}

// Open opens the store, or makes an empty one.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.CheckpointFrames == 0 {
		o.CheckpointFrames = checkpointFrames
	}
	s := &Store{dir: o.Dir, now: o.Now, at: o.At, frames: o.CheckpointFrames, all: map[string]*entry{}}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the databases: %w", err)
	}
	if err := s.checkFormat(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open the databases: %w", err)
	}
	for _, e := range entries {
		switch {
		case !e.IsDir():
		case strings.HasPrefix(e.Name(), unfinished): // left by a crash
			if err := os.RemoveAll(filepath.Join(o.Dir, e.Name())); err != nil {
				return nil, fmt.Errorf("open the databases: %w", err)
			}
		default:
			m, err := readMeta(filepath.Join(o.Dir, e.Name()))
			if err != nil {
				return nil, err
			}
			s.all[m.ID] = &entry{meta: m}
		}
	}
	return s, nil
}

func (s *Store) checkFormat() error {
	path := filepath.Join(s.dir, formatFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return disk.Replace(path, []byte(formatVersion+"\n"))
	}
	if err != nil {
		return fmt.Errorf("open the databases: %w", err)
	}
	if got := strings.TrimSpace(string(data)); got != formatVersion {
		return fmt.Errorf("the databases in %s are of format %q, this version reads %q: use a newer firedrill or another state folder", s.dir, got, formatVersion)
	}
	return nil
}

// incarnation tells a database from an earlier one of the same id: Time Travel
// dies with a database, and so do its bookmarks.
func (m meta) incarnation() string { return m.ID + " " + m.Created.Format(time.RFC3339Nano) }

func readMeta(dir string) (meta, error) {
	var m meta
	data, err := os.ReadFile(filepath.Join(dir, metaFile))
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err == nil && m.ID != filepath.Base(dir) {
		err = fmt.Errorf("it names database %q", m.ID)
	}
	if err != nil {
		return m, fmt.Errorf("read database %s: %w", filepath.Base(dir), err)
	}
	return m, nil
}

func writeMeta(dir string, m meta) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return disk.Replace(filepath.Join(dir, metaFile), append(data, '\n'))
}

// Close closes all databases. What was acknowledged is durable without it.
func (s *Store) Close() error {
	s.shut.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, e := range s.all {
		e.mu.Lock()
		if e.db != nil {
			errs = append(errs, e.db.close(context.Background()))
			e.db = nil
		}
		e.mu.Unlock()
	}
	return errors.Join(errs...)
}

// Create makes a database; its ID is chosen here.
func (s *Store) Create(ctx context.Context, d Database) (Database, error) {
	if d.Name == "" || len(d.Name) > 255 || strings.ContainsAny(d.Name, "/\x00") {
		return Database{}, badRequest("Invalid property: name: %q is not a name for a database", d.Name)
	}
	e, err := s.make(ctx, d)
	if err != nil {
		return Database{}, err
	}
	return s.describe(ctx, e)
}

func (s *Store) make(ctx context.Context, d Database) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut.Load() {
		return nil, errors.New("the store is closed")
	}
	for _, e := range s.all {
		if e.meta.Name == d.Name {
			return nil, &Error{Status: 400, Code: CodeNameTaken, Message: fmt.Sprintf("Database with name '%s' already exists", d.Name)}
		}
	}
	m := meta{ID: s.newID(d.Name), Name: d.Name, Created: s.now().UTC(), LocationHint: d.LocationHint, Jurisdiction: d.Jurisdiction,
		ReplicationMode: cmp.Or(d.ReplicationMode, "disabled")}
	tmp := filepath.Join(s.dir, unfinished+m.ID)
	err := createFiles(ctx, tmp)
	if err == nil {
		err = writeMeta(tmp, m)
	}
	if err == nil {
		err = disk.Rename(tmp, filepath.Join(s.dir, m.ID))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create database %s: %w", d.Name, err), os.RemoveAll(tmp))
	}
	e := &entry{meta: m}
	s.all[m.ID] = e
	return e, nil
}

// newID gives a database its id: of a name always the same, so that a
// configuration that names the id can be written before the database is made,
// unless that one is taken.
func (s *Store) newID(name string) string {
	namespace := uuid.UUID{0xf1, 0x7e, 0xd4, 0x11, 0xf1, 0x7e, 0xd4, 0x11, 0xf1, 0x7e, 0xd4, 0x11, 0xf1, 0x7e, 0xd4, 0x11}
	id := uuid.NewSHA1(namespace, []byte(name)).String()
	if s.all[id] != nil {
		return uuid.NewString()
	}
	return id
}

// List gives all databases, the oldest first.
func (s *Store) List(ctx context.Context) ([]Database, error) {
	s.mu.Lock()
	entries := make([]*entry, 0, len(s.all))
	for _, e := range s.all {
		entries = append(entries, e)
	}
	s.mu.Unlock()
	slices.SortFunc(entries, func(a, b *entry) int {
		return cmp.Or(a.meta.Created.Compare(b.meta.Created), cmp.Compare(a.meta.ID, b.meta.ID))
	})
	list := make([]Database, 0, len(entries))
	for _, e := range entries {
		d, err := s.describe(ctx, e)
		var gone *Error
		if errors.As(err, &gone) && gone.Code == CodeNotFound {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

// Get finds a database by its id or its name.
func (s *Store) Get(ctx context.Context, idOrName string) (Database, error) {
	e, err := s.find(idOrName)
	if err != nil {
		return Database{}, err
	}
	return s.describe(ctx, e)
}

func (s *Store) find(idOrName string) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.all[idOrName]; e != nil {
		return e, nil
	}
	for _, e := range s.all {
		if e.meta.Name == idOrName {
			return e, nil
		}
	}
	return nil, notFound(idOrName)
}

func (s *Store) describe(ctx context.Context, e *entry) (Database, error) {
	db, err := s.use(ctx, e)
	if err != nil {
		return Database{}, err
	}
	tables, size, err := db.extent(ctx)
	if err != nil {
		return Database{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.meta
	return Database{ID: m.ID, Name: m.Name, Created: m.Created, Tables: tables, Size: size, LocationHint: m.LocationHint,
		Jurisdiction: m.Jurisdiction, ReplicationMode: m.ReplicationMode}, nil
}

// use gives an open database.
func (s *Store) use(ctx context.Context, e *entry) (*database, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gone {
		return nil, notFound(e.meta.ID)
	}
	if e.db == nil {
		if s.shut.Load() {
			return nil, errors.New("the store is closed")
		}
		// The database outlives the request that opens it.
		db, err := openDatabase(context.WithoutCancel(ctx), filepath.Join(s.dir, e.meta.ID), e.meta.incarnation(), s.now, s.at, s.frames)
		if err != nil {
			return nil, fmt.Errorf("open database %s: %w", e.meta.Name, err)
		}
		e.db = db
	}
	return e.db, nil
}

// open finds and opens a database by its id or its name.
func (s *Store) open(ctx context.Context, id string) (*database, *entry, error) {
	e, err := s.find(id)
	if err != nil {
		return nil, nil, err
	}
	db, err := s.use(ctx, e)
	return db, e, err
}

// Update sets the mode of read replication, "auto" or "disabled". It is kept
// and shown; the sandbox has no replicas.
func (s *Store) Update(ctx context.Context, id, replicationMode string) (Database, error) {
	if replicationMode != "auto" && replicationMode != "disabled" {
		return Database{}, badRequest("Invalid property: read_replication.mode: %q is neither auto nor disabled", replicationMode)
	}
	e, err := s.find(id)
	if err != nil {
		return Database{}, err
	}
	e.mu.Lock()
	m := e.meta
	m.ReplicationMode = replicationMode
	err = writeMeta(filepath.Join(s.dir, m.ID), m)
	if err == nil {
		e.meta = m
	}
	e.mu.Unlock()
	if err != nil {
		return Database{}, err
	}
	return s.describe(ctx, e)
}

// Delete removes a database and its history.
func (s *Store) Delete(ctx context.Context, id string) error {
	e, err := s.find(id)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gone {
		return notFound(id)
	}
	if e.db != nil {
		if err := e.db.close(ctx); err != nil {
			return err
		}
		e.db = nil
	}
	tmp := filepath.Join(s.dir, unfinished+e.meta.ID)
	if err := disk.Rename(filepath.Join(s.dir, e.meta.ID), tmp); err != nil {
		return fmt.Errorf("delete database %s: %w", e.meta.Name, err)
	}
	e.gone = true
	s.mu.Lock()
	delete(s.all, e.meta.ID)
	s.mu.Unlock()
	return os.RemoveAll(tmp)
}

// Query performs a batch as one atomic unit and gives one result for each SQL
// statement, and the bookmark after it.
func (s *Store) Query(ctx context.Context, id string, batch []Statement) ([]Result, string, error) {
	db, _, err := s.open(ctx, id)
	if err != nil {
		return nil, "", err
	}
	return db.query(ctx, batch)
}

// Bookmark is the bookmark of what was committed last. Without a write in
// between it stays the same.
func (s *Store) Bookmark(ctx context.Context, id string) (string, error) {
	db, _, err := s.open(ctx, id)
	if err != nil {
		return "", err
	}
	return db.now()
}

// BookmarkAt is the newest bookmark at or before a time.
func (s *Store) BookmarkAt(ctx context.Context, id string, t time.Time) (string, error) {
	db, e, err := s.open(ctx, id)
	if err != nil {
		return "", err
	}
	return db.atTime(t, e.meta.Created)
}

// Restore rewinds a database in place. It yields a new bookmark and the one
// before, by which the restore can be undone.
func (s *Store) Restore(ctx context.Context, id, bookmark string) (now, previous string, err error) {
	db, _, err := s.open(ctx, id)
	if err != nil {
		return "", "", err
	}
	return db.restore(ctx, bookmark)
}

// extent counts tables and bytes.
func (d *database) extent(ctx context.Context) (tables int, size int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, err := d.ownTable(ctx, `SELECT (SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name NOT LIKE '\_cf\_%' ESCAPE '\'),
		(SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size)`)
	if err != nil {
		return 0, 0, answerError(err)
	}
	n, _ := t.rows[0][0].(int64)
	size, _ = t.rows[0][1].(int64)
	return int(n), size, nil
}
