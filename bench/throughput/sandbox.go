//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"time"

	"firedrill/internal/sandbox"
	"firedrill/internal/sandbox/workers/workerd"
)

// serveCommand makes this program a sandbox, in a process of its own: so the
// generator and the sandbox do not share a garbage collector, a profile shows
// the sandbox alone, and a start can be timed from the start of the process.
const serveCommand = "serve"

// served is what the process of a sandbox tells on its stdout, one line of
// JSON, when it serves.
type served struct {
	sandbox.Endpoint
	Workerd string
}

// serve is the process of a sandbox. It ends on a signal, and when its stdin
// does: so it does not outlive a parent that was killed.
func serve(ctx context.Context, args []string) (err error) {
	f := flag.NewFlagSet(serveCommand, flag.ContinueOnError)
	state := f.String("state", "", "state folder")
	profile := f.String("cpuprofile", "", "file for a CPU profile")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *profile != "" {
		out, err := os.OpenFile(*profile, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, out.Close()) }()
		if err := pprof.StartCPUProfile(out); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	bin, err := workerd.Locate(ctx, workerd.Locator{Progress: func(s string) { fmt.Fprintln(os.Stderr, s) }})
	if err != nil {
		return err
	}
	s, err := sandbox.Start(ctx, sandbox.Config{StateDir: *state, Listen: "127.0.0.1:0", Front: "127.0.0.1:0", Workerd: bin.Path, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})), Logs: os.Stderr})
	if err != nil {
		return err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		err = errors.Join(err, s.Close(stop))
	}()
	if err := json.NewEncoder(os.Stdout).Encode(served{s.Endpoint(), bin.Version}); err != nil {
		return err
	}
	orphaned := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is the message
		close(orphaned)
	}()
	select {
	case <-ctx.Done():
	case <-orphaned:
	}
	return nil
}

// sandboxSide is a sandbox that serves.
type sandboxSide struct {
	*side
	served
}

// newSandbox starts a sandbox on a state folder.
func newSandbox(ctx context.Context, dir, profile string) (_ *sandboxSide, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, serveCommand, "--state", filepath.Join(dir, "state"), "--cpuprofile", profile)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	// Nothing is written to it: its end, with this process, ends the sandbox.
	if _, err := cmd.StdinPipe(); err != nil {
		return nil, err
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = reader.Close() }() // nothing is written to it
	cmd.Stdout = writer
	s, err := start(cmd, "the sandbox", filepath.Join(dir, "log"))
	_ = writer.Close() // the process has its own
	if err != nil {
		return nil, err
	}
	sb := &sandboxSide{side: s}
	if err := json.NewDecoder(reader).Decode(&sb.served); err != nil {
		return nil, errors.Join(fmt.Errorf("the sandbox does not serve: %w", err), s.stop())
	}
	sb.addr = strings.TrimPrefix(sb.Front, "http://")
	sb.host = sb.hostOf("bench")
	return sb, nil
}

// hostOf is the Host header that leads to a Worker.
func (s *sandboxSide) hostOf(name string) string {
	_, port, _ := strings.Cut(s.addr, ":")
	return name + ".localhost:" + port
}
