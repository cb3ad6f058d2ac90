package cloudflare

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"firedrill"
)

// The platform allows this many restores of a database in this time, and
// does not tell how many are left.
const (
	restoresAllowed = 10
	restoreWindow   = 10 * time.Minute
)

// RestoreLog counts the restores of databases.
type RestoreLog interface {
	// Add notes a restore that is about to be sent.
	Add(database string, at time.Time) error
	// Since gives the restores of a database since a moment, oldest first.
	Since(database string, from time.Time) ([]time.Time, error)
}

type memoryRestores struct {
	mu   sync.Mutex
	list map[string][]time.Time
}

func (m *memoryRestores) Add(database string, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.list == nil {
		m.list = map[string][]time.Time{}
	}
	m.list[database] = append(m.list[database], at)
	return nil
}

func (m *memoryRestores) Since(database string, from time.Time) ([]time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []time.Time
	for _, t := range m.list[database] {
		if !t.Before(from) {
			out = append(out, t)
		}
	}
	return out, nil
}

// FileRestores counts restores in a file, one line each, so that runs of
// different processes count together.
type FileRestores struct{ Path string }

// Add appends a line. The file and its folder are made if they are missing.
func (f FileRestores) Add(database string, at time.Time) error {
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return f.failed(err)
	}
	file, err := os.OpenFile(f.Path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return f.failed(err)
	}
	if _, err := fmt.Fprintf(file, "%s %s\n", at.UTC().Format(time.RFC3339Nano), database); err != nil {
		_ = file.Close() // the write's error is the one to tell
		return f.failed(err)
	}
	if err := file.Close(); err != nil {
		return f.failed(err)
	}
	return nil
}

// Since reads the file. A line that cannot be read is an error: a count that
// is too small would promise restores that are not left.
func (f FileRestores) Since(database string, from time.Time) ([]time.Time, error) {
	data, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, f.failed(err)
	}
	var out []time.Time
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		stamp, db, ok := strings.Cut(lines.Text(), " ")
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if !ok || err != nil {
			return nil, f.failed(fmt.Errorf("a line cannot be read: %q", lines.Text()))
		}
		if db == database && !at.Before(from) {
			out = append(out, at)
		}
	}
	return out, lines.Err()
}

func (f FileRestores) failed(err error) error {
	return &firedrill.Error{Op: "count restores", Kind: firedrill.KindStorage, Target: f.Path, Err: err,
		Remedy: "make the folder writable; if the file is damaged, remove it and wait ten minutes"}
}
