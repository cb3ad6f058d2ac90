package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/action"
)

func (a *app) resumeCommand() *cobra.Command {
	var takeOver bool
	c := &cobra.Command{
		Use: "resume [RUN]", Short: "Finish a run that was interrupted",
		Long: `Resume takes up a run whose process is gone: it asks what became of the calls
that were under way, puts back what is damaged, looks, and reports. An
injection is never done again. Without RUN it takes the only one there is.

Where the plan names a bucket (state:), a run of another machine can be finished
here. Whether that machine's process is gone cannot be seen from here: look, and
give --take-over. If it is alive after all, it stops before its next step.`,
		Example: `  firedrill resume
  firedrill resume 01J9ZQ4T0V8X2M --take-over`,
		Args: args(0, 1, "at most one run"),
		RunE: func(c *cobra.Command, given []string) error {
			if takeOver && len(given) == 0 {
				return usage("--take-over needs the run to be named", "see: firedrill status")
			}
			return a.resume(c.Context(), given, takeOver)
		},
	}
	c.Flags().BoolVar(&takeOver, "take-over", false, "take the run from a process that is lost; asks for the name of its host")
	a.patienceFlag(c)
	return c
}

func (a *app) resume(ctx context.Context, given []string, takeOver bool) (err error) {
	// The environments of the run stand in its records; those of a plan that
	// lies here are protected besides.
	environments := map[string]firedrill.Environment{}
	if p, _, perr := a.loadPlan(); perr == nil {
		environments = p.Environments
	}
	live := a.live()
	defer live.Close()
	open := a.open
	if len(given) > 0 {
		// A run lives where it began, also if the plan named no bucket then.
		if local, err := a.isLocal(ctx, given[0]); err != nil {
			return err
		} else if local {
			open = a.openLocal
		}
	}
	s, err := open(ctx, environments, action.SystemSecrets(), live)
	if err != nil {
		return err
	}
	defer func() { err = s.close(err) }()
	run := ""
	if len(given) > 0 {
		run = given[0]
	} else if run, err = only(ctx, s); err != nil {
		return err
	}
	finish := s.runner.Resume
	if takeOver {
		if finish, err = a.takeOver(ctx, s, run); err != nil {
			return err
		}
	}
	a.setReport(s.runner.Damaged)
	defer a.setReport(nil)
	records, err := finish(ctx, run)
	if len(records) == 0 {
		return err
	}
	r, rerr := a.result(ctx, s, records)
	if rerr != nil {
		return errors.Join(err, rerr)
	}
	live.Verdict(r)
	a.sealPending(ctx, s)
	return a.conclude(ctx, []firedrill.Result{r}, err)
}

// takeOver shows who holds a run and asks a person to declare that holder gone.
// It gives what resumes the run then.
func (a *app) takeOver(ctx context.Context, s *station, run string) (func(context.Context, string) ([]firedrill.Record, error), error) {
	holder, err := s.runner.Holder(ctx, run)
	if err != nil || holder == nil { // nobody holds it
		return s.runner.Resume, err
	}
	records, err := s.journal.Records(ctx, run)
	if err != nil {
		return nil, err
	}
	started, _ := records[0].Body.(firedrill.RunStarted)
	what := holder.Describe(a.Now()) + ".\nIf that process is alive, it stops before its next step, and what it has under way goes on."
	if err := a.confirmHolder(what, started.Program.Environment, holder.Host); err != nil {
		return nil, err
	}
	return func(ctx context.Context, run string) ([]firedrill.Record, error) {
		return s.runner.TakeOver(ctx, run, holder.Fence)
	}, nil
}

// only gives the only interrupted run.
func only(ctx context.Context, s *station) (string, error) {
	_, found, err := s.runner.Unfinished(ctx)
	switch {
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", usage("no run was interrupted", "see: firedrill history")
	case len(found) > 1:
		return "", usage(fmt.Sprintf("%d runs were interrupted", len(found)), "name one; see: firedrill status")
	}
	return found[0].Run.ID, nil
}
