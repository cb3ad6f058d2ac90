package workers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// The folders of the Durable Objects, below the Manager's. workerd keeps one
// SQLite file for each object, objects/NAMESPACE/OBJECT.sqlite.
const (
	objectsName   = "objects"
	snapshotsName = "snapshots"
	objectSuffix  = ".sqlite"
)

// namespaceID and objectID are what the ids look like; they become file names.
var (
	namespaceID = regexp.MustCompile(`^[0-9a-f]{32}$`)
	objectID    = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// storageUse counts which namespaces' storage running processes have open.
type storageUse struct {
	mu    sync.Mutex
	users map[string]int
}

func (u *storageUse) take(ids []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.users == nil {
		u.users = map[string]int{}
	}
	for _, id := range ids {
		u.users[id]++
	}
}

func (u *storageUse) give(ids []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, id := range ids {
		if u.users[id]--; u.users[id] == 0 {
			delete(u.users, id)
		}
	}
}

func (m *Manager) objectsFolder() string   { return filepath.Join(m.absolute, objectsName) }
func (m *Manager) snapshotsFolder() string { return filepath.Join(m.absolute, snapshotsName) }

// openObjects makes the folders and removes what a crash left behind.
func (m *Manager) openObjects(ctx context.Context) error {
	var err error
	if m.absolute, err = filepath.Abs(m.opt.Dir); err != nil {
		return fmt.Errorf("open Durable Objects: %w", err)
	}
	for _, dir := range []string{m.objectsFolder(), m.snapshotsFolder()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("open Durable Objects: %w", err)
		}
	}
	return m.sweepObjects(ctx)
}

// sweepObjects removes the storage and the snapshots of namespaces that do not
// exist any more and that no process has open.
func (m *Manager) sweepObjects(ctx context.Context) error {
	// Held throughout: nobody begins to use a namespace while it is judged.
	m.storage.mu.Lock()
	defer m.storage.mu.Unlock()
	have, err := m.store.namespaces(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, root := range []string{m.objectsFolder(), m.snapshotsFolder()} {
		entries, err := os.ReadDir(root)
		if err != nil {
			return fmt.Errorf("remove deleted Durable Objects: %w", err)
		}
		for _, e := range entries {
			if _, ok := byID(have, e.Name()); !ok && namespaceID.MatchString(e.Name()) && m.storage.users[e.Name()] == 0 {
				errs = append(errs, os.RemoveAll(filepath.Join(root, e.Name())))
			}
		}
	}
	return errors.Join(errs...)
}

// Namespaces lists the Durable Object namespaces of all Workers.
func (m *Manager) Namespaces(ctx context.Context) ([]Namespace, error) {
	return m.store.namespaces(ctx)
}

// Namespace finds one Durable Object namespace.
func (m *Manager) Namespace(ctx context.Context, id string) (Namespace, error) {
	all, err := m.store.namespaces(ctx)
	if err != nil {
		return Namespace{}, err
	}
	if n, ok := byID(all, id); ok {
		return n, nil
	}
	return Namespace{}, refuse("find Durable Objects", id, CodeNoObjects, "There is no Durable Object namespace '%s'.", id)
}

// Object is one Durable Object that has been used.
type Object struct {
	ID        string // 64 hexadecimal digits
	HasStored bool   // whether it has stored anything
}

// ObjectPage is a part of the list of a namespace's objects.
type ObjectPage struct {
	Objects []Object
	// Cursor gives the next page; empty: there is none.
	Cursor string
}

// Objects lists a namespace's objects by id.
func (m *Manager) Objects(ctx context.Context, namespace, cursor string, limit int) (ObjectPage, error) {
	if _, err := m.Namespace(ctx, namespace); err != nil {
		return ObjectPage{}, err
	}
	dir := filepath.Join(m.objectsFolder(), namespace)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // none was used yet
		return ObjectPage{}, fmt.Errorf("list Durable Objects: %w", err)
	}
	page := ObjectPage{Objects: []Object{}}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), objectSuffix)
		if !ok || !objectID.MatchString(id) || id <= cursor {
			continue
		}
		if len(page.Objects) == limit {
			page.Cursor = page.Objects[limit-1].ID
			break
		}
		page.Objects = append(page.Objects, Object{ID: id, HasStored: stored(filepath.Join(dir, e.Name()))})
	}
	return page, nil
}

// stored tells whether an object's file, or the log of what is not in it yet,
// holds anything.
func stored(path string) bool {
	return slices.ContainsFunc([]string{path, path + "-wal"}, func(p string) bool {
		st, err := os.Stat(p)
		return err == nil && st.Size() > 0
	})
}

// mustObject finds the file of an object that has been used.
func (m *Manager) mustObject(ctx context.Context, op, namespace, object string) (string, error) {
	if _, err := m.Namespace(ctx, namespace); err != nil {
		return "", err
	}
	path := filepath.Join(m.objectsFolder(), namespace, object+objectSuffix)
	if objectID.MatchString(object) && stored(path) {
		return path, nil
	}
	return "", refuse(op, object, CodeNoObjects, "There is no Durable Object '%s' in this namespace that has stored anything.", object)
}
