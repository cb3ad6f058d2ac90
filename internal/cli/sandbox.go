package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/cli/term"
	"firedrill/internal/sandbox"
	"firedrill/internal/sandbox/workers/workerd"
)

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
	sub := func(use, short string, run func(sandboxOptions) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: args(0, 0, "no arguments"), RunE: func(*cobra.Command, []string) error { return run(o) }}
	}
	c.AddCommand(a.sandboxUpCommand(&o),
		sub("down", "Stop it", a.sandboxDown),
		&cobra.Command{Use: "status", Short: "What runs, and where", Args: args(0, 0, "no arguments"),
			RunE: func(c *cobra.Command, _ []string) error { return a.sandboxStatus(c.Context(), o) }},
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

func (a *app) printEndpoint(text string, e sandbox.Endpoint) {
	if a.global.json {
		// The token is left out: what is printed ends up in logs.
		_ = a.printJSON(map[string]any{"pid": e.PID, "api": e.API, "front": e.Front, "account": e.Account, "started": e.Started}) // a closed standard output must not stop a sandbox
		return
	}
	a.out.Line(term.Strong, "sandbox", fmt.Sprintf("%s   API %s   Workers %s", text, e.API, e.Front))
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
