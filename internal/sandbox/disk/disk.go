// Package disk writes what the sandbox must not lose: files that are there
// whole or not at all, names that survive a power cut, and private databases.
package disk

import (
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the database driver "sqlite"
)

// Unfinished marks a file that is being written; one that is found at a start
// was left by a crash.
const Unfinished = ".tmp"

// Replace writes a private file (0600) so that a crash leaves the old or the
// new one.
func Replace(path string, data []byte) error {
	f, err := os.OpenFile(path+Unfinished, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return Rename(path+Unfinished, path)
}

// Rename moves a file or folder within a folder, durably.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return SyncFolder(filepath.Dir(to))
}

// SyncFolder makes the names in a folder durable.
func SyncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// OpenSQLite opens or creates a private database (0600) with a write-ahead log
// that is synced by every commit; a transaction takes the write lock when it
// begins. The pragmas are run on each new connection.
func OpenSQLite(path string, pragmas ...string) (*sql.DB, error) {
	// Created here, so that it is private from its first byte.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	q := url.Values{"_pragma": append([]string{"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)"}, pragmas...), "_txlock": {"immediate"}}
	return sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String())
}
