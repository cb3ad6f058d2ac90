package plan

import (
	"errors"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"firedrill"
	"firedrill/internal/schedule"
)

// timetable reads when a drill is due.
func (b *builder) timetable(n *node, d *firedrill.Drill) {
	before := len(b.errs)
	d.Every, d.Grace, d.Starts = b.text(n.get("every"), "every"), b.text(n.get("grace"), "grace"), b.text(n.get("starts"), "starts")
	if w := n.get("window"); w != nil {
		d.Window = &firedrill.Window{}
		b.into(w, d.Window, "window")
	}
	if len(b.errs) > before {
		return
	}
	// Without its environment, so that every key is told with its place.
	if e := (*firedrill.Error)(nil); errors.As(timetableError(firedrill.Environment{}, *d), &e) {
		pos, remedy := n.pos, e.Remedy
		if at := n.get(e.Target); at != nil {
			pos = at.pos
		}
		if near := nearest(d.Every, Every()); e.Target == "every" && !strings.Contains(d.Every, " ") && strings.HasPrefix(near, "did you mean") {
			remedy = near
		}
		b.fail(pos, e.Detail, remedy)
	}
}

// checkTimetable holds the drill's window against that of its environment.
func (b *builder) checkTimetable(p *firedrill.Plan, d firedrill.Drill) {
	env, err := environmentOf(p, d, "")
	if err != nil {
		return // told already
	}
	if e := (*firedrill.Error)(nil); errors.As(timetableError(env, d), &e) {
		b.fail(d.Source, "drill "+d.Name+": "+e.Detail, e.Remedy)
	}
}

func timetableError(env firedrill.Environment, d firedrill.Drill) error {
	_, err := schedule.Of(env, d)
	return err
}

// everySchema is how often something is due.
func everySchema() *jsonschema.Schema {
	s := text(`how often it is due: a name, "10 days", "2 weeks", "6 months", or a cron line such as "0 2 * * 1"`)
	s.AnyOf = []*jsonschema.Schema{oneOf("an interval with a name", Every()),
		{Pattern: "^[1-9][0-9]* +(day|week|month)s?$", Description: "days, weeks or months"},
		{Pattern: `^[^ ]+( +[^ ]+){4}$`, Description: "minute, hour, day of the month, month, weekday"}}
	return s
}

// Environment gives the environment that a drill of the plan is on; env overrides
// it, as for [Program].
func Environment(p *firedrill.Plan, drill, env string) (firedrill.Environment, error) {
	d, err := find(p, drill)
	if err != nil {
		return firedrill.Environment{}, err
	}
	return environmentOf(p, d, env)
}
