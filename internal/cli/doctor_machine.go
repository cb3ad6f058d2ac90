package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/cli/term"
	"firedrill/internal/sandbox/workers/workerd"
	"firedrill/internal/state"
)

// Below these the disk holds no run with a backup, or not even a journal.
const (
	littleDisk = 1 << 30
	noDisk     = 64 << 20
)

// slowSync is how long a small write to the disk may take; a journal waits for
// several in each step.
const slowSync = 100 * time.Millisecond

// examineMachine looks at what this machine has.
func (a *app) examineMachine(ctx context.Context, x *examination) {
	a.examineWorkerd(ctx, x)
	dir, err := a.homeDir()
	if err != nil {
		x.add(failed("state folder", err))
		return
	}
	// What is not there yet is made by the first run; the disk is that of the
	// nearest folder that is there.
	there := dir
	for {
		if _, err := os.Stat(there); !errors.Is(err, fs.ErrNotExist) || filepath.Dir(there) == there {
			break
		}
		there = filepath.Dir(there)
	}
	examineDisk(x, there)
	if there != dir {
		x.add(check{Name: "state folder", Status: healthOK, Detail: dir + " is not there yet; the first run makes it"})
		return
	}
	a.examineHome(ctx, x, dir)
}

// examineWorkerd looks for the runtime without fetching it.
func (a *app) examineWorkerd(ctx context.Context, x *examination) {
	_, npmErr := exec.LookPath("npm")
	b, err := workerd.Locate(ctx, workerd.Locator{Getenv: a.Getenv, LookPath: func(name string) (string, error) {
		if name == "npm" {
			return "", exec.ErrNotFound
		}
		return exec.LookPath(name)
	}})
	switch {
	case err == nil:
		x.add(check{Name: "workerd", Status: healthOK, Detail: fmt.Sprintf("%s (%s)", b.Version, b.Source)})
	case npmErr == nil:
		x.add(check{Name: "workerd", Status: healthOK, Detail: "not on this machine; the first sandbox fetches " + workerd.PinnedVersion + " with npm"})
	default:
		x.add(check{Name: "workerd", Status: healthWarning, Detail: "not on this machine, and npm neither: no sandbox can run here",
			Remedy: "install npm, or name a binary: FIREDRILL_WORKERD=/path/to/workerd. Drills on an account need neither"})
	}
	for _, program := range []string{"node", "npm"} {
		if path, err := exec.LookPath(program); err == nil {
			x.add(check{Name: program, Status: healthOK, Detail: path})
		} else {
			x.add(check{Name: program, Status: healthWarning, Detail: "not on PATH: the commands that firedrill prints for repairs by hand need it (npx wrangler)", Remedy: "install Node.js"})
		}
	}
}

func examineDisk(x *examination, dir string) {
	var fsys unix.Statfs_t
	if err := unix.Statfs(dir, &fsys); err != nil {
		x.add(failed("disk", &firedrill.Error{Op: "look at the disk", Kind: firedrill.KindStorage, Target: dir, Err: err}))
		return
	}
	free := int64(fsys.Bavail) * int64(fsys.Bsize) //nolint:gosec,unconvert // sizes of disks fit; the types differ between systems
	c := check{Name: "disk", Status: healthOK, Detail: sizeText(free) + " free at " + dir}
	switch {
	case free < noDisk:
		c.Status, c.Remedy = healthProblem, "make room: a run has to be able to write down what it does"
	case free < littleDisk:
		c.Status, c.Remedy = healthWarning, "make room: backups of a drill need as much as what they hold"
	}
	x.add(c)
}

// examineHome looks at a state folder that is there.
func (a *app) examineHome(ctx context.Context, x *examination, dir string) {
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o077 != 0 {
		x.add(check{Name: "state folder", Status: healthWarning, Detail: fmt.Sprintf("others on this machine can read %s (%s)", dir, info.Mode().Perm()), Remedy: "chmod 700 " + dir})
	}
	took, err := syncTime(dir)
	switch {
	case err != nil:
		x.add(failed("disk", &firedrill.Error{Op: "write to the state folder", Kind: firedrill.KindStorage, Target: dir, Err: err, Remedy: "look at the disk (full? read-only?), or use another --home"}))
		return
	case took > slowSync:
		x.add(check{Name: "disk", Status: healthWarning, Detail: "a small write that survives a power cut takes " + term.Duration(took), Remedy: "use a faster disk for --home: times of drills include it"})
	default:
		x.add(check{Name: "disk", Status: healthOK, Detail: "a small write that survives a power cut takes " + term.Duration(took)})
	}
	if !state.Exists(dir) {
		x.add(check{Name: "state folder", Status: healthOK, Detail: dir + " is empty; the first run makes it"})
		return
	}
	a.examineRuns(ctx, x, dir)
}

// examineRuns reads the journal.
func (a *app) examineRuns(ctx context.Context, x *examination, dir string) {
	s, err := a.open(ctx, nil, action.SystemSecrets(), nil)
	if err != nil {
		x.add(failed("state folder", err))
		return
	}
	defer func() {
		if err := s.close(nil); err != nil {
			x.add(failed("state folder", err))
		}
	}()
	running, interrupted, err := s.runner.Unfinished(ctx)
	if err != nil {
		x.add(failed("state folder", err))
		return
	}
	halt, err := s.home.Halted()
	if err != nil {
		x.add(failed("state folder", err))
		return
	}
	x.add(check{Name: "state folder", Status: healthOK, Detail: fmt.Sprintf("%s, readable, %s at work", dir, term.Plural(int64(len(running)), "run"))})
	if halt != nil {
		x.add(check{Name: "halt", Status: healthWarning, Detail: "drills are halted: no run begins", Remedy: "firedrill halt --off"})
	}
	for _, i := range interrupted {
		x.add(check{Name: "interrupted", Status: healthProblem, Detail: fmt.Sprintf("run %s (%s on %s) did not finish; %s may be damaged", i.Run.ID, i.Run.Drill, i.Run.Environment, term.Plural(int64(len(i.Damaged)), "thing")),
			Remedy: "finish it: firedrill resume " + i.Run.ID})
	}
}

// syncTime tells how long the slowest of a few small synced writes takes.
func syncTime(dir string) (slowest time.Duration, err error) {
	f, err := os.CreateTemp(dir, "doctor-*")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	for range 5 {
		began := time.Now()
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		slowest = max(slowest, time.Since(began))
	}
	return slowest, nil
}
