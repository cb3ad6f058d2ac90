package workerd

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// maxSocketPath is the longest path that a unix socket may have on every
// supported platform (Linux 107 bytes, macOS 103).
const maxSocketPath = 103

// Options configure a Supervisor. All fields but Held and Log are required.
type Options struct {
	// Binary is the workerd to run.
	Binary string
	// RunDir is an existing folder, private to the owner (0700), in which each
	// process gets a folder for its sockets. Its path must be short.
	RunDir string
	// Held are open files that every process inherits: a lock held through
	// one of them stays held until the last process is gone.
	Held []*os.File
	// Log receives what the supervisor does.
	Log *slog.Logger
	// Kill is how long a process may take to finish after it was asked to,
	// before it is killed. 0 means two seconds.
	Kill time.Duration
}

// Supervisor starts workerd processes and guarantees that none outlives it.
//
// On Linux the kernel kills a child when the thread that forked it exits, so
// every process is started from one thread which lives as long as the
// supervisor.
type Supervisor struct {
	opt    Options
	tasks  chan func()
	closed chan struct{}
	once   sync.Once
	next   atomic.Int64
	procs  sync.WaitGroup
}

// NewSupervisor checks that the binary can be executed and the run folder is
// short enough, and starts the thread that spawns processes.
func NewSupervisor(opt Options) (*Supervisor, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Kill == 0 {
		opt.Kill = 2 * time.Second
	}
	if n := len(filepath.Join(opt.RunDir, "p-99999999", "s99")); n > maxSocketPath {
		return nil, fmt.Errorf("workerd: sockets in %s would have paths of %d bytes, the limit is %d: choose a shorter folder",
			opt.RunDir, n, maxSocketPath)
	}
	if st, err := os.Stat(opt.Binary); err != nil {
		return nil, fmt.Errorf("workerd: binary: %w", err)
	} else if st.IsDir() || st.Mode()&0o111 == 0 {
		return nil, fmt.Errorf("workerd: %s is not an executable file", opt.Binary)
	}
	s := &Supervisor{opt: opt, tasks: make(chan func()), closed: make(chan struct{})}
	go s.spawner()
	return s, nil
}

// spawner runs tasks on one thread that it never gives back while the
// supervisor lives.
func (s *Supervisor) spawner() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		select {
		case f := <-s.tasks:
			f()
		case <-s.closed:
			return
		}
	}
}

// errClosed is returned for a start after Close.
var errClosed = errors.New("workerd: the supervisor is closed")

// onSpawner runs f on the spawning thread and waits for it.
func (s *Supervisor) onSpawner(f func() error) error {
	done := make(chan error, 1)
	select {
	case s.tasks <- func() { done <- f() }:
		return <-done
	case <-s.closed:
		return errClosed
	}
}

// Close ends the spawning thread. Processes must have been stopped before:
// Close waits for them. It is safe to call twice.
func (s *Supervisor) Close() error {
	s.procs.Wait()
	s.once.Do(func() { close(s.closed) })
	return nil
}

// newFolder makes the folder for the sockets of the next process.
func (s *Supervisor) newFolder() (string, error) {
	dir := filepath.Join(s.opt.RunDir, "p-"+strconv.FormatInt(s.next.Add(1), 10))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("workerd: folder for sockets: %w", err)
	}
	return dir, nil
}

// closeAll closes files whose errors cannot matter any more: they were only
// handed to a child, or read to their end.
func closeAll(files ...io.Closer) {
	for _, f := range files {
		if f != nil {
			_ = f.Close() // see above
		}
	}
}
