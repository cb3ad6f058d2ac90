package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/cli/term"
	"firedrill/internal/journal"
	"firedrill/internal/state"
)

// stopOptions are the flags of `abort` and `halt`.
type stopOptions struct {
	reason string
	noWait bool
	off    bool
}

func (o *stopOptions) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.reason, "reason", "", "`TEXT` that the result says")
	c.Flags().BoolVar(&o.noWait, "no-wait", false, "do not wait until everything is put back")
}

func (a *app) abortCommand() *cobra.Command {
	var o stopOptions
	c := &cobra.Command{
		Use: "abort [RUN]", Short: "Stop a run from another terminal; it puts back what it changed",
		Long: `Abort asks a run to turn back, as Ctrl-C in its own terminal does: it starts
nothing new, puts back what it changed, looks, and ends as aborted. Without RUN
it takes the only one that is under way. It waits for the end.

A run whose process is gone cannot be asked: finish it with firedrill resume.

Exit status 0 when the environment is restored, 4 when it was left dirty.`,
		Example:           `  firedrill abort --reason "the database is needed now"`,
		Args:              args(0, 1, "at most one run"),
		ValidArgsFunction: a.completeRunning,
		RunE:              func(c *cobra.Command, given []string) error { return a.abort(c.Context(), given, o) },
	}
	o.flags(c)
	return c
}

func (a *app) haltCommand() *cobra.Command {
	var o stopOptions
	c := &cobra.Command{
		Use: "halt", Short: "Stop all runs, and refuse new ones until it is lifted",
		Long: `Halt stops all runs of this machine's state folder as abort does, and refuses
new ones with exit status 5 until firedrill halt --off. Where the plan names a
bucket (state:), that holds for all machines that use it. What is damaged can
still be put back: firedrill resume works on, and so does
firedrill recover.`,
		Example: `  firedrill halt --reason "incident 4711"
  firedrill halt --off`,
		Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			if o.off {
				return a.liftHalt(c.Context())
			}
			return a.halt(c.Context(), o)
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&o.off, "off", false, "lift it: new runs may begin")
	return c
}

func (a *app) stopOf(o stopOptions) state.Stop {
	return state.Stop{By: a.executor(), Reason: o.reason, At: a.Now().UTC()}
}

func (a *app) abort(ctx context.Context, given []string, o stopOptions) (err error) {
	s, err := a.open(ctx, nil, action.SystemSecrets(), nil)
	if err != nil {
		return err
	}
	defer func() { err = s.close(err) }()
	run, err := abortable(ctx, s, given)
	if err != nil {
		return err
	}
	if err := s.home.Abort(run.ID, a.stopOf(o)); err != nil {
		return err
	}
	return a.awaitEnds(ctx, s, []journal.Run{run}, o, "asked")
}

// abortable finds the run that is to be stopped.
func abortable(ctx context.Context, s *station, given []string) (journal.Run, error) {
	running, interrupted, err := s.runner.Unfinished(ctx)
	if err != nil {
		return journal.Run{}, err
	}
	if len(given) == 0 {
		switch len(running) {
		case 0:
			return journal.Run{}, usage("no run is under way", "see: firedrill status")
		case 1:
			return running[0], nil
		}
		return journal.Run{}, usage(fmt.Sprintf("%d runs are under way", len(running)), "name one; see: firedrill status")
	}
	if i := slices.IndexFunc(running, func(r journal.Run) bool { return r.ID == given[0] }); i >= 0 {
		return running[i], nil
	}
	for _, i := range interrupted {
		if i.Run.ID == given[0] {
			return journal.Run{}, usage("no process works on run "+given[0], "finish it: firedrill resume "+given[0])
		}
	}
	if _, err := s.journal.Records(ctx, given[0]); err != nil {
		return journal.Run{}, err
	}
	return journal.Run{}, usage("run "+given[0]+" has finished", "see: firedrill show "+given[0])
}

func (a *app) halt(ctx context.Context, o stopOptions) (err error) {
	s, err := a.open(ctx, nil, action.SystemSecrets(), nil)
	if err != nil {
		return errors.Join(err, a.haltHere(o)) // what can be halted, is
	}
	defer func() { err = s.close(err) }()
	if err := s.home.Halt(a.stopOf(o)); err != nil {
		return err
	}
	running, _, err := s.runner.Unfinished(ctx)
	if err != nil {
		return err
	}
	return a.awaitEnds(ctx, s, running, o, "halted")
}

// haltHere halts the runs of this machine alone.
func (a *app) haltHere(o stopOptions) error {
	dir, err := a.homeDir()
	if err != nil {
		return err
	}
	home, err := state.Open(dir)
	if err != nil {
		return err
	}
	return home.Halt(a.stopOf(o))
}

func (a *app) liftHalt(ctx context.Context) (err error) {
	s, err := a.open(ctx, nil, action.SystemSecrets(), nil)
	if err != nil {
		return err
	}
	defer func() { err = s.close(err) }()
	was, err := s.home.Lift()
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(map[string]any{"schema_version": 1, "halted": false, "was_halted": was})
	}
	if !was {
		a.out.Text("Drills were not halted.")
		return nil
	}
	a.out.Line(term.Plain, "halt", "lifted: drills may run")
	return nil
}

// stopped is what became of a run that was asked to turn back.
type stopped struct {
	Run         string                     `json:"run"`
	Drill       string                     `json:"drill"`
	Environment string                     `json:"environment"`
	Verdict     firedrill.Verdict          `json:"verdict,omitempty"` // absent while it has not ended
	State       firedrill.EnvironmentState `json:"environment_state,omitempty"`
}

