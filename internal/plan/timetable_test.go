package plan_test

import (
	"reflect"
	"strings"
	"testing"

	"firedrill"
	"firedrill/internal/plan"
	"firedrill/internal/playbook"
)

// due makes a plan with one drill on a line of its own; what stands in text begins in
// column 33.
func due(text string) string {
	return head + "drills:\n  d1-pitr: {use: d1-pitr,        " + text + "}\n"
}

func TestATimetableIsRead(t *testing.T) {
	t.Parallel()
	text := due(`every: quarterly, grace: 2 weeks, starts: 2027-01-31, window: {on: first monday, from: "02:00", to: "05:00", zone: Europe/Berlin}`)
	p, err := plan.Parse("f.yaml", []byte(text), catalog(t), playbook.Library{})
	if err != nil {
		t.Fatal(err)
	}
	d := p.Drills[0]
	want := &firedrill.Window{On: "first monday", From: "02:00", To: "05:00", Zone: "Europe/Berlin"}
	if d.Every != "quarterly" || d.Grace != "2 weeks" || d.Starts != "2027-01-31" || !reflect.DeepEqual(d.Window, want) {
		t.Errorf("%+v, %+v", d, d.Window)
	}
	prog, err := plan.Program(p, "d1-pitr", "", catalog(t), playbook.Library{})
	if err != nil || prog.Window != nil {
		t.Errorf("who names the drill is kept to its window: %+v, %v", prog.Window, err)
	}
}

// TestWhatIsNoTimetable: the parser tells the place of each mistake, and the schema
// sees those that it can.
func TestWhatIsNoTimetable(t *testing.T) {
	t.Parallel()
	cat := catalog(t)
	resolved := schemaOf(t, cat)
	night := `window: {from: "02:00", to: "05:00"`
	for name, c := range map[string]struct {
		text, want string
		schema     bool // sees it too
	}{
		"every":            {due("every: mothly"), `f.yaml:15:41: every: "mothly" is no frequency|did you mean "monthly"`, true},
		"every, no number": {due("every: 10"), "f.yaml:15:41: every must be text, this is an integer", true},
		"every, no unit":   {due("every: 10 hours"), `f.yaml:15:41: every: "10 hours" is no number of days, weeks or months|write for example`, true},
		"every, no cron":   {due(`every: "0 2 * * 8"`), `f.yaml:15:41: every: "0 2 * * 8" is no cron line`, false},
		"starts":           {due("every: monthly, starts: tomorrow"), `f.yaml:15:58: starts: "tomorrow" is no day`, true},
		"grace":            {due("every: monthly, grace: 5 weeks"), `f.yaml:15:57: grace: "5 weeks" is not shorter than the interval`, false},
		"grace of nothing": {due("grace: 5 weeks"), `f.yaml:15:41: grace: nothing is due without an interval|every: quarterly`, false},
		"window":           {due("every: monthly, " + night + ", zone: Europe/Berlni}"), `f.yaml:15:59: window.zone: there is no time zone "Europe/Berlni"`, false},
		"window, key":      {due("every: monthly, " + night + ", zoen: UTC}"), `window has no key "zoen"`, true},
		"window, weekly":   {due(`every: weekly, window: {on: first monday, from: "02:00", to: "05:00"}`), `f.yaml:15:58: window: on: first monday is a day of the month`, false},
		"two windows":      {strings.Replace(due("every: monthly, "+night+"}"), "    resources:", "    window: {from: \"12:00\", to: \"13:00\"}\n    resources:", 1), `f.yaml:16:3: drill d1-pitr: window: it and the window of environment staging are never open together`, false},
	} {
		_, err := plan.Parse("f.yaml", []byte(c.text), cat, playbook.Library{})
		if err == nil {
			t.Errorf("%s: it was taken", name)
			continue
		}
		told := err.Error() + remedies(err)
		for _, want := range strings.Split(c.want, "|") {
			if !strings.Contains(told, want) {
				t.Errorf("%s: no %q in\n%s", name, want, told)
			}
		}
		if err := resolved.Validate(value(t, c.text)); (err != nil) != c.schema {
			t.Errorf("%s: the schema says %v", name, err)
		}
	}
	for _, every := range []string{"monthly", "10 days", "1 week", "6 months", `"0 2 * * 1"`, `"0 0-6/6 1,15 jan-jun sun"`} {
		text := due("every: " + every + ", grace: 1h, starts: 2027-01-31, " + night + "}")
		if err := resolved.Validate(value(t, text)); err != nil {
			t.Errorf("the schema refuses %s: %v", every, err)
		}
		if _, err := plan.Parse("f.yaml", []byte(text), cat, playbook.Library{}); err != nil {
			t.Errorf("the parser refuses %s: %v", every, err)
		}
	}
}
