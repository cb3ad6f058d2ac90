package cli

import (
	"time"

	"firedrill/internal/schedule"
)

// expires tells when evidence counts no longer: on the first date of its interval
// after what it shows ended, by the calendar of UTC, and after the grace.
func expires(every string, grace time.Duration, last time.Time) (time.Time, error) {
	rule, err := schedule.Parse(every)
	if err != nil {
		return time.Time{}, err
	}
	return rule.Next(last, time.UTC).Add(grace), nil
}
