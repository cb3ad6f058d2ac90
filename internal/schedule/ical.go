package schedule

import (
	"bytes"
	"fmt"
	"regexp"
	"time"

	ics "github.com/arran4/golang-ical"
)

// Planned is a drill and its dates, to be written into a calendar.
type Planned struct {
	Title     string // what the drill is about
	Timetable Timetable
	Dates     []Date
}

// unsafeUID are the characters that the UID of an event leaves out.
var unsafeUID = regexp.MustCompile(`[^A-Za-z0-9-]+`)

// ICal writes dates as a calendar (RFC 5545). The UID of a date stays the same
// from file to file; now is when the file was made. Pure.
func ICal(plan string, drills []Planned, now time.Time) ([]byte, error) {
	cal := ics.NewCalendar()
	cal.SetProductId("-//firedrill//schedule//EN")
	cal.SetMethod(ics.MethodPublish)
	cal.SetXWRCalName("Drills of " + plan)
	zones := map[string]bool{}
	for _, p := range drills {
		if zone := p.Timetable.zone; len(p.Dates) > 0 && zone != time.UTC && !zones[zone.String()] {
			zones[zone.String()] = true
			cal.AddVTimezone(timezone(zone, now, now.AddDate(3, 0, 0)))
		}
	}
	for _, p := range drills {
		for _, d := range p.Dates {
			p.event(cal, plan, d, now)
		}
	}
	var b bytes.Buffer
	if err := cal.SerializeTo(&b, ics.WithNewLine("\r\n")); err != nil {
		return nil, fmt.Errorf("write the calendar: %w", err)
	}
	return b.Bytes(), nil
}

func (p Planned) event(cal *ics.Calendar, plan string, d Date, now time.Time) {
	t := p.Timetable
	at, due := "first", "Due at once: it never ran."
	if !d.Due.IsZero() {
		at, due = d.Due.UTC().Format("20060102T150405Z"), "Due on "+t.shown(d.Due)+"."
	}
	e := cal.AddEvent(fmt.Sprintf("%s.%s.%s.%s@firedrill", at, t.drill, unsafeUID.ReplaceAllString(t.environment, "-"), unsafeUID.ReplaceAllString(plan, "-")))
	e.SetDtStampTime(now)
	e.SetSummary(fmt.Sprintf("Drill %s on %s", t.drill, t.environment))
	text := fmt.Sprintf("%s\n%s Every: %s.", p.Title, due, t.rule)
	if late := t.late(d.Due); !d.Due.IsZero() && !late.IsZero() {
		text += " Overdue from " + t.shown(late) + "."
	}
	e.SetDescription(text + "\nfiredrill run --due")
	e.SetTimeTransparency(ics.TransparencyTransparent)
	if d.AllDay {
		day := dayOf(d.Opens, t.zone)
		e.SetAllDayStartAt(day)
		e.SetAllDayEndAt(day.AddDate(0, 0, 1))
		return
	}
	set := func(property ics.ComponentProperty, at time.Time) {
		if t.zone == time.UTC {
			e.SetProperty(property, at.UTC().Format("20060102T150405Z"))
			return
		}
		e.SetProperty(property, at.In(t.zone).Format("20060102T150405"), ics.WithTZID(t.zone.String()))
	}
	set(ics.ComponentPropertyDtStart, d.Opens)
	if !d.Closes.IsZero() {
		set(ics.ComponentPropertyDtEnd, d.Closes)
	}
}

// timezone describes a zone from one moment to another: each stretch between two
// jumps of its clocks.
func timezone(zone *time.Location, from, to time.Time) *ics.VTimezone {
	out := ics.NewTimezone(zone.String())
	for at := from.In(zone); at.Before(to); {
		begin, end := at.ZoneBounds()
		name, offset := at.Zone()
		before := offset
		if begin.IsZero() {
			begin = time.Date(1970, 1, 1, 0, 0, 0, 0, zone)
		} else {
			_, before = begin.Add(-time.Second).In(zone).Zone()
		}
		var stretch ics.ComponentBase
		stretch.SetProperty(ics.ComponentPropertyDtStart, begin.UTC().Add(time.Duration(before)*time.Second).Format("20060102T150405"))
		stretch.SetProperty("TZOFFSETFROM", offsetText(before))
		stretch.SetProperty("TZOFFSETTO", offsetText(offset))
		stretch.SetProperty("TZNAME", name)
		if at.IsDST() {
			out.Components = append(out.Components, &ics.Daylight{ComponentBase: stretch})
		} else {
			out.Components = append(out.Components, &ics.Standard{ComponentBase: stretch})
		}
		if end.IsZero() {
			break
		}
		at = end.In(zone)
	}
	return out
}

// offsetText writes an offset from UTC: +0100.
func offsetText(seconds int) string {
	sign := '+'
	if seconds < 0 {
		sign, seconds = '-', -seconds
	}
	return fmt.Sprintf("%c%02d%02d", sign, seconds/3600, seconds/60%60)
}
