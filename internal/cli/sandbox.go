package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/cli/term"
	"firedrill/internal/sandbox"
	"firedrill/internal/sandbox/workers/workerd"
)

// sandboxOptions are the flags of `sandbox up`.
type sandboxOptions struct {
	listen, front, state string
	detach               bool
}

func (a *app) sandboxCommand() *cobra.Command {
	var o sandboxOptions
	c := &cobra.Command{
		Use: "sandbox", Short: "A staging cloud on this machine: Cloudflare's API, the real workerd",
		Example: `  firedrill sandbox up --detach
  eval "$(firedrill sandbox env)"
  npx wrangler d1 list`,
		Args: func(c *cobra.Command, given []string) error {
			if len(given) > 0 {
				return unknownCommand(c, given[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().StringVar(&o.state, "state", "", "state `folder` of the sandbox (default: sandbox below --home)")
	up := &cobra.Command{Use: "up", Short: "Start it and stay, or --detach", Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return a.sandboxUp(c.Context(), o) }}
	up.Flags().StringVar(&o.listen, "listen", sandbox.DefaultListen, "`address` of the API")
	up.Flags().StringVar(&o.front, "front", sandbox.DefaultFront, "`address` of the Workers")
	up.Flags().BoolVar(&o.detach, "detach", false, "start it in the background and return when it is ready")
	sub := func(use, short string, run func(sandboxOptions) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: args(0, 0, "no arguments"), RunE: func(*cobra.Command, []string) error { return run(o) }}
	}
	c.AddCommand(up,
		sub("down", "Stop it", a.sandboxDown),
		sub("status", "What runs, and where", a.sandboxStatus),
		sub("env", "Shell lines after which the real wrangler works on it", a.sandboxEnv),
		sub("reset", "Remove its state; it must not run", a.sandboxReset))
	return c
}

func (a *app) sandboxDir(o sandboxOptions) (string, error) {
	if o.state != "" {
		return filepath.Abs(o.state)
	}
	home, err := a.homeDir()
	return filepath.Join(home, "sandbox"), err
}

// sandboxError translates the sandbox's own errors.
func sandboxError(err error) error {
	var e *sandbox.Error
	if !errors.As(err, &e) {
		return err
	}
	kind := map[sandbox.Kind]firedrill.Kind{sandbox.KindBusy: firedrill.KindBusy, sandbox.KindAbsent: firedrill.KindNotFound}[e.Kind]
	if kind == "" {
		kind = firedrill.KindStorage
	}
	return &firedrill.Error{Op: e.Op, Kind: kind, Target: e.Target, Remedy: e.Remedy, Err: e.Err}
}

// workerd finds or fetches the runtime, and shows that it does.
func (a *app) workerd(ctx context.Context, live *term.Live) (workerd.Binary, error) {
	progress, end := live.Begin("workerd", "looking for it")
	b, err := workerd.Locate(ctx, workerd.Locator{Getenv: a.Getenv, Progress: func(text string) {
		progress(firedrill.Progress{Text: text})
		live.Line(term.Plain, "workerd", text)
	}})
	if err != nil {
		end(term.Bad, "")
		return b, &firedrill.Error{Op: "find workerd", Kind: firedrill.KindUnsupported, Err: err,
			Remedy: "install npm so that it can be fetched, or name a binary: FIREDRILL_WORKERD=/path/to/workerd"}
	}
	end(term.Plain, fmt.Sprintf("%s (%s)", b.Version, b.Source))
	return b, nil
}

func (a *app) sandboxUp(ctx context.Context, o sandboxOptions) error {
	if o.detach {
		return a.sandboxDetach(ctx, o)
	}
	dir, err := a.sandboxDir(o)
	if err != nil {
		return err
	}
	live := a.live()
	b, err := a.workerd(ctx, live)
	live.Close()
	if err != nil {
		return err
	}
	level := slog.LevelWarn
	if a.global.verbose {
		level = slog.LevelDebug
	}
	started := a.Now()
	s, err := sandbox.Start(ctx, sandbox.Config{StateDir: dir, Listen: o.listen, Front: o.front, Workerd: b.Path, Now: a.Now,
		Log: slog.New(slog.NewTextHandler(a.Stderr, &slog.HandlerOptions{Level: level})), Logs: a.Stderr})
	if err != nil {
		return sandboxError(err)
	}
	a.printEndpoint(fmt.Sprintf("ready in %s", term.Seconds(a.Now().Sub(started).Seconds())), s.Endpoint())
	<-ctx.Done()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	return sandboxError(s.Close(stop))
}

func (a *app) printEndpoint(text string, e sandbox.Endpoint) {
	if a.global.json {
		// The token is left out: what is printed ends up in logs.
		_ = a.printJSON(map[string]any{"pid": e.PID, "api": e.API, "front": e.Front, "account": e.Account, "started": e.Started}) // a closed standard output must not stop a sandbox
		return
	}
	a.out.Line(term.Strong, "sandbox", fmt.Sprintf("%s   API %s   Workers %s", text, e.API, e.Front))
}

// sandboxDetach starts this program again as a sandbox of its own and waits
// until it is ready.
func (a *app) sandboxDetach(ctx context.Context, o sandboxOptions) error {
	dir, err := a.sandboxDir(o)
	if err != nil {
		return err
	}
	if e, err := sandbox.Running(dir); err == nil {
		a.printEndpoint("runs already", e)
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return &firedrill.Error{Op: "start the sandbox", Kind: firedrill.KindStorage, Target: dir, Err: err, Remedy: "name a folder that can be written: --state DIR"}
	}
	self, err := os.Executable()
	if err != nil {
		return &firedrill.Error{Op: "start the sandbox", Kind: firedrill.KindInternal, Err: err}
	}
	logPath := filepath.Join(dir, "sandbox.log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return &firedrill.Error{Op: "start the sandbox", Kind: firedrill.KindStorage, Target: logPath, Err: err, Remedy: "free the folder"}
	}
	defer log.Close() //nolint:errcheck // the child holds its own
	from, err := log.Seek(0, 2)
	if err != nil {
		return &firedrill.Error{Op: "start the sandbox", Kind: firedrill.KindStorage, Target: logPath, Err: err}
	}
	// The sandbox outlives this command, so it gets no context of it.
	cmd := exec.Command(self, "sandbox", "up", "--state", dir, "--listen", o.listen, "--front", o.front) //nolint:noctx // see above
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return &firedrill.Error{Op: "start the sandbox", Kind: firedrill.KindInternal, Target: self, Err: err}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ended stands in its log
	}()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended: // how it ended stands in its log
			return a.detachFailed(logPath, from)
		case <-ctx.Done():
			return errors.Join(&firedrill.Error{Op: "start the sandbox", Kind: firedrill.KindInterrupted, Detail: "interrupted while it started"}, cmd.Process.Signal(syscall.SIGTERM))
		case <-tick.C:
			if e, err := sandbox.Running(dir); err == nil && e.PID == cmd.Process.Pid {
				a.printEndpoint("ready", e)
				return nil
			}
		}
	}
}

