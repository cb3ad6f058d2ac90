package workers

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"firedrill/internal/sandbox/disk"
)

// storeVersion is the format of workers.db, kept in PRAGMA user_version: the
// number of entries of storeSchema that were applied.
const storeVersion = 2

// storeSchema makes the tables of each format out of the one before it.
func storeSchema() []string { return []string{storeSchema1, storeSchema2} }

const storeSchema2 = `
CREATE TABLE namespaces (
  id TEXT PRIMARY KEY,
  script TEXT NOT NULL REFERENCES scripts(name) ON DELETE CASCADE,
  body TEXT NOT NULL
) STRICT;
`

const storeSchema1 = `
CREATE TABLE scripts (name TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE TABLE versions (
  id TEXT PRIMARY KEY,
  script TEXT NOT NULL REFERENCES scripts(name) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  body TEXT NOT NULL,
  UNIQUE (script, number)
) STRICT;
CREATE TABLE blobs (sha256 BLOB PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE modules (
  version TEXT NOT NULL REFERENCES versions(id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  name TEXT NOT NULL,
  content_type TEXT NOT NULL,
  sha256 BLOB NOT NULL REFERENCES blobs(sha256),
  PRIMARY KEY (version, position)
) STRICT;
CREATE INDEX modules_by_blob ON modules(sha256);
CREATE TABLE deployments (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  script TEXT NOT NULL REFERENCES scripts(name) ON DELETE CASCADE,
  body TEXT NOT NULL
) STRICT;
CREATE INDEX deployments_by_script ON deployments(script, number);
`

// store keeps scripts, versions and deployments in one SQLite file. Every
// method that changes something is one transaction, durable when it returns.
type store struct {
	db   *sql.DB
	seal *sealer
}

// openStore opens or creates workers.db in dir.
func openStore(ctx context.Context, dir string, seal *sealer) (*store, error) {
	path := filepath.Join(dir, "workers.db")
	db, err := disk.OpenSQLite(path, "foreign_keys(ON)", "secure_delete(ON)")
	if err != nil {
		return nil, fmt.Errorf("open store of Workers: %w", err)
	}
	s := &store{db: db, seal: seal}
	if err := s.prepare(ctx, path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func (s *store) prepare(ctx context.Context, path string) error {
	var have int
	if err := s.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return fmt.Errorf("open store of Workers %s: %w", path, err)
	}
	if have > storeVersion {
		return fmt.Errorf("store of Workers %s has format %d, this program knows up to %d: use the newer firedrill, or \"firedrill sandbox reset\"", path, have, storeVersion)
	}
	return s.tx(ctx, func(tx *sql.Tx) error {
		for _, stmts := range storeSchema()[have:] {
			if _, err := tx.ExecContext(ctx, stmts); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d;", storeVersion))
		return err
	})
}

func (s *store) close() error { return s.db.Close() }

func (s *store) tx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store of Workers: %w", err)
	}
	if err := f(tx); err != nil {
		return errors.Join(fmt.Errorf("store of Workers: %w", err), tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store of Workers: %w", err)
	}
	return nil
}

// change is what one operation adds to or updates in the store.
type change struct {
	script     *Script
	version    *Version
	modules    []Module // of version
	deployment *Deployment
	namespaces *[]Namespace // all there are from now on
}

// apply makes a change durable.
func (s *store) apply(ctx context.Context, c change) error {
	return s.tx(ctx, func(tx *sql.Tx) error {
		if c.script != nil {
			if err := put(ctx, tx, "INSERT INTO scripts(name, body) VALUES (?1, ?2) ON CONFLICT(name) DO UPDATE SET body = ?2", c.script, c.script.Name); err != nil {
				return err
			}
		}
		if c.version != nil {
			if err := s.putVersion(ctx, tx, *c.version, c.modules); err != nil {
				return err
			}
		}
		if c.namespaces != nil {
			if _, err := tx.ExecContext(ctx, "DELETE FROM namespaces"); err != nil {
				return err
			}
			for _, n := range *c.namespaces {
				if err := put(ctx, tx, "INSERT INTO namespaces(id, body, script) VALUES (?1, ?2, ?3)", n, n.ID, n.Script); err != nil {
					return err
				}
			}
		}
		if c.deployment != nil {
			d := c.deployment
			if err := put(ctx, tx, "INSERT INTO deployments(id, body, script) VALUES (?1, ?2, ?3)", d, d.ID, d.Script); err != nil {
				return err
			}
		}
		return nil
	})
}

// put runs a statement whose second parameter is body as JSON.
func put(ctx context.Context, tx *sql.Tx, stmt string, body any, id string, more ...any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, stmt, append([]any{id, string(data)}, more...)...)
	return err
}

