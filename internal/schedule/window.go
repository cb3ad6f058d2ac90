package schedule

import (
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // zones must mean the same on every machine

	"firedrill"
)

// How a day is written, and a moment for a person.
const (
	dateLayout   = "2006-01-02"
	momentLayout = "Mon 2006-01-02 15:04 MST"
)

// Open refuses, with an error of kind [firedrill.KindGuard], an environment that
// may not be drilled at this moment, and says when it may next. An environment
// without window and freezes is always open. Pure.
//
// A window is a range of the clock on the wall: an hour that the clocks skip has
// no window, and one that they repeat has it twice. One that ends before it begins
// goes on past midnight and belongs to the day on which it begins.
func Open(env firedrill.Environment, now time.Time) error {
	return OpenFor(env, nil, now)
}

// OpenFor is Open for a run that keeps to a window of its drill, too; nil: to none.
func OpenFor(env firedrill.Environment, drill *firedrill.Window, now time.Time) error {
	h, err := readHours(env, drill)
	if err != nil {
		return err
	}
	why := h.closed(now)
	if why == "" {
		return nil
	}
	remedy := "change the window or the freezes in the plan: they never open"
	if next, ok := h.opens(now); ok {
		remedy = "it opens next at " + next.In(h.zone()).Format(momentLayout) + ", in " + inWords(next.Sub(now))
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
	on       *nth // the only day of the month; nil: all of days
	from, to int  // minutes of the day
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
		if c.on, err = readNth(w.On); err != nil {
			return wrong("window.on: "+err.Error(), "write for example on: first monday, or last friday")
		}
		days := "every day"
		switch {
		case w.On != "" && len(w.Days) > 0:
			return wrong("window: it has both days and on", "on: first monday says the day already")
		case w.On != "":
			days = "the " + w.On + " of the month"
		case len(w.Days) > 0:
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
	if f := c.frozen(now); f != nil {
		return f.text
	}
	if c.within(now) {
		return ""
	}
	return "it is " + now.In(c.zone).Format("Mon 15:04 MST") + ", and drills run " + c.text
}

// frozen gives the freeze of a moment, nil if there is none.
func (c calendar) frozen(at time.Time) *freeze {
	for i, f := range c.freezes {
		if !at.Before(f.from) && at.Before(f.to) {
			return &c.freezes[i]
		}
	}
	return nil
}

// within tells whether the clock on the wall is in the window.
func (c calendar) within(now time.Time) bool {
	if !c.window {
		return true
	}
	at, today := now.In(c.zone), dayOf(now, c.zone)
	minute := at.Hour()*60 + at.Minute()
	if c.from < c.to {
		return minute >= c.from && minute < c.to && c.takes(today)
	}
	return minute >= c.from && c.takes(today) || minute < c.to && c.takes(today.AddDate(0, 0, -1))
}

// takes tells whether the window opens on a day.
func (c calendar) takes(day time.Time) bool {
	if c.on != nil {
		return day.Day() == c.on.day(day.Year(), day.Month())
	}
	return c.days[day.Weekday()]
}

// turn gives the next moment at which the window may begin or end: when the clock on
// the wall reaches its times, and when the clocks jump. Zero: never.
func (c calendar) turn(at time.Time) time.Time {
	if !c.window {
		return time.Time{}
	}
	_, next := at.In(c.zone).ZoneBounds()
	day := dayOf(at, c.zone)
	for k := range 3 {
		for _, minute := range []int{c.from, c.to} {
			for _, t := range moments(day.AddDate(0, 0, k-1).Add(time.Duration(minute)*time.Minute), c.zone) {
				if t.After(at) {
					next = earliest(next, t)
				}
			}
		}
	}
	return next
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
	names := weekdays()
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
