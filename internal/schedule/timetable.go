package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"firedrill"
)

// Timetable is when a drill is due on an environment, as the plan says it.
type Timetable struct {
	drill, environment string
	rule               Rule
	starts             time.Time // day on the wall from which dates are counted; zero: from the runs that passed
	grace              grace
	hours              hours
	zone               *time.Location // in which days begin and cron lines are read
}

// grace is how long after its date a drill is not yet overdue.
type grace struct {
	days int           // by the calendar, and
	rest time.Duration // beside them
}

// longestGrace is the longest grace that is not written down, in days.
const longestGrace = 30

// Of reads the timetable of a drill on an environment. A drill without an interval
// has one on which nothing is ever due. Errors are of [firedrill.KindUsage]; their
// Target is the key of the drill that is wrong, or names the environment. Pure.
func Of(env firedrill.Environment, d firedrill.Drill) (Timetable, error) {
	t := Timetable{drill: d.Name, environment: env.Name}
	if d.Every == "" {
		for key, given := range map[string]bool{"grace": d.Grace != "", "starts": d.Starts != "", "window": d.Window != nil} {
			if given {
				return t, wrong(key, "nothing is due without an interval", "add for example every: quarterly")
			}
		}
	}
	var err error
	if t.hours, err = readHours(env, nil); err != nil {
		return t, err
	}
	if t.hours.own, err = read(firedrill.Environment{Name: env.Name, Window: d.Window}); err != nil {
		if e := (*firedrill.Error)(nil); errors.As(err, &e) {
			e.Target = "window" // it is the drill's, not the environment's
		}
		return t, err
	}
	t.zone = t.hours.zone()
	if d.Every == "" {
		return t, nil
	}
	if t.rule, err = Parse(d.Every); err != nil {
		return t, err
	}
	switch {
	case t.rule.months > 0 && t.hours.own.window:
		t.rule.on = t.hours.own.on // a window of its own says on which day of the month
	case t.rule.months > 0:
		t.rule.on = t.hours.env.on
	case t.hours.own.on != nil:
		return t, wrong("window", fmt.Sprintf("on: %s is a day of the month, and the drill is due %s", d.Window.On, d.Every), "let it be due every so many months, or give the window days")
	}
	if d.Starts != "" {
		if t.starts, err = time.Parse(dateLayout, d.Starts); err != nil {
			return t, wrong("starts", fmt.Sprintf("%q is no day", d.Starts), "write for example 2027-01-31")
		}
	}
	if t.grace, err = t.readGrace(d.Grace); err != nil {
		return t, err
	}
	windows := hours{env: t.hours.env, own: t.hours.own}
	windows.env.freezes = nil
	if _, ok := windows.opens(reference()); !ok {
		return t, wrong("window", "it and the window of environment "+env.Name+" are never open together", "let them overlap, or remove one of them")
	}
	return t, nil
}

// readGrace reads days, weeks or a duration; "" gives a quarter of the interval.
func (t Timetable) readGrace(text string) (grace, error) {
	const remedy = `write for example "7 days", or 36h`
	var g grace
	whole := time.Duration(t.rule.nominal()) * 24 * time.Hour
	if t.rule.cron != nil {
		first := t.rule.tick(reference(), t.zone)
		whole = t.rule.tick(first, t.zone).Sub(first)
	}
	fields := strings.Fields(text)
	switch len(fields) {
	case 0:
		if g.days = min(longestGrace, int(whole/(4*24*time.Hour))); g.days == 0 {
			g.rest = whole / 4
		}
		return g, nil
	case 1:
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return g, wrong("grace", fmt.Sprintf("%q is no length of time", text), remedy)
		}
		g.rest = d
	default:
		n, unit, err := count(fields)
		if err != nil || len(fields) != 2 || unit == "month" {
			return g, wrong("grace", fmt.Sprintf("%q is no length of time", text), remedy)
		}
		g.days = n * map[string]int{"day": 1, "week": 7}[unit]
	}
	if time.Duration(g.days)*24*time.Hour+g.rest >= whole {
		return g, wrong("grace", fmt.Sprintf("%q is not shorter than the interval, so the drill could never be overdue before it is due again", text), remedy)
	}
	return g, nil
}

// Every is the interval as the plan writes it; "" where nothing is ever due.
func (t Timetable) Every() string { return t.rule.text }

// Zone is where days begin and cron lines are read.
func (t Timetable) Zone() *time.Location { return t.zone }

// Allowed refuses, as [OpenFor] does, a moment at which the drill may not run.
func (t Timetable) Allowed(at time.Time) (why string, next time.Time) {
	if why = t.hours.closed(at); why != "" {
		next, _ = t.hours.opens(at)
	}
	return why, next
}

// late gives when a drill that was due at a date is overdue: the grace begins when
// it might first have run. Zero where it may never.
func (t Timetable) late(due time.Time) time.Time {
	open, ok := t.hours.opens(due)
	if !ok {
		return time.Time{}
	}
	return instant(wallOf(open, t.zone).AddDate(0, 0, t.grace.days), t.zone).Add(t.grace.rest)
}

// dates are the dates of a timetable, counted from a day.
type dates struct {
	t      Timetable
	anchor time.Time // day on the wall; means nothing to cron lines
	first  int       // number of the first date, counted from the anchor
}

// after gives the first date after a moment.
func (d dates) after(at time.Time) time.Time {
	if d.t.rule.cron != nil {
		if begin := instant(d.t.starts, d.t.zone).Add(-time.Second); !d.t.starts.IsZero() && at.Before(begin) {
			at = begin
		}
		return d.t.rule.tick(at, d.t.zone)
	}
	// Not more than as many as fit: months and the clocks make some of them longer.
	k := max(d.first, int(at.Sub(instant(d.anchor, d.t.zone))/(24*time.Hour))/(d.t.rule.days+31*d.t.rule.months)-1)
	for {
		if date := instant(d.t.rule.step(d.anchor, k), d.t.zone); date.After(at) {
			return date
		}
		k++
	}
}
