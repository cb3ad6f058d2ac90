package schedule

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"firedrill"
)

// Standing is how a drill stands at a moment.
type Standing struct {
	// LastRun is the newest finished run of the drill on its environment, LastPassed
	// the newest that passed; nil: there is none. Recoveries of real incidents are
	// no runs of a drill.
	LastRun, LastPassed *firedrill.Past
	// Due is the first date for which nothing passed yet; it may be over. Zero: there
	// is no interval, or the drill never ran and the plan does not say from when.
	Due time.Time
	// Again is from when on a run is to be made: Due, unless a run since did not
	// pass. Zero: at once.
	Again time.Time
	// Waits is a run that did not pass and that nobody acknowledged: until then the
	// drill is not due again before Again. Nil: there is none.
	Waits *firedrill.Past
	// Opens is when it may next run, from now and Again on. Zero: never.
	Opens time.Time
	// Late is when it is overdue, or will be: what passed last is too old from then
	// on. Zero where Due is.
	Late time.Time
	// Missed counts the dates, from Due on, whose time is over; at most [MostMissed].
	Missed  int
	IsDue   bool // a run is to be made now
	Overdue bool
	Why     []string // one sentence each

	dates dates
}

// MostMissed bounds how many dates are counted.
const MostMissed = 1000

// Scheduled tells whether the plan says how often it is due.
func (s Standing) Scheduled() bool { return s.dates.t.rule.set() }

// Stand tells how a drill stands, by its runs in any order. Pure.
//
// What counts: runs of this drill on this environment that finished. Only those that
// passed meet a date. What was done elsewhere says nothing about this environment; a
// run that was inconclusive showed nothing, whatever it did; the recovery of an
// incident was measured without a baseline.
//
// The next date is one interval after the run that passed last. If that run came
// after its date, the interval is counted from the date: what is late shifts
// nothing. Where the plan fixes the dates (starts, or a cron line) it is the next of
// them.
func (t Timetable) Stand(pasts []firedrill.Past, now time.Time) Standing {
	mine := t.counted(pasts)
	s := Standing{}
	for i := range mine {
		s.LastRun = &mine[i]
		if mine[i].Verdict == firedrill.Passed {
			s.LastPassed = &mine[i]
		}
	}
	if !t.rule.set() {
		s.Why = []string{"the plan does not say how often it is due"}
		return s
	}
	var moved string
	s.dates, s.Due, moved = t.reckon(mine)
	s.Again = s.Due
	s.hold(mine, now)
	s.IsDue = !now.Before(s.Again)
	s.Opens, _ = t.hours.opens(latest(now, s.Again))
	if !s.Due.IsZero() {
		s.Late = t.late(s.Due)
		s.Overdue = !s.Late.IsZero() && !now.Before(s.Late)
		s.Missed = t.missed(s.dates, s.Due, now)
	}
	s.explain(t, pasts, moved, now)
	return s
}

// counted gives the finished runs of the drill on its environment, the oldest first.
func (t Timetable) counted(pasts []firedrill.Past) []firedrill.Past {
	var mine []firedrill.Past
	for _, p := range pasts {
		if p.Drill == t.drill && p.Environment == t.environment && !incident(p) {
			mine = append(mine, p)
		}
	}
	slices.SortFunc(mine, func(a, b firedrill.Past) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Run, b.Run))
	})
	return mine
}

func incident(p firedrill.Past) bool {
	return p.Incident || p.Verdict == firedrill.Recovered || p.Verdict == firedrill.NotRecovered
}

// reckon gives the dates of the timetable and the first of them that no run met,
// with a sentence where a run did not come on its date.
func (t Timetable) reckon(mine []firedrill.Past) (d dates, due time.Time, moved string) {
	var passed []firedrill.Past
	for _, p := range mine {
		if p.Verdict == firedrill.Passed {
			passed = append(passed, p)
		}
	}
	switch {
	case !t.starts.IsZero():
		d = dates{t: t, anchor: t.starts}
		due = d.after(instant(t.starts, t.zone).Add(-time.Second))
	case len(passed) > 0:
		d = dates{t: t, anchor: dayOf(passed[0].Started, t.zone), first: 1}
		due = d.after(passed[0].Started)
		passed = passed[1:]
	case len(mine) > 0: // nothing passed yet: the first attempt was due
		d = dates{t: t, anchor: dayOf(mine[0].Started, t.zone), first: 1}
		if t.rule.cron != nil {
			return d, mine[0].Started, ""
		}
		return d, instant(d.anchor, t.zone), ""
	default:
		return dates{t: t, first: 1}, time.Time{}, ""
	}
	last := d.anchor
	for _, p := range passed {
		day, date := dayOf(p.Started, t.zone), dayOf(due, t.zone)
		switch {
		case !p.Started.Before(due):
			moved = ""
			if days := int(day.Sub(date) / (24 * time.Hour)); days > 0 && t.rule.cron == nil {
				moved = fmt.Sprintf("the run of %s came %s after its date, %s, and the dates stay as they are", t.day(p.Started), inDays(days), t.day(due))
			}
		case t.fixed() || day.Equal(last): // once more on a day moves nothing
			continue
		default:
			d.anchor = day
			moved = fmt.Sprintf("the run of %s came before its date, %s, so the dates are counted from it", t.day(p.Started), t.day(due))
		}
		due, last = d.after(p.Started), day
	}
	return d, due, moved
}

