package schedule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"firedrill"
)

// Rule says how often something is due: every so many months or days, or at the
// times of a cron line. The zero Rule is never due.
type Rule struct {
	text         string
	months, days int           // one of them, or
	cron         cron.Schedule // this
	on           *nth          // of months: the day of the month on which it is due; nil: the same day as the last time
}

// Names lists the intervals that have a name.
func Names() []string { return []string{"weekly", "monthly", "quarterly", "semi-annual", "annual"} }

// longest is the longest interval in days: ten years.
const longest = 3660

// Parse reads an interval: a name of [Names], "10 days", "2 weeks", "6 months", or a
// cron line of five fields.
func Parse(every string) (Rule, error) {
	r := Rule{text: every}
	switch every {
	case "weekly":
		r.days = 7
	case "monthly":
		r.months = 1
	case "quarterly":
		r.months = 3
	case "semi-annual":
		r.months = 6
	case "annual":
		r.months = 12
	default:
		fields := strings.Fields(every)
		switch len(fields) {
		case 2:
			n, unit, err := count(fields)
			if err != nil {
				return Rule{}, wrong("every", err.Error(), `write for example "10 days", "2 weeks" or "6 months"`)
			}
			if unit == "month" {
				r.months = n
			} else {
				r.days = n * map[string]int{"day": 1, "week": 7}[unit]
			}
		case 5:
			return parseCron(every)
		default:
			return Rule{}, wrong("every", fmt.Sprintf("%q is no frequency", every), "there are: "+strings.Join(Names(), ", ")+`; "10 days", "2 weeks", "6 months"; and cron, such as "0 2 * * 1"`)
		}
	}
	if r.days > longest || r.months*30 > longest {
		return Rule{}, wrong("every", fmt.Sprintf("%q is longer than ten years", every), "a drill that is due so rarely shows nothing")
	}
	return r, nil
}

// count reads a number and a unit: day, week or month, without its plural.
func count(fields []string) (int, string, error) {
	n, err := strconv.ParseUint(fields[0], 10, 16)
	unit := strings.TrimSuffix(fields[1], "s")
	if err != nil || n == 0 || !slices.Contains([]string{"day", "week", "month"}, unit) {
		return 0, "", fmt.Errorf("%q is no number of days, weeks or months", strings.Join(fields, " "))
	}
	return int(n), unit, nil
}

// parseCron reads minute, hour, day of the month, month and weekday.
func parseCron(every string) (Rule, error) {
	const remedy = `write minute, hour, day of the month, month and weekday: "0 2 * * 1" is Mondays at 2:00; the time zone is that of the window`
	if strings.Contains(every, "=") { // the parser would take a zone
		return Rule{}, wrong("every", fmt.Sprintf("%q is no cron line", every), remedy)
	}
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(every)
	if err != nil {
		return Rule{}, wrong("every", fmt.Sprintf("%q is no cron line: %v", every, err), remedy)
	}
	r := Rule{text: every, cron: parsed}
	if r.Next(reference(), time.UTC).IsZero() {
		return Rule{}, wrong("every", fmt.Sprintf("the time of %q never comes", every), remedy)
	}
	return r, nil
}

// reference is a moment from which rules are tried out.
func reference() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// String gives the interval as it was written.
func (r Rule) String() string { return r.text }

// set tells whether there is an interval at all.
func (r Rule) set() bool { return r.months > 0 || r.days > 0 || r.cron != nil }

// Next gives the first date after a moment: midnight of the day one interval later,
// by the calendar of a zone, or the next time of the cron line. The 31st becomes
// the last day of a shorter month. It is zero for the zero Rule. Pure.
func (r Rule) Next(after time.Time, zone *time.Location) time.Time {
	switch {
	case r.cron != nil:
		return r.tick(after, zone)
	case r.set():
		return instant(r.step(dayOf(after, zone), 1), zone)
	}
	return time.Time{}
}

// tick gives the next time of the cron line. It is reckoned by the clock on the
// wall: a time that the clocks skip comes when they jump, and one that they repeat
// comes once.
func (r Rule) tick(after time.Time, zone *time.Location) time.Time {
	for wall := r.cron.Next(wallOf(after, zone)); !wall.IsZero(); wall = r.cron.Next(wall) {
		if at := instant(wall, zone); at.After(after) {
			return at
		}
	}
	return time.Time{}
}

// step gives the day that is k intervals from another, both as midnights on the
// wall. Counting always begins at the same day, so the ends of months do not drift.
func (r Rule) step(from time.Time, k int) time.Time {
	if r.days > 0 {
		return from.AddDate(0, 0, k*r.days)
	}
	month := time.Date(from.Year(), from.Month()+time.Month(k*r.months), 1, 0, 0, 0, 0, time.UTC)
	day := min(from.Day(), month.AddDate(0, 1, -1).Day())
	if r.on != nil {
		day = r.on.day(month.Year(), month.Month())
	}
	return month.AddDate(0, 0, day-1)
}

// nominal is the interval in days, months being of 30.
func (r Rule) nominal() int { return r.days + 30*r.months }

// wrong is an error about a key of a drill in the plan.
func wrong(key, what, remedy string) error {
	return &firedrill.Error{Kind: firedrill.KindUsage, Target: key, Detail: key + ": " + what, Remedy: remedy}
}
