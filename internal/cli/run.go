package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/cli/term"
	"firedrill/internal/plan"
	"firedrill/internal/report"
	"firedrill/internal/runner"
)

func (a *app) runCommand() *cobra.Command {
	var all, due bool
	var said occasionOptions
	c := &cobra.Command{
		Use: "run DRILL... | --all | --due", Short: "Run drills of the plan",
		Long: `Run damages an environment of the plan on purpose, recovers it, proves both,
and puts back what it changed: also after an error, and after Ctrl-C (once: it
puts back; twice: it leaves at once and says what is damaged).`,
		Example: `  firedrill run d1-pitr
  firedrill run --all --json > result.json
  firedrill run --due --yes       from cron: what is due and allowed now`,
		Args:              args(0, -1, "names of drills"),
		ValidArgsFunction: a.completeDrills,
		RunE: func(c *cobra.Command, names []string) error {
			if due && !all && len(names) == 0 {
				return a.runDue(c.Context(), said)
			}
			if due || all == (len(names) > 0) {
				return usage("name the drills to run, or give --all or --due", "see: firedrill plan --help, firedrill run --help")
			}
			return a.run(c.Context(), names, said)
		},
	}
	a.patienceFlag(c)
	c.Flags().BoolVar(&due, "due", false, "the drills that are due, where window and freezes allow it now")
	said.flags(c)
	c.Flags().BoolVar(&all, "all", false, "all drills of the plan, in its order")
	return c
}

// patienceFlag is the flag of the commands that put something back.
func (a *app) patienceFlag(c *cobra.Command) {
	c.Flags().DurationVar(&a.patience, "patience", runner.DefaultPatience, "how long putting back waits for an API that cannot be reached")
}

func (a *app) run(ctx context.Context, names []string, said occasionOptions) (err error) {
	occasion, err := said.occasion()
	if err != nil {
		return err
	}
	p, c, err := a.loadPlan()
	if err != nil {
		return err
	}
	if len(names) == 0 {
		for _, d := range p.Drills {
			names = append(names, d.Name)
		}
	}
	var programs []firedrill.Program
	for _, n := range names {
		prog, err := plan.Program(p, n, a.global.env, c.registry, c.library)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(p.Drills, func(d firedrill.Drill) bool { return d.Name == n })
		if err := a.confirm(*prog, p.Drills[i].Unattended); err != nil {
			return err
		}
		prog.Occasion = occasion
		programs = append(programs, *prog)
	}
	if err := a.leftLocally(ctx, programs); err != nil {
		return err
	}
	live := a.live()
	s, err := a.open(ctx, p.Environments, action.SystemSecrets(), live)
	if err != nil {
		live.Close()
		return err
	}
	defer func() { err = s.close(err) }()
	results, err := a.drill(ctx, s, live, programs)
	live.Close()
	a.score = a.scoreNow(ctx, s, p)
	return a.conclude(ctx, results, err)
}

// drill runs programs one after another and gives their results. It stops at
// an interrupt and where a run could not begin.
func (a *app) drill(ctx context.Context, s *station, live *term.Live, programs []firedrill.Program) ([]firedrill.Result, error) {
	a.setReport(s.runner.Damaged)
	defer a.setReport(nil)
	a.sealPending(ctx, s)
	var results []firedrill.Result
	for _, p := range programs {
		if ctx.Err() != nil {
			break
		}
		records, err := s.runner.Run(ctx, p)
		if len(records) == 0 {
			return results, err
		}
		r, rerr := a.result(ctx, s, records)
		if rerr != nil {
			return results, errors.Join(err, rerr)
		}
		results = append(results, r)
		live.Verdict(r, a.unusual(ctx, s, r)...)
		if err != nil {
			return results, err
		}
	}
	return results, nil
}

