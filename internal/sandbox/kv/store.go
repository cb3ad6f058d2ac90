package kv

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"firedrill/internal/sandbox/disk"
)

// The layout of the store's folder: a format file, and for each namespace a
// note ID.json and a database ID.db. A namespace exists while its note does,
// so creating, renaming and deleting are single renames or removals.
const (
	formatFile    = "format"
	formatVersion = "kv 1"
	noteSuffix    = ".json"
	dataSuffix    = ".db"
)

// Store holds the namespaces of one account. Its methods may be called
// concurrently.
type Store struct {
	opt  Options
	edge *edge

	mu   sync.Mutex // guards what follows, and is held while a namespace is opened
	all  map[string]*namespace
	shut bool
}

// Open opens the store, or makes an empty one.
func Open(o Options) (*Store, error) {
	s := &Store{opt: o, edge: newEdge(o.Lag, o.Now), all: map[string]*namespace{}}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the KV namespaces: %w", err)
	}
	if err := s.checkFormat(); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open the KV namespaces: %w", err)
	}
	for _, f := range files {
		if id, ok := strings.CutSuffix(f.Name(), noteSuffix); ok {
			n, err := readNote(filepath.Join(o.Dir, f.Name()), id)
			if err != nil {
				return nil, err
			}
			s.all[id] = &namespace{Namespace: n, path: s.path(id)}
		}
	}
	return s, s.sweep(files)
}

// sweep removes what a crash left behind: unfinished notes, and the data of
// namespaces that were being deleted.
func (s *Store) sweep(files []fs.DirEntry) error {
	for _, f := range files {
		id, _, data := strings.Cut(f.Name(), dataSuffix)
		if data && s.all[id] == nil || strings.HasSuffix(f.Name(), disk.Unfinished) {
			if err := os.Remove(filepath.Join(s.opt.Dir, f.Name())); err != nil {
				return fmt.Errorf("open the KV namespaces: %w", err)
			}
		}
	}
	return nil
}

func (s *Store) checkFormat() error {
	path := filepath.Join(s.opt.Dir, formatFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return disk.Replace(path, []byte(formatVersion+"\n"))
	}
	if err != nil {
		return fmt.Errorf("open the KV namespaces: %w", err)
	}
	if got := strings.TrimSpace(string(data)); got != formatVersion {
		return fmt.Errorf("the KV namespaces in %s are of format %q, this version reads %q: use a newer firedrill or another state folder", s.opt.Dir, got, formatVersion)
	}
	return nil
}

func (s *Store) path(id string) string { return filepath.Join(s.opt.Dir, id+dataSuffix) }
func (s *Store) note(id string) string { return filepath.Join(s.opt.Dir, id+noteSuffix) }

func readNote(path, id string) (Namespace, error) {
	var n Namespace
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &n)
	}
	if err == nil && n.ID != id {
		err = fmt.Errorf("it names %q", n.ID)
	}
	if err != nil {
		return n, fmt.Errorf("read KV namespace %s: %w", id, err)
	}
	return n, nil
}

// Close closes all namespaces. What was acknowledged is durable without it. It
// may be called twice.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return nil
	}
	s.shut = true
	var errs []error
	for _, n := range s.all {
		errs = append(errs, n.close(errShut()))
	}
	return errors.Join(errs...)
}

// Namespaces lists the namespaces by title.
func (s *Store) Namespaces() []Namespace {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Namespace, 0, len(s.all))
	for _, n := range s.all {
		list = append(list, n.Namespace)
	}
	slices.SortFunc(list, func(a, b Namespace) int { return strings.Compare(a.Title, b.Title) })
	return list
}

// Namespace finds one namespace.
func (s *Store) Namespace(id string) (Namespace, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find(id)
	if err != nil {
		return Namespace{}, err
	}
	return n.Namespace, nil
}

// find looks a namespace up. The caller holds s.mu.
func (s *Store) find(id string) (*namespace, error) {
	if n := s.all[id]; n != nil {
		return n, nil
	}
	return nil, errDeleted()
}

// Create makes a namespace. Titles are unique.
func (s *Store) Create(title string) (Namespace, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkTitle(title, ""); err != nil {
		return Namespace{}, err
	}
	id, err := s.newID(title)
	if err != nil {
		return Namespace{}, fmt.Errorf("create KV namespace %q: %w", title, err)
	}
	n := Namespace{ID: id, Title: title, Created: s.opt.Now().UTC()}
	if err := s.writeNote(n); err != nil {
		return Namespace{}, err
	}
	s.all[n.ID] = &namespace{Namespace: n, path: s.path(n.ID)}
	return n, nil
}

// newID gives a namespace its id: of a title always the same, so that a
// configuration that names the id can be written before the namespace is made,
// unless that one is taken, or holds what could not be deleted.
func (s *Store) newID(title string) (string, error) {
	space := uuid.UUID{0xf1, 0x7e, 0xd4, 0x11, 0xf1, 0x7e, 0xd4, 0x11, 0xf1, 0x7e, 0xd4, 0x11, 0xf1, 0x7e, 0xd4, 0x11}
	id := [16]byte(uuid.NewSHA1(space, []byte("kv "+title)))
	name := hex.EncodeToString(id[:])
	if _, err := os.Stat(s.path(name)); s.all[name] == nil && errors.Is(err, fs.ErrNotExist) {
		return name, nil
	}
	if _, err := io.ReadFull(s.opt.Random, id[:]); err != nil {
		return "", err
	}
	return hex.EncodeToString(id[:]), nil
}

// Rename gives a namespace another title.
func (s *Store) Rename(id, title string) (Namespace, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have, err := s.find(id)
	if err != nil {
		return Namespace{}, err
	}
	if err := s.checkTitle(title, id); err != nil {
		return Namespace{}, err
	}
	n := have.Namespace
	n.Title = title
	if err := s.writeNote(n); err != nil {
		return Namespace{}, err
	}
	have.Namespace = n
	return n, nil
}

func (s *Store) checkTitle(title, self string) error {
	if title == "" || len(title) > maxTitle {
		return bad("a title has 1 to %d bytes", maxTitle)
	}
	for id, n := range s.all {
		if n.Title == title && id != self {
			return refuse(http.StatusBadRequest, CodeTitleTaken, "a namespace with this account ID and title already exists")
		}
	}
	return nil
}

func (s *Store) writeNote(n Namespace) error {
	data, err := json.MarshalIndent(n, "", "  ")
	if err == nil {
		err = disk.Replace(s.note(n.ID), append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write KV namespace %s: %w", n.ID, err)
	}
	return nil
}

// Delete removes a namespace with everything in it.
func (s *Store) Delete(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find(id)
	if err != nil {
		return err
	}
	if err := errors.Join(os.Remove(s.note(id)), disk.SyncFolder(s.opt.Dir)); err != nil {
		return fmt.Errorf("delete KV namespace %s: %w", id, err)
	}
	delete(s.all, id)
	s.edge.forget(id)
	errs := []error{n.close(errDeleted())}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(s.path(id) + suffix); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// open gives a namespace ready for use.
func (s *Store) open(ctx context.Context, id string) (*namespace, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return nil, errShut()
	}
	n, err := s.find(id)
	if err != nil {
		return nil, err
	}
	return n, n.open(ctx)
}

// FileSize is how much a namespace takes on disk, in bytes.
func (s *Store) FileSize(id string) int64 {
	var total int64
	for _, suffix := range []string{"", "-wal"} {
		if st, err := os.Stat(s.path(id) + suffix); err == nil { // else nothing is stored yet
			total += st.Size()
		}
	}
	return total
}