func (s *store) putVersion(ctx context.Context, tx *sql.Tx, v Version, modules []Module) error {
	bindings, err := s.seal.sealAll(v.Bindings)
	if err != nil {
		return err
	}
	v.Bindings = bindings
	if err := put(ctx, tx, "INSERT INTO versions(id, body, script, number) VALUES (?1, ?2, ?3, ?4)", v, v.ID, v.Script, v.Number); err != nil {
		return err
	}
	for i, m := range modules {
		sum := sha256.Sum256(m.Data)
		data := m.Data
		if data == nil {
			data = []byte{} // nil would be NULL
		}
		if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO blobs(sha256, data) VALUES (?, ?)", sum[:], data); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO modules(version, position, name, content_type, sha256) VALUES (?, ?, ?, ?, ?)",
			v.ID, i, m.Name, m.ContentType, sum[:]); err != nil {
			return err
		}
	}
	return nil
}

// deleteScript removes a script with everything that belongs to it.
func (s *store) deleteScript(ctx context.Context, name string) error {
	return s.tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM scripts WHERE name = ?", name); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM blobs WHERE NOT EXISTS (SELECT 1 FROM modules WHERE modules.sha256 = blobs.sha256)")
		return err
	})
}

// scripts lists all scripts by name.
func (s *store) scripts(ctx context.Context) ([]Script, error) {
	return query[Script](ctx, s.db, "SELECT body FROM scripts ORDER BY name")
}

// script finds one script; ok is false when there is none.
func (s *store) script(ctx context.Context, name string) (sc Script, ok bool, err error) {
	return first(query[Script](ctx, s.db, "SELECT body FROM scripts WHERE name = ?", name))
}

// namespaces lists the Durable Object namespaces of all scripts.
func (s *store) namespaces(ctx context.Context) ([]Namespace, error) {
	return query[Namespace](ctx, s.db, "SELECT body FROM namespaces ORDER BY script, rowid")
}

// versions lists a script's versions, newest first. limit -1 means all.
func (s *store) versions(ctx context.Context, script string, limit, offset int) ([]Version, error) {
	return s.unseal(query[Version](ctx, s.db, "SELECT body FROM versions WHERE script = ? ORDER BY number DESC LIMIT ? OFFSET ?", script, limit, offset))
}

func (s *store) countVersions(ctx context.Context, script string) (n int, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT count(*) FROM versions WHERE script = ?", script).Scan(&n)
	return n, err
}

// version finds one version of a script; ok is false when there is none.
func (s *store) version(ctx context.Context, script, id string) (v Version, ok bool, err error) {
	return first(s.unseal(query[Version](ctx, s.db, "SELECT body FROM versions WHERE script = ? AND id = ?", script, id)))
}

func (s *store) unseal(list []Version, err error) ([]Version, error) {
	if err != nil {
		return nil, err
	}
	for i := range list {
		if err := s.seal.openAll(list[i].Bindings); err != nil {
			return nil, fmt.Errorf("version %s of Worker %s: %w", list[i].ID, list[i].Script, err)
		}
	}
	return list, nil
}

// modules reads the files of a version, in their order.
func (s *store) modules(ctx context.Context, version string) ([]Module, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT name, content_type, data FROM modules JOIN blobs USING (sha256) WHERE version = ? ORDER BY position", version)
	if err != nil {
		return nil, fmt.Errorf("store of Workers: modules of version %s: %w", version, err)
	}
	defer func() { _ = rows.Close() }() // rows.Err tells what went wrong
	var list []Module
	for rows.Next() {
		var m Module
		if err := rows.Scan(&m.Name, &m.ContentType, &m.Data); err != nil {
			return nil, fmt.Errorf("store of Workers: modules of version %s: %w", version, err)
		}
		list = append(list, m)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store of Workers: modules of version %s: %w", version, err)
	}
	return list, nil
}

// deployments lists a script's deployments, newest first. limit -1 means all.
func (s *store) deployments(ctx context.Context, script string, limit int) ([]Deployment, error) {
	return query[Deployment](ctx, s.db, "SELECT body FROM deployments WHERE script = ? ORDER BY number DESC LIMIT ?", script, limit)
}

// deployment finds one deployment; ok is false when there is none.
func (s *store) deployment(ctx context.Context, script, id string) (d Deployment, ok bool, err error) {
	return first(query[Deployment](ctx, s.db, "SELECT body FROM deployments WHERE script = ? AND id = ?", script, id))
}

func (s *store) deleteDeployment(ctx context.Context, id string) error {
	return s.tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM deployments WHERE id = ?", id)
		return err
	})
}

// query reads a list of JSON documents.
func query[T any](ctx context.Context, db *sql.DB, q string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("store of Workers: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err tells what went wrong
	list := []T{}
	for rows.Next() {
		var body string
		var v T
		if err := rows.Scan(&body); err != nil {
			return nil, fmt.Errorf("store of Workers: %w", err)
		}
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			return nil, fmt.Errorf("store of Workers: damaged record: %w", err)
		}
		list = append(list, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store of Workers: %w", err)
	}
	return list, nil
}

func first[T any](list []T, err error) (v T, ok bool, _ error) {
	if err != nil || len(list) == 0 {
		return v, false, err
	}
	return list[0], true, nil
}
