package cli

import (
	"context"
	"time"

	"firedrill"
	"firedrill/internal/cli/term"
	"firedrill/internal/journal"
	"firedrill/internal/plan"
	"firedrill/internal/schedule"
)

// duty is a drill of the plan and how it stands.
type duty struct {
	drill       firedrill.Drill
	environment string
	table       schedule.Timetable
	stands      schedule.Standing
}

// duties tells how the drills of a plan stand. The journal's list of runs is read
// once; results only of runs that wait for an acknowledgement.
func (a *app) duties(ctx context.Context, s *station, p *firedrill.Plan) ([]duty, error) {
	runs, err := s.journal.Runs(ctx, journal.Query{})
	if err != nil {
		return nil, err
	}
	var list []duty
	for _, d := range p.Drills {
		env, err := plan.Environment(p, d.Name, a.global.env)
		if err != nil {
			return nil, err
		}
		table, err := schedule.Of(env, d)
		if err != nil {
			return nil, err
		}
		pasts := briefly(runs, d.Name)
		stands := table.Stand(pasts, a.Now())
		if stands.Waits != nil {
			if err := a.remarked(ctx, s, pasts, *stands.Waits); err != nil {
				return nil, err
			}
			stands = table.Stand(pasts, a.Now())
		}
		list = append(list, duty{d, env.Name, table, stands})
	}
	return list, nil
}

// briefly gives what the journal knows of the finished runs of a drill.
func briefly(runs []journal.Run, drill string) []firedrill.Past {
	var pasts []firedrill.Past
	for _, r := range runs {
		if r.Drill == drill && !r.Finished.IsZero() {
			pasts = append(pasts, firedrill.Past{Run: r.ID, Drill: r.Drill, Environment: r.Environment, Verdict: r.Verdict, ReasonCode: r.Reason, State: r.State, Started: r.Started, Finished: r.Finished})
		}
	}
	return pasts
}

// remarked adds to a run what people said about it.
func (a *app) remarked(ctx context.Context, s *station, pasts []firedrill.Past, of firedrill.Past) error {
	full, err := a.pasts(ctx, s, journal.Query{Drill: of.Drill, Environment: of.Environment, Before: of.Started.Add(time.Nanosecond), Limit: 1})
	if err != nil {
		return err
	}
	for _, f := range full {
		for i := range pasts {
			if pasts[i].Run == f.Run {
				pasts[i].Remarks = f.Remarks
			}
		}
	}
	return nil
}

// unproven tells whether a drill is to be worried about: overdue, or due and never
// passed.
func (d duty) unproven() bool {
	return d.stands.Overdue || d.stands.Scheduled() && d.stands.LastPassed == nil && d.stands.IsDue
}

// document is what --json adds about the schedule.
func (d duty) document(doc map[string]any) map[string]any {
	st := d.stands
	moment := func(t time.Time) any {
		if t.IsZero() {
			return nil
		}
		return t.UTC()
	}
	doc["environment"], doc["last_passed"], doc["waiting_for_ack"] = d.environment, nil, nil
	if st.LastPassed != nil {
		doc["last_passed"] = map[string]any{"run": st.LastPassed.Run, "started": st.LastPassed.Started.UTC(), "finished": st.LastPassed.Finished.UTC()}
	}
	if st.Waits != nil {
		doc["waiting_for_ack"] = st.Waits.Run
	}
	doc["next_due"], doc["due_again"], doc["opens"], doc["overdue_from"] = moment(st.Due), moment(st.Again), moment(st.Opens), moment(st.Late)
	doc["due"], doc["overdue"], doc["missed"], doc["why"] = st.IsDue && st.Scheduled(), st.Overdue, st.Missed, append([]string{}, st.Why...)
	return doc
}

// columns are what a row of status says about the schedule.
func (d duty) columns() (passed, due string) {
	passed, due = "never", "–"
	if d.stands.LastPassed != nil {
		passed = d.stands.LastPassed.Started.In(d.table.Zone()).Format("2006-01-02")
	}
	switch st := d.stands; {
	case !st.Scheduled():
	case st.Waits != nil:
		due = schedule.DateIn(st.Again, d.table.Zone()) + ", or ack"
	case st.Due.IsZero():
		due = "now"
	case st.Overdue:
		due = schedule.DateIn(st.Due, d.table.Zone()) + " OVERDUE"
	default:
		due = schedule.DateIn(st.Due, d.table.Zone())
	}
	return passed, due
}

// sayWhy tells in words what is due, missed, overdue or waited for.
func (a *app) sayWhy(page *term.Page, list []duty) {
	for _, d := range list {
		st := d.stands
		if !st.Scheduled() || !st.IsDue && !st.Overdue && st.Missed == 0 && st.Waits == nil {
			continue
		}
		style, label := term.Plain, d.drill.Name
		if st.Overdue || st.Waits != nil {
			style = term.Warn
		}
		for _, why := range st.Why {
			page.Line(style, label, why)
			label = ""
		}
	}
}
