package report

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"firedrill"
)

func stamp(s int64) firedrill.Stamp {
	return firedrill.Stamp{Wall: time.Unix(1_700_000_000+s, 0).UTC(), Mono: s * int64(time.Second), Boot: "b"}
}

// run is a drill whose second injection fails and whose first is undone.
func run() []firedrill.Record {
	program := firedrill.Program{Drill: "d", Title: "t", RTO: time.Minute, Environment: firedrill.Environment{Name: "sandbox"}, Steps: []firedrill.Step{
		{ID: "drop", Phase: firedrill.Inject, Uses: "x.drop"}, {ID: "seen", Phase: firedrill.Detect, Uses: "x.look"}, {ID: "odd", Phase: firedrill.Verify}}}
	undo := &firedrill.ResolvedUndo{Uses: "x.put", Repair: "put it back"}
	bodies := []firedrill.Body{
		firedrill.RunStarted{Run: "R", Executor: "a@b", Program: program},
		firedrill.Intended{Step: "drop", Role: firedrill.RoleDo, Attempt: 1, Uses: "x.drop", Resolved: firedrill.Resolved{Impact: firedrill.Damages, Undo: undo}},
		firedrill.Ended{Step: "drop", Role: firedrill.RoleDo, Attempt: 1, Status: firedrill.StatusOK, Started: stamp(1), Finished: stamp(3), Summary: "2 rows gone", Collateral: []string{"1 audit row"}, Notes: []string{"a probe is blind"}},
		firedrill.Intended{Step: "seen", Role: firedrill.RoleDo, Attempt: 1, Uses: "x.look", Resolved: firedrill.Resolved{Impact: firedrill.Reads}},
		firedrill.Ended{Step: "seen", Role: firedrill.RoleDo, Attempt: 1, Status: firedrill.StatusFailed, Notes: []string{"a probe is blind"}, Checks: []firedrill.Check{{Detail: "no row is gone", Compared: 9}}, Problem: &firedrill.Problem{Detail: "no row is gone"}},
		firedrill.Turned{Cause: firedrill.ReasonNoDamage, Detail: "seen: no row is gone"},
		firedrill.StepSkipped{Step: "odd", Reason: "turned"},
		firedrill.Intended{Step: "drop", Role: firedrill.RoleUndo, Attempt: 1, Uses: "x.put"},
		firedrill.Ended{Step: "drop", Role: firedrill.RoleUndo, Attempt: 1, Status: firedrill.StatusOK, Started: stamp(8), Finished: stamp(9)},
		firedrill.StepRefused{Step: "odd", Problem: firedrill.Problem{Detail: "nothing to compare with"}},
		firedrill.Measured{Measurement: firedrill.Measurement{Notes: []string{"a gap"}}},
		firedrill.Finished{Verdict: firedrill.Inconclusive, ReasonCode: firedrill.ReasonNoDamage, Reasons: []string{"because"}, Environment: firedrill.Restored},
	}
	var out []firedrill.Record
	for i, b := range bodies {
		out = append(out, firedrill.Record{Seq: int64(i + 1), At: stamp(int64(i)), Body: b})
	}
	return out
}

func TestResultOfAFinishedRun(t *testing.T) {
	t.Parallel()
	r, err := Result(run())
	if err != nil {
		t.Fatal(err)
	}
	if r.Run != "R" || r.Environment != "sandbox" || r.Verdict != firedrill.Inconclusive || r.State != firedrill.Restored || r.ReasonCode != firedrill.ReasonNoDamage {
		t.Errorf("head: %+v", r)
	}
	if !r.Started.Equal(stamp(0).Wall) || !r.Finished.Equal(stamp(11).Wall) {
		t.Errorf("from %v to %v", r.Started, r.Finished)
	}
	var lines []string
	for _, s := range r.Steps {
		lines = append(lines, strings.Join([]string{s.Step, string(s.Role), s.Status, s.Summary}, " "))
	}
	want := []string{"drop do ok 2 rows gone", "seen do failed ", "odd do skipped turned", "drop undo ok ", "odd look refused "}
	if !reflect.DeepEqual(lines, want) {
		t.Errorf("steps %q, want %q", lines, want)
	}
	if *r.Steps[0].Seconds != 2 || r.Steps[1].Seconds != nil {
		t.Errorf("seconds %v and %v", r.Steps[0].Seconds, r.Steps[1].Seconds)
	}
	if len(r.Checks) != 1 || r.Checks[0].Step != "seen" || r.Checks[0].Compared != 9 || !reflect.DeepEqual(r.Collateral, []string{"1 audit row"}) {
		t.Errorf("checks %v, collateral %v", r.Checks, r.Collateral)
	}
	if !reflect.DeepEqual(r.Notes, []string{"a probe is blind", "a gap"}) {
		t.Errorf("notes %q", r.Notes)
	}
}

// TestEveryBeginningIsADocument: an unfinished run says so, and is dirty
// exactly as long as its undo is due.
func TestEveryBeginningIsADocument(t *testing.T) {
	t.Parallel()
	all := run()
	for n := 1; n < len(all); n++ {
		r, err := Result(all[:n])
		if err != nil {
			t.Fatal(err)
		}
		dirty := n >= 2 && n < 9
		if (r.State == firedrill.Dirty) != dirty || r.Verdict != "" || r.ReasonCode != "" || len(r.Reasons) != 1 {
			t.Errorf("after %d records: %q, %q, %q", n, r.State, r.Verdict, r.Reasons)
		}
		if dirty && (len(r.Left) != 1 || r.Left[0].Repair != "put it back") {
			t.Errorf("after %d records: left %v", n, r.Left)
		}
	}
}

// TestListsAreNeverNull: scripts read lists without asking first.
func TestListsAreNeverNull(t *testing.T) {
	t.Parallel()
	r, err := Result(run()[:1])
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{`"checks":[]`, `"collateral":[]`, `"steps":[]`, `"outages":[]`, `"actual_s":null`, `"target_s":60`} {
		if !strings.Contains(string(data), key) {
			t.Errorf("%s is missing in %s", key, data)
		}
	}
}

func TestNoRunIsAnError(t *testing.T) {
	t.Parallel()
	for _, records := range [][]firedrill.Record{nil, run()[1:]} {
		if _, err := Result(records); firedrill.KindOf(err) != firedrill.KindCorrupt {
			t.Errorf("got %v", err)
		}
	}
}