// detachFailed shows what the process that did not start said.
func (a *app) detachFailed(logPath string, from int64) error {
	data, err := os.ReadFile(logPath)
	if err == nil && int64(len(data)) > from {
		if _, err := a.Stderr.Write(data[from:]); err != nil {
			return err
		}
	}
	return exitStatus(firedrill.ExitOperational)
}

func (a *app) sandboxDown(o sandboxOptions) error {
	dir, err := a.sandboxDir(o)
	if err != nil {
		return err
	}
	e, err := sandbox.Running(dir)
	if err != nil {
		return sandboxError(err)
	}
	if err := syscall.Kill(e.PID, syscall.SIGTERM); err != nil {
		return &firedrill.Error{Op: "stop the sandbox", Kind: firedrill.KindConflict, Target: fmt.Sprintf("process %d", e.PID), Err: err, Remedy: "look who owns it: ps -p " + fmt.Sprint(e.PID)}
	}
	for range 400 {
		if _, err := sandbox.Running(dir); err != nil {
			if !a.global.json {
				a.out.Line(term.Strong, "sandbox", "stopped")
			}
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return &firedrill.Error{Op: "stop the sandbox", Kind: firedrill.KindTimeout, Target: fmt.Sprintf("process %d", e.PID), Detail: "did not stop within 20 s", Remedy: fmt.Sprintf("kill -9 %d (nothing acknowledged is lost)", e.PID)}
}

func (a *app) sandboxStatus(o sandboxOptions) error {
	dir, err := a.sandboxDir(o)
	if err != nil {
		return err
	}
	e, err := sandbox.Running(dir)
	if err != nil {
		return sandboxError(err)
	}
	a.printEndpoint(fmt.Sprintf("runs as process %d since %s", e.PID, e.Started.Local().Format("15:04:05")), e)
	if !a.global.json {
		a.out.Line(term.Plain, "  state", dir)
	}
	return nil
}

func (a *app) sandboxEnv(o sandboxOptions) error {
	dir, err := a.sandboxDir(o)
	if err != nil {
		return err
	}
	e, err := sandbox.Running(dir)
	if err != nil {
		return sandboxError(err)
	}
	_, err = fmt.Fprint(a.Stdout, e.Env())
	return err
}

func (a *app) sandboxReset(o sandboxOptions) error {
	dir, err := a.sandboxDir(o)
	if err != nil {
		return err
	}
	if err := sandbox.Reset(dir); err != nil {
		return sandboxError(err)
	}
	if !a.global.json {
		a.out.Line(term.Strong, "sandbox", "empty: "+dir)
	}
	return nil
}
