package engine

import (
	"strings"
	"testing"

	"firedrill"
)

func oneStep() firedrill.Program {
	return firedrill.Program{Steps: []firedrill.Step{{ID: "a", Phase: firedrill.Preflight, Uses: "x", With: firedrill.Values{}}}}
}

// TestNothingEndsBeforeItsIntentIsDurable: between Ready and Advance nothing
// can have started, so nothing can have ended, and no further batch is given.
func TestNothingEndsBeforeItsIntentIsDurable(t *testing.T) {
	t.Parallel()
	m := New(fakeResolver{})
	if err := m.Step(Start{At: stampAt(0, "b"), Run: "R", Program: oneStep()}); err != nil {
		t.Fatal(err)
	}
	done := Completion{At: stampAt(1, "b"), Op: "R/a", Role: firedrill.RoleDo, Attempt: 1, Status: firedrill.StatusOK}
	if err := m.Step(done); err == nil {
		t.Error("a call ended before its batch was handed out")
	}
	rd, ok := m.Ready()
	if !ok || len(rd.Records) != 2 || len(rd.Effects) != 1 {
		t.Fatalf("batch %+v", rd)
	}
	if err := m.Step(done); err == nil {
		t.Error("a call ended before its intent was durable")
	}
	if err := m.Step(EdgeSeen{At: stampAt(1, "b")}); err != nil {
		t.Errorf("an edge may come at any time: %v", err)
	}
	if _, ok := m.Ready(); ok {
		t.Error("a second batch before the first was advanced")
	}
	m.Advance()
	if err := m.Step(done); err != nil {
		t.Errorf("now it may end: %v", err)
	}
	if rd, ok = m.Ready(); !ok || len(rd.Records) != 2 {
		t.Errorf("second batch %+v", rd)
	}
}

// TestSuccessWithAProblemIsNone: status and problem must agree, in doubt it failed.
func TestSuccessWithAProblemIsNone(t *testing.T) {
	t.Parallel()
	problem := &firedrill.Problem{Kind: firedrill.KindDenied, Detail: "no"}
	lostAnswer := &firedrill.Problem{Kind: firedrill.KindUnknown, Detail: "no answer"}
	for _, c := range []struct {
		status  firedrill.Status
		problem *firedrill.Problem
		want    firedrill.Status
	}{
		{firedrill.StatusOK, nil, firedrill.StatusOK},
		{firedrill.StatusOK, problem, firedrill.StatusFailed},
		{firedrill.StatusOK, lostAnswer, firedrill.StatusUnknown},
		{firedrill.StatusFailed, nil, firedrill.StatusFailed},
		{firedrill.StatusUnknown, nil, firedrill.StatusUnknown},
		{"", nil, firedrill.StatusFailed},
		{"", problem, firedrill.StatusFailed},
	} {
		if got := plausible(firedrill.Ended{Status: c.status, Problem: c.problem}, "x"); got.Status != c.want || got.Status != firedrill.StatusOK && got.Problem == nil {
			t.Errorf("%q with %v is %q", c.status, c.problem, got.Status)
		}
	}
}

// TestRecordsThatDoNotFitAreCorrupt: what cannot be understood is not skipped.
func TestRecordsThatDoNotFitAreCorrupt(t *testing.T) {
	t.Parallel()
	start := firedrill.RunStarted{Format: 1, Run: "R", Program: oneStep()}
	record := func(seq int64, b firedrill.Body) firedrill.Record { return firedrill.Record{Seq: seq, Body: b} }
	newer := start
	newer.Format = firedrill.RecordFormat + 1
	for name, records := range map[string][]firedrill.Record{
		"none":              nil,
		"headless":          {record(1, firedrill.Turned{})},
		"a gap":             {record(1, start), record(3, firedrill.Turned{})},
		"two starts":        {record(1, start), record(2, start)},
		"a newer format":    {record(1, newer)},
		"an unknown step":   {record(1, start), record(2, firedrill.Intended{Step: "b", Role: firedrill.RoleDo})},
		"an end of nothing": {record(1, start), record(2, firedrill.Ended{Step: "a", Op: "R/a", Role: firedrill.RoleDo})},
		"after the end":     {record(1, start), record(2, firedrill.Finished{}), record(3, firedrill.Turned{})},
	} {
		if _, err := Load(fakeResolver{}, records); firedrill.KindOf(err) != firedrill.KindCorrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestALoadedRunOnlyListens until it is resumed.
func TestALoadedRunOnlyListens(t *testing.T) {
	t.Parallel()
	m, err := Load(fakeResolver{}, []firedrill.Record{{Seq: 1, Body: firedrill.RunStarted{Format: 1, Run: "R", Program: oneStep()}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Step(Interrupt{}); err == nil || !strings.Contains(err.Error(), "resumed") {
		t.Errorf("interrupted before it was resumed: %v", err)
	}
	if _, ok := m.Ready(); ok || m.Done() || m.Phase() != firedrill.Preflight {
		t.Error("a loaded run decided something")
	}
}
