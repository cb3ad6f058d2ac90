package workers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"firedrill/internal/sandbox/disk"
)

// Snapshot is what an object had stored at a moment. The runtime has no
// point-in-time recovery on a local disk, so the sandbox gives this instead;
// the platform has no such call.
type Snapshot struct {
	ID      string
	Created time.Time
	Size    int64 // bytes
}

// snapshotTime is the form of the first part of a snapshot's id: ids sort by
// time.
const snapshotTime = "20060102T150405.000000000"

// TakeSnapshot copies what an object has stored, while it may be running. It
// is durable when it returns. An alarm is not part of it.
func (m *Manager) TakeSnapshot(ctx context.Context, namespace, object string) (Snapshot, error) {
	const op = "snapshot"
	path, err := m.mustObject(ctx, op, namespace, object)
	if err != nil {
		return Snapshot{}, err
	}
	dir := m.snapshotDir(namespace, object)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Snapshot{}, fmt.Errorf("%s %s: %w", op, object, err)
	}
	id := m.opt.Now().UTC().Format(snapshotTime)
	final := filepath.Join(dir, id+objectSuffix)
	tmp := final + ".tmp"
	if err := copyDatabase(ctx, path, tmp); err != nil {
		return Snapshot{}, errors.Join(fmt.Errorf("%s %s: %w", op, object, err), removeIfThere(tmp))
	}
	if err := disk.Rename(tmp, final); err != nil {
		return Snapshot{}, fmt.Errorf("%s %s: %w", op, object, err)
	}
	return snapshotAt(final)
}

// copyDatabase makes a consistent copy of a database that others may be
// writing to, and syncs it.
func copyDatabase(ctx context.Context, from, to string) (err error) {
	if err := removeIfThere(to); err != nil {
		return err
	}
	// Made here, so that it is private from its first byte; an empty file is an
	// empty database to VACUUM INTO.
	f, err := os.OpenFile(to, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	q := url.Values{"_pragma": {"busy_timeout(5000)"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: from, RawQuery: q.Encode()}).String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", to); err != nil {
		return err
	}
	return f.Sync()
}

// Snapshots lists the snapshots of an object, the newest first.
func (m *Manager) Snapshots(ctx context.Context, namespace, object string) ([]Snapshot, error) {
	if _, err := m.Namespace(ctx, namespace); err != nil {
		return nil, err
	}
	list := []Snapshot{}
	if !objectID.MatchString(object) {
		return list, nil
	}
	files, err := filepath.Glob(filepath.Join(m.snapshotDir(namespace, object), "*"+objectSuffix))
	if err != nil {
		return nil, fmt.Errorf("list snapshots of %s: %w", object, err)
	}
	slices.Sort(files)
	slices.Reverse(files)
	for _, f := range files {
		s, err := snapshotAt(f)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// PutBack makes a snapshot what the object has stored. The Workers of its
// process are stopped meanwhile and their requests wait; what the objects hold
// in memory is gone afterwards, as after every deployment.
func (m *Manager) PutBack(ctx context.Context, namespace, object, snapshot string) error {
	const op = "put back"
	m.mu.Lock()
	defer m.mu.Unlock()
	from, err := m.mustSnapshot(ctx, op, namespace, object, snapshot)
	if err != nil {
		return err
	}
	dir := filepath.Join(m.objectsFolder(), namespace)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("%s %s: %w", op, object, err)
	}
	path := filepath.Join(dir, object+objectSuffix)
	tmp := path + ".tmp"
	if err := copyFile(from, tmp); err != nil {
		return errors.Join(fmt.Errorf("%s %s: %w", op, object, err), removeIfThere(tmp))
	}
	var owning []*instance
	for _, in := range m.instances {
		if slices.Contains(in.storage, namespace) {
			owning = append(owning, in)
		}
	}
	m.parkAll(owning)
	defer func() {
		for _, in := range owning {
			in.unpark()
		}
	}()
	// The log goes first: beside the new file it would bring the old state back.
	// A crash in between loses what was only in the log, which is replaced anyway.
	err = errors.Join(removeIfThere(path+"-wal"), removeIfThere(path+"-shm"))
	if err == nil {
		err = disk.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", op, object, err)
	}
	return nil
}

// DropSnapshot removes a snapshot.
func (m *Manager) DropSnapshot(ctx context.Context, namespace, object, snapshot string) error {
	const op = "remove snapshot of"
	path, err := m.mustSnapshot(ctx, op, namespace, object, snapshot)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("%s %s: %w", op, object, err)
	}
	return nil
}

func (m *Manager) snapshotDir(namespace, object string) string {
	return filepath.Join(m.snapshotsFolder(), namespace, object)
}

func (m *Manager) mustSnapshot(ctx context.Context, op, namespace, object, id string) (string, error) {
	if _, err := m.Namespace(ctx, namespace); err != nil {
		return "", err
	}
	path := filepath.Join(m.snapshotDir(namespace, object), id+objectSuffix)
	if _, err := time.Parse(snapshotTime, id); err == nil && objectID.MatchString(object) {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", refuse(op, object, CodeNoSnapshot, "There is no snapshot '%s' of this object.", id)
}

func snapshotAt(path string) (Snapshot, error) {
	id := strings.TrimSuffix(filepath.Base(path), objectSuffix)
	created, err := time.Parse(snapshotTime, id)
	if err != nil {
		return Snapshot{}, fmt.Errorf("snapshot %s: %w", path, err)
	}
	st, err := os.Stat(path)
	if err != nil {
		return Snapshot{}, fmt.Errorf("snapshot: %w", err)
	}
	return Snapshot{ID: id, Created: created, Size: st.Size()}, nil
}

// copyFile copies a file that nobody writes to, and syncs the copy.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
