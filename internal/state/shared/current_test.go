package shared

import (
	"testing"

	"firedrill"
	"firedrill/internal/journal"
	"firedrill/internal/state/statetest"
	"firedrill/internal/testkit/s3test"
)

// TestTheMirrorIsCurrent: after one look at the bucket its journal answers alone.
func TestTheMirrorIsCurrent(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	s.Bucket("state")
	a, b := machine(t, s, t.TempDir()), machine(t, s, t.TempDir())
	ctx := t.Context()
	if err := a.Append(ctx, "r", []firedrill.Record{statetest.Started("r"), statetest.Ended(2)}); err != nil {
		t.Fatal(err)
	}
	j, err := b.Current(ctx)
	if err != nil {
		t.Fatal(err)
	}
	runs, err := j.Runs(ctx, journal.Query{Drill: "d", Environment: "e", Verdict: firedrill.Passed, Limit: 1})
	if err != nil || len(runs) != 1 || runs[0].ID != "r" {
		t.Fatalf("%+v %v", runs, err)
	}
	if records, err := j.Records(ctx, "r"); err != nil || len(records) != 2 {
		t.Errorf("%d records, %v", len(records), err)
	}
}
