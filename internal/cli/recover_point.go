package cli

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/cli/term"
	"firedrill/internal/plan"
)

// latestGood is the word for the newest point that an earlier run found good.
const latestGood = "latest-good"

// point is what a recovery returns to, as inputs of its playbook and in words.
type point struct {
	inputs firedrill.Values
	words  string
}

var (
	// bookmarkShape is how the platform writes a point in time of a database.
	bookmarkShape = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$`)
	// versionShape is how the platform writes the id of a version.
	versionShape = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	agoShape     = regexp.MustCompile(`^(\d+)\s*(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)\s+ago$`)
)

// parsePoint reads a point that a person typed: a bookmark, a version, a time, or
// the folder of a backup, as far as the playbook takes one. now is in the zone that
// times without a zone are meant in.
func parsePoint(text string, book *plan.Playbook, now time.Time) (point, error) {
	kind, p := "", point{}
	t, isTime, err := parseTime(text, now)
	switch {
	case err != nil:
		return p, err
	case bookmarkShape.MatchString(text):
		kind, p = "bookmark", point{firedrill.Values{"bookmark": text}, "bookmark " + text}
	case versionShape.MatchString(text):
		kind, p = "split", point{firedrill.Values{"split": text + "@100%"}, "version " + text}
	case isTime && !t.Before(now):
		return p, usage(fmt.Sprintf("%s is in the future: %s", text, timeWords(t, now)), "give a time that has passed")
	case isTime:
		kind, p = "at", point{firedrill.Values{"at": t.UTC().Format(time.RFC3339Nano)}, timeWords(t, now)}
	case book.Takes("backup"):
		kind, p = "backup", point{firedrill.Values{"backup": text}, "the backup in " + text}
	}
	if !book.Takes(kind) {
		return p, usage(fmt.Sprintf("%s cannot return to %q", book.Name, text), "it returns to "+strings.Join(book.Points(), ", ")+"; times: 14:05, 2026-01-02 14:05, 20 minutes ago, RFC 3339")
	}
	return p, nil
}

// parseTime reads a time as people type it in an incident: "14:05", "2026-01-02
// 14:05", "20 minutes ago", RFC 3339. A time of day that is still to come today is
// yesterday's. ok is false for a text that is no time; a time that the zone's clocks
// skipped or showed twice is an error, because an hour of data hangs on it.
func parseTime(text string, now time.Time) (t time.Time, ok bool, err error) {
	text = strings.TrimSpace(text)
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, true, nil
	}
	if m := agoShape.FindStringSubmatch(text); m != nil {
		unit := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[m[2][0]]
		n, err := time.ParseDuration(m[1] + "ns")
		if err != nil || n > 100_000 {
			return t, false, usage(fmt.Sprintf("%q is too long ago", text), "")
		}
		return now.Add(-n * unit), true, nil
	}
	for _, layout := range []string{"15:04", "15:04:05", "2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		read, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		day := read
		if !strings.HasPrefix(layout, "2006") {
			day = now
			if clock := read.Sub(read.Truncate(24 * time.Hour)); clock > clockOf(now) {
				day = now.AddDate(0, 0, -1)
			}
		}
		t, err := onlyTime(time.Date(day.Year(), day.Month(), day.Day(), read.Hour(), read.Minute(), read.Second(), 0, time.UTC), now.Location())
		return t, err == nil, err
	}
	return t, false, nil
}

// clockOf is what a clock on the wall shows, since midnight.
func clockOf(t time.Time) time.Duration {
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second
}

// onlyTime gives the one moment at which the clocks of a zone show what read shows.
func onlyTime(read time.Time, zone *time.Location) (time.Time, error) {
	var found []time.Time
	for _, probe := range []time.Duration{-24 * time.Hour, 24 * time.Hour} { // the offsets before and after a change
		_, offset := read.Add(probe).In(zone).Zone()
		t := read.Add(-time.Duration(offset) * time.Second).In(zone)
		same := t.Format(time.DateTime) == read.Format(time.DateTime)
		if same && (len(found) == 0 || !found[0].Equal(t)) {
			found = append(found, t)
		}
	}
	shown := read.Format("2006-01-02 15:04:05")
	switch len(found) {
	case 0:
		return read, usage(fmt.Sprintf("the clocks of %s never showed %s: they were put forward", zone, shown), "give the time as RFC 3339, with its offset")
	case 2:
		return read, usage(fmt.Sprintf("the clocks of %s showed %s twice: they were put back", zone, shown), fmt.Sprintf("write %s or %s", found[0].Format(time.RFC3339), found[1].Format(time.RFC3339)))
	}
	return found[0], nil
}

// timeWords says a time so that nobody mistakes its zone.
func timeWords(t, now time.Time) string {
	local := t.In(now.Location())
	name, _ := local.Zone()
	words := fmt.Sprintf("%s %s", local.Format("2006-01-02 15:04:05"), name)
	if name != "UTC" {
		words += fmt.Sprintf(" (UTC%s; %s)", local.Format("-07:00"), t.UTC().Format(time.RFC3339))
	}
	if d := now.Sub(t); d >= 0 {
		words += ", " + term.Ago(d)
	}
	return words
}
