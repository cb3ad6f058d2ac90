package schedule

import "time"

// A time on the wall is what a clock in a time zone shows. It is kept as a time in
// UTC with the same figures, which can be reckoned with: no hour of it is skipped
// or repeated.

// wallOf gives what the clock on the wall of a zone shows, to the second.
func wallOf(at time.Time, zone *time.Location) time.Time {
	at = at.In(zone)
	return time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), 0, time.UTC)
}

// dayOf gives the day in a zone, as its midnight on the wall.
func dayOf(at time.Time, zone *time.Location) time.Time {
	w := wallOf(at, zone)
	return time.Date(w.Year(), w.Month(), w.Day(), 0, 0, 0, 0, time.UTC)
}

// instant gives the moment at which the clock on the wall shows a time: the first
// one, where the clocks show it twice; where they skip it, the moment of the jump.
func instant(wall time.Time, zone *time.Location) time.Time {
	both := moments(wall, zone)
	for _, t := range both {
		if wallOf(t, zone).Equal(wall) {
			return t
		}
	}
	if jump, _ := both[0].ZoneBounds(); !jump.IsZero() {
		return jump
	}
	return both[0]
}

// moments gives the moments at which the clock on the wall would show a time, by the
// offsets that hold a day before and a day after. Where the clocks jump
// in between it may be both of them, or neither.
func moments(wall time.Time, zone *time.Location) [2]time.Time {
	by := func(near time.Time) time.Time {
		_, offset := near.In(zone).Zone()
		return wall.Add(-time.Duration(offset) * time.Second).In(zone)
	}
	return [2]time.Time{by(wall.Add(-24 * time.Hour)), by(wall.Add(24 * time.Hour))}
}

// earliest gives the earlier of two moments; one that is zero is none.
func earliest(a, b time.Time) time.Time {
	if b.IsZero() || !a.IsZero() && a.Before(b) {
		return a
	}
	return b
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
