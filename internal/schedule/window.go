package schedule

import (
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // zones must mean the same on every machine

	"firedrill"
)

// dateLayout is how a day is written.
const dateLayout = "2006-01-02"

// farthest is how many days after a freeze, or after now, a window is looked for:
// one on a single weekday can be skipped once, when clocks jump over it.
const farthest = 16

// Open refuses, with an error of kind [firedrill.KindGuard], an environment that
// may not be drilled at this moment, and says when it may next. An environment
// without window and freezes is always open. Pure.
//
// A window is a range of the clock on the wall: an hour that the clocks skip has
// no window, and one that they repeat has it twice. One that ends before it begins
// goes on past midnight and belongs to the day on which it begins.
func Open(env firedrill.Environment, now time.Time) error {
	c, err := read(env)
	if err != nil {
		return err
	}
	why := c.closed(now)
	if why == "" {
		return nil
	}
	remedy := "change the window or the freezes in the plan: they never open"
	if next, ok := c.next(now); ok {
		remedy = "it opens next at " + next.In(c.zone).Format("Mon 2006-01-02 15:04 MST") + ", in " + inWords(next.Sub(now))
	}
	return &firedrill.Error{Op: "look at the time", Kind: firedrill.KindGuard, Target: "environment " + env.Name, Detail: why, Remedy: remedy}
}

// Check tells what is wrong with a window and freezes, nil if nothing. Pure.
func Check(env firedrill.Environment) error {
	_, err := read(env)
	return err
}

// calendar is a window and freezes that have been read.
type calendar struct {
	zone     *time.Location
	window   bool
	days     map[time.Weekday]bool
	from, to int // minutes of the day
	text     string
	freezes  []freeze
}

// freeze is the time between two moments; the end is no part of it.
type freeze struct {
	from, to time.Time
	text     string
}

func read(env firedrill.Environment) (calendar, error) {
	c := calendar{zone: time.UTC}
	wrong := func(what, remedy string) (calendar, error) {
		return c, &firedrill.Error{Kind: firedrill.KindUsage, Target: "environment " + env.Name, Detail: what, Remedy: remedy}
	}
	if w := env.Window; w != nil {
		zone, err := zoneOf(w.Zone)
		if err != nil {
			return wrong(fmt.Sprintf("window.zone: there is no time zone %q", w.Zone), "write for example Europe/Berlin, or UTC")
		}
		c.zone, c.window = zone, true
		if c.from, err = minutes(w.From); err != nil {
			return wrong("window.from: "+err.Error(), `write for example from: "02:00"`)
		}
		if c.to, err = minutes(w.To); err != nil {
			return wrong("window.to: "+err.Error(), `write for example to: "05:00"`)
		}
		if c.from == c.to {
			return wrong("window: it ends when it begins", `all day is from: "00:00", to: "24:00"`)
		}
		if c.days, err = daysOf(w.Days); err != nil {
			return wrong("window.days: "+err.Error(), "write for example days: [mon-fri], or [sat, sun]")
		}
		days := "every day"
		if len(w.Days) > 0 {
			days = strings.Join(w.Days, ", ")
		}
		c.text = fmt.Sprintf("%s from %s to %s (%s)", days, w.From, w.To, c.zone)
	}
	for i, f := range env.Freeze {
		zone := c.zone
		if f.Zone != "" {
			z, err := zoneOf(f.Zone)
			if err != nil {
				return wrong(fmt.Sprintf("freeze[%d].zone: there is no time zone %q", i, f.Zone), "write for example Europe/Berlin, or UTC")
			}
			zone = z
		}
		from, err := time.ParseInLocation(dateLayout, f.From, zone)
		if err != nil {
			return wrong(fmt.Sprintf("freeze[%d].from: %q is no day", i, f.From), "write for example 2026-12-20")
		}
		last, err := time.ParseInLocation(dateLayout, f.To, zone)
		if err != nil {
			return wrong(fmt.Sprintf("freeze[%d].to: %q is no day", i, f.To), "write for example 2027-01-03")
		}
		if last.Before(from) {
			return wrong(fmt.Sprintf("freeze[%d]: it ends before it begins", i), "from and to are its first and its last day")
		}
		text := fmt.Sprintf("it is frozen from %s to %s", f.From, f.To)
		if f.Reason != "" {
			text += ": " + f.Reason
		}
		y, m, d := last.Date()
		c.freezes = append(c.freezes, freeze{from, time.Date(y, m, d+1, 0, 0, 0, 0, zone), text})
	}
	return c, nil
}