// result makes the result of a run and seals the run's folder, in which it leaves a
// copy. A run that has not finished has only the copy.
func (a *app) result(ctx context.Context, s *station, records []firedrill.Record) (firedrill.Result, error) {
	r, err := a.describe(s, records)
	if err != nil {
		return r, err
	}
	if r.Verdict == "" {
		return r, writeResult(r.Evidence, r)
	}
	// An interrupt ends runs, not the sealing of what they were.
	if err := a.seal(context.WithoutCancel(ctx), s, records, r); err != nil {
		a.notSealed(r.Run, err)
	}
	return r, nil
}

// describe makes the result of a run from its records.
func (a *app) describe(s *station, records []firedrill.Record) (firedrill.Result, error) {
	r, err := report.Result(records)
	if err != nil {
		return r, &firedrill.Error{Op: "read the run", Kind: firedrill.KindCorrupt, Err: err}
	}
	started, _ := records[0].Body.(firedrill.RunStarted)
	home, err := a.homeDir()
	if err != nil {
		return r, err
	}
	if r.Platform, err = a.platform(home, started.Program.Environment, records); err != nil {
		return r, err
	}
	r.Evidence = s.home.RunPath(r.Run)
	return r, nil
}

// document is the result document of --json.
func document(runs ...firedrill.Result) firedrill.Document {
	if runs == nil {
		runs = []firedrill.Result{}
	}
	return firedrill.Document{SchemaVersion: firedrill.ResultSchema, Runs: runs}
}

// conclude prints the results and gives the exit status.
func (a *app) conclude(ctx context.Context, results []firedrill.Result, err error) error {
	if a.global.json {
		doc := document(results...)
		doc.Certification = a.score
		if perr := a.printJSON(doc); perr != nil {
			return errors.Join(err, perr)
		}
	} else if len(results) > 0 {
		a.out.Blank()
		a.out.Table(results)
		passed, dirty := 0, 0
		for _, r := range results {
			if r.Verdict == firedrill.Passed {
				passed++
			}
			if r.State == firedrill.Dirty {
				dirty++
			}
		}
		left := "environment restored"
		if dirty > 0 {
			left = "environment DIRTY"
		}
		a.out.Blank()
		if last := results[len(results)-1]; last.Incident != nil {
			a.out.Text(recoveryText(last))
			return a.ending(ctx, results, err)
		}
		a.out.Text(fmt.Sprintf("%d of %d passed · %s · more: firedrill show %s", passed, len(results), left, results[len(results)-1].Run))
		a.out.Text("As a page: firedrill report latest -o report.html")
		if a.score != nil && a.score.Score > 0 {
			a.out.Text(fmt.Sprintf("score %v of %v, level %s · more: firedrill certify", a.score.Score, a.score.Of, a.score.Level))
		}
	}
	return a.ending(ctx, results, err)
}

// ending gives the exit status of runs whose results were printed.
func (a *app) ending(ctx context.Context, results []firedrill.Result, err error) error {
	a.tellUnsealed()
	if err != nil {
		return err
	}
	var statuses []int
	for _, r := range results {
		statuses = append(statuses, statusOf(r))
	}
	status := worst(statuses)
	if ctx.Err() != nil && (status == firedrill.ExitInconclusive || status == firedrill.ExitOK) {
		status = firedrill.ExitInterrupted
	}
	if status != firedrill.ExitOK {
		return exitStatus(status)
	}
	return nil
}

// warnInterrupted tells about runs that nobody finished.
func (a *app) warnInterrupted(found []runner.Interrupted) {
	for _, i := range found {
		a.err.Line(term.Warn, "interrupted", fmt.Sprintf("run %s (%s on %s) did not finish, and nobody works on it", i.Run.ID, i.Run.Drill, i.Run.Environment))
		a.err.Command("  finish it", a.again("resume "+i.Run.ID))
		for _, l := range i.Damaged {
			a.err.Line(term.Plain, "  damaged", l.What)
			if l.Repair != "" {
				a.err.Command("  by hand", l.Repair)
			}
		}
	}
}

func (a *app) completeDrills(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	p, _, err := a.loadPlan()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, d := range p.Drills {
		names = append(names, d.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
