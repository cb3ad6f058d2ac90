package schedule

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	ics "github.com/arran4/golang-ical"
	"github.com/google/go-cmp/cmp"

	"firedrill"
)

// TestICal compares a calendar with the one in testdata, which UPDATE=1 writes, and
// reads it with the library.
func TestICal(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 2, 27, 12, 0, 0, 0, time.UTC)
	passed := []firedrill.Past{{Run: "R1", Drill: "worker-rollback", Environment: "staging", Started: now.Add(-time.Hour), Verdict: firedrill.Passed}}
	planned := func(d firedrill.Drill, at time.Time) Planned {
		table, err := Of(firedrill.Environment{Name: "staging"}, d)
		if err != nil {
			t.Fatal(err)
		}
		return Planned{"what it is about, in a few words; and commas", table, table.Dates(table.Stand(passed, at), at, now.AddDate(1, 0, 0))}
	}
	make := func(at time.Time) []byte {
		data, err := ICal("shop: staging, and more", []Planned{
			planned(firedrill.Drill{Name: "worker-rollback", Every: "quarterly", Window: &firedrill.Window{On: "first monday", From: "02:00", To: "05:00", Zone: "Europe/Berlin"}}, at),
			planned(firedrill.Drill{Name: "d1-pitr", Every: "semi-annual"}, at),
			planned(firedrill.Drill{Name: "failover", Every: "0 2 1 7 *"}, at),
		}, at)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	const golden = "testdata/ical/calendar.ics"
	got := make(now)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, line := range strings.Split(string(got), "\r\n") {
		if len(line) > 75 || strings.Contains(line, "\n") {
			t.Errorf("a line that readers need not take: %q", line)
		}
	}
	read, err := ics.ParseCalendar(bytes.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range read.Events() {
		if seen[e.Id()] {
			t.Errorf("two events are %s", e.Id())
		}
		seen[e.Id()] = true
		if at, err := e.GetStartAt(); err != nil || at.Before(now.AddDate(0, 0, -1)) {
			t.Errorf("%s starts at %s, %v", e.Id(), at, err)
		}
	}
	later, err := ics.ParseCalendar(bytes.NewReader(make(now.AddDate(0, 0, 3))))
	if err != nil || len(later.Events()) < 5 {
		t.Fatalf("%d events, %v", len(later.Events()), err)
	}
	for _, e := range later.Events() {
		if !strings.Contains(e.Id(), "d1-pitr") && !seen[e.Id()] { // which is due at once, and its dates follow from that
			t.Errorf("%s is another event in a file that was made later", e.Id())
		}
	}
}