// closed says why an environment is closed at a moment, "" if it is open.
func (c calendar) closed(now time.Time) string {
	for _, f := range c.freezes {
		if !now.Before(f.from) && now.Before(f.to) {
			return f.text
		}
	}
	if c.within(now) {
		return ""
	}
	return "it is " + now.In(c.zone).Format("Mon 15:04 MST") + ", and drills run " + c.text
}

// within tells whether the clock on the wall is in the window.
func (c calendar) within(now time.Time) bool {
	if !c.window {
		return true
	}
	at := now.In(c.zone)
	minute, today := at.Hour()*60+at.Minute(), at.Weekday()
	yesterday := (today + 6) % 7
	if c.from < c.to {
		return c.days[today] && minute >= c.from && minute < c.to
	}
	return c.days[today] && minute >= c.from || c.days[yesterday] && minute < c.to
}

// next gives the first whole minute at which the environment is open. It looks at
// every minute, which is simple and never wrong about clocks that jump.
func (c calendar) next(now time.Time) (time.Time, bool) {
	at := now.Truncate(time.Minute).Add(time.Minute)
	for end := at.AddDate(0, 0, farthest); at.Before(end); {
		if i := slices.IndexFunc(c.freezes, func(f freeze) bool { return !at.Before(f.from) && at.Before(f.to) }); i >= 0 {
			at = c.freezes[i].to
			end = at.AddDate(0, 0, farthest)
			continue
		}
		if c.within(at) {
			return at, true
		}
		at = at.Add(time.Minute)
	}
	return time.Time{}, false
}

func zoneOf(name string) (*time.Location, error) {
	if name == "" || strings.EqualFold(name, "local") { // what is local differs from machine to machine
		if name == "" {
			return time.UTC, nil
		}
		return nil, fmt.Errorf("no zone")
	}
	return time.LoadLocation(name)
}

// minutes reads a time of the day, up to 24:00.
func minutes(text string) (int, error) {
	if text == "24:00" {
		return 24 * 60, nil
	}
	t, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("15:04") {
		return 0, fmt.Errorf("%q is no time of the day", text)
	}
	return t.Hour()*60 + t.Minute(), nil
}

// daysOf reads days and ranges of them; none are all.
func daysOf(list []string) (map[time.Weekday]bool, error) {
	names := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	days := map[time.Weekday]bool{}
	if len(list) == 0 {
		list = []string{"sun-sat"}
	}
	for _, text := range list {
		first, last, isRange := strings.Cut(strings.ToLower(text), "-")
		if !isRange {
			last = first
		}
		from, to := slices.Index(names, first), slices.Index(names, last)
		if from < 0 || to < 0 {
			return nil, fmt.Errorf("%q is no day, and no range of days", text)
		}
		for d := from; ; d = (d + 1) % 7 {
			days[time.Weekday(d)] = true
			if d == to {
				break
			}
		}
	}
	return days, nil
}

// inWords gives a length of time to the minute.
func inWords(d time.Duration) string {
	minutes := int64(d.Round(time.Minute) / time.Minute)
	days, hours := minutes/(24*60), minutes/60%24
	switch {
	case days > 0:
		return fmt.Sprintf("%d d %d h", days, hours)
	case hours > 0:
		return fmt.Sprintf("%d h %d min", hours, minutes%60)
	}
	return fmt.Sprintf("%d min", minutes)
}
