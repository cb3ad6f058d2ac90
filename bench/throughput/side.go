//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// script is a Worker to serve.
type script struct {
	Name, Source string
	KV, D1       bool
	// Services are Workers that it can call, each under its name.
	Services []string
}

// compatibilityDate is that of all Workers here.
const compatibilityDate = "2026-04-01"

// side is one of the two that are compared, as a process that serves.
type side struct {
	target
	name string
	cmd  *exec.Cmd
	logs string        // path of what it printed
	done chan struct{} // closed when the process has ended
}

// start starts a process in a group of its own, so that stop reaches all that
// it starts in turn.
func start(cmd *exec.Cmd, name, logs string) (*side, error) {
	f, err := os.OpenFile(logs, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // the process has its own
	if cmd.Stdout == nil {
		cmd.Stdout = f
	}
	cmd.Stderr = f
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &side{name: name, cmd: cmd, logs: logs, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in its state
		close(s.done)
	}()
	return s, nil
}

// stop ends the process and everything in its group.
func (s *side) stop() error {
	signalErr := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(20 * time.Second):
		signalErr = errors.Join(signalErr, fmt.Errorf("%s did not end in 20 s", s.name))
	}
	// What a dead leader left behind; usually the group is gone.
	if err := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		signalErr = errors.Join(signalErr, err)
	}
	<-s.done
	if errors.Is(signalErr, syscall.ESRCH) {
		return s.ended()
	}
	return signalErr
}

// ended describes a process that ended by itself.
func (s *side) ended() error {
	printed, err := os.ReadFile(s.logs)
	if len(printed) > 2000 {
		printed = printed[len(printed)-2000:]
	}
	return errors.Join(fmt.Errorf("%s ended by itself: %v\n%s", s.name, s.cmd.ProcessState, printed), err)
}

// awaitLimit is how long a side may take to give a right answer.
const awaitLimit = time.Minute

// await asks until the answer is the one that must come.
func (s *side) await(ctx context.Context, path, want string) error {
	ctx, cancel := context.WithTimeout(ctx, awaitLimit)
	defer cancel()
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, s.host)
	for {
		err := func() error {
			c, err := s.dial(ctx)
			if err != nil {
				return err
			}
			defer c.hangUp()
			return c.exchange(request, []byte(want))
		}()
		if err == nil {
			return nil
		}
		select {
		case <-s.done:
			return s.ended()
		case <-ctx.Done():
			printed, _ := os.ReadFile(s.logs) // more for the message below
			return fmt.Errorf("%s: no right answer to %s in %v: %w\n%s", s.name, path, awaitLimit, err, printed)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// turn is one turn of the load, with the CPU time that the side needed for it.
func (s *side) turn(ctx context.Context, r row, c int, length time.Duration) (sample, error) {
	before, known := s.usage()
	got, err := s.attack(ctx, r, c, length)
	after, _ := s.usage()
	if known {
		got.cpu = usage{after.own - before.own, after.workerd - before.workerd}
	}
	return got, err
}
