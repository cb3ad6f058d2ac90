package quiesce

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"firedrill"
	"firedrill/internal/action"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func do(t *testing.T, name string, q firedrill.Quiesce, in firedrill.Values) (firedrill.Outcome, error) {
	t.Helper()
	r, err := action.NewRegistry(Pack())
	if err != nil {
		t.Fatal(err)
	}
	a, ok := r.Lookup(name)
	if !ok {
		t.Fatalf("no action %s", name)
	}
	return a.Do(context.Background(), firedrill.Call{Step: "pause", Inputs: in, Environment: firedrill.Environment{Name: "e", Quiesce: q}})
}

// TestTheRestartIsPromisedBeforeTheStop: what undo does, backwards, is the plan's
// own order of restarting, with its conditions and expectations.
func TestTheRestartIsPromisedBeforeTheStop(t *testing.T) {
	t.Parallel()
	q := firedrill.Quiesce{
		Pause: []firedrill.Step{{ID: "pause-1", Uses: "stop.cron"}, {ID: "pause-2", Uses: "stop.web", Retry: 2}},
		Resume: []firedrill.Step{{ID: "resume-1", Uses: "start.web", With: firedrill.Values{"a": "b"}, Expect: []string{"outputs.ok"}},
			{ID: "resume-2", Uses: "start.cron", When: "environment.exclusive"}},
	}
	out, err := do(t, "quiesce.pause", q, firedrill.Values{"unwatched": "nobody can"})
	if err != nil || len(out.Collateral) != 1 {
		t.Fatalf("%+v %v", out, err)
	}
	var did, undone []string
	for i, s := range out.Steps {
		did = append(did, s.ID+" "+s.Uses)
		if s.Undo == nil || !s.Undo.Last || i > 0 && !slices.Equal(s.Needs, []string{out.Steps[i-1].ID}) {
			t.Errorf("%+v", s)
		}
		undone = append(undone, fmt.Sprintf("%s%v%v%s", s.Undo.Uses, s.Undo.With, s.Undo.Expect, s.When))
	}
	slices.Reverse(undone)
	if want := []string{"promise-resume-2 quiesce.promise", "promise-resume-1 quiesce.promise", "pause-1 stop.cron", "pause-2 stop.web"}; !slices.Equal(did, want) {
		t.Errorf("%q", did)
	}
	if want := []string{"quiesce.promisemap[][]", "quiesce.promisemap[][]", "start.webmap[a:b][outputs.ok]", "start.cronmap[][]environment.exclusive"}; !slices.Equal(undone, want) {
		t.Errorf("%q", undone)
	}
	out, err = do(t, "quiesce.resume", q, firedrill.Values{})
	if err != nil || len(out.Steps) != 2 || out.Steps[1].Needs[0] != "resume-1" || out.Steps[0].Undo != nil {
		t.Errorf("%+v %v", out, err)
	}
}

func TestWithoutAPlanNobodyIsStopped(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"quiesce.pause", "quiesce.resume"} {
		if _, err := do(t, name, firedrill.Quiesce{}, firedrill.Values{}); firedrill.KindOf(err) != firedrill.KindUsage {
			t.Errorf("%s: %v", name, err)
		}
	}
}
