package schedule

import (
	"fmt"
	"time"

	"firedrill"
)

// explain says in words why the drill stands as it does.
func (s *Standing) explain(t Timetable, pasts []firedrill.Past, moved string, now time.Time) {
	say := func(format string, args ...any) { s.Why = append(s.Why, fmt.Sprintf(format, args...)) }
	switch {
	case s.LastRun == nil && s.Due.IsZero():
		say("it never ran, so it is due at once")
	case s.LastRun == nil:
		say("it never ran; its dates begin on %s", t.day(s.Due))
	case s.LastPassed == nil:
		say("none of its runs passed")
	case moved != "":
		say("%s", moved)
	}
	switch {
	case s.Waits != nil:
		say("run %s ended as %s on %s: it is due again when somebody acknowledged that (firedrill ack %s), or on %s", s.Waits.Run, s.Waits.Verdict, t.day(s.Waits.Started), s.Waits.Run, t.shown(s.Again))
	case s.IsDue && !s.Again.IsZero():
		say("due since %s", t.shown(s.Again))
	}
	if s.Overdue {
		say("overdue since %s", t.shown(s.Late))
	}
	switch {
	case s.Missed == 1:
		say("its time on %s passed without a run that passed", t.shown(s.Due))
	case s.Missed > 1:
		say("%d dates passed without a run that passed, the first on %s", s.Missed, t.shown(s.Due))
	}
	if s.IsDue {
		if why, next := t.Allowed(now); why != "" && next.IsZero() {
			say("%s; that never opens", why)
		} else if why != "" {
			say("%s; it may run from %s", why, next.In(t.zone).Format(momentLayout))
		}
	}
	s.uncounted(t, pasts)
}

// uncounted says which newer run somebody might have expected to count.
func (s *Standing) uncounted(t Timetable, pasts []firedrill.Past) {
	var newest *firedrill.Past
	for i, p := range pasts {
		newer := newest == nil || p.Started.After(newest.Started) || p.Started.Equal(newest.Started) && p.Run > newest.Run
		if p.Drill == t.drill && newer {
			newest = &pasts[i]
		}
	}
	if newest == nil || s.LastPassed != nil && !newest.Started.After(s.LastPassed.Started) {
		return
	}
	switch {
	case incident(*newest):
		s.Why = append(s.Why, fmt.Sprintf("run %s was the recovery of an incident, which is no drill", newest.Run))
	case newest.Environment != t.environment:
		s.Why = append(s.Why, fmt.Sprintf("run %s was on %s, which says nothing about %s", newest.Run, newest.Environment, t.environment))
	case newest.Verdict == firedrill.Failed || s.Waits != nil && s.Waits.Run == newest.Run:
	case newest.Verdict != firedrill.Passed:
		s.Why = append(s.Why, fmt.Sprintf("run %s does not count: it was %s (%s)", newest.Run, newest.Verdict, newest.ReasonCode))
	}
}

// day writes the day of a moment in the timetable's zone.
func (t Timetable) day(at time.Time) string { return at.In(t.zone).Format(dateLayout) }

// shown writes a date: a day, or where it does not begin with the day, with its time.
func (t Timetable) shown(at time.Time) string { return DateIn(at, t.zone) }

// DateIn writes a date for a person: the day in a zone, with the time where that is
// not the day's beginning.
func DateIn(at time.Time, zone *time.Location) string {
	if instant(dayOf(at, zone), zone).Equal(at) {
		return at.In(zone).Format(dateLayout)
	}
	return at.In(zone).Format("2006-01-02 15:04 MST")
}

func inDays(n int) string {
	if n == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%d days", n)
}
