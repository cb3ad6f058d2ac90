package cli

import (
	"fmt"
	"time"
)

// expires tells when evidence counts no longer: its interval, in months of the
// calendar, and the grace after what it shows ended. A month that lacks the day
// gives its last one. It knows the words of `every` and will be the schedule's rule.
func expires(every string, grace time.Duration, last time.Time) (time.Time, error) {
	last = last.UTC()
	switch every {
	case "weekly":
		return last.AddDate(0, 0, 7).Add(grace), nil
	case "monthly":
		return addMonths(last, 1).Add(grace), nil
	case "quarterly":
		return addMonths(last, 3).Add(grace), nil
	case "semi-annual":
		return addMonths(last, 6).Add(grace), nil
	case "annual":
		return addMonths(last, 12).Add(grace), nil
	}
	return time.Time{}, fmt.Errorf("%q is no frequency", every)
}

func addMonths(t time.Time, n int) time.Time {
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	end := time.Date(year, month+time.Month(n)+1, 0, 0, 0, 0, 0, t.Location()).Day()
	return time.Date(year, month+time.Month(n), min(day, end), hour, minute, second, t.Nanosecond(), t.Location())
}
