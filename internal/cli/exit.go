package cli

import "firedrill"

// statusOf gives the exit status of one finished run.
func statusOf(r firedrill.Result) int {
	switch {
	case r.State == firedrill.Dirty:
		return firedrill.ExitDirty
	case r.Verdict == firedrill.Passed || r.Verdict == firedrill.Recovered:
		return firedrill.ExitOK
	case r.ReasonCode == firedrill.ReasonListed:
		return firedrill.ExitOK // it did what it was told to
	case r.Verdict == firedrill.Failed:
		return firedrill.ExitFailed
	case r.ReasonCode == firedrill.ReasonGuard:
		return firedrill.ExitGuard
	case r.ReasonCode == firedrill.ReasonOperational || r.ReasonCode == firedrill.ReasonBusy:
		return firedrill.ExitOperational
	case r.Verdict == firedrill.NotRecovered && r.ReasonCode != firedrill.ReasonAborted:
		return firedrill.ExitFailed
	}
	return firedrill.ExitInconclusive
}

// worst gives the status of several: the first of dirty, failed, inconclusive,
// guard and operational that occurs.
func worst(statuses []int) int {
	for _, s := range []int{firedrill.ExitDirty, firedrill.ExitFailed, firedrill.ExitInconclusive, firedrill.ExitGuard, firedrill.ExitOperational} {
		for _, t := range statuses {
			if s == t {
				return s
			}
		}
	}
	return firedrill.ExitOK
}
