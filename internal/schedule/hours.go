package schedule

import (
	"time"

	"firedrill"
)

// hours are the times at which a drill may run: those of its environment, and of a
// window of its own.
type hours struct {
	env calendar
	own calendar // without a window where the drill has none
}

// farthest is how many days after a freeze, or after now, an opening is looked for:
// one on a single day of the month can be skipped once, when clocks jump over it.
const farthest = 95

func readHours(env firedrill.Environment, drill *firedrill.Window) (hours, error) {
	var h hours
	var err error
	if h.env, err = read(env); err == nil {
		h.own, err = read(firedrill.Environment{Name: env.Name, Window: drill})
	}
	return h, err
}

// zone is the one in which the drill's dates are reckoned.
func (h hours) zone() *time.Location {
	if h.own.window {
		return h.own.zone
	}
	return h.env.zone
}

// free tells whether nothing says at what time of the day drills run.
func (h hours) free() bool { return !h.own.window && !h.env.window }

// closed says why nothing may run at a moment, "" if it may.
func (h hours) closed(at time.Time) string {
	if why := h.env.closed(at); why != "" {
		return why
	}
	return h.own.closed(at)
}

// open tells whether a drill may run at a moment.
func (h hours) open(at time.Time) bool {
	return h.env.frozen(at) == nil && h.env.within(at) && h.own.within(at)
}

// opens gives the first moment, not before another, at which a drill may run.
func (h hours) opens(at time.Time) (time.Time, bool) {
	for end := at.AddDate(0, 0, farthest); at.Before(end); {
		if f := h.env.frozen(at); f != nil {
			at, end = f.to, f.to.AddDate(0, 0, farthest)
			continue
		}
		if h.open(at) {
			return at, true
		}
		if at = h.turn(at); at.IsZero() {
			break
		}
	}
	return time.Time{}, false
}

// turn gives the next moment at which it may open or close. Zero: never.
func (h hours) turn(at time.Time) time.Time {
	next := earliest(h.env.turn(at), h.own.turn(at))
	for _, f := range h.env.freezes {
		if f.from.After(at) {
			next = earliest(next, f.from)
		}
	}
	return next
}

// closes gives the end of the time that is open at a moment: of the window, and
// without one of the day; a day later at most.
func (h hours) closes(open time.Time) time.Time {
	end := open.Add(24 * time.Hour)
	if h.free() {
		end = instant(dayOf(open, h.zone()).AddDate(0, 0, 1), h.zone())
	}
	for at := h.turn(open); !at.IsZero() && at.Before(end); at = h.turn(at) {
		if !h.open(at) {
			return at
		}
	}
	return end
}
