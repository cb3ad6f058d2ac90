package cli

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/schedule"
)

func (a *app) scheduleCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "schedule", Short: "The dates of the drills in the next twelve months", Args: args(0, 0, "no arguments"),
		Example: `  firedrill schedule
  firedrill schedule ical -o drills.ics`,
		RunE: func(c *cobra.Command, _ []string) error { return a.schedule(c.Context()) },
	}
	var out string
	ical := &cobra.Command{
		Use: "ical", Short: "The dates as a calendar file", Args: args(0, 0, "no arguments"),
		Example: "  firedrill schedule ical -o drills.ics",
		RunE:    func(c *cobra.Command, _ []string) error { return a.ical(c.Context(), out) },
	}
	ical.Flags().StringVarP(&out, "output", "o", "", "`FILE` to write; standard output if left out")
	c.AddCommand(ical)
	return c
}

// yearAhead gives the plan, how its drills stand, and the dates of a year.
func (a *app) yearAhead(ctx context.Context) (p *firedrill.Plan, list []duty, dates [][]schedule.Date, err error) {
	if p, _, err = a.loadPlan(); err != nil {
		return nil, nil, nil, err
	}
	s, err := a.open(ctx, p.Environments, action.SystemSecrets(), nil)
	if err != nil {
		return nil, nil, nil, err
	}
	defer func() { err = s.close(err) }()
	if list, err = a.duties(ctx, s, p); err != nil {
		return nil, nil, nil, err
	}
	now := a.Now()
	for _, d := range list {
		dates = append(dates, d.table.Dates(d.stands, now, now.AddDate(1, 0, 0)))
	}
	return p, list, dates, nil
}

func (a *app) schedule(ctx context.Context) error {
	_, list, dates, err := a.yearAhead(ctx)
	if err != nil {
		return err
	}
	rows := [][]string{{"DRILL", "ENVIRONMENT", "EVERY", "DUE", "MAY RUN FROM", "UNTIL"}}
	docs := []map[string]any{}
	shown := func(at time.Time, zone *time.Location, none string) string {
		if at.IsZero() {
			return none
		}
		return schedule.DateIn(at, zone)
	}
	orNull := func(at time.Time) any {
		if at.IsZero() {
			return nil
		}
		return at.UTC()
	}
	for i, d := range list {
		zone := d.table.Zone()
		for _, x := range dates[i] {
			rows = append(rows, []string{d.drill.Name, d.environment, d.drill.Every, shown(x.Due, zone, "now"), shown(x.Opens, zone, "–"), shown(x.Closes, zone, "–")})
			docs = append(docs, map[string]any{"drill": d.drill.Name, "environment": d.environment, "every": d.drill.Every, "zone": zone.String(), "due": orNull(x.Due), "opens": orNull(x.Opens), "closes": orNull(x.Closes)})
		}
	}
	switch {
	case a.global.json:
		return a.printJSON(map[string]any{"schema_version": 1, "dates": docs})
	case len(docs) == 0:
		a.out.Text("No drill of the plan says how often it is due. Add for example: every: quarterly")
	default:
		a.out.Columns(rows)
	}
	return nil
}

func (a *app) ical(ctx context.Context, out string) error {
	p, list, dates, err := a.yearAhead(ctx)
	if err != nil {
		return err
	}
	var drills []schedule.Planned
	for i, d := range list {
		title := d.drill.Use
		if title == "" {
			title = d.drill.Name
		}
		drills = append(drills, schedule.Planned{Title: title, Timetable: d.table, Dates: dates[i]})
	}
	data, err := schedule.ICal(p.Name, drills, a.Now())
	if err != nil {
		return err
	}
	if out == "" {
		if _, err := a.Stdout.Write(data); err != nil {
			return fmt.Errorf("write the calendar: %w", err)
		}
		return nil
	}
	if err := os.WriteFile(out, data, 0o644); err != nil { //nolint:gosec // dates are for everybody
		return &firedrill.Error{Op: "write the calendar", Kind: firedrill.KindStorage, Target: out, Err: err, Remedy: "choose another file with -o"}
	}
	if a.global.json {
		return a.printJSON(map[string]any{"schema_version": 1, "file": out})
	}
	a.out.Text("written to " + out)
	return nil
}
