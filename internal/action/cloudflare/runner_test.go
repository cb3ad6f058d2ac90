package cloudflare

import (
	"context"
	"path/filepath"
	"testing"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/journal"
	"firedrill/internal/plan"
	"firedrill/internal/runner"
	"firedrill/internal/state"
)

// TestTheDrillRunsThroughTheRunner runs the shipped drill with journal, lease,
// parallel steps and a real clock.
func TestTheDrillRunsThroughTheRunner(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", append(hostile, fill)...)
	b := newBench(t, p.url)
	before := b.do("outside", "d1.fingerprint", db(id))
	program, registry := link(t, b, firedrill.ClassCI, "d1-pitr")
	records := conduct(t, program, registry)
	end, is := records[len(records)-1].Body.(firedrill.Finished)
	if !is || end.Verdict != firedrill.Passed || end.Environment != firedrill.Restored {
		t.Errorf("%+v", end)
	}
	for _, rec := range records {
		switch body := rec.Body.(type) {
		case firedrill.Ended:
			if body.Problem != nil {
				t.Errorf("%s: %v", body.Step, body.Problem)
			}
		case firedrill.Measured:
			m := body.Measurement
			if m.RTO.Actual == nil || m.RPO.Actual == nil || m.RPO.Acknowledged == nil {
				t.Fatalf("not measured: %+v", m)
			}
			t.Logf("RTO %.3f s, RPO %.3f s, %d writes acknowledged", *m.RTO.Actual, *m.RPO.Actual, *m.RPO.Acknowledged)
		}
	}
	(&rehearsal{b: b}).leftNothing(t, p, id, before)
}

// conduct runs a program with journal, lease, parallel steps and a real clock.
func conduct(t *testing.T, program firedrill.Program, registry *action.Registry) []firedrill.Record {
	t.Helper()
	return conductIn(t, t.TempDir(), program, registry)
}

// conductIn runs a program with its state in a folder.
func conductIn(t *testing.T, dir string, program firedrill.Program, registry *action.Registry) []firedrill.Record {
	t.Helper()
	home, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(context.Background(), filepath.Join(t.TempDir(), "journal.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	records, err := runner.New(runner.Config{Journal: j, Home: home, Registry: registry, Resolver: plan.NewResolver(registry),
		Now: runner.Clock(), NewID: func() string { return "run-1" }, Version: "test", Executor: "test"}).Run(context.Background(), program)
	if err != nil {
		t.Fatal(err)
	}
	return records
}
