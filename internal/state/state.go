// Package state is where a machine keeps what must outlive a process: the
// journal, a folder for each run, and the leases by which one drill at a time
// touches an environment. It is a local folder, never inside what is drilled.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

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

// Holder says who holds an environment.
type Holder struct {
	Run   string    `json:"run"`
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
}

// Lease is the right to drill an environment. It ends with the process,
// however it ends.
type Lease struct{ file *os.File }

// unsafeName are the characters that a file name for a key leaves out.
var unsafeName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// Acquire takes the lease of an environment; key names it (plan and
// environment). An environment that is held gives an error of [firedrill.KindBusy].
func (h *Home) Acquire(key string, holder Holder) (*Lease, error) {
	path := filepath.Join(h.dir, "leases", unsafeName.ReplaceAllString(key, "-")+".lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fail("take the lease", key, err)
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(busy(key, f, holder.Since), f.Close())
	}
	data, err := json.Marshal(holder)
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(append(data, '\n'), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, errors.Join(fail("take the lease", key, err), f.Close())
	}
	return &Lease{f}, nil
}

func busy(key string, f *os.File, now time.Time) error {
	e := &firedrill.Error{Op: "take the lease", Kind: firedrill.KindBusy, Target: "environment " + key,
		Detail: "another run holds it", Remedy: "wait until it has finished, or drill another environment"}
	var holder Holder
	if data, err := io.ReadAll(io.LimitReader(f, 4096)); err == nil && json.Unmarshal(data, &holder) == nil {
		e.Detail = fmt.Sprintf("run %s holds it (process %d on %s, for %s)", holder.Run, holder.PID, holder.Host, now.Sub(holder.Since).Round(time.Second))
	}
	return e
}

// Release gives the lease back.
func (l *Lease) Release() error {
	if err := l.file.Close(); err != nil {
		return fail("give the lease back", l.file.Name(), err)
	}
	return nil
}

func fail(op, target string, err error) error {
	return &firedrill.Error{Op: op, Kind: firedrill.KindStorage, Target: target, Remedy: "look at the disk (full? read-only?), or use another --home", Err: err}
}