// awaitEnds waits until the runs have ended and says how. An interrupt ends the
// waiting, not the runs' way back.
func (a *app) awaitEnds(ctx context.Context, s *station, running []journal.Run, o stopOptions, what string) error {
	docs := []stopped{}
	dirty := false
	for _, run := range running {
		if !a.global.json {
			a.err.Line(term.Plain, what, fmt.Sprintf("run %s (%s on %s) turns back", run.ID, run.Drill, run.Environment))
		}
		d := stopped{Run: run.ID, Drill: run.Drill, Environment: run.Environment}
		if !o.noWait {
			end, err := awaitEnd(ctx, s, run)
			if err != nil {
				return err
			}
			d.Verdict, d.State = end.Verdict, end.State
			dirty = dirty || end.State == firedrill.Dirty
		}
		docs = append(docs, d)
	}
	if a.global.json {
		if err := a.printJSON(map[string]any{"schema_version": 1, "halted": what == "halted", "runs": docs}); err != nil {
			return err
		}
	} else {
		a.printStopped(docs, what)
	}
	if dirty {
		return exitStatus(firedrill.ExitDirty)
	}
	return nil
}

func (a *app) printStopped(docs []stopped, what string) {
	for _, d := range docs {
		switch {
		case d.Verdict == "":
			continue
		case d.State == firedrill.Dirty:
			a.out.Line(term.Bad, "DIRTY", fmt.Sprintf("run %s left %s dirty; what and how to repair it: firedrill show %s", d.Run, d.Environment, d.Run))
		default:
			a.out.Line(term.Plain, string(d.Verdict), fmt.Sprintf("run %s · %s is restored", d.Run, d.Environment))
		}
	}
	if what == "halted" {
		a.out.Line(term.Plain, "halted", "no drill begins until: firedrill halt --off")
	}
}

// awaitEnd waits for the end of a run, as the journal tells it. A run whose process
// went away on the way back will not end by itself.
func awaitEnd(ctx context.Context, s *station, run journal.Run) (journal.Run, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 1; ; n++ {
		all, err := s.journal.Runs(ctx, journal.Query{Unfinished: true})
		if err != nil {
			return run, err
		}
		if !slices.ContainsFunc(all, func(r journal.Run) bool { return r.ID == run.ID }) {
			return ended(ctx, s, run)
		}
		if n%10 == 0 {
			_, interrupted, err := s.runner.Unfinished(ctx)
			if err != nil {
				return run, err
			}
			for _, i := range interrupted {
				if i.Run.ID == run.ID {
					return run, &firedrill.Error{Op: "abort", Kind: firedrill.KindBusy, Target: "run " + run.ID, Detail: "its process went away before it had put everything back", Remedy: "finish it: firedrill resume " + run.ID}
				}
			}
		}
		select {
		case <-ctx.Done():
			return run, &firedrill.Error{Op: "abort", Kind: firedrill.KindInterrupted, Target: "run " + run.ID, Detail: "it was asked to turn back, and has not ended yet", Remedy: "see: firedrill status"}
		case <-tick.C:
		}
	}
}

func ended(ctx context.Context, s *station, run journal.Run) (journal.Run, error) {
	all, err := s.journal.Runs(ctx, journal.Query{Drill: run.Drill, Environment: run.Environment})
	if err != nil {
		return run, err
	}
	i := slices.IndexFunc(all, func(r journal.Run) bool { return r.ID == run.ID })
	if i < 0 {
		return run, &firedrill.Error{Op: "abort", Kind: firedrill.KindCorrupt, Target: "run " + run.ID, Detail: "it is gone from the journal"}
	}
	return all[i], nil
}

// remind tells, before anything else is done, what an earlier command left
// unfinished. A command that has to do with it says it better by itself.
func (a *app) remind(c *cobra.Command) (err error) {
	name := strings.TrimPrefix(c.CommandPath(), "firedrill ")
	if slices.Contains([]string{"", "firedrill", "resume", "abort", "status", "init", "doctor", "runbook", "version", "completion", "__complete", "__completeNoDesc"}, name) {
		return nil
	}
	dir, err := a.homeDir()
	if err != nil {
		return err
	}
	if state.Exists(dir) {
		if err := a.remindOf(c.Context(), a.openLocal); err != nil {
			return err
		}
	}
	// A bucket is asked by those alone that need it anyway.
	if in, err := a.stateStore(); err != nil || in == nil || !slices.Contains([]string{"run", "plan", "history", "show", "certify"}, name) {
		return nil //nolint:nilerr // the command says it better
	}
	return a.remindOf(c.Context(), a.open)
}

type opener = func(context.Context, map[string]firedrill.Environment, action.Secrets, *term.Live) (*station, error)

func (a *app) remindOf(ctx context.Context, open opener) (err error) {
	s, err := open(ctx, nil, action.SystemSecrets(), nil)
	if err != nil {
		return err
	}
	defer func() { err = s.close(err) }()
	_, interrupted, err := s.runner.Unfinished(ctx)
	if err != nil {
		return err
	}
	a.warnInterrupted(interrupted)
	return nil
}

func (a *app) completeRunning(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	s, err := a.open(c.Context(), nil, action.SystemSecrets(), nil)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	running, _, err := s.runner.Unfinished(c.Context())
	if s.close(err) != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var ids []string
	for _, r := range running {
		ids = append(ids, r.ID)
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
