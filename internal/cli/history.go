package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/cli/term"
	"firedrill/internal/journal"
	"firedrill/internal/state"
)

func (a *app) historyCommand() *cobra.Command {
	var limit int
	var trend bool
	c := &cobra.Command{
		Use: "history [DRILL]", Short: "What ran, and how it ended", Args: args(0, 1, "at most one drill"),
		Example: `  firedrill history
  firedrill history d1-pitr --trend`,
		ValidArgsFunction: a.completeDrills,
		RunE: func(c *cobra.Command, given []string) error {
			if trend {
				return a.trend(c.Context(), given, limit)
			}
			q := journal.Query{Limit: limit}
			if len(given) > 0 {
				q.Drill = given[0]
			}
			return a.history(c.Context(), q)
		},
	}
	c.Flags().IntVar(&limit, "limit", 50, "runs at most; 0: all")
	c.Flags().BoolVar(&trend, "trend", false, "how the times of a drill went, and what is usual")
	return c
}

func (a *app) history(ctx context.Context, q journal.Query) (err error) {
	s, err := a.open(ctx, nil, action.SystemSecrets(), nil)
	if err != nil {
		return err
	}
	defer func() { err = s.close(err) }()
	runs, err := s.journal.Runs(ctx, q)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(historyDocument(runs))
	}
	if len(runs) == 0 {
		a.out.Text("Nothing ran yet. Try: firedrill demo")
		return nil
	}
	rows := [][]string{{"RUN", "DRILL", "ENVIRONMENT", "STARTED", "TOOK", "VERDICT", "WHY", "LEFT"}}
	for _, r := range runs {
		took, verdict := "–", "not finished"
		if !r.Finished.IsZero() {
			took, verdict = term.Seconds(r.Finished.Sub(r.Started).Seconds()), string(r.Verdict)
		}
		rows = append(rows, []string{r.ID, r.Drill, r.Environment, r.Started.Local().Format("2006-01-02 15:04:05"), took, verdict, string(r.Reason), string(r.State)})
	}
	a.out.Columns(rows)
	return nil
}

func historyDocument(runs []journal.Run) map[string]any {
	list := []map[string]any{}
	for _, r := range runs {
		m := map[string]any{"run": r.ID, "drill": r.Drill, "environment": r.Environment, "started": r.Started, "finished": nil,
			"verdict": nil, "reason_code": nil, "environment_state": nil}
		if !r.Finished.IsZero() {
			m["finished"], m["verdict"], m["reason_code"], m["environment_state"] = r.Finished, r.Verdict, r.Reason, r.State
		}
		list = append(list, m)
	}
	return map[string]any{"schema_version": 1, "runs": list}
}

func (a *app) statusCommand() *cobra.Command {
	var check bool
	c := &cobra.Command{
		Use: "status", Short: "Each drill's last run, what is due, under way, and interrupted", Args: args(0, 0, "no arguments"),
		Example: "  firedrill status --check",
		RunE:    func(c *cobra.Command, _ []string) error { return a.status(c.Context(), check) },
	}
	c.Flags().BoolVar(&check, "check", false, "exit status 1 if a drill is overdue, or is due and never passed")
	return c
}

