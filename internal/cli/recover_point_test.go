package cli

import (
	"strings"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/plan"
)

// TestTimesAreReadAsPeopleTypeThem reads times in a zone whose clocks change.
func TestTimesAreReadAsPeopleTypeThem(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zones on this machine")
	}
	now := time.Date(2026, 10, 26, 14, 30, 0, 0, zone)
	for text, want := range map[string]string{
		"14:05":                     "2026-10-26T13:05:00Z",
		"14:05:30":                  "2026-10-26T13:05:30Z",
		"14:45":                     "2026-10-25T13:45:00Z", // still to come today, so yesterday's
		"2026-10-24 14:05":          "2026-10-24T12:05:00Z", // before the clocks were put back
		"2026-10-24T14:05:01":       "2026-10-24T12:05:01Z",
		"20 minutes ago":            "2026-10-26T13:10:00Z",
		"90s ago":                   "2026-10-26T13:28:30Z",
		"2 hours ago":               "2026-10-26T11:30:00Z",
		"1 day ago":                 "2026-10-25T13:30:00Z",
		"2026-10-26T14:05:00+01:00": "2026-10-26T13:05:00Z",
		"2026-10-26T13:05:00.25Z":   "2026-10-26T13:05:00.25Z",
	} {
		got, ok, err := parseTime(text, now)
		if err != nil || !ok || got.UTC().Format(time.RFC3339Nano) != want {
			t.Errorf("%q: %s, %t, %v; want %s", text, got.UTC().Format(time.RFC3339Nano), ok, err, want)
		}
	}
	for text, want := range map[string]string{"2026-10-25 02:30": "twice", "2026-03-29 02:30": "never showed"} {
		if _, ok, err := parseTime(text, now); ok || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %t, %v; want %q", text, ok, err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "14", "14:5x", "25:00", "ten minutes ago", "9999999 days ago", "-3 minutes ago"} {
		if got, ok, _ := parseTime(text, now); ok {
			t.Errorf("%q is read as %s", text, got)
		}
	}
	if words := timeWords(now.Add(-20*time.Minute), now); words != "2026-10-26 14:10:00 CET (UTC+01:00; 2026-10-26T13:10:00Z), 20 min ago" {
		t.Errorf("%s", words)
	}
}

// TestPointsAreOfTheKindThatAPlaybookTakes refuses a point that leads nowhere.
func TestPointsAreOfTheKindThatAPlaybookTakes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 10, 26, 14, 30, 0, 0, time.UTC)
	book := func(inputs ...string) *plan.Playbook {
		p := &plan.Playbook{Name: "b"}
		for _, i := range inputs {
			p.Inputs = append(p.Inputs, plan.Input{Name: i})
		}
		return p
	}
	d1, kv, worker := book("bookmark", "at"), book("backup"), book("split", "at")
	const mark, id = "00000085-0000024c-00004c6d-8e61117bf38d7adb71b934ebbf891683", "01234567-89ab-cdef-0123-456789abcdef"
	for _, c := range []struct {
		text        string
		book        *plan.Playbook
		input, want string // no input: refused with this text
	}{
		{mark, d1, "bookmark", mark}, {"14:05", d1, "at", "2026-10-26T14:05:00Z"}, {id, worker, "split", id + "@100%"}, {"1 h ago", worker, "at", "2026-10-26T13:30:00Z"},
		{"backups/cache", kv, "backup", "backups/cache"},
		{mark, worker, "", "cannot return to"}, {id, d1, "", "cannot return to"}, {"14:05", kv, "", "cannot return to"}, {"backups/cache", d1, "", "cannot return to"},
		{"2027-01-01 00:00", d1, "", "in the future"},
	} {
		got, err := parsePoint(c.text, c.book, now)
		switch {
		case c.input == "":
			if err == nil || !strings.Contains(err.Error(), c.want) || firedrill.KindOf(err) != firedrill.KindUsage {
				t.Errorf("%q: %v, %v", c.text, got, err)
			}
		case err != nil || len(got.inputs) != 1 || got.inputs[c.input] != c.want:
			t.Errorf("%q: %v, %v", c.text, got.inputs, err)
		}
	}
}
