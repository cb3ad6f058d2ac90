// Package state is where a machine keeps what must outlive a process: the
// journal, a folder for each run, and the leases by which one drill at a time
// touches an environment. It is a local folder, never inside what is drilled.
package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"firedrill"
)

// Home is a state folder.
type Home struct{ dir string }

// layout is the version of the folder.
const layout = "firedrill home 1\n"

// Exists tells whether a folder is a state folder already.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "layout"))
	return err == nil
}

// Open opens a state folder or makes an empty one.
func Open(dir string) (*Home, error) {
	for _, d := range []string{dir, filepath.Join(dir, "runs"), filepath.Join(dir, "leases")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fail("open the state folder", dir, err)
		}
	}
	path := filepath.Join(dir, "layout")
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.WriteFile(path, []byte(layout), 0o600); err != nil {
			return nil, fail("open the state folder", dir, err)
		}
	case err != nil:
		return nil, fail("open the state folder", dir, err)
	case string(data) != layout:
		return nil, &firedrill.Error{Op: "open the state folder", Kind: firedrill.KindStorage, Target: dir,
			Detail: fmt.Sprintf("it has layout %q, this version knows %q", data, layout), Remedy: "use the newer firedrill that wrote it, or another --home"}
	}
	return &Home{dir}, nil
}

// Dir is the folder itself.
func (h *Home) Dir() string { return h.dir }

// Journal is the path of the journal.
func (h *Home) Journal() string { return filepath.Join(h.dir, "journal.db") }

// RunDir is the folder of a run; it is made if it is not there.
func (h *Home) RunDir(run string) (string, error) {
	dir := h.RunPath(run)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fail("make the run's folder", dir, err)
	}
	return dir, nil
}

// RunPath is the path of a run's folder.
func (h *Home) RunPath(run string) string { return filepath.Join(h.dir, "runs", run) }

func fail(op, target string, err error) error {
	return &firedrill.Error{Op: op, Kind: firedrill.KindStorage, Target: target, Remedy: "look at the disk (full? read-only?), or use another --home", Err: err}
}
