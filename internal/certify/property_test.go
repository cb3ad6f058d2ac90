package certify

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"firedrill"
)

// epoch is the moment before which no evidence of the properties ends.
func epoch() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// anItem draws what may be known about one requirement.
func anItem(r Rubric) *rapid.Generator[Item] {
	ids := []string{NeedIsolation, NeedDocuments, NeedSecrets, "a stranger"}
	for _, w := range r.Items {
		ids = append(ids, w.ID)
	}
	day := func(t *rapid.T, label string, lo, hi int) time.Time {
		return epoch().AddDate(0, 0, rapid.IntRange(lo, hi).Draw(t, label))
	}
	return rapid.Custom(func(t *rapid.T) Item {
		it := Item{ID: rapid.SampledFrom(ids).Draw(t, "id"), Drill: rapid.SampledFrom([]string{"", "one", "two"}).Draw(t, "drill")}
		switch rapid.IntRange(0, 5).Draw(t, "what") {
		case 0:
			it.Absent = "there is none"
			return it
		case 1, 2:
			it.Check = &Check{OK: rapid.Bool().Draw(t, "ok"), At: day(t, "looked", -30, 30), Detail: "x", Remedy: "y"}
			return it
		}
		for range rapid.IntRange(0, 5).Draw(t, "runs") {
			run := Run{Expires: day(t, "expires", -60, 90), Past: firedrill.Past{
				Run:     rapid.StringMatching(`[a-z]{8}`).Draw(t, "run"),
				Class:   rapid.SampledFrom([]firedrill.Class{firedrill.ClassStaging, firedrill.ClassStaging, firedrill.ClassSandbox}).Draw(t, "class"),
				Verdict: rapid.SampledFrom([]firedrill.Verdict{"passed", "passed", "failed", "inconclusive", "aborted", "recovered", ""}).Draw(t, "verdict"),
				State:   rapid.SampledFrom([]firedrill.EnvironmentState{"restored", "restored", "restored", "dirty"}).Draw(t, "state"), Finished: day(t, "finished", -30, 30),
				Incident: rapid.IntRange(0, 9).Draw(t, "incident") == 0}}
			if ok := rapid.Bool().Draw(t, "verified"); rapid.IntRange(0, 3).Draw(t, "looked") > 0 {
				run.Verified = &ok
			}
			it.Runs = append(it.Runs, run)
		}
		return it
	})
}

// TestTheScoreNeverRisesByItself: from the moment of the last evidence on, time alone
// takes points away and never gives any, and the losses say when.
func TestTheScoreNeverRisesByItself(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := Default()
		items := rapid.SliceOfN(anItem(r), 0, 20).Draw(t, "items")
		now := epoch().AddDate(0, 0, 30)
		first := Evaluate(r, items, now)
		before := first
		for range 6 {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(25*24*time.Hour)).Draw(t, "pause")))
			after := Evaluate(r, items, now)
			if after.Score > before.Score {
				t.Fatalf("%s at %s, %s before", after.Score, now, before.Score)
			}
			expected := first.Score
			for _, l := range first.Losses {
				if !l.At.After(now) {
					expected = l.Score
				}
			}
			if after.Score != expected {
				t.Fatalf("%s at %s, foretold was %s", after.Score, now, expected)
			}
			before = after
		}
	})
}

// TestTheScoreStaysWithinItsBounds: it is a sum of what the rubric has, and only of
// requirements with evidence that ran, passed, was verified and is not expired.
func TestTheScoreStaysWithinItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := Default()
		items := rapid.SliceOfN(anItem(r), 0, 30).Draw(t, "items")
		now := epoch().AddDate(0, 0, rapid.IntRange(-40, 100).Draw(t, "now"))
		res := Evaluate(r, items, now)
		if res.Score < 0 || res.Score > res.Most || res.Most > res.Of {
			t.Fatalf("%s of %s of %s", res.Score, res.Most, res.Of)
		}
		sum := Points(0)
		for _, l := range res.Items {
			if !l.Counts {
				continue
			}
			sum += l.Points
			if len(l.Evidence) == 0 || !slices.ContainsFunc(items, func(it Item) bool { return it.ID == l.ID && holds(it, r, now) }) {
				t.Fatalf("%s counts without evidence: %+v", l.ID, l)
			}
		}
		if res.Baseline.Counts {
			sum += r.Baseline
		}
		if sum != res.Score {
			t.Fatalf("%s is not the sum, %s", res.Score, sum)
		}
	})
}

// holds says in a second way whether an item can count at all.
func holds(it Item, r Rubric, now time.Time) bool {
	if it.Check != nil {
		return it.Check.OK
	}
	return slices.ContainsFunc(it.Runs, func(run Run) bool {
		return run.Verdict == firedrill.Passed && run.State == firedrill.Restored && !run.Incident && run.Verified != nil && *run.Verified &&
			run.Expires.After(now) && !run.Finished.After(now) && slices.Contains(r.Classes, run.Class)
	})
}

// TestTheOrderDoesNotMatter: of items, and of the runs of an item.
func TestTheOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := Default()
		items := rapid.SliceOfN(anItem(r), 0, 12).Draw(t, "items")
		now := epoch().AddDate(0, 0, 20)
		want := Evaluate(r, items, now)
		other := rapid.Permutation(items).Draw(t, "order")
		for i := range other {
			other[i].Runs = rapid.Permutation(other[i].Runs).Draw(t, "runs")
		}
		got := Evaluate(r, other, now)
		if got.Score != want.Score || got.Level != want.Level || !cmp.Equal(got.Losses, want.Losses) {
			t.Fatal(cmp.Diff(want, got))
		}
		for i := range got.Items {
			if got.Items[i].Status != want.Items[i].Status {
				t.Fatalf("%s is %s or %s, by the order", got.Items[i].ID, got.Items[i].Status, want.Items[i].Status)
			}
		}
	})
}

// TestAFailureTakesThePoint: a newer failure of any drill never raises
// the score, and takes the point of a requirement that counted.
func TestAFailureTakesThePoint(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := Default()
		items := rapid.SliceOfN(anItem(r), 1, 12).Draw(t, "items")
		now := epoch().AddDate(0, 0, 31)
		before := Evaluate(r, items, now)
		i := rapid.IntRange(0, len(items)-1).Draw(t, "which")
		if items[i].Absent != "" || items[i].Check != nil {
			return
		}
		items[i].Runs = append(slices.Clone(items[i].Runs), Run{Past: firedrill.Past{Run: "new", Verdict: firedrill.Failed, Class: firedrill.ClassStaging, Finished: now}})
		after := Evaluate(r, items, now)
		if l, ok := after.Line(items[i].ID); ok && l.Counts || after.Score > before.Score {
			t.Fatalf("%+v, %s after %s", l, after.Score, before.Score)
		}
	})
}
