package schedule

import (
	"errors"
	"testing"
	"time"

	"firedrill"
)

// TestNext walks through dates: one interval later by the calendar of the zone, or
// the next time of a cron line.
func TestNext(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ every, zone, after, want string }{
		"the seed's month":                  {"monthly", "UTC", "2026-02-27T10:00:00Z", "2026-03-27T00:00:00Z"},
		"the seed's quarter":                {"quarterly", "UTC", "2026-02-27T10:00:00Z", "2026-05-27T00:00:00Z"},
		"the seed's half year":              {"semi-annual", "UTC", "2026-02-27T10:00:00Z", "2026-08-27T00:00:00Z"},
		"a year":                            {"annual", "UTC", "2026-02-27T10:00:00Z", "2027-02-27T00:00:00Z"},
		"a year after a leap day":           {"annual", "UTC", "2024-02-29T10:00:00Z", "2025-02-28T00:00:00Z"},
		"four years after a leap day":       {"48 months", "UTC", "2024-02-29T10:00:00Z", "2028-02-29T00:00:00Z"},
		"a month after the 31st":            {"monthly", "UTC", "2027-01-31T10:00:00Z", "2027-02-28T00:00:00Z"},
		"half a year after the 31st":        {"semi-annual", "UTC", "2026-08-31T10:00:00Z", "2027-02-28T00:00:00Z"},
		"a week":                            {"weekly", "UTC", "2026-12-28T10:00:00Z", "2027-01-04T00:00:00Z"},
		"days":                              {"10 days", "UTC", "2026-02-27T10:00:00Z", "2026-03-09T00:00:00Z"},
		"weeks":                             {"2 weeks", "UTC", "2026-02-27T10:00:00Z", "2026-03-13T00:00:00Z"},
		"months":                            {"2 months", "UTC", "2026-02-27T10:00:00Z", "2026-04-27T00:00:00Z"},
		"the day is that of the zone, east": {"1 day", "Pacific/Auckland", "2026-02-27T12:00:00Z", "2026-02-28T11:00:00Z"},
		"and west":                          {"1 day", "America/New_York", "2026-02-27T03:00:00Z", "2026-02-27T05:00:00Z"},
		"over the jump ahead":               {"1 day", "Europe/Berlin", "2026-03-29T10:00:00Z", "2026-03-29T22:00:00Z"},
		"over the jump back":                {"1 day", "Europe/Berlin", "2026-10-25T10:00:00Z", "2026-10-25T23:00:00Z"},
		"a midnight that is skipped":        {"1 day", "America/Santiago", "2026-09-05T12:00:00Z", "2026-09-06T04:00:00Z"},
		"a midnight that comes twice":       {"1 day", "America/Havana", "2026-10-31T12:00:00Z", "2026-11-01T04:00:00Z"},
		"a day that a zone left out":        {"1 day", "Pacific/Apia", "2011-12-29T12:00:00Z", "2011-12-30T10:00:00Z"},
		"cron":                              {"0 2 * * 1", "Europe/Berlin", "2026-11-27T10:00:00Z", "2026-11-30T01:00:00Z"},
		"cron, strictly after":              {"0 2 * * 1", "Europe/Berlin", "2026-11-30T01:00:00Z", "2026-12-07T01:00:00Z"},
		"cron in the gap":                   {"30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		"cron after the gap":                {"30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},
		"cron in the repeat":                {"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
		"cron after the repeat":             {"30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		"cron on leap days":                 {"0 0 29 2 *", "UTC", "2026-11-27T10:00:00Z", "2028-02-29T00:00:00Z"},
		"cron with names":                   {"0 4 1 jan,jul *", "UTC", "2026-11-27T10:00:00Z", "2027-01-01T04:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zone, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Parse(c.every)
			if err != nil {
				t.Fatal(err)
			}
			after, _ := time.Parse(time.RFC3339, c.after)
			if got := r.Next(after, zone).UTC().Format(time.RFC3339); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestWhatIsNoInterval(t *testing.T) {
	t.Parallel()
	for _, every := range []string{"", "fortnightly", "Monthly", "0 days", "-1 days", "1.5 days", "10 hours", "days", "10", "10 days ago", "4000 days", "200 months",
		"0 2 * *", "0 2 * * 8", "60 2 * * *", "0 0 30 2 *", "@weekly", "@every 1h", "TZ=Europe/Berlin 0 2 * * 1", "CRON_TZ=UTC 0 2 * *", "0 2 * * 1 2026", "*/0 * * * *"} {
		if r, err := Parse(every); firedrill.KindOf(err) != firedrill.KindUsage || firedrill.RemedyOf(err) == "" {
			t.Errorf("%q: %v, %v", every, r, err)
		}
	}
	if next := (Rule{}).Next(reference(), time.UTC); !next.IsZero() {
		t.Errorf("nothing is due at %s", next)
	}
}

// TestWhatIsNoTimetable: each with the key that is wrong.
func TestWhatIsNoTimetable(t *testing.T) {
	t.Parallel()
	night := &firedrill.Window{From: "02:00", To: "05:00"}
	for name, c := range map[string]struct {
		key   string
		drill firedrill.Drill
		env   firedrill.Environment
	}{
		"grace of nothing":            {"grace", firedrill.Drill{Grace: "1 day"}, firedrill.Environment{}},
		"starts of nothing":           {"starts", firedrill.Drill{Starts: "2026-01-01"}, firedrill.Environment{}},
		"a window of nothing":         {"window", firedrill.Drill{Window: night}, firedrill.Environment{}},
		"no interval":                 {"every", firedrill.Drill{Every: "often"}, firedrill.Environment{}},
		"no day":                      {"starts", firedrill.Drill{Every: "weekly", Starts: "1.1.2026"}, firedrill.Environment{}},
		"no grace":                    {"grace", firedrill.Drill{Every: "weekly", Grace: "soon"}, firedrill.Environment{}},
		"a negative grace":            {"grace", firedrill.Drill{Every: "weekly", Grace: "-1h"}, firedrill.Environment{}},
		"a grace of months":           {"grace", firedrill.Drill{Every: "annual", Grace: "1 month"}, firedrill.Environment{}},
		"a grace of the interval":     {"grace", firedrill.Drill{Every: "weekly", Grace: "7 days"}, firedrill.Environment{}},
		"a grace of the cron line":    {"grace", firedrill.Drill{Every: "0 * * * *", Grace: "1h"}, firedrill.Environment{}},
		"a window that is none":       {"window", firedrill.Drill{Every: "weekly", Window: &firedrill.Window{From: "2"}}, firedrill.Environment{}},
		"a day of the month, weekly":  {"window", firedrill.Drill{Every: "weekly", Window: &firedrill.Window{On: "first monday", From: "02:00", To: "05:00"}}, firedrill.Environment{}},
		"a day of the month, by cron": {"window", firedrill.Drill{Every: "0 2 * * 1", Window: &firedrill.Window{On: "first monday", From: "02:00", To: "05:00"}}, firedrill.Environment{}},
		"windows that never meet":     {"window", firedrill.Drill{Every: "weekly", Window: night}, firedrill.Environment{Window: &firedrill.Window{From: "12:00", To: "13:00"}}},
		"the environment":             {"environment staging", firedrill.Drill{Every: "weekly"}, firedrill.Environment{Name: "staging", Window: &firedrill.Window{}}},
	} {
		_, err := Of(c.env, c.drill)
		var e *firedrill.Error
		if !errors.As(err, &e) || e.Kind != firedrill.KindUsage || e.Target != c.key || e.Remedy == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGraceIsAQuarterIfNothingElseIsSaid and a month at most.
func TestGraceIsAQuarterIfNothingElseIsSaid(t *testing.T) {
	t.Parallel()
	for every, want := range map[string]grace{
		"weekly": {days: 1}, "monthly": {days: 7}, "quarterly": {days: 22}, "semi-annual": {days: 30}, "annual": {days: 30}, "10 days": {days: 2},
		"1 day": {rest: 6 * time.Hour}, "0 * * * *": {rest: 15 * time.Minute}, "0 2 * * 1": {days: 1},
	} {
		if table, err := Of(firedrill.Environment{}, firedrill.Drill{Every: every}); err != nil || table.grace != want {
			t.Errorf("%s: %+v, %v; want %+v", every, table.grace, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, every := range []string{"monthly", "10 days", "0 2 * * 1", "*/15 0-6 1,15 jan-jun sun", "0 0 29 2 *", "0 0 31 4 *"} {
		f.Add(every)
	}
	f.Fuzz(func(t *testing.T, every string) {
		r, err := Parse(every)
		if err != nil {
			return
		}
		for _, zone := range []*time.Location{time.UTC, time.FixedZone("", -11*3600)} {
			first := r.Next(reference(), zone)
			if second := r.Next(first, zone); !first.After(reference()) || !second.IsZero() && !second.After(first) {
				t.Errorf("%q: %s, %s", every, first, second)
			}
		}
	})
}
