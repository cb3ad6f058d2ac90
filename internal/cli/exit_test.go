package cli

import (
	"testing"

	"firedrill"
)

func TestExitStatusFollowsTheContract(t *testing.T) {
	t.Parallel()
	for want, r := range map[int]firedrill.Result{
		0: {Verdict: firedrill.Passed, State: firedrill.Restored},
		1: {Verdict: firedrill.Failed, State: firedrill.Restored},
		3: {Verdict: firedrill.Aborted, State: firedrill.Restored},
		4: {Verdict: firedrill.Passed, State: firedrill.Dirty}, // it cannot be, and would not be told as a pass
		5: {Verdict: firedrill.Inconclusive, State: firedrill.Restored, ReasonCode: firedrill.ReasonGuard},
		6: {Verdict: firedrill.Inconclusive, State: firedrill.Restored, ReasonCode: firedrill.ReasonBusy},
	} {
		if got := statusOf(r); got != want {
			t.Errorf("%+v: %d, want %d", r, got, want)
		}
	}
	for _, c := range []struct {
		statuses []int
		want     int
	}{{nil, 0}, {[]int{0, 0}, 0}, {[]int{3, 1, 6}, 1}, {[]int{1, 4}, 4}, {[]int{6, 5}, 5}, {[]int{6, 3}, 3}} {
		if got := worst(c.statuses); got != c.want {
			t.Errorf("%v: %d, want %d", c.statuses, got, c.want)
		}
	}
}
