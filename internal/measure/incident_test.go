package measure

import (
	"fmt"
	"testing"
	"time"

	"firedrill"
)

// TestAnIncidentIsTimedFromItsBeginning measures recoveries: since a person says that
// it began, or since the run, with probes that saw it, that did not, and without any.
func TestAnIncidentIsTimedFromItsBeginning(t *testing.T) {
	t.Parallel()
	began := at("b1", -600).Wall
	const restore = "do found baseline reads - 1 2\ndo restore recover changes - 3 5\ndo page verify reads service 8 9\n"
	for _, c := range []struct {
		name, lines                    string
		began                          *time.Time
		actual, observe, recover, late string
	}{
		{"said, and seen by a probe", "red shop 1\n" + restore + "green shop 6\nprobes 100 50", &began, "606", "601", "4", "609"},
		{"not said", "red shop 1\n" + restore + "green shop 6\nprobes 100 50", nil, "6", "1", "4", "9"},
		{"no probe saw it", "green shop 1\n" + restore + "probes 100 0", &began, "605", "-", "605", "609"},
		{"no probes", restore, nil, "5", "-", "5", "9"},
		{"still ill", "red shop 1\n" + restore + "probes 100 100", &began, "-", "601", "4", "609"},
		{"not restored", "do restore recover changes - 3 5 failed", &began, "-", "-", "-", "-"},
	} {
		p := firedrill.Program{Incident: &firedrill.Incident{Began: c.began}}
		got := Measure(records(t, p, c.lines)).RTO
		for what, pair := range map[string][2]string{"actual": {show(got.Actual), c.actual}, "observe": {show(got.Observe), c.observe}, "recover": {show(got.Recover), c.recover}, "verified": {show(got.Verified), c.late}} {
			if pair[0] != pair[1] {
				t.Errorf("%s: %s is %s, want %s", c.name, what, pair[0], pair[1])
			}
		}
	}
}

func show(s *float64) string {
	if s == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f", *s)
}
