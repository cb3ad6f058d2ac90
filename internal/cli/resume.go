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
	c := &cobra.Command{
		Use: "resume [RUN]", Short: "Finish a run that was interrupted",
		Long: `Resume takes up a run whose process is gone: it asks what became of the calls
that were under way, puts back what is damaged, looks, and reports. An
injection is never done again. Without RUN it takes the only one there is.`,
		Args: args(0, 1, "at most one run"),
		RunE: func(c *cobra.Command, given []string) error { return a.resume(c.Context(), given) },
	}
	a.patienceFlag(c)
	return c
}

func (a *app) resume(ctx context.Context, given []string) (err error) {
	// The environments of the run stand in its records; those of a plan that
	// lies here are protected besides.
	environments := map[string]firedrill.Environment{}
	if p, _, perr := a.loadPlan(); perr == nil {
		environments = p.Environments
	}
	live := a.live()
	defer live.Close()
	s, err := a.open(ctx, environments, action.SystemSecrets(), live)
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
	a.setReport(s.runner.Damaged)
	defer a.setReport(nil)
	records, err := s.runner.Resume(ctx, run)
	if len(records) == 0 {
		return err
	}
	r, rerr := a.result(s, records)
	if rerr != nil {
		return errors.Join(err, rerr)
	}
	live.Verdict(r)
	return a.conclude(ctx, []firedrill.Result{r}, err)
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
