package workerd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Stream tells where a line of output came from.
type Stream string

// The output streams: console.log goes to Stdout; console.error, warnings and
// uncaught exceptions go to Stderr.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

// Start describes one process.
type Start struct {
	// Config is completed by the supervisor: Sockets is built from Expose.
	Config Config
	// Expose lists the services that get a unix socket of their own.
	Expose []string
	// Output receives each line that the process prints. It is called from two
	// goroutines; nil drops the lines.
	Output func(Stream, string)
}

// StartError says that workerd refused the configuration or the code in it.
type StartError struct {
	// Lines is what it printed to standard error, without native stack traces.
	Lines []string
	// Err is the way it ended.
	Err error
}

func (e *StartError) Error() string {
	if len(e.Lines) == 0 {
		return fmt.Sprintf("workerd did not start: %v", e.Err)
	}
	return "workerd did not start: " + strings.Join(e.Lines, "\n")
}

func (e *StartError) Unwrap() error { return e.Err }

// Process is one running workerd.
type Process struct {
	sup     *Supervisor
	cmd     *exec.Cmd
	dir     string
	sockets map[string]string
	took    time.Duration
	done    chan struct{}
	waitErr error // valid after done is closed
}

// Start runs a process and returns when each of its sockets accepts
// connections. When ctx ends first the process is killed. A refusal by workerd
// is a *StartError.
func (s *Supervisor) Start(ctx context.Context, st Start) (*Process, error) {
	dir, err := s.newFolder()
	if err != nil {
		return nil, err
	}
	p, err := s.start(ctx, st, dir)
	if err != nil {
		if rm := os.RemoveAll(dir); rm != nil {
			err = errors.Join(err, rm)
		}
		return nil, err
	}
	return p, nil
}

func (s *Supervisor) start(ctx context.Context, st Start, dir string) (*Process, error) {
	p := &Process{sup: s, dir: dir, sockets: map[string]string{}, done: make(chan struct{})}
	cfg := st.Config
	cfg.Sockets = nil
	for i, service := range st.Expose {
		path := filepath.Join(dir, SocketName(i))
		p.sockets[service] = path
		cfg.Sockets = append(cfg.Sockets, Socket{Name: SocketName(i), Address: "unix:" + path, Service: service})
	}

	source, err := newConfigSource(cfg.Text(), dir)
	if err != nil {
		return nil, fmt.Errorf("workerd: hand over the configuration: %w", err)
	}
	defer source.erase()
	ctlR, ctlW, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("workerd: control pipe: %w", err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		closeAll(ctlR, ctlW)
		return nil, fmt.Errorf("workerd: output pipe: %w", err)
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		closeAll(ctlR, ctlW, outR, outW)
		return nil, fmt.Errorf("workerd: output pipe: %w", err)
	}

	// ExtraFiles become descriptors 3, 4, … of the child.
	files := append([]*os.File{ctlW, source.file}, s.opt.Held...)
	// It outlives the request that starts it.
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), s.opt.Binary, "serve", "--control-fd=3", source.path(4))
	p.cmd.Env = []string{} // nothing of the owner's environment reaches a Worker
	p.cmd.Stdout, p.cmd.Stderr = outW, errW
	p.cmd.ExtraFiles = files
	p.cmd.SysProcAttr = sysProcAttr()

	began := time.Now()
	err = s.onSpawner(p.cmd.Start)
	closeAll(ctlW, outW, errW)
	if err != nil {
		closeAll(ctlR, outR, errR)
		return nil, fmt.Errorf("workerd: start %s: %w", s.opt.Binary, err)
	}

	s.procs.Add(1)
	first := &tail{}
	var readers sync.WaitGroup
	readers.Go(func() { pump(outR, Stdout, st.Output) })
	readers.Go(func() {
		pump(errR, Stderr, func(stream Stream, line string) {
			first.add(line)
			if st.Output != nil {
				st.Output(stream, line)
			}
		})
	})
	go func() {
		defer s.procs.Done()
		p.waitErr = p.cmd.Wait()
		readers.Wait()
		if err := os.RemoveAll(dir); err != nil {
			s.opt.Log.Warn("sockets of a finished process were not removed", "dir", dir, "err", err)
		}
		close(p.done)
	}()

	if err := p.awaitReady(ctx, ctlR, len(st.Expose)); err != nil {
		p.kill()
		<-p.done
		if ctx.Err() != nil {
			return nil, fmt.Errorf("workerd: did not become ready: %w", ctx.Err())
		}
		return nil, &StartError{Lines: first.lines(), Err: errors.Join(err, p.waitErr)}
	}
	p.took = time.Since(began)
	return p, nil
}

// awaitReady reads the control pipe until each socket was reported. The end of
// the pipe before that means that the start failed.
func (p *Process) awaitReady(ctx context.Context, r *os.File, want int) error {
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Unix(1, 0)) }) // a pipe supports deadlines
	defer stop()
	defer closeAll(r)
	sc := bufio.NewScanner(r)
	for n := 0; n < want; {
		if !sc.Scan() {
			return errors.Join(io.ErrUnexpectedEOF, sc.Err())
		}
		var ev struct{ Event string }
		if err := json.Unmarshal(sc.Bytes(), &ev); err != nil {
			return fmt.Errorf("control pipe: %w", err)
		}
		if ev.Event == "listen" {
			n++
		}
	}
	return nil
}

// Sockets are the paths of the unix sockets, by exposed service.
func (p *Process) Sockets() map[string]string { return maps.Clone(p.sockets) }

// Pid is the operating system's process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// StartTime is how long it took from the fork until all sockets listened.
func (p *Process) StartTime() time.Duration { return p.took }

// Done is closed when the process has ended and was waited for.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err tells how the process ended; nil is a clean exit. Valid after Done.
func (p *Process) Err() error { return p.waitErr }

// Stop asks the process to finish what it has begun and waits for its end. It
// is killed when it has not ended after the supervisor's Kill time.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself: Done tells
	t := time.NewTimer(p.sup.opt.Kill)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
		p.kill()
		<-p.done
	}
}

func (p *Process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself: Done tells
}

// pump hands each line of r to out and closes r.
func pump(r *os.File, stream Stream, out func(Stream, string)) {
	defer closeAll(r)
	br := bufio.NewReaderSize(r, 64<<10)
	for {
		// A line longer than the buffer comes in pieces: its length is a Worker's
		// choice and must not become our memory.
		piece, err := br.ReadSlice('\n')
		line := strings.TrimRight(string(piece), "\r\n")
		// A line that begins with "stack:" is a list of native addresses.
		if line != "" && !strings.HasPrefix(line, "stack:") && out != nil {
			out(stream, line)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// tail keeps the first lines of the error output, enough for a message.
type tail struct {
	mu   sync.Mutex
	kept []string
}

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.kept) < 40 {
		t.kept = append(t.kept, line)
	}
}

func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.kept...)
}