// fixed tells whether the plan alone says the dates.
func (t Timetable) fixed() bool { return !t.starts.IsZero() || t.rule.cron != nil }

// hold lets the drill wait for an acknowledgement where its newest run that may have
// damaged something did not pass: nothing is damaged again and again because it
// fails again and again.
func (s *Standing) hold(mine []firedrill.Past, now time.Time) {
	for _, p := range slices.Backward(mine) {
		if p.Verdict == firedrill.Passed {
			return
		}
		if untouched(p) {
			continue
		}
		before := s.Due.After(p.Started) // it was not due
		switch acked := ackOf(p); {
		case before && p.Verdict != firedrill.Failed:
			continue // it shows nothing, and nothing was asked of it
		case acked.IsZero():
			s.Again = s.dates.after(p.Started)
			if now.Before(s.Again) {
				s.Waits = &p
			}
		case before && acked.Before(s.Due): // it took back what passed before
			s.Again = acked
		}
		return
	}
}

// untouched tells whether a run ended before it damaged anything: it may be tried
// again at any time.
func untouched(p firedrill.Past) bool {
	return slices.Contains([]firedrill.ReasonCode{firedrill.ReasonGuard, firedrill.ReasonBusy, firedrill.ReasonOperational}, p.ReasonCode)
}

// ackOf gives when a run was first acknowledged, zero if nobody did.
func ackOf(p firedrill.Past) (at time.Time) {
	for _, r := range p.Remarks {
		if r.Kind == firedrill.RemarkAck && (at.IsZero() || r.At.Before(at)) {
			at = r.At
		}
	}
	return at
}

// missed counts the dates from due on whose time is over: a window that closed, or
// without one the end of the day, or the next date. A date that freezes left no
// time at all is none.
func (t Timetable) missed(d dates, due, now time.Time) int {
	n := 0
	for date := due; !date.IsZero() && !date.After(now) && n < MostMissed; {
		next := d.after(date)
		open, ok := t.hours.opens(date)
		if !ok {
			break
		}
		if open.Before(next) && !earliest(next, t.hours.closes(open)).After(now) {
			n++
		}
		date = next
	}
	return n
}

// Date is one date on which a drill is due.
type Date struct {
	Due    time.Time // zero: at once, because it never ran
	Opens  time.Time // when it may first run
	Closes time.Time // the end of that time; zero where a cron line alone says when
	AllDay bool      // nothing says at what time of the day
}

// mostDates bounds a list of dates.
const mostDates = 1000

// Dates lists the dates from now on and before an end: first the one that is due or
// waited for, then those that follow if each is met. Those that freezes leave no
// time are left out. Pure.
func (t Timetable) Dates(s Standing, now, end time.Time) []Date {
	var list []Date
	if !t.rule.set() {
		return list
	}
	d := s.dates
	if s.IsDue && now.Before(s.Due) && !t.fixed() || d.anchor.IsZero() { // a run now would come before its date, or be the first
		d.anchor, d.first = dayOf(now, t.zone), 1
	}
	for date := latest(now, s.Again); !date.IsZero() && date.Before(end) && len(list) < mostDates; {
		next := d.after(date)
		open, ok := t.hours.opens(date)
		switch {
		case !ok:
		case len(list) == 0:
			due := date
			if s.IsDue {
				due = s.Again
			}
			list = append(list, t.date(due, open))
		case open.Before(next) && !open.Equal(list[len(list)-1].Opens):
			list = append(list, t.date(date, open))
		}
		date = next
	}
	return list
}

func (t Timetable) date(due, open time.Time) Date {
	d := Date{Due: due, Opens: open, Closes: t.hours.closes(open), AllDay: t.hours.free() && t.rule.cron == nil}
	if t.hours.free() && t.rule.cron != nil {
		d.Closes = time.Time{}
	}
	return d
}