func (a *app) status(ctx context.Context, check bool) (err error) {
	p, _, err := a.loadPlan()
	if err != nil {
		return err
	}
	s, err := a.open(ctx, p.Environments, action.SystemSecrets(), nil)
	if err != nil {
		return err
	}
	defer func() { err = s.close(err) }()
	running, interrupted, err := s.runner.Unfinished(ctx)
	if err != nil {
		return err
	}
	halt, err := s.home.Halted()
	if err != nil {
		return err
	}
	list, err := a.duties(ctx, s, p)
	if err != nil {
		return err
	}
	rows := [][]string{{"DRILL", "EVERY", "LAST RUN", "VERDICT", "LAST PASSED", "NEXT DUE", "RUN"}}
	drills, unproven := []map[string]any{}, error(nil)
	for i, d := range p.Drills {
		passed, due := list[i].columns()
		if check && list[i].unproven() {
			unproven = exitStatus(firedrill.ExitFailed)
		}
		last, err := s.journal.Runs(ctx, journal.Query{Drill: d.Name, Limit: 1})
		if err != nil {
			return err
		}
		row := []string{d.Name, orDash(d.Every), "never", "–", passed, due, "–"}
		doc := list[i].document(map[string]any{"drill": d.Name, "every": d.Every, "last": nil})
		if len(last) > 0 {
			verdict := string(last[0].Verdict)
			if last[0].Finished.IsZero() {
				verdict = "not finished"
			}
			row = []string{d.Name, orDash(d.Every), term.Ago(a.Now().Sub(last[0].Started)), verdict, passed, due, last[0].ID}
			doc["last"] = historyDocument(last)["runs"].([]map[string]any)[0]
		}
		rows, drills = append(rows, row), append(drills, doc)
	}
	if a.global.json {
		ids, now := []string{}, []string{}
		for _, i := range interrupted {
			ids = append(ids, i.Run.ID)
		}
		holders := []state.Holder{}
		for _, r := range running {
			now = append(now, r.ID)
			h, err := s.runner.Holder(ctx, r.ID)
			if err != nil {
				return err
			}
			if h != nil {
				holders = append(holders, *h)
			}
		}
		err := a.printJSON(map[string]any{"schema_version": 1, "drills": drills, "running": now, "holders": holders, "interrupted": ids, "halted": halt})
		if err != nil {
			return err
		}
		return unproven
	}
	a.out.Columns(rows)
	a.sayWhy(a.out, list)
	if halt != nil {
		a.out.Line(term.Warn, "halted", fmt.Sprintf("%s %s; when it is safe again: firedrill halt --off", term.Ago(a.Now().Sub(halt.At)), halt))
	}
	for _, r := range running {
		a.out.Line(term.Plain, "under way", fmt.Sprintf("run %s (%s on %s), begun %s; stop it: firedrill abort %s", r.ID, r.Drill, r.Environment, term.Ago(a.Now().Sub(r.Started)), r.ID))
		if err := a.showHolder(ctx, s, r.ID); err != nil {
			return err
		}
	}
	a.warnInterrupted(interrupted)
	return unproven
}

// showHolder says which process works on a run, and for how long nothing was heard
// of it.
func (a *app) showHolder(ctx context.Context, s *station, run string) error {
	h, err := s.runner.Holder(ctx, run)
	if err != nil || h == nil {
		return err
	}
	a.out.Line(term.Plain, "  holder", h.Describe(a.Now()))
	if !h.Seen.IsZero() && a.Now().Sub(h.Seen) > time.Minute {
		a.out.Line(term.Plain, "  if lost", "firedrill resume "+run+" --take-over")
	}
	return nil
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

func (a *app) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show RUN", Short: "A run: verdict, reasons, steps with their times", Args: args(1, 1, "one run"),
		Example: "  firedrill show latest",
		RunE:    func(c *cobra.Command, given []string) error { return a.show(c.Context(), given[0]) },
	}
}

func (a *app) show(ctx context.Context, run string) (err error) {
	s, err := a.open(ctx, nil, action.SystemSecrets(), nil)
	if err != nil {
		return err
	}
	defer func() { err = s.close(err) }()
	if run, err = runNamed(ctx, s, run); err != nil {
		return err
	}
	records, err := s.journal.Records(ctx, run)
	if err != nil {
		return err
	}
	r, err := a.describe(s, records)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(document(r))
	}
	p := a.out
	p.Line(term.Strong, r.Drill, fmt.Sprintf("%s, on %s", r.Title, r.Environment))
	p.Line(term.Plain, "  run", fmt.Sprintf("%s · %s · by %s", r.Run, r.Started.Local().Format("2006-01-02 15:04:05"), r.Executor))
	for _, st := range r.Steps {
		text := st.Status
		if st.Seconds != nil {
			text += " in " + term.Seconds(*st.Seconds)
		}
		if st.Summary != "" {
			text += ": " + st.Summary
		}
		if st.Problem != nil {
			text += ": " + st.Problem.Detail
		}
		p.Line(term.Plain, "  "+string(st.Phase)+" "+st.Step, text)
	}
	p.Verdict(r)
	p.Line(term.Plain, "  records", r.Evidence)
	return a.showSeal(s, r)
}
